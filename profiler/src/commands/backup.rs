//! `profile backup`: a copy of a recording, made while it goes on.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use baselines::recording;
use indicatif::ProgressBar;

use super::say;
use crate::error::Failure;

/// Copies, with a sign of life on a terminal.
///
/// # Errors
/// [`Failure::Recording`].
pub fn backup(path: &Path, out: &Path, force: bool, quiet: bool) -> Result<ExitCode, Failure> {
    // How far it is, the database does not tell.
    let spinner = (!quiet && io::stderr().is_terminal()).then(|| {
        let spinner = ProgressBar::new_spinner().with_message(format!("copying {}", path.display()));
        spinner.enable_steady_tick(Duration::from_millis(250));
        spinner
    });
    let result = recording::backup(path, out, force);
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    let bytes = result?;
    say(
        quiet,
        &format!("backed up {} to {}: {bytes} bytes", path.display(), out.display()),
    );
    Ok(ExitCode::SUCCESS)
}
