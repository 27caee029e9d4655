//! The hooks of security modules: they see what no system call shows (io_uring, the kernel's own opens for a program),
//! cost unrelated calls nothing, and are where a policy will sit.
//!
//! Each hook in three ways, of which the profiler attaches one:
//!
//! | way | runs |
//! |---|---|
//! | LSM program | every time (but on 5.12 to 6.1, where it can be skipped like the next), if `bpf` is in the kernel's list of security modules: otherwise never |
//! | fexit program on `security_*` | with what the modules have decided; skipped while another task, which the processor was taken away from, is in it |
//! | kprobe on `security_*` | before the modules decide; skipped while a task is in a map call of `bpf(2)` |
//!
//! What changes known paths shows when it is done, at the end of the kernel functions that do it: by fexit programs, or by
//! kretprobes.

use aya_ebpf::macros::{fentry, fexit, kprobe, kretprobe, lsm};
use aya_ebpf::programs::{FEntryContext, FExitContext, LsmContext, ProbeContext, RetProbeContext};
use profiler_common::{Executing, Offsets, SCRIPTS_MAX, access, loss, pod};

use crate::count::{lost_in, next_epoch};
use crate::kernel::{Address, S_IFDIR, S_IFMT, constant, current, current_cgroup, field, ids, task_field};
use crate::maps::{EXECUTING, OFFSETS};
use crate::opens::hook_file;
use crate::process::{ANY, image_of, recorded};
use crate::raises::got_credentials;
use crate::sockets::{connected, hook_connect, hook_listen, hook_send, hook_unix};

/// `PROT_EXEC` (include/uapi/asm-generic/mman-common.h).
const PROT_EXEC: u64 = 0x4;

/// One hook in its three ways. `$results` is how many arguments `security_*` has: behind them is its result.
macro_rules! hook {
    ($lsm:ident $hook:tt, $fexit:ident $kprobe:ident $function:tt $results:tt, |$argument:ident| $body:expr) => {
        #[lsm(hook = $hook)]
        pub fn $lsm(ctx: LsmContext) -> i32 {
            let $argument = |index| ctx.arg::<u64>(index);
            $body;
            0
        }

        #[fexit(function = $function)]
        pub fn $fexit(ctx: FExitContext) -> i32 {
            // A refusal is not a behaviour.
            if ctx.arg::<u64>($results) as i32 == 0 {
                let $argument = |index| ctx.arg::<u64>(index);
                $body;
            }
            0
        }

        #[kprobe]
        pub fn $kprobe(ctx: ProbeContext) -> u32 {
            let $argument = |index| ctx.arg::<u64>(index).unwrap_or(0);
            $body;
            0
        }
    };
}

hook!(lsm_file_open "file_open", fexit_file_open kprobe_file_open "security_file_open" 1, |argument| {
    hook_file(argument(0), 0)
});
hook!(lsm_bprm_check "bprm_check_security", fexit_bprm_check kprobe_bprm_check "security_bprm_check" 1, |argument| {
    hook_execution(argument(0))
});
hook!(lsm_socket_connect "socket_connect", fexit_socket_connect kprobe_socket_connect "security_socket_connect" 3, |argument| {
    hook_connect(argument(0), argument(1), argument(2) as i32)
});
hook!(lsm_socket_sendmsg "socket_sendmsg", fexit_socket_sendmsg kprobe_socket_sendmsg "security_socket_sendmsg" 3, |argument| {
    hook_send(argument(0), argument(1))
});
hook!(lsm_socket_listen "socket_listen", fexit_socket_listen kprobe_socket_listen "security_socket_listen" 2, |argument| {
    hook_listen(argument(0))
});
hook!(lsm_unix_connect "unix_stream_connect", fexit_unix_connect kprobe_unix_connect "security_unix_stream_connect" 3, |argument| {
    hook_unix(argument(0), argument(1), false)
});
hook!(lsm_unix_send "unix_may_send", fexit_unix_send kprobe_unix_send "security_unix_may_send" 2, |argument| {
    let sock = |socket: Address| field!(socket, socket_sk => u64);
    if let (Ok(from), Ok(to)) = (sock(argument(0)), sock(argument(1))) {
        hook_unix(from, to, true);
    }
});

// The hook has one argument more than the function; the protection is the one that was asked for in both.
hook!(lsm_mmap_file "mmap_file", fexit_mmap_file kprobe_mmap_file "security_mmap_file" 3, |argument| {
    let file = argument(0);
    if file != 0 && argument(1) & PROT_EXEC != 0 {
        hook_file(file, access::MAP);
    }
});

/// One of the files that an execution goes through: the script, each interpreter that is a script, the program.
#[inline(never)]
fn hook_execution(binprm: Address) {
    let Ok(cgroup) = current_cgroup() else { return };
    let Some(state) = recorded(cgroup) else { return };
    if goes_through(binprm).is_err() {
        lost_in(state, loss::IMAGE_TABLE_FULL);
    }
}

#[inline(always)]
fn goes_through(binprm: Address) -> Result<(), i32> {
    let (process, thread) = ids();
    // alloc_bprm() makes them the same string, and each interpreter has its own.
    let is_first = field!(binprm, binprm_interp => u64)? == field!(binprm, binprm_filename => u64)?;
    if is_first {
        // What an execution has left that failed.
        let _ = EXECUTING.remove(thread);
    }
    let image = image_of(field!(binprm, binprm_file => u64)?, current(), process)?;
    if is_first {
        let mut executing: Executing = pod::zeroed();
        executing.count = 1;
        executing.images[0] = image;
        // Without room, what is left of the script at the end of the execution has to do: its name.
        let _ = EXECUTING.insert(thread, executing, ANY);
        return Ok(());
    }
    if let Some(executing) = EXECUTING.get_ptr_mut(thread) {
        // SAFETY: only this thread writes the entry. The mask tells the verifier that the index is below the length.
        unsafe {
            let count = core::ptr::read_volatile(&raw const (*executing).count);
            if count <= SCRIPTS_MAX as u64 {
                let images = (&raw mut (*executing).images).cast::<u64>();
                core::ptr::write_volatile(images.add((count & 7) as usize), image);
                core::ptr::write_volatile(&raw mut (*executing).count, count + 1);
            }
        }
    }
    Ok(())
}

/// The scripts that a thread's execution went through. False where they are not known.
#[inline(always)]
pub fn went_through(thread: u32, scripts: &mut [u64; SCRIPTS_MAX]) -> bool {
    let Some(executing) = EXECUTING.get_ptr(thread) else {
        return false;
    };
    // SAFETY: only this thread writes the entry.
    let (count, images) = unsafe { ((*executing).count, &raw const (*executing).images) };
    let images = images.cast::<u64>();
    for (index, script) in scripts.iter_mut().enumerate() {
        // The last one is the program.
        if index as u64 + 1 < count {
            // SAFETY: the index is below the array's length.
            *script = unsafe { core::ptr::read_volatile(images.add(index)) };
        }
    }
    let _ = EXECUTING.remove(thread);
    count > 1
}

/// What changes known paths, at the end of a kernel function that may have done it: also where it has failed, which is rare
/// and costs no more than another look at each path.
macro_rules! changes_paths {
    ($fexit:ident $kretprobe:ident $function:tt) => {
        #[fexit(function = $function)]
        pub fn $fexit(_ctx: FExitContext) -> i32 {
            next_epoch();
            0
        }

        #[kretprobe]
        pub fn $kretprobe(_ctx: RetProbeContext) -> u32 {
            next_epoch();
            0
        }
    };
}

changes_paths!(fexit_rmdir kretprobe_rmdir "vfs_rmdir");
changes_paths!(fexit_mount kretprobe_mount "path_mount");
changes_paths!(fexit_umount kretprobe_umount "path_umount");
// Called for clone(2) and unshare(2) alike.
changes_paths!(fexit_copy_mounts kretprobe_copy_mounts "copy_mnt_ns");
// Named after the architecture, so the profiler says where they belong.
changes_paths!(fexit_move_mount kretprobe_move_mount "sys_move_mount");
changes_paths!(fexit_pivot_root kretprobe_pivot_root "sys_pivot_root");

/// Only the rename of a directory changes the paths of others.
#[fexit(function = "vfs_rename")]
pub fn fexit_rename(ctx: FExitContext) -> i32 {
    if constant!(OFFSETS, rename_old) == Offsets::NONE || is_directory(ctx.arg(0)) {
        next_epoch();
    }
    0
}

#[kretprobe]
pub fn kretprobe_rename(_ctx: RetProbeContext) -> u32 {
    next_epoch();
    0
}

/// Whether a `struct renamedata` is about a directory; yes where that cannot be read.
#[inline(always)]
fn is_directory(renamed: Address) -> bool {
    let mode = field!(renamed, rename_old => u64)
        .and_then(|dentry| field!(dentry, dentry_inode => u64))
        .and_then(|inode| field!(inode, inode_mode => u16));
    mode.map_or(true, |mode| mode & S_IFMT == S_IFDIR)
}

/// `connect(2)` and its like in io_uring are over.
#[fexit(function = "__sys_connect_file")]
pub fn fexit_connect(ctx: FExitContext) -> i32 {
    let _ = connected(0, 0, ctx.arg::<u64>(4) as i32 as i64);
    0
}

#[kretprobe]
pub fn kretprobe_connect(ctx: RetProbeContext) -> u32 {
    let _ = connected(0, 0, ctx.ret::<u64>() as i32 as i64);
    0
}

/// The current task gets new credentials: by `unshare(2)` and `setns(2)` perhaps in another user namespace.
#[fentry(function = "commit_creds")]
pub fn fentry_credentials(ctx: FEntryContext) -> i32 {
    gets_credentials(ctx.arg(0));
    0
}

#[kprobe]
pub fn kprobe_credentials(ctx: ProbeContext) -> u32 {
    gets_credentials(ctx.arg(0).unwrap_or(0));
    0
}

#[inline(always)]
fn gets_credentials(new: Address) {
    let Ok(old) = task_field!(current(), task_cred => u64) else {
        return;
    };
    if let (Ok(from), Ok(to)) = (field!(old, cred_user_ns => u64), field!(new, cred_user_ns => u64))
        && from != to
    {
        got_credentials(new);
    }
}
