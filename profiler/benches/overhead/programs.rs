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

use crate::work::{Effort, Times, Worker, opens_of_one_file};

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
    /// One that updates a hash table when an open ends.
    Update,
    /// Our probes, and the worker's cgroup is recorded.
    Recorded,
    /// Our probes, and it is excluded.
    Excluded,
}

impl Contender {
    /// All of them, in the order of the table.
    pub(crate) const ALL: [Self; 6] = [
        Self::Nobody,
        Self::Empty,
        Self::EmptyPair,
        Self::Update,
        Self::Recorded,
        Self::Excluded,
    ];

    /// How the table names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nothing (noise)",
            Self::Empty => "empty program at sys_exit",
            Self::EmptyPair => "empty programs at sys_enter and sys_exit",
            Self::Update => "hash update per open at sys_exit",
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
        match self {
            Self::Nobody => worker.measure(Effort::Full),
            Self::Empty => with_reference(&[("empty_exit", "sys_exit")], worker),
            Self::EmptyPair => with_reference(&[("empty_enter", "sys_enter"), ("empty_exit", "sys_exit")], worker),
            Self::Update => with_reference(&[("update_exit", "sys_exit")], worker),
            Self::Recorded => with_probes(hierarchy, cgroup, true, worker),
            Self::Excluded => with_probes(hierarchy, cgroup, false, worker),
        }
    }
}

fn with_reference(programs: &[(&str, &str)], worker: &mut Worker) -> Result<Times, Box<dyn Error>> {
    let at = offsets::find(&btf::Btf::parse(&std::fs::read(KERNEL_BTF)?)?)?.regs_syscall;
    let number = u64::try_from(libc::SYS_openat)?;
    let mut loaded = EbpfLoader::new()
        .override_global("NUMBER", &number, true)
        .override_global("NUMBER_AT", &at, true)
        .load(REFERENCE)?;
    let btf = Btf::from_sys_fs()?;
    for (name, tracepoint) in programs {
        attach(&mut loaded, name, tracepoint, &btf)?;
    }
    let times = worker.measure(Effort::Full)?;
    // A reference that does not do what it is there for would make everybody else look bad.
    let table: HashMap<_, u64, u64> = loaded.take_map("TABLE").ok_or("no map TABLE")?.try_into()?;
    let updates = programs.iter().any(|(name, _)| *name == "update_exit");
    if updates && table.keys().next().is_none() {
        return Err("the reference has not updated its table".into());
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
    let sizes = Sizes::default();
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
    let mut counted = 0;
    probes.counters.read(|delta| {
        if delta.key.cgroup == cgroup && delta.key.kind == kind::OPEN {
            counted = counted.max(delta.count);
        }
    })?;
    let expected = if recorded { opens_of_one_file(Effort::Full) } else { 0 };
    if counted == expected {
        Ok(times)
    } else {
        Err(format!("{counted} opens of the file were counted, not {expected}").into())
    }
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
