use proptest::prelude::*;

use super::*;
use crate::behaviour::Access;
use crate::testing::{behaviours, container};

fn redaction(patterns: &[&str]) -> Redaction {
    Redaction::new(patterns.iter().map(|text| text.parse().unwrap()).collect())
}

fn shown(patterns: &[&str], bytes: &[u8], origin: Origin) -> String {
    let path = FilePath::new(bytes, origin);
    redaction(patterns).path(&path).unwrap_or(path).to_text()
}

#[test]
fn the_components_that_wildcards_stand_for_are_hidden_and_nothing_else() {
    let cases: &[(&[&str], &str, &str)] = &[
        // From the beginning; what comes after stays.
        (&["/home/*"], "/home/alice", "/home/[redacted]"),
        (&["/home/*"], "/home/alice/.ssh/id_rsa", "/home/[redacted]/.ssh/id_rsa"),
        (&["/home/*/"], "/home/alice/.ssh", "/home/[redacted]/.ssh"),
        (&["/home/*"], "/srv/home/alice", "/srv/home/alice"),
        (&["/home/*"], "/home", "/home"),
        (&["/home/*"], "/homes/alice", "/homes/alice"),
        (&["/home/*/*"], "/home/alice/.ssh/id", "/home/[redacted]/[redacted]/id"),
        (&["/home/*/.ssh"], "/home/alice/.ssh/id", "/home/[redacted]/.ssh/id"),
        (&["/home/*/.ssh"], "/home/alice/.bashrc", "/home/alice/.bashrc"),
        // From any component on.
        (&["home/*"], "/srv/home/alice/x", "/srv/home/[redacted]/x"),
        (&["acme-*"], "/srv/acme-prod/acme-1/x", "/srv/[redacted]/[redacted]/x"),
        (&["acme-*"], "/srv/not-acme-prod", "/srv/not-acme-prod"),
        (&["*.pem"], "/etc/ssl/a.pem", "/etc/ssl/[redacted]"),
        (&["key-??"], "/key-12/key-123", "/[redacted]/key-123"),
        (&["[0-9]*"], "/a/1x/x1", "/a/[redacted]/x1"),
        (&["[!a]bc"], "/abc/xbc", "/abc/[redacted]"),
        (&["{tok,sec}-*"], "/tok-1/sec-2/top-3", "/[redacted]/[redacted]/top-3"),
        // Any number of components, behind one marker.
        (&["/run/secrets/**"], "/run/secrets/a/b/c", "/run/secrets/[redacted]"),
        (&["/run/secrets/**"], "/run/secrets", "/run/secrets"),
        (&["/srv/**/id"], "/srv/a/b/id/c", "/srv/[redacted]/id/c"),
        (&["/srv/**/id"], "/srv/id", "/srv/id"),
        (&["/srv/**/id"], "/srv/a/id/b/id", "/srv/[redacted]/id"),
        (&["**/secret"], "/a/b/secret/c", "/[redacted]/secret/c"),
        // The secret itself.
        (&["acme"], "/srv/acme/acme2", "/srv/[redacted]/acme2"),
        (&["/srv/acme/prod"], "/srv/acme/prod/x", "/[redacted]/x"),
        (&[r"a\*b"], "/a*b/axb", "/[redacted]/axb"),
        // Several patterns.
        (
            &["/home/*", "*.key"],
            "/home/alice/a.key",
            "/home/[redacted]/[redacted]",
        ),
        (&["/home/**", "/home/*"], "/home/a/b", "/home/[redacted]"),
        // What is hidden already.
        (&["/home/*"], "/home/[redacted]/x", "/home/[redacted]/x"),
        (&["/home/*"], "/", "/"),
        (&["/home/*"], "/home//x", "/home//x"),
    ];
    for (patterns, path, expected) in cases {
        let shown = shown(patterns, path.as_bytes(), Origin::Canonical);
        assert_eq!(&shown, expected, "{patterns:?} {path}");
    }
}

#[test]
fn paths_of_which_a_part_is_not_known_are_hidden_rather_than_shown() {
    use Origin::{AsCalled, Cut, Deleted, Memfd, Unknown, Unreachable};
    let cases: &[(&[&str], &[u8], Origin, &str)] = &[
        (&["x"], b"alice/y", Cut, "[redacted]"),
        (&["/home/*"], b"/alice/y", Unreachable, "[redacted]"),
        (&["alice"], b"/alice/y", Unreachable, "/[redacted]/y"),
        (&["/home/*"], b"alice/run.sh", AsCalled, "[redacted]"),
        (&["/home/*"], b"/home/alice/run.sh", AsCalled, "/home/[redacted]/run.sh"),
        (&["alice"], b"./alice/run.sh", AsCalled, "./[redacted]/run.sh"),
        (
            &["/home/*/key"],
            b"/home/a/key (deleted)",
            Deleted,
            "/home/[redacted]/key (deleted)",
        ),
        (&["*.key"], b"/a.key (deleted)", Deleted, "/[redacted] (deleted)"),
        (&["acme-*"], b"memfd:acme-1", Memfd, "memfd:[redacted]"),
        (&["x"], b"", Unknown, ""),
        (&["/home/*"], b"/home/\xff\n", Origin::Canonical, "/home/[redacted]"),
    ];
    for (patterns, path, origin, expected) in cases {
        assert_eq!(
            &shown(patterns, path, *origin),
            expected,
            "{patterns:?} {}",
            path.escape_ascii()
        );
    }
}

#[test]
fn what_is_hidden_says_so() {
    let redaction = redaction(&["/home/*"]);
    let hidden = redaction.path(&FilePath::canonical(*b"/home/a")).unwrap();
    assert_eq!(hidden.origin(), Origin::Redacted);
    // Once more changes nothing.
    assert_eq!(redaction.path(&hidden), None);
}

#[test]
fn an_argument_with_a_secret_is_hidden_as_a_whole() {
    let hidden = |pattern: &str, bytes: &[u8], is_cut| {
        let behaviour = Behaviour {
            subject: FilePath::canonical(*b"/a"),
            action: Action::Exec {
                binary: FilePath::canonical(*b"/b"),
                script: None,
                arguments: Some(Arguments::new(bytes, is_cut)),
            },
        };
        match redaction(&[pattern]).behaviour(&behaviour).into_owned().action {
            Action::Exec { arguments, .. } => arguments.unwrap().to_string(),
            other => unreachable!("{other}", other = format!("{other:?}")),
        }
    };
    let cases: &[(&str, &[u8], bool, &str)] = &[
        ("--password=*", b"db\0--password=a/b\0-v\0", false, "db [redacted] -v"),
        (
            "/home/*",
            b"cp\0--to=/home/alice/x\0/srv\0",
            false,
            "cp [redacted] /srv",
        ),
        ("acme-*", b"x\0user:acme-1@host\0", false, "x [redacted]"),
        ("**/token/*", b"x\0a/token/b\0token\0", false, "x [redacted] token"),
        ("nothing", b"x\0\0y\0", false, "x \"\" y"),
        // Who knows how it goes on.
        ("nothing", b"x\0--passw", true, "x [redacted]"),
    ];
    for (pattern, bytes, is_cut, expected) in cases {
        let shown = hidden(pattern, bytes, *is_cut);
        assert!(shown.starts_with(expected), "{pattern}: {shown}");
    }
}

#[test]
fn a_path_and_its_place_in_the_layer_are_hidden_together() {
    let open = |path: &str, backing: &str| Behaviour {
        subject: FilePath::canonical(*b"/a"),
        action: Action::Open {
            path: FilePath::canonical(path.as_bytes()),
            access: Access::READ,
            backing: Some(FilePath::canonical(backing.as_bytes())),
        },
    };
    let behaviour = open("/merged/home/alice/x", "/home/alice/x");
    let shown = |pattern| redaction(&[pattern]).behaviour(&behaviour).to_string();
    for pattern in ["/home/*", "/merged/home/*", "alice", "home/*"] {
        assert!(!shown(pattern).contains("alice"), "{pattern}: {}", shown(pattern));
    }
    assert!(shown("/srv/*").contains("alice"));
}

#[test]
fn names_made_from_a_hidden_part_of_the_cgroup_are_hidden_too() {
    let seen = Container {
        cgroup_path: b"/system.slice/acme-prod.service".to_vec(),
        workload: "host/unit/acme-prod.service/main".parse().unwrap(),
        ..container(1, "host/acme-prod.service")
    };
    for pattern in ["acme-*", "/system.slice/*", "acme-prod.service"] {
        let redaction = redaction(&[pattern]);
        let hidden = redaction.container(&seen);
        assert_eq!(hidden.cgroup_path, b"/system.slice/[redacted]");
        assert_eq!(hidden.workload.to_string(), "host/unit/[redacted]/main");
        assert_eq!(hidden.image.repository, "host/[redacted]");
        assert_eq!(redaction.container(&hidden), hidden);
    }
    let tagged = Container {
        image: Image {
            repository: "registry.example/acme/web".to_owned(),
            tag: Some("acme-1".to_owned()),
            digest: None,
        },
        ..container(1, "x")
    };
    let hidden = redaction(&["registry.example/*", "acme-*"])
        .container(&tagged)
        .into_owned();
    assert_eq!(hidden.image.to_string(), "registry.example/[redacted]/web:[redacted]");
    assert_eq!(redaction(&["other"]).container(&tagged).into_owned(), tagged);
}

#[test]
fn what_is_no_pattern_is_refused_with_the_reason() {
    let cases = [
        ("", "a component is empty"),
        ("/", "a component is empty"),
        ("/a//b", "a component is empty"),
        ("*", "it would hide everything"),
        ("**", "it would hide everything"),
        ("/**", "it would hide everything"),
        ("*/**", "it would hide everything"),
        ("/a**", "`**` stands alone"),
        ("/a/[", "unclosed character class"),
        ("/{a", "unclosed alternate group"),
        ("a\\", "dangling"),
    ];
    for (text, expected) in cases {
        let error = text.parse::<Pattern>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for text in ["/*", "/*/*", "a", "/a", "*a", "**/a"] {
        assert!(text.parse::<Pattern>().is_ok(), "{text}");
    }
}

proptest! {
    #[test]
    fn without_patterns_nothing_changes_and_hiding_twice_changes_no_more(behaviour in behaviours()) {
        prop_assert_eq!(&*Redaction::default().behaviour(&behaviour), &behaviour);
        let redaction = redaction(&["/etc/*", "*a*", "**/x"]);
        let once = redaction.behaviour(&behaviour).into_owned();
        prop_assert_eq!(&*redaction.behaviour(&once), &once);
    }

    #[test]
    fn a_secret_in_any_path_is_in_no_hidden_behaviour(behaviour in behaviours(), place in 0..6_usize, origin in 0..Origin::ALL.len()) {
        const SECRET: &[u8] = b"s3cr3t-0815";
        let mut behaviour = behaviour;
        let origin = Origin::ALL[origin];
        prop_assume!(!matches!(origin, Origin::Unknown | Origin::Redacted));
        let path = FilePath::new([&b"/a/"[..], SECRET, b"/b"].concat(), origin);
        match (&mut behaviour.action, place) {
            (Action::Exec { binary, .. }, 1) | (Action::Raise { binary, .. }, 1..=5) => *binary = path,
            (Action::Exec { script, .. }, 2) => *script = Some(path),
            (Action::Exec { arguments, .. }, 3) => {
                *arguments = Some(Arguments::new(path.as_bytes(), false));
            }
            (Action::Open { path: opened, .. }, 1..=3) => *opened = path,
            (Action::Open { backing, .. }, 4..=5) => *backing = Some(path),
            (Action::ConnectUnix { path: socket }, 1..=5) => *socket = path,
            _ => behaviour.subject = path,
        }
        for pattern in ["s3cr3t-*", "/a/*", "/a/**", "*0815", "s3cr3t-0815"] {
            let shown = redaction(&[pattern]).behaviour(&behaviour).to_string();
            // Its beginning is unknown there, so that a pattern from the beginning hides the whole of it.
            // A number can have the same digits by chance.
            let is_hidden = !shown.contains("s3cr3t") && !shown.contains("-0815");
            prop_assert!(is_hidden, "{}: {}", pattern, shown);
        }
    }
}
