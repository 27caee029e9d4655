//! What is put into the kernel while the worker works.

use std::error::Error;

use aya::maps::HashMap;
use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf, EbpfLoader};
use profiler::cgroups::Hierarchy;
use profiler::kernel::{btf, offsets};
use profiler::learn::settings;
use profiler::probes::backend::Backend;
use profiler::probes::{KERNEL_BTF, Probes, Sizes, Wire};
use profiler_common::{CgroupState, kind, pod};

use crate::work::{Effort, Operation, Times, Worker};

/// The compiled programs of `profiler-ebpf/src/reference.rs`.
static REFERENCE: &[u8] = aya::include_bytes_aligned!(env!("WARDLINE_REFERENCE_PROBES"));

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Nothing, which shows how much is noise.
    Nobody,
    /// A program that does nothing, at the end of system calls.
    Empty,
    /// Two of them, at the beginning and at the end.
    EmptyPair,
    /// A program that does nothing, where executions are counted.
    EmptyExecution,
    /// One that updates a hash table when an open, a connect or an execution ends: of each operation, the one for it.
    Update,
    /// The same, and one that does nothing at the beginning: the hooks that ours are at.
    EmptyAndUpdate,
    /// Our probes, and the worker's cgroup is recorded.
    Recorded,
    /// Our probes, and it is excluded.
    Excluded,
}

/// The system calls that [`Contender::Update`] counts, and what it is measured with each time.
const UPDATES: [(libc::c_long, &[Operation]); 3] = [
    (
        libc::SYS_openat,
        &[Operation::Open, Operation::FirstOpen, Operation::Unrelated],
    ),
    (
        libc::SYS_connect,
        &[Operation::Connect, Operation::FirstConnect, Operation::ConnectTcp],
    ),
    (libc::SYS_execve, &[Operation::Execute, Operation::FirstExecute]),
];

impl Contender {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Empty,
        Self::EmptyPair,
        Self::EmptyExecution,
        Self::Update,
        Self::EmptyAndUpdate,
        Self::Recorded,
        Self::Excluded,
    ];

    /// How the table names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nothing (noise)",
            Self::Empty => "empty program at sys_exit",
            Self::EmptyPair => "empty programs at sys_enter and sys_exit",
            Self::EmptyExecution => "empty program at sched_process_exec",
            Self::Update => "hash update per operation at sys_exit",
            Self::EmptyAndUpdate => "the same, and empty program at sys_enter",
            Self::Recorded => "Wardline",
            Self::Excluded => "Wardline, excluded cgroup",
        }
    }

    /// Loads, lets the worker work, and unloads.
    pub(crate) fn measure(
        self,
        hierarchy: &Hierarchy,
        cgroup: u64,
        worker: &mut Worker,
    ) -> Result<Times, Box<dyn Error>> {
        let with_empty = |programs, worker| with_reference(programs, libc::SYS_openat, &Operation::ALL, worker);
        match self {
            Self::Nobody => worker.measure(Effort::Full),
            Self::Empty => with_empty(&[("empty_exit", "sys_exit")], worker),
            Self::EmptyPair => with_empty(&[("empty_enter", "sys_enter"), ("empty_exit", "sys_exit")], worker),
            Self::EmptyExecution => with_empty(&[("empty_exit", "sched_process_exec")], worker),
            Self::Update => with_updates(&[("update_exit", "sys_exit")], worker),
            Self::EmptyAndUpdate => with_updates(&[("empty_enter", "sys_enter"), ("update_exit", "sys_exit")], worker),
            Self::Recorded => with_probes(hierarchy, cgroup, true, worker),
            Self::Excluded => with_probes(hierarchy, cgroup, false, worker),
        }
    }
}

/// For each system call the program that counts it, with the operations that make it.
fn with_updates(programs: &[(&str, &str)], worker: &mut Worker) -> Result<Times, Box<dyn Error>> {
    let mut all = [f64::NAN; Operation::ALL.len()];
    for (call, operations) in UPDATES {
        let times = with_reference(programs, call, operations, worker)?;
        let measured = all.iter_mut().zip(times).filter(|(_, time)| !time.is_nan());
        measured.for_each(|(kept, time)| *kept = time);
        others::are_gone();
    }
    Ok(all)
}

fn with_reference(
    programs: &[(&str, &str)],
    call: libc::c_long,
    operations: &[Operation],
    worker: &mut Worker,
) -> Result<Times, Box<dyn Error>> {
    let at = offsets::find(&btf::Btf::parse(&std::fs::read(KERNEL_BTF)?)?)?.regs_syscall;
    let number = u64::try_from(call)?;
    let mut loaded = EbpfLoader::new()
        .override_global("NUMBER", &number, true)
        .override_global("NUMBER_AT", &at, true)
        .load(REFERENCE)?;
    let btf = Btf::from_sys_fs()?;
    for (name, tracepoint) in programs {
        attach(&mut loaded, name, tracepoint, &btf)?;
    }
    let times = worker.measure_some(Effort::Full, operations)?;
    // A reference that does not do what it is there for would make everybody else look bad.
    let table: HashMap<_, u64, u64> = loaded.take_map("TABLE").ok_or("no map TABLE")?.try_into()?;
    let updates = programs.iter().any(|(name, _)| *name == "update_exit");
    if updates && table.keys().next().is_none() {
        return Err(format!("the reference has not updated its table at system call {call}").into());
    }
    Ok(times)
}

fn attach(loaded: &mut Ebpf, name: &str, tracepoint: &str, btf: &Btf) -> Result<(), Box<dyn Error>> {
    let program: &mut BtfTracePoint = loaded.program_mut(name).ok_or("not in the object")?.try_into()?;
    program.load(tracepoint, btf)?;
    program.attach()?;
    Ok(())
}

fn with_probes(
    hierarchy: &Hierarchy,
    cgroup: u64,
    recorded: bool,
    worker: &mut Worker,
) -> Result<Times, Box<dyn Error>> {
    let sizes = Sizes {
        // Nobody reads it meanwhile: what finds no room would not be described, which is the cost of what is new.
        ring: 32 << 20,
        ..Sizes::default()
    };
    let mut probes = Probes::load(
        settings(hierarchy, false, false, sizes.keys_per_cgroup)?,
        sizes,
        Backend::Tracepoint,
    )?;
    probes.cgroups.insert(
        cgroup,
        Wire(CgroupState {
            recorded: recorded.into(),
            ..pod::zeroed()
        }),
        0,
    )?;
    probes.attach()?;
    let times = worker.measure(Effort::Full)?;
    let mut counted: Vec<(u8, u64)> = Vec::new();
    probes.counters.read(|delta| {
        if delta.key.cgroup == cgroup {
            counted.push((delta.key.kind, delta.count));
        }
    })?;
    let described = std::iter::from_fn(|| probes.ring.next().map(drop)).count();
    check(recorded, &counted, described)?;
    Ok(times)
}

/// Every operation must have been counted exactly, and everything that was new, described.
fn check(recorded: bool, counted: &[(u8, u64)], described: usize) -> Result<(), Box<dyn Error>> {
    if !recorded {
        return match counted.len() {
            0 => Ok(()),
            keys => Err(format!("{keys} behaviours of an excluded cgroup were counted").into()),
        };
    }
    let mut new = 0;
    for operation in Operation::ALL {
        let (kind, is_new) = match operation {
            Operation::Open => (kind::OPEN, false),
            Operation::FirstOpen => (kind::OPEN, true),
            Operation::Connect | Operation::ConnectTcp => (kind::CONNECT, false),
            Operation::FirstConnect => (kind::CONNECT, true),
            Operation::Execute => (kind::EXEC, false),
            Operation::FirstExecute => (kind::EXEC, true),
            Operation::Unrelated => continue,
        };
        let times = operation.times(Effort::Full);
        let (keys, count) = if is_new { (times, 1) } else { (1, times as u64) };
        let found = counted.iter().filter(|found| **found == (kind, count)).count();
        if found < keys {
            let heading = operation.heading();
            return Err(format!("{heading}: {found} behaviours were counted {count} times, not {keys}").into());
        }
        // An address is in the key itself, and needs no description.
        new += if kind == kind::CONNECT { 0 } else { keys };
    }
    if described < new {
        return Err(format!("{described} of at least {new} new behaviours were described").into());
    }
    Ok(())
}

/// Programs that are none of ours, and would be measured along.
pub(crate) mod others {
    use std::thread;
    use std::time::Duration;

    use aya::programs::loaded_programs;

    /// kprobe, tracepoint, raw tracepoint and tracing programs (`enum bpf_prog_type`, include/uapi/linux/bpf.h).
    const TRACERS: [u32; 4] = [2, 5, 17, 26];

    /// Whether programs are loaded that may run at system calls. Ours must not be loaded now.
    pub(crate) fn are_there() -> bool {
        // A program that goes while the list is read is left out.
        loaded_programs()
            .flatten()
            .any(|program| TRACERS.contains(&(program.program_type() as u32)))
    }

    /// Waits for them to go: ours do so shortly after they were let go, others when they please. False where some stay.
    pub(crate) fn are_gone() -> bool {
        (0..60).any(|_| {
            let gone = !are_there();
            if !gone {
                thread::sleep(Duration::from_millis(50));
            }
            gone
        })
    }
}
