//! Risks: what waits for a decision, and what people have decided.

use std::cmp::Reverse;

use baselines::risks::{Catalogue, Decided, Decision, Entry, Sighting, State, Verdict};
use baselines::time::UtcTime;

use super::markup::{Html, left_out, table};
use super::{Image, share, spell};
use crate::evidence::{phase_word, provenance_word};

/// How many findings a list of an image shows.
const FINDINGS_MAX: usize = 100;
/// How many behaviours a finding shows.
const SIGHTINGS_MAX: usize = 10;

/// Every finding of all images that waits for a decision, the most severe first, and how many there are.
pub(super) fn open(images: &[Image<'_>], catalogue: &Catalogue, now: UtcTime) -> (Html, usize) {
    let decided = images.iter().enumerate().flat_map(|(number, image)| {
        let decided = image.risks.decided(image.baseline, now).into_iter();
        decided.map(move |decided| (number, image, decided))
    });
    let mut open: Vec<_> = decided.filter(|(.., decided)| decided.needs_decision()).collect();
    open.sort_by_key(|(.., decided)| Reverse(decided.finding.severity));
    let cards = open.iter().take(FINDINGS_MAX);
    let cards: Html = cards
        .map(|(number, image, decided)| card(*number, image, decided, catalogue))
        .collect();
    let more = open.len().saturating_sub(FINDINGS_MAX);
    let more = left_out(more, "more findings are left out: `generate risks` lists them all");
    (cards.and(more), open.len())
}

/// The findings of an image that do not wait for one.
pub(super) fn others(image: &Image<'_>, catalogue: &Catalogue, now: UtcTime) -> Html {
    let all = image.risks.decided(image.baseline, now);
    let others: Vec<&Decided<'_>> = all.iter().filter(|decided| !decided.needs_decision()).collect();
    if others.is_empty() {
        return Html::default();
    }
    let containers = image.baseline.containers.len();
    let rows = others.into_iter().map(|decided| {
        let most = decided.finding.sightings.iter().map(|it| it.evidence.containers).max();
        let title = entry(decided, catalogue).map_or_else(|| key(decided), |entry| Html::text(entry.title.as_str()));
        vec![
            Html::text(decided.finding.severity.word()),
            title,
            Html::text(decided.word()),
            decision(decided.state).map_or_else(Html::default, |decision| Html::text(&why(decision))),
            Html::text(&share(most.unwrap_or_default(), containers)),
            Html::name(&decided.finding.sentence()),
        ]
    });
    let columns = ["SEVERITY", "RISK", "STATE", "DECISION", "CONTAINERS", "WHAT"];
    table("Risks that wait for nobody", &columns, rows, FINDINGS_MAX)
}

fn card(number: usize, image: &Image<'_>, decided: &Decided<'_>, catalogue: &Catalogue) -> Html {
    let entry = entry(decided, catalogue);
    let severity = decided.finding.severity.word();
    let title = entry.map_or_else(|| key(decided), |entry| Html::text(entry.title.as_str()));
    let badges = Html::of("span", "badge bad", severity)
        .and(Html::text(" "))
        .and(Html::of("span", "badge", decided.word()))
        .and(Html::text(" "));
    let name = Html::name(&image.baseline.image.to_string());
    let link = super::link(number, name);
    let mut content = Html::element("h3", &[], badges.and(title)).line();
    content.push(Html::element("p", &[], Html::text("Image ").and(link)).line());
    if let Some(decision) = decision(decided.state) {
        content.push(Html::paragraph(&why(decision)));
    }
    if let Some(entry) = entry {
        content.push(Html::paragraph(entry.why.as_str()));
        let advice = Html::of("strong", "label", "What to do: ").and(Html::text(entry.advice.as_str()));
        content.push(Html::element("p", &[], advice).line());
        let attack: Vec<String> = entry.attack.iter().map(ToString::to_string).collect();
        content.push(Html::of("p", "quiet", &format!("ATT&CK: {}", attack.join(", "))).line());
    }
    let containers = image.baseline.containers.len();
    let rows = decided
        .finding
        .sightings
        .iter()
        .map(|sighting| evidence(sighting, containers));
    content.push(table("Evidence", &EVIDENCE, rows, SIGHTINGS_MAX));
    let command = "generate decide --baselines DIR --allow --who WHO --reason WHY ";
    let command = Html::element(
        "code",
        &[],
        Html::text(command).and(Html::text(&decided.finding.key.to_string())),
    );
    let or_deny = Html::text("Decide with ")
        .and(command)
        .and(Html::text(", or with --deny."));
    content.push(Html::element("p", &[("class", "quiet")], or_deny).line());
    Html::element("article", &[("class", "card")], Html::default().line().and(content)).line()
}

const EVIDENCE: [&str; 8] = [
    "WHAT",
    "COUNT",
    "CONTAINERS",
    "DATES",
    "FIRST SEEN",
    "LAST SEEN",
    "PHASES",
    "PROVENANCE",
];

fn evidence(sighting: &Sighting, containers: usize) -> Vec<Html> {
    let evidence = &sighting.evidence;
    vec![
        Html::name(&sighting.behaviour.to_string()),
        Html::value(evidence.count),
        Html::text(&share(evidence.containers, containers)),
        evidence.days.map_or_else(Html::default, Html::value),
        Html::value(evidence.first_seen),
        Html::value(evidence.last_seen),
        Html::text(&spell(&evidence.phases, phase_word)),
        Html::text(&spell(&evidence.provenance, provenance_word)),
    ]
}

fn entry<'a>(decided: &Decided<'_>, catalogue: &'a Catalogue) -> Option<&'a Entry> {
    catalogue.entry(decided.finding.key.entry())
}

fn key(decided: &Decided<'_>) -> Html {
    Html::text(decided.finding.key.entry().as_str())
}

const fn decision(state: State<'_>) -> Option<&Decision> {
    match state {
        State::Undecided => None,
        State::Allowed(decision) | State::Denied(decision) | State::Expired(decision) => Some(decision),
    }
}

/// Who decided what, when and why.
fn why(decision: &Decision) -> String {
    let verdict = match decision.verdict {
        Verdict::Allow { until: Some(until) } => format!("Allowed until {until}"),
        Verdict::Allow { until: None } => "Allowed".to_owned(),
        Verdict::Deny => "Denied".to_owned(),
    };
    format!(
        "{verdict} by {} on {}: {}",
        decision.who.as_str(),
        decision.when,
        decision.reason.as_str()
    )
}
