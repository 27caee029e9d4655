//! The policies for learning, to the byte. `UPDATE_GOLDEN=1 cargo test -p profiler` rewrites them: read the difference
//! before it is committed.
#![allow(clippy::unwrap_used, reason = "tests may stop at the first surprise")]

use std::path::Path;

use profiler::learning_policy::{Tetragon, policy};
use serde_yaml::Value;

#[track_caller]
fn matches_golden(tetragon: Tetragon, namespace: Option<&str>) {
    let file = format!(
        "learn-{tetragon}{}.yaml",
        namespace.map(|it| format!("-{it}")).unwrap_or_default()
    );
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(&file);
    let yaml = policy(tetragon, namespace);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &yaml).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(
        yaml == expected,
        "{file} has changed (see the top of this test)\n--- now ---\n{yaml}"
    );
}

#[test]
fn each_release_gets_what_it_can_read() {
    matches_golden(Tetragon::V1_4, None);
    matches_golden(Tetragon::V1_7, Some("production"));
    // From 1.5 on they are told the same.
    let without_number = |tetragon: Tetragon| policy(tetragon, Some("a")).replace(tetragon.word(), "N");
    for tetragon in [Tetragon::V1_5, Tetragon::V1_6, Tetragon::V1_8] {
        assert_eq!(without_number(tetragon), without_number(Tetragon::V1_7));
    }
}

/// Whatever is written there: nothing of it denies or kills, nothing hides events, and nothing watches a system call.
#[test]
fn a_policy_for_learning_only_looks() {
    for tetragon in Tetragon::ALL {
        for namespace in [None, Some("123")] {
            let policy: Value = serde_yaml::from_str(&policy(tetragon, namespace)).unwrap();
            assert_eq!(policy["metadata"]["namespace"].as_str(), namespace);
            for hook in policy["spec"]["kprobes"].as_sequence().unwrap() {
                assert_eq!(hook["syscall"], Value::Bool(false));
                assert!(hook["call"].as_str().unwrap().starts_with("security_"));
                let selectors = hook["selectors"].as_sequence().cloned().unwrap_or_default();
                for action in selectors
                    .iter()
                    .flat_map(|it| it["matchActions"].as_sequence().unwrap())
                {
                    assert_eq!(action, &serde_yaml::from_str::<Value>("action: Post").unwrap());
                }
            }
        }
    }
}
