//! Whom containers reached.

use std::fs;

use super::*;
use crate::analysis::baselines;
use crate::behaviour::{Action, Behaviour, Protocol, Provenance};
use crate::dns::{NameGap, Names};
use crate::document;
use crate::path::FilePath;
use crate::peer::Untold;
use crate::redaction::{MARKER, Redaction};
use crate::testing::{node, observation, window};

fn connect(address: &str) -> Behaviour {
    Behaviour {
        subject: FilePath::canonical(*b"/usr/sbin/server"),
        action: Action::Connect {
            address: address.parse().unwrap(),
            port: 443,
            protocol: Protocol::Tcp,
        },
    }
}

/// A container connected so often from this second on, to these peers: `external as db.example` is one with a DNS name.
fn connected(cgroup: u64, address: &str, second: u64, peers: &[(&str, u64)]) -> Flush {
    let behaviour = connect(address);
    let reached = peers.iter().map(|(peer, count)| {
        let (peer, dns_name) = match peer.split_once(" as ") {
            Some((peer, name)) => (peer, Some(name.parse().unwrap())),
            None => (*peer, None),
        };
        Reached {
            cgroup_id: cgroup,
            behaviour: behaviour.clone(),
            provenance: Provenance::Workload,
            peer: peer.parse().unwrap(),
            dns_name,
            count: *count,
            first_seen: seconds(second),
            last_seen: seconds(second + 1),
        }
    });
    Flush {
        reached: reached.collect(),
        ..flush(vec![Observation {
            behaviour: behaviour.clone(),
            count: peers.iter().map(|(_, count)| count).sum(),
            ..observation(cgroup, "", seconds(second))
        }])
    }
}

fn writer(path: &Path) -> (Writer, WindowId) {
    let mut writer = Recording::open_or_create(path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    (writer, id)
}

/// The peers of an image's connections, as the document has them.
fn peers(path: &Path, image: &str) -> Vec<(String, String, u64, u64, String, String)> {
    let baselines = baselines(&[path.to_owned()]).unwrap();
    let of_image = baselines.iter().filter(|baseline| baseline.image.repository == image);
    let connects = of_image.flat_map(|baseline| &baseline.behaviours.connect);
    let peers = connects.flat_map(|connect| connect.peers.iter().map(|reached| (connect.address, reached)));
    peers
        .map(|(address, reached)| {
            (
                address.to_string(),
                match &reached.dns_name {
                    Some(name) => format!("{} as {name}", reached.peer),
                    None => reached.peer.to_string(),
                },
                reached.count,
                reached.containers,
                reached.first_seen.to_string(),
                reached.last_seen.to_string(),
            )
        })
        .collect()
}

#[test]
fn a_document_has_the_address_and_who_it_was() {
    let folder = Folder::new();
    let path = folder.recording();
    let (mut writer, id) = writer(&path);
    let mut both = connected(
        1,
        "10.1.0.7",
        30,
        &[("pod/shop/Deployment/web", 3), ("pod/shop/Job/report", 1)],
    );
    both.containers.push(container(3, "app"));
    writer.flush(id, &both).unwrap();
    writer
        .flush(id, &connected(3, "10.1.0.7", 50, &[("pod/shop/Deployment/web", 2)]))
        .unwrap();
    // Nobody had to be asked, or nobody could be.
    writer.flush(id, &connected(1, "127.0.0.1", 55, &[])).unwrap();
    writer
        .flush(id, &connected(2, "192.0.2.1", 56, &[("external", 7)]))
        .unwrap();
    // It comes later than what it is about.
    let mut late = connected(1, "10.1.0.7", 40, &[("unknown/unanswered", 1)]);
    late.observations.clear();
    writer.flush(id, &late).unwrap();
    // Somebody who entered: not learned.
    let mut entered = connected(2, "192.0.2.2", 57, &[("external", 1)]);
    entered.observations[0].provenance = Provenance::Entered;
    entered.reached[0].provenance = Provenance::Entered;
    writer.flush(id, &entered).unwrap();
    drop(writer);

    let at = |second: u64| seconds(second).to_string();
    let address = "10.1.0.7".to_owned();
    assert_eq!(
        peers(&path, "app"),
        [
            (
                address.clone(),
                "pod/shop/Deployment/web".to_owned(),
                5,
                2,
                at(30),
                at(51)
            ),
            (address.clone(), "pod/shop/Job/report".to_owned(), 1, 1, at(30), at(31)),
            (address, "unknown/unanswered".to_owned(), 1, 1, at(40), at(41)),
        ]
    );
    let [db] = peers(&path, "db").try_into().unwrap();
    assert_eq!((db.1.as_str(), db.2), ("external", 7));
    let all = baselines(std::slice::from_ref(&path)).unwrap();
    assert_eq!(all[1].not_learned.connect[0].peers[0].count, 1);
    for baseline in &all {
        assert_eq!(document::from_yaml(&document::to_yaml(baseline)).unwrap(), *baseline);
    }
    assert_eq!(summary(&path).windows[0].peers_untold, [(Untold::Unanswered, 1)]);
    // Of another container, or none, there is nothing.
    let error = Recording::open_or_create(&path, &node("n1"))
        .and_then(|mut writer| {
            let id = writer.start_window(&window(seconds(90)))?;
            let mut unknown = connected(1, "10.1.0.7", 90, &[("external", 1)]);
            unknown.reached[0].cgroup_id = 77;
            writer.flush(id, &unknown)
        })
        .unwrap_err();
    assert!(matches!(error, Error::UnknownContainer { .. }), "{error}");
}

#[test]
fn what_finds_no_room_is_counted_and_what_is_there_goes_on() {
    let folder = Folder::new();
    let path = folder.recording();
    let (mut writer, id) = writer(&path);
    let known = connected(1, "10.1.0.7", 1, &[("external", 2)]);
    writer.flush(id, &known).unwrap();
    writer.limit(4096);
    let mut new = connected(1, "10.1.0.7", 2, &[("node/a", 3)]);
    new.reached_left_out = 4;
    assert_eq!(writer.flush(id, &new).unwrap(), 0);
    writer.flush(id, &known).unwrap();
    drop(writer);
    let told: Vec<(String, u64)> = peers(&path, "app").into_iter().map(|peer| (peer.1, peer.2)).collect();
    assert_eq!(told, [("external".to_owned(), 4)]);
    assert_eq!(summary(&path).windows[0].peers_left_out, 7);
}

#[test]
fn names_of_peers_are_hidden_as_others_are() {
    let folder = Folder::new();
    let path = folder.recording();
    let (mut writer, id) = writer(&path);
    writer.redact(Redaction::new(vec!["s3cr3t*".parse().unwrap()]));
    let peers_of = [
        ("service/s3cr3t-shop/api", 1),
        ("pod/shop/Deployment/s3cr3t", 2),
        ("pod/shop/Deployment/s3cr3t-2", 3),
        ("node/s3cr3t", 4),
        ("external", 5),
    ];
    writer.flush(id, &connected(1, "10.1.0.7", 1, &peers_of)).unwrap();
    drop(writer);
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(6).any(|part| part == b"s3cr3t"));
    let told: Vec<(String, u64)> = peers(&path, "app").into_iter().map(|peer| (peer.1, peer.2)).collect();
    let expected = [
        (format!("service/{MARKER}/api"), 1),
        (format!("pod/shop/Deployment/{MARKER}"), 5),
        (format!("node/{MARKER}"), 4),
        ("external".to_owned(), 5),
    ];
    assert_eq!(told, expected);
    assert_eq!(summary(&path).windows[0].redacted_peers, 10);
    let copy = folder.0.path().join("copy.db");
    merge(std::slice::from_ref(&path), &copy, false, |_, _| {}).unwrap();
    assert_eq!(summary(&copy).windows, summary(&path).windows);
    assert_eq!(peers(&copy, "app"), peers(&path, "app"));
}

#[test]
fn the_names_that_an_address_was_asked_for_by_are_kept_beside_it() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let start = WindowStart {
        names: Names::Seen,
        ..window(seconds(0))
    };
    let id = writer.start_window(&start).unwrap();
    let peers_of = [
        ("external as db.example.com", 1),
        ("external as db.s3cr3t-7.example.com", 2),
        ("external as db.s3cr3t-8.example.com", 3),
        ("external", 4),
        ("unknown/no_cluster as a.example", 5),
    ];
    writer.redact(Redaction::new(vec!["s3cr3t*".parse().unwrap()]));
    let mut seen = connected(1, "10.1.0.7", 1, &peers_of);
    seen.name_gaps = [(NameGap::Cut, 2), (NameGap::NoRoom, 0)].into();
    // Two flushes that are written as one, and one that comes later.
    let mut twice = seen.clone();
    twice.merge(seen.clone());
    writer.flush(id, &twice).unwrap();
    writer.flush(id, &seen).unwrap();
    let unseen = WindowStart {
        names: Names::Unseen("it is not permitted".to_owned()),
        ..window(seconds(100))
    };
    writer.end_window(id, &EndReason::Completed, seconds(60)).unwrap();
    writer.start_window(&unseen).unwrap();
    drop(writer);
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(6).any(|part| part == b"s3cr3t"));
    let expected = [
        ("external".to_owned(), 12),
        (format!("external as db.{MARKER}.example.com"), 15),
        ("external as db.example.com".to_owned(), 3),
        ("unknown/no_cluster as a.example".to_owned(), 15),
    ];
    let copy = folder.0.path().join("copy.db");
    merge(std::slice::from_ref(&path), &copy, false, |_, _| {}).unwrap();
    for path in [&path, &copy] {
        let told: Vec<(String, u64)> = peers(path, "app").into_iter().map(|peer| (peer.1, peer.2)).collect();
        assert_eq!(told, expected);
        let summary = summary(path);
        let [first, second] = summary.windows.as_slice() else {
            panic!("{summary:?}");
        };
        assert_eq!(
            (&first.names, &first.name_gaps[..]),
            (&Names::Seen, &[(NameGap::Cut, 6)][..])
        );
        assert_eq!((first.redacted_peers, &first.peers_untold[..]), (15, &[][..]));
        assert_eq!(second.names, unseen.names);
    }
    let all = baselines(std::slice::from_ref(&path)).unwrap();
    for baseline in &all {
        assert_eq!(document::from_yaml(&document::to_yaml(baseline)).unwrap(), *baseline);
    }
    let keep = Retention {
        keep: Some(Duration::ZERO),
        size_max: None,
    };
    prune(&path, &node("n1"), keep, seconds(9999), false).unwrap();
    for table in ["peer", "reached", "name_gap"] {
        assert_eq!(
            look::<i64>(&path, &format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
}

#[test]
fn peers_go_with_the_window_that_reached_them() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    for (start, peer) in [(0, "node/a"), (3600, "node/b")] {
        let id = writer.start_window(&window(seconds(start))).unwrap();
        let mut seen = connected(1, "10.1.0.7", start + 1, &[(peer, 1), ("external", 1)]);
        seen.reached_left_out = 1;
        writer.flush(id, &seen).unwrap();
        writer
            .end_window(id, &EndReason::Completed, seconds(start + 60))
            .unwrap();
    }
    drop(writer);
    let keep = Retention {
        keep: Some(Duration::ZERO),
        size_max: None,
    };
    prune(&path, &node("n1"), keep, seconds(3600), false).unwrap();
    let told: Vec<(String, u64)> = peers(&path, "app").into_iter().map(|peer| (peer.1, peer.2)).collect();
    assert_eq!(told, [("node/b".to_owned(), 1), ("external".to_owned(), 1)]);
    assert_eq!(look::<i64>(&path, "SELECT count(*) FROM peer"), 2);
    assert_eq!(look::<i64>(&path, "SELECT count(*) FROM reached_apart"), 1);
    prune(&path, &node("n1"), keep, seconds(9999), false).unwrap();
    for table in ["peer", "reached", "reached_apart", "behaviour"] {
        assert_eq!(
            look::<i64>(&path, &format!("SELECT count(*) FROM {table}")),
            0,
            "{table}"
        );
    }
}

#[test]
fn peers_that_no_recorder_writes_are_damage() {
    for (harm, expected) in [
        (
            "UPDATE peer SET kind = 'friend'",
            "a peer of the kind `friend` cannot be read",
        ),
        (
            "UPDATE peer SET kind = 'unknown'",
            "a peer is unknown for the unknown reason `a`",
        ),
        ("UPDATE peer SET dns_name = 'a b'", "`a b` is no DNS name"),
        (
            "INSERT INTO name_gap VALUES (1, 'bad_luck', 1)",
            "names are missing for the unknown reason `bad_luck`",
        ),
    ] {
        let folder = Folder::new();
        let path = folder.recording();
        let (mut writer, id) = writer(&path);
        writer
            .flush(id, &connected(1, "10.1.0.7", 1, &[("node/a", 1)]))
            .unwrap();
        drop(writer);
        Connection::open(&path).unwrap().execute_batch(harm).unwrap();
        let error = baselines(&[path]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
