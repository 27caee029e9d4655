//! Where the probes watch: the choice between the ways of a kernel, best first.
//!
//! ```
//! use profiler::probes::backend::Backend;
//!
//! assert_eq!("lsm".parse(), Ok(Backend::Lsm));
//! assert!(Backend::Lsm.programs().len() > Backend::Tracepoint.programs().len());
//! ```

use std::fmt;
use std::str::FromStr;

use aya::programs::{BtfTracePoint, FEntry, FExit, KProbe, Lsm, Program as AyaProgram, ProgramError};

use crate::kernel::features::Features;

/// Where opens, mappings, connections and the like are seen. Executions, processes and cgroups have tracepoints of their
/// own in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Backend {
    /// As a security module that only observes.
    Lsm,
    /// At the end of the kernel's own calls of its security modules.
    Fentry,
    /// At the entry and exit of system calls.
    Tracepoint,
    /// At the start of the kernel's own calls of its security modules, by breakpoints.
    Kprobe,
}

/// A program of the probes' object, and what it is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its name in the object.
    pub name: &'static str,
    /// What it is attached to.
    pub target: Target,
}

/// What a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A tracepoint, by its name.
    Tracepoint(&'static str),
    /// A hook of security modules.
    Lsm(&'static str),
    /// The start of a kernel function.
    Fentry(&'static str),
    /// The end of a kernel function.
    Fexit(&'static str),
    /// The start of a kernel function, by a breakpoint.
    Kprobe(&'static str),
    /// The end of a kernel function, by a breakpoint.
    Kretprobe(&'static str),
}

/// Programs of every backend, and their tracepoints.
const COMMON: [(&str, &str); 8] = [
    // Who descends from whom first, so that no process is missed.
    ("sched_process_fork", "sched_process_fork"),
    ("sched_process_exit", "sched_process_exit"),
    // The kernel runs them in the order in which they are attached: these want to know what ran before.
    ("sched_process_exec_commands", "sched_process_exec"),
    ("sched_process_exec_raises", "sched_process_exec"),
    ("sched_process_exec", "sched_process_exec"),
    ("cgroup_mkdir", "cgroup_mkdir"),
    ("cgroup_attach_task", "cgroup_attach_task"),
    ("cgroup_rmdir", "cgroup_rmdir"),
];

const SYSTEM_CALLS: [(&str, &str); 2] = [("sys_enter", "sys_enter"), ("sys_exit", "sys_exit")];

/// The hooks: of security modules, the kernel function that calls the modules, and the programs for either.
const HOOKS: [(&str, &str, [&str; 3]); 8] = [
    (
        "file_open",
        "security_file_open",
        ["lsm_file_open", "fexit_file_open", "kprobe_file_open"],
    ),
    (
        "bprm_check_security",
        "security_bprm_check",
        ["lsm_bprm_check", "fexit_bprm_check", "kprobe_bprm_check"],
    ),
    (
        "mmap_file",
        "security_mmap_file",
        ["lsm_mmap_file", "fexit_mmap_file", "kprobe_mmap_file"],
    ),
    (
        "socket_connect",
        "security_socket_connect",
        ["lsm_socket_connect", "fexit_socket_connect", "kprobe_socket_connect"],
    ),
    (
        "socket_sendmsg",
        "security_socket_sendmsg",
        ["lsm_socket_sendmsg", "fexit_socket_sendmsg", "kprobe_socket_sendmsg"],
    ),
    (
        "socket_listen",
        "security_socket_listen",
        ["lsm_socket_listen", "fexit_socket_listen", "kprobe_socket_listen"],
    ),
    (
        "unix_stream_connect",
        "security_unix_stream_connect",
        ["lsm_unix_connect", "fexit_unix_connect", "kprobe_unix_connect"],
    ),
    (
        "unix_may_send",
        "security_unix_may_send",
        ["lsm_unix_send", "fexit_unix_send", "kprobe_unix_send"],
    ),
];

/// Kernel functions that are watched at their end beside the hooks, and the programs for that.
const ENDS: [(&str, [&str; 2]); 8] = [
    ("vfs_rename", ["fexit_rename", "kretprobe_rename"]),
    ("vfs_rmdir", ["fexit_rmdir", "kretprobe_rmdir"]),
    ("path_mount", ["fexit_mount", "kretprobe_mount"]),
    ("path_umount", ["fexit_umount", "kretprobe_umount"]),
    ("copy_mnt_ns", ["fexit_copy_mounts", "kretprobe_copy_mounts"]),
    (MOVE_MOUNT, ["fexit_move_mount", "kretprobe_move_mount"]),
    (PIVOT_ROOT, ["fexit_pivot_root", "kretprobe_pivot_root"]),
    ("__sys_connect_file", ["fexit_connect", "kretprobe_connect"]),
];

// `__SYSCALL_DEFINEx` names them after the architecture (arch/*/include/asm/syscall_wrapper.h).
#[cfg(target_arch = "x86_64")]
const MOVE_MOUNT: &str = "__x64_sys_move_mount";
#[cfg(target_arch = "x86_64")]
const PIVOT_ROOT: &str = "__x64_sys_pivot_root";
#[cfg(target_arch = "aarch64")]
const MOVE_MOUNT: &str = "__arm64_sys_move_mount";
#[cfg(target_arch = "aarch64")]
const PIVOT_ROOT: &str = "__arm64_sys_pivot_root";

impl Backend {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Lsm, Self::Fentry, Self::Tracepoint, Self::Kprobe];

    /// Its word in options, recordings and documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lsm => "lsm",
            Self::Fentry => "fentry",
            Self::Tracepoint => "tracepoint",
            Self::Kprobe => "kprobe",
        }
    }

    /// Whether it sees what security modules see, and not what system calls return.
    pub const fn is_at_hooks(self) -> bool {
        !matches!(self, Self::Tracepoint)
    }

    /// Its programs, in the order in which they are attached.
    pub fn programs(self) -> Vec<Program> {
        let tracepoint = |(name, tracepoint)| Program {
            name,
            target: Target::Tracepoint(tracepoint),
        };
        let mut programs: Vec<Program> = COMMON.into_iter().map(tracepoint).collect();
        if self == Self::Tracepoint {
            programs.extend(SYSTEM_CALLS.map(tracepoint));
            return programs;
        }
        // What ends before what begins: nothing that has begun is left without an end.
        programs.extend(ENDS.map(|(function, [fexit, kretprobe])| match self {
            Self::Kprobe => Program {
                name: kretprobe,
                target: Target::Kretprobe(function),
            },
            _ => Program {
                name: fexit,
                target: Target::Fexit(function),
            },
        }));
        programs.push(match self {
            Self::Kprobe => Program {
                name: "kprobe_credentials",
                target: Target::Kprobe("commit_creds"),
            },
            _ => Program {
                name: "fentry_credentials",
                target: Target::Fentry("commit_creds"),
            },
        });
        programs.extend(HOOKS.map(|(hook, function, [lsm, fexit, kprobe])| match self {
            Self::Lsm => Program {
                name: lsm,
                target: Target::Lsm(hook),
            },
            Self::Kprobe => Program {
                name: kprobe,
                target: Target::Kprobe(function),
            },
            _ => Program {
                name: fexit,
                target: Target::Fexit(function),
            },
        }));
        programs
    }

    /// Why this kernel would not run it, or would skip it, as far as that can be told without trying.
    pub fn objection(self, features: &Features) -> Option<String> {
        match self {
            Self::Lsm => match &features.security_modules {
                None => Some(
                    "which security modules are active is unknown: mount securityfs at /sys/kernel/security".to_owned(),
                ),
                // Without it the programs are attached without any error and never called.
                Some(active) if !active.iter().any(|module| module == "bpf") => Some(format!(
                    "bpf is not among the active security modules ({}): boot with lsm={},bpf",
                    active.join(","),
                    active.join(",")
                )),
                Some(_) => None,
            },
            Self::Fentry => match features.preemption.as_deref() {
                Some("none" | "voluntary" | "none or voluntary") => None,
                Some(other) => Some(format!(
                    "this kernel preempts itself ({other}), and skips such programs while another task is in them"
                )),
                None => Some(
                    "whether this kernel preempts itself is unknown (mount debugfs at /sys/kernel/debug), and if it does, it \
                     skips such programs while another task is in them"
                        .to_owned(),
                ),
            },
            Self::Kprobe if !features.kprobes => Some("this kernel has no kprobes (CONFIG_KPROBE_EVENTS)".to_owned()),
            Self::Tracepoint | Self::Kprobe => None,
        }
    }

    /// Why it can miss something without anybody counting it.
    pub const fn lossy_from_start(self) -> Option<&'static str> {
        match self {
            // trace_call_bpf() counts since 6.7 (kernel/trace/bpf_trace.c); a kprobe inside of a kprobe, nobody tells.
            Self::Kprobe => {
                Some("the kernel skips kprobes while a preempted task is in a map call, and need not count that")
            }
            Self::Lsm | Self::Fentry | Self::Tracepoint => None,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|backend| backend.word() == word)
            .ok_or_else(|| format!("`{word}` is not one of lsm, fentry, tracepoint, kprobe"))
    }
}

impl Target {
    /// Loads a program for it.
    pub(super) fn load(self, program: &mut AyaProgram, btf: &aya::Btf) -> Result<(), ProgramError> {
        match self {
            Self::Tracepoint(name) => <&mut BtfTracePoint>::try_from(program)?.load(name, btf),
            Self::Lsm(hook) => <&mut Lsm>::try_from(program)?.load(hook, btf),
            Self::Fentry(function) => <&mut FEntry>::try_from(program)?.load(function, btf),
            Self::Fexit(function) => <&mut FExit>::try_from(program)?.load(function, btf),
            Self::Kprobe(_) | Self::Kretprobe(_) => <&mut KProbe>::try_from(program)?.load(),
        }
    }

    /// Attaches a program to it for a moment: some kernels load what they cannot attach (64-bit Arm has no trampolines for
    /// functions before 6.4).
    pub(super) fn try_attach(self, program: &mut AyaProgram) -> Result<(), ProgramError> {
        macro_rules! attach_and_detach {
            ($kind:ty $(, $argument:expr)*) => {{
                let program = <&mut $kind>::try_from(program)?;
                let link = program.attach($($argument),*)?;
                program.detach(link)
            }};
        }
        match self {
            Self::Tracepoint(_) => attach_and_detach!(BtfTracePoint),
            Self::Lsm(_) => attach_and_detach!(Lsm),
            Self::Fentry(_) => attach_and_detach!(FEntry),
            Self::Fexit(_) => attach_and_detach!(FExit),
            Self::Kprobe(function) | Self::Kretprobe(function) => attach_and_detach!(KProbe, function, 0),
        }
    }

    /// Attaches a program to it, until the program is dropped.
    pub(super) fn attach(self, program: &mut AyaProgram) -> Result<(), ProgramError> {
        match self {
            Self::Tracepoint(_) => <&mut BtfTracePoint>::try_from(program)?.attach().map(drop),
            Self::Lsm(_) => <&mut Lsm>::try_from(program)?.attach().map(drop),
            Self::Fentry(_) => <&mut FEntry>::try_from(program)?.attach().map(drop),
            Self::Fexit(_) => <&mut FExit>::try_from(program)?.attach().map(drop),
            Self::Kprobe(function) | Self::Kretprobe(function) => {
                <&mut KProbe>::try_from(program)?.attach(function, 0).map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(security_modules: Option<&[&str]>, preemption: Option<&str>) -> Features {
        Features {
            release: None,
            btf: true,
            missing_tracepoints: Vec::new(),
            security_modules: security_modules
                .map(|modules| modules.iter().map(|module| (*module).to_owned()).collect()),
            lockdown: None,
            preemption: preemption.map(str::to_owned),
            kprobes: security_modules.is_some(),
        }
    }

    #[test]
    fn a_backend_that_would_be_silent_or_skipped_is_not_chosen() {
        let cases = [
            (Backend::Lsm, features(Some(&["lockdown", "bpf"]), None), true),
            (Backend::Lsm, features(Some(&["lockdown", "apparmor"]), None), false),
            (Backend::Lsm, features(None, None), false),
            (Backend::Fentry, features(None, Some("voluntary")), true),
            (Backend::Fentry, features(None, Some("none")), true),
            (Backend::Fentry, features(None, Some("none or voluntary")), true),
            (Backend::Fentry, features(None, Some("full")), false),
            (Backend::Fentry, features(None, Some("lazy")), false),
            (Backend::Fentry, features(None, None), false),
            (Backend::Tracepoint, features(None, None), true),
            (Backend::Kprobe, features(Some(&[]), None), true),
            (Backend::Kprobe, features(None, None), false),
        ];
        for (backend, features, good) in cases {
            assert_eq!(backend.objection(&features).is_none(), good, "{backend} {features:?}");
        }
    }

    #[test]
    fn every_word_names_its_backend() {
        for backend in Backend::ALL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert!("LSM".parse::<Backend>().is_err());
    }
}
