//! `profile status`: what was learned, and what was lost.

mod document;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use baselines::dns::Names;
use baselines::recording::{EndReason, Part, Recording, SourceSummary, Summary, WindowSummary};

use self::document::Status;
use super::{print, printable};
use crate::cli::Output;
use crate::error::Failure;
use crate::table::Table;

/// Prints a recording's windows, containers, losses and latencies, unless `quiet`: then only the exit code tells that there
/// is one.
///
/// # Errors
/// [`Failure::Recording`], [`Failure::Output`].
pub fn status(path: &Path, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    let summary = Recording::open(path)?.summary()?;
    let text = match output {
        Output::Table => table(path, &summary),
        Output::Json | Output::Yaml => crate::table::serialise(&Status::from(&summary), output)?,
    };
    if !quiet {
        print(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(path: &Path, summary: &Summary) -> String {
    let head = heading(path, summary);
    let is_merged = summary.sources.len() > 1;
    let mut windows = Table::new([
        "WINDOW",
        "STARTED",
        "ENDED",
        "SELECTOR",
        "BACKEND",
        "CONTAINERS",
        "NEW",
        "EVENTS",
        "LOST",
    ]);
    for window in &summary.windows {
        windows.row([
            name_of(window, is_merged),
            window.started.to_string(),
            ending(window),
            printable(&window.selector),
            printable(&window.backend),
            window.containers.to_string(),
            window.new_behaviours.to_string(),
            window.observations.to_string(),
            window.losses.to_string(),
        ]);
    }
    let mut containers = Table::new([
        "WORKLOAD",
        "IMAGE",
        "BEHAVIOURS",
        "EVENTS",
        "FIRST SEEN",
        "LAST SEEN",
        "START",
    ]);
    for seen in &summary.containers {
        let container = &seen.container;
        let node = if is_merged {
            printable(&seen.host) + ": "
        } else {
            String::new()
        };
        containers.row([
            node + &container.workload.to_string(),
            printable(&container.image.to_string()),
            seen.behaviours.to_string(),
            seen.observations.to_string(),
            container.started.to_string(),
            container.alive_until.to_string(),
            if container.partial { "not seen" } else { "seen" }.to_owned(),
        ]);
    }
    format!(
        "{head}{windows}{}{}{}{}{}\n{containers}{}{}",
        uncounted(summary),
        untold(summary),
        unnamed(summary),
        redacted(summary),
        removed(summary),
        losses(summary),
        latencies(summary)
    )
}

fn heading(path: &Path, summary: &Summary) -> String {
    let (path, behaviours) = (path.display(), summary.behaviours);
    if let [source] = summary.sources.as_slice() {
        let what = match &source.part {
            Some(part) => format!(", {}", part_of(part)),
            None if source.is_own => String::new(),
            None => ", a copy".to_owned(),
        };
        return format!(
            "Recording {path} on {}: {behaviours} behaviours, revision {}, id {}{what}\n\n",
            printable(&source.host),
            source.revision,
            source.id
        );
    }
    let mut table = Table::new(["RECORDING", "NODE", "REVISION", "CREATED", "GOES ON HERE", "PART"]);
    for source in &summary.sources {
        table.row([
            source.id.to_string(),
            printable(&source.host),
            source.revision.to_string(),
            source.created.to_string(),
            if source.is_own { "yes" } else { "no" }.to_owned(),
            source.part.as_ref().map_or_else(|| "-".to_owned(), part_of),
        ]);
    }
    let count = summary.sources.len();
    format!("Recording {path}: {behaviours} behaviours, {count} recordings\n\n{table}\n")
}

fn part_of(part: &Part) -> String {
    format!("namespace {} of {}", printable(&part.namespace), part.whole)
}

/// A window's number, and in a file with several recordings whose it is.
fn name_of(window: &WindowSummary, is_merged: bool) -> String {
    if is_merged {
        format!("{:.8}/{}", window.recording.to_string(), window.number)
    } else {
        window.number.to_string()
    }
}

/// Windows in which somebody was reached of whom nobody could tell who it was.
fn untold(summary: &Summary) -> String {
    let windows = summary.windows.iter().filter_map(|window| {
        let reasons = window
            .peers_untold
            .iter()
            .map(|(why, count)| format!("{}: {count}", why.word()));
        let left_out = (window.peers_left_out > 0).then(|| format!("no room: {}", window.peers_left_out));
        let reasons: Vec<String> = reasons.chain(left_out).collect();
        (!reasons.is_empty()).then(|| {
            format!(
                "Window {} does not know whom all connections reached (events: {})\n",
                name_of(window, summary.sources.len() > 1),
                reasons.join(", ")
            )
        })
    });
    windows.collect()
}

/// Windows in which names that were asked for can be missing.
fn unnamed(summary: &Summary) -> String {
    let windows = summary.windows.iter().filter_map(|window| {
        let gaps = window.name_gaps.iter().map(|(gap, count)| format!("{gap}: {count}"));
        let gaps = gaps.collect::<Vec<_>>().join(", ");
        let what = match &window.names {
            Names::Unseen(why) => format!("does not see DNS names: {}", printable(why)),
            _ if gaps.is_empty() => return None,
            _ => format!("is not sure of all DNS names ({gaps})"),
        };
        Some(format!(
            "Window {} {what}\n",
            name_of(window, summary.sources.len() > 1)
        ))
    });
    windows.collect()
}

/// Windows in which something was hidden.
fn redacted(summary: &Summary) -> String {
    let windows = summary.windows.iter().filter_map(|window| {
        let (events, containers) = (window.redacted_observations, window.redacted_containers);
        let peers = match window.redacted_peers {
            0 => String::new(),
            peers => format!(", and the names of whom {peers} events reached"),
        };
        (events > 0 || containers > 0 || !peers.is_empty()).then(|| {
            format!(
                "Window {} has parts hidden (--redact) in {events} events and the names of {containers} containers{peers}\n",
                name_of(window, summary.sources.len() > 1)
            )
        })
    });
    windows.collect()
}

/// What retention took away.
fn removed(summary: &Summary) -> String {
    let line = |source: &SourceSummary| {
        let removed = source.removed.as_ref()?;
        Some(format!(
            "Removed by retention from {}: {} windows from {} until {} with {} events and {} lost\n",
            source.id, removed.windows, removed.from, removed.until, removed.observations, removed.losses
        ))
    };
    summary.sources.iter().filter_map(line).collect()
}

/// Windows that can have missed something that is in no number here.
fn uncounted(summary: &Summary) -> String {
    let lossy = summary.windows.iter().filter_map(|window| {
        let why = window.uncounted_losses()?;
        Some(format!(
            "Window {} may lack more than is counted: {}\n",
            name_of(window, summary.sources.len() > 1),
            printable(&why)
        ))
    });
    lossy.collect()
}

fn losses(summary: &Summary) -> String {
    if summary.losses.is_empty() {
        let is_certain = uncounted(summary).is_empty();
        return format!("\nLosses: none{}\n", if is_certain { "" } else { " that were counted" });
    }
    let mut table = Table::new(["LOST", "REASON", "WORKLOAD", "FIRST", "LAST"]);
    for loss in &summary.losses {
        let workload = loss.workload.as_ref().map(ToString::to_string);
        table.row([
            loss.count.to_string(),
            loss.reason.to_string(),
            workload.unwrap_or_else(|| loss.cgroup_id.map_or("-".to_owned(), |id| format!("cgroup {id}"))),
            loss.first_seen.to_string(),
            loss.last_seen.to_string(),
        ]);
    }
    format!("\n{table}")
}

fn latencies(summary: &Summary) -> String {
    let mut table = Table::new(["WINDOW", "LATENCY", "COUNT", "P50", "P90", "P99", "MAX"]);
    for window in &summary.windows {
        for latency in &window.latencies {
            let time = |nanos: u64| format!("{:.1?}", Duration::from_nanos(nanos));
            table.row([
                name_of(window, summary.sources.len() > 1),
                printable(&latency.name),
                latency.count.to_string(),
                time(latency.p50),
                time(latency.p90),
                time(latency.p99),
                time(latency.max),
            ]);
        }
    }
    format!("\n{table}")
}

fn ending(window: &WindowSummary) -> String {
    match &window.ended {
        None => "running".to_owned(),
        Some((at, reason)) => format!("{at} ({})", printable(&words(reason))),
    }
}

fn words(reason: &EndReason) -> String {
    match reason {
        EndReason::Completed => "completed".to_owned(),
        EndReason::Covered => "covered".to_owned(),
        EndReason::Interrupted => "interrupted".to_owned(),
        EndReason::CommandExited { code } => format!("command exited with {code}"),
        EndReason::Failed(why) => format!("failed: {why}"),
        EndReason::Crashed => "crashed".to_owned(),
        EndReason::Copied => "went on when it was copied".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use baselines::time::UtcTime;

    use super::*;
    use crate::testing::{node, window};

    /// What status says of a window that ended like this; None: its recorder was killed.
    fn said(end: Option<&EndReason>) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = Recording::open_or_create(&path, &node()).unwrap();
        let window = writer
            .start_window(&window(UtcTime::from_nanos(1_795_000_000_000_000_000)))
            .unwrap();
        if let Some(reason) = end {
            writer.end_window(window, reason, UtcTime::now()).unwrap();
        }
        drop(writer);
        table(&path, &Recording::open(&path).unwrap().summary().unwrap())
    }

    #[test]
    fn only_a_window_that_ended_well_says_that_nothing_was_lost() {
        assert!(said(Some(&EndReason::Completed)).contains("\nLosses: none\n"));
        for (end, why) in [
            (None, "the recorder was killed; up to 2 s"),
            (Some(EndReason::Failed("full".to_owned())), "recording failed (full)"),
        ] {
            let said = said(end.as_ref());
            assert!(said.contains("Window 1 may lack more than is counted: "), "{said}");
            assert!(
                said.contains(why) && said.contains("\nLosses: none that were counted\n"),
                "{said}"
            );
        }
    }
}
