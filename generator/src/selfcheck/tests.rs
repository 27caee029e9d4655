//! Each limit broken on purpose, and the evaluator against the table of facts 3.2.

use super::*;
use crate::policy::{self, Input, Tetragon};

const BASELINE: &str = r#"
apiVersion: wardline.dev/v1
kind: Baseline
image: {repository: shop/web, tag: "1.4"}
recordings: []
containers: []
losses: []
behaviours:
  exec:
  - {binary: /usr/bin/dash, script: /app/run.sh, parent: /usr/bin/runc, evidence: &seen {count: 1, units: 1, containers: 1,
     nodes: 1, firstSeen: "2026-11-21T09:00:00Z", lastSeen: "2026-11-21T09:00:00Z", phases: [startup], provenance: [workload]}}
  open:
  - {path: /etc/hosts, access: read, subject: /usr/bin/dash, evidence: *seen}
  connect:
  - {address: 10.0.0.1, port: 53, protocol: udp, subject: /usr/bin/dash, evidence: *seen}
notLearned: {}
"#;

fn baseline() -> Baseline {
    yaml::parse(BASELINE).unwrap()
}

fn policy() -> String {
    policy::compile(&Input::new(baseline(), b""), Tetragon::V1_7)
        .unwrap()
        .yaml
}

fn verdict(policy: &str) -> Result<(), SelfCheckError> {
    check(policy, &baseline(), &BTreeSet::new(), &BTreeMap::new())
}

/// `policy` with the first occurrence of `from` replaced, which must be there.
fn edited(policy: &str, from: &str, to: &str) -> String {
    assert!(policy.contains(from), "{from} is not in\n{policy}");
    policy.replacen(from, to, 1)
}

#[test]
fn what_the_compiler_writes_passes() {
    verdict(&policy()).unwrap();
}

#[test]
fn every_limit_is_found_when_broken() {
    let cases = [
        (
            "apiVersion: cilium.io/v1alpha1",
            "apiVersion: cilium.io/v1".to_owned(),
            "apiVersion",
        ),
        (
            "kind: TracingPolicy",
            "kind: TracingPolicyNamespaced".to_owned(),
            "kind",
        ),
        ("name: \"shop-web", "name: \"Shop-web".to_owned(), "DNS-1123"),
        ("name: \"shop-web", format!("name: \"{}", "x".repeat(60)), "DNS-1123"),
        (
            "wardline.dev/image: \"",
            format!("wardline.dev/image: \"{}", "x".repeat(300_000)),
            "metadata.annotations",
        ),
        (
            "policy-mode\n    value: \"monitor\"",
            "policy-mode\n    value: \"enforce\"".to_owned(),
            "spec.options",
        ),
        ("disable-kprobe-multi", "disable-kprobemulti".to_owned(), "spec.options"),
        ("  podSelector: {}\n", String::new(), "go together"),
        (
            "wardline.dev/scope: \"image\"",
            "wardline.dev/scope: \"node\"".to_owned(),
            "containerSelector",
        ),
        ("      - \"shop/web\"", "      - \"\"".to_owned(), "containerSelector"),
        (
            "- call: security_file_open",
            "- call: security_bprm_check".to_owned(),
            "twice",
        ),
        ("syscall: false", "syscall: true".to_owned(), "syscall"),
        ("exec outside baseline", "x".repeat(257), "message"),
        ("\"baseline.exec\"", "\"x\"".to_owned(), "tags"),
        ("\"baseline.exec\"", format!("\"{}\"", "x".repeat(129)), "tags"),
        ("- \"/app/run.sh\"", "- \"\"".to_owned(), "is empty"),
        ("- \"/app/run.sh\"", "- \"/a\\0\"".to_owned(), "unreadable"),
        ("- \"/app/run.sh\"", "- \"/a\\x85\"".to_owned(), "unreadable"),
        (
            "wardline.dev/image: \"",
            "wardline.dev/image: \"\\x7f".to_owned(),
            "unreadable",
        ),
        ("- \"/app/run.sh\"", format!("- \"/{}\"", "x".repeat(4096)), "4096"),
        (
            "- \"0\"",
            ["- '0'", "- '1'", "- '2'", "- '3'", "- '4'"].join("\n        "),
            "integers",
        ),
        ("argError: -1", "argError: 1".to_owned(), "errno"),
        ("action: Override", "action: NoPost".to_owned(), "errno"),
        (
            "operator: NotEqual",
            "operator: Equal".to_owned(),
            "not what this program writes",
        ),
        ("args: [0]", "args: [2]".to_owned(), "no declared argument"),
    ];
    for (from, to, expected) in cases {
        let error = verdict(&edited(&policy(), from, &to)).unwrap_err();
        assert!(
            matches!(&error, SelfCheckError::Limit(problem) if problem.contains(expected)),
            "{from}: {error}"
        );
    }
}

#[test]
fn every_count_is_found_when_out_of_bounds() {
    let filter = "{args: [0], operator: NotEqual, values: [/a]}";
    let selector = |filters: usize| {
        format!(
            "{{matchArgs: [{}], matchActions: [{{action: NoPost}}]}}",
            vec![filter; filters].join(", ")
        )
    };
    let empty_list = selector(1).replace("[/a]", "[]");
    let no_action = selector(1).replace("{action: NoPost}", "");
    let four_actions = selector(1).replace("{action: NoPost}", &["{action: NoPost}"; 4].join(", "));
    let cases = [
        (vec![], "0 selectors"),
        (vec![selector(1); 6], "6 selectors"),
        (vec![selector(0)], "0 filters"),
        (vec![selector(6)], "6 filters"),
        (vec![empty_list], "empty list"),
        (vec![no_action], "0 actions"),
        (vec![four_actions], "4 actions"),
        (vec![selector(3); 3], "9 inner maps"),
    ];
    for (selectors, expected) in cases {
        let selectors: Vec<&str> = selectors.iter().map(String::as_str).collect();
        let error = verdict(&with_selectors(&selectors)).unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
    verdict(&with_selectors(&[selector(4).as_str(); 2])).unwrap();
}

/// The compiled policy's first hook, with other selectors.
fn with_selectors(selectors: &[&str]) -> String {
    let policy = policy();
    let (head, _) = policy.split_once("    selectors:").unwrap();
    format!("{head}    selectors: [{}]\n", selectors.join(", "))
}

/// A baseline with a template for logs, and one for process ids.
fn templated() -> Baseline {
    let opens = ["/srv/app/1.log", "/srv/app/2.log", "/proc/11/status", "/proc/12/status"];
    let opens =
        opens.map(|path| format!("  - {{path: {path}, access: read, subject: /usr/bin/dash, evidence: *seen}}\n"));
    let templates = "templates:\n\
        - {template: '/srv/app/{number}.log', covers: 2, alsoAdmits: 0, operator: Prefix, value: /srv/app/, policyAlsoAdmits: 0}\n\
        - {template: '/proc/{pid}/status', covers: 2, alsoAdmits: 0, operator: Postfix, value: /status, policyAlsoAdmits: 0}\n\
        notLearned:\n  open:\n\
        \x20 - {path: /opt/x/token, access: read, subject: /usr/bin/dash, evidence: *seen}\n";
    let text = BASELINE
        .replace("  open:\n", &format!("  open:\n{}", opens.concat()))
        .replace("notLearned: {}", templates);
    yaml::parse(&text).unwrap()
}

#[test]
fn a_prefix_or_postfix_that_breaks_a_limit_or_admits_too_much_is_found() {
    let baseline = templated();
    let policy = policy::compile(&Input::new(baseline.clone(), b""), Tetragon::V1_7)
        .unwrap()
        .yaml;
    let forbidden = BTreeMap::from([
        (FilePath::canonical(*b"/srv/denied"), Forbidden::Denied),
        (FilePath::canonical(*b"/etc/hosts"), Forbidden::Undecided),
    ]);
    let verdict = |policy: &str| check(policy, &baseline, &BTreeSet::new(), &forbidden);
    verdict(&policy).unwrap();
    let cases = [
        ("- \"/srv/app/\"", "- \"\"".to_owned(), "is empty"),
        ("- \"/srv/app/\"", format!("- \"/{}\"", "x".repeat(255)), "255 bytes"),
        (
            "operator: NotEqual",
            "operator: NotPrefix".to_owned(),
            "NotPrefix on LinuxBinprm is not what this program writes",
        ),
        (
            "operator: NotPrefix",
            "operator: NotPostfix".to_owned(),
            "opening /srv/app/1.log",
        ),
        (
            "- \"/srv/app/\"",
            "- \"/srv/app/1\"".to_owned(),
            "opening /srv/app/2.log",
        ),
        (
            "- \"/srv/app/\"",
            "- \"/srv/\"".to_owned(),
            "Prefix /srv/ admits /srv/denied",
        ),
        (
            "- \"/srv/app/\"",
            "- \"/srv/app/\"\n        - \"/var/spool/cron/\"".to_owned(),
            "Prefix /var/spool/cron/ admits paths like /var/spool/cron/**/*",
        ),
        (
            "- \"/srv/app/\"",
            "- \"/srv/app/\"\n        - \"/etc/h\"".to_owned(),
            "Prefix /etc/h admits /etc/hosts",
        ),
        (
            "- \"/srv/app/\"",
            "- \"/srv/app/\"\n        - \"/opt/x/\"".to_owned(),
            "Prefix /opt/x/ admits /opt/x/token",
        ),
        (
            "- \"/srv/app/\"",
            "- \"/srv/app/\"\n        - \"/app/\"".to_owned(),
            "Prefix /app/ admits /app/run.sh",
        ),
        // By its name.
        (
            "- \"/etc/hosts\"",
            "- \"/etc/hosts\"\n        - \"/srv/denied\"".to_owned(),
            "opening /srv/denied",
        ),
        (
            "- \"/app/run.sh\"",
            "- \"/app/run.sh\"\n        - \"/srv/denied\"".to_owned(),
            "executing /srv/denied",
        ),
    ];
    for (from, to, expected) in cases {
        let error = verdict(&edited(&policy, from, &to)).unwrap_err();
        assert!(error.to_string().contains(expected), "{to}: {error}");
    }
}

#[test]
fn unknown_fields_and_duplicates_are_refused() {
    for (from, to) in [
        ("syscall: false", "syscal: false"),
        ("syscall: false", "syscall: false\n    ignore: {callNotFound: true}"),
        ("- action: Override", "- action: Sigkill"),
        ("kind: TracingPolicy", "kind: TracingPolicy\nkind: TracingPolicy"),
        ("  podSelector: {}", "  podSelector: {matchLabels: {}}"),
    ] {
        let error = verdict(&edited(&policy(), from, to)).unwrap_err();
        assert!(matches!(error, SelfCheckError::Unreadable(_)), "{from}: {error}");
    }
}

#[test]
fn a_policy_that_reports_its_own_baseline_is_found() {
    for (from, to, reported) in [
        ("- \"/app/run.sh\"", "- \"/app/run\"", "executing /app/run.sh"),
        ("- \"/etc/hosts\"", "- \"/etc/host\"", "opening /etc/hosts"),
        ("- \"10.0.0.1\"", "- \"10.0.0.2\"", "connecting to 10.0.0.1:53"),
        ("- \"::ffff:10.0.0.1\"", "- \"::1\"", "connecting to ::ffff:10.0.0.1:53"),
        ("- \"53\"", "- \"54\"", "connecting to 10.0.0.1:53"),
        ("- \"0\"", "- \"1\"", "executing /app/run.sh"),
    ] {
        let error = verdict(&edited(&policy(), from, to)).unwrap_err();
        assert!(
            matches!(&error, SelfCheckError::Reports(what) if what.contains(reported)),
            "{from}: {error}"
        );
    }
}

/// Whether the hooks of the compiled policy report this.
fn reports(call: Call, path: Option<&FilePath>, peer: Option<&str>) -> bool {
    let document: Document = yaml::parse(&policy()).unwrap();
    let peer = peer
        .map(|text| text.parse::<std::net::SocketAddr>().unwrap())
        .map(|it| (it.ip(), it.port()));
    let event = Event { call, path, peer };
    document
        .spec
        .kprobes
        .iter()
        .any(|hook| hook.call == call && Hook::new(hook).unwrap().reports(&event))
}

#[test]
fn files_are_decided_as_on_a_real_agent() {
    let cases = [
        (Call::BprmCheck, FilePath::canonical(*b"/app/run.sh"), false),
        (Call::BprmCheck, FilePath::canonical(*b"/usr/bin/dash"), false),
        (Call::BprmCheck, FilePath::canonical(*b"/usr/bin/id"), true),
        (Call::BprmCheck, FilePath::new(*b"memfd:x", Origin::Memfd), true),
        (
            Call::BprmCheck,
            FilePath::new(*b"/srv/t/del (deleted)", Origin::Deleted),
            true,
        ),
        (Call::FileOpen, FilePath::canonical(*b"/etc/hosts"), false),
        (Call::FileOpen, FilePath::canonical(*b"/usr/bin/dash"), false),
        (Call::FileOpen, FilePath::canonical(*b"/app/run.sh"), false),
        (Call::FileOpen, FilePath::canonical(*b"/etc/shadow"), true),
        (Call::FileOpen, FilePath::canonical(*b"/etc/hosts\0"), true),
        (Call::FileOpen, FilePath::canonical(vec![b'/'; 5000]), true),
        (Call::FileOpen, FilePath::canonical(*b"/"), false),
        (Call::FileOpen, FilePath::new(*b"memfd:x", Origin::Memfd), false),
    ];
    for (call, path, expected) in cases {
        assert_eq!(reports(call, Some(&path), None), expected, "{call:?} {path:?}");
    }
}

#[test]
fn connections_are_decided_as_on_a_real_agent() {
    let cases = [
        ("10.0.0.1:53", false),
        ("[::ffff:10.0.0.1]:53", false),
        ("10.0.0.1:54", true),
        ("10.0.0.2:53", true),
        ("[::1]:53", true),
        ("[::ffff:10.0.0.2]:53", true),
    ];
    for (peer, expected) in cases {
        assert_eq!(reports(Call::SocketConnect, None, Some(peer)), expected, "{peer}");
    }
    // A socket of another family.
    assert!(!reports(Call::SocketConnect, None, None));
}

#[test]
fn encoded_sizes_are_those_that_the_agent_computes() {
    // What `InitKernelSelectorState` of Tetragon 1.6.1 and 1.7.0 wrote for these documents.
    let cases: [(&str, &[usize]); 3] = [
        (include_str!("../../tests/golden/web.policy.yaml"), &[212, 128, 400]),
        (include_str!("../../tests/golden/unit.policy.yaml"), &[88]),
        (include_str!("../../tests/golden/hostile.policy.yaml"), &[128, 128, 216]),
    ];
    for (text, expected) in cases {
        let document: Document = yaml::parse(text).unwrap();
        let sizes: Vec<usize> = document.spec.kprobes.iter().map(limits::encoded_bytes).collect();
        assert_eq!(sizes, expected, "{}", document.metadata.name);
    }
}

#[test]
fn selectors_beyond_what_the_programs_read_are_found() {
    // Every count is within its limit, the encoding is not: 4 + 5 * (7 + 7 + 5 * (4 + 4) + 2) words.
    let filters = ["{args: [1], operator: Equal, values: ['0', '1', '2', '3']}"; 5].join(", ");
    let selector = format!("{{matchArgs: [{filters}], matchActions: [{{action: Override, argError: -1}}]}}");
    let error = verdict(&with_selectors(&[selector.as_str(); 5])).unwrap_err();
    assert!(error.to_string().contains("1124 bytes, of 1024"), "{error}");
}
