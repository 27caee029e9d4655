//! What a policy says about behaviour that it cannot simply list.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

use baselines::document::Baseline;
use generator::Error;
use generator::policy::{self, Compiled, Input, Tetragon};
use generator::yaml;

const EVIDENCE: &str = "evidence: {count: 1, units: 1, containers: 1, nodes: 1, firstSeen: '2026-11-21T09:00:00Z', \
    lastSeen: '2026-11-21T09:00:00Z', phases: [startup], provenance: [workload]}";

/// Compiles a baseline of `repository` with these behaviours, each the inner part of a flow mapping.
fn compile(repository: &str, exec: &[&str], open: &[&str], connect: &[&str]) -> Result<Compiled, Error> {
    let list = |subject: &str, items: &[&str]| -> String {
        let items: Vec<String> = items
            .iter()
            .map(|it| format!("{{{it}, {subject}: /bin/sh, {EVIDENCE}}}"))
            .collect();
        items.join(", ")
    };
    let text = format!(
        "apiVersion: wardline.dev/v1\nkind: Baseline\nimage: {{repository: {repository}, tag: '1'}}\nrecordings: []\n\
         containers: []\nlosses: []\nnotLearned: {{}}\nbehaviours:\n  exec: [{}]\n  open: [{}]\n  connect: [{}]\n",
        list("parent", exec),
        list("subject", open),
        list("subject", connect),
    );
    let baseline: Baseline = yaml::parse(&text).unwrap();
    policy::compile(&Input::new(baseline, text.as_bytes()), Tetragon::V1_6)
}

const GUARD: &str = "args: [1]";

#[test]
fn executions_are_guarded_unless_the_image_itself_executes_files_without_a_name() {
    let named = "binary: /bin/a";
    let cases: [(&[&str], bool, bool); 5] = [
        (&[named], true, false),
        (&[named, "binary: {path: 'memfd:x', origin: memfd}"], false, true),
        (&[named, "binary: {path: '/x (deleted)', origin: deleted}"], false, true),
        (
            &[
                named,
                "binary: /bin/sh, script: {path: '/x (deleted)', origin: deleted}",
            ],
            false,
            true,
        ),
        (
            &[named, "binary: /bin/sh, script: {path: ./x, origin: as_called}"],
            true,
            true,
        ),
    ];
    for (exec, guarded, warned) in cases {
        let policy = compile("shop/web", exec, &[], &[]).unwrap();
        assert_eq!(policy.yaml.contains(GUARD), guarded, "{exec:?}");
        assert_eq!(policy.yaml.contains("NO GUARD"), !guarded, "{exec:?}");
        assert_eq!(!policy.warnings.is_empty(), warned, "{exec:?}");
    }
}

#[test]
fn a_hook_without_values_is_left_out_and_says_why() {
    let memfd = "binary: {path: 'memfd:x', origin: memfd}";
    let cases: [(&[&str], &[&str], &str, usize); 4] = [
        (
            &[],
            &[],
            "No hook for security_bprm_check: no execution was learned.",
            0,
        ),
        (&[], &[], "No hook for security_file_open: no open was learned.", 0),
        (
            &[memfd],
            &[],
            "No hook for security_bprm_check: no learned execution can be in a policy.",
            2,
        ),
        (
            &[],
            &["path: /, access: read"],
            "No hook for security_file_open: no learned open can be in a policy.",
            1,
        ),
    ];
    for (exec, open, comment, warnings) in cases {
        let policy = compile("shop/web", exec, open, &[]).unwrap();
        assert!(policy.yaml.contains(comment), "{}", policy.yaml);
        assert_eq!(policy.warnings.len(), warnings, "{:?}", policy.warnings);
    }
}

#[test]
fn connections_are_exact_pairs_as_long_as_they_fit() {
    let pair = |n: usize| format!("address: 10.0.0.{n}, port: {n}, protocol: tcp");
    for (pairs, exact) in [(4, true), (5, false)] {
        let connect: Vec<String> = (1..=pairs).map(pair).collect();
        let connect: Vec<&str> = connect.iter().map(String::as_str).collect();
        let policy = compile("shop/web", &[], &[], &connect).unwrap();
        assert_eq!(policy.yaml.contains("NoPost"), exact);
        assert_eq!(policy.yaml.contains("NotSAddr"), !exact);
        assert_eq!(
            policy.yaml.contains("What this gives up: each of the 5 addresses"),
            !exact
        );
    }
}

#[test]
fn long_paths_need_a_newer_kernel_and_too_long_ones_are_left_out() {
    const NOTE: &str = "kernel 5.11 and later only";
    for (bytes, noted, warned) in [
        (510, false, false),
        (511, true, false),
        (4096, true, false),
        (4097, false, true),
    ] {
        let open = format!("path: /{}, access: read", "x".repeat(bytes - 1));
        let policy = compile("shop/web", &[], &["path: /a, access: read", &open], &[]).unwrap();
        assert_eq!(policy.yaml.contains(NOTE), noted, "{bytes}");
        assert_eq!(!policy.warnings.is_empty(), warned, "{bytes}");
    }
}

#[test]
fn host_workloads_apply_to_the_node_and_containers_to_their_repository() {
    let host = compile("host/nginx.service", &[], &[], &[]).unwrap();
    assert!(
        host.yaml.contains("wardline.dev/scope: \"node\"") && !host.yaml.contains("Selector"),
        "{}",
        host.yaml
    );
    assert!(
        host.warnings[0].contains("every process of the node"),
        "{:?}",
        host.warnings
    );
    let image = compile("shop/web", &[], &[], &[]).unwrap();
    assert!(
        image.yaml.contains("  podSelector: {}\n  containerSelector:\n"),
        "{}",
        image.yaml
    );
    assert!(image.yaml.contains("wardline.dev/tetragon: \"1.6\""), "{}", image.yaml);
}

#[test]
fn a_policy_that_selects_nothing_says_so() {
    let says = "the image's name is unknown: this policy's selector matches no container; name the image";
    for (repository, unknown) in [
        ("unresolved/docker/0123456789ab", true),
        ("unresolved/kubernetes/0123456789ab", true),
        ("shop/unresolved/web", false),
    ] {
        let policy = compile(repository, &["binary: /bin/a"], &[], &[]).unwrap();
        let warned = policy.warnings.iter().any(|warning| warning.starts_with(says));
        let first = policy
            .yaml
            .lines()
            .position(|line| line.starts_with("# WARNING: the image's name is unknown"));
        assert_eq!((warned, first.is_some()), (unknown, unknown), "{}", policy.yaml);
        assert_eq!(
            policy.yaml.contains("# Applies to containers"),
            !unknown,
            "{}",
            policy.yaml
        );
    }
}

#[test]
fn what_the_runtime_does_is_warned_about_and_what_visitors_do_is_not() {
    for (provenance, warned) in [("[entered, runtime]", true), ("[runtime]", true), ("[entered]", false)] {
        let evidence = EVIDENCE.replace("[workload]", provenance);
        let open = format!("{{path: /proc/self/cgroup, access: read, subject: /usr/bin/runc, {evidence}}}");
        let text = format!(
            "{{apiVersion: wardline.dev/v1, kind: Baseline, image: {{repository: shop/web}}, recordings: [], containers: [], \
             losses: [], behaviours: {{}}, notLearned: {{open: [{open}]}}}}"
        );
        let input = Input::new(yaml::parse(&text).unwrap(), text.as_bytes());
        let policy = policy::compile(&input, Tetragon::V1_7).unwrap();
        let says = "1 behaviour of the container runtime, seen and not learned, will be reported at each start";
        let is_said = policy.warnings.iter().any(|warning| warning.starts_with(says));
        assert_eq!(is_said, warned, "{:?}", policy.warnings);
        assert_eq!(
            policy.yaml.contains("# WARNING: 1 behaviour of the"),
            warned,
            "{}",
            policy.yaml
        );
    }
}

#[test]
fn losses_are_warned_about_if_the_policy_can_lack_something() {
    for (losses, warned) in [
        ("", None),
        (
            "{reason: batch_cut, count: 1}, {reason: arguments_unread, count: 2}",
            None,
        ),
        (
            "{reason: batch_cut, count: 1}, {reason: raced, count: 3}",
            Some("the baseline is lossy (3 raced): "),
        ),
    ] {
        let text = format!(
            "{{apiVersion: wardline.dev/v1, kind: Baseline, image: {{repository: shop/web}}, recordings: [], containers: [], \
             losses: [{losses}], behaviours: {{}}, notLearned: {{}}}}"
        );
        let input = Input::new(yaml::parse(&text).unwrap(), text.as_bytes());
        let policy = policy::compile(&input, Tetragon::V1_7).unwrap();
        let lossy = policy.warnings.iter().find(|warning| warning.contains("lossy"));
        match warned {
            Some(warned) => assert!(lossy.unwrap().starts_with(warned), "{lossy:?}"),
            None => assert_eq!((lossy, policy.yaml.contains("lossy")), (None, false)),
        }
    }
}

#[test]
fn what_no_hook_is_asked_about_is_in_no_warning() {
    let evidence = EVIDENCE.replace("[workload]", "[runtime]");
    let mapping = format!("{{path: /usr/bin/runc, access: map, subject: /usr/bin/runc, {evidence}}}");
    let socket = format!("{{path: /run/log.sock, subject: /usr/bin/runc, {evidence}}}");
    let text = format!(
        "{{apiVersion: wardline.dev/v1, kind: Baseline, image: {{repository: shop/web}}, recordings: [], containers: [], \
         losses: [], behaviours: {{}}, notLearned: {{open: [{mapping}], connectUnix: [{socket}]}}}}"
    );
    let input = Input::new(yaml::parse(&text).unwrap(), text.as_bytes());
    let policy = policy::compile(&input, Tetragon::V1_7).unwrap();
    assert!(!policy.yaml.contains("not learned"), "{}", policy.yaml);
    assert!(!policy.yaml.contains("not enforced"), "{}", policy.yaml);
}

#[test]
fn an_image_that_nothing_can_be_selected_by_is_an_error() {
    for repository in ["''", r#""\x85""#, r#""\0""#] {
        assert!(
            matches!(compile(repository, &[], &[], &[]), Err(Error::NoRepository { .. })),
            "{repository}"
        );
    }
    compile(r#""host/odd\x85""#, &[], &[], &[]).unwrap();
}

#[test]
fn the_header_says_what_the_backend_does_not_see() {
    let cases = [
        ("", "does not say with which backend", false),
        ("tracepoint", "Recorded with the backend tracepoint.", true),
        ("other", "Recorded with the backend other.", false),
        ("tracepoint, other, 'x: \\x0a'", "tracepoint", true),
    ];
    for (backends, says, fifo) in cases {
        let text = format!(
            "{{apiVersion: wardline.dev/v1, kind: Baseline, image: {{repository: shop/web}}, recordings: [{{recording: \
             '{:032x}', revision: 1, node: n, backends: [{backends}]}}], containers: [], losses: [], behaviours: {{}}, \
             notLearned: {{}}}}",
            1
        );
        let input = Input::new(yaml::parse(&text).unwrap(), text.as_bytes());
        let policy = policy::compile(&input, Tetragon::V1_7).unwrap();
        let header: Vec<&str> = policy.yaml.lines().map_while(|line| line.strip_prefix("# ")).collect();
        let header = header.join(" ");
        assert!(header.contains(says), "{header}");
        assert_eq!(header.contains("a FIFO that nobody reads"), fifo, "{header}");
    }
}

#[test]
fn many_recordings_are_named_by_their_hash() {
    for (count, listed) in [(2, true), (1000, false)] {
        let recordings: Vec<String> = (0..count)
            .map(|n| format!("{{recording: '{n:032x}', revision: 1, node: n}}"))
            .collect();
        let text = format!(
            "{{apiVersion: wardline.dev/v1, kind: Baseline, image: {{repository: shop/web}}, recordings: [{}], \
             containers: [], losses: [], behaviours: {{}}, notLearned: {{}}}}",
            recordings.join(", ")
        );
        let input = Input::new(yaml::parse(&text).unwrap(), text.as_bytes());
        let policy = policy::compile(&input, Tetragon::V1_7).unwrap();
        let line = policy
            .yaml
            .lines()
            .find(|line| line.contains("wardline.dev/recordings: "))
            .unwrap();
        assert_eq!(line.contains("00000000000000000000000000000000@1,"), listed, "{line}");
        assert_eq!(line.contains("1000 recordings, sha256:"), !listed, "{line}");
    }
}
