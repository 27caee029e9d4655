//! A real container runtime: containerd with its CRI, told what a kubelet tells it.
//!
//! It has folders, a socket and images of its own, which are made on the spot, and ends with all its containers when it is
//! dropped. What a kubelet would decide (names, labels, cgroups), tests decide.

mod image;
mod messages;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use profiler::grpc::{ask, connect};
use prost::Message;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

pub use self::image::Image;
use self::messages::{
    ContainerConfig, ContainerMetadata, CreateContainerRequest, Done, ExecSyncRequest, ExecSyncResponse, Id, ImageSpec,
    ImageStatusRequest, ImageStatusResponse, LinuxContainerConfig, LinuxContainerSecurityContext,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NAMESPACES, PodSandboxConfig, PodSandboxMetadata,
    RunPodSandboxRequest, StopContainerRequest,
};
use crate::cgroup::{kill_and_remove, wait_until};
use crate::kubelet::container_id;
use crate::{Running, finish, require_root, start, unified};

/// The name of the program that every sandbox runs.
const PAUSE: &str = "docker.io/wardline/pause:1";
const PATIENCE: Duration = Duration::from_mins(1);
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A containerd of a test.
pub struct Containerd {
    folder: TempDir,
    /// None while it is stopped.
    daemon: Option<Running>,
    runtime: Runtime,
    /// Of the pods that were made: their sandboxes, and their uids.
    pods: Mutex<Vec<(String, String)>>,
}

/// A pod, as a kubelet would describe it to a runtime.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Pod {
    /// A pod without labels, with a uid that no other test gives.
    pub fn new(namespace: &str, name: &str) -> Self {
        let number = container_id();
        let (process, count) = number.split_at(32);
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: format!("{}-0000-4000-8000-{}", &process[24..], &count[20..]),
            labels: BTreeMap::new(),
        }
    }

    /// With a label more.
    #[must_use]
    pub fn labelled(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    fn cgroup(&self) -> String {
        format!("/kubepods/besteffort/pod{}", self.uid)
    }

    /// As the kubelet does it (`generatePodSandboxConfig`, `pkg/kubelet/kuberuntime/kuberuntime_sandbox.go`).
    fn config(&self) -> PodSandboxConfig {
        let own = [("name", &self.name), ("namespace", &self.namespace), ("uid", &self.uid)];
        let own = own.map(|(key, value)| (format!("io.kubernetes.pod.{key}"), value.clone()));
        PodSandboxConfig {
            metadata: Some(PodSandboxMetadata {
                name: self.name.clone(),
                uid: self.uid.clone(),
                namespace: self.namespace.clone(),
                attempt: 0,
            }),
            labels: self.labels.clone().into_iter().chain(own).collect(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: self.cgroup(),
                security_context: Some(LinuxSandboxSecurityContext {
                    namespace_options: Some(NAMESPACES),
                }),
            }),
        }
    }
}

/// A pod that has its sandbox.
pub struct Sandbox<'a> {
    containerd: &'a Containerd,
    id: String,
    pod: Pod,
}

impl Containerd {
    /// One that is not started yet.
    pub fn new() -> Self {
        require_root();
        let containerd = Self {
            folder: tempfile::tempdir().unwrap(),
            daemon: None,
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
            pods: Mutex::default(),
        };
        fs::write(containerd.path("config.toml"), containerd.config()).unwrap();
        containerd
    }

    /// Starts it, and gives it the image of sandboxes if it has none.
    pub fn start(&mut self) {
        assert!(self.daemon.is_none(), "it runs already");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(self.path("config.toml"));
        let mut daemon = start(&mut command);
        daemon.wait_for("the runtime", |daemon| {
            daemon.stderr().contains("containerd successfully booted")
        });
        self.daemon = Some(daemon);
        // Its CRI looks first for what it had before.
        let is_ready = wait_until(PATIENCE, || {
            self.try_to::<_, Done>("/runtime.v1.RuntimeService/ListContainers", Done {})
                .is_ok()
        });
        assert!(is_ready, "the runtime does not become ready: {}", self.told());
        if self.id_of(PAUSE).is_none() {
            let image = Image::new(&["/bin/sleep", "infinity"], "");
            self.import(&image, PAUSE, &[]);
        }
    }

    /// Stops it: its containers go on.
    pub fn stop(&mut self) {
        if let Some(daemon) = self.daemon.take() {
            daemon.signal(libc::SIGTERM);
            daemon.finish();
        }
    }

    /// As crictl names it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Imports an image under this name, as it comes from no registry.
    pub fn import_plainly(&self, image: &Image, name: &str) {
        self.import(image, name, &[]);
    }

    /// Imports an image of this repository with its digest, which the runtime reports then as after a pull.
    pub fn import_with_digest(&self, image: &Image, repository: &str, tag: &str) {
        let name = format!("{repository}:{tag}");
        self.import(image, &name, &["--base-name", repository, "--digests"]);
    }

    fn import(&self, image: &Image, name: &str, options: &[&str]) {
        let archive = image.archive(name);
        let mut import = Command::new("ctr");
        import.arg("--address").arg(self.socket());
        import.args(["--namespace", "k8s.io", "images", "import", "--snapshotter", "native"]);
        let done = finish(import.args(options).arg(&archive));
        assert_eq!(done.code(), 0, "{done}");
        // Its CRI hears of it a moment later.
        let is_there = wait_until(PATIENCE, || self.id_of(name).is_some());
        assert!(is_there, "{name} is not there: {done}");
    }

    /// The id of an image, if it is there.
    fn id_of(&self, image: &str) -> Option<String> {
        let image = Some(ImageSpec {
            image: image.to_owned(),
            user_specified_image: String::new(),
        });
        let question = ImageStatusRequest { image };
        let status: ImageStatusResponse = self.ask("/runtime.v1.ImageService/ImageStatus", question);
        status.image.map(|image| image.id)
    }

    /// Makes a pod's sandbox.
    pub fn run(&self, pod: &Pod) -> Sandbox<'_> {
        let question = RunPodSandboxRequest {
            config: Some(pod.config()),
        };
        let Id { id } = self.ask("/runtime.v1.RuntimeService/RunPodSandbox", question);
        self.pods.lock().unwrap().push((id.clone(), pod.uid.clone()));
        Sandbox {
            containerd: self,
            id,
            pod: pod.clone(),
        }
    }

    /// A sandbox that has outlived the daemon that made it.
    pub fn again(&self, (id, pod): &(String, Pod)) -> Sandbox<'_> {
        Sandbox {
            containerd: self,
            id: id.clone(),
            pod: pod.clone(),
        }
    }

    fn ask<Question, Answer>(&self, method: &'static str, question: Question) -> Answer
    where
        Question: Message + 'static,
        Answer: Message + Default + 'static,
    {
        let answer = self.try_to(method, question);
        answer.unwrap_or_else(|why| panic!("{method}: {why}\n{}", self.told()))
    }

    fn try_to<Question, Answer>(&self, method: &'static str, question: Question) -> Result<Answer, String>
    where
        Question: Message + 'static,
        Answer: Message + Default + 'static,
    {
        let socket = self.socket();
        self.runtime.block_on(async {
            let channel = connect(&socket, PATIENCE).await?;
            ask(&channel, method, question, ANSWER_BYTES_MAX, PATIENCE).await
        })
    }

    /// What it has said so far.
    fn told(&self) -> String {
        self.daemon.as_ref().map(Running::stderr).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    fn config(&self) -> String {
        let folder = self.folder.path().display();
        // Scores of the OOM killer may not be lowered everywhere; file systems may be anything.
        format!(
            r#"
            version = 2
            root = "{folder}/root"
            state = "{folder}/state"
            [grpc]
              address = "{folder}/containerd.sock"
            [ttrpc]
              address = "{folder}/containerd.sock.ttrpc"
            [plugins."io.containerd.internal.v1.opt"]
              path = "{folder}/opt"
            [plugins."io.containerd.grpc.v1.cri"]
              sandbox_image = "{PAUSE}"
              restrict_oom_score_adj = true
              disable_apparmor = true
              disable_hugetlb_controller = true
              stream_server_address = "127.0.0.1"
              stream_server_port = "0"
              [plugins."io.containerd.grpc.v1.cri".containerd]
                snapshotter = "native"
                [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
                  runtime_type = "io.containerd.runc.v2"
                  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
                    Root = "{folder}/runc"
              [plugins."io.containerd.grpc.v1.cri".cni]
                conf_dir = "{folder}/cni"
                bin_dir = "{folder}/cni"
            "#
        )
    }

    /// What looks after its containers, and outlives it.
    fn shims(&self) -> Vec<libc::pid_t> {
        let socket = self.socket().into_os_string().into_string().unwrap();
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<libc::pid_t>().ok());
        let is_ours = |process: &libc::pid_t| {
            let words = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let mut words = words.split(|byte| *byte == 0);
            let is_shim = words
                .next()
                .is_some_and(|name| name.ends_with(b"/containerd-shim-runc-v2"));
            is_shim && words.any(|word| word == socket.as_bytes())
        };
        processes.filter(is_ours).collect()
    }
}

impl Default for Containerd {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let pods = std::mem::take(&mut *self.pods.lock().unwrap());
        for (sandbox, _) in &pods {
            for method in [
                "/runtime.v1.RuntimeService/StopPodSandbox",
                "/runtime.v1.RuntimeService/RemovePodSandbox",
            ] {
                // What is left is ended below.
                let _ = self.try_to::<_, Done>(method, Id { id: sandbox.clone() });
            }
        }
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(libc::SIGTERM);
            // Else it is killed.
            wait_until(PATIENCE, || !daemon.is_running());
        }
        let is_gone = wait_until(PATIENCE, || {
            let shims = self.shims();
            for shim in &shims {
                // SAFETY: a signal to a process that was just found to be ours.
                unsafe { libc::kill(*shim, libc::SIGKILL) };
            }
            shims.is_empty()
        });
        if !is_gone {
            eprintln!("processes of {} are left behind", self.socket().display());
        }
        remove_cgroups(pods.iter().map(|(_, uid)| uid.as_str()));
        unmount_below(self.folder.path());
    }
}

/// The runtime makes a pod's cgroup in each hierarchy, and leaves it to the kubelet.
fn remove_cgroups<'a>(pods: impl Iterator<Item = &'a str>) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let hierarchies: Vec<&str> = mounts
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|mount| mount[2].starts_with("cgroup"))
        .map(|mount| mount[1])
        .collect();
    for pod in pods {
        for hierarchy in &hierarchies {
            let parent = Path::new(hierarchy).join("kubepods/besteffort");
            kill_and_remove(&parent.join(format!("pod{pod}")));
            // Stay where somebody else is in them.
            let _ = fs::remove_dir(&parent).and_then(|()| fs::remove_dir(parent.parent().unwrap()));
        }
    }
}

fn unmount_below(folder: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let below = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    // The last one is on top.
    for mount in below
        .filter(|path| Path::new(path).starts_with(folder))
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let path = std::ffi::CString::new(mount).unwrap();
        // SAFETY: a path that ends in NUL.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
    }
}

/// The kernel's id of the cgroup at this path, while it is there.
pub fn cgroup_id(path: &str) -> u64 {
    let directory = unified().join(path.trim_start_matches('/'));
    directory.metadata().unwrap().ino()
}

/// A container of a sandbox.
pub struct Container<'a> {
    containerd: &'a Containerd,
    /// Its id.
    pub id: String,
    pod: Pod,
}

impl<'a> Sandbox<'a> {
    /// The path of its own cgroup.
    pub fn path(&self) -> String {
        format!("{}/{}", self.pod.cgroup(), self.id)
    }

    /// Starts a container of this name and image, for the so-manieth time. `image` is what the pod's author wrote.
    pub fn start(&self, name: &str, image: &str, attempt: u32) -> Container<'a> {
        // A kubelet asks for what it has pulled by its id.
        let asked = self.containerd.id_of(image).unwrap();
        let question = CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(ContainerConfig {
                metadata: Some(ContainerMetadata {
                    name: name.to_owned(),
                    attempt,
                }),
                image: Some(ImageSpec {
                    image: asked,
                    user_specified_image: image.to_owned(),
                }),
                labels: [("io.kubernetes.container.name".to_owned(), name.to_owned())].into(),
                linux: Some(LinuxContainerConfig {
                    security_context: Some(LinuxContainerSecurityContext {
                        namespace_options: Some(NAMESPACES),
                    }),
                }),
            }),
            sandbox_config: Some(self.pod.config()),
        };
        let containerd = self.containerd;
        let Id { id } = containerd.ask("/runtime.v1.RuntimeService/CreateContainer", question);
        containerd.ask::<_, Done>("/runtime.v1.RuntimeService/StartContainer", Id { id: id.clone() });
        Container {
            containerd,
            id,
            pod: self.pod.clone(),
        }
    }

    /// For [`Containerd::again`].
    pub fn kept(self) -> (String, Pod) {
        (self.id, self.pod)
    }

    /// Ends it and all its containers, and removes them: the pod is deleted.
    pub fn remove(self) {
        for method in [
            "/runtime.v1.RuntimeService/StopPodSandbox",
            "/runtime.v1.RuntimeService/RemovePodSandbox",
        ] {
            self.containerd.ask::<_, Done>(method, Id { id: self.id.clone() });
        }
    }
}

impl Container<'_> {
    /// The path of its cgroup.
    pub fn path(&self) -> String {
        format!("{}/{}", self.pod.cgroup(), self.id)
    }

    /// Executes something in it, as a kubelet does for a probe.
    pub fn exec(&self, words: &[&str]) {
        let question = ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: words.iter().map(|word| (*word).to_owned()).collect(),
            timeout: PATIENCE.as_secs().cast_signed(),
        };
        let executed: ExecSyncResponse = self.containerd.ask("/runtime.v1.RuntimeService/ExecSync", question);
        assert_eq!(executed.exit_code, 0, "{words:?}: {executed:?}");
    }

    /// Ends it at once.
    pub fn stop(&self) {
        let question = StopContainerRequest {
            container_id: self.id.clone(),
            timeout: 0,
        };
        self.containerd
            .ask::<_, Done>("/runtime.v1.RuntimeService/StopContainer", question);
    }
}
