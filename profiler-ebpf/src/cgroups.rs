//! Containers that come and go, and who enters them.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::{PATH_BYTES, Process, command, loss, provenance, record};

use crate::count::{lost, lost_in};
use crate::kernel::{Address, cgroup_id, field, parent_cgroup_id, setting};
use crate::maps::{CGROUPS, RING};
use crate::process::{ANY, NOEXIST, UNDECIDED, enter, fill, find, remember};

/// Whether a cgroup belongs to the hierarchy chosen at start: the tracepoints fire for every one.
#[inline(always)]
fn is_ours(cgroup: Address) -> Result<bool, i32> {
    let root = field!(cgroup, cgroup_root => u64)?;
    Ok(field!(root, cgroup_root_hierarchy_id => u32)? == setting!(hierarchy))
}

/// Whether a process that goes from one cgroup to another stays in its container. `profile run` records one container and
/// nothing else; elsewhere only a cgroup right below is known to be of the same.
#[inline(always)]
fn is_same_container(from: u64, to: u64, parent: u64) -> bool {
    from != 0 && is_recorded(from) && (parent == from || setting!(record_unknown) == 0 && is_recorded(to))
}

/// Whether it was decided to record a cgroup, or not to.
#[inline(always)]
fn is_decided(cgroup: u64, recorded: bool) -> bool {
    match CGROUPS.get_ptr(cgroup) {
        // SAFETY: a word of a map, whose entries' memory is never given back.
        Some(state) => unsafe { ((*state).recorded != 0) == recorded },
        None => false,
    }
}

#[inline(always)]
fn is_excluded(cgroup: u64) -> bool {
    is_decided(cgroup, false)
}

#[inline(always)]
fn is_recorded(cgroup: u64) -> bool {
    is_decided(cgroup, true)
}

/// A cgroup was made: (cgroup, path).
#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let (cgroup, path): (Address, Address) = (ctx.arg(0), ctx.arg(1));
    let _ = made(cgroup, path);
    0
}

fn made(cgroup: Address, path: Address) -> Result<(), i32> {
    if !is_ours(cgroup)? {
        return Ok(());
    }
    let id = cgroup_id(cgroup)?;
    let parent = parent_cgroup_id(cgroup)?;
    // What a recorded cgroup makes below itself is recorded, too.
    if setting!(record_unknown) == 0 && !is_recorded(parent) {
        return Ok(());
    }
    if let Err(error) = CGROUPS.insert(id, &UNDECIDED, NOEXIST)
        && error != -17
    {
        match CGROUPS.get_ptr_mut(parent) {
            Some(state) => lost_in(state, loss::CGROUP_TABLE_FULL),
            None => lost(loss::CGROUP_TABLE_FULL),
        }
    }
    tell(record::CGROUP, id, path);
    Ok(())
}

/// A cgroup is gone: (cgroup, path). It has no tasks any more.
#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let (cgroup, path): (Address, Address) = (ctx.arg(0), ctx.arg(1));
    if let (Ok(true), Ok(id)) = (is_ours(cgroup), cgroup_id(cgroup))
        && (setting!(record_unknown) != 0 || is_recorded(id))
    {
        tell(record::CGROUP_GONE, id, path);
    }
    0
}

/// Sends a cgroup's id and path. Where there is no room, user space finds new ones by looking through the file system.
#[inline(always)]
fn tell(kind: u32, id: u64, path: Address) {
    let Some(mut entry) = RING.reserve(0) else {
        return lost(loss::CGROUP_RECORD);
    };
    let target = entry.as_mut_ptr();
    fill(target, kind, 0, id);
    // SAFETY: the entry is reserved; the helper writes at most as many bytes as there are.
    unsafe {
        bpf_probe_read_kernel_str((&raw mut (*target).path).cast(), PATH_BYTES as u32, path as *const _);
    }
    entry.submit(0);
}

/// A task, or a whole process, moves to another cgroup: (destination, path, task, threadgroup).
#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn cgroup_attach_task(ctx: BtfTracePointContext) -> i32 {
    let (destination, task): (Address, Address) = (ctx.arg(0), ctx.arg(2));
    let _ = moved(destination, task);
    0
}

fn moved(destination: Address, task: Address) -> Result<(), i32> {
    if !is_ours(destination)? {
        return Ok(());
    }
    let tgid = field!(task, task_tgid => u32)?;
    let known = find(tgid);
    let mut moved = known;
    if move_to(&mut moved, cgroup_id(destination)?, parent_cgroup_id(destination)?) && moved.cgroup != known.cgroup {
        remember(tgid, &moved, ANY);
    }
    Ok(())
}

/// Notes that a process is in another cgroup, whose parent is this one. A container's own process that goes on to a cgroup
/// below its own stays what it was; any other enters. Always true: a BPF function returns something.
///
/// Not inlined: woven into its callers, it reads words of the stack that were never written in branches where their values
/// do not matter, which 5.10 refuses.
#[inline(never)]
pub fn move_to(process: &mut Process, cgroup: u64, parent: u64) -> bool {
    let (from, provenance) = (process.cgroup, process.provenance);
    // Somebody leaves a container for a cgroup that is not recorded.
    if is_recorded(from)
        && (setting!(record_unknown) == 0 && !is_recorded(cgroup) || is_excluded(cgroup))
        && let Some(state) = CGROUPS.get_ptr_mut(from)
    {
        lost_in(state, loss::LEFT_CGROUP);
    }
    let settled = provenance <= provenance::ENTERED as u32;
    let stays = from == cgroup
        || provenance == provenance::PROFILER as u32
        || settled && is_same_container(from, cgroup, parent);
    process.cgroup = cgroup;
    if !stays {
        process.provenance = enter(cgroup);
        process.command = command::NONE;
    } else if from != cgroup {
        inherit(from, cgroup);
    }
    true
}

/// A part of a container starts up when the container does, and has done so when that has. Always true, and not inlined, as
/// [`move_to`].
#[inline(never)]
fn inherit(from: u64, to: u64) -> bool {
    if let (Some(from), Some(to)) = (CGROUPS.get_ptr(from), CGROUPS.get_ptr_mut(to)) {
        // SAFETY: both point into the table of cgroups.
        unsafe {
            take_over(&raw const (*from).started, &raw mut (*to).started);
            take_over(&raw const (*from).listens, &raw mut (*to).listens);
        }
    }
    true
}

/// Copies a word to where none is.
#[inline(always)]
fn take_over(from: *const u64, to: *mut u64) {
    // SAFETY: words of a map, whose entries' memory is never given back. Two processes that move at the same time write the
    // same.
    unsafe {
        if core::ptr::read_volatile(to) == 0 {
            core::ptr::write_volatile(to, core::ptr::read_volatile(from));
        }
    }
}
