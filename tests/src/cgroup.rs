//! Cgroups of the unified hierarchy, made by hand as a service manager or a container runtime makes them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::process::{Running, start};

/// How long killed processes get to end.
const REMOVAL: Duration = Duration::from_secs(30);

/// Where the unified hierarchy is mounted.
pub fn unified() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    mount
        .and_then(|line| line.split(' ').nth(4))
        .expect("the tests need a mounted unified cgroup hierarchy")
        .into()
}

/// A cgroup of a test. Everything that runs in it is killed when it is dropped.
pub struct Cgroup {
    path: String,
    directory: PathBuf,
}

impl Cgroup {
    /// Makes the cgroup at `path`, and what is missing above it.
    pub fn create(path: &str) -> Self {
        let directory = unified().join(path.trim_start_matches('/'));
        // Another test may remove a parent that just became empty.
        let made = wait_until(REMOVAL, || fs::create_dir_all(&directory).is_ok());
        assert!(
            made,
            "{} could not be made: {:?}",
            directory.display(),
            fs::create_dir_all(&directory)
        );
        Self {
            path: path.to_owned(),
            directory,
        }
    }

    /// The path, as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The kernel's id.
    pub fn id(&self) -> u64 {
        self.directory.metadata().unwrap().ino()
    }

    /// Starts a program in this cgroup.
    pub fn start(&self, command: &mut Command) -> Running {
        enter(&self.directory, command);
        start(command)
    }

    /// Starts a process in this cgroup that does nothing until it is killed.
    pub fn inhabit(&self) -> Running {
        self.start(Command::new("sleep").arg("infinity"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        kill_and_remove(&self.directory);
        // The parents, if nobody else is in them.
        let root = unified();
        for parent in self.directory.ancestors().skip(1).take_while(|parent| *parent != root) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
    }
}

/// Makes a command start in the cgroup in this folder, as runtimes do it: the forked child enters, then executes.
pub fn enter(cgroup: &Path, command: &mut Command) {
    let entrance = OpenOptions::new()
        .write(true)
        .open(cgroup.join("cgroup.procs"))
        .unwrap();
    // SAFETY: between fork and exec, one write(2) to a file that is open already.
    unsafe { command.pre_exec(move || (&entrance).write_all(b"0")) };
}

/// A name for a cgroup that no other test gives.
pub fn unique(name: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!(
        "wardline-test-{name}-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    )
}

/// The cgroup that a `profile run` with this process id made, while it is there.
pub fn cgroup_of_run(process: u32) -> Option<PathBuf> {
    find(&unified(), &format!("wardline-run-{process}-0"))
}

fn find(directory: &Path, name: &str) -> Option<PathBuf> {
    let children: Vec<PathBuf> = fs::read_dir(directory)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect();
    let here = children
        .iter()
        .find(|child| child.file_name().is_some_and(|found| found == name))
        .cloned();
    here.or_else(|| children.iter().find_map(|child| find(child, name)))
}

/// Kills everything in a cgroup and below, and removes it. Nothing happens if it is gone.
pub(crate) fn kill_and_remove(directory: &Path) {
    let removed = wait_until(REMOVAL, || {
        // Linux 5.14 and newer; fails where it is gone.
        let _ = fs::write(directory.join("cgroup.kill"), "1");
        remove_tree(directory).is_ok()
    });
    if !removed {
        // While a test fails already, another panic would hide why.
        eprintln!("the cgroup {} is left behind", directory.display());
    }
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Asks until it is true or the time is over; whether it became true.
pub(crate) fn wait_until(patience: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if is_true() {
            return true;
        }
        if start.elapsed() >= patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
