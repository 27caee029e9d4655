//! What is promised holds on every kernel that is supported, and what the kernel itself sees of a workload is what its
//! policy allows.
//!
//! Each test boots a virtual machine (tools/vm), which runs this program again, with the one test that is ignored here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

#[path = "../guest/names.rs"]
mod names;
#[path = "../guest/oracle.rs"]
mod oracle;
#[path = "../guest/policy.rs"]
mod policy;
#[path = "../guest/promises.rs"]
mod promises;
#[path = "../guest/story.rs"]
#[allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]
mod story;

use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use end_to_end::finish_within;

/// A machine takes up to a minute where it has a processor to itself.
const PATIENCE: Duration = Duration::from_mins(20);

#[test]
fn linux_5_10() {
    // Without bpf among its security modules, LSM programs would never run.
    promises_hold_on("5.10", &[], "", &["fentry", "tracepoint", "kprobe"]);
}

#[test]
fn linux_5_10_with_bpf_among_its_security_modules() {
    promises_hold_on("5.10", &["--lsm", "lockdown,yama,apparmor,bpf"], "", &["lsm"]);
}

#[test]
fn linux_6_1() {
    promises_hold_on("6.1", &[], "", &["lsm", "fentry", "tracepoint", "kprobe"]);
}

#[test]
fn linux_6_12() {
    promises_hold_on("6.12", &[], "(voluntary)", &["lsm", "fentry", "tracepoint", "kprobe"]);
}

// Where a kernel preempts itself, fentry and kprobe programs may be skipped: they are not what is chosen there, but must
// load.

#[test]
fn linux_6_12_that_preempts_everything() {
    let options = ["--append", "preempt=full"];
    promises_hold_on("6.12", &options, "(full)", &["lsm", "tracepoint"]);
}

#[test]
fn linux_6_18() {
    promises_hold_on("6.18", &[], "(lazy)", &["lsm", "tracepoint"]);
}

/// `preemption` is how the kernel must say that it preempts; of the backends, the first one must be what is chosen.
fn promises_hold_on(kernel: &str, options: &[&str], preemption: &str, backends: &[&str]) {
    let preempts = matches!(preemption, "(full)" | "(lazy)");
    let mut machine = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools/vm"));
    machine
        .args(options)
        .args(["--timeout", &PATIENCE.as_secs().to_string(), kernel, "--"])
        // Not on the machine's overlay, of which every file is opened twice.
        .args(["env", "TMPDIR=/var/tmp"])
        .arg(format!("BACKENDS={}", backends.join(",")))
        .args(preempts.then_some("PREEMPTS=yes"))
        .arg(env::current_exe().unwrap())
        .args(["--exact", "promises::on_this_kernel", "--ignored", "--nocapture"]);
    let done = finish_within(&mut machine, PATIENCE + Duration::from_mins(1));
    assert_eq!(done.code(), 0, "{done}");
    // It was that test, on that kernel.
    let said = [
        "1 passed".to_owned(),
        format!("Linux version {kernel}."),
        preemption.to_owned(),
        format!("{} backends agree", backends.len()),
    ];
    for said in said {
        assert!(done.stdout.contains(&said), "{said}? {done}");
    }
}
