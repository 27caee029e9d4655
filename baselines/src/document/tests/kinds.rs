//! Behaviours of the kinds that were added to version 1 after it was first written.

use super::*;
use crate::behaviour::{Action, Arguments, Behaviour, RaiseCause};

/// The example's image with one of each kind of behaviour that was added to the documents later.
fn newer_example() -> Baseline {
    let mut baseline = example();
    let evidence = Evidence {
        phases: vec![Phase::Startup],
        provenance: vec![Provenance::Workload],
        ..baseline.behaviours.connect[0].evidence.clone()
    };
    baseline.behaviours = Behaviours::default();
    let path = |path: &str| FilePath::canonical(path.as_bytes());
    let (address, port, protocol) = ([10, 0, 0, 53].into(), 53, Protocol::Udp);
    let exec = |arguments: &[u8], is_cut| Action::Exec {
        binary: path("/usr/bin/env"),
        script: None,
        arguments: Some(Arguments::new(arguments, is_cut)),
    };
    let actions = [
        exec(b"env\0-i\0A=\xff\n: \x001\0", false),
        exec(b"env\0--unset=A", true),
        Action::Open {
            path: path("/usr/lib/libc.so.6"),
            access: Access::MAP,
            backing: None,
        },
        Action::ConnectUnix {
            path: path("/run/log.sock"),
        },
        Action::Send {
            address,
            port,
            protocol,
        },
        Action::Listen {
            address: "::".parse().unwrap(),
            port: 0,
            protocol: Protocol::Tcp,
        },
        Action::Raise {
            binary: path("/usr/bin/ping"),
            cause: RaiseCause::Execution,
            user: 1000,
            capabilities: "cap_net_raw".parse().unwrap(),
        },
    ];
    for action in actions {
        let subject = path("/usr/sbin/server");
        baseline
            .behaviours
            .push(Behaviour { subject, action }, evidence.clone());
    }
    let reached = |(peer, count): (&str, u64)| Reached {
        peer: peer.parse().unwrap(),
        dns_name: (peer == "external").then(|| "db.example.com".parse().unwrap()),
        count,
        containers: 2,
        first_seen: evidence.first_seen,
        last_seen: evidence.last_seen,
    };
    let peers = [
        ("service/kube-system/kube-dns", 7),
        (r"pod/shop/Deployment/dns\x2f1", 2),
        ("node/worker-1", 1),
        ("external", 1),
        ("unknown/unanswered", 1),
    ];
    baseline.behaviours.send[0].peers = peers.map(reached).into();
    baseline
}

#[test]
fn a_document_with_every_kind_looks_like_this() {
    let golden = include_str!("../every-kind.yaml");
    assert_eq!(to_yaml(&newer_example()), golden);
    assert_eq!(from_yaml(golden).unwrap(), newer_example());
    let baseline = newer_example();
    let mut copy = Behaviours::default();
    for (behaviour, evidence) in baseline.behaviours.all() {
        copy.push(behaviour, evidence.clone());
    }
    copy.send[0].peers = baseline.behaviours.send[0].peers.clone();
    assert_eq!(copy, baseline.behaviours);
}

#[test]
fn errors_of_newer_kinds_name_the_place_too() {
    let cases = [
        (
            "- -i",
            r"- -\i",
            ":68:7: behaviours.exec[0].arguments[1]: unknown escape",
        ),
        (
            "      cut:\n",
            "      uncut:\n",
            ": behaviours.exec[1].arguments: unknown field `uncut`",
        ),
        (
            "access: map",
            "access: maps",
            ": behaviours.open[0].access: `maps` is not one of read, write, create, map",
        ),
        (
            "cause: execution",
            "cause: magic",
            ": behaviours.raise[0].cause: unknown variant `magic`",
        ),
        (
            "peer: node/worker-1",
            "peer: nodes/worker-1",
            ": behaviours.send[0].peers[2].peer: `nodes/worker-1` is no peer: write service/NAMESPACE/NAME",
        ),
        (
            "cap_net_raw",
            "cap_raw",
            ": behaviours.raise[0].capabilities: `cap_raw` is not one of all, none",
        ),
    ];
    let text = include_str!("../every-kind.yaml");
    for (from, to, expected) in cases {
        assert!(text.contains(from), "{from}");
        let message = from_yaml(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
