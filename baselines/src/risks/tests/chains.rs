//! The entry point's chain, with the executions of images that exist.

use super::*;
use crate::risks::{Severity, Standing};

/// At start-up only, by the workload only, and in the steady phase only.
fn seen(startup: &[Behaviour], later: &[Behaviour]) -> Vec<Finding> {
    let at = |phase: Phase| move |it| (it, evidence(1, &[phase], &[Provenance::Workload]));
    let learned = lists(
        startup
            .iter()
            .map(at(Phase::Startup))
            .chain(later.iter().map(at(Phase::Steady))),
    );
    assess(&learned)
}

#[test]
fn images_that_exist_have_one_decision_for_their_entry_point() {
    let nginx = vec![
        script("/usr/bin/runc", "/usr/bin/dash", "/docker-entrypoint.sh"),
        exec("/usr/bin/dash", "/usr/bin/find"),
        exec("/usr/bin/dash", "/usr/bin/sort"),
        script(
            "/usr/bin/dash",
            "/usr/bin/dash",
            "/docker-entrypoint.d/10-listen-on-ipv6.sh",
        ),
        script(
            "/usr/bin/dash",
            "/usr/bin/dash",
            "/docker-entrypoint.d/15-local-resolvers.envsh",
        ),
        script("/usr/bin/dash", "/usr/bin/dash", "/docker-entrypoint.d/20-envsubst.sh"),
        exec("/usr/bin/dash", "/usr/sbin/nginx"),
    ];
    let alpine = vec![
        script("/usr/bin/runc", "/bin/busybox", "/docker-entrypoint.sh"),
        exec("/bin/busybox", "/bin/busybox"),
        exec("/bin/busybox", "/usr/sbin/nginx"),
    ];
    let postgres = vec![
        script("/usr/bin/runc", "/usr/bin/bash", "/usr/local/bin/docker-entrypoint.sh"),
        exec("/usr/bin/bash", "/usr/bin/mkdir"),
        exec("/usr/bin/bash", "/usr/local/bin/gosu"),
        script(
            "/usr/local/bin/gosu",
            "/usr/bin/bash",
            "/usr/local/bin/docker-entrypoint.sh",
        ),
        exec("/usr/bin/bash", "/usr/lib/postgresql/17/bin/postgres"),
    ];
    let tini = vec![
        exec("/usr/bin/runc", "/usr/bin/tini"),
        script("/usr/bin/tini", "/usr/bin/dash", "/entrypoint.sh"),
        exec("/usr/bin/dash", "/usr/local/bin/su-exec"),
        exec("/usr/local/bin/su-exec", "/app/server"),
    ];
    let gunicorn = vec![
        exec("/usr/bin/crun", "/usr/bin/dumb-init"),
        script(
            "/usr/bin/dumb-init",
            "/usr/local/bin/python3.12",
            "/usr/local/bin/gunicorn",
        ),
    ];
    let java = vec![
        script("/usr/bin/runc", "/usr/bin/bash", "/opt/app/bin/start.sh"),
        exec("/usr/bin/bash", "/usr/bin/uname"),
        exec("/usr/bin/bash", "/usr/bin/dirname"),
        exec("/usr/bin/bash", "/opt/java/openjdk/bin/java"),
    ];
    let cases = [
        ("nginx", nginx, 4),
        ("alpine", alpine, 2),
        ("postgres", postgres, 3),
        ("tini", tini, 2),
        ("gunicorn", gunicorn, 1),
        ("java", java, 1),
    ];
    for (name, startup, steps) in cases {
        let findings = seen(&startup, &[]);
        assert_eq!(ids(&findings), [("entrypoint-chain", steps)], "{name}");
        assert_eq!(
            (findings[0].severity, findings[0].standing),
            (Severity::Low, Standing::Quarantined)
        );
    }
}

/// An image whose server was broken into is still told from one that starts with a script.
#[test]
fn a_shell_at_run_time_does_not_hide_in_the_chain() {
    let startup = [
        script("/usr/bin/runc", "/usr/bin/dash", "/docker-entrypoint.sh"),
        exec("/usr/bin/dash", "/usr/sbin/nginx"),
    ];
    let chain = ("entrypoint-chain", 1);
    let later = [
        exec("/usr/sbin/nginx", "/usr/bin/dash"),
        exec("/usr/bin/dash", "/usr/bin/dash"),
        exec("/usr/bin/dash", "/usr/bin/curl"),
    ];
    assert_eq!(
        ids(&seen(&startup, &later)),
        [
            ("download-tool", 1),
            chain,
            ("shell-executed", 1),
            ("shell-executed", 1)
        ]
    );
}

#[test]
fn a_step_that_is_seen_later_too_is_a_finding_of_its_own() {
    let root = script("/usr/bin/runc", "/usr/bin/dash", "/docker-entrypoint.sh");
    let step = script("/usr/bin/dash", "/usr/bin/dash", "/reload.sh");
    let [startup, steady] = [Phase::Startup, Phase::Steady];
    let workload = [Provenance::Workload];
    let once = evidence(1, &[startup], &workload);
    let cases = [
        (evidence(1, &[startup], &workload), 2, 0),
        (evidence(1, &[startup, steady], &workload), 1, 1),
        (
            evidence(1, &[startup], &[Provenance::Workload, Provenance::Kubelet]),
            1,
            1,
        ),
        (evidence(1, &[startup], &[Provenance::Kubelet]), 1, 1),
        (evidence(1, &[], &[]), 1, 1),
    ];
    for (of_step, in_chain, alone) in cases {
        let findings = assess(&lists([(&root, once.clone()), (&step, of_step.clone())]));
        let expected: Vec<_> = [("entrypoint-chain", in_chain), ("shell-executed", alone)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        assert_eq!(ids(&findings), expected, "{of_step:?}");
    }
}

#[test]
fn what_the_server_executes_at_start_up_is_not_in_the_chain_and_nor_is_what_that_executes() {
    let startup = [
        script("/usr/bin/runc", "/usr/bin/bash", "/start.sh"),
        script("/usr/bin/bash", "/usr/bin/bash", "/prepare.sh"),
        exec("/usr/bin/bash", "/usr/bin/java"),
        // From here on it is somebody else who found a hole before the server was ready.
        exec("/usr/bin/java", "/usr/bin/bash"),
        exec("/usr/bin/bash", "/usr/bin/dash"),
        exec("/usr/bin/dash", "/usr/bin/perl"),
    ];
    // Of bash nobody knows any more whose children are whose: only the entry point itself is left in the chain.
    let expected = [
        ("entrypoint-chain", 1),
        ("interpreter-executed", 1),
        ("shell-executed", 1),
        ("shell-executed", 1),
        ("shell-executed", 1),
    ];
    assert_eq!(ids(&seen(&startup, &[])), expected);
}

#[test]
fn a_program_that_calls_itself_a_runtime_begins_no_chain() {
    let cases = [
        // It was executed by somebody.
        vec![
            exec("/usr/bin/runc", "/app/server"),
            exec("/app/server", "/opt/runc"),
            exec("/opt/runc", "/usr/bin/bash"),
        ],
        // It was written by somebody.
        vec![
            exec("/usr/bin/runc", "/app/server"),
            open("/app/server", "/srv/runc", Access::CREATE),
            exec("/srv/runc", "/usr/bin/bash"),
        ],
        // Nothing led to it, and the container's own runtime was seen.
        vec![
            exec("/usr/bin/runc", "/app/server"),
            exec("/gone/server", "/usr/bin/bash"),
        ],
    ];
    for startup in cases {
        let findings = seen(&startup, &[]);
        let shells = findings.iter().filter(|it| it.key.entry().as_str() == "shell-executed");
        assert_eq!(shells.count(), 1, "{findings:?}");
        assert!(!ids(&findings).iter().any(|(id, _)| *id == "entrypoint-chain"));
    }
}

#[test]
fn where_no_runtime_was_seen_the_chain_begins_with_what_nothing_led_to() {
    let startup = [
        script("/usr/local/bin/launch", "/usr/bin/dash", "/start.sh"),
        exec("/usr/bin/dash", "/app/server"),
    ];
    assert_eq!(ids(&seen(&startup, &[])), [("entrypoint-chain", 1)]);
}

#[test]
fn what_is_dangerous_is_a_finding_of_its_own_even_in_the_chain() {
    let startup = [
        script("/usr/bin/runc", "/usr/bin/dash", "/start.sh"),
        exec("/usr/bin/dash", "/usr/bin/curl"),
        script("/usr/bin/dash", "/usr/bin/bash", "/tmp/setup.sh"),
        exec("/usr/bin/dash", "/app/server"),
    ];
    assert_eq!(
        ids(&seen(&startup, &[])),
        [
            ("download-tool", 1),
            ("entrypoint-chain", 2),
            ("exec-from-temporary", 1)
        ]
    );
}

#[test]
fn a_chain_that_changes_is_another_decision() {
    let first = vec![
        script("/usr/bin/runc", "/usr/bin/dash", "/start.sh"),
        exec("/usr/bin/dash", "/app/server"),
    ];
    let harmless = [first.clone(), vec![exec("/usr/bin/dash", "/usr/bin/sort")]].concat();
    let longer = [
        first.clone(),
        vec![script("/usr/bin/dash", "/usr/bin/dash", "/more.sh")],
    ]
    .concat();
    let key = |startup: &[Behaviour]| seen(startup, &[])[0].key.clone();
    assert_eq!(key(&first), key(&harmless));
    assert_ne!(key(&first), key(&longer));
}

/// Many launchers that are all ambiguous are settled in a moment.
#[test]
fn a_large_graph_is_no_trouble() {
    let shell = |number: usize| format!("/s/{number}/bash");
    let mut startup = vec![exec("/usr/bin/runc", &shell(0))];
    for number in 0..1_000 {
        startup.push(exec(&shell(number), &shell(number + 1)));
        startup.push(exec("/app/server", &shell(number + 1)));
    }
    let findings = seen(&startup, &[]);
    let steps = ids(&findings).into_iter().find(|(id, _)| *id == "entrypoint-chain");
    // The entry point, and the shell that it starts: of the next one nobody knows who did it.
    assert_eq!(steps, Some(("entrypoint-chain", 2)));
}
