//! Privileges that somebody has more of than before.

use profiler_common::{CgroupState, Key, Raise, kind, loss, pod, provenance, raise};

use crate::count::{lost_in, plain};
use crate::kernel::{Address, current, current_cgroup, field, ids, now, phase, task_field};
use crate::process::{find, recorded};

/// Counts what a task may do now.
#[inline(always)]
fn count(state: *mut CgroupState, mut key: Key, image: u64, credentials: Address, cause: u32, now: u64) {
    let (Ok(user), Ok(capabilities)) = (
        field!(credentials, cred_euid => u32),
        field!(credentials, cred_permitted => u64),
    ) else {
        return lost_in(state, loss::RACED);
    };
    key.kind = kind::RAISE;
    key.object = pod::cast(Raise {
        image,
        capabilities,
        user,
        cause,
        padding: [0; 5],
    });
    plain(state, &key, now);
}

/// The current task got privileges with what it executes. Not inlined, and with a key of its own: what the verifier knows
/// after this is what it knew before, so it does not look at everything that follows once more.
#[inline(never)]
pub fn by_execution(state: *mut CgroupState, cgroup: u64, subject: u64, image: u64, provenance: u8) {
    let Ok(credentials) = task_field!(current(), task_cred => u64) else {
        return lost_in(state, loss::RACED);
    };
    let now = now();
    let key = Key {
        cgroup,
        subject,
        provenance,
        // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
        phase: phase(unsafe { &*state }, now),
        ..pod::zeroed()
    };
    count(state, key, image, credentials, raise::EXECUTION, now);
}

/// The current task is in another user namespace, where it may do everything.
#[inline(never)]
pub fn entered_user_namespace() {
    let Ok(cgroup) = current_cgroup() else { return };
    if let Ok(credentials) = task_field!(current(), task_cred => u64) {
        with_credentials(cgroup, ids().0, credentials);
    }
}

/// A process has these credentials of another user namespace.
#[inline(always)]
pub fn with_credentials(cgroup: u64, process: u32, credentials: Address) {
    let Some(state) = recorded(cgroup) else { return };
    let (process, now) = (find(process), now());
    let key = Key {
        cgroup,
        subject: process.image,
        provenance: process.provenance.min(provenance::ENTERING as u64) as u8,
        // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
        phase: phase(unsafe { &*state }, now),
        ..pod::zeroed()
    };
    count(state, key, process.image, credentials, raise::USER_NAMESPACE, now);
}
