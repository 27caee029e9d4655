//! Executions, and who descends from whom.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::{
    Execution, FileIdentity, ImageKey, Key, Process, SCRIPT_NAME_WORDS, ScriptRecord, kind, loss, pod, provenance,
    record,
};

use crate::cgroups::in_cgroup;
use crate::count::{lost, lost_in, plain};
use crate::kernel::{
    Address, cgroup_id, cgroup_of, current, current_cgroup, field, identify, ids, now, phase, root, root_numbers,
    root_of, setting, task_field, working_directory,
};
use crate::maps::{FIRST, FIRST_IMAGES, OWN_ROOT, PROCESSES, RING};
use crate::process::{ANY, NOEXIST, fill, find, image_of, recorded, remember};
use crate::walk;

/// An execution that succeeded: (task, old thread id, linux_binprm).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let binprm: Address = ctx.arg(2);
    if executed(binprm).is_err() {
        // It runs something, and nobody knows what: not what it ran before.
        let tgid = ids().0;
        let mut known = find(tgid);
        known.image = 0;
        remember(tgid, &known, ANY);
        lost(loss::RACED);
    }
    0
}

fn executed(binprm: Address) -> Result<(), i32> {
    let (tgid, now) = (ids().0, now());
    let file = field!(binprm, binprm_file => u64)?;
    let before = find(tgid);
    let cgroup = current_cgroup()?;
    let state = recorded(cgroup);
    let image = image_of(file, current(), tgid).unwrap_or_else(|_| {
        match state {
            Some(state) => lost_in(state, loss::IMAGE_TABLE_FULL),
            None => lost(loss::IMAGE_TABLE_FULL),
        }
        0
    });
    // The first program that the runtime's process executes in the container is the container's entry point.
    let provenance = match before.provenance as u8 {
        provenance::RUNTIME => provenance::WORKLOAD,
        provenance::ENTERING => provenance::ENTERED,
        settled => settled,
    };
    remember(
        tgid,
        &Process {
            image,
            cgroup,
            provenance: provenance as u64,
        },
        ANY,
    );
    let Some(state) = state else { return Ok(()) };
    // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
    let phase = unsafe {
        if (*state).started == 0 {
            (*state).started = now;
        }
        phase(&*state, now)
    };
    let mut key = Key {
        cgroup,
        subject: before.image,
        kind: kind::EXEC,
        provenance,
        phase,
        ..pod::zeroed()
    };
    let mut execution = Execution { image, ..pod::zeroed() };
    let name = field!(binprm, binprm_filename => u64)?;
    // alloc_bprm() makes them the same string; binfmt_script and binfmt_misc give the interpreter its own.
    let is_script = field!(binprm, binprm_interp => u64)? != name;
    if is_script && name_script(&mut execution, name).is_err() {
        lost_in(state, loss::RACED);
        return Ok(());
    }
    key.object = pod::cast(execution);
    if !is_script {
        plain(state, &key, now);
    } else {
        crate::count::script(state, &key, now, || describe_script(&key, name, tgid));
    }
    Ok(())
}

/// Tells one script from another by what is left of it: its name as called, and where that name leads.
#[inline(always)]
fn name_script(execution: &mut Execution, name: Address) -> Result<(), i32> {
    let (directory, root) = (working_directory()?, root()?);
    execution.directory_dentry = directory.dentry;
    execution.directory_mount = directory.mount;
    execution.root_dentry = root.dentry;
    execution.root_mount = root.mount;
    execution.script = walk::with_scratch(|scratch| {
        // SAFETY: `scratch` points at a map value that only this thread uses.
        let words = unsafe { &raw mut (*scratch).name };
        // SAFETY: as above; the helper writes at most as many bytes as there are.
        let length =
            unsafe { bpf_probe_read_kernel_str(words.cast(), (SCRIPT_NAME_WORDS * 8) as u32, name as *const _) };
        if length < 0 {
            return Err(length as i32);
        }
        let mut hash = length as u64;
        for index in 0..SCRIPT_NAME_WORDS {
            // SAFETY: the index is below SCRIPT_NAME_WORDS.
            let word = unsafe { core::ptr::read_volatile((words as *const u64).add(index)) };
            hash = (hash.rotate_left(7) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        // 0 says that there is no script.
        Ok(hash | 1)
    })?;
    Ok(())
}

/// Sends a script's name as called and the directory that a relative name starts from. False where there was no room.
#[inline(always)]
fn describe_script(key: &Key, name: Address, process: u32) -> bool {
    let Some(mut entry) = RING.reserve_untyped::<ScriptRecord>(0) else {
        return false;
    };
    let target = entry.as_mut_ptr();
    match fill_script(target, key, name, process) {
        Ok(()) => entry.submit(0),
        Err(_) => {
            entry.discard(0);
            return false;
        }
    }
    true
}

#[inline(always)]
fn fill_script(target: *mut ScriptRecord, key: &Key, name: Address, process: u32) -> Result<(), i32> {
    let (directory, root) = (working_directory()?, root()?);
    let mut identity: FileIdentity = pod::zeroed();
    identify(&directory, &root, &mut identity)?;
    // SAFETY: the entry is reserved and not yet submitted.
    let (head, text) = unsafe { (&raw mut (*target).record, (&raw mut (*target).name).cast::<u8>()) };
    walk::describe(head, &directory, &root)?;
    fill(head, record::SCRIPT, process, 0);
    // SAFETY: as above; the helper writes at most as many bytes as there are.
    let length = unsafe {
        (*head).key = *key;
        (*head).file = identity;
        ((*head).root_inode, (*head).root_mount) = root_numbers(&identity)?;
        bpf_probe_read_kernel_str(text.cast(), profiler_common::PATH_BYTES as u32, name as *const _)
    };
    if length < 0 { Err(length as i32) } else { Ok(()) }
}

/// A new task: (parent, child).
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    let (parent, child): (Address, Address) = (ctx.arg(0), ctx.arg(1));
    let _ = forked(parent, child);
    0
}

fn forked(parent: Address, child: Address) -> Result<(), i32> {
    let (from, to) = (
        task_field!(parent, task_tgid => u32)?,
        task_field!(child, task_tgid => u32)?,
    );
    if from == to {
        return Ok(()); // a thread
    }
    let known = find(from);
    let cgroup = cgroup_of(child)?;
    // Another cgroup than the parent's: clone3(CLONE_INTO_CGROUP). A parent that is in no table yet stands where its child does.
    let known = match known.cgroup {
        0 => Process {
            cgroup: cgroup_id(cgroup)?,
            ..known
        },
        _ => in_cgroup(&known, cgroup)?,
    };
    remember(to, &known, ANY);
    Ok(())
}

/// A task ends: (task).
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task: Address = ctx.arg(0);
    let _ = ended(task);
    0
}

fn ended(task: Address) -> Result<(), i32> {
    let signal = task_field!(task, task_signal => u64)?;
    // do_exit() has counted this thread down before it runs this tracepoint: 0 means that it was the last one.
    if task_field!(signal, signal_live => u32)? == 0 {
        PROCESSES.remove(task_field!(task, task_tgid => u32)?)?;
    }
    Ok(())
}

/// The processes that were there before the probes, one call each: (meta, task).
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn seed(ctx: *mut core::ffi::c_void) -> i32 {
    // SAFETY: the kernel passes a `struct bpf_iter__task`: two pointers.
    let task = unsafe { *(ctx as *const u64).add(1) };
    if task != 0 {
        let _ = seen(task);
    }
    // User space needs these tables, and the linker keeps none that no program uses.
    let _ = (FIRST.get_ptr(&NOBODY), FIRST_IMAGES.get_ptr(&NOTHING));
    0
}

static NOBODY: Key = pod::zeroed();
static NOTHING: ImageKey = pod::zeroed();

fn seen(task: Address) -> Result<(), i32> {
    let tgid = field!(task, task_tgid => u32)?;
    let mm = field!(task, task_mm => u64)?;
    if mm == 0 {
        return Ok(()); // a kernel thread
    }
    if tgid == setting!(profiler) {
        let root = root_of(task)?;
        // Both are below the array's length, so neither can fail.
        let _ = OWN_ROOT.set(0, root.dentry, ANY);
        let _ = OWN_ROOT.set(1, root.mount, ANY);
    }
    let file = field!(mm, mm_exe_file => u64)?;
    // Of a process that is known already, too: perhaps there was no room for its description.
    let image = image_of(file, task, tgid);
    if PROCESSES.get_ptr(tgid).is_some() {
        return Ok(());
    }
    let known = Process {
        image: image.unwrap_or_else(|_| {
            lost(loss::IMAGE_TABLE_FULL);
            0
        }),
        cgroup: cgroup_id(cgroup_of(task)?)?,
        provenance: provenance::WORKLOAD as u64,
    };
    // NOEXIST: if it executed something in the meantime, that is newer.
    remember(tgid, &known, NOEXIST);
    Ok(())
}
