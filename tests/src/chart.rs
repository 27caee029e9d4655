//! The chart in `deploy/chart`: Helm itself renders it, and what it renders is applied as Helm would.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{ApiServer, finish, poll, tool};

/// The namespace that it is installed into.
pub const NAMESPACE: &str = "wardline";

/// The chart's folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart")
}

/// The program `helm`.
pub fn helm() -> Command {
    Command::new(tool("helm"))
}

/// `helm template` with these options.
pub fn template(options: &[&str]) -> Command {
    let mut helm = helm();
    helm.args(["template", "wardline"]).arg(folder());
    helm.args(["--include-crds", "--namespace", NAMESPACE]).args(options);
    helm
}

/// Every object that the chart consists of.
pub fn rendered(options: &[&str]) -> Vec<Value> {
    let done = finish(&mut template(options));
    assert_eq!(done.code(), 0, "{done}");
    let documents = done.stdout.split("\n---\n").map(serde_yaml::from_str::<Value>);
    documents.map(Result::unwrap).filter(Value::is_object).collect()
}

/// The only object of this kind.
pub fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let first = found.next().unwrap();
    assert!(found.next().is_none(), "several objects of the kind {kind}");
    first
}

/// Applies the objects, strictly, and waits until the server knows the definitions among them.
pub fn install(server: &ApiServer, objects: &[Value]) {
    server.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}));
    for object in objects {
        let applied = server.apply(&server.kubeconfig(), object);
        applied.unwrap_or_else(|error| panic!("{object:#}: {error}"));
    }
    for definition in objects
        .iter()
        .filter(|object| object["kind"] == "CustomResourceDefinition")
    {
        let is_established = || {
            let found = server.get(definition)?;
            let conditions = found["status"]["conditions"].as_array()?;
            let is_it = |condition: &Value| condition["type"] == "Established" && condition["status"] == "True";
            conditions.iter().any(is_it).then_some(())
        };
        poll(is_established).expect("a definition that is established");
    }
}

/// The Pod that the chart's `DaemonSet` has on a node.
pub fn agent_pod(objects: &[Value], node: &str) -> Value {
    let template = &only(objects, "DaemonSet")["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
        "metadata": {"namespace": NAMESPACE, "generateName": "wardline-agent-", "labels": template["metadata"]["labels"]},
    });
    pod["spec"]["nodeName"] = node.into();
    pod
}
