//! Whom containers reach, as the API server knows it.

use std::net::SocketAddr;

use super::*;
use end_to_end::{finish, profile};

const EXTERNAL: &str = "198.51.100.77";
const OTHER_POD: &str = "10.1.8.5";
const NODE_ADDRESS: &str = "10.0.0.8";
const NODES_NETWORK: &str = "10.0.0.9";

/// A service, whose address the API server chooses.
fn make_service(server: &ApiServer, name: &str) -> String {
    let spec = json!({"ports": [{"port": 80}], "selector": {"app": name}});
    let made = server.create(&object("v1", "Service", "staging", name, &spec));
    made["spec"]["clusterIP"].as_str().unwrap().to_owned()
}

/// A pod on another node with this address, of a Deployment's ReplicaSet.
fn make_other_pod(server: &ApiServer) {
    let template = template("api", "Always");
    let selector = json!({"matchLabels": {"app": "api"}});
    let spec = json!({"replicas": 0, "selector": selector, "template": template});
    let owned = |kind: &str, owner: &Value| {
        json!([{
            "apiVersion": "apps/v1", "kind": kind, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
            "controller": true,
        }])
    };
    let deployment = server.create(&object("apps/v1", "Deployment", "staging", "api", &spec));
    let mut set = object("apps/v1", "ReplicaSet", "staging", "api-5f6d", &spec);
    set["metadata"]["ownerReferences"] = owned("Deployment", &deployment);
    let set = server.create(&set);
    let mut pod = object("v1", "Pod", "staging", "api-5f6d-x2x", &spec_of("api"));
    pod["spec"]["nodeName"] = "node-8".into();
    pod["metadata"]["ownerReferences"] = owned("ReplicaSet", &set);
    run_at(server, &server.create(&pod), OTHER_POD);
}

fn run_at(server: &ApiServer, pod: &Value, address: &str) {
    let mut status = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]});
    if pod["spec"]["hostNetwork"] == true {
        (status["hostIP"], status["hostIPs"]) = (address.into(), json!([{"ip": address}]));
    }
    server.set_status(pod, &status);
}

/// A node with an address, and one that only a pod in its network tells of.
fn make_nodes(server: &ApiServer) {
    let node = server.create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-8"}}));
    let addresses = json!([
        {"type": "InternalIP", "address": NODE_ADDRESS}, {"type": "ExternalIP", "address": "203.0.113.8"},
    ]);
    server.set_status(&node, &json!({"addresses": addresses}));
    let mut proxy = object("v1", "Pod", "staging", "proxy", &spec_of("proxy"));
    (proxy["spec"]["nodeName"], proxy["spec"]["hostNetwork"]) = ("node-9".into(), true.into());
    run_at(server, &server.create(&proxy), NODES_NETWORK);
}

/// A container of the pod that connects to each of these twice.
fn reach(pod: &Value, addresses: &[&str]) -> Container {
    let targets: Vec<String> = addresses
        .iter()
        .map(|address| SocketAddr::new(address.parse().unwrap(), 7000).to_string())
        .collect();
    let mut steps = Vec::new();
    for target in &targets {
        if !steps.is_empty() {
            steps.push("then");
        }
        steps.extend(["reach", target, "2"]);
    }
    Container::doing(pod, &steps)
}

/// Whom connections reached and how often, by their addresses.
fn peers(scratch: &Scratch) -> BTreeMap<String, Vec<String>> {
    let baselines = end_to_end::baselines(scratch.recording()).into_iter();
    let connects = baselines.flat_map(|baseline| baseline.behaviours.connect);
    let told = connects.map(|connect| {
        let peers = connect
            .peers
            .iter()
            .map(|reached| format!("{} {}", reached.count, reached.peer));
        (connect.address.to_string(), peers.collect())
    });
    told.collect()
}

fn expected(expected: &[(&str, &str)]) -> BTreeMap<String, Vec<String>> {
    let expected = expected.iter().map(|(address, peer)| {
        let peers = if peer.is_empty() {
            vec![]
        } else {
            vec![format!("2 {peer}")]
        };
        ((*address).to_owned(), peers)
    });
    expected.collect()
}

#[test]
fn a_connection_is_recorded_with_whom_it_reached() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let service = make_service(&server, "api");
    make_other_pod(&server);
    make_nodes(&server);
    let web = server.create(&bare("production", "web"));
    let neighbour = server.create(&bare("production", "neighbour"));
    run_at(&server, &neighbour, "10.1.7.2");
    let scratch = Scratch::new();
    let recorder = learn(&scratch, &server.kubeconfig(), &["--namespace", "production"]);
    // A service that nobody knew when the window began.
    let late = make_service(&server, "late");
    let mapped = format!("::ffff:{service}");
    let addresses = [
        &service,
        &late,
        &mapped,
        OTHER_POD,
        "10.1.7.2",
        NODE_ADDRESS,
        "203.0.113.8",
        NODES_NETWORK,
        EXTERNAL,
        "169.254.169.254",
        "127.0.0.1",
    ];
    let container = reach(&web, &addresses);
    run_status(&server, &web, &container, "web");
    let named = || names(&scratch).contains_key(container.path()).then_some(());
    assert!(poll(named).is_some(), "{}", recorder.stderr());
    let expected = expected(&[
        (&service, "service/staging/api"),
        (&late, "service/staging/late"),
        (&mapped, "service/staging/api"),
        (OTHER_POD, "pod/staging/Deployment/api"),
        ("10.1.7.2", "pod/production/Pod/neighbour"),
        (NODE_ADDRESS, "node/node-8"),
        ("203.0.113.8", "node/node-8"),
        (NODES_NETWORK, "node/node-9"),
        (EXTERNAL, "external"),
        ("169.254.169.254", ""),
        ("127.0.0.1", ""),
    ]);
    let said = end(recorder);
    assert_eq!(peers(&scratch), expected, "{said}");
    assert!(!said.contains("API server"), "{said}");
    assert_eq!(summary(&scratch).windows[0].peers_untold, []);
}

#[test]
fn without_the_right_to_see_services_nobody_is_taken_for_external() {
    let server = ApiServer::start();
    make_namespaces(&server);
    let service = make_service(&server, "api");
    make_other_pod(&server);
    make_nodes(&server);
    let web = server.create(&bare("production", "web"));
    server.allow(
        "pods",
        &json!([
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]},
            {"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get"]},
        ]),
    );
    let scratch = Scratch::new();
    let mut recorder = learn(&scratch, &server.agent_kubeconfig(), &["--namespace", "production"]);
    let container = reach(&web, &[&service, OTHER_POD, NODE_ADDRESS, EXTERNAL]);
    run_status(&server, &web, &container, "web");
    let rule = "{apiGroups: [\"\"], resources: [services], verbs: [list, watch]}";
    recorder.wait_for("the refusal", |recorder| recorder.stderr().contains(rule));
    let named = || names(&scratch).contains_key(container.path()).then_some(());
    assert!(poll(named).is_some(), "{}", recorder.stderr());
    let said = end(recorder);
    let expected = expected(&[
        (&service, "unknown/refused"),
        (OTHER_POD, "pod/staging/Deployment/api"),
        (NODE_ADDRESS, "node/node-8"),
        (EXTERNAL, "unknown/refused"),
    ]);
    assert_eq!(peers(&scratch), expected, "{said}");
    assert_eq!(said.matches(rule).count(), 1, "{said}");
    assert_eq!(scratch.status()["windows"][0]["peersUntold"], json!({"refused": 4}));
    let table = finish(profile().args(["status", "--recording"]).arg(scratch.recording()));
    let line = "Window 1 does not know whom all connections reached (events: refused: 4)";
    assert!(table.stdout.contains(line), "{table}");
}
