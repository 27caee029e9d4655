//! Each class of change.

use std::slice::from_ref;

use super::*;
use crate::behaviour::{Access, Action, Arguments, Capabilities, RaiseCause};
use crate::coverage::State;
use crate::diff::{Class, Doubt, Right};
use crate::document::{Reached, Source};
use crate::risks::tests::{connect, did as doing, exec, open, path};

/// The words of the changes, each with what it is about and what there is more and less of.
fn told(old: &Baseline, new: &Baseline) -> Vec<String> {
    let changes = of_image(old, new).changes;
    let told = changes.iter().map(|change| {
        let words = |rights: &[Right], sign: char| -> String {
            let words: Vec<String> = rights.iter().map(|right| format!(" {sign}{right}")).collect();
            words.concat()
        };
        let (more, less) = (words(&change.gained, '+'), words(&change.lost, '-'));
        format!("{}: {}{more}{less}", change.class.word(), change.what)
    });
    told.collect()
}

fn raise(user: u32, capabilities: &str) -> Behaviour {
    doing(
        "/app",
        Action::Raise {
            binary: path("/bin/su"),
            cause: RaiseCause::Execution,
            user,
            capabilities: capabilities.parse().unwrap(),
        },
    )
}

#[test]
fn behaviours_are_added_gone_widened_and_narrowed() {
    let read = open("/app", "/data", Access::READ);
    let write = open("/app", "/data", Access::WRITE);
    let both = open("/app", "/data", Access::READ | Access::WRITE);
    let with_arguments = |text: &[u8]| {
        let mut with = exec("/app", "/bin/sh");
        if let Action::Exec { arguments, .. } = &mut with.action {
            *arguments = Some(Arguments::new(text, false));
        }
        with
    };
    let none: &[Behaviour] = &[];
    let cases: [(&[Behaviour], &[Behaviour], &[&str]); 12] = [
        (none, &[exec("/app", "/bin/sh")], &["added: /app executes /bin/sh"]),
        (&[exec("/app", "/bin/sh")], none, &["gone: /app executes /bin/sh"]),
        (
            from_ref(&read),
            from_ref(&both),
            &["widened: /app opens /data (read,write) +write"],
        ),
        (
            from_ref(&both),
            from_ref(&read),
            &["narrowed: /app opens /data (read) -write"],
        ),
        (
            from_ref(&read),
            from_ref(&write),
            &["widened: /app opens /data (write) +write -read"],
        ),
        // The same rights by two opens.
        (from_ref(&both), &[read.clone(), write.clone()], &[]),
        (
            from_ref(&read),
            &[open("/app", "/data", Access::MAP)],
            &["widened: /app maps /data +map -read"],
        ),
        (
            &[raise(0, "none")],
            &[raise(0, "cap_net_admin")],
            &["widened: /app raises its privileges by executing /bin/su (user 0, cap_net_admin) +cap_net_admin"],
        ),
        (
            &[raise(7, "none")],
            &[raise(7, "none"), raise(0, "none")],
            &["widened: /app raises its privileges by executing /bin/su (user 0, none) +user 0"],
        ),
        (
            none,
            &[raise(0, "all")],
            &["added: /app raises its privileges by executing /bin/su (user 0, all)"],
        ),
        // No policy compares arguments.
        (
            &[with_arguments(b"sh\0-c\0a\0")],
            &[with_arguments(b"sh\0-c\0b\0")],
            &[],
        ),
        (&[with_arguments(b"sh\0")], &[exec("/app", "/bin/sh")], &[]),
    ];
    for (old, new, expected) in cases {
        assert_eq!(told(&did(old), &did(new)), expected, "{old:?} {new:?}");
    }
}

#[test]
fn what_comes_to_be_learned_or_moves_to_another_phase_is_reclassified() {
    let shell = exec("/app", "/bin/sh");
    let list = |phases: &[Phase], provenance: &[Provenance]| lists([(&shell, evidence(1, phases, provenance))]);
    let none = Behaviours::default;
    let steady = || list(&[Phase::Steady], WORKLOAD);
    let debugging = || list(&[Phase::Steady], &[Provenance::Entered]);
    let cases = [
        ((none(), debugging()), (steady(), none()), true),
        ((steady(), none()), (none(), debugging()), true),
        ((list(&[Phase::Startup], WORKLOAD), none()), (steady(), none()), true),
        (
            (list(&[Phase::Startup, Phase::Steady], WORKLOAD), none()),
            (steady(), none()),
            true,
        ),
        (
            (steady(), none()),
            (list(&[Phase::Steady], &[Provenance::Kubelet]), none()),
            true,
        ),
        // Somebody also did by hand what the workload does.
        ((steady(), none()), (steady(), debugging()), false),
    ];
    for ((old, old_apart), (new, new_apart), is_changed) in cases {
        let told = told(&baseline(old.clone(), old_apart), &baseline(new.clone(), new_apart));
        let expected: &[&str] = &["re-classified: /app executes /bin/sh"];
        assert_eq!(told, if is_changed { expected } else { &[] }, "{old:?} {new:?}");
    }
}

#[test]
fn names_that_a_template_stands_for_are_not_new() {
    type Case<'a> = (Baseline, Baseline, &'a [&'a str], (u64, u64));
    const NUMBER: &[&str] = &["/var/lib/x/{number}"];
    let file = |name: &str| open("/app", &format!("/var/lib/x/{name}"), Access::READ);
    let with = |names: &[&str], templates: &[&str]| {
        let behaviours: Vec<Behaviour> = names.iter().map(|name| file(name)).collect();
        let mut baseline = did(&behaviours);
        baseline.templates = templates.iter().map(|it| template(it, 0)).collect();
        baseline
    };
    let cases: [Case<'_>; 5] = [
        (with(&["1", "2"], NUMBER), with(&["2", "3", "4"], NUMBER), &[], (1, 2)),
        // It was seen too seldom for a template of its own.
        (
            with(&["1", "2"], NUMBER),
            with(&["3"], &[]),
            &[
                "narrowed: /app opens /var/lib/x/{number} (read) -/app opens /var/lib/x/1 (read) -/app opens /var/lib/x/2 (read)",
            ],
            (0, 0),
        ),
        (
            with(&["1"], &[]),
            with(&["1", "2"], NUMBER),
            &["widened: /app opens /var/lib/x/{number} (read) +/app opens /var/lib/x/2 (read)"],
            (0, 0),
        ),
        (
            with(&["1"], NUMBER),
            with(&["x"], &[]),
            &[
                "added: /app opens /var/lib/x/x (read)",
                "gone: /app opens /var/lib/x/{number} (read)",
            ],
            (0, 0),
        ),
        // The wider one of two counts.
        (
            with(&["12", "ab"], &["/var/lib/x/{hex:2}"]),
            with(&["34"], &["/var/lib/x/{random:2}"]),
            &[],
            (2, 1),
        ),
    ];
    for (old, new, expected, covered) in cases {
        assert_eq!(told(&old, &new), expected);
        let behaviours = of_image(&old, &new).behaviours;
        assert_eq!(
            (behaviours.old.covered, behaviours.new.covered),
            covered,
            "{expected:?}"
        );
    }
}

#[test]
fn templates_that_admit_more_are_widened() {
    type Expected<'a> = &'a [(Class, &'a str, &'a [&'a str])];
    let with = |templates: &[PathTemplate]| {
        let mut baseline = did(&[open("/app", "/var/lib/x/12", Access::READ)]);
        baseline.templates = templates.to_vec();
        baseline
    };
    let number = |sensitive| template("/var/lib/x/{number}", sensitive);
    let random = || template("/var/lib/x/{random:2}", 0);
    let hex = || template("/var/lib/x/{hex:2}", 0);
    let cases: [(&[PathTemplate], &[PathTemplate], Expected<'_>); 6] = [
        (&[number(0)], &[number(0)], &[]),
        (&[], &[number(0)], &[(Class::Added, "/var/lib/x/{number}", &[])]),
        (&[number(0)], &[], &[(Class::Gone, "/var/lib/x/{number}", &[])]),
        (
            &[number(0)],
            &[number(1)],
            &[(Class::Widened, "/var/lib/x/{number}", &[])],
        ),
        (
            &[number(1)],
            &[number(0)],
            &[(Class::Narrowed, "/var/lib/x/{number}", &[])],
        ),
        (
            &[hex()],
            &[random()],
            &[
                (Class::Widened, "/var/lib/x/{random:2}", &["/var/lib/x/{hex:2}"]),
                (Class::Gone, "/var/lib/x/{hex:2}", &[]),
            ],
        ),
    ];
    for (old, new, expected) in cases {
        let found = of_image(&with(old), &with(new)).templates;
        let found: Vec<(Class, String, Vec<String>)> = found
            .iter()
            .map(|it| {
                let instead = it.instead_of.iter().map(ToString::to_string);
                (it.class, it.template.to_string(), instead.collect())
            })
            .collect();
        let expected: Vec<(Class, String, Vec<String>)> = expected
            .iter()
            .map(|(class, text, instead)| {
                let instead = instead.iter().map(|it| (*it).to_owned());
                (*class, (*text).to_owned(), instead.collect())
            })
            .collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn connections_are_compared_by_whom_they_reach() {
    const API: &str = "pod/shop/Deployment/api";
    const DB: &str = "pod/shop/Deployment/db";
    type Rows<'a> = &'a [(&'a str, &'a str, Option<&'a str>)];
    let reaching = |rows: &[(&str, &str, Option<&str>)]| {
        let mut baseline = did(&[]);
        for (address, peer, name) in rows {
            let reached = Reached {
                peer: peer.parse().unwrap(),
                dns_name: name.map(|name| name.parse().unwrap()),
                count: 1,
                containers: 1,
                first_seen: seconds(0),
                last_seen: seconds(60),
            };
            let evidence = evidence(1, &[Phase::Steady], WORKLOAD);
            let behaviour = connect("/app", address, 443);
            baseline.behaviours.push_reached(behaviour, vec![reached], evidence);
        }
        baseline
    };
    let cases: [(Rows<'_>, Rows<'_>, &[&str]); 6] = [
        // Another pod of the same workload, another address of the same name.
        (&[("10.0.0.1", API, None)], &[("10.0.0.2", API, None)], &[]),
        (
            &[("192.0.2.1", "external", Some("api.example"))],
            &[("192.0.2.2", "external", Some("api.example"))],
            &[],
        ),
        (
            &[("10.0.0.1", API, None)],
            &[("10.0.0.2", DB, None)],
            &[
                "added: /app connects to 10.0.0.2:443 (tcp), pod/shop/Deployment/db",
                "gone: /app connects to 10.0.0.1:443 (tcp), pod/shop/Deployment/api",
            ],
        ),
        // The address went to somebody else.
        (
            &[("10.0.0.1", API, None)],
            &[("10.0.0.1", DB, None)],
            &["widened: /app connects to 10.0.0.1:443 (tcp) +pod/shop/Deployment/db -pod/shop/Deployment/api"],
        ),
        // Names were recorded on one side only.
        (
            &[("192.0.2.1", "external", None)],
            &[("192.0.2.1", "external", Some("api.example"))],
            &[],
        ),
        (
            &[("192.0.2.1", "unknown/refused", None)],
            &[("192.0.2.1", "external", None)],
            &[],
        ),
    ];
    for (old, new, expected) in cases {
        assert_eq!(told(&reaching(old), &reaching(new)), expected, "{old:?} {new:?}");
    }
}

#[test]
fn what_is_gone_is_weak_evidence_unless_it_was_looked_for_long_enough() {
    let source = |backend: &str| Source {
        recording: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        revision: 1,
        node: "worker-1".to_owned(),
        backends: vec![backend.to_owned()],
        removed: None,
    };
    let version = |behaviours: &[Behaviour], state, units, backend: &str| {
        let mut baseline = did(behaviours);
        baseline.coverage = Some(coverage(state, 5, units));
        baseline.recordings = vec![source(backend)];
        baseline
    };
    let doubts = |new: &Baseline| {
        let old = version(&[exec("/app", "/bin/sh")], State::Ready, 40, "lsm");
        let mut changes = of_image(&old, new).changes;
        assert_eq!((changes.len(), changes[0].class), (1, Class::Gone));
        changes.remove(0).weak_because
    };
    let rare = |watched| Doubt::TooRare {
        seen: 1,
        of: 40,
        watched,
    };
    let state = |state| Doubt::NotReady { state };
    let cases = [
        // In 120 units what happens in one of 40 happens three times.
        (version(&[], State::Ready, 120, "lsm"), vec![]),
        (version(&[], State::Ready, 119, "lsm"), vec![rare(119)]),
        (version(&[], State::Learning, 120, "lsm"), vec![state(State::Learning)]),
        (version(&[], State::Lossy, 3, "lsm"), vec![state(State::Lossy), rare(3)]),
        (
            version(&[], State::Ready, 120, "tracepoint"),
            vec![Doubt::OtherBackends {
                old: vec!["lsm".to_owned()],
                new: vec!["tracepoint".to_owned()],
            }],
        ),
    ];
    for (new, expected) in cases {
        assert_eq!(doubts(&new), expected);
    }
    let mut nobody_said = version(&[], State::Ready, 120, "lsm");
    nobody_said.coverage = None;
    assert_eq!(doubts(&nobody_said), [state(State::Unknown)]);
}

#[test]
fn capabilities_are_named_one_by_one() {
    let all = did(&[raise(0, "all")]);
    let found = of_image(&did(&[raise(0, "none")]), &all).changes;
    assert_eq!(found[0].gained.len(), Capabilities::ALL.0.count_ones() as usize);
}
