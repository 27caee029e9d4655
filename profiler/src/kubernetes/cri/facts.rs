//! From what a container runtime lists to the facts of pods, as an API server's descriptions give them.
//!
//! What the lists do not say stays unknown: what a container is for, whether it is ready, what the kubelet executes in it,
//! the pod's address. In exchange every container has its own image here, the one before a restart, too. Labels are those
//! that the pod had when its sandbox was made: runtimes hear of no change.
//!
//! Nothing is trusted to have the right form or size, as in [`crate::kubernetes::pods`].

use std::cmp::Reverse;
use std::collections::BTreeMap;

use baselines::time::UtcTime;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::messages::{Container, Image, PodSandbox, PodSandboxMetadata, READY};
use super::owners::{Told, told};
use crate::kubernetes::images::{Digest, PodImage};
use crate::kubernetes::owners::{Above, is_name};
use crate::kubernetes::pods::{
    CONTAINERS_MAX, ContainerFacts, Odd, PodFacts, Ready, Role, Run, is_container_id, note, without_duplicates,
};
use crate::kubernetes::times::time;

/// What the kubelet adds to the labels of a pod (`newPodLabels`, pkg/kubelet/kuberuntime/labels.go).
const KUBELETS: &str = "io.kubernetes.pod.";

/// The pods of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// By their uids.
    pub pods: BTreeMap<String, PodFacts>,
    /// How many sandboxes and containers are of no use, and how many texts in others were left out.
    pub odd: u64,
    /// A pod that some controller has made, and nobody can tell which.
    pub unclear: Option<String>,
}

/// The image of a container that has to be asked for, because the list alone does not tell its digest.
pub fn asked_image(container: &Container) -> Option<&str> {
    let named = image(container, None);
    let is_told = named.is_some_and(|image| matches!(image.digest, Some(Digest::Registry(_))));
    let asked = Some(container.image_ref.as_str()).filter(|id| !id.is_empty());
    let asked = asked.or_else(|| Some(container.image.as_ref()?.image.as_str()).filter(|name| !name.is_empty()));
    asked.filter(|_| !is_told)
}

/// What the lists say. `images` are those that were [asked for](asked_image), as far as they are there.
pub fn listed(sandboxes: &[PodSandbox], containers: &[Container], images: &BTreeMap<String, Option<Image>>) -> Listed {
    let mut listed = Listed::default();
    let mut odd = BTreeMap::new();
    // The newest one of a pod speaks for it.
    let mut sandboxes: Vec<(&PodSandbox, &PodSandboxMetadata)> = sandboxes
        .iter()
        .filter_map(|sandbox| Some((sandbox, sandbox.metadata.as_ref()?)))
        .collect();
    sandboxes
        .sort_by_key(|(sandbox, metadata)| (sandbox.state != READY, Reverse((sandbox.created_at, metadata.attempt))));
    let mut homes: BTreeMap<&str, &str> = BTreeMap::new();
    for (sandbox, metadata) in sandboxes {
        let is_known = listed.pods.get_mut(&metadata.uid).map(|known| {
            let is_same = (&known.namespace, &known.name) == (&metadata.namespace, &metadata.name);
            if is_same {
                known.sandboxes.push(sandbox.id.clone());
            }
            is_same
        });
        let is_of_use = is_container_id(&sandbox.id) && !homes.contains_key(sandbox.id.as_str());
        let is_of_use = is_of_use && is_known.unwrap_or_else(|| add(&mut listed, sandbox, metadata));
        if is_of_use {
            homes.insert(&sandbox.id, &metadata.uid);
        } else {
            note(&mut odd, Odd::Container);
        }
    }
    let mut containers: Vec<&Container> = containers.iter().collect();
    containers.sort_by_key(|container| (Reverse(container.created_at), &container.id));
    for container in containers {
        let pod = homes.get(container.pod_sandbox_id.as_str());
        let facts = pod.and_then(|uid| listed.pods.get_mut(*uid));
        // Of no sandbox: that went away between the two lists, as a rule.
        match facts.filter(|facts| facts.containers.len() < CONTAINERS_MAX) {
            Some(facts) => facts.containers.extend(container_facts(container, images, &mut odd)),
            None => note(&mut odd, Odd::Container),
        }
    }
    for facts in listed.pods.values_mut() {
        without_duplicates(&mut facts.containers, &mut facts.odd);
        facts.containers.retain(|container| !container.runs.is_empty());
    }
    let of_pods = listed.pods.values().flat_map(|facts| facts.odd.values());
    let count: usize = odd.values().chain(of_pods).sum();
    listed.odd = u64::try_from(count).unwrap_or(u64::MAX);
    listed
}

/// Adds the pod of a sandbox. False where what names it is of no use.
fn add(listed: &mut Listed, sandbox: &PodSandbox, metadata: &PodSandboxMetadata) -> bool {
    let created = UtcTime::from_nanos(u64::try_from(sandbox.created_at).unwrap_or(0));
    let own = sandbox.labels.iter().filter(|(key, _)| !key.starts_with(KUBELETS));
    let described = Pod {
        metadata: ObjectMeta {
            namespace: Some(metadata.namespace.clone()),
            name: Some(metadata.name.clone()),
            uid: Some(metadata.uid.clone()),
            labels: Some(own.map(|(key, value)| (key.clone(), value.clone())).collect()),
            creation_timestamp: Some(time(created)),
            ..ObjectMeta::default()
        },
        ..Pod::default()
    };
    let Ok(mut facts) = PodFacts::of(&described, &Above::Unknown) else {
        return false;
    };
    match told(&facts.name, &facts.labels, created) {
        Told::Workload(workload) => facts.workload = workload,
        Told::Nothing => {}
        Told::Unclear => listed.unclear = Some(format!("{}/{}", facts.namespace, facts.name)),
    }
    facts.sandboxes.push(sandbox.id.clone());
    listed.pods.insert(facts.uid.clone(), facts);
    true
}

/// None where it has no usable name or id.
fn container_facts(
    container: &Container,
    images: &BTreeMap<String, Option<Image>>,
    odd: &mut BTreeMap<Odd, usize>,
) -> Option<ContainerFacts> {
    let name = container.metadata.as_ref().map(|metadata| metadata.name.as_str());
    let Some(name) = name.filter(|name| is_name(name)) else {
        note(odd, Odd::Container);
        return None;
    };
    if !is_container_id(&container.id) {
        note(odd, Odd::ContainerId);
        return None;
    }
    let status = asked_image(container).and_then(|asked| images.get(asked)?.as_ref());
    let image = image(container, status);
    if image.is_none() {
        note(odd, Odd::Image);
    }
    Some(ContainerFacts {
        name: name.to_owned(),
        role: Role::Untold,
        runs: vec![Run {
            id: container.id.clone(),
            // The list says of each what it runs.
            is_current: true,
        }],
        image,
        started: None,
        is_probed: false,
        ready: Ready::No,
        commands: Vec::new(),
    })
}

fn image(container: &Container, status: Option<&Image>) -> Option<PodImage> {
    let (written, asked) = container.image.as_ref().map_or(("", ""), |spec| {
        (spec.user_specified_image.as_str(), spec.image.as_str())
    });
    let wanted = if written.is_empty() { asked } else { written };
    let tag = status.and_then(|image| image.repo_tags.first());
    let reported = tag.map_or(asked, String::as_str);
    let named = |id: &str| PodImage::of(wanted, reported, id);
    let repository = named("").map(|image| image.repository);
    // One image may have come from several registries: what counts is where the pod's author has it from.
    let digests = status.map(|image| image.repo_digests.as_slice()).unwrap_or_default();
    let is_of_it = |id: &&String| PodImage::of("", "", id).map(|image| image.repository) == repository;
    let id = digests.iter().find(is_of_it).or_else(|| digests.first());
    named(id.map_or(container.image_ref.as_str(), String::as_str))
}

#[cfg(test)]
mod tests;
