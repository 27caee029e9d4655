//! A window of a cluster ends when enough was seen on all nodes together.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::path::PathBuf;

use end_to_end::agents::{Agent, cluster, from_workstation, node_window, run_pod_of, wait_for_status, window};
use end_to_end::{ApiServer, Scratch, start};
use serde_json::{Value, json};

const NODES: [&str; 2] = ["node-a", "node-b"];

fn agents(server: &ApiServer, scratch: &Scratch) -> [Agent; 2] {
    NODES.map(|node| Agent::start_with(server, scratch, node, &["--coverage-interval=2s"]))
}

/// Waits until both nodes record: a container that starts earlier is one whose start nobody saw.
fn learning(server: &ApiServer, name: &str) -> Value {
    let shop = window(name, &Value::Null);
    wait_for_status(server, &shop, "a window that agents know", |status| {
        status["nodes"]["learning"] == 2
    });
    for node in NODES {
        wait_for_status(server, &node_window(server, &shop, node), "a recording", |status| {
            status["startedAt"].is_string()
        });
    }
    shop
}

#[test]
fn a_window_ends_when_enough_was_seen_on_all_nodes_together() {
    let (server, scratch) = (cluster(), Scratch::new());
    let agents = agents(&server, &scratch);
    // As little as can be asked for. One node alone has one start, and proves nothing.
    let options = [
        "start",
        "--namespace=production",
        "--name=shop",
        "--until-covered=0.8",
        "--coverage-held=0h",
        "--coverage-starts=2",
        "--coverage-dates=1",
        "--startup=1s",
    ];
    let following = start(&mut from_workstation(&server, &options));
    let shop = learning(&server, "shop");
    let files = [scratch.file("opened", "")];
    let _containers = NODES.map(|node| run_pod_of(&server, &format!("web-{node}"), "web", node, &files));

    let done = following.finish();
    assert_eq!(done.code(), 0, "{done}");
    assert!(
        done.stderr
            .contains("made the learning window shop, for 2592000s, until 0.8"),
        "{done}"
    );
    assert!(done.stderr.contains("enough was seen of every image"), "{done}");
    let status = wait_for_status(&server, &shop, "its end", |status| status["phase"] == "Ended");
    assert_eq!(
        (&status["coverage"]["images"], &status["coverage"]["ready"]),
        (&json!(1), &json!(1)),
        "{status:#}"
    );
    assert!(status["coverage"]["coveredAt"].is_string(), "{status:#}");
    // It ended before its time, and nothing is missing.
    assert_eq!(
        (&status["nodes"]["ended"], &status["lossyNodes"]),
        (&json!(2), &json!(0)),
        "{status:#}"
    );
    let shown = from_workstation(&server, &["status", "shop"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("Coverage: 1 of 1 images are ready; enough was seen at "),
        "{shown}"
    );

    // What nodes tell names images, and nothing that was done.
    let told = server.list(&json!({"apiVersion": "wardline.dev/v1alpha1", "kind": "NodeCoverage"}));
    assert_eq!(told.len(), 2, "{told:#?}");
    for told in told {
        assert_eq!(
            (&told["spec"]["window"], &told["spec"]["images"]),
            (&json!("shop"), &json!(1))
        );
        assert_eq!(told["metadata"]["ownerReferences"][0]["name"], "shop", "{told:#}");
    }
    for agent in agents {
        agent.stop();
    }
}

#[test]
fn a_window_goes_on_where_each_node_shows_something_else() {
    let (server, scratch) = (cluster(), Scratch::new());
    let agents = agents(&server, &scratch);
    let spec = json!({
        "namespaces": ["production"], "duration": "1h", "coverageTarget": 0.8, "coverageHeld": "0h", "coverageStarts": 2,
        "coverageDates": 1, "record": {"startup": "1s"},
    });
    server.create(&window("shop", &spec));
    let shop = learning(&server, "shop");
    // Before somebody who saw something has told, nobody knows.
    // Far more than what every shell does, with names of letters: no pattern stands for them.
    let letters = 'a'..='z';
    let files = ["alpha", "beta"].map(|name| -> Vec<PathBuf> {
        letters
            .clone()
            .map(|letter| scratch.file(&format!("{name}{letter}"), ""))
            .collect()
    });
    let _containers = [0, 1].map(|at| run_pod_of(&server, &format!("web-{at}"), "web", NODES[at], &files[at]));
    // As many starts as were enough where they were alike.
    let status = wait_for_status(&server, &shop, "two starts that are told", |status| {
        let told = &status["coverage"];
        told["images"] == 1
            && told["nodesMissing"] == 0
            && told["waiting"][0]["advice"].to_string().contains("more starts")
    });
    assert_eq!(status["coverage"]["ready"], 0, "{status:#}");
    assert_eq!(status["coverage"]["coveredAt"], Value::Null, "{status:#}");
    assert_eq!(status["coverage"]["waiting"][0]["state"], "learning", "{status:#}");
    assert_eq!(status["phase"], "Learning", "{status:#}");
    for agent in agents {
        agent.stop();
    }
}
