//! Counting: two look-ups and one add for what was seen before.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use profiler_common::{CgroupState, Key, Place, Record, Value, loss, pod, record};

use crate::kernel::{Path, ids, mix};
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

/// Whether a key is described.
#[inline(always)]
fn is_announced(value: *mut Value) -> bool {
    // SAFETY: as in `hit`. Volatile, because others write at the same time.
    unsafe { core::ptr::read_volatile(&raw const (*value).announced) != 0 }
}

#[inline(always)]
fn lineage_of(value: *mut Value) -> u64 {
    // SAFETY: as in `is_announced`.
    unsafe { core::ptr::read_volatile(&raw const (*value).lineage) }
}

/// The lineage that was found for a key's place in this epoch; 0 where nobody has looked.
#[inline(always)]
fn verified(value: *mut Value, epoch: u64) -> u64 {
    // SAFETY: as in `is_announced`.
    let (own, elsewhere, verified) = unsafe {
        (
            core::ptr::read_volatile(&raw const (*value).lineage),
            core::ptr::read_volatile(&raw const (*value).elsewhere),
            core::ptr::read_volatile(&raw const (*value).verified),
        )
    };
    if verified == mix(own, epoch) {
        own
    } else if elsewhere != 0 && verified == mix(elsewhere, epoch) {
        elsewhere
    } else {
        0
    }
}

/// Notes what a look at a key's path has found.
#[inline(always)]
fn verify(value: *mut Value, lineage: u64, epoch: u64) {
    // SAFETY: as in `is_announced`.
    unsafe {
        if lineage != lineage_of(value) {
            core::ptr::write_volatile(&raw mut (*value).elsewhere, lineage);
        }
        core::ptr::write_volatile(&raw mut (*value).verified, mix(lineage, epoch));
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
pub fn file(state: *mut CgroupState, key: &mut Key, path: &Path, now: u64) {
    let Some(keys) = KEYS.get(0) else {
        return lost_in(state, loss::MAP_FULL);
    };
    // Read before the walk: a rename in the middle makes the next hit verify again.
    let epoch = epoch();
    let mut known = keys.get_ptr_mut(&*key);
    let mut lineage = match known {
        Some(value) => verified(value, epoch),
        None => 0,
    };
    if lineage == 0 {
        match walk::lineage(path, &root_in(key)) {
            Ok(found) => lineage = found,
            Err(_) => return lost_in(state, loss::RACED),
        }
        if let Some(value) = known {
            verify(value, lineage, epoch);
        }
    }
    if let Some(value) = known
        && lineage_of(value) != lineage
    {
        // The same name in the same directory, and yet another path: a directory above it was renamed. From now on it has
        // a key of its own.
        key.lineage = lineage;
        known = keys.get_ptr_mut(&*key);
    }
    match known {
        Some(value) => {
            hit(value, now);
            if is_announced(value) {
                return;
            }
        }
        None => {
            let value = Value {
                count: 1,
                first: now,
                last: now,
                lineage,
                verified: mix(lineage, epoch),
                ..pod::zeroed()
            };
            if over_quota(state) || !insert(keys, state, key, &value) {
                return;
            }
        }
    }
    // New, or there was no room for its description so far. If there is none now, the next hit tries again, and if there
    // is no next one, user space counts a loss.
    let Some(mut entry) = RING.reserve(0) else { return };
    let described = describe(entry.as_mut_ptr(), key, path);
    // Looked up again, because what the verifier knows about `known` would make it follow `describe` once more.
    match keys.get_ptr_mut(&*key) {
        // Two walks that agree: nobody sees a path that never was, and what was counted before belongs to this path.
        Some(value) if described == lineage_of(value) => {
            // SAFETY: as in `hit`.
            unsafe { core::ptr::write_volatile(&raw mut (*value).announced, 1) };
            entry.submit(0);
        }
        _ => entry.discard(0),
    }
}

/// Fills in a record of a file, and returns its path's lineage; 0 where the kernel changed something in the middle.
#[inline(never)]
fn describe(target: *mut Record, key: &Key, path: &Path) -> u64 {
    if walk::describe(target, path, &root_in(key)).is_err() {
        return 0;
    }
    fill(target, record::FILE, ids().0, 0);
    // SAFETY: the entry is reserved and not yet submitted.
    unsafe {
        (*target).key = *key;
        core::ptr::read_volatile(&raw const (*target).walk.lineage)
    }
}

/// The task's root directory in the key of an open.
#[inline(always)]
fn root_in(key: &Key) -> Path {
    // SAFETY: a `Place` has the same size and alignment. Not copied: the stack is small.
    let place = unsafe { &*key.object.as_ptr().cast::<Place>() };
    Path {
        mount: place.root_mount,
        dentry: place.root_dentry,
    }
}

/// Counts what is described when it is new.
#[inline(always)]
pub fn described(state: *mut CgroupState, key: &Key, now: u64, describe: impl FnOnce() -> bool) {
    let Some(keys) = KEYS.get(0) else {
        return lost_in(state, loss::MAP_FULL);
    };
    match keys.get_ptr_mut(key) {
        Some(known) => {
            hit(known, now);
            if is_announced(known) {
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
