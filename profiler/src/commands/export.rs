//! `profile export`: what was observed, as a Parquet file for notebooks.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use baselines::recording;

use super::merge::with_progress;
use super::say;
use crate::error::Failure;

/// Exports, with a progress bar on a terminal.
///
/// # Errors
/// [`Failure::Recording`].
pub fn export(inputs: &[PathBuf], out: &Path, force: bool, quiet: bool) -> Result<ExitCode, Failure> {
    let files = recording::find(inputs)?;
    let exported = with_progress("containers", quiet, |progress| {
        recording::export(&files, out, force, progress)
    })?;
    say(
        quiet,
        &format!(
            "exported {} recordings to {}: {} containers, {} rows, {} bytes",
            exported.recordings.len(),
            out.display(),
            exported.containers,
            exported.rows,
            exported.bytes
        ),
    );
    Ok(ExitCode::SUCCESS)
}
