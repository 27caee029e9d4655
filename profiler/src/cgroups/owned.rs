//! A cgroup of our own, for the command of `profile run`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::error::{at, is_gone};
use super::{CgroupError, Hierarchy, Kind, join};

/// How long killed processes get to end, and the kernel to let go of their cgroups.
const REMOVAL: Duration = Duration::from_secs(5);
/// What a cgroup for a command is called, followed by `<pid>-<n>`.
const NAME: &str = "wardline-run-";
/// How long to wait between two looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// A cgroup that we made and that goes when this is dropped, with everything that still runs in it.
///
/// Whoever needs to know how that went calls [`OwnedCgroup::remove`]; dropping can only log it.
#[derive(Debug)]
pub struct OwnedCgroup {
    hierarchy: Hierarchy,
    path: Vec<u8>,
    directory: PathBuf,
    id: u64,
    removal_tried: bool,
}

/// How a cgroup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// How many processes had to be killed because they outlived the command.
    pub killed: usize,
}

impl Hierarchy {
    /// Makes a cgroup `wardline-run-<pid>-<n>` for one command.
    ///
    /// Its parent is the cgroup that we are in, so that the command stays within the limits that apply to us. The rule
    /// that a cgroup may not both hold processes and share out controllers is not in the way: because we are in it, the
    /// parent shares out none (the root is exempt), and its new child neither, so the child takes processes and is
    /// accounted as a part of the parent. Where our own cgroup is of no use (not visible, threaded, being removed), the
    /// hierarchy's root as we see it is the parent. What killed predecessors left there is removed first.
    ///
    /// # Errors
    /// Where neither place works; the error is that of the first.
    pub fn create_for_run(&self) -> Result<OwnedCgroup, CgroupError> {
        // Other threads of this process may do the same.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "{NAME}{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let create_in = |parent: &[u8]| {
            if let Err(error) = self.clean_up(parent) {
                tracing::warn!(%error, "a cgroup of a killed predecessor is left behind");
            }
            self.create_child(parent, &name)
        };
        let in_own = self.own().and_then(|own| create_in(&own));
        in_own.or_else(|error| create_in(&self.root_of_mount).map_err(|_| error))
    }

    /// Removes the cgroups of processes that were killed before they could do it. Where the command still runs that is
    /// only reported: it may be a service that somebody needs.
    fn clean_up(&self, parent: &[u8]) -> Result<(), CgroupError> {
        for cgroup in self.children(parent)? {
            let Some(maker) = maker_of(&cgroup.path).filter(|maker| !is_process(*maker)) else {
                continue;
            };
            let mut left_behind = OwnedCgroup {
                hierarchy: self.clone(),
                directory: self.visible(&cgroup.path)?,
                path: cgroup.path,
                id: cgroup.id,
                removal_tried: true, // dropping it on the way out does nothing
            };
            match left_behind.is_populated() {
                Ok(true) => tracing::warn!(
                    "process {maker} was killed while it recorded; its command runs on, unrecorded, in {}",
                    left_behind.directory.display()
                ),
                Ok(false) => {
                    left_behind.removal_tried = false;
                    left_behind.remove(Duration::ZERO)?;
                }
                // Somebody else cleans up, too.
                Err(_) if !left_behind.directory.exists() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes the cgroup `name` below `parent`.
    ///
    /// # Errors
    /// Where the kernel refuses, or the new cgroup could not hold processes.
    pub fn create_child(&self, parent: &[u8], name: &str) -> Result<OwnedCgroup, CgroupError> {
        let parent_directory = self.visible(parent)?;
        let directory = parent_directory.join(name);
        fs::create_dir(&directory).map_err(at("create", &directory))?;
        // From here on, dropping it on the way out removes it again.
        let mut cgroup = OwnedCgroup {
            hierarchy: self.clone(),
            path: join(parent, name.as_bytes()),
            directory,
            id: 0,
            removal_tried: false,
        };
        cgroup.id = self.id_of(&cgroup.path)?;
        if self.kind == Kind::V2 {
            let file = cgroup.directory.join("cgroup.type");
            if fs::read(&file).map_err(at("read", &file))? != b"domain\n" {
                return Err(CgroupError::Threaded { path: parent_directory });
            }
        }
        Ok(cgroup)
    }
}

impl OwnedCgroup {
    /// The path from the hierarchy's root.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The kernfs id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that takes a process in: who writes `0` to it moves itself.
    ///
    /// # Errors
    /// Where it cannot be opened for writing.
    pub fn entrance(&self) -> Result<File, CgroupError> {
        let file = self.directory.join("cgroup.procs");
        OpenOptions::new().write(true).open(&file).map_err(at("open", &file))
    }

    /// Whether a process lives in it or below.
    ///
    /// # Errors
    /// Where its files cannot be read.
    pub fn is_populated(&self) -> Result<bool, CgroupError> {
        match self.hierarchy.kind {
            Kind::V2 => {
                let file = self.directory.join("cgroup.events");
                let events = fs::read_to_string(&file).map_err(at("read", &file))?;
                Ok(events.lines().any(|line| line == "populated 1"))
            }
            Kind::V1 { .. } => Ok(!self.processes()?.is_empty()),
        }
    }

    /// Removes the cgroup.
    ///
    /// When a command has ended, what it left running in the background (a logger at the end of a pipe, a daemon) has
    /// `patience` to end by itself. Then it is killed, as a container's processes are when its first one ends: nothing
    /// would record it any more, and nothing else would clean up. Blocks for up to `patience` and 5 s.
    ///
    /// # Errors
    /// [`CgroupError::StillPopulated`] where processes survive SIGKILL for 5 s, or where the kernel refuses.
    pub fn remove(mut self, patience: Duration) -> Result<Removed, CgroupError> {
        self.empty_and_remove(patience)
    }

    fn empty_and_remove(&mut self, patience: Duration) -> Result<Removed, CgroupError> {
        // One attempt only: dropping must not repeat what failed. And a service manager may have been faster.
        if std::mem::replace(&mut self.removal_tried, true) || !self.directory.exists() {
            return Ok(Removed { killed: 0 });
        }
        let mut killed = 0;
        if !wait_until(patience, || Ok(!self.is_populated()?))? {
            killed = self.processes()?.len();
            let is_empty = wait_until(REMOVAL, || {
                self.kill()?;
                Ok(!self.is_populated()?)
            })?;
            if !is_empty {
                return Err(CgroupError::StillPopulated {
                    path: self.directory.clone(),
                    processes: self.processes()?,
                });
            }
        }
        let mut refusal = None;
        wait_until(REMOVAL, || {
            refusal = self.remove_directories().err();
            // EBUSY: dying processes, or a new child cgroup.
            Ok(refusal
                .as_ref()
                .is_none_or(|error| error.kind() != io::ErrorKind::ResourceBusy))
        })?;
        refusal.map_or(Ok(Removed { killed }), |error| {
            Err(at("remove", &self.directory)(error))
        })
    }

    /// The cgroup and those that the command made in it, each before its parent.
    fn directories(&self) -> Result<Vec<PathBuf>, CgroupError> {
        let below = Hierarchy {
            mount_point: self.directory.clone(),
            root_of_mount: self.path.clone(),
            ..self.hierarchy.clone()
        };
        let cgroups = below.walk()?.cgroups;
        Ok(cgroups
            .iter()
            .rev()
            .filter_map(|cgroup| below.directory_of(&cgroup.path))
            .collect())
    }

    fn remove_directories(&self) -> io::Result<()> {
        let directories = self.directories().map_err(io::Error::other)?;
        directories
            .iter()
            .try_for_each(|directory| match fs::remove_dir(directory) {
                Err(error) if is_gone(&error) => Ok(()),
                other => other,
            })
    }

    /// The ids of the processes in it and below.
    fn processes(&self) -> Result<Vec<u32>, CgroupError> {
        Ok(self
            .directories()?
            .iter()
            .flat_map(|directory| processes_of(directory))
            .collect())
    }

    /// Sends SIGKILL to every process, once.
    fn kill(&self) -> Result<(), CgroupError> {
        // Linux 5.14 kills a v2 cgroup and everything below at once, so that nothing can fork away.
        if fs::write(self.directory.join("cgroup.kill"), "1").is_ok() {
            return Ok(());
        }
        for directory in self.directories()? {
            for process in processes_of(&directory) {
                kill_process(&directory, process);
            }
        }
        Ok(())
    }
}

impl Drop for OwnedCgroup {
    fn drop(&mut self) {
        if let Err(error) = self.empty_and_remove(Duration::ZERO) {
            tracing::warn!(%error, "a cgroup of ours is left behind");
        }
    }
}

fn is_process(id: u32) -> bool {
    Path::new("/proc").join(id.to_string()).exists()
}

/// Whether a cgroup is called as the one for a command of `profile run` is.
pub(crate) fn is_of_run(name: &[u8]) -> bool {
    maker_of(name).is_some()
}

/// The process that made a cgroup for its command.
fn maker_of(path: &[u8]) -> Option<u32> {
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    let (maker, number) = str::from_utf8(name).ok()?.strip_prefix(NAME)?.split_once('-')?;
    number.parse::<u32>().ok()?;
    maker.parse().ok()
}

/// The ids of the processes in this very cgroup. None where it is gone, or threaded: then they are listed further up.
/// An id of 0 is a process that our PID namespace does not know.
pub(super) fn processes_of(directory: &Path) -> Vec<u32> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|process| *process != 0)
        .collect()
}

/// Kills one process of a cgroup, and no other that took over its id: the id is checked again once a handle is held.
/// Not to find it any more is what was wanted.
fn kill_process(directory: &Path, process: u32) {
    let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) else {
        return;
    };
    if let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
        && processes_of(directory).contains(&process)
    {
        // Fails only if it has ended meanwhile; whether the cgroup is empty is looked at afterwards anyway.
        let _ = pidfd_send_signal(handle, Signal::KILL);
    }
}

/// Asks until it is true or the time is over, at least once; whether it became true.
fn wait_until(patience: Duration, mut is_done: impl FnMut() -> Result<bool, CgroupError>) -> Result<bool, CgroupError> {
    let start = Instant::now();
    loop {
        if is_done()? {
            return Ok(true);
        }
        if start.elapsed() >= patience {
            return Ok(false);
        }
        thread::sleep(INTERVAL);
    }
}
