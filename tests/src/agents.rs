//! Agents of learning windows, each on a node of its own, as the chart runs them.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::kubelet::{Container, make_namespaces, object, run_status, spec_of};
use crate::{ApiServer, Running, Scratch, chart, poll, profile, require_root, start};

/// A cluster with the chart in it, and the namespaces.
pub fn cluster() -> ApiServer {
    let server = ApiServer::start();
    make_namespaces(&server);
    chart::install(&server, &chart::rendered(&[]));
    server
}

/// A learning window.
pub fn window(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "wardline.dev/v1alpha1", "kind": "LearningWindow", "metadata": {"name": name}, "spec": spec,
    })
}

/// A pod of one container that runs on a node and opens a file all the time: what its scheduler and its kubelet do.
pub fn run_pod(server: &ApiServer, scratch: &Scratch, namespace: &str, name: &str, node: &str) -> Container {
    let pod = object("v1", "Pod", namespace, name, &spec_of(name));
    run(server, pod, name, node, &[scratch.file(&format!("{name}-opened"), "")])
}

/// The same of a workload of its own, with this image, and with files that it opens.
pub fn run_pod_of(server: &ApiServer, name: &str, image: &str, node: &str, files: &[PathBuf]) -> Container {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut pod = object("v1", "Pod", "production", name, &spec_of(image));
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": "StatefulSet", "name": name, "controller": true,
        "uid": format!("57a7ef00-0000-4000-9000-{:012x}", NUMBER.fetch_add(1, Ordering::Relaxed)),
    }]);
    run(server, pod, image, node, files)
}

fn run(server: &ApiServer, mut pod: Value, image: &str, node: &str, files: &[PathBuf]) -> Container {
    pod["metadata"]["labels"] = json!({"app": pod["metadata"]["name"]});
    pod["spec"]["nodeName"] = node.into();
    let pod = server.create(&pod);
    let mut command = Command::new("/bin/sh");
    command
        .args([
            "-c",
            "while :; do for file; do : <\"$file\"; done; sleep 0.1; done",
            "sh",
        ])
        .args(files);
    let container = Container::running(&pod, &mut command);
    run_status(server, &pod, &container, image);
    container
}

/// An agent, as the chart's `DaemonSet` runs it: with its options, its token, in a cgroup namespace, and with its
/// capabilities.
pub struct Agent {
    /// Its process, until it is stopped.
    pub process: Option<Running>,
    /// The Pod that it runs in, as the cluster has it.
    pub pod: Value,
    directory: PathBuf,
}

impl Agent {
    /// Starts one on a node, and waits until it follows windows.
    pub fn start(server: &ApiServer, scratch: &Scratch, node: &str) -> Self {
        Self::start_with(server, scratch, node, &[])
    }

    /// The same with further options.
    pub fn start_with(server: &ApiServer, scratch: &Scratch, node: &str, options: &[&str]) -> Self {
        require_root();
        let directory = scratch.path(node);
        let pod = server.create(&chart::agent_pod(
            &chart::rendered(&["--set", "agent.reportInterval=500ms"]),
            node,
        ));
        let container = &pod["spec"]["containers"][0];
        let mut command = Command::new("unshare");
        command
            .env("WARDLINE_HIERARCHY", "unified")
            .env("NODE_NAME", node)
            .env("POD_NAME", text(&pod["metadata"]["name"]))
            .env("POD_NAMESPACE", text(&pod["metadata"]["namespace"]))
            .args(["--cgroup", "setpriv", "--no-new-privs", "--bounding-set"])
            .arg(bounding_set(&container["securityContext"]["capabilities"]))
            .arg(profile().get_program());
        // The volume of the recordings is the test's.
        let rendered = container["args"].as_array().unwrap().iter().map(text);
        command.args(rendered.filter(|option| !option.starts_with("--directory=")));
        command.args(options);
        command.arg("--directory").arg(&directory);
        command.arg("--kubeconfig").arg(server.kubeconfig_of(&pod));
        let mut process = start(&mut command);
        process.wait_for("the agent", |agent| agent.stderr().contains("following "));
        Self {
            process: Some(process),
            pod,
            directory,
        }
    }

    /// Its recordings.
    pub fn recordings(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.directory).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "db"))
            .collect()
    }

    /// Stops it; what it said.
    pub fn stop(mut self) -> String {
        let process = self.process.take().unwrap();
        process.signal(libc::SIGTERM);
        let done = process.finish();
        assert_eq!(done.code(), 0, "{done}");
        done.stderr
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(process) = &self.process
            && std::thread::panicking()
        {
            // A test that fails says why only with what the agent said.
            eprintln!("{}: {}", self.directory.display(), process.stderr());
        }
    }
}

/// A value that is text.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The capabilities of a container, as setpriv(1) takes them.
fn bounding_set(capabilities: &Value) -> String {
    assert_eq!(capabilities["drop"], json!(["ALL"]));
    let added = capabilities["add"].as_array().unwrap().iter();
    let added = added.map(|capability| format!(",+{}", text(capability).to_lowercase()));
    format!("-all{}", added.collect::<String>())
}

/// Waits until the object's status is as it should be.
pub fn wait_for_status(
    server: &ApiServer,
    object: &Value,
    what: &str,
    is_as_expected: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    let found = poll(|| {
        last = server.get(object)?["status"].clone();
        is_as_expected(&last).then(|| last.clone())
    });
    assert!(found.is_some(), "{what}: {last:#}");
    found.unwrap()
}

/// What a node tells of a window.
pub fn node_window(server: &ApiServer, window: &Value, node: &str) -> Value {
    let window = server.get(window).unwrap();
    let name = window["metadata"]["name"].as_str().unwrap();
    let uid = window["metadata"]["uid"].as_str().unwrap().split('-').next().unwrap();
    json!({
        "apiVersion": "wardline.dev/v1alpha1", "kind": "NodeWindow", "metadata": {"name": format!("{name}.{uid}.{node}")},
    })
}

/// `profile` with this cluster, as from a workstation.
pub fn from_workstation(server: &ApiServer, arguments: &[&str]) -> Command {
    let mut command = profile();
    command.args(arguments).arg("--kubeconfig").arg(server.kubeconfig());
    command
}
