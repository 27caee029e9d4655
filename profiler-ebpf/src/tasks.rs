//! Executions, and who descends from whom.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::{
    ARGUMENTS_BYTES, ArgumentsRecord, CgroupState, Execution, FileIdentity, ImageKey, Key, Process, SCRIPT_NAME_WORDS,
    ScriptRecord, Scripted, command, kind, loss, pod, provenance, record,
};

use crate::cgroups::move_to;
use crate::commands::arguments_at;
use crate::count::{lost, lost_in, next_epoch, plain};
use crate::hooks::went_through;
use crate::kernel::{
    Address, Path, cgroup_id, cgroup_of, current, current_cgroup, field, identify, ids, is_out_of_reach, mix, now,
    parent_cgroup_id, phase, root, root_numbers, root_of, setting, task_field, working_directory,
};
use crate::maps::{EXECUTING, FIRST, FIRST_IMAGES, OWN_ROOT, PROCESSES, RING};
use crate::process::{
    ANY, NOEXIST, executing, fill, find, image_of, is_runtime, lost_here, recorded, remember, state_of,
};
use crate::{raises, walk};

/// Set in the exit code of a process that left a core dump (wait(2), `__WCOREFLAG`).
const CORE_DUMPED: u32 = 0x80;

/// An execution that succeeded: (task, old thread id, linux_binprm).
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    let (thread, binprm): (u64, Address) = (ctx.arg(1), ctx.arg(2));
    if executed(thread as u32, binprm).is_err() {
        // It runs something, and nobody knows what: not what it ran before.
        let tgid = ids().0;
        let mut known = find(tgid);
        known.image = 0;
        remember(tgid, &known, ANY);
        lost(loss::RACED);
    }
    0
}

/// `thread` is the id that the thread had before: one that is not its process's first takes that one's place.
fn executed(thread: u32, binprm: Address) -> Result<(), i32> {
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
    let provenance = executing(before.provenance, is_out_of_reach(&field!(file, file_path => Path)?)?);
    remember(
        tgid,
        &Process {
            image,
            cgroup,
            provenance: provenance as u32,
            command: before.command,
        },
        ANY,
    );
    let Some(state) = state else { return Ok(()) };
    // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
    let phase = unsafe {
        if (*state).started == 0 && !is_runtime(provenance) {
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
        command: before.command,
        ..pod::zeroed()
    };
    count_execution(state, &mut key, (image, now), (thread, tgid), binprm)
}

#[inline(always)]
fn count_execution(
    state: *mut CgroupState,
    key: &mut Key,
    (image, now): (u64, u64),
    (thread, tgid): (u32, u32),
    binprm: Address,
) -> Result<(), i32> {
    let arguments = match arguments() {
        Ok(hash) => hash,
        Err(_) => {
            lost_in(state, loss::ARGUMENTS_UNREAD);
            0
        }
    };
    let name = field!(binprm, binprm_filename => u64)?;
    // alloc_bprm() makes them the same string; binfmt_script and binfmt_misc give the interpreter its own.
    let is_script = field!(binprm, binprm_interp => u64)? != name;
    let is_known = setting!(hooks) != 0 && went_through(thread, &mut object_of::<Scripted>(key).scripts) && is_script;
    if is_known {
        let scripted: &mut Scripted = object_of(key);
        scripted.image = image;
        scripted.arguments = arguments;
        key.kind = kind::SCRIPTED;
    } else {
        let execution: &mut Execution = object_of(key);
        execution.image = image;
        execution.arguments = arguments;
        if is_script && name_script(execution, name).is_err() {
            lost_in(state, loss::RACED);
            return Ok(());
        }
    }
    let is_as_called = is_script && !is_known;
    if !is_as_called && arguments == 0 {
        plain(state, key, now);
    } else {
        crate::count::described(state, key, now, || {
            (!is_as_called || describe_script(key, name, tgid)) && (arguments == 0 || describe_arguments(key))
        });
    }
    Ok(())
}

/// A key's object, written where it belongs, because a BPF stack has 512 bytes.
#[inline(always)]
fn object_of<T: pod::Pod>(key: &mut Key) -> &mut T {
    const { assert!(size_of::<T>() == size_of::<[u64; 8]>() && align_of::<T>() <= align_of::<u64>()) };
    // SAFETY: size and alignment were checked, and every bit pattern is a valid value of a `Pod` type.
    unsafe { &mut *key.object.as_mut_ptr().cast::<T>() }
}

/// Hash of the arguments, 0 where they are not recorded.
#[inline(always)]
fn arguments() -> Result<u64, i32> {
    if setting!(arguments) == 0 {
        return Ok(0);
    }
    let (start, length) = arguments_at()?;
    walk::with_scratch(|scratch| {
        // SAFETY: `scratch` points at a map value that only this thread uses.
        let words = unsafe { &raw mut (*scratch).name }.cast::<u64>();
        let bytes = length.min(ARGUMENTS_BYTES as u64) as u32;
        for index in 0..ARGUMENTS_BYTES / 8 {
            // SAFETY: the index is below the array's length.
            unsafe { core::ptr::write_volatile(words.add(index), 0) };
        }
        // SAFETY: the helper checks the address, and writes no more than there is room for.
        let read = unsafe { bpf_probe_read_user(words.cast(), bytes, start as *const _) };
        if read != 0 {
            return Err(read as i32);
        }
        // 0 says that they are not recorded.
        Ok(hash_words(words, length) | 1)
    })
}

/// Sends the arguments. False where there was no room, or they cannot be read.
#[inline(always)]
fn describe_arguments(key: &Key) -> bool {
    let Ok((start, length)) = arguments_at() else {
        return false;
    };
    let Some(mut entry) = RING.reserve_untyped::<ArgumentsRecord>(0) else {
        return false;
    };
    let target = entry.as_mut_ptr();
    let bytes = length.min(ARGUMENTS_BYTES as u64) as u32;
    // SAFETY: the entry is reserved; the helper checks the address and writes no more than there is room for.
    let read = unsafe {
        (*target).kind = record::ARGUMENTS;
        (*target).length = length.min(u32::MAX as u64) as u32;
        (*target).key = *key;
        bpf_probe_read_user((&raw mut (*target).bytes).cast(), bytes, start as *const _)
    };
    if read != 0 {
        entry.discard(0);
        return false;
    }
    entry.submit(0);
    true
}

/// Hash of a scratch's words, from a start.
#[inline(always)]
fn hash_words(words: *const u64, start: u64) -> u64 {
    let mut hash = start;
    for index in 0..SCRIPT_NAME_WORDS {
        // SAFETY: the callers pass SCRIPT_NAME_WORDS words.
        hash = mix(hash, unsafe { core::ptr::read_volatile(words.add(index)) });
    }
    hash
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
        // 0 says that there is no script.
        Ok(hash_words(words.cast(), length as u64) | 1)
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
    let mut known = find(from);
    let destination = cgroup_of(child)?;
    let cgroup = cgroup_id(destination)?;
    // Another cgroup than the parent's: clone3(CLONE_INTO_CGROUP). A parent that is in no table yet stands where its child does.
    if known.cgroup == 0 {
        known.cgroup = cgroup;
    } else {
        move_to(&mut known, cgroup, parent_cgroup_id(destination)?);
    }
    if from == setting!(profiler) && setting!(record_unknown) != 0 {
        // `profile start` starts nobody but its own look-ups; `profile run` a command, and it records no other cgroup.
        known.provenance = provenance::PROFILER as u32;
    }
    remember(to, &known, ANY);
    // clone(CLONE_NEWUSER).
    let credentials = task_field!(child, task_cred => u64)?;
    if field!(credentials, cred_user_ns => u64)? != field!(task_field!(parent, task_cred => u64)?, cred_user_ns => u64)?
    {
        raises::made_with_credentials(cgroup, to, credentials);
    }
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
    if setting!(hooks) != 0 {
        // Nothing, if its last execution succeeded.
        let _ = EXECUTING.remove(ids().1);
    }
    // A core dump is written for the process once, whichever of its threads failed.
    if setting!(core_files) != 0
        && task_field!(task, task_exit_code => u32)? & CORE_DUMPED != 0
        && task_field!(task, task_pid => u32)? == task_field!(task, task_tgid => u32)?
    {
        lost_here(loss::UNSEEN_OPEN);
    }
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
    } else {
        // The last call of each round. Asked for, too, where a program was skipped that notices renames.
        next_epoch();
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
    let image = image_of(file, task, tgid).unwrap_or(0);
    if PROCESSES.get_ptr(tgid).is_some() {
        return Ok(());
    }
    let cgroup = cgroup_id(cgroup_of(task)?)?;
    was_there(cgroup, field!(task, task_start => u64)?);
    if image == 0 {
        lost(loss::IMAGE_TABLE_FULL);
    }
    let known = Process {
        image,
        cgroup,
        provenance: provenance::WORKLOAD as u32,
        command: command::NONE,
    };
    // NOEXIST: if it executed something in the meantime, that is newer.
    remember(tgid, &known, NOEXIST);
    Ok(())
}

/// A process was in its cgroup before the probes: whoever comes now is not the first one, and its start-up began when the
/// oldest process did. Not inlined, as [`move_to`].
#[inline(never)]
fn was_there(cgroup: u64, since: u64) {
    let Some(state) = state_of(cgroup) else { return };
    // SAFETY: `state` points into the table of cgroups. Only this program, which runs for one task after the other, writes
    // a time that is before the others'.
    unsafe {
        if core::ptr::read_volatile(&raw const (*state).entries) == 0 {
            core::ptr::write_volatile(&raw mut (*state).entries, 1);
        }
        let started = core::ptr::read_volatile(&raw const (*state).started);
        if started == 0 || since < started {
            core::ptr::write_volatile(&raw mut (*state).started, since);
        }
    }
}
