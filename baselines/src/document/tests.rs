mod coverage;
mod kinds;
mod statistics;
mod templates;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::behaviour::{Access, Protocol};
use crate::path::{FilePath, Origin};
use crate::testing::{behaviours, dns_names, peers, seconds};

/// Text of every kind, much of it what YAML takes for something else.
fn texts() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "",
        "yes",
        "No",
        "on",
        "y",
        "~",
        "null",
        "1.0",
        "0x1f",
        "1e3",
        ".inf",
        "2026-11-21",
        "- a",
        "a: b",
        "#x",
        " a ",
        "a\nb",
        "a\n",
        "\n",
        "\r\n",
        "\t",
        "|",
        ">",
        "%YAML",
        "---",
        "...",
        "!!str",
        "&a",
        "*a",
        "{}",
        "[",
        "'",
        "\"",
        "\\",
        "\u{1b}[31m",
        "\u{0}",
        "\u{85}",
        "\u{2028}",
        "\u{202e}",
        "\u{feff}",
        "\u{10ffff}",
        "=",
        "<<",
        "1_000",
        "0o7",
        "12:30",
        "?",
        "-",
        ",",
        "@",
        "`",
    ]);
    prop_oneof![word.prop_map(str::to_owned), ".{0,8}", any::<String>()]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let phases = vec(prop::sample::select(vec![Phase::Startup, Phase::Steady]), 0..3);
    let provenance = vec(
        prop::sample::select(vec![Provenance::Workload, Provenance::Kubelet]),
        0..3,
    );
    let counts = (any::<[u64; 4]>(), option::of(any::<u64>()));
    (
        counts,
        0_u64..9_000_000_000,
        phases,
        provenance,
        option::of(statistics::rates()),
    )
        .prop_map(
            |(([count, units, containers, nodes], days), second, phases, provenance, rate)| Evidence {
                count,
                units,
                containers,
                nodes,
                days,
                first_seen: seconds(second),
                last_seen: seconds(second + 1),
                phases,
                provenance,
                rate,
            },
        )
}

fn reached() -> impl Strategy<Value = Reached> {
    (peers(), dns_names(), any::<[u64; 2]>(), 0_u64..9_000_000_000).prop_map(
        |(peer, dns_name, [count, containers], second)| Reached {
            peer,
            dns_name,
            count,
            containers,
            first_seen: seconds(second),
            last_seen: seconds(second + 1),
        },
    )
}

fn lists() -> impl Strategy<Value = Behaviours> {
    vec((behaviours(), vec(reached(), 0..3), evidence()), 0..6).prop_map(|all| {
        let mut lists = Behaviours::default();
        for (behaviour, reached, evidence) in all {
            lists.push_reached(behaviour, reached, evidence);
        }
        lists
    })
}

fn baselines() -> impl Strategy<Value = Baseline> {
    let image = (texts(), option::of(texts()), option::of(texts())).prop_map(|(repository, tag, digest)| Image {
        repository,
        tag,
        digest,
    });
    let startup = option::of(0_u64..9_000_000_000);
    let container = (vec(texts(), 4), texts(), texts(), any::<bool>(), startup).prop_map(
        |(names, id, node, partial, startup_until)| {
            let [namespace, kind, name, container] = names.try_into().unwrap();
            let workload = Workload {
                namespace,
                kind,
                name,
                container,
            };
            Container {
                workload,
                first_seen: seconds(1),
                last_seen: seconds(2),
                id,
                node,
                partial,
                startup_until: startup_until.map(seconds),
            }
        },
    );
    let loss = (
        prop::sample::select(Reason::ALL.to_vec()),
        any::<u64>(),
        option::of(texts()),
    )
        .prop_map(|(reason, count, container)| Loss {
            reason,
            count,
            container,
        });
    let removed = any::<u64>().prop_map(|windows| Removed {
        windows,
        from: seconds(3),
        until: seconds(4),
    });
    let source = (
        any::<u128>(),
        any::<u64>(),
        texts(),
        vec(texts(), 0..3),
        option::of(removed),
    )
        .prop_map(|(id, revision, node, backends, removed)| Source {
            recording: format!("{id:032x}").parse().unwrap(),
            revision,
            node,
            backends,
            removed,
        });
    (
        image,
        vec(source, 0..3),
        vec(container, 0..3),
        vec(loss, 0..3),
        vec(texts(), 0..3),
        option::of(coverage::coverages()),
        vec(templates::templates(), 0..3),
        (lists(), lists()),
        option::of(statistics::statistics()),
    )
        .prop_map(
            |(
                image,
                recordings,
                containers,
                losses,
                uncounted_losses,
                coverage,
                templates,
                (behaviours, not_learned),
                statistics,
            )| Baseline {
                api_version: ApiVersion,
                kind: Kind,
                image,
                recordings,
                containers,
                losses,
                uncounted_losses,
                coverage,
                templates,
                behaviours,
                not_learned,
                statistics,
            },
        )
}

proptest! {
    #[test]
    fn every_baseline_survives_yaml(baseline in baselines()) {
        let text = to_yaml(&baseline);
        prop_assert_eq!(&from_yaml(&text).unwrap(), &baseline, "{}", text);
        prop_assert_eq!(to_yaml(&from_yaml(&text).unwrap()), text);
    }
}

/// A small document with one of everything.
fn example() -> Baseline {
    let server = FilePath::canonical(*b"/usr/sbin/server");
    let evidence = |count| Evidence {
        count,
        units: 3,
        containers: 2,
        nodes: 1,
        days: None,
        rate: None,
        first_seen: "2026-11-21T09:30:00Z".parse().unwrap(),
        last_seen: "2026-11-21T09:59:59Z".parse().unwrap(),
        phases: vec![Phase::Startup, Phase::Steady],
        provenance: vec![Provenance::Workload, Provenance::Kubelet],
    };
    Baseline {
        api_version: ApiVersion,
        kind: Kind,
        image: Image {
            repository: "registry.example/shop/web".to_owned(),
            tag: Some("1.4".to_owned()),
            digest: None,
        },
        recordings: vec![Source {
            recording: "000102030405060708090a0b0c0d0e0f".parse().unwrap(),
            revision: 17,
            node: "worker-1".to_owned(),
            backends: vec!["tracepoint".to_owned()],
            removed: Some(Removed {
                windows: 2,
                from: "2026-11-01T00:00:00Z".parse().unwrap(),
                until: "2026-11-03T00:00:00Z".parse().unwrap(),
            }),
        }],
        containers: vec![Container {
            workload: "host/unit/web.service/main".parse().unwrap(),
            first_seen: "2026-11-21T09:29:58Z".parse().unwrap(),
            last_seen: "2026-11-21T10:00:00Z".parse().unwrap(),
            id: r"/system.slice/web.service".to_owned(),
            node: "worker-1".to_owned(),
            partial: true,
            startup_until: None,
        }],
        losses: vec![Loss {
            reason: Reason::MapFull,
            count: 3,
            container: None,
        }],
        uncounted_losses: vec!["window 1: kprobes may be skipped".to_owned()],
        coverage: Some(coverage::example()),
        templates: vec![templates::example()],
        behaviours: Behaviours {
            exec: vec![Exec {
                binary: FilePath::canonical(*b"/usr/bin/dash"),
                script: Some(FilePath::canonical(*b"/usr/local/bin/entrypoint.sh")),
                arguments: None,
                parent: FilePath::new(*b"memfd:stage one", Origin::Memfd),
                evidence: evidence(1),
            }],
            open: vec![Open {
                path: FilePath::canonical(*b"/srv/new\nline \xff"),
                access: Access::READ | Access::CREATE,
                backing: Some(FilePath::canonical(*b"/layer/srv/new\nline \xff")),
                subject: server.clone(),
                evidence: evidence(100_000),
            }],
            connect: vec![Connect {
                address: "::ffff:10.0.0.1".parse().unwrap(),
                port: 443,
                protocol: Protocol::Tcp,
                subject: server,
                peers: vec![],
                evidence: evidence(12),
            }],
            ..Behaviours::default()
        },
        not_learned: Behaviours::default(),
        statistics: None,
    }
}

#[test]
fn a_document_looks_like_this() {
    let golden = include_str!("example.yaml");
    assert_eq!(to_yaml(&example()), golden);
    assert_eq!(from_yaml(golden).unwrap(), example());
}

/// Replaces a part of the example and reads it.
fn broken(from: &str, to: &str) -> String {
    let text = include_str!("example.yaml");
    assert!(text.contains(from), "{from}");
    from_yaml(&text.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn errors_name_the_place_and_what_was_expected() {
    let cases = [
        (
            "wardline.dev/v1",
            "wardline.dev/v9",
            "1:13: apiVersion: `wardline.dev/v9` is not `wardline.dev/v1`: use the version of Wardline that wrote this \
             document, or make it anew with `generate baselines`",
        ),
        (
            "kind: Baseline",
            "kind: TracingPolicy",
            "2:7: kind: `TracingPolicy` is not `Baseline`: this is another kind of document; baselines are made with \
             `generate baselines`",
        ),
        ("1.4'", "1.4", "5:1: documents are written with one key or item a line"),
        (
            "reason: map_full",
            "reason: bad_luck",
            "24:11: losses[0].reason: `bad_luck` is no reason for a loss that",
        ),
        (
            "access: read,create",
            "access: fly",
            "85:13: behaviours.open[0].access: `fly` is not one of read, write",
        ),
        (
            r"/srv/new\n",
            r"/srv/\q",
            r"84:11: behaviours.open[0].path: unknown escape `\qli`: write",
        ),
        (
            "path: /srv/new",
            "path: 12 #",
            "84:11: behaviours.open[0].path: invalid type: integer `12`, expected a path in",
        ),
        (
            "port: 443",
            "port: 65536",
            "103:11: behaviours.connect[0].port: invalid value: integer `65536`, expected u16",
        ),
        (
            "count: 12",
            "count: -1",
            "107:14: behaviours.connect[0].evidence.count: invalid type: integer `-1`, expected u64",
        ),
        (
            "count: 12",
            "cuont: 12",
            "107:7: behaviours.connect[0].evidence: unknown field `cuont`, expected one of",
        ),
        (
            "2026-11-21T09:29:58Z",
            "yesterday",
            "18:14: containers[0].firstSeen: `yesterday` is no RFC 3339 time",
        ),
        (
            "image:",
            "image: [",
            "3:1: documents are written with one key or item a line",
        ),
        (
            "image:",
            "image: []\nx:",
            "3:8: image: invalid type: sequence, expected struct Image",
        ),
    ];
    for (from, to, expected) in cases {
        let message = broken(from, to);
        assert!(message.starts_with(&format!("the baseline:{expected}")), "{message}");
    }
}

#[test]
fn what_is_no_document_is_refused() {
    for text in [
        "",
        "---",
        "[]",
        "a",
        "a: b",
        "\u{0}",
        "---\na: 1\n---\nb: 2\n",
        "\t",
        "&a [*a]",
    ] {
        assert!(
            matches!(from_yaml(text), Err(DocumentError::Invalid { .. })),
            "{text:?}"
        );
    }
}

#[test]
fn every_field_is_named_once() {
    // A second value for a field must not silently win.
    let text = include_str!("example.yaml").replace("revision: 17", "revision: 17\n  revision: 18");
    assert!(
        from_yaml(&text)
            .unwrap_err()
            .to_string()
            .contains("duplicate field `revision`")
    );
}

#[test]
fn aliases_and_nesting_cannot_blow_up() {
    let level = |level: u32| {
        let aliases = vec![format!("*a{}", level.saturating_sub(1)); 9].join(", ");
        format!("a{level}: &a{level} [{aliases}]\n")
    };
    let bomb: String = (0..40).map(level).collect();
    let in_a_field = include_str!("example.yaml").replace("notLearned: {}", &format!("notLearned: {{}}\n{bomb}"));
    for text in [
        bomb,
        in_a_field,
        "[".repeat(100_000),
        "- ".repeat(100_000),
        "{a: ".repeat(100_000),
    ] {
        assert!(matches!(from_yaml(&text), Err(DocumentError::Invalid { .. })));
    }
}

#[test]
fn files_are_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yaml");
    assert!(matches!(read(&file), Err(DocumentError::File { .. })));
    std::fs::write(&file, include_str!("example.yaml")).unwrap();
    assert_eq!(read(&file).unwrap(), example());
    std::fs::write(&file, "kind: x").unwrap();
    assert!(
        read(&file)
            .unwrap_err()
            .to_string()
            .starts_with(&format!("{}:1:7: kind: ", file.display()))
    );
    std::fs::write(&file, b"kind: \xff").unwrap();
    assert_eq!(
        read(&file).unwrap_err().to_string(),
        format!("{}: it is no text in UTF-8 (byte 6)", file.display())
    );
    // A sparse file: large, and costs nothing.
    std::fs::File::create(&file).unwrap().set_len(SIZE_MAX + 1).unwrap();
    assert!(matches!(read(&file), Err(DocumentError::TooLarge { .. })));
}
