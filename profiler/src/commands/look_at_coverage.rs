//! `profile look-at-coverage`: what `profile start --until-covered` and `profile agent` start to read their own recordings, see
//! [`crate::coverage`].

use std::fs;
use std::io;
use std::os::unix::process::parent_id;
use std::process::ExitCode;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::CapabilitySet;

use super::print;
use crate::cli;
use crate::coverage::{MEMORY_MAX, MEMORY_OF_AGENT_MAX, become_modest, of_open_window, of_recording};
use crate::error::Failure;
use crate::privileges;

/// What reading a recording in somebody else's folder takes: beside the file, `SQLite` has one that readers write to.
const READ: CapabilitySet = CapabilitySet::DAC_READ_SEARCH.union(CapabilitySet::DAC_OVERRIDE);

/// Prints what the images of the open window have come to, as JSON; or what there is to tell a cluster of all images.
///
/// # Errors
/// Where the recording cannot be analysed, or nobody records into it.
pub fn look_at_coverage(options: &cli::LookAtCoverage) -> Result<ExitCode, Failure> {
    let unusual = |error: io::Error| Failure::Kernel(format!("a look at coverage: {error}"));
    privileges::keep_only(READ).map_err(unusual)?;
    let memory_max = if options.summaries {
        MEMORY_OF_AGENT_MAX
    } else {
        MEMORY_MAX
    };
    become_modest(memory_max).map_err(unusual)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| unusual(error.into()))?;
    // It may have ended before that.
    if parent_id() != options.parent {
        return Ok(ExitCode::FAILURE);
    }
    // What top(1) shows; it would be `exe`, the name of the link that was executed.
    fs::write("/proc/self/comm", "profile").map_err(unusual)?;
    let found = if options.summaries {
        serde_json::to_vec(&of_recording(&options.recording)?)
    } else {
        serde_json::to_vec(&of_open_window(&options.recording, &options.coverage.criteria())?)
    };
    print(&found.map_err(|error| unusual(error.into()))?)?;
    Ok(ExitCode::SUCCESS)
}
