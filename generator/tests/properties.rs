//! What holds for every baseline, however hostile its names are.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;

use baselines::behaviour::{Access, Arguments, Phase, Protocol, Provenance};
use baselines::document::{self, Baseline, Connect, ConnectUnix, Evidence, Exec, Open};
use baselines::path::{FilePath, Origin};
use baselines::risks::Catalogue;
use baselines::time::UtcTime;
use common::page::Page;
use generator::policy::{self, Compiled, Input, Tetragon};
use generator::report::{self, DecisionsRead, Image};
use generator::risks::Risks;
use generator::yaml;
use proptest::prelude::*;
use serde_yaml::Value;

/// Pieces of names that mean something to YAML, to HTML, to terminals, to Tetragon's agent or to the kernel's paths.
const PIECES: [&[u8]; 45] = [
    b"/",
    b"a",
    b" ",
    b"\n",
    b"\r\n",
    b"\t",
    b": ",
    b"- ",
    b"#",
    b" # ",
    b"'",
    b"\"",
    b"\\",
    b"\\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"&a",
    b"*a",
    b"!!str",
    b"|",
    b">",
    b"%",
    b"@",
    b"`",
    b"---",
    b"...",
    b"\0",
    b"\x1b[31m",
    b"\x7f",
    b"\xff",
    b"\xc2\x85",
    b"\xe2\x80\xa8",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"\xef\xbf\xbe",
    b"\xc3\xa9",
    b"\xf0\x9f\xa6\x80",
    b" (deleted)",
    b"<script>alert(1)</script>",
    b"\" onload=\"x",
    b"]]>",
    b"-->",
    b"&lt;",
];

fn name() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(&PIECES[..]).prop_map(<[u8]>::to_vec),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    let tail = proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    (proptest::bool::weighted(0.8), tail).prop_map(|(absolute, tail)| {
        let root: &[u8] = if absolute { b"/" } else { b"" };
        [root, &tail].concat()
    })
}

fn path() -> impl Strategy<Value = FilePath> {
    let origin = prop_oneof![6 => Just(Origin::Canonical), 1 => proptest::sample::select(&Origin::ALL[..])];
    (name(), origin).prop_map(|(name, origin)| FilePath::new(name, origin))
}

fn text() -> impl Strategy<Value = String> {
    name().prop_map(|name| String::from_utf8_lossy(&name).into_owned())
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (
        any::<u64>(),
        any::<u64>(),
        proptest::collection::vec(proptest::sample::select(vec![Phase::Startup, Phase::Steady]), 0..3),
    )
        .prop_map(|(count, containers, phases)| Evidence {
            count,
            units: 1,
            containers,
            nodes: 1,
            days: None,
            rate: None,
            first_seen: UtcTime::default(),
            last_seen: UtcTime::default(),
            phases,
            provenance: vec![Provenance::Workload],
        })
}

fn exec() -> impl Strategy<Value = Exec> {
    let arguments = proptest::option::of((name(), any::<bool>()).prop_map(|(name, cut)| Arguments::new(&name, cut)));
    (path(), proptest::option::of(path()), arguments, path(), evidence()).prop_map(
        |(binary, script, arguments, parent, evidence)| Exec {
            binary,
            script,
            arguments,
            parent,
            evidence,
        },
    )
}

fn open() -> impl Strategy<Value = Open> {
    let access = prop_oneof![3 => Just(Access::READ), 1 => Just(Access::MAP)];
    (path(), access, proptest::option::of(path()), path(), evidence()).prop_map(
        |(path, access, backing, subject, evidence)| Open {
            path,
            access,
            backing,
            subject,
            evidence,
        },
    )
}

fn connect_unix() -> impl Strategy<Value = ConnectUnix> {
    (path(), path(), evidence()).prop_map(|(path, subject, evidence)| ConnectUnix {
        path,
        subject,
        evidence,
    })
}

fn connect() -> impl Strategy<Value = Connect> {
    let address = prop_oneof![
        3 => (0..4_u8).prop_map(|host| IpAddr::from([10, 0, 0, host])),
        1 => (0..4_u8).prop_map(|host| IpAddr::V6(std::net::Ipv4Addr::from([10, 0, 0, host]).to_ipv6_mapped())),
        1 => any::<IpAddr>(),
    ];
    let port = prop_oneof![3 => 0..3_u16, 1 => any::<u16>()];
    (address, port, any::<u8>(), path(), evidence()).prop_map(|(address, port, protocol, subject, evidence)| Connect {
        address,
        port,
        protocol: Protocol::from_number(protocol),
        subject,
        peers: vec![],
        evidence,
    })
}

prop_compose! {
    fn baseline()(
        repository in text().prop_filter("something that can be selected", |it| !it.is_empty() && yaml::agent_reads(it)),
        host in any::<bool>(),
        tag in proptest::option::of(text()),
        digest in proptest::option::of(text()),
        uncounted_losses in proptest::collection::vec(text(), 0..2),
        exec in proptest::collection::vec(exec(), 0..6),
        open in proptest::collection::vec(open(), 0..10),
        connect in proptest::collection::vec(connect(), 0..8),
        connect_unix in proptest::collection::vec(connect_unix(), 0..3),
    ) -> Baseline {
        let mut baseline: Baseline = yaml::parse("
            {apiVersion: wardline.dev/v1, kind: Baseline, image: {repository: x}, recordings: [], containers: [], losses: [],
             behaviours: {}, notLearned: {}}").unwrap();
        baseline.image.repository = if host { format!("host/{repository}") } else { repository };
        (baseline.image.tag, baseline.image.digest) = (tag, digest);
        baseline.uncounted_losses = uncounted_losses;
        baseline.behaviours = document::Behaviours { exec, open, connect, connect_unix, ..Default::default() };
        baseline
    }
}

fn compile(baseline: &Baseline) -> Compiled {
    policy::compile(&Input::new(baseline.clone(), b"document"), Tetragon::V1_7).unwrap()
}

/// The values of every filter with this operator on this function.
fn values(policy: &Value, call: &str, operator: &str) -> Option<BTreeSet<String>> {
    let hook = policy["spec"]["kprobes"]
        .as_sequence()
        .unwrap()
        .iter()
        .find(|hook| hook["call"] == call)?;
    let selectors = hook["selectors"].as_sequence().unwrap().iter();
    let filters = selectors.flat_map(|selector| selector["matchArgs"].as_sequence().unwrap());
    let lists = filters.filter(|filter| filter["operator"] == operator);
    Some(
        lists
            .flat_map(|it| it["values"].as_sequence().unwrap())
            .map(|it| it.as_str().unwrap().to_owned())
            .collect(),
    )
}

/// What a policy can compare, said once more in the plainest way.
fn comparable(path: &FilePath) -> Option<String> {
    let text = String::from_utf8(path.as_bytes().to_vec()).ok()?;
    let has_path = matches!(path.origin(), Origin::Canonical | Origin::Deleted);
    (has_path && text.starts_with('/') && text != "/" && yaml::agent_reads(&text)).then_some(text)
}

/// Every key of every mapping, with its path.
fn keys(value: &Value, place: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping {
                let place = format!("{place}.{}", key.as_str().unwrap());
                keys(value, &place, found);
                found.insert(place);
            }
        }
        Value::Sequence(values) => values.iter().for_each(|value| keys(value, place, found)),
        _ => (),
    }
}

/// Every key that a policy may have.
const KEYS: [&str; 39] = [
    ".apiVersion",
    ".kind",
    ".metadata",
    ".metadata.annotations",
    ".metadata.annotations.wardline.dev/baseline",
    ".metadata.annotations.wardline.dev/generator",
    ".metadata.annotations.wardline.dev/image",
    ".metadata.annotations.wardline.dev/recordings",
    ".metadata.annotations.wardline.dev/scope",
    ".metadata.annotations.wardline.dev/tetragon",
    ".metadata.name",
    ".spec",
    ".spec.containerSelector",
    ".spec.containerSelector.matchExpressions",
    ".spec.containerSelector.matchExpressions.key",
    ".spec.containerSelector.matchExpressions.operator",
    ".spec.containerSelector.matchExpressions.values",
    ".spec.kprobes",
    ".spec.kprobes.args",
    ".spec.kprobes.args.index",
    ".spec.kprobes.args.resolve",
    ".spec.kprobes.args.type",
    ".spec.kprobes.call",
    ".spec.kprobes.message",
    ".spec.kprobes.selectors",
    ".spec.kprobes.selectors.matchActions",
    ".spec.kprobes.selectors.matchActions.action",
    ".spec.kprobes.selectors.matchActions.argError",
    ".spec.kprobes.selectors.matchArgs",
    ".spec.kprobes.selectors.matchArgs.args",
    ".spec.kprobes.selectors.matchArgs.index",
    ".spec.kprobes.selectors.matchArgs.operator",
    ".spec.kprobes.selectors.matchArgs.values",
    ".spec.kprobes.syscall",
    ".spec.kprobes.tags",
    ".spec.options",
    ".spec.options.name",
    ".spec.options.value",
    ".spec.podSelector",
];

proptest! {
    #[test]
    fn the_document_holds_exactly_what_was_learned(baseline in baseline()) {
        let policy: Value = yaml::parse(&compile(&baseline).yaml).unwrap();
        let behaviours = &baseline.behaviours;
        let executed: BTreeSet<String> = behaviours.exec.iter()
            .flat_map(|exec| [Some(&exec.binary), exec.script.as_ref()]).flatten().filter_map(comparable).collect();
        let opened: BTreeSet<String> = behaviours.open.iter().filter(|open| open.access != Access::MAP)
            .flat_map(|open| [Some(&open.path), open.backing.as_ref()]).flatten().filter_map(comparable)
            .chain(executed.iter().cloned()).collect();
        let some = |set: BTreeSet<String>| (!set.is_empty()).then_some(set);
        prop_assert_eq!(values(&policy, "security_bprm_check", "NotEqual"), some(executed));
        prop_assert_eq!(values(&policy, "security_file_open", "NotEqual"), some(opened));

        let addresses: BTreeSet<String> = behaviours.connect.iter().map(|it| it.address.to_canonical()).flat_map(|it| {
            let mapped = match it { IpAddr::V4(v4) => Some(v4.to_ipv6_mapped().to_string()), IpAddr::V6(_) => None };
            [Some(it.to_string()), mapped]
        }).flatten().collect();
        let ports: BTreeSet<String> = behaviours.connect.iter().map(|it| it.port.to_string()).collect();
        let union = |operators: [&str; 2]| -> BTreeSet<String> {
            operators.iter().flat_map(|it| values(&policy, "security_socket_connect", it).unwrap()).collect()
        };
        prop_assert_eq!(union(["SAddr", "NotSAddr"]), addresses);
        prop_assert_eq!(union(["SPort", "NotSPort"]), ports);
        prop_assert_eq!(union(["Family", "Family"]), BTreeSet::from(["AF_INET".to_owned(), "AF_INET6".to_owned()]));
    }

    #[test]
    fn no_name_becomes_a_key(baseline in baseline()) {
        let mut found = BTreeSet::new();
        keys(&yaml::parse(&compile(&baseline).yaml).unwrap(), "", &mut found);
        let unknown: Vec<&String> = found.iter().filter(|key| !KEYS.contains(&key.as_str())).collect();
        prop_assert!(unknown.is_empty(), "{:?}", unknown);
    }

    #[test]
    fn no_line_hides_anything(baseline in baseline()) {
        let compiled = compile(&baseline);
        for line in compiled.yaml.split('\n').chain(compiled.warnings.iter().map(String::as_str)) {
            prop_assert_eq!(yaml::comment(line), line);
        }
    }

    #[test]
    fn evidence_changes_comments_and_nothing_else(baseline in baseline(), evidence in evidence(), subject in path()) {
        let mut other = baseline.clone();
        other.uncounted_losses.clear();
        other.behaviours.exec.iter_mut().for_each(|it| (it.evidence, it.parent) = (evidence.clone(), subject.clone()));
        other.behaviours.open.iter_mut().for_each(|it| (it.evidence, it.subject) = (evidence.clone(), subject.clone()));
        other.behaviours.connect.iter_mut().for_each(|it| (it.evidence, it.subject) = (evidence.clone(), subject.clone()));
        let [left, right] = [&baseline, &other].map(|it| yaml::parse::<Value>(&compile(it).yaml).unwrap());
        prop_assert_eq!(left, right);
    }

    #[test]
    fn the_order_of_behaviours_changes_nothing(baseline in baseline()) {
        let mut reversed = baseline.clone();
        reversed.behaviours.exec.reverse();
        reversed.behaviours.open.reverse();
        reversed.behaviours.connect.reverse();
        prop_assert_eq!(compile(&baseline), compile(&reversed));
    }

    #[test]
    fn a_document_gives_the_policy_of_its_baseline(baseline in baseline()) {
        let text = document::to_yaml(&baseline);
        let again = document::from_yaml(&text).unwrap();
        prop_assert_eq!(compile(&baseline), compile(&again));
    }
}

proptest! {
    // A page is larger than a policy.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_name_becomes_markup(baseline in baseline()) {
        let catalogue = Catalogue::shipped();
        let risks = Risks::of(&baseline, &catalogue, None);
        let image = Image { baseline: &baseline, risks: &risks };
        let html = report::html(&[image], &catalogue, DecisionsRead::Yes, UtcTime::default()).unwrap();
        Page::read(&html);
    }
}
