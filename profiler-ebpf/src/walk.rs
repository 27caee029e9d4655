//! From a file up to the task's root: its path, and a fingerprint of the path.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use profiler_common::{FileIdentity, NAME_BYTES, PATH_BYTES, Record, Scratch, WALK_STEPS_MAX, Walk, flags, pod};

use crate::kernel::{Path, constant, field, ids};
use crate::maps::{OFFSETS, SCRATCH};

/// What the kernel appends to the path of a file whose name was removed (fs/d_path.c).
const DELETED: &[u8; 10] = b" (deleted)";

/// Reads or writes a field of a walk behind the verifier's back: with values that it tracks, it would follow each of the
/// 128 steps with each combination of them.
macro_rules! get {
    ($walk:expr, $field:ident) => {
        // SAFETY: the walk is part of a live record or map value.
        unsafe { core::ptr::read_volatile(&raw const (*$walk).$field) }
    };
}
macro_rules! set {
    ($walk:expr, $field:ident, $value:expr) => {
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(&raw mut (*$walk).$field, $value) }
    };
}

/// Starts a walk at `path`, to end at the root directory in `file`.
#[inline(always)]
fn start(walk: *mut Walk, path: &Path, file: &FileIdentity) {
    set!(walk, dentry, path.dentry);
    set!(
        walk,
        mount,
        path.mount.wrapping_sub(constant!(OFFSETS, mount_mnt) as u64)
    );
    set!(walk, root_dentry, file.root_dentry);
    set!(walk, root_mount, file.root_mount);
    // Not 0, which says that there is none.
    set!(walk, lineage, 1);
    set!(walk, position, PATH_BYTES as u64);
    set!(walk, below_mount, PATH_BYTES as u64);
    set!(walk, flags, flags::CUT as u64);
}

#[inline(always)]
fn flag(walk: *mut Walk, flag: u32) {
    set!(walk, flags, get!(walk, flags) | flag as u64);
}

/// The walk has reached its end: nothing was cut.
#[inline(always)]
fn arrive(walk: *mut Walk) -> Result<bool, i32> {
    set!(walk, flags, get!(walk, flags) & !(flags::CUT as u64));
    Ok(true)
}

/// One component, or one mount point. True at the end.
#[inline(always)]
fn step(walk: *mut Walk, path: Option<*mut u8>) -> Result<bool, i32> {
    let dentry = get!(walk, dentry);
    let mount = get!(walk, mount);
    let vfsmount = mount.wrapping_add(constant!(OFFSETS, mount_mnt) as u64);
    if dentry == get!(walk, root_dentry) && vfsmount == get!(walk, root_mount) {
        return arrive(walk);
    }
    let mount_root = field!(vfsmount, vfsmount_root => u64)?;
    let parent = field!(dentry, dentry_parent => u64)?;
    if dentry == mount_root || dentry == parent {
        return leave_mount(walk, mount, dentry == mount_root);
    }
    let name = field!(dentry, dentry_name => u64)?;
    // Rotation makes the order of the components count; the constant is 2^64 divided by the golden ratio.
    set!(
        walk,
        lineage,
        (get!(walk, lineage).rotate_left(7) ^ name ^ dentry).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    );
    if let Some(path) = path
        && !prepend(walk, path, dentry, (name >> 32) & (NAME_BYTES as u64 - 1))?
    {
        return Ok(true);
    }
    set!(walk, dentry, parent);
    Ok(false)
}

/// At the root of a mount: goes on at the mount point, unless this is where the walk must end.
#[inline(always)]
fn leave_mount(walk: *mut Walk, mount: u64, at_root: bool) -> Result<bool, i32> {
    let outer = field!(mount, mount_parent => u64)?;
    // A dentry that is its own parent and no mount's root is a file without a path, or one of a detached tree. A mount
    // that is its own parent is the end of the namespace, or was never mounted (shmem, pipes, a lazily unmounted tree).
    if !at_root || outer == mount {
        flag(walk, flags::UNREACHABLE);
        return arrive(walk);
    }
    if get!(walk, below_mount) == PATH_BYTES as u64 {
        set!(walk, below_mount, get!(walk, position));
    }
    set!(walk, dentry, field!(mount, mount_mountpoint => u64)?);
    set!(walk, mount, outer);
    Ok(false)
}

/// Writes `/name` in front of what is there. False where there is no room left.
#[inline(always)]
fn prepend(walk: *mut Walk, path: *mut u8, dentry: u64, length: u64) -> Result<bool, i32> {
    let position = get!(walk, position);
    if position < length + 1 {
        return Ok(false);
    }
    let at = position - length - 1;
    let name = crate::kernel::read::<u64>(
        dentry
            .wrapping_add(constant!(OFFSETS, dentry_name) as u64)
            .wrapping_add(constant!(OFFSETS, qstr_name) as u64),
    )?;
    // `at` is below PATH_BYTES, which the verifier cannot know; the mask tells it.
    let target = (at & (PATH_BYTES as u64 - 1)) as usize;
    // SAFETY: `path` has PATH_BYTES + NAME_BYTES bytes, `target` is below PATH_BYTES and `length` below NAME_BYTES.
    let read = unsafe {
        *path.add(target) = b'/';
        bpf_probe_read_kernel(path.add(target + 1).cast(), length as u32, name as *const _)
    };
    if read != 0 {
        return Err(read as i32);
    }
    set!(walk, position, at);
    Ok(true)
}

/// The whole walk. Fails where the kernel changed something in the middle of it.
#[inline(always)]
fn run(walk: *mut Walk, path: Option<*mut u8>) -> Result<(), i32> {
    for _ in 0..WALK_STEPS_MAX {
        if step(walk, path)? {
            break;
        }
    }
    Ok(())
}

/// Writes the path of a file into a record, and its fingerprint.
#[inline(always)]
pub fn describe(record: *mut Record, path: &Path, file: &FileIdentity, file_flags: u64) -> Result<(), i32> {
    // SAFETY: `record` was reserved and has not been submitted.
    let (walk, bytes) = unsafe { (&raw mut (*record).walk, (&raw mut (*record).path).cast::<u8>()) };
    start(walk, path, file);
    set!(walk, flags, get!(walk, flags) | file_flags);
    if file_flags & flags::DELETED as u64 != 0 {
        set!(walk, position, (PATH_BYTES - DELETED.len()) as u64);
        for (index, byte) in DELETED.iter().enumerate() {
            // SAFETY: the index is below PATH_BYTES.
            unsafe { *bytes.add(PATH_BYTES - DELETED.len() + index) = *byte };
        }
    }
    if file_flags & flags::PATHLESS as u64 != 0 {
        let length = (file.name >> 32) & (NAME_BYTES as u64 - 1);
        prepend(walk, bytes, path.dentry, length)?;
        return arrive(walk).map(drop);
    }
    run(walk, Some(bytes))
}

/// The fingerprint of a path, without the path.
#[inline(always)]
pub fn lineage(path: &Path, file: &FileIdentity) -> Result<u64, i32> {
    with_scratch(|scratch| {
        // SAFETY: `scratch` points at a map value that only this thread uses.
        let walk = unsafe { &raw mut (*scratch).walk };
        start(walk, path, file);
        run(walk, None)?;
        Ok(get!(walk, lineage))
    })
}

/// Lends this thread its scratch space.
#[inline(always)]
pub fn with_scratch<T>(body: impl FnOnce(*mut Scratch) -> Result<T, i32>) -> Result<T, i32> {
    let thread = ids().1;
    let scratch = match SCRATCH.get_ptr_mut(thread) {
        Some(scratch) => scratch,
        None => {
            SCRATCH.insert(thread, &EMPTY, 0)?;
            SCRATCH.get_ptr_mut(thread).ok_or(-1)?
        }
    };
    let result = body(scratch);
    // Nothing to do if it is gone already: it is only room.
    let _ = SCRATCH.remove(thread);
    result
}

static EMPTY: Scratch = pod::zeroed();
