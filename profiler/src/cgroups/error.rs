//! What can go wrong with cgroups.

use std::io;
use std::path::{Path, PathBuf};

use baselines::path::FilePath;

use super::{Hierarchy, Kind};

/// Why something could not be done with cgroups.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CgroupError {
    /// No hierarchy that workloads could be told apart by.
    #[error("no cgroup hierarchy is mounted: neither the unified one (v2) nor that of a v1 controller")]
    #[diagnostic(help(
        "mount it with `mount -t cgroup2 none /sys/fs/cgroup`; in a container, mount the host's /sys/fs/cgroup"
    ))]
    NoHierarchy,

    /// A hierarchy that somebody asked for.
    #[error("the cgroup hierarchy {kind} is not mounted")]
    #[diagnostic(help("`profile doctor` names the one that is followed by itself; /proc/self/mountinfo lists all"))]
    NotMounted {
        /// Which hierarchy.
        kind: Kind,
    },

    /// `/proc/self/cgroup` has no line for a hierarchy that is mounted.
    #[error("/proc/self/cgroup does not list this process in the hierarchy {kind:?}")]
    #[diagnostic(help("mount the /proc of this process's own PID namespace"))]
    NotListed {
        /// Which hierarchy.
        kind: Kind,
    },

    /// A cgroup outside of what the mount shows.
    #[error("cgroup {cgroup} is not visible below {mount_point}", mount_point = mount_point.display())]
    #[diagnostic(help(
        "run in the host's cgroup namespace (docker run --cgroupns=host), with the host's /sys/fs/cgroup"
    ))]
    NotVisible {
        /// The cgroup's path, escaped.
        cgroup: String,
        /// The mount that was looked at.
        mount_point: PathBuf,
    },

    /// The file system is mounted read-only.
    #[error("cannot {action} {path}: the cgroup file system is mounted read-only", path = path.display())]
    #[diagnostic(help("containers see it read-only: run on the host, or in a privileged container"))]
    ReadOnly {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
    },

    /// Not allowed.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    #[diagnostic(help("run as root"))]
    NotAllowed {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The parent is part of a threaded subtree, whose children refuse processes.
    #[error("cgroup {path} is threaded: a cgroup in it takes threads, not processes", path = path.display())]
    #[diagnostic(help("start from a shell outside of that cgroup"))]
    Threaded {
        /// The parent's directory.
        path: PathBuf,
    },

    /// Processes that do not end although they were killed.
    #[error("cannot remove cgroup {path}: processes {processes:?} outlive SIGKILL", path = path.display())]
    #[diagnostic(help("they hang in the kernel, often in I/O: when they are gone, remove the directory with rmdir"))]
    StillPopulated {
        /// The cgroup's directory.
        path: PathBuf,
        /// Process ids.
        processes: Vec<u32>,
    },

    /// Anything else that the kernel refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    #[diagnostic(help(
        "limits on cgroups (cgroup.max.descendants), a full cgroup file system or a service manager at work can be why: try \
         again, or from another shell"
    ))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl CgroupError {
    pub(super) fn not_visible(cgroup: &[u8], hierarchy: &Hierarchy) -> Self {
        Self::NotVisible {
            cgroup: FilePath::canonical(cgroup).to_text(),
            mount_point: hierarchy.mount_point.clone(),
        }
    }
}

/// Turns the error of an `action` on `path` into one that says so.
pub(super) fn at(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> CgroupError {
    move |source| {
        let path = path.as_ref().to_owned();
        match source.kind() {
            io::ErrorKind::ReadOnlyFilesystem => CgroupError::ReadOnly { action, path },
            io::ErrorKind::PermissionDenied => CgroupError::NotAllowed { action, path, source },
            _ => CgroupError::Io { action, path, source },
        }
    }
}

/// Whether the cgroup disappeared: its directory (ENOENT), or the cgroup behind a file that is still open (ENODEV).
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}
