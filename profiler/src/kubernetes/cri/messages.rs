//! The messages of the Container Runtime Interface, as far as they are used: `runtime.v1.RuntimeService` and `ImageService`.
//!
//! Written here and not generated: few fields of few messages are read, and what is not named is skipped, as protocol
//! buffers do. The numbers are those of Kubernetes' `k8s.io/cri-api/pkg/apis/runtime/v1/api.proto`, and never change there.

use std::collections::BTreeMap;

use prost::Message;

/// Asks for everything of a kind: without a filter, a list is of all. Also what `Version` is asked with.
#[derive(Clone, PartialEq, Message)]
pub struct Everything {}

/// `VersionResponse`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "the interface's names say it")]
pub struct Version {
    #[prost(string, tag = "2")]
    pub runtime_name: String,
    #[prost(string, tag = "3")]
    pub runtime_version: String,
}

/// `ListPodSandboxResponse`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as above")]
pub struct PodSandboxes {
    #[prost(message, repeated, tag = "1")]
    pub items: Vec<PodSandbox>,
}

/// `PodSandbox`: what the containers of a pod share, and a container of its own in most runtimes. A pod may get another
/// one in its life.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as above")]
pub struct PodSandbox {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<PodSandboxMetadata>,
    /// [`READY`], or not.
    #[prost(int32, tag = "3")]
    pub state: i32,
    /// Since the epoch, in ns.
    #[prost(int64, tag = "4")]
    pub created_at: i64,
    /// Those that the pod had when it was made, and the kubelet's own.
    #[prost(btree_map = "string, string", tag = "5")]
    pub labels: BTreeMap<String, String>,
}

/// `SANDBOX_READY`.
pub const READY: i32 = 0;

/// `PodSandboxMetadata`: which pod it is of.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as above")]
pub struct PodSandboxMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub uid: String,
    #[prost(string, tag = "3")]
    pub namespace: String,
    #[prost(uint32, tag = "4")]
    pub attempt: u32,
}

/// `ListContainersResponse`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as above")]
pub struct Containers {
    #[prost(message, repeated, tag = "1")]
    pub containers: Vec<Container>,
}

/// `Container`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as above")]
pub struct Container {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub pod_sandbox_id: String,
    #[prost(message, optional, tag = "3")]
    pub metadata: Option<ContainerMetadata>,
    #[prost(message, optional, tag = "4")]
    pub image: Option<ImageSpec>,
    /// What runs: `repository@digest`, or the image's id.
    #[prost(string, tag = "5")]
    pub image_ref: String,
    /// Since the epoch, in ns.
    #[prost(int64, tag = "7")]
    pub created_at: i64,
}

/// `ContainerMetadata`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as above")]
pub struct ContainerMetadata {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint32, tag = "2")]
    pub attempt: u32,
}

/// `ImageSpec`.
#[derive(Clone, PartialEq, Message)]
pub struct ImageSpec {
    /// What the kubelet asked for: the image's id, as a rule.
    #[prost(string, tag = "1")]
    pub image: String,
    /// What the pod's author wrote. Empty with a kubelet or runtime that does not know this field.
    #[prost(string, tag = "18")]
    pub user_specified_image: String,
}

/// `ImageStatusRequest`.
#[derive(Clone, PartialEq, Message)]
#[expect(missing_docs, reason = "as above")]
pub struct ImageStatusRequest {
    #[prost(message, optional, tag = "1")]
    pub image: Option<ImageSpec>,
}

/// `ImageStatusResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct ImageStatus {
    /// None where there is no such image any more.
    #[prost(message, optional, tag = "1")]
    pub image: Option<Image>,
}

/// `Image`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Image {
    /// Its names, with tags.
    #[prost(string, repeated, tag = "2")]
    pub repo_tags: Vec<String>,
    /// Its names, with the registries' digests. None for one that came from no registry.
    #[prost(string, repeated, tag = "3")]
    pub repo_digests: Vec<String>,
}
