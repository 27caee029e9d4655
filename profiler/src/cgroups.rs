//! The kernel's cgroup hierarchies: which are there, which one to follow, and what is in it.
//!
//! A process is in one cgroup of *every* mounted hierarchy: the unified one (v2) and, on older systems, one a v1
//! controller. Containers are told apart by one hierarchy only, [`choose`]n once, or ids of different trees would mix.
//!
//! A cgroup's id is the inode number of its directory: cgroup file systems number their inodes with the kernfs id on
//! 64-bit systems (since Linux 5.5), which is what probes read from `struct cgroup` and `bpf_get_current_cgroup_id`.
//!
//! ```no_run
//! use profiler::cgroups;
//!
//! let hierarchies = cgroups::mounted()?;
//! let hierarchy = cgroups::choose(&hierarchies)?;
//! for cgroup in hierarchy.walk()?.cgroups {
//!     println!("{} {}", cgroup.id, String::from_utf8_lossy(&cgroup.path));
//! }
//! # Ok::<(), cgroups::CgroupError>(())
//! ```

mod ages;
mod choice;
mod error;
mod mounts;
mod owned;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::PathBuf;

pub use self::ages::oldest;
pub use self::choice::{Census, Unseen, choose, choose_by, of_kind};
pub use self::error::CgroupError;
use self::error::{at, is_gone};
pub(crate) use self::owned::is_of_run;
pub use self::owned::{OwnedCgroup, Removed};

/// The most cgroups that [`Hierarchy::walk`] returns: as many as the memory controller allows to live
/// (`MEM_CGROUP_ID_MAX`).
pub const CGROUPS_MAX: usize = 65_535;

/// A mounted cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// The unified hierarchy, or that of a v1 controller.
    pub kind: Kind,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The cgroup that is the mount's root: `/`, unless a container sees a part of the tree only.
    pub root_of_mount: Vec<u8>,
}

/// The sort of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// cgroup v2.
    V2,
    /// cgroup v1, with this controller (and perhaps others on the same mount).
    V1 {
        /// One of its controllers.
        controller: Controller,
    },
}

/// A v1 controller that container runtimes put containers into. The order is that of preference.
///
/// Named hierarchies without a controller (`name=systemd`) are left out: a probe reaches a task's cgroup through
/// `task->cgroups->subsys[index]`, and they have no index there. Neither is `cpuset` here, because a new cgroup of it
/// refuses processes until it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// `memory`.
    Memory,
    /// `pids`.
    Pids,
    /// `devices`.
    Devices,
    /// `cpu`.
    Cpu,
    /// `cpuacct`.
    Cpuacct,
    /// `freezer`.
    Freezer,
    /// `blkio`.
    Blkio,
}

impl Controller {
    /// Every controller, by preference: runtimes and systemd use the first ones even where no limits are set.
    pub const ALL: [Self; 7] = [
        Self::Memory,
        Self::Pids,
        Self::Devices,
        Self::Cpu,
        Self::Cpuacct,
        Self::Freezer,
        Self::Blkio,
    ];

    /// The name in mount options and `/proc/PID/cgroup`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Devices => "devices",
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Freezer => "freezer",
            Self::Blkio => "blkio",
        }
    }

    /// The name in the kernel's `enum cgroup_subsys_id`, whose value is the index into `css_set.subsys`.
    pub const fn enumerator(self) -> &'static str {
        match self {
            Self::Memory => "memory_cgrp_id",
            Self::Pids => "pids_cgrp_id",
            Self::Devices => "devices_cgrp_id",
            Self::Cpu => "cpu_cgrp_id",
            Self::Cpuacct => "cpuacct_cgrp_id",
            Self::Freezer => "freezer_cgrp_id",
            Self::Blkio => "io_cgrp_id", // blkio is the v1 name of the io controller
        }
    }
}

/// A cgroup, as found by [`Hierarchy::walk`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    /// The path from the hierarchy's root, as in `/proc/PID/cgroup`.
    pub path: Vec<u8>,
    /// The kernfs id.
    pub id: u64,
}

/// The cgroups of a hierarchy, each after its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The cgroups that were there. Those that came or went meanwhile may or may not be among them.
    pub cgroups: Vec<Cgroup>,
    /// Whether these are all. With more than [`CGROUPS_MAX`], the ones nearest to the root are kept.
    pub complete: bool,
}

/// The hierarchies mounted here, one entry a controller for v1.
///
/// # Errors
/// Where `/proc/self/mountinfo` cannot be read.
pub fn mounted() -> Result<Vec<Hierarchy>, CgroupError> {
    const MOUNTS: &str = "/proc/self/mountinfo";
    let text = fs::read(MOUNTS).map_err(at("read", MOUNTS))?;
    let on_top = mounts::hierarchies(&text)
        .into_iter()
        .filter(Hierarchy::is_on_top)
        .map(Hierarchy::seen_from_its_root)
        .collect();
    Ok(mounts::distinct(on_top))
}

/// The unified hierarchy, if it is mounted. `profile run` needs no other, whether or not runtimes use it.
pub fn unified(hierarchies: &[Hierarchy]) -> Option<&Hierarchy> {
    hierarchies.iter().find(|hierarchy| hierarchy.kind == Kind::V2)
}

impl Hierarchy {
    /// Whether nothing else is mounted over it: the file system at the mount point is of the right type.
    fn is_on_top(&self) -> bool {
        let magic = match self.kind {
            Kind::V2 => libc::CGROUP2_SUPER_MAGIC,
            Kind::V1 { .. } => libc::CGROUP_SUPER_MAGIC,
        };
        rustix::fs::statfs(&self.mount_point).is_ok_and(|status| status.f_type == magic)
    }

    /// In a cgroup namespace the kernel tells mounts of what is outside by the way there, `/../..` (`cgroup_show_path`,
    /// kernel/cgroup/cgroup.c). Where that way leads to the true root, paths are those of the whole machine all the same, as
    /// the probes tell them: a pod's container runtime gives it such a namespace, and a chart the host's mount.
    fn seen_from_its_root(mut self) -> Self {
        let leads_out = self.root_of_mount.starts_with(b"/..");
        if leads_out && self.shows_everything().is_ok_and(|everything| everything) {
            self.root_of_mount = b"/".to_vec();
        }
        self
    }

    /// All cgroups that are visible through the mount, the mount's root first.
    ///
    /// # Errors
    /// Where the mount's root cannot be read. What disappears or cannot be read further down is left out.
    pub fn walk(&self) -> Result<Walk, CgroupError> {
        let id = fs::metadata(&self.mount_point)
            .map_err(at("read", &self.mount_point))?
            .ino();
        let mut cgroups = vec![Cgroup {
            path: self.root_of_mount.clone(),
            id,
        }];
        let mut next = 0_usize;
        while let Some(parent) = cgroups.get(next).map(|cgroup| cgroup.path.clone()) {
            for child in self.children(&parent)? {
                if cgroups.len() == CGROUPS_MAX {
                    return Ok(Walk {
                        cgroups,
                        complete: false,
                    });
                }
                cgroups.push(child);
            }
            next = next.saturating_add(1);
        }
        Ok(Walk {
            cgroups,
            complete: true,
        })
    }

    /// The cgroups directly below one; none if it is gone.
    fn children(&self, parent: &[u8]) -> Result<Vec<Cgroup>, CgroupError> {
        let directory = self.visible(parent)?;
        let children = fs::read_dir(&directory).and_then(|entries| {
            // The type and the inode number are the directory entry's own: nothing is opened and no link is followed.
            let directories = entries.filter(|entry| match entry {
                Ok(entry) => entry.file_type().is_ok_and(|file_type| file_type.is_dir()),
                Err(_) => true,
            });
            directories
                .map(|entry| {
                    entry.map(|entry| Cgroup {
                        path: join(parent, entry.file_name().as_bytes()),
                        id: entry.ino(),
                    })
                })
                .collect::<io::Result<Vec<_>>>()
        });
        children.or_else(|error| {
            if is_gone(&error) {
                Ok(Vec::new())
            } else {
                Err(at("list", &directory)(error))
            }
        })
    }

    /// The id of the cgroup with this path.
    ///
    /// # Errors
    /// Where there is none, or it is outside of what the mount shows.
    pub fn id_of(&self, path: &[u8]) -> Result<u64, CgroupError> {
        let directory = self.visible(path)?;
        Ok(fs::symlink_metadata(&directory)
            .map_err(at("look up", &directory))?
            .ino())
    }

    /// Whether the cgroup with this id is not at its path any more. False where that cannot be seen.
    pub fn is_gone(&self, id: u64, path: &[u8]) -> bool {
        let Some(directory) = self.directory_of(path) else {
            return false;
        };
        match fs::symlink_metadata(directory) {
            Ok(found) => found.ino() != id,
            Err(error) => is_gone(&error),
        }
    }

    /// The ids of the processes in this very cgroup, as our PID namespace knows them. None where it is gone.
    ///
    /// # Errors
    /// Where it is outside of what the mount shows.
    pub fn processes(&self, path: &[u8]) -> Result<Vec<u32>, CgroupError> {
        Ok(owned::processes_of(&self.visible(path)?))
    }

    /// The path of the cgroup that this process is in.
    ///
    /// # Errors
    /// Where `/proc/self/cgroup` cannot be read or does not list this hierarchy.
    pub fn own(&self) -> Result<Vec<u8>, CgroupError> {
        const OWN: &str = "/proc/self/cgroup";
        let text = fs::read(OWN).map_err(at("read", OWN))?;
        mounts::path_in(&text, self.kind).ok_or(CgroupError::NotListed { kind: self.kind })
    }

    /// Whether the whole machine is visible: the hierarchy's true root has the inode number 1, and what a container
    /// with a cgroup namespace of its own takes for the root has another.
    ///
    /// # Errors
    /// Where the mount's root cannot be read.
    pub fn shows_everything(&self) -> Result<bool, CgroupError> {
        Ok(self.id_of(&self.root_of_mount)? == 1)
    }

    /// The directory of a cgroup, if the mount shows it.
    pub(crate) fn directory_of(&self, path: &[u8]) -> Option<PathBuf> {
        let below = match self.root_of_mount.as_slice() {
            b"/" => path.strip_prefix(b"/"),
            root => path
                .strip_prefix(root)
                .filter(|below| below.is_empty() || below.starts_with(b"/")),
        }?;
        if below.split(|byte| *byte == b'/').any(|component| component == b"..") {
            return None; // above the root of our cgroup namespace
        }
        // A leading slash would make `join` forget the mount point.
        Some(
            self.mount_point
                .join(OsStr::from_bytes(below.strip_prefix(b"/").unwrap_or(below))),
        )
    }

    fn visible(&self, path: &[u8]) -> Result<PathBuf, CgroupError> {
        self.directory_of(path)
            .ok_or_else(|| CgroupError::not_visible(path, self))
    }
}

/// The path of the child `name` of the cgroup `parent`.
fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = parent.strip_suffix(b"/").unwrap_or(parent).to_vec();
    path.push(b'/');
    path.extend_from_slice(name);
    path
}
