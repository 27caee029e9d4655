//! Privileges that somebody has more of than before.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::{CgroupState, Process, Raise, kind, loss, pod, raise};

use crate::count::{lost_in, plain};
use crate::kernel::{Address, Path, current, field, ids, is_out_of_reach, now, task_field};
use crate::opens::key_of;
use crate::process::{executing, find, image_of, in_recorded, recorded};

/// Counts what a process may do now, which runs this image from now on.
#[inline(always)]
fn count(
    state: *mut CgroupState,
    cgroup: u64,
    process: &Process,
    (image, cause): (u64, u32),
    credentials: Address,
) -> Result<(), i32> {
    let now = now();
    let raise = Raise {
        image,
        capabilities: field!(credentials, cred_permitted => u64)?,
        user: field!(credentials, cred_euid => u32)?,
        cause,
        padding: [0; 5],
    };
    plain(
        state,
        &key_of(state, cgroup, process, kind::RAISE, pod::cast(raise), now),
        now,
    );
    Ok(())
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
    {
        in_recorded(|state, cgroup| by_execution(state, cgroup, binprm));
    }
    0
}

/// The current task got privileges with what it executes.
#[inline(always)]
fn by_execution(state: *mut CgroupState, cgroup: u64, binprm: Address) -> Result<(), i32> {
    let process = ids().0;
    let file = field!(binprm, binprm_file => u64)?;
    let image = image_of(file, current(), process)?;
    let mut before = find(process);
    let is_out_of_reach = is_out_of_reach(&field!(file, file_path => Path)?)?;
    before.provenance = executing(before.provenance, is_out_of_reach) as u32;
    let credentials = task_field!(current(), task_cred => u64)?;
    count(state, cgroup, &before, (image, raise::EXECUTION), credentials)
}

/// The current task is in another user namespace, where it may do everything.
#[inline(always)]
pub fn entered_user_namespace() {
    if let Ok(credentials) = task_field!(current(), task_cred => u64) {
        got_credentials(credentials);
    }
}

/// The current task has these credentials of another user namespace.
#[inline(never)]
pub fn got_credentials(credentials: Address) {
    in_recorded(|state, cgroup| with_credentials(state, cgroup, ids().0, credentials));
}

/// A process, which has just been made in this cgroup, has these credentials of another user namespace.
#[inline(never)]
pub fn made_with_credentials(cgroup: u64, process: u32, credentials: Address) {
    if let Some(state) = recorded(cgroup)
        && with_credentials(state, cgroup, process, credentials).is_err()
    {
        lost_in(state, loss::RACED);
    }
}

#[inline(always)]
fn with_credentials(state: *mut CgroupState, cgroup: u64, process: u32, credentials: Address) -> Result<(), i32> {
    let process = find(process);
    count(
        state,
        cgroup,
        &process,
        (process.image, raise::USER_NAMESPACE),
        credentials,
    )
}
