//! From a pod, as the API server has it, to what matters here.
//!
//! Whoever may create pods chooses most of these texts, and a kubelet writes the rest: nothing is trusted to have the right
//! form or size. What has not is left out and counted as [`Odd`]; a pod without the names that everything hangs on is
//! [`Refused`].
//!
//! ```
//! use profiler::kubernetes::owners::Above;
//! use profiler::kubernetes::pods::{PodFacts, Role};
//!
//! let pod = serde_json::from_value(serde_json::json!({
//!     "metadata": {"namespace": "production", "name": "web", "uid": "0f5e1d2c-0000-4000-8000-000000000001"},
//!     "spec": {"containers": [{"name": "server", "image": "shop/web:1.4"}]},
//!     "status": {"containerStatuses": [{"name": "server", "containerID": "containerd://abc", "image": "", "imageID": ""}]},
//! }))
//! .unwrap();
//! let facts = PodFacts::of(&pod, &Above::Unknown).unwrap();
//! assert_eq!((facts.workload.kind.as_str(), facts.workload.name.as_str()), ("Pod", "web"));
//! assert_eq!((facts.containers[0].role, facts.containers[0].runs[0].id.as_str()), (Role::Container, "abc"));
//! ```

mod parts;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use baselines::time::UtcTime;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

pub(super) use self::parts::is_container_id;
use self::parts::{Spec, container_id, is_volatile, specs};
use super::images::PodImage;
use super::owners::{Above, Controller, Owner, is_name, workload};
use super::times::utc;

/// More containers than a pod of that many that anybody runs; an object of the API server has at most 1.5 MiB (etcd).
pub(super) const CONTAINERS_MAX: usize = 256;
/// What the labels of one pod may take, in bytes: more than anybody has, and little enough for 110 pods.
const LABELS_MAX: usize = 64 << 10;
/// A pod has at most one address of each family.
const ADDRESSES_MAX: usize = 4;
/// A label's key has a prefix of 253 bytes, a slash and 63 more; its value 63 (apimachinery, pkg/util/validation).
const LABEL_KEY_MAX: usize = 317;
pub(super) const LABEL_VALUE_MAX: usize = 63;

/// What a pod's description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid. The API server gives it, and never twice.
    pub uid: String,
    /// What the kubelet calls it in the names of cgroups: the uid, but for static pods, whose mirror in the API server has
    /// another one.
    pub cgroup_uid: String,
    /// Which workload it is of.
    pub workload: Controller,
    /// Its labels, see [`PodFacts::lasting_labels`].
    pub labels: BTreeMap<String, String>,
    /// Its own addresses, the first one first. None for a pod in its node's network, or one that has ended: its address
    /// may be another pod's by now.
    pub addresses: Vec<IpAddr>,
    /// When it was made.
    pub created: UtcTime,
    /// Its containers, those that have not started yet among them.
    pub containers: Vec<ContainerFacts>,
    /// The ids of its sandboxes, which run nothing of the pod's. An API server knows none.
    pub sandboxes: Vec<String>,
    /// What was left out.
    pub odd: BTreeMap<Odd, usize>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Its name within the pod.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The containers that a runtime made of it, the current one first.
    pub runs: Vec<Run>,
    /// What it runs. None where nothing says so in a form that is known.
    pub image: Option<PodImage>,
    /// When the current one started.
    pub started: Option<UtcTime>,
    /// Whether the kubelet asks it if it has started up: by a readiness or startup probe. One without is called ready as soon
    /// as it runs (`UpdatePodStatus`, `pkg/kubelet/prober/prober_manager.go`).
    pub is_probed: bool,
    /// Whether it has become ready.
    pub ready: Ready,
    /// What the kubelet executes in it.
    pub commands: Vec<KubeletCommand>,
}

/// One container of a runtime: a container of a pod that is restarted becomes another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its full id, without the runtime's name in front.
    pub id: String,
    /// Whether it is the last one. What the description says of the image is about this one only: an earlier one may have
    /// run another image of the same tag.
    pub is_current: bool,
}

/// What a container of a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// What the pod is made for.
    Container,
    /// It runs to its end before the others start.
    Init,
    /// An init container that goes on beside the others (`restartPolicy: Always`).
    Sidecar,
    /// Somebody put it into the running pod to look around (`kubectl debug`).
    Ephemeral,
    /// Any of them: a container runtime does not tell.
    Untold,
}

/// Whether a container is ready to do its work: it has started up, then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Not yet, or not any more.
    No,
    /// Yes, and since when nobody said.
    Yes,
    /// Yes, and since then at the latest, which is when the last container of its pod was ready.
    Since(UtcTime),
}

/// A command that the kubelet executes in a container by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubeletCommand {
    /// On what occasion.
    pub occasion: Occasion,
    /// Program and arguments, without a shell around, as it is executed. Empty where that is longer than what is told apart.
    pub command: Vec<String>,
}

/// When the kubelet executes something in a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Occasion {
    /// `livenessProbe`.
    Liveness,
    /// `readinessProbe`.
    Readiness,
    /// `startupProbe`.
    Startup,
    /// `lifecycle.postStart`.
    PostStart,
    /// `lifecycle.preStop`.
    PreStop,
}

/// What was left out of a pod's facts, because it has not the form or the size that it should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Odd {
    /// A container without a usable name, or with that of another one, or one too many.
    Container,
    /// The id of a container.
    ContainerId,
    /// An id that another container of the same pod has, too: neither has it, then.
    DuplicateId,
    /// The name of an image.
    Image,
    /// A label.
    Label,
    /// A command of the kubelet.
    Command,
    /// The reference to a controller.
    Owner,
}

/// Why a pod has no facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its {field} is missing, too long, or not what the API server allows")]
pub struct Refused {
    /// Of these: `namespace`, `name`, `uid`.
    pub field: &'static str,
}

impl PodFacts {
    /// The facts of a pod. `above` is who controls its controller, see [`Owner::is_between`].
    ///
    /// # Errors
    /// [`Refused`] where what names it is missing.
    pub fn of(pod: &Pod, above: &Above) -> Result<Self, Refused> {
        let metadata = &pod.metadata;
        let required = |text: &Option<String>, field| {
            let text = text.clone().unwrap_or_default();
            if is_name(&text) {
                Ok(text)
            } else {
                Err(Refused { field })
            }
        };
        let namespace = required(&metadata.namespace, "namespace")?;
        let name = required(&metadata.name, "name")?;
        let uid = required(&metadata.uid, "uid")?;
        let mut odd = BTreeMap::new();
        let controller = controller(metadata, &mut odd);
        let template_hash = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("pod-template-hash"));
        Ok(Self {
            workload: workload(&name, controller.as_ref(), above, template_hash.map(String::as_str)),
            cgroup_uid: static_uid(metadata).unwrap_or(&uid).to_owned(),
            labels: labels(metadata, &mut odd),
            addresses: own_addresses(pod),
            created: created(metadata),
            containers: containers(pod, &mut odd),
            sandboxes: Vec::new(),
            odd,
            namespace,
            name,
            uid,
        })
    }

    /// Labels that a policy may select on, those left out that change with each pod, revision or place.
    pub fn lasting_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        labels.filter(|(key, _)| !is_volatile(key))
    }

    /// Whether this is the mirror of a static pod: what it is called in cgroups is a text that whoever made it wrote.
    pub fn is_mirror(&self) -> bool {
        self.uid != self.cgroup_uid
    }
}

/// The addresses in a pod's status, the first one first, IPv4 where they are mapped.
pub(super) fn addresses(pod: &Pod) -> Vec<IpAddr> {
    let status = pod.status.as_ref();
    let first = status.and_then(|status| status.pod_ip.as_ref());
    let all = status.and_then(|status| status.pod_ips.as_ref());
    let all = all.into_iter().flatten().map(|address| &address.ip);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in first.into_iter().chain(all).take(ADDRESSES_MAX) {
        match text.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if !addresses.contains(&address) => addresses.push(address),
            // There is none yet, or a second time.
            _ => {}
        }
    }
    addresses
}

/// Whether all containers of a pod have ended and none will be started again (`PodSucceeded`, `PodFailed`): its addresses
/// stay in its status.
pub(super) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// When an object was made, by the API server's clock; in 1970 where it does not say.
pub(super) fn created(metadata: &ObjectMeta) -> UtcTime {
    metadata.creation_timestamp.as_ref().map(utc).unwrap_or_default()
}

fn own_addresses(pod: &Pod) -> Vec<IpAddr> {
    let is_nodes = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    if is_nodes || is_over(pod) {
        return Vec::new();
    }
    addresses(pod)
}

pub(super) fn note(odd: &mut BTreeMap<Odd, usize>, what: Odd) {
    *odd.entry(what).or_default() += 1;
}

fn controller(metadata: &ObjectMeta, odd: &mut BTreeMap<Odd, usize>) -> Option<Owner> {
    let found = Owner::controlling(metadata);
    let references = metadata.owner_references.as_deref().unwrap_or_default();
    if found.is_none() && references.iter().any(|reference| reference.controller == Some(true)) {
        note(odd, Odd::Owner);
    }
    found
}

/// The kubelet calls a static pod by the MD5 of its manifest, and writes that into an annotation of its mirror
/// (`ConfigMirrorAnnotationKey`, `pkg/kubelet/types/pod_update.go`). Anything else would be another pod's name.
fn static_uid(metadata: &ObjectMeta) -> Option<&str> {
    let hash = metadata.annotations.as_ref()?.get("kubernetes.io/config.mirror")?;
    let is_md5 = hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_md5.then_some(hash)
}

fn labels(metadata: &ObjectMeta, odd: &mut BTreeMap<Odd, usize>) -> BTreeMap<String, String> {
    let (mut kept, mut bytes) = (BTreeMap::new(), 0);
    for (key, value) in metadata.labels.iter().flatten() {
        bytes += key.len() + value.len();
        if key.len() > LABEL_KEY_MAX || value.len() > LABEL_VALUE_MAX || bytes > LABELS_MAX {
            note(odd, Odd::Label);
        } else {
            kept.insert(key.clone(), value.clone());
        }
    }
    kept
}

fn containers(pod: &Pod, odd: &mut BTreeMap<Odd, usize>) -> Vec<ContainerFacts> {
    let all_ready = all_ready_since(pod.status.as_ref());
    let statuses = statuses(pod.status.as_ref());
    let mut names = HashSet::new();
    let mut containers = Vec::new();
    for spec in pod.spec.iter().flat_map(specs) {
        // Names are unique among all kinds of containers of a pod.
        if !is_name(spec.name) || containers.len() >= CONTAINERS_MAX || !names.insert(spec.name) {
            note(odd, Odd::Container);
            continue;
        }
        let status = statuses.get(spec.name).copied();
        containers.push(container(&spec, status, all_ready, odd));
    }
    without_duplicates(&mut containers, odd);
    // They are kept for as long as the pod, and most pods have one or two.
    containers.shrink_to_fit();
    containers
}

/// The statuses of all containers, by name. Of two with one name the first counts, which the API server refuses anyway.
fn statuses(status: Option<&PodStatus>) -> BTreeMap<&str, &ContainerStatus> {
    let lists = status.map(|status| {
        [
            &status.container_statuses,
            &status.init_container_statuses,
            &status.ephemeral_container_statuses,
        ]
    });
    let mut named = BTreeMap::new();
    for status in lists.into_iter().flatten().flatten().flatten() {
        named.entry(status.name.as_str()).or_insert(status);
    }
    named
}

fn container(
    spec: &Spec<'_>,
    status: Option<&ContainerStatus>,
    all_ready: Option<UtcTime>,
    odd: &mut BTreeMap<Odd, usize>,
) -> ContainerFacts {
    let (reported, image_id) = status.map_or(("", ""), |status| (status.image.as_str(), status.image_id.as_str()));
    let image = PodImage::of(spec.image, reported, image_id);
    if image.is_none() {
        note(odd, Odd::Image);
    }
    for _ in spec.commands.iter().filter(|command| command.command.is_empty()) {
        note(odd, Odd::Command);
    }
    ContainerFacts {
        name: spec.name.to_owned(),
        role: spec.role,
        runs: status.map(|status| runs(status, odd)).unwrap_or_default(),
        image,
        started: status.and_then(started),
        is_probed: spec.is_probed,
        ready: status.map_or(Ready::No, |status| ready(status, all_ready)),
        commands: spec.commands.clone(),
    }
}

/// The container that is or was last, and the one before.
fn runs(status: &ContainerStatus, odd: &mut BTreeMap<Odd, usize>) -> Vec<Run> {
    let ended = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state.as_ref()?.terminated.as_ref()?.container_id.clone()
    };
    let texts = [
        (status.container_id.clone(), true),
        (ended(&status.state), true),
        (ended(&status.last_state), false),
    ];
    let mut runs: Vec<Run> = Vec::new();
    for (text, is_current) in texts {
        // None or empty: not started yet.
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            continue;
        };
        match container_id(&text) {
            Some(id) if runs.iter().any(|run| run.id == id) => {}
            Some(id) => runs.push(Run {
                id: id.to_owned(),
                is_current,
            }),
            None => note(odd, Odd::ContainerId),
        }
    }
    runs.shrink_to_fit();
    runs
}

/// An id that two containers have is none: nobody can tell which of them it is.
pub(super) fn without_duplicates(containers: &mut [ContainerFacts], odd: &mut BTreeMap<Odd, usize>) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for run in containers.iter().flat_map(|container| &container.runs) {
        *seen.entry(run.id.clone()).or_default() += 1;
    }
    for container in containers {
        container.runs.retain(|run| {
            let is_unique = seen.get(&run.id) == Some(&1);
            if !is_unique {
                note(odd, Odd::DuplicateId);
            }
            is_unique
        });
    }
}

fn started(status: &ContainerStatus) -> Option<UtcTime> {
    let state = status.state.as_ref()?;
    let running = state.running.as_ref().and_then(|running| running.started_at.as_ref());
    let ended = || state.terminated.as_ref()?.started_at.as_ref();
    running.or_else(ended).map(utc)
}

fn ready(status: &ContainerStatus, all_ready: Option<UtcTime>) -> Ready {
    match all_ready {
        _ if !status.ready => Ready::No,
        Some(since) => Ready::Since(since),
        None => Ready::Yes,
    }
}

/// When the last of a pod's containers became ready. A container's own status has no time of that.
fn all_ready_since(status: Option<&PodStatus>) -> Option<UtcTime> {
    let conditions = status?.conditions.as_deref()?;
    let since = |kind: &str| {
        let is_true = |condition: &&k8s_openapi::api::core::v1::PodCondition| {
            condition.type_ == kind && condition.status == "True"
        };
        let condition = conditions.iter().find(is_true)?;
        condition.last_transition_time.as_ref().map(utc)
    };
    // `Ready` waits for readiness gates, too, which are not the containers' affair.
    since("ContainersReady").or_else(|| since("Ready"))
}
