//! A program that asks for names and connects, and what was recorded of it.

use std::collections::BTreeMap;
use std::time::Duration;

use baselines::document::Baseline;
use end_to_end::{Finished, Scratch, profile_run, start};

/// It makes its own network, with its own resolver.
const PROGRAM: &str = include_str!("names.py");
/// An emulated machine takes long.
const PATIENCE: Duration = Duration::from_mins(5);

/// Runs the program.
pub(crate) fn learned(scratch: &Scratch, options: &[&str]) -> Finished {
    let program = scratch.file("program.py", PROGRAM);
    let folder = scratch.directory().to_str().unwrap().to_owned();
    let command = ["/usr/bin/python3", program.to_str().unwrap(), &folder];
    start(&mut profile_run(scratch.recording(), "shop/web", options, command)).finish_within(PATIENCE)
}

/// Peer and name, by the port.
pub(crate) fn names(baseline: &Baseline) -> BTreeMap<u16, Vec<(String, Option<String>, u64)>> {
    let connects = baseline.behaviours.connect.iter();
    let named = connects.filter(|connect| connect.port < 10).map(|connect| {
        let peers = connect.peers.iter().map(|reached| {
            let name = reached.dns_name.as_ref().map(ToString::to_string);
            (reached.peer.to_string(), name, reached.count)
        });
        (connect.port, peers.collect())
    });
    named.collect()
}

/// A connection has the name that was asked for before it.
pub(crate) fn names_are_seen() {
    let scratch = Scratch::new();
    let done = learned(&scratch, &["--flush-interval", "100ms"]);
    assert_eq!(done.code(), 0, "{done}");
    let reached = |name: &str, count| vec![("unknown/no_cluster".to_owned(), Some(name.to_owned()), count)];
    let expected = [
        (1, vec![]),
        (2, reached("db.example", 2)),
        (3, reached("www.example", 1)),
        (4, reached("six.example", 1)),
        (5, reached("many.example", 1)),
        (6, vec![]),
        (7, reached("db.example", 1)),
        (8, reached("other.example", 1)),
    ];
    assert_eq!(names(&scratch.baseline("shop/web")), expected.into());
    let status = scratch.status();
    let window = &status["windows"][0];
    assert_eq!(window["dnsNames"], "seen", "{window:#}");
    let gaps = &window["dnsNameGaps"];
    assert_eq!((&gaps["cut"], &gaps["ambiguous"]), (&1.into(), &1.into()), "{window:#}");
    assert_eq!(gaps["malformed"], 1, "{window:#}");
    assert!(window["peersUntold"].as_object().unwrap().is_empty(), "{window:#}");
    assert_eq!(window["lost"], 0, "{window:#}");
}
