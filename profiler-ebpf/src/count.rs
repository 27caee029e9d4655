//! Counting: two look-ups and one add for what was seen before.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use profiler_common::{CgroupState, FileIdentity, Key, Record, Value, loss, pod, record};

use crate::kernel::{Path, file_flags, ids};
use crate::maps::{EPOCH, GENERATION, KEYS, Keys, LOST, RING};
use crate::process::{NOEXIST, fill};
use crate::walk;

/// Adds one, atomically. The result is not used: 5.10 has no instruction that returns it.
#[inline(always)]
pub fn add(counter: *mut u64) {
    // SAFETY: the caller passes a pointer into a map value.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1) };
}

/// Counts a loss that belongs to no cgroup.
#[inline(always)]
pub fn lost(reason: usize) {
    if let Some(counter) = LOST.get_ptr_mut(reason as u32) {
        add(counter);
    }
}

/// Counts a loss of a cgroup.
#[inline(always)]
pub fn lost_in(state: *mut CgroupState, reason: usize) {
    // SAFETY: `state` points into the table of cgroups, and every reason is below the array's length.
    add(unsafe { (&raw mut (*state).lost).cast::<u64>().add(reason) });
}

/// Renames and mounts so far.
#[inline(always)]
pub fn epoch() -> u64 {
    // SAFETY: an aligned word of a map.
    unsafe { core::ptr::read_volatile(&raw const EPOCH) }
}

/// Known paths may have changed.
#[inline(always)]
pub fn next_epoch() {
    add(&raw mut EPOCH);
}

#[inline(always)]
fn hit(value: *mut Value, now: u64) {
    // SAFETY: `value` points into the current generation, whose entries are never removed.
    unsafe {
        add(&raw mut (*value).count);
        core::ptr::write_volatile(&raw mut (*value).last, now);
    }
}

#[inline(always)]
fn get(value: *mut Value) -> (u64, u64, bool) {
    // SAFETY: as in `hit`. Read field by field, because others write at the same time.
    unsafe {
        (
            core::ptr::read_volatile(&raw const (*value).lineage),
            core::ptr::read_volatile(&raw const (*value).epoch),
            core::ptr::read_volatile(&raw const (*value).announced) != 0,
        )
    }
}

/// Inserts a key. False where it could not be, which is counted as a loss.
#[inline(always)]
fn insert(keys: &Keys, state: *mut CgroupState, key: &Key, value: &Value) -> bool {
    match keys.insert(key, value, NOEXIST) {
        Ok(()) => {
            // SAFETY: `state` points into the table of cgroups.
            add(unsafe { &raw mut (*state).keys });
            true
        }
        // Another processor inserted it in the meantime.
        Err(-17) => match keys.get_ptr_mut(key) {
            Some(known) => {
                hit(known, value.last);
                true
            }
            None => {
                lost_in(state, loss::MAP_FULL);
                false
            }
        },
        Err(_) => {
            lost_in(state, loss::MAP_FULL);
            false
        }
    }
}

/// Whether a cgroup has used up its share of the table, which is counted as a loss.
#[inline(always)]
fn over_quota(state: *mut CgroupState) -> bool {
    let generation = match GENERATION.get_ptr(0) {
        // SAFETY: an aligned word of a map.
        Some(number) => unsafe { core::ptr::read_volatile(number) },
        None => 0,
    };
    // SAFETY: `state` points into the table of cgroups. Two processors may both reset the count: a share is no promise.
    let keys = unsafe {
        if core::ptr::read_volatile(&raw const (*state).generation) != generation {
            core::ptr::write_volatile(&raw mut (*state).generation, generation);
            core::ptr::write_volatile(&raw mut (*state).keys, 0);
        }
        core::ptr::read_volatile(&raw const (*state).keys)
    };
    if keys >= crate::kernel::setting!(key_quota) {
        lost_in(state, loss::KEY_QUOTA);
        return true;
    }
    false
}

/// Counts what needs no description: everything about it is in its key.
#[inline(always)]
pub fn plain(state: *mut CgroupState, key: &Key, now: u64) {
    let Some(keys) = KEYS.get(0) else {
        return lost_in(state, loss::MAP_FULL);
    };
    if let Some(known) = keys.get_ptr_mut(key) {
        return hit(known, now);
    }
    if !over_quota(state) {
        insert(
            keys,
            state,
            key,
            &Value {
                count: 1,
                first: now,
                last: now,
                announced: 1,
                ..pod::zeroed()
            },
        );
    }
}

/// Counts the opening of a file.
#[inline(always)]
pub fn file(state: *mut CgroupState, key: &mut Key, path: &Path, file: &FileIdentity, now: u64) {
    let Some(keys) = KEYS.get(0) else {
        return lost_in(state, loss::MAP_FULL);
    };
    // Read before the walk: a rename in the middle makes the next hit verify again.
    let epoch = epoch();
    if let Some(known) = keys.get_ptr_mut(&*key) {
        let (lineage, verified, announced) = get(known);
        if announced && verified == epoch {
            return hit(known, now);
        }
        let Ok(found) = walk::lineage(path, file) else {
            return lost_in(state, loss::RACED);
        };
        if !announced {
            hit(known, now);
            return retry(key, known, path, epoch);
        }
        if found == lineage {
            // SAFETY: as in `hit`.
            unsafe { core::ptr::write_volatile(&raw mut (*known).epoch, epoch) };
            return hit(known, now);
        }
        // The same file under the same name, and yet another path: a directory above it was renamed. From now on it has
        // a key of its own.
        key.lineage = found;
        if let Some(known) = keys.get_ptr_mut(&*key) {
            hit(known, now);
            if !get(known).2 {
                retry(key, known, path, epoch);
            }
            return;
        }
    }
    if over_quota(state) {
        return;
    }
    let mut value = Value {
        count: 1,
        first: now,
        last: now,
        epoch,
        ..pod::zeroed()
    };
    let Some(mut entry) = RING.reserve(0) else {
        // Not described: the next hit tries again, and if there is none, user space counts a loss.
        insert(keys, state, key, &value);
        return;
    };
    let lineage = describe(entry.as_mut_ptr(), key, path);
    value.announced = (lineage != 0) as u64;
    value.lineage = lineage;
    if insert(keys, state, key, &value) && lineage != 0 {
        entry.submit(0);
    } else {
        entry.discard(0);
    }
}

/// Describes a key whose first description found no room in the ring buffer.
#[inline(always)]
fn retry(key: &Key, known: *mut Value, path: &Path, epoch: u64) {
    let Some(mut entry) = RING.reserve(0) else { return };
    let lineage = describe(entry.as_mut_ptr(), key, path);
    if lineage == 0 {
        return entry.discard(0);
    }
    // SAFETY: as in `hit`.
    unsafe {
        core::ptr::write_volatile(&raw mut (*known).lineage, lineage);
        core::ptr::write_volatile(&raw mut (*known).epoch, epoch);
        core::ptr::write_volatile(&raw mut (*known).announced, 1);
    }
    entry.submit(0);
}

/// Fills in a record of a file, and returns its path's lineage. 0 where a rename happened in the middle of the walk, so
/// that nobody sees a path that never was: the walk is done twice, and both must agree.
#[inline(never)]
fn describe(target: *mut Record, key: &Key, path: &Path) -> u64 {
    // SAFETY: the caller put a `FileIdentity` there, which has the same size and alignment. Not copied: the stack is small.
    let file = unsafe { &*key.object.as_ptr().cast::<FileIdentity>() };
    try_describe(target, key, path, file).unwrap_or(0)
}

#[inline(always)]
fn try_describe(target: *mut Record, key: &Key, path: &Path, file: &FileIdentity) -> Result<u64, i32> {
    walk::describe(target, path, file, file_flags(file)?)?;
    fill(target, record::FILE, ids().0, 0);
    // SAFETY: the entry is reserved and not yet submitted.
    let lineage = unsafe {
        (*target).key = *key;
        (*target).file = *file;
        core::ptr::read_volatile(&raw const (*target).walk.lineage)
    };
    if walk::lineage(path, file)? == lineage {
        Ok(lineage)
    } else {
        Err(-1)
    }
}

/// Counts the execution of a script, which is described when it is new.
#[inline(always)]
pub fn script(state: *mut CgroupState, key: &Key, now: u64, describe: impl FnOnce() -> bool) {
    let Some(keys) = KEYS.get(0) else {
        return lost_in(state, loss::MAP_FULL);
    };
    match keys.get_ptr_mut(key) {
        Some(known) => {
            hit(known, now);
            if get(known).2 {
                return;
            }
        }
        None => {
            let value = Value {
                count: 1,
                first: now,
                last: now,
                ..pod::zeroed()
            };
            if over_quota(state) || !insert(keys, state, key, &value) {
                return;
            }
        }
    }
    if describe()
        && let Some(known) = keys.get_ptr_mut(key)
    {
        // SAFETY: as in `hit`.
        unsafe { core::ptr::write_volatile(&raw mut (*known).announced, 1) };
    }
}
