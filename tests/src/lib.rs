//! What every end-to-end test needs: the programs, a folder of its own, processes that cannot hang, cgroups that go away.
//!
//! ```no_run
//! use end_to_end::{Scratch, finish, profile_run};
//!
//! let scratch = Scratch::new();
//! let done = finish(&mut profile_run(scratch.recording(), "test/cat", &[], ["cat", "/etc/hostname"]));
//! assert_eq!(done.code(), 0, "{done}");
//! let baseline = scratch.baseline("test/cat");
//! assert!(baseline.behaviours.open.iter().any(|open| open.path.as_bytes() == b"/etc/hostname"));
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they stand on"
)]

pub mod agents;
mod apiserver;
mod cgroup;
pub mod chart;
pub mod cri;
pub mod evidence;
pub mod kubelet;
mod mounts;
mod process;
pub mod runc;
mod scratch;
mod stub;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub use apiserver::ApiServer;
pub use cgroup::{Cgroup, cgroup_of_run, enter, unified, unique};
pub use mounts::{Mount, in_own_mounts};
pub use process::{Finished, Running, finish, finish_within, start};
pub use scratch::{Scratch, baselines, counts, status};
pub use stub::{Pods, StubServer};

/// The program `profile`.
pub fn profile() -> Command {
    program("profile")
}

/// The program `generate`.
pub fn generate() -> Command {
    program("generate")
}

/// What `generate baselines` or `generate policies` writes about a recording into a folder: the files.
pub fn generated(what: &str, recording: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut command = generate();
    command
        .args([what, "--recording"])
        .arg(recording)
        .arg("--out")
        .arg(folder);
    let done = finish(&mut command);
    assert_eq!(done.code(), 0, "{done}");
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|entry| entry.unwrap().path()).collect()
}

/// The program that makes the noise, see `src/bin/workload.rs`.
pub fn workload() -> PathBuf {
    built("workload")
}

/// `workload STEP then STEP ...`, as arguments. Spaces separate the words of a step.
pub fn steps<S: AsRef<str>>(steps: impl IntoIterator<Item = S>) -> Vec<String> {
    let mut arguments = vec![workload().to_str().unwrap().to_owned()];
    for step in steps {
        if arguments.len() > 1 {
            arguments.push("then".to_owned());
        }
        arguments.extend(step.as_ref().split(' ').map(str::to_owned));
    }
    arguments
}

/// `profile run --image IMAGE --recording RECORDING OPTIONS -- COMMAND`, as root.
pub fn profile_run<S: AsRef<OsStr>>(
    recording: &Path,
    image: &str,
    options: &[&str],
    command: impl IntoIterator<Item = S>,
) -> Command {
    require_root();
    let mut profile = profile();
    profile.args(["run", "--image", image, "--recording"]).arg(recording);
    profile.args(options).arg("--").args(command);
    profile
}

/// `profile start --recording RECORDING OPTIONS`, as root. It follows the unified hierarchy, which tests make their cgroups
/// in, whatever else runs on this machine.
pub fn profile_start(recording: &Path, options: &[&str]) -> Command {
    require_root();
    let mut profile = profile();
    profile.env("WARDLINE_HIERARCHY", "unified");
    profile.args(["start", "--recording"]).arg(recording).args(options);
    profile
}

/// Says clearly why nothing here can work.
pub fn require_root() {
    // SAFETY: takes no argument and cannot fail.
    let user = unsafe { libc::geteuid() };
    assert_eq!(
        user, 0,
        "the end-to-end tests load probes into the kernel and make cgroups: run them as root"
    );
}

/// A program that `tools/NAME` builds if it is not there: `tools/setup test` has done that before.
fn tool(name: &str) -> PathBuf {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools").join(name);
    let built = Command::new(tool).output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    String::from_utf8(built.stdout).unwrap().trim_end().into()
}

/// Asks until there is an answer, for at most a minute.
pub fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let mut answer = None;
    cgroup::wait_until(Duration::from_mins(1), || {
        answer = ask();
        answer.is_some()
    });
    answer
}

fn program(name: &str) -> Command {
    let mut command = Command::new(built(name));
    for variable in [
        "WARDLINE_BACKEND",
        "WARDLINE_RECORDING",
        "WARDLINE_LOG",
        "WARDLINE_HIERARCHY",
        "KUBECONFIG",
        "CONTAINER_RUNTIME_ENDPOINT",
        "KUBERNETES_SERVICE_HOST",
        "NODE_NAME",
    ] {
        command.env_remove(variable);
    }
    command
}

/// A binary of the workspace: cargo builds them next to the folder of the running test. Those of other packages are not
/// built for a test of this one alone.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --workspace --bins` first",
        path.display()
    );
    path
}
