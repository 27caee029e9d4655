use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::risks::{Decision, Decisions, Target, Verdict};
use crate::testing::behaviours;
use crate::workload::Image;

/// Compiled once for all cases.
static SHIPPED: LazyLock<Catalogue> = LazyLock::new(Catalogue::shipped);

/// Behaviours that entries are about, and any others.
fn risky() -> impl Strategy<Value = Behaviour> {
    let programs = || {
        prop::sample::select(vec![
            "/usr/bin/runc",
            "/usr/bin/dash",
            "/usr/bin/bash",
            "/bin/busybox",
            "/usr/bin/tini",
            "/usr/bin/python3.11",
            "/usr/bin/curl",
            "/usr/sbin/nginx",
            "/tmp/x",
            "/usr/bin/socat",
        ])
    };
    let files = prop::sample::select(vec![
        "/etc/shadow",
        "/tmp/x",
        "/usr/bin/curl",
        "/run/secrets/tokens/a",
        "/run/secrets/tokens/b",
        "/srv/data",
    ]);
    prop_oneof![
        4 => (programs(), programs()).prop_map(|(parent, binary)| exec(parent, binary)),
        2 => (programs(), files, 0_u8..16)
            .prop_map(|(subject, file, bits)| open(subject, file, Access::from_bits(bits).unwrap())),
        1 => (programs(), 0_u16..5000).prop_map(|(subject, port)| connect(subject, "203.0.113.7", port)),
        1 => (programs(), 0_u16..5000).prop_map(|(subject, port)| listen(subject, port)),
        1 => behaviours(),
    ]
}

fn evidences() -> impl Strategy<Value = Evidence> {
    let phases = prop::sample::select(vec![
        vec![Phase::Startup],
        vec![Phase::Steady],
        vec![Phase::Startup, Phase::Steady],
    ]);
    let provenance = prop::sample::select(vec![
        vec![Provenance::Workload],
        vec![Provenance::Kubelet],
        vec![Provenance::Workload, Provenance::Kubelet],
    ]);
    (1_u64..4, phases, provenance)
        .prop_map(|(containers, phases, provenance)| evidence(containers, &phases, &provenance))
}

/// An image's behaviours, each once.
fn images() -> impl Strategy<Value = Vec<(Behaviour, Evidence)>> {
    prop::collection::btree_map(risky(), evidences(), 0..25).prop_map(|all| all.into_iter().collect())
}

fn found(catalogue: &Catalogue, all: &[(Behaviour, Evidence)]) -> Vec<Finding> {
    let learned = lists(all.iter().map(|(behaviour, evidence)| (behaviour, evidence.clone())));
    let seen = Seen {
        learned: &learned,
        not_learned: &Behaviours::default(),
        containers: 3,
    };
    catalogue.assess(&seen)
}

fn decisions() -> impl Strategy<Value = Decisions> {
    let hash = "[0-9a-f]{32}";
    let key = hash.prop_map(|hash| Target::finding(format!("some-entry/{hash}").parse().unwrap()));
    let target = prop_oneof![key, risky().prop_map(|behaviour| Target::behaviour(&behaviour))];
    let text = || {
        let words = prop_oneof![
            "[ -~]{1,12}",
            "\\PC{1,6}",
            Just("yes".to_owned()),
            Just("- a: {b".to_owned())
        ];
        words.prop_filter_map("is text", |text| text.parse().ok())
    };
    let verdict = prop_oneof![
        Just(Verdict::Deny),
        option::of(100_u64..1_000_000_000).prop_map(|until| Verdict::Allow {
            until: until.map(seconds)
        }),
    ];
    let decision = (
        verdict,
        text(),
        text(),
        0_u64..100,
        option::of(any::<String>()),
        option::of(any::<String>()),
    );
    let decision = decision.prop_map(|(verdict, reason, who, when, inherited_from, about)| Decision {
        verdict,
        reason,
        who,
        when: seconds(when),
        inherited_from,
        about,
    });
    let image = (any::<String>(), option::of(any::<String>()));
    (image, vec((target, decision), 0..6)).prop_map(|((repository, digest), all)| {
        let mut decisions = Decisions::new(Image {
            repository,
            tag: None,
            digest,
        });
        for (target, decision) in all {
            decisions.decide(target, decision);
        }
        decisions
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_order_of_behaviours_makes_no_difference(image in images(), swaps in vec((0..25_usize, 0..25_usize), 0..30)) {
        let mut shuffled = image.clone();
        for (one, other) in swaps {
            if one < shuffled.len() && other < shuffled.len() {
                shuffled.swap(one, other);
            }
        }
        prop_assert_eq!(found(&SHIPPED, &image), found(&SHIPPED, &shuffled));
    }

    #[test]
    fn an_entry_more_takes_no_finding_away(image in images(), glob in "(/tmp|/usr|/etc)/[*]{1,2}") {
        let text = format!("entries:
- id: one-more
  title: x
  severity: low
  attack: [T1105]
  match:
    any:
    - program:
      - '{glob}'
    - path:
      - '{glob}'
  why: x
  advice: x
  examples:
    matches:
    - behaviour: {{kind: open, subject: /a, path: {}, access: read}}
    doesNotMatch:
    - behaviour: {{kind: open, subject: /a, path: /srv/a, access: read}}
", glob.replace('*', "a"));
        let larger = SHIPPED.clone().with(vec![file(&text)]).unwrap();
        let after = found(&larger, &image);
        for finding in found(&SHIPPED, &image) {
            prop_assert!(after.contains(&finding), "{:?}", finding);
        }
    }

    #[test]
    fn every_finding_has_a_key_of_its_own(image in images()) {
        let findings = found(&SHIPPED, &image);
        let keys: std::collections::BTreeSet<_> = findings.iter().map(|finding| &finding.key).collect();
        prop_assert_eq!(keys.len(), findings.len());
        for finding in &findings {
            prop_assert_eq!(&finding.key.to_string().parse(), &Ok(finding.key.clone()));
            prop_assert!(!finding.sightings.is_empty());
        }
    }

    #[test]
    fn decisions_survive_being_written(decisions in decisions()) {
        let text = decisions.to_yaml();
        let again = Decisions::from_yaml(&text);
        prop_assert!(again.is_ok(), "{}\n{text}", again.unwrap_err());
        let again = again.unwrap();
        prop_assert_eq!(again.to_yaml(), text);
        prop_assert_eq!(again, decisions);
    }

    #[test]
    fn what_is_kept_and_what_is_removed_is_what_there_was(image in images(), decisions in decisions()) {
        let learned = lists(image.iter().map(|(behaviour, evidence)| (behaviour, evidence.clone())));
        let findings = found(&SHIPPED, &image);
        let split = decisions.split(&findings, &learned);
        let count = |lists: &Behaviours| lists.all().count();
        prop_assert_eq!(count(&split.kept) + count(&split.removed), count(&learned));
    }
}
