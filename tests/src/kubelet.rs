//! What a kubelet does, done by hand: cgroups with its names, statuses as it writes them; and what a window made of them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use baselines::loss::Reason;
use baselines::recording::{Recording, Summary};
use serde_json::{Value, json};

use crate::{ApiServer, Cgroup, Running, Scratch, profile_start, start, workload};

/// What the cluster calls the node of tests.
pub const NODE: &str = "node-7";
/// How often each container opens its file.
pub const OPENS: &str = "20";

/// A container of a pod: a cgroup with the kubelet's name, and a process in it that opens a file.
pub struct Container {
    /// Its id, as the runtime has it.
    pub id: String,
    /// Its cgroup.
    pub cgroup: Cgroup,
    /// Its process.
    pub process: Running,
}

impl Container {
    /// Starts one of a pod, which opens its file [`OPENS`] times and stays.
    pub fn run(scratch: &Scratch, pod: &Value) -> Self {
        let file = scratch.file("opened", "");
        Self::doing(pod, &["open", file.to_str().unwrap(), OPENS, "1"])
    }

    /// Starts one that opens its file until it is killed, and counts that itself.
    pub fn counting(scratch: &Scratch, pod: &Value) -> Self {
        let file = scratch.file("opened", "");
        let counter = scratch.file(pod["metadata"]["uid"].as_str().unwrap(), [0; 8]);
        Self::start(
            pod,
            &["open-counting", file.to_str().unwrap(), counter.to_str().unwrap()],
        )
    }

    /// Starts one that does this, and then stays.
    pub fn doing(pod: &Value, steps: &[&str]) -> Self {
        Self::start(pod, &[steps, &["then", "sleep", "600000"]].concat())
    }

    fn start(pod: &Value, steps: &[&str]) -> Self {
        Self::running(pod, Command::new(workload()).args(steps))
    }

    /// Starts one that is this command.
    pub fn running(pod: &Value, command: &mut Command) -> Self {
        let id = container_id();
        let cgroup = Cgroup::create(&cgroup_path(pod, &id));
        let process = cgroup.start(command);
        Self { id, cgroup, process }
    }

    /// The path of its cgroup.
    pub fn path(&self) -> &str {
        self.cgroup.path()
    }

    /// As a kubelet reports it while it runs.
    pub fn status(&self, name: &str, image_id: &str) -> Value {
        status(&self.id, name, image_id)
    }
}

/// As a kubelet reports a container while it runs.
pub fn status(id: &str, name: &str, image_id: &str) -> Value {
    json!({
        "name": name, "ready": true, "restartCount": 0, "containerID": format!("containerd://{id}"),
        "image": format!("docker.io/shop/{name}:1.4"), "imageID": image_id,
        "state": {"running": {"startedAt": "2026-11-21T09:30:00Z"}},
    })
}

/// An id of a container that no other test gives.
pub fn container_id() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{:032x}{number:032x}", std::process::id())
}

/// The path of the cgroup of a pod's container.
pub fn cgroup_path(pod: &Value, id: &str) -> String {
    let uid = pod["metadata"]["uid"].as_str().unwrap();
    format!("/kubepods/besteffort/pod{uid}/{id}")
}

/// The digest that a registry has for an image.
pub fn digest(name: &str) -> String {
    let number = name
        .bytes()
        .fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    format!("sha256:{number:064x}")
}

/// The id of an image that was pulled from a registry.
pub fn pulled(name: &str) -> String {
    format!("docker.io/shop/{name}@{}", digest(name))
}

/// Any object.
pub fn object(api: &str, kind: &str, namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": api, "kind": kind, "metadata": {"namespace": namespace, "name": name}, "spec": spec,
    })
}

/// How often a container of [`Container::counting`] has opened its file so far; or once more, if it was killed just then.
pub fn counted(scratch: &Scratch, pod: &Value) -> u64 {
    let counter = std::fs::read(scratch.path(pod["metadata"]["uid"].as_str().unwrap())).unwrap();
    u64::from_ne_bytes(counter[..8].try_into().unwrap())
}

/// What a pod with one container of this name consists of.
pub fn spec_of(name: &str) -> Value {
    json!({"containers": [{"name": name, "image": format!("shop/{name}:1.4")}]})
}

/// A pod on the node, with one container of its name.
pub fn bare(namespace: &str, name: &str) -> Value {
    let mut pod = object("v1", "Pod", namespace, name, &spec_of(name));
    pod["spec"]["nodeName"] = NODE.into();
    pod
}

/// Makes the namespaces `production` and `staging`.
pub fn make_namespaces(server: &ApiServer) {
    for name in ["production", "staging"] {
        server.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    }
}

/// Reports the one container of a pod as running.
pub fn run_status(server: &ApiServer, pod: &Value, container: &Container, name: &str) {
    let statuses = json!([container.status(name, &pulled(name))]);
    server.set_status(pod, &json!({"phase": "Running", "containerStatuses": statuses}));
}

/// Starts a window on the node of tests.
pub fn learn(scratch: &Scratch, kubeconfig: &Path, options: &[&str]) -> Running {
    let mut command = profile_start(scratch.recording(), options);
    command
        .args(["--node", NODE, "--flush-interval", "200ms", "--kubeconfig"])
        .arg(kubeconfig);
    let mut recorder = start(&mut command);
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));
    recorder
}

/// Ends a window; what it said.
pub fn end(recorder: Running) -> String {
    recorder.signal(libc::SIGINT);
    let done = recorder.finish();
    assert_eq!(done.code(), 0, "{done}");
    done.stderr
}

/// What is in the recording.
pub fn summary(scratch: &Scratch) -> Summary {
    Recording::open(scratch.recording()).unwrap().summary().unwrap()
}

/// Workload and image of the containers in the recording, by the paths of their cgroups.
pub fn names(scratch: &Scratch) -> BTreeMap<String, String> {
    let containers = summary(scratch).containers.into_iter();
    let told = containers.map(|seen| {
        let path = String::from_utf8_lossy(&seen.container.cgroup_path).into_owned();
        (path, format!("{} {}", seen.container.workload, seen.container.image))
    });
    told.collect()
}

/// How often containers opened their files, by their cgroups.
pub fn opens(scratch: &Scratch) -> BTreeMap<String, u64> {
    let file = scratch.path("opened");
    let mut counts = BTreeMap::new();
    for baseline in crate::baselines(scratch.recording()) {
        for open in baseline
            .behaviours
            .open
            .iter()
            .filter(|open| open.path.as_bytes() == file.as_os_str().as_encoded_bytes())
        {
            for container in &baseline.containers {
                *counts.entry(container.workload.to_string()).or_default() += open.evidence.count;
            }
        }
    }
    counts
}

/// What was lost in one cgroup because nobody could name it.
pub fn nameless(scratch: &Scratch, cgroup: u64) -> u64 {
    let losses = summary(scratch).losses.into_iter();
    let of_it = losses.filter(|loss| loss.reason == Reason::UnresolvedContainer && loss.cgroup_id == Some(cgroup));
    of_it.map(|loss| loss.count).sum()
}
