//! The policies for known baselines, to the byte. `UPDATE_GOLDEN=1 cargo test -p generator` rewrites them: read the
//! difference before it is committed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

use std::path::{Path, PathBuf};

use baselines::document;
use generator::policy::{self, Compiled, Input, Tetragon};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn compile(name: &str) -> Compiled {
    let document = std::fs::read_to_string(golden(&format!("{name}.baseline.yaml"))).unwrap();
    let baseline = document::from_yaml(&document).unwrap();
    policy::compile(&Input::new(baseline, document.as_bytes()), Tetragon::V1_7).unwrap()
}

#[track_caller]
fn matches_golden(name: &str) {
    let compiled = compile(name);
    let warnings = [compiled.warnings.as_slice(), &[String::new()]].concat().join("\n");
    for (file, content) in [
        (format!("{name}.policy.yaml"), compiled.yaml),
        (format!("{name}.warnings"), warnings),
    ] {
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(golden(&file), &content).unwrap();
        }
        let expected = std::fs::read_to_string(golden(&file)).unwrap();
        assert!(
            content == expected,
            "{file} has changed (see the top of this test)\n--- now ---\n{content}"
        );
    }
}

#[test]
fn a_web_server_in_a_cluster() {
    matches_golden("web");
}

#[test]
fn a_unit_that_did_nothing() {
    matches_golden("unit");
}

#[test]
fn names_that_attack_the_document() {
    matches_golden("hostile");
}

#[test]
fn names_that_programs_make_up() {
    matches_golden("templates");
}

#[test]
fn every_kind_of_behaviour() {
    matches_golden("kinds");
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for name in ["web", "unit", "hostile", "kinds", "templates"] {
        assert_eq!(compile(name), compile(name));
    }
}
