//! Agents follow the learning windows of a real API server, each on a node of its own, and tell how they do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::path::PathBuf;

use end_to_end::agents::{Agent, cluster, from_workstation, node_window, run_pod, wait_for_status, window};
use end_to_end::{ApiServer, Scratch, chart, finish, poll, profile, profile_start, start};
use serde_json::{Value, json};

#[test]
fn a_window_is_learned_on_every_node_and_added_up() {
    let (server, scratch) = (cluster(), Scratch::new());
    for node in ["node-a", "node-b", "node-c"] {
        server.create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}}));
    }
    let _pods = [
        ("production", "web", "node-a"),
        ("production", "db", "node-b"),
        ("staging", "other", "node-b"),
    ]
    .map(|(namespace, name, node)| run_pod(&server, &scratch, namespace, name, node));
    let agents = ["node-a", "node-b"].map(|node| Agent::start(&server, &scratch, node));

    let shop = window("shop", &json!({"namespaces": ["production"], "duration": "25s"}));
    server.create(&shop);
    let status = wait_for_status(&server, &shop, "two nodes that learn", |status| {
        status["nodes"]["learning"] == 2 && status["containers"] == 2 && status["events"].as_u64() > Some(0)
    });
    assert_eq!(status["phase"], "Learning", "{status:#}");
    // Nobody learns on the third one, and that is said.
    assert_eq!(status["nodes"]["withoutAgentNames"], json!(["node-c"]), "{status:#}");
    assert!(status["message"].as_str().unwrap().contains("node-c"), "{status:#}");

    let status = wait_for_status(&server, &shop, "its end", |status| status["phase"] == "Ended");
    assert_eq!(status["nodes"]["ended"], 2, "{status:#}");
    let workloads: Vec<&str> = status["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["workload"].as_str().unwrap())
        .collect();
    assert_eq!(workloads.len(), 2, "{status:#}");
    assert!(workloads.contains(&"production/Pod/web/web") && workloads.contains(&"production/Pod/db/db"));

    // Each node has its own, and no more.
    for (agent, name) in agents.iter().zip(["web", "db"]) {
        let recordings = agent.recordings();
        assert_eq!(recordings.len(), 1, "{recordings:?}");
        let status = end_to_end::status(&recordings[0]);
        assert_eq!(status["containers"].as_array().unwrap().len(), 1, "{status:#}");
        assert_eq!(
            status["containers"][0]["workload"],
            format!("production/Pod/{name}/{name}")
        );
        assert_eq!(status["windows"][0]["endReason"], "completed", "{status:#}");
        // With the capabilities of the chart, in a cgroup namespace.
        assert_eq!(status["windows"][0]["dnsNames"], "seen", "{status:#}");
    }
    let told = server.get(&node_window(&server, &shop, "node-b")).unwrap();
    assert_eq!(told["status"]["phase"], "Ended", "{told:#}");
    assert_eq!(told["metadata"]["ownerReferences"][0]["name"], "shop", "{told:#}");
    for agent in agents {
        agent.stop();
    }
}

#[test]
fn a_window_can_be_stopped_goes_on_after_an_upgrade_and_ends_with_its_object() {
    let (server, scratch) = (cluster(), Scratch::new());
    let _pod = run_pod(&server, &scratch, "production", "web", "node-a");
    let agent = Agent::start(&server, &scratch, "node-a");
    let [shop, gone] =
        ["shop", "gone"].map(|name| window(name, &json!({"namespaces": ["production"], "duration": "1h"})));
    for window in [&shop, &gone] {
        server.create(window);
        wait_for_status(&server, window, "a node that learns", |status| {
            status["containers"] == 1
        });
    }
    // What it learns cannot be changed; how long, can.
    let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.patch(&shop, &json!({"spec": {"namespaces": ["staging"]}}))
    }));
    assert!(refused.is_err());
    server.patch(&shop, &json!({"spec": {"duration": "2h"}}));

    // The agent is replaced: another one goes on, and says that there is a gap.
    agent.stop();
    let told = server.get(&node_window(&server, &shop, "node-a")).unwrap();
    assert_ne!(told["status"]["phase"], "Learning", "{told:#}");
    let agent = Agent::start(&server, &scratch, "node-a");
    let told = wait_for_status(
        &server,
        &node_window(&server, &shop, "node-a"),
        "a node that learns again",
        |status| status["phase"] == "Learning" && status["begun"] == 2,
    );
    assert!(told["lossy"].as_str().unwrap().contains("interrupted"), "{told:#}");

    // What a node tells is told again when somebody has deleted it.
    let told = node_window(&server, &shop, "node-a");
    server.delete(&told);
    wait_for_status(&server, &told, "an object made anew", |status| {
        status["phase"] == "Learning"
    });
    server.patch(&shop, &json!({"spec": {"stop": true}}));
    wait_for_status(&server, &shop, "its end", |status| status["phase"] == "Ended");
    server.delete(&gone);
    assert!(
        poll(|| {
            let ended = agent
                .recordings()
                .iter()
                .filter(|path| {
                    let status = end_to_end::status(path);
                    status["windows"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .all(|window| !window["ended"].is_null())
                })
                .count();
            (ended == 2).then_some(())
        })
        .is_some(),
        "a recorder that ended with its object"
    );
    agent.stop();
}

#[test]
fn a_window_ends_in_time_while_the_api_server_is_away_and_is_told_of_afterwards() {
    let (mut server, scratch) = (cluster(), Scratch::new());
    let _pod = run_pod(&server, &scratch, "production", "web", "node-a");
    let agent = Agent::start(&server, &scratch, "node-a");
    let shop = window("shop", &json!({"namespaces": ["production"], "duration": "20s"}));
    server.create(&shop);
    wait_for_status(&server, &shop, "a node that learns", |status| status["containers"] == 1);
    server.stop();
    let ended = poll(|| {
        let recording = agent.recordings().pop()?;
        let status = end_to_end::status(&recording);
        (status["windows"][0]["endReason"] == "completed").then_some(())
    });
    assert!(ended.is_some(), "a window that ends by itself");
    server.start_again();
    let status = wait_for_status(&server, &shop, "its end", |status| status["phase"] == "Ended");
    assert_eq!(
        (&status["nodes"]["ended"], &status["lossyNodes"]),
        (&json!(1), &json!(0)),
        "{status:#}"
    );
    agent.stop();
}

#[test]
fn an_agent_that_is_refused_says_so_and_records_nothing() {
    let (server, scratch) = (cluster(), Scratch::new());
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "wardline-agent"},
    });
    let rules = json!([{"apiGroups": ["wardline.dev"], "resources": ["learningwindows"], "verbs": ["list", "watch"]}]);
    server.patch(&role, &json!({"rules": rules}));
    let mut agent = Agent::start(&server, &scratch, "node-a");
    server.create(&window(
        "shop",
        &json!({"namespaces": ["production"], "duration": "1h"}),
    ));
    let process = agent.process.as_mut().unwrap();
    process.wait_for("what is refused", |agent| {
        agent.stderr().contains("refuses to make NodeWindows")
    });
    assert_eq!(agent.recordings(), Vec::<PathBuf>::new());
    agent.stop();
}

#[test]
fn another_agent_adds_up_when_the_one_that_did_is_gone() {
    let (server, scratch) = (cluster(), Scratch::new());
    let nodes = ["node-a", "node-b"];
    let _pods = nodes.map(|node| run_pod(&server, &scratch, "production", node, node));
    let mut agents = nodes.map(|node| Agent::start(&server, &scratch, node));
    let shop = window("shop", &json!({"namespaces": ["production"], "duration": "1h"}));
    server.create(&shop);
    wait_for_status(&server, &shop, "two nodes that learn", |status| {
        status["nodes"]["learning"] == 2
    });
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"namespace": chart::NAMESPACE, "name": "wardline-agents"},
    });
    let holder = || {
        server.get(&lease).unwrap()["spec"]["holderIdentity"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (first, index) = (holder(), usize::from(holder() == nodes[1]));
    assert_eq!(first, nodes[index]);

    // Killed, it says nothing; the other one has to see for itself that nobody renews the lease.
    agents[index].process.as_ref().unwrap().signal(libc::SIGKILL);
    agents[index].process.take().unwrap().wait_for_end();
    let is_other = || (holder() != first).then_some(());
    assert!(
        poll(is_other).or_else(|| poll(is_other)).is_some(),
        "the lease is taken over"
    );
    let events = server.get(&shop).unwrap()["status"]["events"].as_u64();
    wait_for_status(&server, &shop, "sums of the other one", |status| {
        status["events"].as_u64() > events
    });
    let [one, other] = agents;
    let left = if index == 0 { other } else { one };
    left.stop();
    // Who ends in good order gives it up, and nobody has to wait.
    assert_eq!(holder(), "");
}

#[test]
fn a_recorder_that_hangs_keeps_no_agent_from_ending() {
    let (server, scratch) = (cluster(), Scratch::new());
    let _pod = run_pod(&server, &scratch, "production", "web", "node-a");
    let agent = Agent::start(&server, &scratch, "node-a");
    let shop = window("shop", &json!({"namespaces": ["production"], "duration": "1h"}));
    server.create(&shop);
    wait_for_status(&server, &shop, "a node that learns", |status| status["containers"] == 1);
    let id = agent.process.as_ref().unwrap().id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let recorder: libc::pid_t = children.trim().parse().unwrap();
    // SAFETY: the agent has not waited for its child, so the id is still its own.
    assert_eq!(unsafe { libc::kill(recorder, libc::SIGSTOP) }, 0);
    let (recordings, said) = (agent.recordings(), agent.stop());
    assert!(said.contains("the recorder does not end, it is killed"), "{said}");
    assert!(!std::path::Path::new(&format!("/proc/{recorder}")).exists());
    // What was written until then is there, and says how it ended.
    let status = end_to_end::status(&recordings[0]);
    assert_eq!(status["windows"][0]["endReason"], "crashed", "{status:#}");
    assert_eq!(status["containers"].as_array().unwrap().len(), 1, "{status:#}");
}

#[test]
fn a_workstation_makes_a_window_follows_it_and_lists_it() {
    let (server, scratch) = (cluster(), Scratch::new());
    let _pod = run_pod(&server, &scratch, "production", "web", "node-a");
    let agent = Agent::start(&server, &scratch, "node-a");
    let asked = [
        "start",
        "--namespace",
        "production",
        "--selector",
        "app in (web,shop)",
        "--image",
        "shop/*",
    ];
    let mut command = from_workstation(&server, &[&asked[..], &["--for", "15s", "--name", "shop"]].concat());
    let done = start(&mut command).finish();
    assert_eq!(done.code(), 0, "{done}");
    assert!(done.stderr.contains("made the learning window shop, for 15s"), "{done}");
    let learned = done
        .stderr
        .lines()
        .find(|line| line.starts_with("learned: "))
        .unwrap_or_default();
    assert!(learned.contains("in 1 containers on 1 nodes"), "{done}");

    let listed = finish(&mut from_workstation(&server, &["list"]));
    assert!(
        listed
            .stdout
            .lines()
            .any(|line| line.starts_with("shop ") && line.contains("Ended")),
        "{listed}"
    );
    let described = finish(&mut from_workstation(&server, &["status", "shop"]));
    assert!(described.stdout.contains("production/Pod/web/web"), "{described}");
    let object = finish(&mut from_workstation(&server, &["status", "shop", "-o", "json"]));
    let object: Value = serde_json::from_str(&object.stdout).unwrap();
    assert_eq!(
        object["spec"]["selector"]["matchExpressions"][0]["key"], "app",
        "{object:#}"
    );
    assert_eq!(object["status"]["nodes"]["ended"], 1, "{object:#}");
    let recording = end_to_end::status(&agent.recordings()[0]);
    let selector = recording["windows"][0]["selector"].as_str().unwrap();
    assert!(
        selector.contains("app in (shop,web)") && selector.contains("images shop/*"),
        "{selector}"
    );
    agent.stop();
}

#[test]
fn ctrl_c_leaves_the_clusters_window_running_and_stop_ends_it() {
    let (server, scratch) = (cluster(), Scratch::new());
    let _pod = run_pod(&server, &scratch, "production", "web", "node-a");
    let agent = Agent::start(&server, &scratch, "node-a");
    let arguments = ["start", "--all-namespaces", "--for", "1h", "--name", "all"];
    let mut following = start(&mut from_workstation(&server, &arguments));
    following.wait_for("the window", |following| {
        following.stderr().contains("made the learning window")
    });
    let all = window("all", &Value::Null);
    wait_for_status(&server, &all, "a node that learns", |status| {
        status["nodes"]["learning"] == 1
    });
    following.signal(libc::SIGINT);
    let done = following.finish();
    assert_eq!(done.code(), 0, "{done}");
    assert!(done.stderr.contains("`profile stop all` ends it"), "{done}");
    assert_eq!(server.get(&all).unwrap()["status"]["phase"], "Learning");

    let stopped = finish(&mut from_workstation(&server, &["stop", "all"]));
    assert_eq!(stopped.code(), 0, "{stopped}");
    wait_for_status(&server, &all, "its end", |status| status["phase"] == "Ended");
    agent.stop();
}

#[test]
fn what_a_workstation_cannot_ask_for_is_one_clear_error() {
    let server = ApiServer::start();
    let start = ["start", "--namespace", "production"];
    let cases: [(&[&str], i32, &str); 7] = [
        (&[], 2, "--for 24h"),
        (&["--until-covered", "1"], 2, "write a share above 0 and below 1"),
        (
            &["--for", "1h", "--recording", "/tmp/a.db"],
            2,
            "--recording is for recording on this machine",
        ),
        (&["--for", "1h", "--memory", "96"], 2, "--memory is for"),
        (&["--for", "1h", "--name", "No"], 2, "at most 63"),
        (&["--for", "1h", "--selector", "a in"], 2, "--selector"),
        // Nobody has installed anything there.
        (&["--for", "1h"], 1, "the cluster knows no learning windows"),
    ];
    for (options, code, text) in cases {
        let done = finish(&mut from_workstation(&server, &[&start[..], options].concat()));
        assert_eq!(done.code(), code, "{done}");
        assert!(done.stderr.contains(text), "{text}: {done}");
    }
    let server = cluster();
    for command in ["stop", "status"] {
        let done = finish(&mut from_workstation(&server, &[command, "nothing"]));
        assert_eq!(done.code(), 1, "{done}");
        assert!(done.stderr.contains("there is no learning window `nothing`"), "{done}");
    }
}

#[test]
fn a_recorder_of_this_machine_is_stopped_by_its_recording() {
    let scratch = Scratch::new();
    let stop = || finish(profile().args(["stop", "--recording"]).arg(scratch.recording()));
    let none = stop();
    assert_eq!(none.code(), 1, "{none}");
    let mut recorder = start(&mut profile_start(scratch.recording(), &["--namespace", "host"]));
    recorder.wait_for("the window", |recorder| recorder.stderr().contains("learning "));
    assert_eq!(stop().code(), 0);
    let done = recorder.finish();
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(scratch.status()["windows"][0]["endReason"], "interrupted");
    let nobody = stop();
    assert_eq!(nobody.code(), 2, "{nobody}");
    assert!(nobody.stderr.contains("nobody records into"), "{nobody}");
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_reason() {
    let (server, scratch) = (cluster(), Scratch::new());
    let agent = Agent::start(&server, &scratch, "node-a");
    let covered = window(
        "covered",
        &json!({"namespaces": ["production"], "duration": "1h", "coverageTarget": 0.99999}),
    );
    server.create(&covered);
    let status = wait_for_status(&server, &covered, "a refusal", |status| status["phase"] == "Refused");
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .starts_with("spec.coverageTarget: write a share above 0 and below 1"),
        "{status:#}"
    );
    assert_eq!(agent.recordings(), Vec::<PathBuf>::new());
    agent.stop();
}
