//! What can go wrong, in one line each, and with which exit code the program ends.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cgroups::CgroupError;
use crate::command::CommandError;
use crate::probes::ProbeError;

/// Why a command of `profile` failed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum Failure {
    /// The command line makes no sense.
    #[error("{what}")]
    Usage {
        /// What is wrong.
        what: String,
        /// What to do.
        #[help]
        help: String,
    },
    /// The probes.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Probes(#[from] ProbeError),
    /// The recording.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recording(#[from] baselines::recording::Error),
    /// The recording, for longer than it was worth waiting for.
    #[error("{source}, for {} s", tried.as_secs())]
    #[diagnostic(forward(source))]
    Unwritten {
        /// Why it cannot be written.
        source: baselines::recording::Error,
        /// Since when.
        tried: Duration,
    },
    /// Cgroups.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cgroups(#[from] CgroupError),
    /// The command of `profile run`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Command(#[from] CommandError),
    /// The system did not do what it always does.
    #[error("{0}")]
    Kernel(String),
    /// Standard output is gone, or full.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
}

impl Failure {
    /// What was to be written has waited since then.
    pub fn unwritten(source: baselines::recording::Error, since: Instant) -> Self {
        Self::Unwritten {
            source,
            tried: since.elapsed(),
        }
    }

    /// 2 for a wrong command line, the shell's codes for a command that could not be run, 1 for everything else.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } => ExitCode::from(2),
            Self::Command(error) => ExitCode::from(error.exit_code()),
            _ => ExitCode::FAILURE,
        }
    }
}
