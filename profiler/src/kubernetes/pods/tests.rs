//! Pods as kubelets and their users write them, and as attackers might.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::images::Digest;

const UID: &str = "0f5e1d2c-0000-4000-8000-000000000001";
const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A pod with these fields beside its names.
fn pod(mut fields: Value) -> Pod {
    let metadata = fields["metadata"].as_object().cloned().unwrap_or_default();
    fields["metadata"] = json!({"namespace": "production", "name": "web-7d4b9-x2x", "uid": UID});
    fields["metadata"].as_object_mut().unwrap().extend(metadata);
    serde_json::from_value(fields).unwrap()
}

fn facts(fields: Value) -> PodFacts {
    PodFacts::of(&pod(fields), &Above::Unknown).unwrap()
}

fn running(name: &str, id: &str) -> Value {
    json!({
        "name": name, "containerID": id, "image": "", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {"startedAt": "2026-11-21T09:30:00Z"}},
    })
}

#[test]
fn every_kind_of_container_is_told_apart() {
    let facts = facts(json!({
        "spec": {
            "containers": [{"name": "server", "image": "shop/web:1.4"}],
            "initContainers": [
                {"name": "migrate", "image": "shop/migrate:1.4"},
                {"name": "mesh", "image": "mesh:2", "restartPolicy": "Always"},
                {"name": "odd", "image": "odd:2", "restartPolicy": "OnFailure"},
            ],
            "ephemeralContainers": [{"name": "debugger-1", "image": "busybox"}],
        },
        "status": {
            "containerStatuses": [running("server", "containerd://a1")],
            "initContainerStatuses": [running("mesh", "cri-o://b2"), running("migrate", "docker://c3")],
            "ephemeralContainerStatuses": [running("debugger-1", "containerd://d4")],
        },
    }));
    let told: Vec<_> = facts
        .containers
        .iter()
        .map(|container| {
            let ids: Vec<&str> = container.runs.iter().map(|run| run.id.as_str()).collect();
            (container.name.as_str(), container.role, ids)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("server", Role::Container, vec!["a1"]),
            ("migrate", Role::Init, vec!["c3"]),
            ("mesh", Role::Sidecar, vec!["b2"]),
            ("odd", Role::Init, vec![]),
            ("debugger-1", Role::Ephemeral, vec!["d4"]),
        ]
    );
    assert_eq!(facts.odd, BTreeMap::new());
}

#[test]
fn a_restarted_container_is_known_by_the_id_that_it_had_before() {
    let ended =
        |id: &str| json!({"terminated": {"containerID": id, "exitCode": 1, "startedAt": "2026-11-21T09:00:00Z"}});
    let cases = [
        (json!({"containerID": "containerd://new"}), vec![("new", true)]),
        (
            json!({"containerID": "containerd://new", "lastState": ended("containerd://old")}),
            vec![("new", true), ("old", false)],
        ),
        // It waits to be restarted: the last one is current.
        (
            json!({"containerID": "containerd://old", "lastState": ended("containerd://old")}),
            vec![("old", true)],
        ),
        (
            json!({"containerID": "containerd://last", "state": ended("containerd://last")}),
            vec![("last", true)],
        ),
        (json!({"state": ended("containerd://last")}), vec![("last", true)]),
        (json!({"containerID": ""}), vec![]),
        (json!({}), vec![]),
    ];
    for (fields, expected) in cases {
        let mut status = json!({"name": "server", "image": "", "imageID": ""});
        status
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let facts = facts(json!({
            "spec": {"containers": [{"name": "server", "image": "shop/web"}]},
            "status": {"containerStatuses": [status]},
        }));
        let runs: Vec<_> = facts.containers[0]
            .runs
            .iter()
            .map(|run| (run.id.as_str(), run.is_current))
            .collect();
        assert_eq!(runs, expected, "{fields}");
    }
}

#[test]
fn names_times_image_and_commands_are_read() {
    let facts = facts(json!({
        "metadata": {
            "labels": {"app": "web", "pod-template-hash": "7d4b9", "team": "shop"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9", "uid": "r", "controller": true,
            }],
        },
        "spec": {"containers": [{
            "name": "server", "image": "shop/web:1.4",
            "livenessProbe": {"exec": {"command": ["/bin/sh", "-c", "true"]}},
            "readinessProbe": {"httpGet": {"port": 80}},
            "startupProbe": {"exec": {"command": []}},
            "lifecycle": {"preStop": {"exec": {"command": ["/bin/sleep", "5"]}}, "postStart": {"exec": {}}},
        }]},
        "status": {
            "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T09:31:00Z"},
                {"type": "ContainersReady", "status": "True", "lastTransitionTime": "2026-11-21T09:30:30Z"},
            ],
            "containerStatuses": [{
                "name": "server", "containerID": format!("containerd://{A}"), "ready": true, "restartCount": 0,
                "image": "docker.io/shop/web:1.4", "imageID": format!("docker.io/shop/web@sha256:{A}"),
                "state": {"running": {"startedAt": "2026-11-21T09:30:00Z"}},
            }],
        },
    }));
    assert_eq!(
        (facts.namespace.as_str(), facts.name.as_str(), facts.uid.as_str()),
        ("production", "web-7d4b9-x2x", UID)
    );
    assert_eq!((facts.cgroup_uid.as_str(), facts.is_mirror()), (UID, false));
    // Nobody was asked: the template's hash says it.
    assert_eq!(
        (facts.workload.kind.as_str(), facts.workload.name.as_str()),
        ("Deployment", "web")
    );
    let labels: Vec<_> = facts
        .lasting_labels()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(labels, ["app=web", "team=shop"]);
    let [server] = &facts.containers[..] else {
        panic!("{facts:?}")
    };
    assert_eq!(server.started, Some("2026-11-21T09:30:00Z".parse().unwrap()));
    assert_eq!(server.ready, Ready::Since("2026-11-21T09:30:30Z".parse().unwrap()));
    assert!(server.is_probed);
    let image = server.image.as_ref().unwrap();
    assert_eq!(image.digest, Some(Digest::Registry(format!("sha256:{A}"))));
    let commands: Vec<_> = server
        .commands
        .iter()
        .map(|said| (said.occasion, said.command.join(" ")))
        .collect();
    assert_eq!(
        commands,
        [
            (Occasion::Liveness, "/bin/sh -c true".to_owned()),
            (Occasion::PreStop, "/bin/sleep 5".to_owned()),
        ]
    );
}

#[test]
fn commands_of_every_occasion_are_read_and_references_in_those_of_probes_replaced() {
    let exec = |word: &str| json!({"exec": {"command": ["check", word, "$(ONE)", "$(SECRET)", "$(NONE)"]}});
    let container = |name: &str| {
        json!({
            "name": name, "image": "shop/web",
            "env": [
                {"name": "ONE", "value": "0"}, {"name": "ONE", "value": "1"},
                {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "livenessProbe": exec("liveness"), "readinessProbe": exec("readiness"), "startupProbe": exec("startup"),
            "lifecycle": {"postStart": exec("postStart"), "preStop": exec("preStop")},
        })
    };
    let mut mesh = container("mesh");
    mesh["restartPolicy"] = "Always".into();
    let facts = facts(json!({
        "spec": {"containers": [container("server")], "initContainers": [mesh],
            "ephemeralContainers": [{"name": "debugger", "image": "busybox"}]},
    }));
    let probe = |occasion, name| (occasion, format!("check {name} 1  $(NONE)"));
    let handler = |occasion, name| (occasion, format!("check {name} $(ONE) $(SECRET) $(NONE)"));
    let expected = [
        probe(Occasion::Liveness, "liveness"),
        probe(Occasion::Readiness, "readiness"),
        probe(Occasion::Startup, "startup"),
        handler(Occasion::PostStart, "postStart"),
        handler(Occasion::PreStop, "preStop"),
    ];
    for (container, expected) in facts.containers.iter().zip([&expected[..], &expected, &[]]) {
        let said = container.commands.iter();
        let said: Vec<_> = said.map(|said| (said.occasion, said.command.join(" "))).collect();
        assert_eq!(said, expected, "{}", container.name);
    }
    assert_eq!((facts.containers.len(), facts.odd), (3, BTreeMap::new()));
}

#[test]
fn readiness_is_what_the_kubelet_says_and_no_more() {
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status, "lastTransitionTime": "2026-11-21T09:30:30Z"});
    let since = Ready::Since("2026-11-21T09:30:30Z".parse().unwrap());
    let cases = [
        (true, vec![], Ready::Yes),
        (true, vec![condition("Ready", "True")], since),
        (
            true,
            vec![condition("ContainersReady", "True"), condition("Ready", "False")],
            since,
        ),
        (true, vec![condition("ContainersReady", "False")], Ready::Yes),
        (true, vec![condition("PodScheduled", "True")], Ready::Yes),
        (true, vec![json!({"type": "Ready", "status": "True"})], Ready::Yes),
        (false, vec![condition("ContainersReady", "True")], Ready::No),
    ];
    for (ready, conditions, expected) in cases {
        let mut status = running("server", "containerd://a");
        status["ready"] = ready.into();
        let facts = facts(json!({
            "spec": {"containers": [{"name": "server", "image": "shop/web"}]},
            "status": {"containerStatuses": [status], "conditions": conditions},
        }));
        assert_eq!(facts.containers[0].ready, expected, "{conditions:?}");
    }
}

#[test]
fn only_probes_of_readiness_and_start_tell_when_a_container_is_ready() {
    let probe = json!({"tcpSocket": {"port": 80}});
    let cases = [
        (json!({}), false),
        (json!({"livenessProbe": probe}), false),
        (json!({"readinessProbe": probe}), true),
        (json!({"startupProbe": probe}), true),
    ];
    for (mut container, expected) in cases {
        container["name"] = "server".into();
        let facts = facts(json!({"spec": {"containers": [container]}}));
        assert_eq!(facts.containers[0].is_probed, expected, "{container}");
    }
}

#[test]
fn labels_that_do_not_last_are_told_apart() {
    let cases = [
        ("app", true),
        ("app.kubernetes.io/name", true),
        ("pod-template-hash", false),
        ("rollouts-pod-template-hash", false),
        ("controller-revision-hash", false),
        ("pod-template-generation", false),
        ("statefulset.kubernetes.io/pod-name", false),
        ("apps.kubernetes.io/pod-index", false),
        ("controller-uid", false),
        ("job-name", false),
        ("batch.kubernetes.io/job-name", false),
        ("batch.kubernetes.io/job-completion-index", false),
        ("topology.kubernetes.io/zone", false),
        ("shop/job-name", true),
    ];
    for (key, is_kept) in cases {
        let facts = facts(json!({"metadata": {"labels": {key: "x"}}, "spec": {"containers": []}}));
        assert!(facts.labels.contains_key(key), "{key}");
        assert_eq!(facts.lasting_labels().count(), usize::from(is_kept), "{key}");
        assert_eq!(facts.odd, BTreeMap::new());
    }
}

#[test]
fn a_static_pod_is_called_by_its_manifest_and_nobody_else_is() {
    let hash = "0123456789abcdef0123456789abcdef";
    let other = "1f5e1d2c-0000-4000-8000-000000000009";
    for (annotation, expected) in [(hash, hash), (other, UID), ("", UID), ("../x", UID)] {
        let facts = facts(json!({
            "metadata": {"annotations": {"kubernetes.io/config.mirror": annotation}}, "spec": {"containers": []},
        }));
        assert_eq!(
            (facts.cgroup_uid.as_str(), facts.is_mirror()),
            (expected, expected == hash)
        );
    }
}

#[test]
fn what_has_not_the_right_form_is_left_out_and_counted() {
    let long = "a".repeat(1000);
    let two = |one: &str, other: &str| {
        json!({
            "spec": {"containers": [{"name": "one", "image": "x"}, {"name": "other", "image": "x"}]},
            "status": {"containerStatuses": [running("one", one), running("other", other)]},
        })
    };
    let with_label = |key: &str, value: &str| json!({"metadata": {"labels": {key: value}}, "spec": {"containers": []}});
    let named = |name: &str| json!({"spec": {"containers": [{"name": name, "image": "x"}]}});
    let many: Vec<Value> = (0..300)
        .map(|number| json!({"name": format!("c{number}"), "image": "x"}))
        .collect();
    let cases = [
        (two("containerd://a", "containerd://b"), vec![]),
        (two("containerd://a", "containerd://a"), vec![(Odd::DuplicateId, 2)]),
        (two("containerd://a", "cri-o://a"), vec![(Odd::DuplicateId, 2)]),
        (two("a", "containerd://b"), vec![(Odd::ContainerId, 1)]),
        (two("containerd://", "containerd://b"), vec![(Odd::ContainerId, 1)]),
        (two("containerd://../b", "containerd://b"), vec![(Odd::ContainerId, 1)]),
        (
            two("containerd://a\n", &format!("containerd://{long}")),
            vec![(Odd::ContainerId, 2)],
        ),
        (named(""), vec![(Odd::Container, 1)]),
        (named("a/b"), vec![(Odd::Container, 1)]),
        (named(&long), vec![(Odd::Container, 1)]),
        (
            json!({"spec": {"containers": [{"name": "a", "image": "x"}, {"name": "a", "image": "y"}]}}),
            vec![(Odd::Container, 1)],
        ),
        (json!({"spec": {"containers": many}}), vec![(Odd::Container, 44)]),
        (json!({"spec": {"containers": [{"name": "a"}]}}), vec![(Odd::Image, 1)]),
        (
            json!({"spec": {"containers": [{"name": "a", "image": "A B"}]}}),
            vec![(Odd::Image, 1)],
        ),
        (with_label(&long, "x"), vec![(Odd::Label, 1)]),
        (with_label("x", &long), vec![(Odd::Label, 1)]),
        (
            json!({"metadata": {"ownerReferences": [
                {"apiVersion": "a", "kind": "\u{1b}[2J", "name": "b", "uid": "c", "controller": true},
            ]}, "spec": {"containers": []}}),
            vec![(Odd::Owner, 1)],
        ),
        (
            json!({"spec": {"containers": [{
                "name": "a", "image": "x", "livenessProbe": {"exec": {"command": ["x".repeat(20_000)]}},
            }]}}),
            vec![(Odd::Command, 1)],
        ),
        (json!({}), vec![]),
    ];
    for (fields, expected) in cases {
        let text: String = fields.to_string().chars().take(200).collect();
        assert_eq!(facts(fields).odd, expected.into_iter().collect(), "{text}");
    }
}

#[test]
fn a_pod_without_its_names_has_no_facts() {
    let long = "a".repeat(254);
    for field in ["namespace", "name", "uid"] {
        for value in [json!(null), json!(""), json!("a/b"), json!("\n"), json!(long)] {
            let pod = pod(json!({"metadata": {field: value}}));
            assert_eq!(PodFacts::of(&pod, &Above::Nobody), Err(Refused { field }));
        }
    }
}

proptest! {
    /// Whatever texts there are: an answer within bounds, and no panic.
    #[test]
    fn no_text_is_too_much([name, id, image, image_id, kind, key] in prop::array::uniform6(".{0,400}")) {
        let facts = facts(json!({
            "metadata": {
                "labels": {key.as_str(): id.as_str()},
                "annotations": {"kubernetes.io/config.mirror": id.as_str()},
                "ownerReferences": [{"apiVersion": key, "kind": kind, "name": name, "uid": id, "controller": true}],
            },
            "spec": {"containers": [{"name": name, "image": image}]},
            "status": {"containerStatuses": [{
                "name": name, "containerID": format!("{kind}://{id}"), "image": image, "imageID": image_id,
            }]},
        }));
        prop_assert!(facts.labels.len() <= 1 && facts.containers.len() <= 1);
        for container in &facts.containers {
            prop_assert!(container.runs.iter().all(|run| (1..=128).contains(&run.id.len())));
        }
    }
}
