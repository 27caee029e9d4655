//! `profile merge`: one recording out of several files; and `profile restore`, which is that with one file.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baselines::recording::{self, Merged, MergedSource};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{print, printable};
use crate::cli::Output;
use crate::error::Failure;
use crate::table::{Table, serialise};

/// Merges, with a progress bar on a terminal, and prints what the new file is made of.
///
/// # Errors
/// [`Failure::Recording`], [`Failure::Output`].
pub fn merge(files: &[PathBuf], out: &Path, force: bool, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    let files = recording::find(files)?;
    let merged = with_progress("rows", quiet, |progress| recording::merge(&files, out, force, progress))?;
    show("Merged into", out, &merged, output, quiet)
}

/// `profile restore`: the same with one file.
///
/// # Errors
/// [`Failure::Recording`], [`Failure::Output`].
pub fn restore(backup: &Path, target: &Path, force: bool, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    let merged = with_progress("rows", quiet, |progress| {
        recording::restore(backup, target, force, progress)
    })?;
    show("Restored", target, &merged, output, quiet)
}

fn show(done: &str, out: &Path, merged: &Merged, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    if !quiet {
        let text = match output {
            Output::Table => table(done, out, merged),
            Output::Json | Output::Yaml => serialise(&Document::of(out, merged), output)?,
        };
        print(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Something that tells how many of how many are done, and of `what`. On a terminal somebody sees it.
pub(super) fn with_progress<T>(what: &str, quiet: bool, work: impl FnOnce(&mut dyn FnMut(u64, u64)) -> T) -> T {
    if quiet || !io::stderr().is_terminal() {
        return work(&mut |_, _| {});
    }
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template(&format!("{{wide_bar}} {{pos}}/{{len}} {what}, {{eta}} left")) {
        bar.set_style(style);
    }
    let done = work(&mut |done, total| {
        // Not for every row: some hundred thousand are copied in a second.
        if done % 4096 == 0 || done == total {
            bar.set_length(total);
            bar.set_position(done);
        }
    });
    bar.finish_and_clear();
    done
}

fn table(done: &str, out: &Path, merged: &Merged) -> String {
    let mut table = Table::new([
        "RECORDING",
        "NODE",
        "REVISION",
        "FROM",
        "WINDOWS",
        "CONTAINERS",
        "ROWS",
        "REPLACES",
    ]);
    for source in &merged.sources {
        let replaced = source
            .replaced
            .iter()
            .map(|(path, revision)| format!("revision {revision} in {}", path.display()));
        let replaced = replaced.collect::<Vec<_>>().join(", ");
        table.row([
            source.id.to_string(),
            printable(&source.host),
            source.revision.to_string(),
            source.from.display().to_string(),
            source.windows.to_string(),
            source.containers.to_string(),
            source.rows.to_string(),
            if replaced.is_empty() { "-".to_owned() } else { replaced },
        ]);
    }
    format!(
        "{done} {}: {} recordings, {} behaviours, {} bytes\n\n{table}",
        out.display(),
        merged.sources.len(),
        merged.behaviours,
        merged.bytes
    )
}

/// The same for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    out: String,
    bytes: u64,
    behaviours: u64,
    recordings: Vec<Source>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    recording: String,
    revision: u64,
    node: String,
    from: String,
    windows: u64,
    containers: u64,
    rows: u64,
    replaces: Vec<Replaced>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replaced {
    from: String,
    revision: u64,
}

impl Document {
    pub(super) fn of(out: &Path, merged: &Merged) -> Self {
        Self {
            out: out.display().to_string(),
            bytes: merged.bytes,
            behaviours: merged.behaviours,
            recordings: merged.sources.iter().map(Source::from).collect(),
        }
    }
}

impl From<&MergedSource> for Source {
    fn from(source: &MergedSource) -> Self {
        let replaces = source.replaced.iter().map(|(from, revision)| Replaced {
            from: from.display().to_string(),
            revision: *revision,
        });
        Self {
            recording: source.id.to_string(),
            revision: source.revision,
            node: source.host.clone(),
            from: source.from.display().to_string(),
            windows: source.windows,
            containers: source.containers,
            rows: source.rows,
            replaces: replaces.collect(),
        }
    }
}
