//! Executables and processes: who a task is, and how it came to where it is.

use profiler_common::{
    CgroupState, FileIdentity, ImageKey, ImageValue, Process, Record, command, loss, pod, provenance, record,
};

use crate::count::{lost, lost_in};
use crate::kernel::{
    Address, Path, cgroup_id, cgroup_of, current_cgroup, field, identify, ids, now, root_numbers, root_of, setting,
};
use crate::maps::{CGROUPS, IMAGES, PROCESSES, RING};
use crate::walk;

/// `BPF_ANY` and `BPF_NOEXIST` (include/uapi/linux/bpf.h).
pub const ANY: u64 = 0;
pub const NOEXIST: u64 = 1;

/// The number of the executable in `file`, which is described to user space when it is new. Fails where it cannot be told,
/// most likely because there is no room for it.
#[inline(always)]
pub fn image_of(file: Address, task: Address, process: u32) -> Result<u64, i32> {
    let mut key: ImageKey = pod::zeroed();
    find_image(file, task, process, &mut key)
}

#[inline(always)]
fn find_image(file: Address, task: Address, process: u32, key: &mut ImageKey) -> Result<u64, i32> {
    let path = field!(file, file_path => Path)?;
    identify(&path, &root_of(task)?, &mut key.file)?;
    // Executions are rare enough to look at the whole path each time, so a renamed directory makes another image.
    key.lineage = walk::lineage(&path, &root_in(&key.file))?;
    let images = IMAGES.get(0).ok_or(-1)?;
    if images.get_ptr(&*key).is_none() {
        // Unique until the next boot: no two programs run on one processor in the same nanosecond.
        // SAFETY: the helper takes no argument.
        let cpu = unsafe { aya_ebpf::helpers::generated::bpf_get_smp_processor_id() };
        let value = ImageValue {
            id: now().wrapping_mul(8192) | cpu as u64,
            announced: 0,
        };
        // Another processor may have been first: then its number counts.
        let _ = images.insert(&*key, value, NOEXIST);
    }
    let value = images.get_ptr_mut(&*key).ok_or(-1)?;
    // SAFETY: entries of a generation are never removed.
    let value = unsafe { &mut *value };
    if value.announced == 0 {
        value.announced = announce(&path, key, task, process, value.id) as u64;
    }
    Ok(value.id)
}

/// The task's root directory.
#[inline(always)]
fn root_in(file: &FileIdentity) -> Path {
    Path {
        mount: file.root_mount,
        dentry: file.root_dentry,
    }
}

/// Describes an executable. False where there was no room, or its path changed in the middle.
#[inline(never)]
fn announce(path: &Path, key: &ImageKey, task: Address, process: u32, id: u64) -> bool {
    let Some(mut entry) = RING.reserve(0) else { return false };
    let target = entry.as_mut_ptr();
    let described = walk::describe(target, path, &root_in(&key.file));
    // SAFETY: the entry is ours until it is submitted.
    if described.is_err() || unsafe { core::ptr::read_volatile(&raw const (*target).walk.lineage) } != key.lineage {
        entry.discard(0);
        return false;
    }
    fill(target, record::IMAGE, process, id);
    // SAFETY: as above.
    unsafe {
        (*target).file = key.file;
        (*target).key.cgroup = cgroup_of(task).and_then(cgroup_id).unwrap_or(0);
        ((*target).root_inode, (*target).root_mount) = root_numbers(&key.file).unwrap_or((0, 0));
    }
    entry.submit(0);
    true
}

/// Sets the head of a record.
#[inline(always)]
pub fn fill(target: *mut Record, kind: u32, process: u32, id: u64) {
    // SAFETY: the caller holds a reserved entry.
    unsafe {
        (*target).kind = kind;
        (*target).tgid = process;
        (*target).id = id;
    }
}

/// What is known about the process, or zeros.
#[inline(always)]
pub fn find(process: u32) -> Process {
    match PROCESSES.get_ptr(process) {
        // SAFETY: the entry is removed when the process ends; a copy of one that ends right now is as good.
        Some(known) => unsafe { *known },
        None => pod::zeroed(),
    }
}

/// Remembers a process.
#[inline(always)]
pub fn remember(process: u32, known: &Process, flags: u64) {
    // -EEXIST with NOEXIST: somebody else was first and knows better.
    if let Err(error) = PROCESSES.insert(process, known, flags)
        && error != -17
    {
        lost(loss::PROCESS_TABLE_FULL);
    }
}

/// What becomes of a provenance with an execution. The first program that the runtime's process executes in the container is
/// the container's entry point: [`provenance::RUNTIME`] becomes [`provenance::WORKLOAD`], [`provenance::ENTERING`] becomes
/// [`provenance::ENTERED`], and the others stay. So they do where the program is out of the task's reach: then the runtime
/// executes itself. Without a branch: the verifier would go through what follows once for each.
#[inline(always)]
pub fn executing(provenance: u32, is_out_of_reach: bool) -> u8 {
    const { assert!(provenance::RUNTIME == provenance::WORKLOAD | 2 && provenance::ENTERING == provenance::ENTERED | 2) };
    provenance as u8 & !(2 ^ (is_out_of_reach as u8) << 1)
}

/// What a key says of the command of a process that has this provenance before an execution and that one after it, while it
/// executes: without a branch, as above.
#[inline(always)]
pub fn beginning(before: u8, after: u8) -> u32 {
    const { assert!(command::BEGINNING == 1 && command::NONE == 0) };
    // Only ENTERING, which is 3, becomes ENTERED, which is 1.
    ((before ^ after) as u32 >> 1) & after as u32
}

/// Whether this is a runtime that has not executed what it was asked to, in a new container or in one that runs.
#[inline(always)]
pub fn is_runtime(provenance: u8) -> bool {
    provenance & 2 != 0
}

/// How a task tree that enters a cgroup now came there. The first one is the container's own, once its runtime has
/// executed the entry point; everybody later enters a running container. What they do before they execute something is
/// the runtime's work in both cases.
#[inline(always)]
pub fn enter(cgroup: u64) -> u32 {
    let Some(state) = state_of(cgroup) else {
        return provenance::WORKLOAD as u32;
    };
    // SAFETY: the entry is removed only when the cgroup is gone, and this one has a task.
    let state = unsafe { &mut *state };
    let earlier = state.entries;
    crate::count::add(&raw mut state.entries);
    if earlier == 0 {
        provenance::RUNTIME as u32
    } else {
        provenance::ENTERING as u32
    }
}

/// Not made on the stack, which is small.
pub static UNDECIDED: CgroupState = CgroupState {
    recorded: 1,
    ..pod::zeroed()
};

/// What is known about a cgroup; one that nobody decided about is recorded, or not, as the profiler set.
#[inline(always)]
pub fn state_of(cgroup: u64) -> Option<*mut CgroupState> {
    if let Some(state) = CGROUPS.get_ptr_mut(cgroup) {
        return Some(state);
    }
    if setting!(record_unknown) == 0 {
        return None;
    }
    if let Err(error) = CGROUPS.insert(cgroup, &UNDECIDED, NOEXIST)
        && error != -17
    {
        lost(loss::CGROUP_TABLE_FULL);
    }
    CGROUPS.get_ptr_mut(cgroup)
}

/// Does something for the current task's cgroup, if what it does is to be recorded. An error is a loss of that cgroup's: what
/// was to be counted could not be read.
#[inline(always)]
pub fn in_recorded(body: impl FnOnce(*mut CgroupState, u64) -> Result<(), i32>) {
    let Ok(cgroup) = current_cgroup() else { return };
    let Some(state) = recorded(cgroup) else { return };
    if body(state, cgroup).is_err() {
        lost_in(state, loss::RACED);
    }
}

/// Counts something that the current task does and that this backend cannot follow.
#[inline(always)]
pub fn lost_here(reason: usize) {
    in_recorded(|state, _| {
        lost_in(state, reason);
        Ok(())
    });
}

/// The state of the current task's cgroup, if what it does is to be recorded.
#[inline(always)]
pub fn recorded(cgroup: u64) -> Option<*mut CgroupState> {
    let state = state_of(cgroup)?;
    // SAFETY: as in `enter`.
    if unsafe { (*state).recorded } == 0 || ids().0 == setting!(profiler) {
        None
    } else {
        Some(state)
    }
}
