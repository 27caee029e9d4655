//! What the agents of a cluster are told, and what they tell: the objects `LearningWindow`, `NodeWindow` and `NodeCoverage`.
//!
//! A `LearningWindow` says what to learn and for how long; its status holds sums over the nodes. What one node knows is in a
//! `NodeWindow` of its own, which only that node's agent writes: so a window over 5,000 nodes is 5,000 small objects and
//! one, and nobody has to read or write a list of nodes. How much a node saw of each image is larger and told less often: it is
//! in a `NodeCoverage`, where the window is to end by coverage.
//!
//! ```
//! use profiler::agent::objects::LearningWindow;
//!
//! let window: LearningWindow = serde_yaml::from_str("
//! apiVersion: wardline.dev/v1alpha1
//! kind: LearningWindow
//! metadata: {name: shop}
//! spec: {namespaces: [production], duration: 24h}
//! ")?;
//! assert!(!window.spec.stop);
//! # Ok::<(), serde_yaml::Error>(())
//! ```

#![allow(
    unreachable_pub,
    reason = "what KubeSchema derives repeats these types where nobody can reach them"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "columns have types, and two may have the same"
)]

use std::collections::BTreeMap;

use baselines::coverage::Criteria;
use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// All namespaces, in [`LearningWindowSpec::namespaces`].
pub const EVERY_NAMESPACE: &str = "*";
/// Whether a namespace is among these, of which one may mean all.
pub fn covers(namespaces: &[String], namespace: &str) -> bool {
    namespaces.iter().any(|one| one == EVERY_NAMESPACE || one == namespace)
}

/// How many workloads a status lists.
pub const WORKLOADS_MAX: usize = 100;
/// How many workloads a node lists: with 5,000 nodes every entry is 5,000 in the memory of whoever adds them up.
pub const NODE_WORKLOADS_MAX: usize = 20;
/// How many nodes a status lists by name.
pub const NODES_MAX: usize = 100;
/// How many recordings that are gone a node tells of.
pub const LOST_RECORDINGS_MAX: usize = 16;
/// The label on a `NodeWindow` that names its `LearningWindow`.
pub const WINDOW_LABEL: &str = "wardline.dev/learning-window";

/// What to learn.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Deserialize, Serialize)]
#[kube(
    group = "wardline.dev",
    version = "v1alpha1",
    kind = "LearningWindow",
    doc = "What the agents learn, on every node, and for how long.",
    shortname = "lw",
    category = "wardline",
    status = "LearningWindowStatus",
    derive = "PartialEq",
    // The name is also the value of a label on what the nodes tell.
    validation = Rule::new("self.metadata.name.size() <= 63").message("a learning window's name has at most 63 characters"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".spec.duration"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes.reporting"),
    printcolumn(name = "Containers", type_ = "integer", json_path = ".status.containers"),
    printcolumn(name = "Events", type_ = "integer", json_path = ".status.events"),
    printcolumn(name = "Lost", type_ = "integer", json_path = ".status.lost"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[x_kube(validation = Rule::new(
    "has(self.coverageTarget) == has(oldSelf.coverageTarget) && (!has(self.coverageTarget) || self.coverageTarget == oldSelf.coverageTarget)"
).message("what a window learns cannot be changed: make another one"))]
#[serde(rename_all = "camelCase")]
pub struct LearningWindowSpec {
    /// Whose pods: names of namespaces, or `*` alone for those of all namespaces. It cannot be changed.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(max = 63), regex(pattern = r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$"))
    )]
    #[x_kube(validation = Rule::new("self == oldSelf").message("what a window learns cannot be changed: make another one"))]
    pub namespaces: Vec<String>,
    /// Only pods with these labels; empty for all. It cannot be changed.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("what a window learns cannot be changed: make another one"))]
    pub selector: LabelSelector,
    /// Only containers of images that one of these globs matches, such as `shop/*`; empty for all. It cannot be changed.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("what a window learns cannot be changed: make another one"))]
    pub images: Vec<String>,
    /// How long, from when this was made: 90s, 10m, 24h, 7d. It may be made longer or shorter while the window goes on.
    #[schemars(length(max = 16), regex(pattern = r"^0*[1-9][0-9]*(s|m|h|d)$"))]
    pub duration: String,
    /// Or until every image that it sees is ready: until this share of what each does next is estimated to have been seen, at
    /// the lower end of a 95 % interval. It cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub coverage_target: Option<f64>,
    /// For how long, in whole hours: 24h, 2d.
    #[serde(default = "a_day")]
    #[schemars(length(max = 16), regex(pattern = r"^[0-9]+(h|d)$"))]
    pub coverage_held: String,
    /// How many starts of each image it takes, apart from each other, or completed runs of a job.
    #[serde(default = "starts")]
    #[schemars(range(min = 1))]
    pub coverage_starts: u64,
    /// On how many dates.
    #[serde(default = "dates")]
    #[schemars(range(min = 1))]
    pub coverage_dates: u64,
    /// End it now.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self || !oldSelf").message("a window that was stopped cannot go on: make another one"))]
    pub stop: bool,
    /// What is recorded. It cannot be changed.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("what a window learns cannot be changed: make another one"))]
    pub record: RecordOptions,
}

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordOptions {
    /// The arguments of executions, too, of each the first 512 bytes. They may hold secrets.
    #[serde(default)]
    pub arguments: bool,
    /// The DNS names of whom connections reach, from what containers are answered to their queries.
    #[serde(default = "yes")]
    pub dns_names: bool,
    /// Globs that hide parts of paths, arguments and names before anything is written, as `--redact` does.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub redact: Vec<String>,
    /// How long a container starts up, where nothing else tells.
    #[serde(default = "a_minute")]
    #[schemars(length(max = 16), regex(pattern = r"^0*[1-9][0-9]*(s|m|h|d)$"))]
    pub startup: String,
}

impl Default for RecordOptions {
    fn default() -> Self {
        Self {
            arguments: false,
            dns_names: true,
            redact: Vec::new(),
            startup: a_minute(),
        }
    }
}

const fn yes() -> bool {
    true
}

fn a_minute() -> String {
    "60s".to_owned()
}

fn a_day() -> String {
    "24h".to_owned()
}

const fn starts() -> u64 {
    Criteria::DEFAULT.starts
}

const fn dates() -> u64 {
    Criteria::DEFAULT.dates
}

/// How a window is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Phase {
    /// Nobody has begun yet.
    #[default]
    Pending,
    /// It goes on.
    Learning,
    /// It is over: its time, or somebody stopped it.
    Ended,
    /// It cannot be followed as it is written; the message says why.
    Refused,
    /// Of a node: it cannot be recorded just now; the message says why. It is tried again.
    Failing,
}

/// Sums over the nodes. One agent at a time writes them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LearningWindowStatus {
    /// How it is doing.
    #[serde(default)]
    pub phase: Phase,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it ends, if nobody stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Time>,
    /// When the last node ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// The nodes.
    #[serde(default)]
    pub nodes: NodeCounts,
    /// Containers seen, all nodes together.
    #[serde(default)]
    pub containers: u64,
    /// Different behaviours of each node, added up: what two nodes saw counts twice.
    #[serde(default)]
    pub node_behaviours: u64,
    /// How often behaviours were observed.
    #[serde(default)]
    pub events: u64,
    /// Observations lost, all reasons together.
    #[serde(default)]
    pub lost: u64,
    /// Observations lost, by reason.
    #[serde(default)]
    pub losses: BTreeMap<String, u64>,
    /// Nodes on which losses cannot be ruled out, silent ones among them.
    #[serde(default)]
    pub lossy_nodes: u64,
    /// The workloads with the most events.
    #[serde(default)]
    pub workloads: Vec<WorkloadProgress>,
    /// How many more there are, at least; each node lists those with the most events only, and counts the others.
    #[serde(default)]
    pub workloads_left_out: u64,
    /// How much has been seen of each image, where that ends the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<CoverageStatus>,
}

/// How much has been seen, by what all nodes told.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CoverageStatus {
    /// When that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub looked_at: Option<Time>,
    /// The images that the nodes told of.
    #[serde(default)]
    pub images: u64,
    /// How many of them are ready.
    #[serde(default)]
    pub ready: u64,
    /// Of those that are not the first: those that lost something come before those that wait.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub waiting: Vec<ImageCoverage>,
    /// Nodes that saw containers and have not told lately how much was seen of them: nothing ends before they do.
    #[serde(default)]
    pub nodes_missing: u64,
    /// They, by name, the first of them.
    #[serde(default)]
    pub nodes_missing_names: Vec<String>,
    /// Images of which more was seen than a node can tell, or all together can hold: nothing ends as long as there are any.
    #[serde(default)]
    pub images_left_out: u64,
    /// They, by name, the first of them.
    #[serde(default)]
    pub images_left_out_names: Vec<String>,
    /// Images whose coverage has been at the target whenever somebody looked, and since when.
    #[serde(default)]
    #[schemars(length(max = 500))]
    pub held: Vec<HeldImage>,
    /// Since when every image has been ready. It is believed when every node has told once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Time>,
    /// When enough had been seen of every image: that ends the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub covered_at: Option<Time>,
}

/// An image that is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageCoverage {
    /// Its name.
    pub image: String,
    /// What to think of it: learning, lossy, partial, idle or unknown.
    pub state: String,
    /// What would help most.
    pub advice: String,
}

/// An image whose coverage is at the target.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldImage {
    /// Its name.
    pub image: String,
    /// Since when.
    pub since: Time,
}

/// How many nodes do what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// Agents that told of the window and were heard lately.
    #[serde(default)]
    pub reporting: u64,
    /// Of these, who records.
    #[serde(default)]
    pub learning: u64,
    /// Of these, who has ended.
    #[serde(default)]
    pub ended: u64,
    /// Of these, who cannot record just now.
    #[serde(default)]
    pub failing: u64,
    /// Who cannot record just now, by name, the first of them.
    #[serde(default)]
    pub failing_names: Vec<String>,
    /// Agents that told of the window and have not been heard for a while, before it ended there.
    #[serde(default)]
    pub silent: u64,
    /// They, by name, the first of them.
    #[serde(default)]
    pub silent_names: Vec<String>,
    /// Nodes of the cluster whose agent, if they have one, has not told of the window: nothing is learned there. None where
    /// the nodes may not be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_agent: Option<u64>,
    /// They, by name, the first of them.
    #[serde(default)]
    pub without_agent_names: Vec<String>,
}

/// How far a workload is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadProgress {
    /// namespace/kind/name/container.
    pub workload: String,
    /// Containers seen.
    pub containers: u64,
    /// The most different behaviours that one of its containers has shown.
    pub behaviours: u64,
    /// How often they were observed.
    pub events: u64,
    /// When something new was noticed last; late by as long as an agent waits between two reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_new: Option<Time>,
}

impl WorkloadProgress {
    /// Nothing seen so far.
    pub fn none_of(workload: &str) -> Self {
        Self {
            workload: workload.to_owned(),
            containers: 0,
            behaviours: 0,
            events: 0,
            last_new: None,
        }
    }
}

/// Whose it is.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "wardline.dev",
    version = "v1alpha1",
    kind = "NodeWindow",
    doc = "What one node's agent tells of one learning window. Agents make and write these.",
    category = "wardline",
    status = "NodeWindowStatus",
    derive = "PartialEq",
    printcolumn(name = "Window", type_ = "string", json_path = ".spec.window"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Containers", type_ = "integer", json_path = ".status.containers"),
    printcolumn(name = "Behaviours", type_ = "integer", json_path = ".status.behaviours"),
    printcolumn(name = "Lost", type_ = "integer", json_path = ".status.lost"),
    printcolumn(name = "Heard", type_ = "date", json_path = ".status.heard"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("whose it is cannot be changed"))]
#[serde(rename_all = "camelCase")]
#[allow(unreachable_pub, reason = "what is derived repeats it where nobody can reach it")]
pub struct NodeWindowSpec {
    /// The learning window's name.
    #[schemars(length(max = 63))]
    pub window: String,
    /// Its uid: another one may get the same name later.
    #[schemars(length(max = 64))]
    pub window_uid: String,
    /// The node's name.
    #[schemars(length(max = 253))]
    pub node: String,
}

/// What one node knows of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeWindowStatus {
    /// How it is doing here.
    #[serde(default)]
    pub phase: Phase,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the agent said something last, by this node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Time>,
    /// How much this node's clock is ahead of the API server's, s. It is corrected where the window's end is concerned.
    #[serde(default)]
    pub clock_ahead_seconds: i64,
    /// When recording began here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// How often recording began: more than once means gaps, as an agent's upgrade or a reboot leaves.
    #[serde(default)]
    pub begun: u64,
    /// Until when everything is written, of a window that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_until: Option<Time>,
    /// Containers seen.
    #[serde(default)]
    pub containers: u64,
    /// Of these, who was running before recording began: their start was not seen.
    #[serde(default)]
    pub partial: u64,
    /// Different behaviours.
    #[serde(default)]
    pub behaviours: u64,
    /// How often they were observed.
    #[serde(default)]
    pub events: u64,
    /// Observations lost, all reasons together.
    #[serde(default)]
    pub lost: u64,
    /// Observations lost, by reason.
    #[serde(default)]
    pub losses: BTreeMap<String, u64>,
    /// Why losses cannot be ruled out, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossy: Option<String>,
    /// Why DNS names of whom containers reach are not seen, if they are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_names_unseen: Option<String>,
    /// The workloads with the most events.
    #[serde(default)]
    pub workloads: Vec<WorkloadProgress>,
    /// How many more there are.
    #[serde(default)]
    pub workloads_left_out: u64,
    /// The recording.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<RecordingFacts>,
    /// Recordings of this window that the node had and has no more: its disk was replaced, say. The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub lost_recordings: Vec<LostRecordingFacts>,
    /// Who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentFacts>,
}

/// A node's recording of a window.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordingFacts {
    /// Its id.
    pub id: String,
    /// It grows with every change.
    pub revision: u64,
    /// What it takes on the disk.
    pub bytes: u64,
}

/// A recording that is gone, as it was told of last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LostRecordingFacts {
    /// Its id.
    pub id: String,
    /// Its revision.
    pub revision: u64,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// Until when everything was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_until: Option<Time>,
    /// Containers seen.
    pub containers: u64,
    /// How often behaviours were observed.
    pub events: u64,
}

/// The agent that has a recording.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentFacts {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The port, on the pod's loopback address, that recordings are collected from; 0 where they are not.
    #[serde(default)]
    pub port: u16,
    /// The agent's version.
    pub version: String,
}

/// How much a node saw of each image.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[kube(
    group = "wardline.dev",
    version = "v1alpha1",
    kind = "NodeCoverage",
    plural = "nodecoverages",
    doc = "How much one node's agent saw of each image in one learning window. Agents make and write these.",
    category = "wardline",
    derive = "PartialEq",
    printcolumn(name = "Window", type_ = "string", json_path = ".spec.window"),
    printcolumn(name = "Node", type_ = "string", json_path = ".spec.node"),
    printcolumn(name = "Images", type_ = "integer", json_path = ".spec.images"),
    printcolumn(name = "Told", type_ = "date", json_path = ".spec.toldAt")
)]
#[serde(rename_all = "camelCase")]
#[allow(unreachable_pub, reason = "what is derived repeats it where nobody can reach it")]
pub struct NodeCoverageSpec {
    /// The learning window's name.
    #[schemars(length(max = 63))]
    pub window: String,
    /// Its uid: another one may get the same name later.
    #[schemars(length(max = 64))]
    pub window_uid: String,
    /// The node's name.
    #[schemars(length(max = 253))]
    pub node: String,
    /// When that was so, by the API server's clock.
    pub told_at: Time,
    /// How many images were seen.
    pub images: u64,
    /// Of these, how many are not in the summary, as too much was seen of them.
    #[serde(default)]
    pub left_out: u64,
    /// They, by name, the first of them.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub left_out_names: Vec<String>,
    /// A list of summaries as JSON, compressed (gzip): behaviours as hashes, and in how many units each was seen.
    #[schemars(with = "String", length(max = 400_000), extend("format" = "byte"))]
    pub summary: ByteString,
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt as _;

    use super::*;

    /// `UPDATE_CRDS=1 cargo test -p profiler` writes them anew.
    #[test]
    fn the_definitions_that_are_installed_are_those_of_these_types() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart/crds");
        for (name, crd) in [
            ("learningwindows", LearningWindow::crd()),
            ("nodewindows", NodeWindow::crd()),
            ("nodecoverages", NodeCoverage::crd()),
        ] {
            let path = folder.join(format!("wardline.dev_{name}.yaml"));
            // The API server knows no formats of unsigned numbers, and says so whenever a definition is applied.
            let text: String = serde_yaml::to_string(&crd)
                .unwrap()
                .split_inclusive('\n')
                .filter(|line| !line.trim_start().starts_with("format: uint"))
                .collect();
            if std::env::var_os("UPDATE_CRDS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{}", path.display());
        }
    }
}
