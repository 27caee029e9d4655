//! What this process may do, and giving up what it need not do any more.
//!
//! Loading and attaching probes takes more than recording with them (of that, `CAP_NET_ADMIN` is for DNS names alone). Once
//! they are attached, [`keep_only`] leaves:
//!
//! | capability | what for |
//! |---|---|
//! | `CAP_BPF` | tables that take the place of full ones; before Linux 5.19 reading any table (`__sys_bpf`, kernel/bpf/syscall.c, where `kernel.unprivileged_bpf_disabled` is set) |
//! | `CAP_SYS_PTRACE`, `CAP_DAC_READ_SEARCH` | `/proc/PID/root` and `/proc/PID/exe` of workloads, and their files |
//! | `CAP_KILL` | `profile run`: signals to the command, which may have become somebody else |
//! | `CAP_DAC_OVERRIDE` | `profile run`: cgroups that the command gave to somebody else; `profile start`: only where the recording is in somebody else's folder, or the container runtime's socket is somebody else's, see [`needed_to_write`] |
//!
//! Capabilities belong to threads: it is to be called while there is one thread.

use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};

/// What looking at workloads' files takes, see [`crate::look_up`].
pub const LOOK_UP: CapabilitySet = CapabilitySet::SYS_PTRACE.union(CapabilitySet::DAC_READ_SEARCH);
/// What recording takes once the probes are attached.
pub const RECORD: CapabilitySet = LOOK_UP.union(CapabilitySet::BPF);

/// The capabilities that recording needs, with their numbers (include/uapi/linux/capability.h).
const NEEDED: [(u32, &str); 3] = [(38, "CAP_PERFMON"), (39, "CAP_BPF"), (2, "CAP_DAC_READ_SEARCH")];
/// Before 5.8 this one stood for all of them, and it still implies the first two.
const CAP_SYS_ADMIN: u32 = 21;

/// Whether this process sees other process ids than the kernel's own: a container without the host's PID namespace.
pub fn in_pid_namespace() -> bool {
    // PROC_PID_INIT_INO (include/linux/proc_ns.h)
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() != "pid:[4026531836]")
}

/// The first capability that recording needs and this process lacks.
pub fn first_missing() -> Option<&'static str> {
    // Without /proc nothing else would work either: the kernel's own answer is the better message then.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = effective(&status)?;
    let has = |number: u32| effective >> number & 1 == 1;
    NEEDED
        .into_iter()
        .find(|(number, name)| !has(*number) && (*name == "CAP_DAC_READ_SEARCH" || !has(CAP_SYS_ADMIN)))
        .map(|(_, name)| name)
}

/// Whether this process may attach programs to what networks do.
pub fn may_administer_networks() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::NET_ADMIN))
}

/// Gives up every capability of this thread but these, of its effective, permitted, inheritable, ambient and bounding sets,
/// and the way to new ones (`no_new_privs`), for good. Threads and processes that it starts from now on have no more.
///
/// # Errors
/// What the kernel answers.
pub fn keep_only(needed: CapabilitySet) -> io::Result<()> {
    let before = capabilities(None)?;
    // It stands for CAP_BPF where that was not given.
    let instead = if needed.contains(CapabilitySet::BPF) && !before.permitted.contains(CapabilitySet::BPF) {
        CapabilitySet::SYS_ADMIN
    } else {
        CapabilitySet::empty()
    };
    let kept = before.permitted & (needed | instead);
    // Without it nobody can; then no_new_privs alone keeps an executed program from having more (capabilities(7)).
    if before.effective.contains(CapabilitySet::SETPCAP) {
        limit_bounding_set(kept)?;
    }
    // What is neither permitted nor inheritable any more leaves the ambient set by itself.
    set_capabilities(
        None,
        CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: before.inheritable & kept,
        },
    )?;
    Ok(set_no_new_privs(true)?)
}

fn limit_bounding_set(kept: CapabilitySet) -> io::Result<()> {
    // By number: the kernel may know newer ones than we do.
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if !kept.contains(capability) {
            match remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // The first that the kernel does not know.
                Err(Errno::INVAL) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What it takes to write to all of these: `CAP_DAC_OVERRIDE` where they are somebody else's, as with `sudo` in one's own
/// folder.
///
/// # Errors
/// What the kernel answers.
pub fn needed_to_write(paths: &[&Path]) -> io::Result<CapabilitySet> {
    let before = capabilities(None)?;
    let without = before.effective - CapabilitySet::DAC_OVERRIDE;
    set_capabilities(
        None,
        CapabilitySets {
            effective: without,
            ..before
        },
    )?;
    let is_writable = |path: &&Path| accessat(CWD, *path, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    let are_all = paths.iter().all(is_writable);
    set_capabilities(None, before)?;
    Ok(if are_all {
        CapabilitySet::empty()
    } else {
        CapabilitySet::DAC_OVERRIDE
    })
}

/// The limit on locked memory (`RLIMIT_MEMLOCK`), which kernels before 5.11 count the probes' tables against.
#[derive(Debug)]
pub struct MemoryLimit {
    before: Rlimit,
}

impl MemoryLimit {
    /// Raises it, where the running kernel wants that.
    ///
    /// # Errors
    /// Where that takes more than we may do.
    pub fn raise(kernel: &str) -> Result<Self, LimitError> {
        let before = getrlimit(Resource::Memlock);
        if counts_tables(kernel) && before.current.is_some() {
            let unlimited = Rlimit {
                current: None,
                maximum: None,
            };
            setrlimit(Resource::Memlock, unlimited).map_err(|error| LimitError {
                kernel: kernel.to_owned(),
                kib: before.current.unwrap_or(u64::MAX) / 1024,
                source: error.into(),
            })?;
        }
        Ok(Self { before })
    }

    /// Does something with the limit that we were started with: what is executed meanwhile inherits it.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn as_before<T>(&self, act: impl FnOnce() -> T) -> io::Result<T> {
        let now = getrlimit(Resource::Memlock);
        if now == self.before {
            return Ok(act());
        }
        setrlimit(Resource::Memlock, self.before)?;
        let done = act();
        setrlimit(Resource::Memlock, now)?;
        Ok(done)
    }
}

/// The limit on locked memory is too low, and cannot be raised.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error(
    "Linux {kernel} counts the probes' tables as locked memory, of which this process may have {kib} KiB (RLIMIT_MEMLOCK), \
     and more was refused: {source}"
)]
#[diagnostic(help(
    "run it with CAP_SYS_RESOURCE, or without that limit (ulimit -l unlimited; LimitMEMLOCK=infinity; docker run --ulimit \
     memlock=-1), or on Linux 5.11 or newer"
))]
pub struct LimitError {
    kernel: String,
    kib: u64,
    source: io::Error,
}

/// Whether the kernel with this release counts BPF tables against the limit: since 5.11 a memory cgroup does it. One that
/// does not and looks as if it did is asked for more than it needs, and nothing else.
fn counts_tables(release: &str) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut next = || numbers.next()?.parse::<u32>().ok();
    matches!((next(), next()), (Some(major), Some(minor)) if (major, minor) < (5, 11))
}

/// `CapEff` in `/proc/PID/status`: hexadecimal.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_before_5_11_count_tables_as_locked_memory() {
        for release in ["5.10.0-32-amd64", "5.4.0", "4.19.0", "5.10"] {
            assert!(counts_tables(release), "{release}");
        }
        for release in [
            "5.11.0",
            "5.15.0-91-generic",
            "6.1.0-18-amd64",
            "6.18",
            "10.0-rc1",
            "",
            "x",
        ] {
            assert!(!counts_tables(release), "{release}");
        }
    }

    #[test]
    fn what_is_our_own_is_written_without_a_capability() {
        let folder = tempfile::tempdir().unwrap();
        let needed = |path: &Path| needed_to_write(&[folder.path(), path]).unwrap();
        assert_eq!(needed(folder.path()), CapabilitySet::empty());
        assert_eq!(needed(&folder.path().join("missing")), CapabilitySet::DAC_OVERRIDE);
    }

    #[test]
    fn the_effective_set_is_read() {
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
