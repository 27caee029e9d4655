//! What the agents of a cluster have learned comes to a workstation: whose it is, whole, and with a word on what is lost.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::collections::BTreeSet;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use baselines::recording::{Recording, Summary, WindowSummary, backup};
use end_to_end::agents::{Agent, cluster, from_workstation, node_window, run_pod, text, wait_for_status, window};
use end_to_end::kubelet::Container;
use end_to_end::{ApiServer, Finished, Scratch, chart, finish, poll, profile};
use serde_json::{Value, json};

const NODES: [&str; 2] = ["node-a", "node-b"];

/// A cluster with an agent on each of two nodes, and what runs there: `web` of production on the first one, `db` of
/// production and `other` of staging on the second one.
struct Learned {
    server: ApiServer,
    scratch: Scratch,
    agents: Vec<Agent>,
    _pods: [Container; 3],
}

impl Learned {
    /// Learns with these options until it is over.
    fn new(spec: &Value) -> Self {
        let learned = Self::begun(spec);
        learned.end();
        learned
    }

    /// Learns with these options.
    fn begun(spec: &Value) -> Self {
        let (server, scratch) = (cluster(), Scratch::new());
        for node in NODES {
            server.make_node(node);
        }
        let pods = [
            ("production", "web", "node-a"),
            ("production", "db", "node-b"),
            ("staging", "other", "node-b"),
        ]
        .map(|(namespace, name, node)| run_pod(&server, &scratch, namespace, name, node));
        let agents: Vec<Agent> = NODES.iter().map(|node| Agent::start(&server, &scratch, node)).collect();
        let shop = window("shop", spec);
        server.create(&shop);
        wait_for_status(&server, &shop, "both nodes learn", |status| {
            status["nodes"]["learning"] == 2 && status["events"].as_u64() > Some(0)
        });
        Self {
            server,
            scratch,
            agents,
            _pods: pods,
        }
    }

    /// Ends it.
    fn end(&self) {
        let shop = window("shop", &json!({}));
        self.server.patch(&shop, &json!({"spec": {"stop": true}}));
        wait_for_status(&self.server, &shop, "its end", |status| {
            status["phase"] == "Ended" && status["nodes"]["ended"] == 2
        });
    }

    fn out(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    /// `profile collect` by an administrator.
    fn collect(&self, out: &Path, options: &[&str]) -> Finished {
        finish(&mut self.collecting(out, options))
    }

    fn collecting(&self, out: &Path, options: &[&str]) -> Command {
        let mut command = from_workstation(&self.server, &["collect", "--window", "shop"]);
        command.arg("--out").arg(out).args(options);
        command
    }

    /// The same by the user `agent`, who may do what a test allows.
    fn collect_as_somebody(&self, out: &Path, options: &[&str]) -> Finished {
        let mut command = profile();
        command
            .args(["collect", "--window", "shop", "--out"])
            .arg(out)
            .args(options);
        command.arg("--kubeconfig").arg(self.server.agent_kubeconfig());
        finish(&mut command)
    }

    fn bind(&self, role_kind: &str, role: &str, namespace: Option<&str>, subject: &Value) {
        let kind = if namespace.is_some() {
            "RoleBinding"
        } else {
            "ClusterRoleBinding"
        };
        let mut metadata = json!({"generateName": "test-"});
        if let Some(namespace) = namespace {
            metadata["namespace"] = namespace.into();
        }
        self.server.create(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        }));
    }

    /// Lets somebody get at the agents. What they get there is another question.
    fn let_in(&self, subject: &Value) {
        self.bind("ClusterRole", "wardline-collector", None, subject);
        self.bind("Role", "wardline-collector", Some(chart::NAMESPACE), subject);
    }

    fn stop(self) {
        for agent in self.agents {
            agent.stop();
        }
    }
}

fn somebody() -> Value {
    json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "agent"})
}

fn summary(path: &Path) -> Summary {
    Recording::open(path).unwrap().summary().unwrap()
}

fn workloads(summary: &Summary) -> BTreeSet<String> {
    summary
        .containers
        .iter()
        .map(|seen| seen.container.workload.to_string())
        .collect()
}

/// What windows can have missed, and why.
fn uncounted(summary: &Summary) -> Vec<String> {
    summary
        .windows
        .iter()
        .filter_map(WindowSummary::uncounted_losses)
        .collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(ToString::to_string).collect()
}

/// What is kept of an unfinished collection.
fn unfinished(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap().to_owned();
    name.push(".collecting");
    out.with_file_name(name)
}

#[test]
fn what_all_nodes_have_learned_comes_to_one_file_whatever_happens_on_the_way() {
    let learned = Learned::new(&json!({"namespaces": ["production"], "duration": "1h"}));
    let out = learned.out("shop.db");
    let done = learned.collect(&out, &[]);
    assert_eq!(done.code(), 0, "{done}");
    assert!(done.stdout.contains("recordings of 2 of 2 nodes"), "{done}");
    let collected = summary(&out);
    assert_eq!(
        workloads(&collected),
        names(&["production/Pod/web/web", "production/Pod/db/db"])
    );
    let sent: BTreeSet<_> = collected
        .sources
        .iter()
        .map(|source| (source.id, source.revision))
        .collect();
    let recordings = learned.agents.iter().flat_map(Agent::recordings);
    let there = recordings.map(|path| {
        let source = summary(&path).sources.remove(0);
        (source.id, source.revision)
    });
    assert_eq!(sent, there.collect::<BTreeSet<_>>());
    assert!(!unfinished(&out).exists());

    // A file that is there stays, unless somebody says that it is to be replaced.
    let done = learned.collect(&out, &[]);
    assert_eq!(done.code(), 1, "{done}");
    assert!(done.stderr.contains("--force"), "{done}");

    // A transfer that is broken off goes on where it was, and one that is damaged comes again.
    let whole = learned.server.forwarded();
    learned.server.misbehave("cut 20000");
    let done = learned.collect(&out, &["--force", "-o", "json"]);
    assert_eq!(done.code(), 0, "{done}");
    assert!(done.stderr.contains("trying again"), "{done}");
    let document: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(document["nodes"][1]["recording"], "collected", "{document:#}");
    let again = &learned.server.forwarded()[whole.len()..];
    let (whole, again): (u64, u64) = (whole.iter().sum(), again.iter().sum());
    // What is said around it comes twice.
    assert!(
        (whole..whole + 2000).contains(&again),
        "{whole} bytes, and then {again}"
    );
    for (trouble, said) in [("flip 30000", "checksum"), ("refuse", "nobody is to be reached")] {
        learned.server.misbehave(trouble);
        let done = learned.collect(&out, &["--force"]);
        assert_eq!(done.code(), 0, "{trouble}: {done}");
        assert!(done.stderr.contains(said), "{trouble}: {done}");
        assert_eq!(workloads(&summary(&out)), workloads(&collected));
    }
    learned.stop();
}

#[test]
fn nobody_collects_a_namespace_that_they_may_not_read() {
    let record = json!({"arguments": true});
    let learned = Learned::new(&json!({"namespaces": ["production", "staging"], "duration": "1h", "record": record}));
    let out = learned.out("shop.db");
    let refused = |options: &[&str], said: &[&str]| {
        let told = poll(|| {
            let done = learned.collect_as_somebody(&out, options);
            let is_it = done.code() == 1 && said.iter().all(|text| done.stderr.contains(text));
            // Rules take a moment.
            is_it.then_some(())
        });
        assert!(
            told.is_some(),
            "{options:?}: {}",
            learned.collect_as_somebody(&out, options)
        );
        assert!(!out.exists());
    };
    refused(&[], &["refuses to read a learning window", "wardline-collector"]);
    learned.let_in(&somebody());
    refused(
        &[],
        &[
            "agent may not",
            "get recordings.wardline.dev in the namespace production",
            "in the namespace staging",
        ],
    );
    learned.bind("ClusterRole", "wardline-recordings", Some("production"), &somebody());
    // Arguments are another matter.
    refused(
        &["--namespace", "production"],
        &["get recordings/arguments.wardline.dev in the namespace production"],
    );
    learned.bind(
        "ClusterRole",
        "wardline-recordings-arguments",
        Some("production"),
        &somebody(),
    );
    refused(&[], &["in the namespace staging"]);
    refused(&["--namespace", "production,staging"], &["in the namespace staging"]);

    let collected = poll(|| {
        let done = learned.collect_as_somebody(&out, &["--namespace", "production"]);
        (done.code() == 0).then_some(())
    });
    assert!(
        collected.is_some(),
        "{}",
        learned.collect_as_somebody(&out, &["--namespace", "production"])
    );
    let part = summary(&out);
    assert_eq!(
        workloads(&part),
        names(&["production/Pod/web/web", "production/Pod/db/db"])
    );
    assert!(
        part.sources
            .iter()
            .all(|source| source.part.as_ref().is_some_and(|part| part.namespace == "production"))
    );
    let bytes = std::fs::read(&out).unwrap();
    assert!(
        !bytes
            .windows(13)
            .any(|text| text == b"other-opened\0" || text.starts_with(b"other-opened"))
    );

    // A service account asks in the name of who may not, with a token that is good for nothing else.
    learned.server.create(&json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": "staging", "name": "ci"},
    }));
    let account = json!({"kind": "ServiceAccount", "namespace": "staging", "name": "ci"});
    learned.bind(
        "ClusterRole",
        "wardline-recordings-arguments",
        Some("staging"),
        &account,
    );
    let other = learned.out("staging.db");
    let as_account = ["--service-account", "staging/ci", "--namespace", "staging"];
    let collected = poll(|| (learned.collect(&other, &as_account).code() == 0).then_some(()));
    assert!(collected.is_some(), "{}", learned.collect(&other, &as_account));
    assert_eq!(workloads(&summary(&other)), names(&["staging/Pod/other/other"]));
    let done = learned.collect(&learned.out("never.db"), &["--service-account", "staging/ci"]);
    assert!(
        done.stderr.contains("system:serviceaccount:staging:ci may not"),
        "{done}"
    );

    // Both parts are what the administrator has, and the whole takes their place.
    let (whole, all) = (learned.out("whole.db"), learned.out("all.db"));
    assert_eq!(learned.collect(&whole, &[]).code(), 0);
    let merged = finish(
        profile()
            .arg("merge")
            .args([&out, &other, &whole])
            .arg("--out")
            .arg(&all),
    );
    assert_eq!(merged.code(), 0, "{merged}");
    let (whole, all) = (summary(&whole), summary(&all));
    assert_eq!(
        (&all.sources, &all.containers, &all.windows),
        (&whole.sources, &whole.containers, &whole.windows)
    );
    learned.stop();
}

#[test]
fn a_node_that_is_lost_before_it_was_collected_is_told_by_name() {
    let mut learned = Learned::new(&json!({"namespaces": ["production"], "duration": "1h"}));
    let out = learned.out("shop.db");
    let gone = learned.agents.pop().unwrap();
    let pod = gone.pod.clone();
    gone.stop();
    let done = learned.collect(&out, &[]);
    assert_eq!(done.code(), 1, "{done}");
    assert!(
        done.stderr.contains("1 of 2 recordings could not be collected"),
        "{done}"
    );
    assert!(
        done.stderr.contains("node-b: ") && done.stderr.contains("--without"),
        "{done}"
    );
    assert!(!out.exists() && unfinished(&out).exists());

    // The other one's is here already; and somebody gives this one up.
    let before = learned.server.forwarded().len();
    let done = learned.collect(&out, &["--without", "node-b"]);
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(learned.server.forwarded().len(), before, "what had come came again");
    assert!(done.stderr.contains("what node node-b has learned is lost"), "{done}");

    // Without its pod and its node nobody has to say so.
    learned.server.delete(&pod);
    learned
        .server
        .delete(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-b"}}));
    let done = learned.collect(&out, &["--force", "-o", "json"]);
    assert_eq!(done.code(), 0, "{done}");
    let document: Value = serde_json::from_str(&done.stdout).unwrap();
    let told: Vec<_> = document["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| &node["recording"])
        .collect();
    assert_eq!(told, ["collected", "lost"], "{document:#}");
    let collected = summary(&out);
    assert_eq!(workloads(&collected), names(&["production/Pod/web/web"]));
    let missing = uncounted(&collected);
    assert!(
        missing
            .iter()
            .any(|why| why.contains("what node node-b had recorded was lost before")),
        "{missing:?}"
    );
    let status = finish(profile().args(["status", "--recording"]).arg(&out));
    assert!(
        status.stdout.contains("what node node-b had recorded was lost before"),
        "{status}"
    );
    learned.stop();
}

#[test]
fn what_a_node_had_recorded_before_it_got_a_new_disk_is_told_as_lost() {
    let mut learned = Learned::begun(&json!({"namespaces": ["production"], "duration": "1h"}));
    let (gone, pod) = (learned.agents[1].recordings(), learned.agents[1].pod.clone());
    let shop = window("shop", &json!({}));
    let told = node_window(&learned.server, &shop, "node-b");
    let first = wait_for_status(&learned.server, &told, "a recording", |status| {
        status["recording"]["id"].is_string() && status["events"].as_u64() > Some(0)
    });
    learned.agents.pop().unwrap().stop();
    learned.server.delete(&pod);
    std::fs::remove_dir_all(gone[0].parent().unwrap()).unwrap();
    learned
        .agents
        .push(Agent::start(&learned.server, &learned.scratch, "node-b"));
    wait_for_status(&learned.server, &told, "another recording", |status| {
        status["recording"]["id"].is_string() && status["recording"]["id"] != first["recording"]["id"]
    });

    // While it goes on, that is said.
    let out = learned.out("shop.db");
    let done = learned.collect(&out, &[]);
    assert_eq!(done.code(), 0, "{done}");
    assert!(done.stderr.contains("the learning window shop goes on"), "{done}");
    learned.end();
    let done = learned.collect(&out, &["--force"]);
    assert_eq!(done.code(), 0, "{done}");
    assert!(!done.stderr.contains("goes on"), "{done}");
    assert!(
        done.stderr.contains("something can be missing of node node-b"),
        "{done}"
    );
    let collected = summary(&out);
    let lost: Vec<String> = collected
        .sources
        .iter()
        .filter_map(|source| Some(source.lost?.to_string()))
        .collect();
    assert_eq!(lost, [text(&first["recording"]["id"])]);
    let missing = uncounted(&collected);
    assert!(
        missing
            .iter()
            .any(|why| why.contains("what node node-b had recorded was lost")),
        "{missing:?}"
    );
    learned.stop();
}

/// An agent that answers everything with these bytes.
fn liar(answer: Vec<u8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut asked) = (stream.unwrap(), [0; 4096]);
            let _ = stream.read(&mut asked);
            // Whoever has heard enough goes away.
            let _ = stream.write_all(&answer);
        }
    });
    port
}

/// What an agent answers that sends a file.
fn sending(file: &[u8]) -> Vec<u8> {
    let mut on_disk = tempfile::tempfile().unwrap();
    on_disk.write_all(file).unwrap();
    on_disk.rewind().unwrap();
    let (checksum, bytes) = profiler::checksum::of(&mut on_disk).unwrap();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nETag: \"{checksum}\"\r\n\r\n");
    [head.as_bytes(), file].concat()
}

#[test]
fn a_node_that_does_not_tell_the_truth_gets_nothing_into_the_file() {
    let learned = Learned::new(&json!({"namespaces": ["production"], "duration": "1h"}));
    let shop = learned.server.get(&window("shop", &json!({}))).unwrap();
    let stolen = learned.out("stolen.db");
    backup(&learned.agents[0].recordings()[0], &stolen, false).unwrap();
    let recording = std::fs::read(stolen).unwrap();
    let etag = format!("ETag: \"{}\"", "0".repeat(64));
    let endless = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n{etag}\r\n\r\n").into_bytes(),
        b"100000\r\n".to_vec(),
        vec![b'x'; 1 << 20],
    ]
    .concat();
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n{etag}\r\n\r\n");
    let cases: [(&str, Vec<u8>, &str); 6] = [
        ("endless", endless, "not understood"),
        ("large", large.into_bytes(), "--recording-max"),
        ("garbage", sending(b"no database"), "cannot be read"),
        ("thief", sending(&recording), "of another node, node-a"),
        (
            "mute",
            b"HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\n\x1b[2Jx".to_vec(),
            "500",
        ),
        (
            "gate",
            b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nforbidden".to_vec(),
            "refuses: forbidden",
        ),
    ];
    for (name, answer, _) in &cases {
        learned.server.make_node(name);
        let rendered = chart::rendered(&[]);
        let pod = learned.server.create(&chart::agent_pod(&rendered, name));
        let object = learned.server.create(&json!({
            "apiVersion": "wardline.dev/v1alpha1", "kind": "NodeWindow",
            "metadata": {"name": format!("shop.{name}"), "labels": {"wardline.dev/learning-window": "shop"}},
            "spec": {"window": "shop", "windowUid": shop["metadata"]["uid"], "node": name},
        }));
        let agent = json!({"namespace": chart::NAMESPACE, "pod": pod["metadata"]["name"], "port": liar(answer.clone()), "version": "0"});
        learned
            .server
            .set_status(&object, &json!({"phase": "Ended", "agent": agent}));
    }
    let out = learned.out("shop.db");
    let done = learned.collect(&out, &[]);
    assert_eq!(done.code(), 1, "{done}");
    assert!(
        done.stderr.contains("6 of 8 recordings could not be collected"),
        "{done}"
    );
    for (name, _, said) in &cases {
        let line = done
            .stderr
            .lines()
            .find(|line| line.starts_with(&format!("  {name}: ")));
        assert!(line.is_some_and(|line| line.contains(said)), "{name}: {done}");
    }
    assert!(!out.exists() && !done.stderr.contains('\u{1b}'), "{done}");
    // The others' are here; without the liars that is it.
    let names: Vec<&str> = cases.iter().map(|(name, ..)| *name).collect();
    let done = learned.collect(&out, &["--without", &names.join(",")]);
    assert_eq!(done.code(), 0, "{done}");
    assert!(done.stdout.contains("recordings of 2 of 8 nodes"), "{done}");
    learned.stop();
}

/// What an agent answers to this, word for word.
fn answer(port: u64, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", u16::try_from(port).unwrap())).unwrap();
    stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn an_agent_answers_nothing_but_what_is_asked_with_a_token_for_something_that_is_there() {
    let learned = Learned::new(&json!({"namespaces": ["production"], "duration": "1h"}));
    let shop = learned.server.get(&window("shop", &json!({}))).unwrap();
    let told = learned
        .server
        .get(&node_window(&learned.server, &shop, "node-a"))
        .unwrap();
    let port = told["status"]["agent"]["port"].as_u64().unwrap();
    let admin = std::fs::read_to_string(learned.server.kubeconfig()).unwrap();
    let admin = admin
        .lines()
        .find_map(|line| line.trim().strip_prefix("token: "))
        .unwrap();
    let path = format!("/v1/recordings/{}", shop["metadata"]["uid"].as_str().unwrap());
    let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nHost: agent\r\n{headers}\r\n");
    let authorised = format!("Authorization: Bearer {admin}\r\n");
    let with = |header: &str| format!("{authorised}{header}\r\n");
    let stale = format!("If-Match: \"{}\"", "0".repeat(64));
    for (request, status) in [
        (get(&path, &authorised), "200"),
        (get(&path, &with("Range: bytes=100-")), "206"),
        (get(&path, ""), "401"),
        (get(&path, "Authorization: Basic YTpi\r\n"), "401"),
        (get(&path, "Authorization: Bearer nobody\r\n"), "401"),
        (get("/", &authorised), "400"),
        (get("/v1/recordings/../../../etc/passwd", &authorised), "400"),
        (get(&format!("{path}?namespace=*"), &authorised), "400"),
        (get(&format!("{path}?namespace=staging"), &authorised), "400"),
        (get("/v1/recordings/0a-0b", &authorised), "404"),
        (get(&path, &with(&stale)), "412"),
        (get(&path, &with("Range: bytes=99999999999-")), "416"),
        (get(&path, &with("Range: lines=1-")), "400"),
        (get(&path, &authorised).replacen("GET", "DELETE", 1), "405"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let answer = answer(port, &request);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer:.300}"
        );
        assert_eq!(answer.contains("SQLite format 3"), status == "200", "{request}");
    }
    learned.stop();
}

#[test]
fn what_cannot_be_collected_is_one_clear_error() {
    let (server, scratch) = (cluster(), Scratch::new());
    server.create(&window(
        "shop",
        &json!({"namespaces": ["production"], "duration": "1h"}),
    ));
    let out = scratch.path("out.db");
    let collect = |options: &[&str]| {
        let mut command = from_workstation(&server, &["collect"]);
        finish(command.arg("--out").arg(&out).args(options))
    };
    let without_token = scratch.path("certificate.kubeconfig");
    let kubeconfig = std::fs::read_to_string(server.kubeconfig()).unwrap();
    let lines = kubeconfig
        .lines()
        .filter(|line| !line.trim_start().starts_with("token:"));
    let text: Vec<&str> = lines.collect();
    std::fs::write(&without_token, text.join("\n")).unwrap();
    for (options, code, said) in [
        (&["--window", "other"][..], 1, "there is no learning window `other`"),
        (
            &["--window", "shop"],
            1,
            "no agent has told of the learning window `shop`",
        ),
        (
            &["--window", "shop", "--namespace", "staging"],
            2,
            "does not learn the namespace staging",
        ),
        (
            &["--window", "shop", "--without", "node-z"],
            2,
            "no node `node-z` has told",
        ),
        (&["--window", "shop", "--service-account", "ci"], 2, "NAMESPACE/NAME"),
        (
            &["--window", "shop", "--service-account", "production/ci"],
            1,
            "no service account production/ci",
        ),
    ] {
        let done = collect(options);
        assert_eq!(done.code(), code, "{options:?}: {done}");
        assert!(done.stderr.contains(said), "{options:?}: {done}");
    }
    let mut command = profile();
    command
        .args(["collect", "--window", "shop", "--out"])
        .arg(&out)
        .arg("--kubeconfig")
        .arg(&without_token);
    let done = finish(&mut command);
    assert!(done.code() == 1 && done.stderr.contains("--service-account"), "{done}");
    assert!(!out.exists());
}
