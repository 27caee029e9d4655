//! What a difference has to say, without how it looks.

use std::fmt::Display;

use baselines::behaviour::{Phase, Provenance};
use baselines::diff::{
    Alone, Change, Class, DecisionLine, DecisionsDiff, Diff, Doubt, ImageDiff, Kept, MatchedBy, Occurrence, Review,
    Right, RiskChange, TemplateChange, TemplatePrice, Watched,
};
use baselines::document::Evidence;

use crate::evidence::counted;

/// A part of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Our own words, numbers and moments.
    Words(String),
    /// Anything else: it can be hostile.
    Name(String),
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<Part>);

impl Line {
    fn words(words: impl Into<String>) -> Self {
        Self::default().and(words)
    }

    fn name(name: impl Display) -> Self {
        Self::default().and_name(name)
    }

    fn and(mut self, words: impl Into<String>) -> Self {
        self.0.push(Part::Words(words.into()));
        self
    }

    fn and_name(mut self, name: impl Display) -> Self {
        self.0.push(Part::Name(name.to_string()));
        self
    }

    fn and_names<T: Display>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        for (place, name) in names.into_iter().enumerate() {
            if place > 0 {
                self = self.and(", ");
            }
            self = self.and_name(name);
        }
        self
    }
}

/// Something that is listed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) title: Line,
    pub(super) details: Vec<Line>,
}

/// Entries of a kind.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) title: String,
    /// Whether a reviewer can leave it for later.
    pub(super) is_minor: bool,
    pub(super) entries: Vec<Entry>,
}

/// One image.
#[derive(Debug)]
pub(super) struct Chapter {
    pub(super) title: Line,
    pub(super) facts: Vec<Line>,
    pub(super) sections: Vec<Section>,
}

/// Everything.
#[derive(Debug)]
pub(super) struct Report {
    /// One line of all.
    pub(super) summary: String,
    pub(super) chapters: Vec<Chapter>,
}

pub(super) fn report(diff: &Diff) -> Report {
    let unmatched = diff.unmatched.iter().map(|unmatched| Chapter {
        title: Line::name(&unmatched.repository).and(": not compared"),
        facts: vec![
            Line::words(
                "nobody can tell which version is which: name the two documents, generate diff OLDFILE NEWFILE",
            ),
            Line::words("in OLD: ").and_names(&unmatched.old),
            Line::words("in NEW: ").and_names(&unmatched.new),
        ],
        sections: Vec::new(),
    });
    let alone = |images: &[Alone], side: &'static str| -> Vec<Chapter> {
        images.iter().map(|image| chapter_alone(image, side)).collect()
    };
    let changed = diff.images.iter().filter(|image| !image.is_empty());
    let chapters = changed
        .map(chapter)
        .chain(alone(&diff.only_in_new, "NEW"))
        .chain(alone(&diff.only_in_old, "OLD"))
        .chain(unmatched)
        .chain(unchanged(&diff.images));
    Report {
        summary: summary(diff),
        chapters: chapters.collect(),
    }
}

fn summary(diff: &Diff) -> String {
    let changed = diff.images.iter().filter(|image| !image.is_empty()).count();
    let sum = |of: fn(&ImageDiff) -> u64| diff.images.iter().map(of).sum();
    let review = to_review(sum(|it| it.to_review.changes), sum(|it| it.to_review.risks));
    let mut parts = vec![
        format!("{} compared, {changed} changed", counted(diff.images.len(), "image")),
        format!("up for review: {review}"),
    ];
    for (count, what) in [
        (diff.only_in_old.len(), "only in OLD"),
        (diff.only_in_new.len(), "only in NEW, all of which is up for review"),
    ] {
        if count > 0 {
            parts.push(format!("{} {what}", counted(count, "image")));
        }
    }
    let unmatched = diff.unmatched.len() as u64;
    if unmatched > 0 {
        parts.push(format!(
            "{} not compared",
            many(unmatched, "repository", "repositories")
        ));
    }
    parts.join("; ")
}

fn chapter_alone(alone: &Alone, side: &str) -> Chapter {
    let count = many(alone.behaviours, "behaviour", "behaviours");
    let risks = many(alone.risks, "risk needs", "risks need");
    let mut facts = vec![
        Line::words(format!("{count} learned; {risks} a decision")),
        watched("coverage: ", &alone.watched),
    ];
    if !alone.versions.is_empty() {
        let others = Line::words("versions of it on the other side: ").and_names(&alone.versions);
        facts.push(others.and("; to compare it with one of them, generate diff OLDFILE NEWFILE"));
    }
    Chapter {
        title: Line::name(&alone.image).and(format!(": only in {side}")),
        facts,
        sections: Vec::new(),
    }
}

fn title(image: &ImageDiff) -> Line {
    match image.matched_by {
        MatchedBy::Name => Line::name(&image.new),
        _ => Line::name(&image.old).and(" -> ").and_name(&image.new),
    }
}

/// The images of which there is nothing to say, if there are any.
fn unchanged(images: &[ImageDiff]) -> Option<Chapter> {
    let unchanged = images.iter().filter(|image| image.is_empty());
    let entries = unchanged.map(|image| Entry {
        title: title(image),
        details: facts(image),
    });
    let section = section("images", true, entries.collect());
    (!section.entries.is_empty()).then(|| Chapter {
        title: Line::words("No change"),
        facts: Vec::new(),
        sections: vec![section],
    })
}

fn chapter(image: &ImageDiff) -> Chapter {
    Chapter {
        title: title(image),
        facts: facts(image),
        sections: sections(image),
    }
}

fn facts(image: &ImageDiff) -> Vec<Line> {
    let matched = match image.matched_by {
        MatchedBy::Name => None,
        MatchedBy::Digest => Some("the same digest under another tag"),
        MatchedBy::Tag => Some("matched by the tag: the digest of one of them is not known"),
        MatchedBy::Repository => Some("matched by the repository: no other version of it is left on either side"),
        MatchedBy::Predecessor => Some("matched by the repository: there is no other version of it in OLD"),
    };
    let review = to_review(image.to_review.changes, image.to_review.risks);
    let mut facts: Vec<Line> = matched.map(Line::words).into_iter().collect();
    facts.push(Line::words(format!("up for review: {review}")));
    if image.to_review.denied > 0 {
        let denied = many(image.to_review.denied, "behaviour was", "behaviours were");
        facts.push(Line::words(format!(
            "{denied} denied and seen: what is denied stays out of policies"
        )));
    }
    let (old, new) = (&image.watched.old, &image.watched.new);
    if old == new {
        facts.push(watched("coverage: ", new));
    } else {
        facts.push(watched("coverage in OLD: ", old));
        facts.push(watched("coverage in NEW: ", new));
    }
    let (old, new) = (image.behaviours.old, image.behaviours.new);
    let unchanged = many(new.unchanged, "behaviour", "behaviours");
    facts.push(Line::words(match (old.covered, new.covered) {
        (0, 0) => format!("{unchanged} unchanged"),
        (old, new) => format!(
            "{unchanged} unchanged; covered by a template or peer that both have: {old} only in OLD, {new} only in NEW"
        ),
    }));
    facts.extend(kept(&image.decisions));
    facts
}

fn kept(decisions: &DecisionsDiff) -> Option<Line> {
    let inherited = decisions.inherited.len();
    match decisions.kept {
        Kept::Nowhere => None,
        Kept::Old => Some(Line::words(format!(
            "{} inherited from beside OLD: none is kept beside NEW, so copy OLD's +decisions.yaml files there",
            counted(inherited, "decision")
        ))),
        Kept::New => Some(Line::words(format!(
            "{}: {inherited} inherited, {} the same, {} added, {} changed, {} withdrawn; {} fit nothing that was seen",
            "decisions",
            decisions.same,
            decisions.added.len(),
            decisions.changed.len(),
            decisions.withdrawn.len(),
            decisions.unmatched,
        ))),
    }
}

fn watched(title: &str, watched: &Watched) -> Line {
    let watched_for = format!(
        "{title}{} ({}, {} of ten minutes, {}",
        watched.state,
        many(watched.startup_units, "start", "starts"),
        many(watched.steady_units, "unit", "units"),
        many(watched.containers, "container", "containers"),
    );
    let missing = [
        (watched.partial, "without its start"),
        (watched.losses, "lost observations"),
        (watched.uncounted_losses, "windows that may have missed something"),
    ];
    let missing = missing.iter().filter(|(count, _)| *count > 0);
    let missing = missing.map(|(count, what)| format!("{count} {what}"));
    let parts: Vec<String> = [watched_for].into_iter().chain(missing).collect();
    let mut line = Line::words(parts.join(", ") + ")");
    if !watched.backends.is_empty() {
        line = line.and(", recorded with ").and_names(&watched.backends);
    }
    if watched.advice.is_empty() {
        line
    } else {
        line.and(": ").and_name(&watched.advice)
    }
}

fn sections(image: &ImageDiff) -> Vec<Section> {
    let of_class = |class: Class| {
        let changes = image.changes.iter().filter(|change| change.class == class);
        let is_minor = matches!(class, Class::Gone | Class::Narrowed);
        section(class.word(), is_minor, changes.map(|it| behaviour(it, image)).collect())
    };
    let decisions = &image.decisions;
    let lines = |lines: &[DecisionLine]| lines.iter().map(decision).collect();
    let sections = [
        section("risks", false, image.risks.iter().map(risk).collect()),
        of_class(Class::Added),
        of_class(Class::Widened),
        of_class(Class::Reclassified),
        of_class(Class::Gone),
        of_class(Class::Narrowed),
        section("path templates", true, image.templates.iter().map(template).collect()),
        section("decisions withdrawn", false, lines(&decisions.withdrawn)),
        section("decisions changed", false, lines(&decisions.changed)),
        section("decisions added", false, lines(&decisions.added)),
        section("decisions inherited", true, lines(&decisions.inherited)),
    ];
    sections.into_iter().filter(|it| !it.entries.is_empty()).collect()
}

fn section(title: &str, is_minor: bool, entries: Vec<Entry>) -> Section {
    Section {
        title: title.to_owned(),
        is_minor,
        entries,
    }
}

fn behaviour(change: &Change, image: &ImageDiff) -> Entry {
    let mut details = Vec::new();
    let rights = |title: &str, rights: &[Right]| {
        (!rights.is_empty()).then(|| Line::words(format!("{title}: ")).and_names(rights))
    };
    details.extend(rights("more", &change.gained));
    details.extend(rights("less", &change.lost));
    let containers = (image.watched.old.containers, image.watched.new.containers);
    let was = change.old.as_ref().map(|old| occurrence("in OLD", old, containers.0));
    let is = change.new.as_ref().map(|new| occurrence("in NEW", new, containers.1));
    details.extend(was.into_iter().chain(is));
    if matches!(change.class, Class::Gone | Class::Narrowed) || !change.weak_because.is_empty() {
        details.push(doubts(&change.weak_because));
    }
    if !change.risks.is_empty() {
        details.push(Line::words("risk: ").and_names(&change.risks));
    }
    details.extend(match change.review {
        Review::Due => Some(Line::words("up for review")),
        Review::Allowed => Some(Line::words("allowed by a decision")),
        Review::Denied => Some(Line::words("denied by a decision: it stays out of policies")),
        Review::None => None,
    });
    Entry {
        title: Line::name(&change.what),
        details,
    }
}

fn occurrence(title: &str, occurrence: &Occurrence, containers: u64) -> Line {
    let learned = if occurrence.learned { "" } else { "not learned; " };
    let behaviours = match occurrence.behaviours.len() {
        0 | 1 => String::new(),
        several => format!("; {several} behaviours"),
    };
    let evidence = evidence(&occurrence.evidence, containers);
    Line::words(format!("{title}: {learned}{evidence}{behaviours}"))
}

fn evidence(evidence: &Evidence, containers: u64) -> String {
    let phase = |phase: &Phase| match phase {
        Phase::Startup => "startup",
        Phase::Steady => "steady",
    };
    let provenance = |provenance: &Provenance| match provenance {
        Provenance::Workload => "workload",
        Provenance::Kubelet => "kubelet",
        Provenance::Entered => "entered",
        Provenance::Runtime => "runtime",
    };
    let phases: Vec<&str> = evidence.phases.iter().map(phase).collect();
    let provenance: Vec<&str> = evidence.provenance.iter().map(provenance).collect();
    format!(
        "{}x in {}, {} of {}, {}; {}; {}; {} to {}",
        evidence.count,
        many(evidence.units, "unit", "units"),
        evidence.containers,
        many(containers, "container", "containers"),
        many(evidence.nodes, "node", "nodes"),
        phases.join("+"),
        provenance.join("+"),
        evidence.first_seen,
        evidence.last_seen,
    )
}

fn doubts(doubts: &[Doubt]) -> Line {
    if doubts.is_empty() {
        return Line::words("NEW was watched long enough to see it");
    }
    let line = Line::words("weak evidence: ");
    doubts.iter().enumerate().fold(line, |line, (place, doubt)| {
        let line = if place > 0 { line.and("; ") } else { line };
        match doubt {
            Doubt::NotReady { state } => line.and(format!("NEW is {state}")),
            Doubt::TooRare { seen, of, watched } => line.and(format!(
                "it was seen in {seen} of {}, and NEW was watched for {watched}",
                many(*of, "unit", "units")
            )),
            Doubt::OtherBackends { old, new } => {
                let known = |line: Line, backends: &[String]| match backends {
                    [] => line.and("nobody knows what"),
                    some => line.and_names(some),
                };
                let line = known(line.and("OLD was recorded with "), old);
                known(line.and(" and NEW with "), new)
            }
        }
    })
}

fn template(change: &TemplateChange) -> Entry {
    let price = |title: &str, price: &TemplatePrice| {
        Line::words(format!("{title}: a policy compares {:?} ", price.operator))
            .and_name(&price.value)
            .and(format!(
                "; of the paths known it admits {} more, {} of them sensitive",
                price.policy_also_admits, price.sensitive
            ))
    };
    let instead = (!change.instead_of.is_empty())
        .then(|| Line::words("it covers all that these do: ").and_names(&change.instead_of));
    let was = change.old.as_ref().map(|old| price("in OLD", old));
    let is = change.new.as_ref().map(|new| price("in NEW", new));
    Entry {
        title: Line::name(&change.template).and(format!(": {}", change.class.word())),
        details: instead.into_iter().chain(was).chain(is).collect(),
    }
}

fn risk(change: &RiskChange) -> Entry {
    let state = match (change.old, change.new) {
        (None, Some(new)) => format!(": new, {new}"),
        (Some(old), Some(new)) => format!(": {old} -> {new}"),
        (Some(old), None) => format!(": not seen any more, was {old}"),
        (None, None) => String::new(),
    };
    let open = if change.needs_decision {
        ", needs a decision"
    } else {
        ""
    };
    Entry {
        title: Line::name(&change.key).and(format!("{state} ({}){open}", change.severity.word())),
        details: vec![Line::name(&change.what)],
    }
}

fn decision(line: &DecisionLine) -> Entry {
    let until = line.until.map(|until| format!(" until {until}")).unwrap_or_default();
    let mut why = Line::words(format!("{}{until}, ", line.decision))
        .and_name(&line.who)
        .and(format!(", {}: ", line.when))
        .and_name(&line.reason);
    if let Some(from) = &line.inherited_from {
        why = why.and("; made for ").and_name(from);
    }
    let about = line.about.as_ref().map(Line::name);
    Entry {
        title: Line::name(&line.target),
        details: about.into_iter().chain([why]).collect(),
    }
}

fn to_review(changes: u64, risks: u64) -> String {
    match (changes, risks) {
        (0, 0) => "nothing".to_owned(),
        _ => format!(
            "{}, {}",
            many(changes, "change", "changes"),
            many(risks, "risk", "risks")
        ),
    }
}

fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}
