//! What a process was to do that entered a running container.
//!
//! The kubelet enters containers, too: for probes and lifecycle handlers, which are a part of the workload. Which commands
//! these are, the pod's specification says, and user space may know that only later. So each command gets a number here, which
//! whatever it starts inherits, and is described once in each cgroup.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_probe_read_user};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::hash::SipHash;
use profiler_common::{
    COMMAND_BYTES, COMMANDS_MAX, CgroupState, CommandKey, CommandRecord, PATH_BYTES, Process, SCRIPT_NAME_WORDS,
    command, loss, provenance, record,
};

use crate::count::{add, lost_in};
use crate::kernel::{Address, Path, current, field, ids, is_out_of_reach, setting, task_field};
use crate::maps::{COMMANDS, PROCESSES, RING};
use crate::process::{ANY, NOEXIST, in_recorded};
use crate::walk;

/// How much of a command is read at once: as much as a scratch has room for.
const CHUNK: usize = SCRIPT_NAME_WORDS * 8;

/// Where the arguments of the program that the current task runs are, in its memory, and how many bytes.
#[inline(always)]
pub fn arguments_at() -> Result<(u64, u64), i32> {
    let mm = task_field!(current(), task_mm => u64)?;
    let (start, end) = (field!(mm, mm_arg_start => u64)?, field!(mm, mm_arg_end => u64)?);
    Ok((start, end.wrapping_sub(start)))
}

/// An execution that succeeded: (task, old thread id, linux_binprm). A program of its own, attached before the one that
/// counts executions: together they would be more than the verifier goes through.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec_commands(ctx: BtfTracePointContext) -> i32 {
    let binprm: Address = ctx.arg(2);
    if setting!(command_key) == [0, 0] {
        return 0;
    }
    let Some(process) = PROCESSES.get_ptr_mut(ids().0) else {
        return 0;
    };
    // SAFETY: the entry is removed when the process ends, which runs this program.
    if unsafe { (*process).provenance } == provenance::ENTERING as u32 {
        in_recorded(|state, cgroup| begun(state, cgroup, process, binprm));
    }
    0
}

/// A process that has entered a cgroup executes its first program there.
#[inline(always)]
fn begun(state: *mut CgroupState, cgroup: u64, process: *mut Process, binprm: Address) -> Result<(), i32> {
    let file = field!(binprm, binprm_file => u64)?;
    // Or the runtime executes itself.
    if is_out_of_reach(&field!(file, file_path => Path)?)? {
        return Ok(());
    }
    let number = tell(binprm, cgroup, state).unwrap_or_else(|_| {
        lost_in(state, loss::COMMAND_UNTOLD);
        command::NONE
    });
    // SAFETY: as above.
    unsafe { core::ptr::write_volatile(&raw mut (*process).command, number) };
    Ok(())
}

#[inline(always)]
fn tell(binprm: Address, cgroup: u64, state: *mut CgroupState) -> Result<u32, i32> {
    let (start, length) = arguments_at()?;
    if length >= COMMAND_BYTES as u64 {
        return Err(-1);
    }
    let hash = hash(start, length)?;
    let (key, number) = (CommandKey { cgroup, hash }, hash as u32 | command::NUMBER);
    match COMMANDS.get_ptr(key) {
        // SAFETY: a word of a map, whose entries' memory is never given back.
        Some(announced) if unsafe { *announced } != 0 => return Ok(number),
        Some(_) => {}
        None => {
            // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task. Two processors may
            // both be the last one: a limit is no promise.
            if unsafe { core::ptr::read_volatile(&raw const (*state).commands) } >= COMMANDS_MAX {
                return Err(-1);
            }
            // -EEXIST: another processor was first.
            match COMMANDS.insert(key, 0, NOEXIST) {
                // SAFETY: as above.
                Ok(()) => add(unsafe { &raw mut (*state).commands }),
                Err(-17) => {}
                Err(error) => return Err(error),
            }
        }
    }
    // Without room for it, the next one tries again.
    if describe(binprm, cgroup, number, (start, length)) {
        let _ = COMMANDS.insert(key, 1, ANY);
    }
    Ok(number)
}

/// Hash of so many bytes of the current task's memory.
#[inline(always)]
fn hash(start: u64, length: u64) -> Result<u64, i32> {
    walk::with_scratch(|scratch| {
        // SAFETY: `scratch` points at a map value that only this thread uses.
        let words = unsafe { &raw mut (*scratch).name }.cast::<u64>();
        let mut hash = SipHash::new(setting!(command_key));
        for chunk in 0..COMMAND_BYTES / CHUNK {
            let done = (chunk * CHUNK) as u64;
            if done >= length {
                break;
            }
            for index in 0..SCRIPT_NAME_WORDS {
                // SAFETY: the index is below the array's length.
                unsafe { core::ptr::write_volatile(words.add(index), 0) };
            }
            let rest = length - done;
            // Written out, with a mask that the compiler cannot see is none: 5.10 forgets the limits of a number that was on
            // the stack.
            // SAFETY: the helper checks the address, and writes no more than there is room for.
            let read = unsafe {
                let from = start.wrapping_add(done) as *const _;
                if rest >= CHUNK as u64 {
                    bpf_probe_read_user(words.cast(), CHUNK as u32, from)
                } else {
                    let bytes = core::ptr::read_volatile(&rest) & (CHUNK as u64 - 1);
                    bpf_probe_read_user(words.cast(), bytes as u32, from)
                }
            };
            if read != 0 {
                return Err(read as i32);
            }
            for index in 0..SCRIPT_NAME_WORDS {
                // SAFETY: the index is below the array's length.
                hash.add(unsafe { core::ptr::read_volatile(words.add(index)) });
            }
        }
        hash.add(length);
        Ok(hash.finish())
    })
}

/// Sends the command. False where there was no room, or it cannot be read.
#[inline(always)]
fn describe(binprm: Address, cgroup: u64, number: u32, (start, length): (u64, u64)) -> bool {
    // alloc_bprm() makes them the same string; binfmt_script and binfmt_misc give the interpreter its own.
    let (Ok(name), Ok(interpreter)) = (
        field!(binprm, binprm_filename => u64),
        field!(binprm, binprm_interp => u64),
    ) else {
        return false;
    };
    let Some(mut entry) = RING.reserve_untyped::<CommandRecord>(0) else {
        return false;
    };
    let target = entry.as_mut_ptr();
    // SAFETY: the entry is reserved; the helpers check the addresses and write no more than there is room for.
    let read = unsafe {
        (*target).kind = record::COMMAND;
        (*target).command = number;
        (*target).cgroup = cgroup;
        (*target).length = length;
        let text = (&raw mut (*target).name).cast::<u8>();
        core::ptr::write_volatile(text, 0);
        let named = if interpreter == name {
            0
        } else {
            bpf_probe_read_kernel_str(text.cast(), PATH_BYTES as u32, name as *const _)
        };
        if named < 0 {
            named
        } else {
            // As in `hash`.
            let bytes = core::ptr::read_volatile(&length) & (COMMAND_BYTES as u64 - 1);
            bpf_probe_read_user((&raw mut (*target).bytes).cast(), bytes as u32, start as *const _)
        }
    };
    if read != 0 {
        entry.discard(0);
        return false;
    }
    entry.submit(0);
    true
}
