//! What an image did, whom it reached, and what its paths were generalised to, as tables.

use std::cmp::Reverse;
use std::net::SocketAddr;

use baselines::behaviour::{Action, Behaviour};
use baselines::document::{Baseline, Behaviours, Comparison, Evidence, PathTemplate, Rate};

use super::markup::{Html, details, table};
use super::{rounded, share, spell};
use crate::evidence::{counted, phase_word, provenance_word};

/// How many rows a table has.
const ROWS_MAX: usize = 100;
/// How many names a cell has.
const NAMES_MAX: usize = 5;

/// What was done, the most frequent first, each kind by itself.
pub(super) fn behaviours(heading: &str, behaviours: &Behaviours, containers: usize) -> Html {
    let mut kinds: Vec<(&'static str, Vec<(Behaviour, &Evidence)>)> = Vec::new();
    // They come kind by kind.
    for (behaviour, evidence) in behaviours.all() {
        let kind = kind(&behaviour.action);
        match kinds.last_mut() {
            Some((last, all)) if *last == kind => all.push((behaviour, evidence)),
            _ => kinds.push((kind, vec![(behaviour, evidence)])),
        }
    }
    let tables = kinds.into_iter().map(|(kind, mut all)| {
        all.sort_by_key(|(_, evidence)| Reverse(evidence.count));
        let summary = format!("{heading}: {}", counted(all.len(), kind));
        let rows = all
            .into_iter()
            .map(|(behaviour, evidence)| row(&behaviour, evidence, containers));
        details(&summary, table(&summary, &COLUMNS, rows, ROWS_MAX))
    });
    tables.collect()
}

const COLUMNS: [&str; 9] = [
    "WHAT",
    "COUNT",
    "PER HOUR (P10 / P50 / P90)",
    "CONTAINERS",
    "DATES",
    "FIRST SEEN",
    "LAST SEEN",
    "PHASES",
    "PROVENANCE",
];

fn row(behaviour: &Behaviour, evidence: &Evidence, containers: usize) -> Vec<Html> {
    vec![
        Html::name(&behaviour.to_string()),
        Html::value(evidence.count),
        evidence
            .rate
            .map_or_else(Html::default, |rate| Html::text(&per_hour(&rate))),
        Html::text(&share(evidence.containers, containers)),
        evidence.days.map_or_else(Html::default, Html::value),
        Html::value(evidence.first_seen),
        Html::value(evidence.last_seen),
        Html::text(&spell(&evidence.phases, phase_word)),
        Html::text(&spell(&evidence.provenance, provenance_word)),
    ]
}

/// `2.5 (0 / 1 / 6)`: the mean, and three quantiles over containers.
fn per_hour(rate: &Rate) -> String {
    let mean = rounded(rate.mean);
    rate.over_containers.map_or_else(
        || mean.clone(),
        |over| {
            let quantiles = [over.p10, over.p50, over.p90].map(rounded);
            format!("{mean} ({})", quantiles.join(" / "))
        },
    )
}

/// What one of them is called.
const fn kind(action: &Action) -> &'static str {
    match action {
        Action::Exec { .. } => "execution",
        Action::Open { .. } => "opened or mapped file",
        Action::Connect { .. } => "connection",
        Action::ConnectUnix { .. } => "Unix socket",
        Action::Send { .. } => "datagram destination",
        Action::Listen { .. } => "listening socket",
        Action::Raise { .. } => "privilege raise",
    }
}

/// Whom an image reached, the most frequent first.
pub(super) fn peers(behaviours: &Behaviours, containers: usize) -> Html {
    let mut rows: Vec<(u64, Vec<Html>)> = Vec::new();
    for (behaviour, reached, evidence) in behaviours.all_reached() {
        let (Action::Connect {
            address,
            port,
            protocol,
        }
        | Action::Send {
            address,
            port,
            protocol,
        }) = &behaviour.action
        else {
            continue;
        };
        let mut push = |whom: Html, count: u64, seen_in: u64| {
            let address = format!("{} ({protocol})", SocketAddr::new(*address, *port));
            let cells = vec![
                whom,
                Html::text(&address),
                Html::name(&behaviour.subject.to_string()),
                Html::value(count),
                Html::text(&share(seen_in, containers)),
            ];
            rows.push((count, cells));
        };
        for reached in reached {
            let peer = Html::name(&reached.peer.to_string());
            let whom = match &reached.dns_name {
                Some(name) => peer.and(Html::text(" ")).and(Html::name(&name.to_string())),
                None => peer,
            };
            push(whom, reached.count, reached.containers);
        }
        if reached.is_empty() {
            push(Html::text("not told"), evidence.count, evidence.containers);
        }
    }
    if rows.is_empty() {
        return Html::paragraph("It connected to nobody, and sent datagrams to nobody.");
    }
    rows.sort_by_key(|(count, _)| Reverse(*count));
    let columns = ["PEER", "ADDRESS", "PROGRAM", "COUNT", "CONTAINERS"];
    table("Peers", &columns, rows.into_iter().map(|(_, cells)| cells), ROWS_MAX)
}

/// What paths were generalised to, and what that costs; the most expensive first.
pub(super) fn templates(templates: &[PathTemplate]) -> Html {
    if templates.is_empty() {
        return Html::paragraph("No paths were generalised.");
    }
    let mut sorted: Vec<&PathTemplate> = templates.iter().collect();
    sorted.sort_by_key(|it| Reverse((it.sensitive, it.policy_also_admits)));
    let rows = sorted.into_iter().map(|it| {
        let paths = it.sensitive_paths.iter().map(ToString::to_string);
        let sensitive = usize::try_from(it.sensitive).unwrap_or(usize::MAX);
        let operator = match it.operator {
            Comparison::Equal => "Equal ",
            Comparison::Prefix => "Prefix ",
            Comparison::Postfix => "Postfix ",
        };
        vec![
            Html::name(&it.template.to_string()),
            Html::value(it.covers),
            Html::value(it.also_admits),
            Html::text(operator).and(Html::name(&it.value)),
            Html::name(&it.gives_up),
            Html::value(it.policy_also_admits),
            Html::value(it.sensitive)
                .and(Html::text(" "))
                .and(few(paths, sensitive)),
        ]
    });
    let columns = [
        "TEMPLATE",
        "COVERS",
        "ALSO ADMITS",
        "IN A POLICY",
        "GIVES UP",
        "POLICY ALSO ADMITS",
        "SENSITIVE AMONG THESE",
    ];
    table("Path templates and their price", &columns, rows, ROWS_MAX)
}

/// Who ran the image, and the recordings that tell of it.
pub(super) fn sources(baseline: &Baseline) -> Html {
    let containers = baseline.containers.iter().enumerate().map(|(index, container)| {
        vec![
            Html::value(index + 1),
            Html::name(&container.workload.to_string()),
            Html::name(&container.id),
            Html::name(&container.node),
            Html::value(container.first_seen),
            container.startup_until.map_or_else(Html::default, Html::value),
            Html::value(container.last_seen),
            Html::text(if container.partial {
                "its start was not seen"
            } else {
                ""
            }),
        ]
    });
    let columns = [
        "",
        "WORKLOAD",
        "ID",
        "NODE",
        "FIRST SEEN",
        "STARTED UP UNTIL",
        "LAST SEEN",
        "PARTIAL",
    ];
    let containers = table("Containers", &columns, containers, ROWS_MAX);
    let recordings = baseline.recordings.iter().map(|source| {
        let removed = source.removed.as_ref().map_or_else(Html::default, |removed| {
            Html::text(&format!(
                "{} from {} to {}",
                removed.windows, removed.from, removed.until
            ))
        });
        vec![
            Html::value(source.recording),
            Html::value(source.revision),
            Html::name(&source.node),
            few(source.backends.iter().cloned(), source.backends.len()),
            removed,
        ]
    });
    let columns = ["RECORDING", "REVISION", "NODE", "BACKENDS", "WINDOWS REMOVED"];
    let recordings = table("Recordings", &columns, recordings, ROWS_MAX);
    let summary = format!(
        "{}, {}",
        counted(baseline.containers.len(), "container"),
        counted(baseline.recordings.len(), "recording")
    );
    details(&summary, containers.and(recordings))
}

/// Some names, of which there are so many.
fn few(names: impl Iterator<Item = String>, all: usize) -> Html {
    let shown: Vec<String> = names.take(NAMES_MAX).collect();
    let more = all.saturating_sub(shown.len());
    let names = shown.iter().map(|name| Html::name(name).and(Html::text(" ")));
    let more = (more > 0).then(|| Html::text(&format!("and {more} more")));
    names.chain(more).collect()
}
