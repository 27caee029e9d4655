//! Reading the kernel's own structures, by the offsets that the profiler found in its BTF.
//!
//! Every read goes through `bpf_probe_read_kernel`, which cannot fault: a structure that is freed or changed while it is
//! read yields an error or a wrong value, never a crash. What that does to the evidence is said where it matters.

use core::mem::MaybeUninit;

use aya_ebpf::helpers::{bpf_get_current_task, bpf_probe_read_kernel, generated};
use profiler_common::{CgroupState, DENTRY_WINDOW, FileIdentity, INLINE_NAME_BYTES, PLACE_NAME_BYTES, Place, flags};

use crate::maps::OFFSETS;

/// `FMODE_READ`, `FMODE_WRITE`, `FMODE_PATH` and `FMODE_CREATED` (include/linux/fs.h; unchanged from 5.10 to 6.18).
pub const FMODE_READ: u32 = 0x1;
pub const FMODE_WRITE: u32 = 0x2;
pub const FMODE_PATH: u32 = 0x4000;
pub const FMODE_CREATED: u32 = 0x10_0000;
/// `FMODE_NOACCOUNT` (the same): not one of the files that a process may have so many of.
pub const FMODE_NOACCOUNT: u32 = 0x2000_0000;
/// `__FMODE_EXEC` (the same): in `f_flags`, of what is opened to be executed.
pub const FMODE_EXEC: u32 = 0x20;
/// `S_IFMT` and `S_IFDIR` (include/uapi/linux/stat.h).
pub const S_IFMT: u16 = 0o170_000;
pub const S_IFDIR: u16 = 0o040_000;
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

/// Reads a field of a task, or of what hangs on one, as [`field!`] does: without a call where the verifier knows the task's
/// type. A read that faults yields zero then, as the kernel does for its own such programs (`BPF_PROBE_MEM`).
macro_rules! task_field {
    ($object:expr, $offset:ident => $type:ty) => {{
        let address = ($object).wrapping_add(crate::kernel::constant!(crate::maps::OFFSETS, $offset) as u64);
        crate::kernel::load::<$type>(address)
    }};
}
pub(crate) use task_field;

/// Reads a value at an address inside an object whose type the verifier knows, if it knows tasks' types at all.
#[inline(always)]
pub fn load<T: Copy>(address: Address) -> Result<T, i32> {
    if setting!(typed_tasks) == 0 {
        return read(address);
    }
    // SAFETY: the verifier checks the offset against the object's type, and the kernel handles a fault.
    Ok(unsafe { core::ptr::read_volatile(address as *const T) })
}

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
    if setting!(typed_tasks) == 0 {
        // SAFETY: the helper takes no argument.
        return unsafe { bpf_get_current_task() };
    }
    // SAFETY: as above; a kernel without this helper never gets here, and its verifier does not look at dead code.
    unsafe { generated::bpf_get_current_task_btf() as Address }
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
    let files = task_field!(current(), task_files => u64)?;
    let table = task_field!(files, files_fdt => u64)?;
    let max = task_field!(table, fdtable_max_fds => u32)?;
    if descriptor >= max as u64 {
        return Err(-1);
    }
    let array = task_field!(table, fdtable_fd => u64)?;
    match read::<u64>(array + descriptor * 8)? {
        // Another thread closed it between the call's return and here.
        0 => Err(-1),
        file => Ok(file),
    }
}

/// The root directory of a task.
#[inline(always)]
pub fn root_of(task: Address) -> Result<Path, i32> {
    let fs = task_field!(task, task_fs => u64)?;
    path_in(fs.wrapping_add(constant!(OFFSETS, fs_root) as u64))
}

/// A `struct path` inside an object whose type the verifier knows.
#[inline(always)]
fn path_in(address: Address) -> Result<Path, i32> {
    Ok(Path {
        mount: load(address)?,
        dentry: load(address.wrapping_add(8))?,
    })
}

/// The root directory of the current task.
#[inline(always)]
pub fn root() -> Result<Path, i32> {
    root_of(current())
}

/// The working directory of the current task.
#[inline(always)]
pub fn working_directory() -> Result<Path, i32> {
    let fs = task_field!(current(), task_fs => u64)?;
    path_in(fs.wrapping_add(constant!(OFFSETS, fs_pwd) as u64))
}

/// The inode number of a task's root directory and the number of its mount, which user space can check.
#[inline(always)]
pub fn root_numbers(file: &FileIdentity) -> Result<(u64, u64), i32> {
    let inode = field!(file.root_dentry, dentry_inode => u64)?;
    let mount = file.root_mount.wrapping_sub(constant!(OFFSETS, mount_mnt) as u64);
    Ok((field!(inode, inode_ino => u64)?, field!(mount, mount_id => u32)? as u64))
}

/// Whether a file is in no mount that the current task could find it in: it has no path there. So is a runtime's own program
/// that it executes from a copy which nobody else can write to (runc's `ensure_cloned_binary`).
#[inline(always)]
pub fn is_out_of_reach(path: &Path) -> Result<bool, i32> {
    let namespaces = task_field!(current(), task_nsproxy => u64)?;
    Ok(mount_namespace(path)? != task_field!(namespaces, nsproxy_mounts => u64)?)
}

/// The mount namespace that a file's mount is in; 0 for none, an error's number for a mount of the kernel's own.
#[inline(always)]
pub fn mount_namespace(path: &Path) -> Result<u64, i32> {
    let mount = path.mount.wrapping_sub(constant!(OFFSETS, mount_mnt) as u64);
    field!(mount, mount_namespace => u64)
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

/// Where a path leads, seen from a root directory.
#[inline(always)]
pub fn locate(path: &Path, root: &Path) -> Result<Place, i32> {
    let mut window = Window::read(path.dentry)?;
    let (directory, name) = (
        window.word(constant!(OFFSETS, dentry_parent)),
        window.word(constant!(OFFSETS, dentry_name)),
    );
    // d_unlinked() (include/linux/dcache.h): in no hash chain, and no root.
    let deleted = directory != path.dentry && window.word(constant!(OFFSETS, dentry_hash_pprev)) == 0;
    let text = window.name_text(path.dentry, name >> 32)?;
    let inode = field!(directory, dentry_inode => u64)?;
    Ok(Place {
        directory,
        directory_inode: field!(inode, inode_ino => u64)?,
        name,
        text,
        mount: path.mount,
        root_dentry: root.dentry,
        root_mount: root.mount,
        deleted: deleted as u64,
    })
}

/// What is read of a dentry at once: each call of a helper costs more than reading some bytes too many. Not zeroed first,
/// which would cost as much again.
struct Window(MaybeUninit<[u64; DENTRY_WINDOW / 8]>);

impl Window {
    #[inline(always)]
    fn read(dentry: Address) -> Result<Self, i32> {
        let mut window = Self(MaybeUninit::uninit());
        window.fill(
            dentry.wrapping_add(constant!(OFFSETS, dentry_window) as u64),
            DENTRY_WINDOW,
        )?;
        Ok(window)
    }

    #[inline(always)]
    fn fill(&mut self, from: Address, bytes: usize) -> Result<(), i32> {
        // SAFETY: no caller asks for more than DENTRY_WINDOW bytes, and the helper checks the address.
        let result =
            unsafe { generated::bpf_probe_read_kernel(self.0.as_mut_ptr().cast(), bytes as u32, from as *const _) };
        if result == 0 { Ok(()) } else { Err(result as i32) }
    }

    /// The word at an offset of `struct dentry`, which the profiler has checked to be in the window.
    #[inline(always)]
    fn word(&self, offset: u32) -> u64 {
        let at = offset.wrapping_sub(constant!(OFFSETS, dentry_window)) as usize;
        // SAFETY: `read` has filled it, and the verifier knows both offsets and would refuse others.
        unsafe { core::ptr::read_volatile(self.0.as_ptr().cast::<u8>().add(at).cast()) }
    }

    /// Hash of the first bytes of the dentry's name, which has `length` bytes. Overwrites the window.
    #[inline(always)]
    fn name_text(&mut self, dentry: Address, length: u64) -> Result<u64, i32> {
        let (name, inline) = (constant!(OFFSETS, dentry_name), constant!(OFFSETS, dentry_inline_name));
        let from = self.word(name.wrapping_add(constant!(OFFSETS, qstr_name)));
        let mut hash = length;
        if from == dentry.wrapping_add(inline as u64) && length <= INLINE_NAME_BYTES as u64 {
            for index in 0..INLINE_NAME_BYTES / 8 {
                hash = mix(
                    hash,
                    first_bytes(self.word(inline + index * 8), length.saturating_sub(index as u64 * 8)),
                );
            }
            return Ok(hash);
        }
        let words = self.0.as_mut_ptr().cast::<u64>();
        for index in 0..PLACE_NAME_BYTES / 8 {
            // SAFETY: the index is below the array's length.
            unsafe { core::ptr::write_volatile(words.add(index), 0) };
        }
        self.fill(from, (length as usize).min(PLACE_NAME_BYTES))?;
        for index in 0..PLACE_NAME_BYTES / 8 {
            // SAFETY: the index is below the array's length, and `fill` has written the word.
            hash = mix(hash, unsafe { core::ptr::read_volatile(words.add(index)) });
        }
        Ok(hash)
    }
}

/// The first bytes of a word in memory, and zeros instead of the others: what stands behind a name is anything.
#[inline(always)]
fn first_bytes(word: u64, bytes: u64) -> u64 {
    match bytes {
        0 => 0,
        1..8 => word.to_le() & ((1 << (bytes * 8)) - 1),
        _ => word.to_le(),
    }
}

/// Mixes a word into a hash. Rotation makes the order count; the constant is 2^64 divided by the golden ratio.
#[inline(always)]
pub fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(7) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// `d_unlinked()` (include/linux/dcache.h): the dentry is in no hash chain, and is no root.
#[inline(always)]
fn is_deleted(dentry: Address, parent: Address) -> Result<bool, i32> {
    Ok(dentry != parent && field!(dentry, dentry_hash_pprev => u64)? == 0)
}

/// What [`flags`] say about a file beside its path.
#[inline(always)]
pub fn file_flags(path: &Path) -> Result<u64, i32> {
    let parent = field!(path.dentry, dentry_parent => u64)?;
    let mut set = 0;
    if parent == path.dentry {
        if field!(path.mount, vfsmount_root => u64)? != path.dentry {
            set |= flags::PATHLESS as u64;
        }
    } else if is_deleted(path.dentry, parent)? {
        set |= flags::DELETED as u64;
    }
    let inode = field!(path.dentry, dentry_inode => u64)?;
    let sb = field!(inode, inode_sb => u64)?;
    if field!(sb, sb_magic => u64)? == OVERLAYFS_MAGIC {
        set |= flags::OVERLAY as u64;
    }
    Ok(set)
}

/// A task's cgroup in the hierarchy chosen at start.
#[inline(always)]
pub fn cgroup_of(task: Address) -> Result<Address, i32> {
    let css_set = task_field!(task, task_cgroups => u64)?;
    let controller = setting!(controller);
    if controller == 0 {
        return task_field!(css_set, css_set_dfl_cgroup => u64);
    }
    let subsys = css_set + constant!(OFFSETS, css_set_subsys) as u64 + (controller as u64 - 1) * 8;
    let css = load::<u64>(subsys)?;
    task_field!(css, css_cgroup => u64)
}

/// A cgroup's kernfs id: the number that user space sees as its folder's inode.
#[inline(always)]
pub fn cgroup_id(cgroup: Address) -> Result<u64, i32> {
    let node = task_field!(cgroup, cgroup_kn => u64)?;
    task_field!(node, kernfs_node_id => u64)
}

/// The id of the cgroup that a cgroup is in; 0 for a root, which is in none.
#[inline(always)]
pub fn parent_cgroup_id(cgroup: Address) -> Result<u64, i32> {
    let node = task_field!(cgroup, cgroup_kn => u64)?;
    match field!(node, kernfs_node_parent => u64)? {
        0 => Ok(0),
        parent => field!(parent, kernfs_node_id => u64),
    }
}

/// The id of the current task's cgroup.
#[inline(always)]
pub fn current_cgroup() -> Result<u64, i32> {
    cgroup_id(cgroup_of(current())?)
}

/// Whether a container's start-up phase is over: so long after its first execution, and once it takes connections. Without a
/// branch, as [`crate::process::executing`].
#[inline(always)]
pub fn phase(state: &CgroupState, now: u64) -> u8 {
    const { assert!(profiler_common::phase::STARTUP == 0 && profiler_common::phase::STEADY == 1) };
    // Times are below 2^63, so the highest bit of a difference says which is smaller.
    let is_below = |a: u64, b: u64| a.wrapping_sub(b) >> 63;
    let is_late = is_below(setting!(startup_ns), now.wrapping_sub(state.started));
    (is_late & is_below(0, state.started) | is_below(0, state.listens)) as u8
}
