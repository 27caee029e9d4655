//! What can go wrong, in one line each, and with which exit code the program ends.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cgroups::CgroupError;
use crate::command::CommandError;
use crate::import::error::ImportError;
use crate::kubernetes::connect::ConnectError;
use crate::privileges::LimitError;
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
    /// The limit on locked memory.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Limit(#[from] LimitError),
    /// What the process may do could not be changed.
    #[error("the kernel refused to take away what is not needed any more: {0}")]
    #[diagnostic(help("a sandbox that forbids capset(2) or prctl(2)? See its rules (seccomp)"))]
    Privileges(std::io::Error),
    /// The recording.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recording(#[from] baselines::recording::Error),
    /// What it holds makes no sense.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Analysis(#[from] baselines::analysis::Error),
    /// The recording, for longer than it was worth waiting for.
    #[error("{source}, for {} s", tried.as_secs())]
    #[diagnostic(forward(source))]
    Unwritten {
        /// Why it cannot be written.
        source: baselines::recording::Error,
        /// Since when.
        tried: Duration,
    },
    /// The cluster.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cluster(#[from] ConnectError),
    /// Cgroups.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cgroups(#[from] CgroupError),
    /// The command of `profile run`.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Command(#[from] CommandError),
    /// A source of an import.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Import(#[from] ImportError),
    /// The system did not do what it always does.
    #[error("{0}")]
    #[diagnostic(help(
        "`profile doctor` says what is missing here, such as a mounted /proc; if it says nothing, please report this with its \
         output"
    ))]
    Kernel(String),
    /// Standard output cannot be written, for another reason than that its reader has seen enough.
    #[error("cannot write to standard output: {0}")]
    #[diagnostic(help("free some space where the output goes, or send it elsewhere"))]
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use miette::Diagnostic as _;

    use super::*;

    #[test]
    fn what_to_do_is_said_whatever_is_wrong() {
        let refused = || io::Error::from(io::ErrorKind::Unsupported);
        let path = || PathBuf::from("/a");
        let full = || baselines::recording::Error::Full { path: path() };
        let failures = [
            Failure::Usage {
                what: "no command".to_owned(),
                help: "write one".to_owned(),
            },
            ProbeError::PidNamespace.into(),
            Failure::Privileges(refused()),
            full().into(),
            Failure::unwritten(full(), Instant::now()),
            CgroupError::Io {
                action: "list",
                path: path(),
                source: refused(),
            }
            .into(),
            ConnectError::NotFound.into(),
            CommandError::Signals { source: refused() }.into(),
            CommandError::Cgroup(CgroupError::NoHierarchy).into(),
            Failure::Kernel("it went wrong".to_owned()),
            refused().into(),
        ];
        for failure in failures {
            let help = failure.help().map(|help| help.to_string()).unwrap_or_default();
            assert!(help.len() > 5, "{failure}: {help}");
        }
    }
}
