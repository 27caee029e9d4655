//! The Helm chart: Helm takes it for good, a real API server takes all that it consists of, and agents may do what they need
//! and no more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::path::{Path, PathBuf};

use end_to_end::{ApiServer, chart, finish, poll};
use serde_json::{Value, json};

/// Values with everything set.
fn everything() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/chart/everything.yaml");
    file.to_str().unwrap().to_owned()
}

#[test]
fn helm_takes_the_chart_for_good() {
    for values in [chart::folder().join("values.yaml"), everything().into()] {
        let done = finish(
            chart::helm()
                .args(["lint", "--strict", "--values"])
                .arg(values)
                .arg(chart::folder()),
        );
        assert_eq!(done.code(), 0, "{done}");
    }
}

#[test]
fn an_api_server_takes_all_objects_and_their_pods() {
    for options in [vec![], vec!["--values", &everything()]] {
        let (server, objects) = (ApiServer::start(), chart::rendered(&options));
        chart::install(&server, &objects);
        server.create(&chart::agent_pod(&objects, "node-a"));
        for object in &objects {
            let labels = &object["metadata"]["labels"];
            let is_definition = object["kind"] == "CustomResourceDefinition";
            let version = labels["app.kubernetes.io/version"].as_str();
            assert!(
                is_definition || version == Some(env!("CARGO_PKG_VERSION")),
                "{object:#}"
            );
        }
        // Installed once more, as an upgrade does it, nothing is in the way.
        for object in &objects {
            server.apply(&server.kubeconfig(), object).unwrap();
        }
    }
}

#[test]
fn an_agent_has_the_capabilities_of_the_reference_and_a_file_system_that_it_cannot_write_to() {
    let objects = chart::rendered(&[]);
    let pod = &chart::only(&objects, "DaemonSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    let taken = [
        "BPF",
        "PERFMON",
        "DAC_READ_SEARCH",
        "SYS_PTRACE",
        "SETPCAP",
        "NET_ADMIN",
    ];
    let capabilities = json!({"drop": ["ALL"], "add": taken});
    assert_eq!(security["capabilities"], capabilities);
    // The last one is for DNS names alone.
    for set in [
        &["--set", "agent.dnsNames=false"][..],
        &["--set", "agent.capabilities={BPF,NET_ADMIN}"],
    ] {
        let objects = chart::rendered(set);
        let container = &chart::only(&objects, "DaemonSet")["spec"]["template"]["spec"]["containers"][0];
        let added = container["securityContext"]["capabilities"]["add"].as_array().unwrap();
        let (is_off, options) = (set[1].ends_with("false"), container["args"].as_array().unwrap());
        assert_eq!(options.contains(&json!("--no-dns")), is_off, "{container:#}");
        let expected = if is_off { &taken[..5] } else { &["BPF", "NET_ADMIN"][..] };
        assert_eq!(added, expected, "{set:?}");
    }
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/privileges.md");
    let reference = std::fs::read_to_string(reference).unwrap();
    for capability in capabilities["add"].as_array().unwrap() {
        let name = format!("`CAP_{}`", capability.as_str().unwrap());
        assert!(reference.contains(&name), "{name} is not in the reference");
    }
    for (what, is) in [
        ("privileged", false),
        ("allowPrivilegeEscalation", false),
        ("readOnlyRootFilesystem", true),
    ] {
        assert_eq!(security[what], is, "{what}");
    }
    assert_eq!((&pod["hostPID"], &pod["hostNetwork"]), (&json!(true), &Value::Null));
    assert!(pod["terminationGracePeriodSeconds"].as_u64() > Some(20));
    // Of the node it can write to one folder.
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    let writable: Vec<&Value> = mounts.filter(|mount| mount["readOnly"] != true).collect();
    assert_eq!(
        writable,
        [&json!({"name": "recordings", "mountPath": "/var/lib/wardline"})]
    );
}

#[test]
fn a_cluster_without_a_way_out_pulls_from_its_own_registry() {
    let objects = chart::rendered(&["--values", &everything()]);
    let pod = &chart::only(&objects, "DaemonSet")["spec"]["template"]["spec"];
    let image = format!(
        "registry.example:5000/mirror/security/wardline:0.1.0-rc.1@sha256:{}",
        "0123456789abcdef".repeat(4)
    );
    assert_eq!(pod["containers"][0]["image"], image);
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "registry"}]));
    let objects = chart::rendered(&[]);
    let pod = &chart::only(&objects, "DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(
        pod["containers"][0]["image"],
        format!("wardline:{}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn wrong_values_are_refused_by_their_names() {
    let cases = [
        ("image.digest=sha256:12", "digest"),
        ("image.registry=https://registry.example/", "registry"),
        ("image.tags=1.0", "tags"),
        ("agent.memoryMiB=1", "memoryMiB"),
        ("agent.backend=ptrace", "backend"),
        ("agent.capabilities={ALL}", "capabilities"),
        ("agent.capabilities={CAP_BPF}", "capabilities"),
        ("agent.hostPath=relative", "hostPath"),
        ("agent.dnsNames=often", "dnsNames"),
        ("agent.seccompProfile.type=Off", "seccompProfile"),
        ("maxUnavailable=0", "maxUnavailable"),
    ];
    for (value, name) in cases {
        let done = finish(&mut chart::template(&["--set", value]));
        assert!(done.code() != 0 && done.stderr.contains(name), "{value}: {done}");
    }
    let done = finish(&mut chart::template(&["--kube-version", "1.29.0"]));
    assert!(done.code() != 0 && done.stderr.contains("1.30"), "{done}");
}

/// Whether an agent may do this, as RBAC says: a verb, a group, a resource with its subresource, a namespace and a name.
fn may(server: &ApiServer, verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
    let agents = "system:serviceaccount:wardline:wardline-agent";
    may_user(server, agents, verb, group, resource, namespace, name)
}

/// The same of anybody.
fn may_user(
    server: &ApiServer,
    user: &str,
    verb: &str,
    group: &str,
    resource: &str,
    namespace: &str,
    name: &str,
) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = server.create(&json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {},
        "spec": {
            "user": user, "groups": ["system:authenticated"],
            "resourceAttributes": {
                "verb": verb, "group": group, "resource": resource, "subresource": subresource,
                "namespace": namespace, "name": name,
            },
        },
    }));
    review["status"]["allowed"] == true
}

#[test]
fn agents_may_do_what_they_need_and_no_more() {
    const WARDLINE: &str = "wardline.dev";
    let (server, objects) = (ApiServer::start(), chart::rendered(&[]));
    chart::install(&server, &objects);
    let lease = ("coordination.k8s.io", "leases");
    // What learning_windows.rs runs with. There is no rule but for these.
    let needed = [
        ("list", "", "pods", "", ""),
        ("watch", "", "pods", "", ""),
        ("list", "", "nodes", "", ""),
        ("list", "", "services", "", ""),
        ("watch", "", "services", "", ""),
        ("get", "apps", "replicasets", "production", "web"),
        ("get", "batch", "jobs", "production", "backup"),
        ("list", WARDLINE, "learningwindows", "", ""),
        ("watch", WARDLINE, "learningwindows", "", ""),
        ("patch", WARDLINE, "learningwindows/status", "", "shop"),
        ("create", WARDLINE, "nodewindows", "", ""),
        ("list", WARDLINE, "nodewindows", "", ""),
        ("patch", WARDLINE, "nodewindows", "", "shop.1f0d.node-a"),
        ("watch", WARDLINE, "nodewindows", "", ""),
        ("patch", WARDLINE, "nodewindows/status", "", "shop.1f0d.node-a"),
        ("create", WARDLINE, "nodecoverages", "", ""),
        ("list", WARDLINE, "nodecoverages", "", ""),
        ("patch", WARDLINE, "nodecoverages", "", "shop.1f0d.node-a"),
        ("create", "authentication.k8s.io", "tokenreviews", "", ""),
        ("create", "authorization.k8s.io", "subjectaccessreviews", "", ""),
        ("create", lease.0, lease.1, chart::NAMESPACE, ""),
        ("get", lease.0, lease.1, chart::NAMESPACE, "wardline-agents"),
        ("update", lease.0, lease.1, chart::NAMESPACE, "wardline-agents"),
    ];
    for (verb, group, resource, namespace, name) in needed {
        let allowed = poll(|| may(&server, verb, group, resource, namespace, name).then_some(()));
        assert!(allowed.is_some(), "{verb} {resource} in `{namespace}`");
    }
    let of_agents = objects
        .iter()
        .filter(|object| object["metadata"]["name"] == "wardline-agent");
    let rules = of_agents.flat_map(|object| object["rules"].as_array().into_iter().flatten());
    let count = |rule: &Value, field: &str| rule[field].as_array().unwrap().len();
    let verbs: usize = rules.map(|rule| count(rule, "verbs") * count(rule, "resources")).sum();
    assert_eq!(verbs, needed.len());

    let denied = [
        ("get", "", "secrets", "production", "password"),
        ("list", "", "secrets", "", ""),
        ("create", "", "pods/exec", "production", "web"),
        ("get", WARDLINE, "recordings", "production", ""),
        ("create", "", "pods/portforward", chart::NAMESPACE, "wardline-agent-1"),
        (
            "create",
            "",
            "serviceaccounts/token",
            chart::NAMESPACE,
            "wardline-agent",
        ),
        ("delete", "", "pods", "production", "web"),
        ("patch", "", "nodes", "", "node-a"),
        ("get", "apps", "replicasets/scale", "production", "web"),
        ("patch", WARDLINE, "learningwindows", "", "shop"),
        ("create", WARDLINE, "learningwindows", "", ""),
        ("delete", WARDLINE, "nodewindows", "", "shop.1f0d.node-a"),
        ("get", lease.0, lease.1, chart::NAMESPACE, "of-somebody-else"),
        ("update", lease.0, lease.1, chart::NAMESPACE, "of-somebody-else"),
        ("update", lease.0, lease.1, "kube-system", "wardline-agents"),
        ("create", lease.0, lease.1, "kube-system", ""),
    ];
    for (verb, group, resource, namespace, name) in denied {
        assert!(
            !may(&server, verb, group, resource, namespace, name),
            "{verb} {resource} {name} in `{namespace}`"
        );
    }
}

#[test]
fn who_may_see_a_namespace_may_collect_what_was_learned_there_and_who_may_enter_it_the_arguments_too() {
    let server = ApiServer::with_controllers();
    chart::install(&server, &chart::rendered(&[]));
    server.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "production"}}));
    for role in ["view", "edit"] {
        server.create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"namespace": "production", "name": role},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": role}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        }));
    }
    let may = |user: &str, resource: &str, namespace: &str| {
        may_user(&server, user, "get", "wardline.dev", resource, namespace, "")
    };
    // The roles are put together by a controller.
    for (user, resource) in [
        ("view", "recordings"),
        ("edit", "recordings"),
        ("edit", "recordings/arguments"),
    ] {
        let allowed = poll(|| may(user, resource, "production").then_some(()));
        assert!(allowed.is_some(), "{user}: {resource}");
    }
    for (user, resource, namespace) in [
        ("view", "recordings/arguments", "production"),
        ("view", "recordings", "staging"),
        ("edit", "recordings", ""),
        ("nobody", "recordings", "production"),
    ] {
        assert!(!may(user, resource, namespace), "{user}: {resource} in `{namespace}`");
    }
}

/// What an agent on `node` would tell of a window.
fn node_window(name: &str, node: &str) -> Value {
    json!({
        "apiVersion": "wardline.dev/v1alpha1", "kind": "NodeWindow", "metadata": {"name": name},
        "spec": {"window": "shop", "windowUid": "1f0d", "node": node},
    })
}

/// Why the server did not take it.
fn refusal(server: &ApiServer, kubeconfig: &Path, object: &Value) -> Option<String> {
    server.apply(kubeconfig, object).err().map(|error| error.to_string())
}

#[test]
fn an_agent_writes_of_its_own_node_only() {
    let (server, objects) = (ApiServer::start(), chart::rendered(&[]));
    chart::install(&server, &objects);
    let [on_a, on_b]: [PathBuf; 2] =
        ["node-a", "node-b"].map(|node| server.kubeconfig_of(&server.create(&chart::agent_pod(&objects, node))));

    // A policy takes a moment, and so do rules.
    let refused = poll(|| {
        let said = refusal(&server, &on_a, &node_window("shop.1f0d.node-z", "node-z"));
        said.filter(|why| why.contains("an agent on node node-a cannot write of node node-z"))
    });
    assert!(refused.is_some());
    for (kubeconfig, node) in [(&on_a, "node-a"), (&on_b, "node-b")] {
        let own = node_window(&format!("shop.1f0d.{node}"), node);
        let accepted = poll(|| refusal(&server, kubeconfig, &own).is_none().then_some(()));
        assert!(accepted.is_some(), "{:?}", refusal(&server, kubeconfig, &own));
        assert_eq!(refusal(&server, kubeconfig, &status(node)), None);
    }
    let cases = [
        (&on_a, status("node-b"), "cannot write of node node-b"),
        (
            &on_a,
            node_window("shop.1f0d.node-b", "node-b"),
            "cannot write of node node-b",
        ),
        // The name that another one needs.
        (&on_a, node_window("shop.1f0d.node-c", "node-a"), "not called after"),
    ];
    for (kubeconfig, object, why) in cases {
        let said = refusal(&server, kubeconfig, &object).unwrap_or_default();
        assert!(said.contains(why), "{object:#}: {said}");
    }
    // A token that belongs to no pod tells no node.
    let of_nobody = server.kubeconfig_of(&json!({
        "metadata": {"namespace": chart::NAMESPACE}, "spec": {"serviceAccountName": "wardline-agent"},
    }));
    let said = refusal(&server, &of_nobody, &node_window("shop.1f0d.node-d", "node-d")).unwrap_or_default();
    assert!(said.contains("does not carry the name of its node"), "{said}");
    // Administrators are none of its business.
    assert_eq!(
        refusal(
            &server,
            &server.kubeconfig(),
            &node_window("shop.1f0d.node-e", "node-e")
        ),
        None
    );
}

fn status(node: &str) -> Value {
    json!({
        "apiVersion": "wardline.dev/v1alpha1", "kind": "NodeWindow", "metadata": {"name": format!("shop.1f0d.{node}")},
        "status": {"phase": "Learning"},
    })
}
