//! From a file up to the task's root: its path, and a fingerprint of the path.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use profiler_common::{LAYER_STEPS_MAX, NAME_BYTES, PATH_BYTES, Record, Scratch, WALK_STEPS_MAX, Walk, flags, pod};

use crate::kernel::{Path, constant, field, file_flags, ids, mix};
use crate::maps::{OFFSETS, SCRATCH};

/// [`Walk::below_mount`] of a walk that has not left its first mount.
const NO_MOUNT: u64 = u64::MAX;

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
    ($walk:expr, $field:ident, $value:expr) => {{
        let value = $value;
        // SAFETY: as above.
        unsafe { core::ptr::write_volatile(&raw mut (*$walk).$field, value) }
    }};
}

/// Starts a walk at `path`, to end at `root`.
#[inline(always)]
fn start(walk: *mut Walk, path: &Path, root: &Path) {
    set!(walk, dentry, path.dentry);
    set!(
        walk,
        mount,
        path.mount.wrapping_sub(constant!(OFFSETS, mount_mnt) as u64)
    );
    set!(walk, root_dentry, root.dentry);
    set!(walk, root_mount, root.mount);
    // Not 0, which says that there is none.
    set!(walk, lineage, 1);
    set!(walk, position, PATH_BYTES as u64);
    set!(walk, below_mount, NO_MOUNT);
    set!(walk, layer, PATH_BYTES as u64);
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

#[inline(always)]
fn is_at_end(walk: *mut Walk) -> bool {
    let vfsmount = get!(walk, mount).wrapping_add(constant!(OFFSETS, mount_mnt) as u64);
    get!(walk, dentry) == get!(walk, root_dentry) && vfsmount == get!(walk, root_mount)
}

/// One component, or one mount point. True at the end.
#[inline(always)]
fn step(walk: *mut Walk, path: Option<*mut u8>) -> Result<bool, i32> {
    if is_at_end(walk) {
        return arrive(walk);
    }
    let dentry = get!(walk, dentry);
    let mount = get!(walk, mount);
    let vfsmount = mount.wrapping_add(constant!(OFFSETS, mount_mnt) as u64);
    let mount_root = field!(vfsmount, vfsmount_root => u64)?;
    let parent = field!(dentry, dentry_parent => u64)?;
    if dentry == mount_root || dentry == parent {
        return leave_mount(walk, mount, dentry == mount_root);
    }
    let name = field!(dentry, dentry_name => u64)?;
    set!(walk, lineage, mix(get!(walk, lineage), name));
    if let Some(path) = path {
        prepend(walk, path, dentry, name)?;
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
    if get!(walk, below_mount) == NO_MOUNT {
        set!(walk, below_mount, get!(walk, position));
    }
    set!(walk, dentry, field!(mount, mount_mountpoint => u64)?);
    set!(walk, mount, outer);
    Ok(false)
}

/// Writes `/name` in front of what is there, unless that or what came before found no room. `name` is its hash and length.
#[inline(always)]
fn prepend(walk: *mut Walk, path: *mut u8, dentry: u64, name: u64) -> Result<(), i32> {
    let length = (name >> 32) & (NAME_BYTES as u64 - 1);
    let position = get!(walk, position);
    if get!(walk, flags) & flags::FULL as u64 != 0 || position < length + 1 {
        flag(walk, flags::FULL);
        return Ok(());
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
    Ok(())
}

/// The whole walk. Fails where the kernel changed something in the middle of it.
#[inline(always)]
fn run(walk: *mut Walk, path: Option<*mut u8>) -> Result<(), i32> {
    for _ in 0..WALK_STEPS_MAX {
        if step(walk, path)? {
            return Ok(());
        }
    }
    if is_at_end(walk) {
        arrive(walk)?;
    }
    Ok(())
}

/// Writes the path of a file into a record, and its fingerprint.
#[inline(always)]
pub fn describe(record: *mut Record, path: &Path, root: &Path) -> Result<(), i32> {
    let file_flags = file_flags(path)?;
    // SAFETY: `record` was reserved and has not been submitted.
    let (walk, bytes) = unsafe { (&raw mut (*record).walk, (&raw mut (*record).path).cast::<u8>()) };
    start(walk, path, root);
    set!(walk, flags, get!(walk, flags) | file_flags);
    if file_flags & flags::DELETED as u64 != 0 {
        set!(walk, position, (PATH_BYTES - DELETED.len()) as u64);
        for (index, byte) in DELETED.iter().enumerate() {
            // SAFETY: the index is below PATH_BYTES.
            unsafe { *bytes.add(PATH_BYTES - DELETED.len() + index) = *byte };
        }
    }
    if file_flags & flags::PATHLESS as u64 != 0 {
        prepend(walk, bytes, path.dentry, field!(path.dentry, dentry_name => u64)?)?;
        return arrive(walk).map(drop);
    }
    run(walk, Some(bytes))?;
    if file_flags & flags::OVERLAY as u64 == 0 {
        return Ok(());
    }
    describe_layer(walk, bytes, path)
}

/// Writes in front of the path of a file on an overlay what only its path in the layer has: the way from the overlay's
/// root down to the part of it that the task sees, through a bind mount or after `chroot(2)`.
#[inline(always)]
fn describe_layer(walk: *mut Walk, bytes: *mut u8, path: &Path) -> Result<(), i32> {
    let (position, flags_before) = (get!(walk, position), get!(walk, flags));
    // Where no mount was crossed, the walk has ended inside of the overlay.
    if get!(walk, below_mount) != NO_MOUNT {
        set!(walk, dentry, field!(path.mount, vfsmount_root => u64)?);
    }
    let mut arrived = false;
    for _ in 0..LAYER_STEPS_MAX {
        let dentry = get!(walk, dentry);
        let parent = field!(dentry, dentry_parent => u64)?;
        if dentry == parent {
            arrived = true;
            break;
        }
        prepend(walk, bytes, dentry, field!(dentry, dentry_name => u64)?)?;
        set!(walk, dentry, parent);
    }
    let complete = arrived && get!(walk, flags) & flags::FULL as u64 == 0;
    let part = if complete { 0 } else { flags::OVERLAY_PART as u64 };
    set!(walk, flags, flags_before | part);
    set!(walk, layer, get!(walk, position));
    set!(walk, position, position);
    Ok(())
}

/// The fingerprint of a path, without the path.
#[inline(always)]
pub fn lineage(path: &Path, root: &Path) -> Result<u64, i32> {
    with_scratch(|scratch| {
        // SAFETY: `scratch` points at a map value that only this thread uses.
        let walk = unsafe { &raw mut (*scratch).walk };
        start(walk, path, root);
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
