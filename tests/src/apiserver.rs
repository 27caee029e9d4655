//! A real Kubernetes API server, see `tests/apiserver`: what a kubelet would tell it, tests tell it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::cgroup::wait_until;
use crate::tool;

/// How long a start may take on a busy machine: as long as the program itself waits, and a little.
const START: Duration = Duration::from_secs(150);
/// How long an orderly end may take.
const END: Duration = Duration::from_secs(30);

/// A server of its own for a test, on a loopback address. It ends, with all that it keeps, when this is dropped.
///
/// ```no_run
/// use end_to_end::ApiServer;
/// use serde_json::json;
///
/// let server = ApiServer::start();
/// server.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "production"}}));
/// ```
pub struct ApiServer {
    data: TempDir,
    has_controllers: bool,
    /// None while it is stopped.
    child: Option<Child>,
    runtime: Runtime,
}

impl ApiServer {
    /// Starts one that keeps objects and makes none.
    pub fn start() -> Self {
        Self::new(false)
    }

    /// Starts one with the controllers that make Pods of Deployments, Jobs and the like. There is no scheduler.
    pub fn with_controllers() -> Self {
        Self::new(true)
    }

    fn new(has_controllers: bool) -> Self {
        let mut server = Self {
            data: tempfile::tempdir().unwrap(),
            has_controllers,
            child: None,
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
        };
        server.start_again();
        server
    }

    /// Starts it again after [`ApiServer::stop`]: the same objects at the same address.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let mut command = Command::new(tool("apiserver"));
        command.arg("--data").arg(self.data.path());
        if self.has_controllers {
            command.arg("--controllers");
        }
        // Its standard input is closed when this process ends, however that happens; and so it ends.
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(self.path("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        self.child = Some(child);
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // Where the test has given up already, nobody receives it.
            let _ = sender.send(lines.read_line(&mut line).map(|_| line));
        });
        let line = receiver.recv_timeout(START).map(Result::unwrap).unwrap_or_default();
        assert!(
            !line.is_empty(),
            "the API server did not become ready: {}",
            fs::read_to_string(self.path("stderr")).unwrap()
        );
        assert_eq!(Path::new(line.trim_end()), self.kubeconfig());
    }

    /// Stops it: connections to it are refused from now on.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let id = libc::pid_t::try_from(child.id()).unwrap();
        // SAFETY: the child has not been waited for, so the id is still its own.
        unsafe { libc::kill(id, libc::SIGTERM) };
        if !wait_until(END, || child.try_wait().is_ok_and(|ended| ended.is_some())) {
            // Its children end with it.
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// For an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("admin.kubeconfig")
    }

    /// For the user `agent`, who may do nothing until [`ApiServer::allow`].
    pub fn agent_kubeconfig(&self) -> PathBuf {
        self.path("agent.kubeconfig")
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig()).unwrap();
        kubeconfig.clusters[0].cluster.as_ref().unwrap().server.clone().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.data.path().join(name)
    }

    /// Lets the user `agent` do this, in all namespaces. A rule is `{"apiGroups": .., "resources": .., "verbs": ..}`.
    pub fn allow(&self, name: &str, rules: &Value) {
        let metadata = json!({"name": name});
        self.create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": metadata, "rules": rules,
        }));
        self.create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "agent"}],
        }));
    }

    /// Makes an object; the answer is what the server made of it.
    pub fn create(&self, object: &Value) -> Value {
        let wanted: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let made = self
            .runtime
            .block_on(async { self.api(object).await.create(&PostParams::default(), &wanted).await });
        as_value(made.unwrap_or_else(|error| panic!("{object:#}: {error}")))
    }

    /// Reads an object again. None if it is gone.
    pub fn get(&self, object: &Value) -> Option<Value> {
        let got = self
            .runtime
            .block_on(async { self.api(object).await.get_opt(name(object)).await });
        got.unwrap().map(as_value)
    }

    /// Lists the objects of this one's kind and namespace.
    pub fn list(&self, object: &Value) -> Vec<Value> {
        let listed = self
            .runtime
            .block_on(async { self.api(object).await.list(&kube::api::ListParams::default()).await });
        listed.unwrap().items.into_iter().map(as_value).collect()
    }

    /// Changes an object, as `kubectl patch --type=merge` does.
    pub fn patch(&self, object: &Value, change: &Value) -> Value {
        let patched = self.runtime.block_on(async {
            let parameters = PatchParams::default();
            self.api(object)
                .await
                .patch(name(object), &parameters, &Patch::Merge(change))
                .await
        });
        as_value(patched.unwrap())
    }

    /// Changes an object's status, as a kubelet does.
    pub fn set_status(&self, object: &Value, status: &Value) -> Value {
        let patched = self.runtime.block_on(async {
            let (parameters, change) = (PatchParams::default(), json!({"status": status}));
            self.api(object)
                .await
                .patch_status(name(object), &parameters, &Patch::Merge(change))
                .await
        });
        as_value(patched.unwrap_or_else(|error| panic!("{status:#}: {error}")))
    }

    /// Adds a container to a running Pod, as `kubectl debug` does.
    pub fn add_ephemeral(&self, pod: &Value, container: &Value) {
        let change = json!({"spec": {"ephemeralContainers": [container]}});
        let added = self.runtime.block_on(async {
            let parameters = PatchParams::default();
            self.api(pod)
                .await
                .patch_subresource("ephemeralcontainers", name(pod), &parameters, &Patch::Strategic(change))
                .await
        });
        added.unwrap();
    }

    /// Puts a Pod onto a node, as the scheduler does.
    pub fn bind(&self, pod: &Value, node: &str) {
        let mut target = pod.clone();
        target["kind"] = "Pod".into();
        target["apiVersion"] = "v1".into();
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": {"name": name(pod)},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let bound = self.runtime.block_on(async {
            let parameters = PostParams::default();
            self.api(&target)
                .await
                .create_subresource::<_, Value>("binding", name(pod), &parameters, &binding)
                .await
        });
        bound.unwrap();
    }

    /// Makes a node, whose kubelet does nothing but forward ports to the machine's loopback address.
    pub fn make_node(&self, name: &str) -> Value {
        let node = self.create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}));
        let port: u16 = fs::read_to_string(self.path("kubelet-port")).unwrap().parse().unwrap();
        let status = json!({
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        });
        self.set_status(&node, &status)
    }

    /// Makes the next forwarding of a port go wrong: `cut N` bytes from the pod, `flip N`, or `refuse`.
    pub fn misbehave(&self, how: &str) {
        // Whole, or not at all.
        fs::write(self.path("misbehaving"), how).unwrap();
        fs::rename(self.path("misbehaving"), self.path("misbehave")).unwrap();
    }

    /// How many bytes each forwarding of a port brought so far.
    pub fn forwarded(&self) -> Vec<u64> {
        let text = fs::read_to_string(self.path("forwarded")).unwrap_or_default();
        text.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Deletes an object at once: no kubelet will say that a Pod's containers have ended.
    pub fn delete(&self, object: &Value) {
        let now = DeleteParams {
            grace_period_seconds: Some(0),
            ..DeleteParams::default()
        };
        let deleted = self
            .runtime
            .block_on(async { self.api(object).await.delete(name(object), &now).await });
        deleted.unwrap();
    }

    /// Applies an object, as `kubectl apply --server-side --validate=strict` does with this kubeconfig: what the schema does
    /// not know is an error. With a status, it is the status that is applied.
    ///
    /// # Errors
    /// What the server says.
    pub fn apply(&self, kubeconfig: &Path, object: &Value) -> Result<Value, kube::Error> {
        let applied = self.runtime.block_on(async {
            let (api, parameters) = (
                self.api_as(kubeconfig, object).await,
                PatchParams::apply("tests").validation_strict(),
            );
            let change = Patch::Apply(object);
            match object.get("status") {
                None => api.patch(name(object), &parameters, &change).await,
                Some(_) => api.patch_status(name(object), &parameters, &change).await,
            }
        });
        applied.map(as_value)
    }

    /// A kubeconfig with the token that a kubelet would give to this Pod; to what is no Pod yet, one that is bound to none.
    pub fn kubeconfig_of(&self, pod: &Value) -> PathBuf {
        let (id, metadata) = (pod["metadata"]["uid"].as_str(), &pod["metadata"]);
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"namespace": metadata["namespace"], "name": pod["spec"]["serviceAccountName"]},
        });
        let bound = id.map(|id| json!({"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": id}));
        let request = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
            "spec": {"audiences": [], "boundObjectRef": bound},
        });
        let answer: Value = self.runtime.block_on(async {
            let (api, parameters) = (self.api(&account).await, PostParams::default());
            let answer = api.create_subresource("token", name(&account), &parameters, &request);
            answer.await.unwrap()
        });
        let admin = fs::read_to_string(self.path("admin.token")).unwrap();
        let kubeconfig = fs::read_to_string(self.kubeconfig()).unwrap();
        let path = self.path(&format!("{}.kubeconfig", id.unwrap_or("unbound")));
        let token = answer["status"]["token"].as_str().unwrap();
        fs::write(&path, kubeconfig.replace(&admin, token)).unwrap();
        path
    }

    async fn api(&self, object: &Value) -> Api<DynamicObject> {
        self.api_as(&self.kubeconfig(), object).await
    }

    /// A connection of its own for every call: after a restart the old one is none.
    async fn api_as(&self, kubeconfig: &Path, object: &Value) -> Api<DynamicObject> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
        let client = Client::try_from(config.unwrap()).unwrap();
        let text = |field: &str| object[field].as_str().unwrap();
        let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            // A test that fails says why only with what the server said.
            for name in ["stderr", "kube-controller-manager.log"] {
                let text = fs::read_to_string(self.path(name)).unwrap_or_default();
                let last: Vec<&str> = text.lines().rev().take(10).collect();
                eprintln!("the last lines of the API server's {name}, newest first: {last:#?}");
            }
        }
    }
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

fn as_value(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}
