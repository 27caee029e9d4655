//! What has changed, as its readers meet it: golden output, matching of inputs, exit codes. `UPDATE_GOLDEN=1 cargo test -p
//! generator` rewrites the golden files: read the difference before it is committed.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::Workshop;
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/diff")
        .join(name)
}

fn side(name: &str) -> String {
    golden(name).to_str().unwrap().to_owned()
}

fn json(workshop: &Workshop, old: &str, new: &str) -> Value {
    let told = workshop.run(&["diff", old, new, "-o", "json"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    serde_json::from_str(&told.stdout).unwrap()
}

#[test]
fn each_format_says_what_it_always_said() {
    let workshop = Workshop::new();
    for (format, file) in [("text", "diff.txt"), ("markdown", "diff.md"), ("json", "diff.json")] {
        let told = workshop.run(&["diff", &side("old"), &side("new"), "-o", format]);
        assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{format}");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(golden(file), &told.stdout).unwrap();
        }
        let expected = fs::read_to_string(golden(file)).unwrap();
        assert!(
            told.stdout == expected,
            "{file} has changed (see the top of this test)\n--- now ---\n{}",
            told.stdout
        );
    }
}

#[test]
fn hostile_names_stay_in_their_code_spans() {
    let workshop = Workshop::new();
    let told = workshop.run(&["diff", &side("old"), &side("new"), "-o", "markdown"]);
    let hostile: Vec<&str> = told.stdout.lines().filter(|line| line.contains("@ada`")).collect();
    assert_eq!(hostile.len(), 1, "{}", told.stdout);
    assert!(
        hostile[0].starts_with("- ``/app/server opens ") && hostile[0].ends_with("``"),
        "{hostile:?}"
    );
    assert!(!told.stdout.contains('\u{202e}') && !told.stdout.contains('\u{1b}'));
}

#[test]
fn the_exit_code_tells_of_changes_only_to_those_who_ask() {
    let workshop = Workshop::new();
    let (old, new) = (side("old"), side("new"));
    let cases: [(&[&str], i32); 5] = [
        (&[&old, &new], 0),
        (&[&old, &new, "--exit-code"], 3),
        (&[&old, &old, "--exit-code"], 0),
        (&[&old, &new, "-q", "--exit-code"], 3),
        (&[&old], 2),
    ];
    for (arguments, code) in cases {
        let told = workshop.run(&[&["diff"], arguments].concat());
        assert_eq!(told.code, Some(code), "{arguments:?}: {told:?}");
        assert!(!arguments.contains(&"-q") || told.stdout.is_empty(), "{told:?}");
    }
}

#[test]
fn documents_folders_and_recordings_are_compared_with_each_other() {
    let workshop = Workshop::new();
    workshop.record("old.db", "shop/web");
    workshop.record("new.db", "shop/web");
    for out in ["a", "b"] {
        let told = workshop.run(&["baselines", "--recording", "old.db", "--out", out]);
        assert_eq!(told.code, Some(0), "{told:?}");
    }
    let document = format!("a/{}", workshop.names("a")[0]);
    let cases = [
        ("a", "b", false),
        (&*document, "b", false),
        ("a", "new.db", true),
        ("old.db", &*document, true),
    ];
    for (old, new, has_recording) in cases {
        let told = workshop.run(&["diff", "--exit-code", old, new]);
        assert_eq!(told.code, Some(0), "{old} {new}: {told:?}");
        assert_eq!(told.stderr.contains("a recording has no decisions"), has_recording);
        assert!(told.stdout.contains("1 image compared, 0 changed"), "{told:?}");
    }
}

#[test]
fn what_cannot_be_compared_is_one_clear_error() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("empty")).unwrap();
    fs::write(workshop.path("notes.yaml"), "notes").unwrap();
    fs::write(workshop.path("half.db"), "SQLite format 3\0 and no more").unwrap();
    let old = side("old");
    for (other, what) in [
        ("missing", "missing"),
        ("empty", "there is no baseline in empty"),
        ("notes.yaml", "notes.yaml:1"),
        ("half.db", "half.db"),
        ("/dev/null", "/dev/null"),
    ] {
        workshop.run(&["diff", &old, other]).failed(what);
        workshop.run(&["diff", other, &old]).failed(what);
    }
}

#[test]
fn decisions_are_inherited_and_a_removal_is_not_learned_again() {
    let workshop = Workshop::new();
    // NEW as it is before anybody has copied the decisions.
    let diff = json(&workshop, &side("old"), &side("new"));
    let web = |diff: &Value| {
        let images = diff["images"].as_array().unwrap();
        images
            .iter()
            .find(|image| image["new"]["tag"] == "1.5")
            .unwrap()
            .clone()
    };
    let before = web(&diff);
    assert_eq!(before["decisions"]["kept"], "old");
    assert_eq!(before["toReview"]["denied"], 1);

    // And afterwards, as the program itself puts what is denied out of policies.
    fs::create_dir(workshop.path("new")).unwrap();
    fs::copy(golden("new/web.yaml"), workshop.path("new/web.yaml")).unwrap();
    for entry in fs::read_dir(golden("old")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if name.ends_with("+decisions.yaml") {
            fs::copy(entry.path(), workshop.path("new").join(name)).unwrap();
        }
    }
    let after = web(&json(&workshop, &side("old"), "new"));
    assert_eq!(after["decisions"]["kept"], "new");
    for field in ["toReview", "risks", "changes"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(after["decisions"]["inherited"], before["decisions"]["inherited"]);
    let told = workshop.run(&["policies", "--baselines", "new", "--out", "p"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let policy = workshop.contents("p").remove(0).1;
    assert!(
        !policy.contains("- \"/usr/bin/nc\"") && policy.contains("somebody has denied it: "),
        "{policy}"
    );
}
