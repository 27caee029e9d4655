//! The probes, loaded into the kernel, and what they have counted.
//!
//! [`Probes::load`] finds out where this kernel keeps things, loads every program and attaches it; the [`Counters`] are
//! then read in batches, and the [`Ring`] tells what is new.

pub mod answers;
pub mod backend;
pub mod batch;
pub mod counters;
mod generations;
mod misses;
mod system_calls;

use std::collections::HashSet;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsFd as _;

use aya::maps::{Array, HashMap, IterableMap as _, MapData, RingBuf};
use aya::programs::Iter;
use aya::{Ebpf, EbpfLoader};
use profiler_common::pod::Pod;
use profiler_common::{CgroupState, CommandKey, Offsets, Process, Settings};

use crate::kernel::btf::{Btf, BtfError};
use crate::kernel::features::{self, Features};
use crate::kernel::offsets;
use backend::Backend;
use counters::Counters;
use generations::Generations;

/// The compiled probes.
static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("WARDLINE_PROBES"));

/// How many threads may be between the first file of an execution and its end, or have failed there.
const EXECUTING_MAX: u32 = 8_192;
/// How many commands that entered containers are told apart on a machine: less than a megabyte of the kernel's memory.
const COMMANDS_MAX: u32 = 8_192;

/// The kernel's description of its own types.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// How large the kernel's tables are. The defaults take about 23 MiB in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Distinct behaviours counted at a time.
    pub keys: u32,
    /// Distinct behaviours of one cgroup.
    pub keys_per_cgroup: u64,
    /// Cgroups.
    pub cgroups: u32,
    /// Processes.
    pub processes: u32,
    /// Executables, before their table is replaced.
    pub images: u32,
    /// Bytes of the ring buffer: a power of two, at least a page.
    pub ring: u32,
    /// Bytes of the ring buffer of answers to DNS queries, likewise.
    pub answers: u32,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            keys: 24_576,
            keys_per_cgroup: 12_288,
            cgroups: 16_384,
            processes: 65_536,
            images: 16_384,
            ring: 4 << 20,
            answers: 512 << 10,
        }
    }
}

/// Why the probes could not be loaded.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ProbeError {
    /// Not root.
    #[error("loading probes into the kernel needs root: this process has no {capability}")]
    #[diagnostic(help(
        "run it with sudo, or give the container CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"
    ))]
    NotPermitted {
        /// The first capability that is missing.
        capability: &'static str,
    },
    /// Process ids mean something else here.
    #[error("this is a PID namespace of its own: the probes' process ids cannot be found in it")]
    #[diagnostic(help("run it in the host's PID namespace (docker run --pid=host, hostPID: true)"))]
    PidNamespace,
    /// The kernel carries no BTF.
    #[error("{path}: {error}; the probes need the kernel's type information (BTF)")]
    #[diagnostic(help("use a kernel built with CONFIG_DEBUG_INFO_BTF=y: every Debian kernel since 5.10 is"))]
    NoBtf {
        /// Where it was looked for.
        path: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// The kernel's BTF is damaged, or lacks something.
    #[error("{path}: {error}")]
    #[diagnostic(help(
        "this kernel is too old or too new for this version: `profile doctor` says which ones were tried"
    ))]
    Btf {
        /// Where it was read.
        path: String,
        /// What is missing.
        error: BtfError,
    },
    /// No backend works here.
    #[error("no backend works on this kernel: {why}")]
    #[diagnostic(help("`profile doctor` says what this kernel offers"))]
    NoBackend {
        /// What each of them said.
        why: String,
    },
    /// The backend that was asked for would not run.
    #[error("the backend {backend} does not work here: {why}")]
    #[diagnostic(help("leave --backend out: the best one that works is chosen; `profile doctor` lists them"))]
    BackendUnusable {
        /// Which.
        backend: Backend,
        /// Why not.
        why: String,
    },
    /// The kernel refused something.
    #[error("the kernel refused {what}: {error}")]
    #[diagnostic(help("`profile doctor` says what this kernel offers; please report this with its output"))]
    Refused {
        /// What.
        what: String,
        /// Why, with the verifier's log where there is one.
        error: String,
    },
}

/// The kernel's types.
///
/// # Errors
/// [`ProbeError::NoBtf`], [`ProbeError::Btf`].
pub fn kernel_btf() -> Result<Btf, ProbeError> {
    let bytes = std::fs::read(KERNEL_BTF).map_err(|error| ProbeError::NoBtf {
        path: KERNEL_BTF.into(),
        error,
    })?;
    Btf::parse(&bytes).map_err(ProbeError::btf)
}

impl ProbeError {
    /// Something that the kernel's BTF lacks.
    pub fn btf(error: BtfError) -> Self {
        Self::Btf {
            path: KERNEL_BTF.into(),
            error,
        }
    }

    fn refused(what: impl Into<String>, error: &dyn std::error::Error) -> Self {
        // aya's errors name the system call; the reason is in their source.
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        let text = text.trim_end().trim_end_matches("Verifier output:").trim_end();
        Self::Refused {
            what: what.into(),
            error: shortened(text),
        }
    }
}

/// A message without the middle of it: the verifier's log has thousands of lines, and what it refused is in the last ones.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 6;
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    match lines.split_first() {
        Some((first, others)) if others.len() > SHOWN + 3 => {
            let last = others.iter().skip(others.len() - SHOWN);
            let shown: Vec<&str> = [*first, "[...]"].into_iter().chain(last.copied()).collect();
            shown.join("\n")
        }
        _ => text.to_owned(),
    }
}

/// The loaded probes. Dropping them detaches everything.
pub struct Probes {
    ebpf: Ebpf,
    /// Where they watch.
    pub backend: Backend,
    /// What they count.
    pub counters: Counters,
    /// What is new. Read it whenever its descriptor is readable.
    pub ring: RingBuf<MapData>,
    /// What is known about each cgroup.
    pub cgroups: HashMap<MapData, u64, Wire<CgroupState>>,
    images: Generations,
    processes: HashMap<MapData, u32, Wire<Process>>,
    commands: HashMap<MapData, Wire<CommandKey>, u64>,
    lost: Array<MapData, u64>,
    generation: Array<MapData, u64>,
    own_root: Array<MapData, u64>,
    generations: u64,
}

/// A root directory, by the kernel's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnRoot {
    /// The directory's dentry.
    pub dentry: u64,
    /// Its mount.
    pub mount: u64,
}

/// Lets aya copy our wire types.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Wire<T>(pub T);

// SAFETY: `Pod` promises what aya asks for: `repr(C)`, no padding, no pointers.
unsafe impl<T: Pod> aya::Pod for Wire<T> {}

/// A backend that is not used, and why.
pub type Rejected = (Backend, String);

impl Probes {
    /// Loads the probes with the best backend that works, or with that one. The others that are better come with what
    /// stands against them.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub fn load_best(
        settings: Settings,
        sizes: Sizes,
        forced: Option<Backend>,
    ) -> Result<(Self, Vec<Rejected>), ProbeError> {
        let features = Features::probe();
        if let Some(backend) = forced {
            // A kernel that preempts itself is the user's risk: what it skips is counted.
            if let (Backend::Lsm | Backend::Kprobe, Some(why)) = (backend, backend.objection(&features)) {
                return Err(ProbeError::BackendUnusable { backend, why });
            }
            let refused = |error: ProbeError| match error {
                error @ ProbeError::Refused { .. } => ProbeError::BackendUnusable {
                    backend,
                    why: error.to_string(),
                },
                other => other,
            };
            return Ok((Self::load(settings, sizes, backend).map_err(refused)?, Vec::new()));
        }
        let mut rejected = Vec::new();
        for backend in Backend::ALL {
            match backend.objection(&features) {
                Some(why) => rejected.push((backend, why)),
                None => match Self::load(settings, sizes, backend) {
                    Ok(probes) => return Ok((probes, rejected)),
                    Err(error @ ProbeError::Refused { .. }) => rejected.push((backend, error.to_string())),
                    Err(error) => return Err(error),
                },
            }
        }
        let why: Vec<String> = rejected
            .iter()
            .map(|(backend, why)| format!("{backend}: {why}"))
            .collect();
        Err(ProbeError::NoBackend { why: why.join("; ") })
    }

    /// Reads the kernel's BTF, loads every program of a backend and fills the read-only settings. Nothing is recorded
    /// before [`Probes::attach`].
    ///
    /// # Errors
    /// [`ProbeError`].
    pub fn load(settings: Settings, sizes: Sizes, backend: Backend) -> Result<Self, ProbeError> {
        let btf = kernel_btf()?;
        let offsets: Wire<Offsets> = Wire(offsets::find(&btf).map_err(ProbeError::btf)?);
        let settings = Wire(Settings {
            typed_tasks: btf
                .enumerator("bpf_func_id", "BPF_FUNC_get_current_task_btf")
                .is_ok()
                .into(),
            hooks: backend.is_at_hooks().into(),
            core_files: (!backend.is_at_hooks() && features::cores_are_files()).into(),
            ..settings
        });
        // Its bytes take some megabytes, and the loader is about to read them once more.
        drop(btf);
        let has_pidfs = features::is_at_least(6, 9);
        let (native, compat) = (Wire(system_calls::native(has_pidfs)), Wire(system_calls::compat()));
        let mut ebpf = EbpfLoader::new()
            .override_global("OFFSETS", &offsets, true)
            .override_global("SETTINGS", &settings, true)
            .override_global("NATIVE", &native, true)
            .override_global("COMPAT", &compat, true)
            .map_max_entries("FIRST", sizes.keys)
            .map_max_entries("CGROUPS", sizes.cgroups)
            .map_max_entries("PROCESSES", sizes.processes)
            .map_max_entries("FIRST_IMAGES", sizes.images)
            .map_max_entries("RING", sizes.ring)
            .map_max_entries(
                "COMMANDS",
                if settings.0.command_key == [0; 2] {
                    1
                } else {
                    COMMANDS_MAX
                },
            )
            .map_max_entries("ANSWERS", sizes.answers)
            // System calls do not tell of the files that an execution goes through.
            .map_max_entries("EXECUTING", if backend.is_at_hooks() { EXECUTING_MAX } else { 1 })
            .load(OBJECT)
            .map_err(|error| ProbeError::refused("the probes", &error))?;
        let counters = Counters::new(generations(&mut ebpf, "KEYS", "FIRST", "counters")?, sizes.keys);
        let images = generations(&mut ebpf, "IMAGES", "FIRST_IMAGES", "executables")?;
        let (ring, cgroups, lost) = (
            take(&mut ebpf, "RING")?,
            take(&mut ebpf, "CGROUPS")?,
            take(&mut ebpf, "LOST")?,
        );
        let (processes, commands) = (take(&mut ebpf, "PROCESSES")?, take(&mut ebpf, "COMMANDS")?);
        let (generation, own_root) = (take(&mut ebpf, "GENERATION")?, take(&mut ebpf, "OWN_ROOT")?);
        let mut probes = Self {
            ebpf,
            backend,
            counters,
            ring,
            cgroups,
            images,
            processes,
            commands,
            lost,
            generation,
            own_root,
            generations: 0,
        };
        probes.load_programs()?;
        // Some kernels load what they cannot attach. Before 5.13 a program cannot be attached twice
        // (`bpf_tracing_prog_attach`, kernel/bpf/syscall.c).
        if backend.is_at_hooks() && features::is_at_least(5, 13) {
            probes.try_attach()?;
        }
        Ok(probes)
    }

    /// Attaches one program of each kind for a moment.
    fn try_attach(&mut self) -> Result<(), ProbeError> {
        let mut tried = HashSet::new();
        for backend::Program { name, target } in self.backend.programs().into_iter().rev() {
            if tried.insert(std::mem::discriminant(&target)) {
                target
                    .try_attach(any_program(&mut self.ebpf, name)?)
                    .map_err(|error| ProbeError::refused(format!("attaching {name}"), &error))?;
            }
        }
        Ok(())
    }

    fn load_programs(&mut self) -> Result<(), ProbeError> {
        let btf = aya::Btf::from_sys_fs().map_err(|error| ProbeError::refused("its own BTF", &error))?;
        // The backend's own first: if this kernel has none such, that shows at once.
        for backend::Program { name, target } in self.backend.programs().into_iter().rev() {
            target
                .load(any_program(&mut self.ebpf, name)?, &btf)
                .map_err(|error| ProbeError::refused(format!("the program {name}"), &error))?;
            let info = any_program(&mut self.ebpf, name)?.info();
            if let Ok(Some(instructions)) = info.map(|info| info.verified_instruction_count()) {
                // The kernel allows a million.
                tracing::debug!(name, instructions, "the verifier went through a program");
            }
        }
        let seed: &mut Iter = program(&mut self.ebpf, "seed")?;
        seed.load("task", &btf)
            .map_err(|error| ProbeError::refused("the program seed", &error))
    }

    /// Starts recording, and makes the processes known that are there already.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn attach(&mut self) -> Result<(), ProbeError> {
        for backend::Program { name, target } in self.backend.programs() {
            target
                .attach(any_program(&mut self.ebpf, name)?)
                .map_err(|error| ProbeError::refused(format!("attaching {name}"), &error))?;
        }
        self.look_at_processes()
    }

    /// Makes the processes known that are there now, and describes their executables where there was no room for that so
    /// far.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn look_at_processes(&mut self) -> Result<(), ProbeError> {
        self.seed()
            .map_err(|error| ProbeError::refused("iterating over processes", &*error))
    }

    fn seed(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let program: &mut Iter = program(&mut self.ebpf, "seed")?;
        let link = program.attach()?;
        let mut iterator: File = program.take_link(link)?.into_file()?;
        // The program writes nothing; reading to the end runs it once for each task.
        iterator.read_to_end(&mut Vec::new())?;
        Ok(())
    }

    /// The root directory that we run in, as the probes know it. Known once they are attached.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn own_root(&self) -> Result<OwnRoot, ProbeError> {
        let word = |index| {
            self.own_root
                .get(&index, 0)
                .map_err(|error| ProbeError::refused("reading its own root directory", &error))
        };
        Ok(OwnRoot {
            dentry: word(0)?,
            mount: word(1)?,
        })
    }

    /// Losses that belong to no cgroup, by [`profiler_common::loss`] index.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn lost(&self, index: usize) -> Result<u64, ProbeError> {
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        self.lost
            .get(&index, 0)
            .map_err(|error| ProbeError::refused("reading the losses", &error))
    }

    /// The number of the current generation of counters.
    pub fn generation(&self) -> u64 {
        self.generations
    }

    /// A new generation of counters has begun: each cgroup has its whole share of it again.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn renew_quotas(&mut self) -> Result<(), ProbeError> {
        self.generations += 1;
        self.generation
            .set(0, self.generations, 0)
            .map_err(|error| ProbeError::refused("a new generation", &error))
    }

    /// Puts an empty table in the place of that of executables: each one has a new number from its next execution on.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn renew_images(&mut self) -> Result<(), ProbeError> {
        self.images.replace().map(drop)
    }

    /// The numbers of the executables that processes run now.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn running_images(&self) -> Result<HashSet<u64>, ProbeError> {
        let mut images = HashSet::new();
        batch::for_each(self.processes.map().fd().as_fd(), |_: u32, process: Process| {
            images.insert(process.image);
        })
        .map_err(|error| ProbeError::refused("reading the table of processes", &error))?;
        Ok(images)
    }

    /// Calls `each` for every cgroup that the probes know.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn each_cgroup(&self, each: impl FnMut(u64, CgroupState)) -> Result<(), ProbeError> {
        batch::for_each(self.cgroups.map().fd().as_fd(), each)
            .map_err(|error| ProbeError::refused("reading the table of cgroups", &error))
    }

    /// Forgets the commands that entered cgroups which are gone: their room is others' again.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn forget_commands(&mut self, gone: &HashSet<u64>) -> Result<(), ProbeError> {
        let mut keys = Vec::new();
        batch::for_each(self.commands.map().fd().as_fd(), |key: CommandKey, _: u64| {
            if gone.contains(&key.cgroup) {
                keys.push(key);
            }
        })
        .map_err(|error| ProbeError::refused("reading the table of commands", &error))?;
        for key in keys {
            self.commands
                .remove(&Wire(key))
                .map_err(|error| ProbeError::refused("forgetting a command", &error))?;
        }
        Ok(())
    }

    /// How many runs of the probes the kernel skipped (`recursion_misses`, since 5.12; 0 before).
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn missed_runs(&mut self) -> Result<u64, ProbeError> {
        let mut missed = 0;
        for backend::Program { name, .. } in self.backend.programs() {
            let fd = any_program(&mut self.ebpf, name)?
                .fd()
                .map_err(|error| ProbeError::refused(name, &error))?;
            missed += batch::recursion_misses(fd.as_fd()).map_err(|error| ProbeError::refused(name, &error))?;
        }
        Ok(missed)
    }
}

/// The tables that take each other's place in the only slot of `slot`, of which `first` is the first.
fn generations(ebpf: &mut Ebpf, slot: &str, first: &str, what: &'static str) -> Result<Generations, ProbeError> {
    let Some(aya::maps::Map::HashMap(table)) = ebpf.take_map(first) else {
        return Err(ProbeError::Refused {
            what: format!("the map {first}"),
            error: "it is not in the object".into(),
        });
    };
    Generations::new(take(ebpf, slot)?, table, what)
}

fn program<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, ProbeError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = aya::programs::ProgramError>,
{
    any_program(ebpf, name)?
        .try_into()
        .map_err(|error| ProbeError::refused(format!("the program {name}"), &error))
}

fn any_program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut aya::programs::Program, ProbeError> {
    ebpf.program_mut(name).ok_or_else(|| ProbeError::Refused {
        what: format!("the program {name}"),
        error: "it is not in the object".into(),
    })
}

fn take<M: TryFrom<aya::maps::Map, Error = aya::maps::MapError>>(ebpf: &mut Ebpf, name: &str) -> Result<M, ProbeError> {
    ebpf.take_map(name)
        .ok_or_else(|| ProbeError::Refused {
            what: format!("the map {name}"),
            error: "it is not in the object".into(),
        })?
        .try_into()
        .map_err(|error| ProbeError::refused(format!("the map {name}"), &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_log_the_first_and_the_last_lines_are_shown() {
        let log = |lines: usize| (1..=lines).map(|line| line.to_string()).collect::<Vec<_>>().join("\n");
        assert_eq!(shortened(&log(10)), log(10));
        assert_eq!(
            shortened(&log(50_000)),
            "1\n[...]\n49995\n49996\n49997\n49998\n49999\n50000"
        );
        assert_eq!(shortened(""), "");
    }
}
