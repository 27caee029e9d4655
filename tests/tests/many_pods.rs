//! A node with more pods than any has, and hundreds that come and go: what `profile` keeps of them stays small.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use end_to_end::kubelet::{Container, digest, end, learn, nameless, names};
use end_to_end::{Scratch, StubServer, poll};
use serde_json::{Value, json};

/// Pods that are there all the time.
const PODS: usize = 5_000;
/// Pods of one ReplicaSet.
const REPLICAS: usize = 10;
/// Pods that come and go: at once, which nodes have a minute for.
const CHURN: usize = 300;
/// In bytes.
const MEMORY: u64 = 60 << 20;

fn uid(number: usize) -> String {
    format!("0f5e1d2c-0000-4000-9000-{:06x}{number:06x}", std::process::id())
}

fn id(number: usize) -> String {
    format!("{:032x}{number:032x}", u64::from(std::process::id()) << 32)
}

/// As large as pods are: two containers, of which one is a sidecar, with what clusters add to each.
fn pod(number: usize) -> Value {
    let set = format!("shop-{}-7d4b9c6f5", number / REPLICAS);
    let name = format!("{set}-{number:05}");
    let environment: Vec<Value> = (0..20)
        .map(|at| json!({"name": format!("SETTING_{at}"), "value": "x".repeat(40)}))
        .collect();
    let container = |name: &str| {
        json!({
            "name": name, "image": format!("registry.example/shop/{name}-{number}:1.4"), "env": &environment,
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "volumeMounts": [{"name": "kube-api-access-x2x9z", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 10},
        })
    };
    let fields: Value = (0..40)
        .map(|at| (format!("f:field{at}"), json!({"f:value": {}})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({
        "metadata": {
            "namespace": "production", "name": name, "uid": uid(number), "creationTimestamp": "2026-11-21T09:29:50Z",
            "labels": {"app": format!("shop-{}", number / REPLICAS), "pod-template-hash": "7d4b9c6f5", "team": "shop", "tier": "front"},
            "annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-20T00:00:00Z", "checksum/config": "c".repeat(64)},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": set, "uid": format!("set-{}", number / REPLICAS), "controller": true,
            }],
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "fieldsV1": &fields},
                {"manager": "kubelet", "operation": "Update", "fieldsV1": &fields},
            ],
        },
        "spec": {"nodeName": "node-7", "containers": [container("server"), container("mesh")]},
    })
}

/// The same, once its first container runs. Each has an image of its own, so that what it did can be told.
fn started(mut pod: Value, id: &str) -> Value {
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    let image_id = format!("{}@{}", image.strip_suffix(":1.4").unwrap(), digest(&image));
    pod["status"] = json!({"phase": "Running", "containerStatuses": [{
        "name": "server", "ready": true, "restartCount": 0, "containerID": format!("containerd://{id}"), "image": image,
        "imageID": image_id, "state": {"running": {"startedAt": "2026-11-21T09:30:00Z"}},
    }]});
    pod
}

#[test]
fn five_thousand_pods_and_three_hundred_that_come_and_go_fit_into_sixty_mebibytes() {
    let server = StubServer::start();
    let scratch = Scratch::new();
    for set in 0..=(PODS + CHURN) / REPLICAS {
        let name = format!("shop-{set}-7d4b9c6f5");
        let owner = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": format!("shop-{set}"), "uid": "d", "controller": true});
        server.answer(
            &format!("/apis/apps/v1/namespaces/production/replicasets/{name}"),
            json!({
                "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                "metadata": {"namespace": "production", "name": name, "uid": format!("set-{set}"), "ownerReferences": [owner]},
            }),
        );
    }
    server.expire(|pods| pods.extend((0..PODS).map(|number| (uid(number), started(pod(number), &id(number))))));
    let recorder = learn(&scratch, &server.kubeconfig(), &["--namespace", "production"]);
    for number in PODS..PODS + CHURN {
        server.apply(pod(number));
        let status = started(pod(number), &id(number));
        server.apply(status.clone());
        server.delete(status);
    }
    // Whoever comes after all of them is known.
    let last = pod(PODS + CHURN);
    let container = Container::run(&scratch, &last);
    server.apply(started(last, &container.id));
    let name = poll(|| names(&scratch).remove(container.path()));
    assert!(name.is_some(), "{}", recorder.stderr());
    let peak = recorder.peak_memory();
    let said = end(recorder);
    println!("{PODS} pods, {CHURN} came and went: at most {} KiB", peak >> 10);
    let workload = format!("production/Deployment/shop-{}/server", (PODS + CHURN) / REPLICAS);
    assert!(name.unwrap().starts_with(&workload), "{said}");
    assert_eq!(nameless(&scratch, container.cgroup.id()), 0, "{said}");
    assert!(peak <= MEMORY, "{peak} bytes");
}
