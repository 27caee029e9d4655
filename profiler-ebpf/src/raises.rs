//! Privileges that somebody has more of than before.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::{CgroupState, Key, Raise, kind, loss, pod, raise};

use crate::count::{lost_in, plain};
use crate::kernel::{Address, current, current_cgroup, field, ids, now, phase, task_field};
use crate::process::{executing, find, image_of, recorded};

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

/// An execution that succeeded: (task, old thread id, linux_binprm). A program of its own, attached before the one that
/// counts executions: together they would need more stack than there is.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec_raises(ctx: BtfTracePointContext) -> i32 {
    let binprm: Address = ctx.arg(2);
    // Set where the file has a set-user-id or set-group-id bit that counts, or capabilities that the task had not
    // (bprm_fill_uid, fs/exec.c; cap_bprm_creds_from_file, security/commoncap.c).
    if let Ok(set) = field!(binprm, binprm_per_clear => u32)
        && set != 0
        && let Ok(cgroup) = current_cgroup()
        && let Some(state) = recorded(cgroup)
        && by_execution(state, cgroup, binprm).is_err()
    {
        lost_in(state, loss::RACED);
    }
    0
}

/// The current task got privileges with what it executes.
#[inline(always)]
fn by_execution(state: *mut CgroupState, cgroup: u64, binprm: Address) -> Result<(), i32> {
    let (process, now) = (ids().0, now());
    let image = image_of(field!(binprm, binprm_file => u64)?, current(), process)?;
    let before = find(process);
    let key = Key {
        cgroup,
        subject: before.image,
        provenance: executing(before.provenance),
        // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
        phase: phase(unsafe { &*state }, now),
        ..pod::zeroed()
    };
    let credentials = task_field!(current(), task_cred => u64)?;
    count(state, key, image, credentials, raise::EXECUTION, now);
    Ok(())
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
#[inline(never)]
pub fn with_credentials(cgroup: u64, process: u32, credentials: Address) {
    let Some(state) = recorded(cgroup) else { return };
    let (process, now) = (find(process), now());
    let key = Key {
        cgroup,
        subject: process.image,
        provenance: process.provenance as u8,
        // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
        phase: phase(unsafe { &*state }, now),
        ..pod::zeroed()
    };
    count(state, key, process.image, credentials, raise::USER_NAMESPACE, now);
}
