//! What the kernel itself says of the files of one cgroup's tasks, where policies are enforced. For the tests, which hold
//! policies against it: none of the probes' own ways of finding paths is in here.
//!
//! | hook | tells |
//! |---|---|
//! | `security_file_open` | the file's path after `bpf_d_path`, which is the kernel's own `d_path()` |
//! | `security_bprm_check` | which file, which the other one has told of before, and how many links it has |
//!
//! Each of them as LSM and as fentry program. An LSM program runs every time, but only if `bpf` is in the kernel's list of
//! security modules. A fentry program is skipped while another task, which the processor was taken away from, is in it.
#![no_std]
#![no_main]

use aya_ebpf::btf_maps::{Array, RingBuf};
use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_probe_read_kernel, generated};
use aya_ebpf::macros::{btf_map, fentry, lsm};
use aya_ebpf::programs::{FEntryContext, LsmContext};

/// What user space reads; tests/guest/oracle.rs has the same.
#[repr(C)]
pub struct Hit {
    /// Thread id.
    pub thread: u32,
    /// Whether it comes from `security_bprm_check`.
    pub is_execution: u32,
    /// The address of the `struct file`.
    pub file: u64,
    /// `i_nlink`.
    pub links: u32,
    /// Whether the file has no path but a made-up name: `d_path()` asks `d_dname()` for those, policies see no path.
    pub is_anonymous: u32,
    /// Bytes of the path with its NUL, or a negative error. 0 in executions.
    pub length: i64,
    pub path: [u8; PATH_BYTES],
}

pub const PATH_BYTES: usize = 1_024;

/// The cgroup whose tasks are watched.
#[unsafe(no_mangle)]
pub static CGROUP: u64 = 0;

/// Where this kernel keeps things. Known to the verifier, which allows no other offset in a typed pointer.
#[unsafe(no_mangle)]
pub static FILE_PATH: u32 = 0;
#[unsafe(no_mangle)]
pub static FILE_INODE: u32 = 0;
#[unsafe(no_mangle)]
pub static INODE_LINKS: u32 = 0;
#[unsafe(no_mangle)]
pub static DENTRY_PARENT: u32 = 0;
#[unsafe(no_mangle)]
pub static MOUNT_ROOT: u32 = 0;
#[unsafe(no_mangle)]
pub static BINPRM_FILE: u32 = 0;

#[btf_map]
pub static HITS: RingBuf<Hit, { 16 << 20 }> = RingBuf::new();

/// Hits that found no room, which a test must not overlook.
#[btf_map]
pub static LOST: Array<u64, 1> = Array::new();

/// A setting, read so that rustc cannot assume the compiled-in zero.
macro_rules! setting {
    ($name:ident) => {
        // SAFETY: reads a static.
        unsafe { core::ptr::read_volatile(&raw const $name) as usize }
    };
}

#[lsm(hook = "file_open")]
pub fn file_open(ctx: LsmContext) -> i32 {
    opened(ctx.arg(0))
}

#[fentry(function = "security_file_open")]
pub fn file_open_traced(ctx: FEntryContext) -> i32 {
    opened(ctx.arg(0))
}

#[lsm(hook = "bprm_check_security")]
pub fn bprm_check(ctx: LsmContext) -> i32 {
    executed(ctx.arg(0))
}

#[fentry(function = "security_bprm_check")]
pub fn bprm_check_traced(ctx: FEntryContext) -> i32 {
    executed(ctx.arg(0))
}

/// `file` is a `struct file`, which the verifier knows.
#[inline(always)]
fn opened(file: *const u8) -> i32 {
    report(file, |hit| {
        let path = file.wrapping_add(setting!(FILE_PATH));
        // SAFETY: the verifier checks that this is a `struct path`, and the room for its text.
        hit.length =
            unsafe { generated::bpf_d_path(path.cast_mut().cast(), (&raw mut hit.path).cast(), PATH_BYTES as u32) };
        // struct path: a vfsmount and a dentry.
        let (mount, dentry) = (read::<*const u8>(path), read::<*const u8>(path.wrapping_add(8)));
        let is_top = read::<*const u8>(dentry.wrapping_add(setting!(DENTRY_PARENT))) == dentry;
        let is_root = read::<*const u8>(mount.wrapping_add(setting!(MOUNT_ROOT))) == dentry;
        hit.is_anonymous = (is_top && !is_root) as u32;
        hit.is_execution = 0;
    })
}

/// `program` is a `struct linux_binprm`. `bpf_d_path` is not allowed everywhere here.
#[inline(always)]
fn executed(program: *const u8) -> i32 {
    report(read(program.wrapping_add(setting!(BINPRM_FILE))), |hit| {
        hit.length = 0;
        hit.is_anonymous = 0;
        hit.is_execution = 1;
    })
}

/// Tells of a file, if the task is in the cgroup.
#[inline(always)]
fn report(file: *const u8, describe: impl FnOnce(&mut Hit)) -> i32 {
    // SAFETY: the helper takes no argument.
    if unsafe { generated::bpf_get_current_cgroup_id() } != setting!(CGROUP) as u64 {
        return 0;
    }
    let Some(mut entry) = HITS.reserve(0) else {
        if let Some(lost) = LOST.get_ptr_mut(0) {
            // SAFETY: an element of an array. The tests' workloads are small: that two are lost at once, and counted as
            // one, changes nothing.
            unsafe { *lost += 1 };
        }
        return 0;
    };
    // SAFETY: every field is written before the entry is submitted, but for the rest of `path`, which nobody reads.
    let hit = unsafe { entry.assume_init_mut() };
    hit.thread = bpf_get_current_pid_tgid() as u32;
    hit.file = file as u64;
    let inode: *const u8 = read(file.wrapping_add(setting!(FILE_INODE)));
    hit.links = read(inode.wrapping_add(setting!(INODE_LINKS)));
    describe(hit);
    entry.submit(0);
    0
}

/// Reads a value at a kernel address.
#[inline(always)]
fn read<T: Copy>(address: *const u8) -> T {
    // SAFETY: the helper checks the address, and fills with zeros what it cannot read; zeros are what all callers take.
    unsafe { bpf_probe_read_kernel(address.cast()).unwrap_or(core::mem::zeroed()) }
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier refuses programs that can get here.
    loop {}
}

/// The kernel offers its GPL-only helpers to this licence (include/linux/license.h).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
