//! What became of everything.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::commands::printable;
use crate::import::tetragon::counters::{Kind, Why};
use crate::import::tetragon::summary::{Imported, Summary, Unreadable};
use crate::table::Table;

/// For people.
pub(super) fn table(summary: &Summary) -> String {
    let total = summary.counters.total();
    let text = format!(
        "{} events in {:.1} s ({:.0} a second): {} recorded, {} used to tell others, {} not recorded\n\n",
        total.events,
        summary.took.as_secs_f64(),
        summary.rate(),
        total.recorded,
        total.used,
        total.not.values().sum::<u64>(),
    );
    let mut kinds = Table::new(["EVENT", "COUNT", "RECORDED", "USED", "NOT RECORDED"]);
    for (name, kind) in summary.counters.kinds() {
        let not = |(why, count): (&Why, &u64)| format!("{count} {}", why.word());
        let not: Vec<String> = kind.not.iter().map(not).collect();
        kinds.row([
            printable(name),
            kind.events.to_string(),
            kind.recorded.to_string(),
            kind.used.to_string(),
            if not.is_empty() { "-".to_owned() } else { not.join(", ") },
        ]);
    }
    let mut nodes = Table::new(["NODE", "RECORDING", "FIRST", "LAST", "RECORDED", "CONTAINERS", "LOST"]);
    for imported in &summary.imported {
        let or_none = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
        let losses: Vec<String> = imported
            .losses
            .iter()
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        nodes.row([
            printable(&imported.node),
            printable(&imported.recording.to_string_lossy()),
            or_none(&imported.first),
            or_none(&imported.last),
            imported.events.to_string(),
            imported.containers.to_string(),
            if losses.is_empty() {
                "none".to_owned()
            } else {
                losses.join(", ")
            },
        ]);
    }
    let remarks: Vec<String> = remarks(summary).iter().map(|it| format!("\n{it}\n")).collect();
    format!("{text}{kinds}\n{nodes}{}", remarks.concat())
}

/// What a reader of the numbers must know, one paragraph each.
fn remarks(summary: &Summary) -> Vec<String> {
    let counters = &summary.counters;
    let unreadable = &summary.unreadable;
    let without_init: usize = summary.imported.iter().map(|it| it.containers_without_init_tree).sum();
    let nothing_new = summary.imported.iter().filter(|it| it.first.is_none()).count();
    let first = unreadable.first.as_deref().map(printable).unwrap_or_default();
    let remarks = [
        (
            "Lines and sources that could not be read",
            unreadable.total(),
            format!(
                "{} invalid, {} too long, {} half-written, {} sources cut. The first: {first}",
                unreadable.invalid, unreadable.too_long, unreadable.half_written, unreadable.cut_sources
            ),
        ),
        (
            "Executions recorded as they were called",
            counters.as_called,
            "no policy can use them. No security_bprm_check was posted for them: `profile policy-for-learning` prints a \
             policy that does."
                .to_owned(),
        ),
        (
            "Events of processes whose execution is not in the source",
            counters.subjects_as_called,
            "who did it is recorded as it was called.".to_owned(),
        ),
        (
            "Opens that do not say how",
            counters.access_unknown,
            "no argument is labelled f_mode; their access is recorded as none.".to_owned(),
        ),
        (
            "Connections that do not say by which protocol",
            counters.protocol_unknown,
            "there is no socket argument; it is recorded as 0.".to_owned(),
        ),
        (
            "Events that do not say whether their process descends from the container's first one",
            counters.provenance_unknown,
            "there is no in_init_tree; all are taken for the workload's, debug sessions included.".to_owned(),
        ),
        (
            "Containers without a process that descends from their first one",
            without_init as u64,
            "they share PID namespaces, have hostPID, or ran before the agent. What they did is kept as entered, and not \
             learned."
                .to_owned(),
        ),
        (
            "Recordings that are unchanged",
            nothing_new as u64,
            "they held everything already, or there was nothing to record.".to_owned(),
        ),
    ];
    remarks
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(what, count, remark)| format!("{what}: {count}; {remark}"))
        .collect()
}

/// For programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document<'a> {
    sources: &'a [String],
    notes: &'a [String],
    lines: u64,
    unreadable: &'a Unreadable,
    events: Vec<KindDocument<'a>>,
    total: u64,
    recorded: u64,
    used: u64,
    not_recorded: u64,
    executions_as_called: u64,
    subjects_as_called: u64,
    access_unknown: u64,
    protocol_unknown: u64,
    provenance_unknown: u64,
    nodes: &'a [Imported],
    seconds: f64,
    events_per_second: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KindDocument<'a> {
    event: &'a str,
    count: u64,
    recorded: u64,
    used: u64,
    not_recorded: BTreeMap<&'static str, u64>,
}

impl<'a> From<&'a Summary> for Document<'a> {
    fn from(summary: &'a Summary) -> Self {
        let Kind {
            events,
            recorded,
            used,
            not,
        } = summary.counters.total();
        let kind = |(event, kind): (&'a str, &'a Kind)| KindDocument {
            event,
            count: kind.events,
            recorded: kind.recorded,
            used: kind.used,
            not_recorded: kind.not.iter().map(|(why, count)| (why.word(), *count)).collect(),
        };
        Self {
            sources: &summary.sources,
            notes: &summary.notes,
            lines: summary.lines,
            unreadable: &summary.unreadable,
            events: summary.counters.kinds().map(kind).collect(),
            total: events,
            recorded,
            used,
            not_recorded: not.values().sum(),
            executions_as_called: summary.counters.as_called,
            subjects_as_called: summary.counters.subjects_as_called,
            access_unknown: summary.counters.access_unknown,
            protocol_unknown: summary.counters.protocol_unknown,
            provenance_unknown: summary.counters.provenance_unknown,
            nodes: &summary.imported,
            seconds: summary.took.as_secs_f64(),
            events_per_second: summary.rate(),
        }
    }
}
