//! The smaller texts of a pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ExecAction, LifecycleHandler, PodSpec, Probe};
use profiler_common::COMMAND_BYTES;

use super::{KubeletCommand, Occasion, Role};
use crate::kubernetes::expansion::expand;

/// A container's id, without the runtime's name in front (`containerd://`, `cri-o://`, `docker://`). The kubelet writes
/// `<runtime>://<id>` (`ContainerID.String`, pkg/kubelet/container/runtime.go).
pub(super) fn container_id(text: &str) -> Option<&str> {
    let (_, id) = text.split_once("://")?;
    is_container_id(id).then_some(id)
}

/// Whether a container may have this id.
pub(in crate::kubernetes) fn is_container_id(id: &str) -> bool {
    const ID_MAX: usize = 128;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(is_part)
}

/// Labels that change from one pod of a workload to the next, from one revision to the next, or with the node: a policy
/// that selected on them would miss tomorrow's pods.
pub(super) fn is_volatile(key: &str) -> bool {
    const KEYS: [&str; 8] = [
        "pod-template-hash",                  // Deployments: apps/v1 DefaultDeploymentUniqueLabelKey
        "rollouts-pod-template-hash",         // Argo Rollouts: DefaultRolloutUniqueLabelKey
        "controller-revision-hash",           // StatefulSets, DaemonSets: apps/v1 ControllerRevisionHashLabelKey
        "pod-template-generation",            // DaemonSets, deprecated: apps/v1 DeprecatedTemplateGeneration
        "statefulset.kubernetes.io/pod-name", // StatefulSets: apps/v1 StatefulSetPodNameLabel
        "apps.kubernetes.io/pod-index",       // StatefulSets: apps/v1 PodIndexLabel
        "controller-uid",                     // Jobs before 1.27: batch/v1 legacyControllerUidLabel
        "job-name",                           // Jobs before 1.27: batch/v1 legacyJobNameLabel
    ];
    const PREFIXES: [&str; 2] = [
        "batch.kubernetes.io/", // Jobs: batch/v1 ControllerUidLabel, JobNameLabel, JobCompletionIndexAnnotation
        "topology.kubernetes.io/", // copied from the node: the PodTopologyLabels admission plugin of 1.33
    ];
    KEYS.contains(&key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// What a pod's spec says of one container.
pub(super) struct Spec<'a> {
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) image: &'a str,
    /// Whether it has a readiness or startup probe, of any kind.
    pub(super) is_probed: bool,
    pub(super) commands: Vec<KubeletCommand>,
}

/// All of a pod's containers.
pub(super) fn specs(pod: &PodSpec) -> Vec<Spec<'_>> {
    let mut specs: Vec<Spec<'_>> = pod
        .containers
        .iter()
        .map(|container| spec(container, Role::Container))
        .collect();
    for container in pod.init_containers.iter().flatten() {
        // KEP-753: a sidecar is an init container that is always restarted.
        let role = match container.restart_policy.as_deref() {
            Some("Always") => Role::Sidecar,
            _ => Role::Init,
        };
        specs.push(spec(container, role));
    }
    for container in pod.ephemeral_containers.iter().flatten() {
        // The kubelet executes nothing in these: they may have neither probes nor lifecycle handlers.
        specs.push(Spec {
            name: &container.name,
            role: Role::Ephemeral,
            image: container.image.as_deref().unwrap_or_default(),
            is_probed: false,
            commands: Vec::new(),
        });
    }
    specs
}

fn spec(container: &Container, role: Role) -> Spec<'_> {
    // Of those, the kubelet replaces references to variables that the specification gives a value of its own; others, also
    // of secrets, are empty to it (`ExpandContainerCommandOnlyStatic`, pkg/kubelet/container/helpers.go, called by
    // `runProbe`, pkg/kubelet/prober/prober.go).
    let probe = |probe: Option<&Probe>| {
        let action = probe.and_then(|probe| probe.exec.clone())?;
        let variables = container.env.iter().flatten();
        let variables = variables.map(|it| (it.name.as_str(), it.value.as_deref().unwrap_or_default()));
        Some((action, Some(variables.collect())))
    };
    // Not in the commands of handlers (`Run`, pkg/kubelet/lifecycle/handlers.go).
    let handler = |handler: Option<&LifecycleHandler>| {
        let action = handler.and_then(|handler| handler.exec.clone())?;
        Some((action, None))
    };
    let lifecycle = container.lifecycle.as_ref();
    let all = [
        (Occasion::Liveness, probe(container.liveness_probe.as_ref())),
        (Occasion::Readiness, probe(container.readiness_probe.as_ref())),
        (Occasion::Startup, probe(container.startup_probe.as_ref())),
        (
            Occasion::PostStart,
            handler(lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref())),
        ),
        (
            Occasion::PreStop,
            handler(lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref())),
        ),
    ];
    let commands = all.into_iter().filter_map(|(occasion, said)| {
        let (action, variables) = said?;
        command(occasion, action, variables.as_ref())
    });
    Spec {
        name: &container.name,
        role,
        image: container.image.as_deref().unwrap_or_default(),
        is_probed: container.readiness_probe.is_some() || container.startup_probe.is_some(),
        commands: commands.collect(),
    }
}

/// None where there is nothing to execute.
fn command(occasion: Occasion, action: ExecAction, variables: Option<&BTreeMap<&str, &str>>) -> Option<KubeletCommand> {
    /// What the probes read of a command is less.
    const BYTES_MAX: usize = COMMAND_BYTES;
    let words = action.command.filter(|words| !words.is_empty())?;
    let (mut command, mut left) = (Vec::with_capacity(words.len()), BYTES_MAX);
    for word in words {
        let word = match variables {
            Some(variables) => expand(&word, variables, left),
            None => Some(word),
        };
        // With the NUL behind it.
        let rest = |word: &String| left.checked_sub(word.len() + 1);
        let Some((word, rest)) = word.and_then(|word| rest(&word).map(|rest| (word, rest))) else {
            command.clear();
            break;
        };
        left = rest;
        command.push(word);
    }
    Some(KubeletCommand { occasion, command })
}
