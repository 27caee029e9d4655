//! `profile prune`: retention.

use std::process::ExitCode;

use baselines::recording::{self, Pruned, Retention};
use baselines::time::UtcTime;
use serde::Serialize;

use super::{node, print, say};
use crate::cli;
use crate::cli::Output;
use crate::error::Failure;
use crate::table::{Table, serialise};

/// Removes windows, and prints which.
///
/// # Errors
/// [`Failure::Recording`], [`Failure::Output`].
pub fn prune(options: &cli::Prune, quiet: bool) -> Result<ExitCode, Failure> {
    let retention = Retention {
        keep: options.keep,
        size_max: options.max_size,
    };
    let pruned = recording::prune(&options.recording, &node()?, retention, UtcTime::now(), options.dry_run)?;
    if !quiet {
        let text = match options.output {
            Output::Table => table(options, &pruned),
            Output::Json | Output::Yaml => serialise(&Document::of(options, &pruned), options.output)?,
        };
        print(text.as_bytes())?;
    }
    if options.max_size.is_some_and(|size_max| pruned.bytes_after > size_max) {
        let warning = format!(
            "warning: {} still takes {} bytes, and there is no window left to remove",
            options.recording.display(),
            pruned.bytes_after
        );
        // With a reader at work, the file becomes smaller when that is done.
        say(
            false,
            if pruned.left == 0 {
                &warning
            } else {
                "warning: the file is being read, and becomes smaller afterwards"
            },
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn table(options: &cli::Prune, pruned: &Pruned) -> String {
    let head = format!(
        "{} {} of {} windows from {}: {} bytes before, {} after\n",
        if options.dry_run { "Would remove" } else { "Removed" },
        pruned.windows.len(),
        pruned.left.saturating_add(pruned.windows.len() as u64),
        options.recording.display(),
        pruned.bytes_before,
        pruned.bytes_after
    );
    if pruned.windows.is_empty() {
        return head;
    }
    let mut table = Table::new(["RECORDING", "WINDOW", "STARTED", "ENDED", "EVENTS", "LOST"]);
    for window in &pruned.windows {
        table.row([
            window.recording.to_string(),
            window.number.to_string(),
            window.started.to_string(),
            window.ended.to_string(),
            window.observations.to_string(),
            window.losses.to_string(),
        ]);
    }
    format!("{head}\n{table}")
}

/// The same for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    recording: String,
    dry_run: bool,
    bytes_before: u64,
    bytes_after: u64,
    windows_left: u64,
    removed: Vec<Window>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    recording: String,
    number: u64,
    started: String,
    ended: String,
    events: u64,
    lost: u64,
}

impl Document {
    fn of(options: &cli::Prune, pruned: &Pruned) -> Self {
        let removed = pruned.windows.iter().map(|window| Window {
            recording: window.recording.to_string(),
            number: window.number,
            started: window.started.to_string(),
            ended: window.ended.to_string(),
            events: window.observations,
            lost: window.losses,
        });
        Self {
            recording: options.recording.display().to_string(),
            dry_run: options.dry_run,
            bytes_before: pruned.bytes_before,
            bytes_after: pruned.bytes_after,
            windows_left: pruned.left,
            removed: removed.collect(),
        }
    }
}
