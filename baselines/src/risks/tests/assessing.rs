use super::*;
use crate::path::Origin;
use crate::risks::{Flagged, Severity, Standing};

#[test]
fn a_plain_server_has_nothing_to_answer_for() {
    let learned = steady(&[
        exec("/usr/bin/runc", "/usr/sbin/nginx"),
        open("/usr/sbin/nginx", "/etc/nginx/nginx.conf", Access::READ),
        open("/usr/sbin/nginx", "/etc/passwd", Access::READ),
        open("/usr/sbin/nginx", "/etc/ssl/certs/ca-certificates.crt", Access::READ),
        open("/usr/sbin/nginx", "/usr/lib/x86_64-linux-gnu/libc.so.6", Access::MAP),
        open(
            "/usr/sbin/nginx",
            "/var/log/nginx/access.log",
            Access::WRITE | Access::CREATE,
        ),
        open(
            "/usr/sbin/nginx",
            "/tmp/client_body/0000001",
            Access::READ | Access::WRITE | Access::CREATE,
        ),
        open("/usr/sbin/nginx", "/proc/sys/kernel/ngroups_max", Access::READ),
        open("/usr/sbin/nginx", "/sys/devices/system/cpu/online", Access::READ),
        connect("/usr/sbin/nginx", "10.96.0.10", 8080),
        connect("/usr/sbin/nginx", "198.51.100.7", 443),
        listen("/usr/sbin/nginx", 80),
    ]);
    assert_eq!(assess(&learned), []);
}

#[test]
fn an_intrusion_is_seen_in_each_of_its_steps() {
    let learned = steady(&[
        listen("/usr/bin/java", 8080),
        exec("/usr/bin/java", "/usr/bin/bash"),
        exec("/usr/bin/bash", "/usr/bin/curl"),
        open("/usr/bin/curl", "/tmp/.x", Access::WRITE | Access::CREATE),
        exec("/usr/bin/bash", "/tmp/.x"),
        connect("/usr/bin/bash", "203.0.113.7", 4444),
        connect("/tmp/.x", "203.0.113.7", 3333),
        open(
            "/tmp/.x",
            "/var/spool/cron/crontabs/root",
            Access::WRITE | Access::CREATE,
        ),
    ]);
    let findings = assess(&learned);
    let expected = [
        ("download-tool", 1),
        ("drift-executed", 1),
        ("exec-from-temporary", 1),
        ("hidden-program", 1),
        ("miner-pool-port", 2),
        ("scheduled-task-written", 1),
        ("server-spawns-shell", 1),
        ("shell-connects-out", 1),
    ];
    let mut found = ids(&findings);
    // One finding each, and the two programs that use the port are two decisions.
    found.dedup_by_key(|(id, _)| *id);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (id, _) in expected {
        assert!(found.iter().any(|(found, _)| *found == id), "{id}: {found:?}");
    }
    assert_eq!(findings[0].severity, Severity::Critical, "the worst comes first");
    assert!(findings.iter().all(|it| it.standing == Standing::Quarantined));
}

#[test]
fn what_one_container_out_of_many_does_is_flagged_unless_it_is_severe() {
    let shell = exec("/usr/bin/java", "/usr/bin/bash");
    let shadow = open("/usr/bin/java", "/etc/shadow", Access::READ);
    let standings = |of: u64, containers: u64| {
        let evidence = || evidence(of, &[Phase::Steady], &[Provenance::Workload]);
        let learned = lists([(&shell, evidence()), (&shadow, evidence())]);
        let seen = Seen {
            learned: &learned,
            not_learned: &Behaviours::default(),
            containers,
        };
        let findings = Catalogue::shipped().assess(&seen);
        let standing = |id: &str| {
            let found = findings.iter().find(|finding| finding.key.entry().as_str() == id);
            found.unwrap().standing
        };
        (standing("shell-executed"), standing("password-hashes-read"))
    };
    let flagged = Standing::Flagged(Flagged::SingleContainer);
    assert_eq!(standings(1, 3), (flagged, Standing::Quarantined));
    for (of, containers) in [(1, 1), (1, 2), (2, 3), (3, 3)] {
        let expected = (Standing::Quarantined, Standing::Quarantined);
        assert_eq!(standings(of, containers), expected, "{of} of {containers}");
    }
}

#[test]
fn what_was_not_learned_is_listed_apart() {
    let entered = lists([(
        &exec("/usr/bin/runc", "/usr/bin/bash"),
        evidence(1, &[Phase::Steady], &[Provenance::Entered]),
    )]);
    let probe = lists([(
        &exec("/usr/bin/runc", "/usr/bin/dash"),
        evidence(1, &[Phase::Steady], &[Provenance::Kubelet]),
    )]);
    let seen = Seen {
        learned: &probe,
        not_learned: &entered,
        containers: 1,
    };
    let findings = Catalogue::shipped().assess(&seen);
    let standings: Vec<_> = findings.iter().map(|finding| finding.standing).collect();
    assert_eq!(standings, [Standing::Quarantined, Standing::Apart], "{findings:?}");
}

#[test]
fn a_file_that_a_debug_session_brought_is_drift_when_the_workload_executes_it() {
    let learned = steady(&[exec("/app/server", "/app/plugin")]);
    let entered = lists([(
        &open("/usr/bin/tar", "/app/plugin", Access::CREATE),
        evidence(1, &[Phase::Steady], &[Provenance::Entered]),
    )]);
    let seen = Seen {
        learned: &learned,
        not_learned: &entered,
        containers: 1,
    };
    assert_eq!(ids(&Catalogue::shipped().assess(&seen)), [("drift-executed", 1)]);
}

#[test]
fn arguments_make_no_second_finding() {
    let curl = |arguments: &[u8]| {
        let mut exec = exec("/app/server", "/usr/bin/curl");
        if let Action::Exec { arguments: it, .. } = &mut exec.action {
            *it = Some(crate::behaviour::Arguments::new(arguments, false));
        }
        exec
    };
    let findings = assess(&steady(&[curl(b"curl\0-s\0"), curl(b"curl\0http://x\0")]));
    assert_eq!(ids(&findings), [("download-tool", 2)]);
    assert_eq!(
        findings[0].sentence(),
        "/app/server executes /usr/bin/curl (curl -s), and 1 more"
    );
    let key = &assess(&steady(&[exec("/app/server", "/usr/bin/curl")]))[0].key;
    assert_eq!(&findings[0].key, key, "a policy cannot tell them from each other");
}

#[test]
fn tokens_with_names_that_change_are_one_decision_and_other_programs_another() {
    let token = |at: &str| format!("/run/secrets/kubernetes.io/serviceaccount/..2026_11_{at}.7/token");
    let reads = |subject: &str, at: &str| open(subject, &token(at), Access::READ);
    let today = assess(&steady(&[
        reads("/app/operator", "21_09"),
        reads("/app/operator", "21_10"),
    ]));
    let tomorrow = assess(&steady(&[
        reads("/app/operator", "22_09"),
        reads("/app/sidecar", "22_09"),
    ]));
    assert_eq!(ids(&today), [("service-account-token", 2)]);
    assert_eq!(tomorrow.len(), 2);
    let known = tomorrow.iter().filter(|finding| finding.key == today[0].key).count();
    assert_eq!(known, 1);
}

#[test]
fn odd_bytes_in_paths_hide_nothing() {
    for (name, expected) in [
        (&b"/tmp/\xff\xfe"[..], "exec-from-temporary"),
        (b"/tmp/a\nb", "exec-from-temporary"),
        (b"/tmp/\x1b[31m", "exec-from-temporary"),
        (b"/usr/bin/../bin/\n/bash", "shell-executed"),
    ] {
        let program = Behaviour {
            subject: path("/app/server"),
            action: Action::Exec {
                binary: FilePath::canonical(name),
                script: None,
                arguments: None,
            },
        };
        assert_eq!(ids(&assess(&steady(&[program]))), [(expected, 1)], "{name:?}");
    }
}

#[test]
fn a_name_of_a_file_in_memory_is_no_path() {
    let in_memory = |name: &str| Behaviour {
        subject: path("/app/server"),
        action: Action::Exec {
            binary: FilePath::new(name.as_bytes(), Origin::Memfd),
            script: None,
            arguments: None,
        },
    };
    for name in ["memfd:x", "memfd:runc_cloned:/proc/self/exe", "memfd:"] {
        assert_eq!(
            ids(&assess(&steady(&[in_memory(name)]))),
            [("exec-in-memory", 1)],
            "{name}"
        );
    }
}
