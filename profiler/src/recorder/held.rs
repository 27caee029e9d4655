//! Doors to a process's files, kept open until somebody has looked through them: many a process lives for a millisecond.
//!
//! They are opened as paths (`O_PATH`), which asks nothing of the file system behind them, so that it cannot hang.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};

/// How many processes of a container are tried, when the one that did something is gone: another one may have the same root.
const NEIGHBOURS_MAX: usize = 64;

/// A process's root directory and executable, as far as they could be held.
#[derive(Default)]
pub(super) struct Held {
    root: Option<OwnedFd>,
    program: Option<OwnedFd>,
}

impl Held {
    /// Holds a process's executable, if it is there.
    pub(super) fn program_of(process: u32) -> Self {
        Self {
            root: None,
            program: open(&format!("/proc/{process}/exe")),
        }
    }

    /// Holds its root directory, too, which is in the mount with this number. `cgroup` is the folder of its cgroup.
    pub(super) fn with_root(self, process: u32, mount: u64, cgroup: Option<&Path>) -> Self {
        let is_it = |root: &OwnedFd| mount_of(root) == Some(mount);
        let root_of = |process: u32| open(&format!("/proc/{process}/root")).filter(is_it);
        Self {
            root: root_of(process).or_else(|| neighbours(cgroup?).into_iter().find_map(root_of)),
            ..self
        }
    }

    /// A path to the root directory that any process of ours can open.
    pub(super) fn root(&self) -> Option<String> {
        self.root.as_ref().map(link)
    }

    /// The same to the executable. It may be another one by now.
    pub(super) fn program(&self) -> Option<String> {
        self.program.as_ref().map(link)
    }
}

fn open(path: &str) -> Option<OwnedFd> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn link(descriptor: &OwnedFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), descriptor.as_raw_fd())
}

/// The number of the mount that a file is in: from procfs, because `statx(2)` may ask the file system.
fn mount_of(file: &OwnedFd) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))?
        .trim()
        .parse()
        .ok()
}

/// The first processes of a cgroup.
fn neighbours(cgroup: &Path) -> Vec<u32> {
    let mut text = String::new();
    // A number has at most seven digits (`PID_MAX_LIMIT`, include/linux/threads.h). What cannot be read has nobody in it.
    let read = File::open(cgroup.join("cgroup.procs"))
        .and_then(|file| file.take(8 * NEIGHBOURS_MAX as u64).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    // A number that was cut off is another process's, whose root's mount is looked at as well.
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_held_if_its_mount_is_the_right_one_and_a_neighbour_has_it_too() {
        let me = std::process::id();
        let mount = mount_of(&open("/proc/self/root").unwrap()).unwrap();
        assert!(Held::program_of(me).program().is_some());
        assert_eq!(Held::program_of(u32::MAX).program(), None);
        let root_of = |process, mount, cgroup| Held::default().with_root(process, mount, cgroup).root();
        assert!(root_of(me, mount, None).is_some());
        assert_eq!(root_of(me, mount + 1_000_000, None), None);
        assert_eq!(root_of(u32::MAX, mount, None), None);

        let cgroup = tempfile::tempdir().unwrap();
        let write = |processes: &str| fs::write(cgroup.path().join("cgroup.procs"), processes).unwrap();
        write(&format!("4294967295\n{me}\n"));
        let held = Held::default().with_root(u32::MAX, mount, Some(cgroup.path()));
        assert!(held.root().is_some_and(|root| Path::new(&root).join("etc").is_dir()));
        write("nonsense\n");
        assert_eq!(root_of(u32::MAX, mount, Some(cgroup.path())), None);
    }
}
