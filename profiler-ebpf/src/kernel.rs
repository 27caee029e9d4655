//! Reading the kernel's own structures, by the offsets that the profiler found in its BTF.
//!
//! Every read goes through `bpf_probe_read_kernel`, which cannot fault: a structure that is freed or changed while it is
//! read yields an error or a wrong value, never a crash. What that does to the evidence is said where it matters.

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel, generated};
use profiler_common::{CgroupState, FileIdentity, flags};

use crate::maps::OFFSETS;

/// `FMODE_READ`, `FMODE_WRITE`, `FMODE_PATH` and `FMODE_CREATED` (include/linux/fs.h; unchanged from 5.10 to 6.18).
pub const FMODE_READ: u32 = 0x1;
pub const FMODE_WRITE: u32 = 0x2;
pub const FMODE_PATH: u32 = 0x4000;
pub const FMODE_CREATED: u32 = 0x10_0000;
/// `OVERLAYFS_SUPER_MAGIC` (include/uapi/linux/magic.h).
const OVERLAYFS_MAGIC: u64 = 0x794c_7630;

/// A kernel address. 0 is no object.
pub type Address = u64;

/// One offset or setting, read so that rustc cannot assume the compiled-in zero.
macro_rules! constant {
    ($from:expr, $field:ident) => {
        // SAFETY: reads a field of a static.
        unsafe { core::ptr::read_volatile(&raw const $from.$field) }
    };
}
pub(crate) use constant;

/// A setting.
macro_rules! setting {
    ($field:ident) => {
        crate::kernel::constant!(crate::maps::SETTINGS, $field)
    };
}
pub(crate) use setting;

/// Reads a field: `field!(file, file_path => u64)` reads eight bytes at `file + offsets.file_path`.
macro_rules! field {
    ($object:expr, $offset:ident => $type:ty) => {
        crate::kernel::read::<$type>(
            ($object).wrapping_add(crate::kernel::constant!(crate::maps::OFFSETS, $offset) as u64),
        )
    };
}
pub(crate) use field;

/// Reads a value at a kernel address.
#[inline(always)]
pub fn read<T: Copy>(address: Address) -> Result<T, i32> {
    // SAFETY: the helper checks the address.
    unsafe { bpf_probe_read_kernel(address as *const T) }
}

/// `struct path`: a vfsmount and a dentry, in this order since 2.6.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Path {
    pub mount: Address,
    pub dentry: Address,
}

/// The `task_struct` that runs this program.
#[inline(always)]
pub fn current() -> Address {
    // SAFETY: the helper takes no argument.
    unsafe { bpf_get_current_task() }
}

/// Process and thread id of the task that runs this program.
#[inline(always)]
pub fn ids() -> (u32, u32) {
    let both = aya_ebpf::helpers::bpf_get_current_pid_tgid();
    ((both >> 32) as u32, both as u32)
}

/// Boot clock, ns: goes on while the machine sleeps.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: the helper takes no argument.
    unsafe { generated::bpf_ktime_get_boot_ns() }
}

/// The file behind a descriptor of the current task.
#[inline(always)]
pub fn file_of(descriptor: u64) -> Result<Address, i32> {
    let files = field!(current(), task_files => u64)?;
    let table = field!(files, files_fdt => u64)?;
    let max = field!(table, fdtable_max_fds => u32)?;
    if descriptor >= max as u64 {
        return Err(-1);
    }
    let array = field!(table, fdtable_fd => u64)?;
    match read::<u64>(array + descriptor * 8)? {
        // Another thread closed it between the call's return and here.
        0 => Err(-1),
        file => Ok(file),
    }
}

/// The root directory of a task.
#[inline(always)]
pub fn root_of(task: Address) -> Result<Path, i32> {
    let fs = field!(task, task_fs => u64)?;
    field!(fs, fs_root => Path)
}

/// The root directory of the current task.
#[inline(always)]
pub fn root() -> Result<Path, i32> {
    root_of(current())
}

/// The working directory of the current task.
#[inline(always)]
pub fn working_directory() -> Result<Path, i32> {
    let fs = field!(current(), task_fs => u64)?;
    field!(fs, fs_pwd => Path)
}

/// The inode number of a task's root directory, which user space can check.
#[inline(always)]
pub fn root_inode(file: &FileIdentity) -> Result<u64, i32> {
    let inode = field!(file.root_dentry, dentry_inode => u64)?;
    field!(inode, inode_ino => u64)
}

/// Fills in who a file is, seen from a root directory. Takes a pointer, because a BPF stack has 512 bytes.
#[inline(always)]
pub fn identify(path: &Path, root: &Path, identity: &mut FileIdentity) -> Result<(), i32> {
    let parent = field!(path.dentry, dentry_parent => u64)?;
    let inode = field!(path.dentry, dentry_inode => u64)?;
    let sb = field!(inode, inode_sb => u64)?;
    identity.inode = field!(inode, inode_ino => u64)?;
    identity.dentry = path.dentry;
    identity.mount = path.mount;
    identity.name = field!(path.dentry, dentry_name => u64)?;
    identity.parent_name = field!(parent, dentry_name => u64)?;
    identity.root_dentry = root.dentry;
    identity.root_mount = root.mount;
    identity.device = field!(sb, sb_dev => u32)?;
    identity.generation = field!(inode, inode_generation => u32)? << 1 | is_deleted(path.dentry, parent)? as u32;
    Ok(())
}

/// `d_unlinked()` (include/linux/dcache.h): the dentry is in no hash chain, and is no root.
#[inline(always)]
fn is_deleted(dentry: Address, parent: Address) -> Result<bool, i32> {
    Ok(dentry != parent && field!(dentry, dentry_hash_pprev => u64)? == 0)
}

/// What [`flags`] say about a file beside its path.
#[inline(always)]
pub fn file_flags(file: &FileIdentity) -> Result<u64, i32> {
    let parent = field!(file.dentry, dentry_parent => u64)?;
    let mut set = 0;
    if parent == file.dentry {
        if field!(file.mount, vfsmount_root => u64)? != file.dentry {
            set |= flags::PATHLESS as u64;
        }
    } else if file.generation & 1 == 1 {
        set |= flags::DELETED as u64;
    }
    let inode = field!(file.dentry, dentry_inode => u64)?;
    let sb = field!(inode, inode_sb => u64)?;
    if field!(sb, sb_magic => u64)? == OVERLAYFS_MAGIC {
        set |= flags::OVERLAY as u64;
        // The path in the layer starts at the overlay's own root: a bind mount of a part of it, or a task whose root
        // directory is somewhere inside of it, hides where that is.
        let mount_root = field!(file.mount, vfsmount_root => u64)?;
        let hidden = file.root_mount == file.mount && file.root_dentry != mount_root;
        if hidden || mount_root != field!(sb, sb_root => u64)? {
            set |= flags::OVERLAY_PART as u64;
        }
    }
    Ok(set)
}

/// The kernfs id of a task's cgroup in the hierarchy chosen at start.
#[inline(always)]
pub fn cgroup_of(task: Address) -> Result<u64, i32> {
    let css_set = field!(task, task_cgroups => u64)?;
    let controller = setting!(controller);
    let cgroup = if controller == 0 {
        field!(css_set, css_set_dfl_cgroup => u64)?
    } else {
        let subsys = css_set + constant!(OFFSETS, css_set_subsys) as u64 + (controller as u64 - 1) * 8;
        let css = read::<u64>(subsys)?;
        field!(css, css_cgroup => u64)?
    };
    let node = field!(cgroup, cgroup_kn => u64)?;
    field!(node, kernfs_node_id => u64)
}

/// The same of the current task, the short way where there is one.
#[inline(always)]
pub fn current_cgroup() -> Result<u64, i32> {
    if setting!(controller) == 0 {
        // SAFETY: the helper takes no argument.
        return Ok(unsafe { generated::bpf_get_current_cgroup_id() });
    }
    cgroup_of(current())
}

/// Whether a container's start-up phase is over.
#[inline(always)]
pub fn phase(state: &CgroupState, now: u64) -> u8 {
    if state.started != 0 && now.wrapping_sub(state.started) > setting!(startup_ns) {
        profiler_common::phase::STEADY
    } else {
        profiler_common::phase::STARTUP
    }
}
