//! Which recordings are read: files, folders, patterns and exports, for every command that takes recordings.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

mod common;

use std::fs;

use baselines::recording::export;
use common::Workshop;

#[test]
fn a_folder_a_pattern_and_an_export_make_the_same_documents_as_the_files() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("nodes")).unwrap();
    for (name, repository) in [("nodes/a.db", "shop/web"), ("nodes/b.db", "shop/db")] {
        workshop.record(name, repository);
    }
    fs::write(workshop.path("nodes/notes.txt"), "no recording").unwrap();
    let files = ["nodes/a.db", "nodes/b.db"].map(|name| workshop.path(name));
    export(&files, &workshop.path("all.parquet"), false, |_, _| {}).unwrap();
    let inputs: [&[&str]; 5] = [
        &["nodes/a.db", "nodes/b.db"],
        &["nodes"],
        &["nodes/[ab].db"],
        &["all.parquet"],
        &["all.parquet", "n*"],
    ];
    for (number, input) in inputs.into_iter().enumerate() {
        for command in ["baselines", "policies"] {
            let out = format!("{command}-{number}");
            let told = workshop.run(&[&[command, "--out", &out, "--recording"], input].concat());
            assert_eq!(told.code, Some(0), "{input:?}: {}", told.stderr);
            assert_eq!(
                workshop.contents(&out),
                workshop.contents(&format!("{command}-0")),
                "{input:?}"
            );
        }
        let told = workshop.run(&[&["risks", "--recording"], input].concat());
        assert!(
            told.code == Some(0) && told.stdout.contains("shop/db"),
            "{input:?}: {}",
            told.stderr
        );
    }
    assert_eq!(workshop.names("baselines-0").len(), 2);
}

#[test]
fn an_input_that_means_nothing_is_one_error_that_names_it_and_nothing_is_written() {
    let workshop = Workshop::new();
    fs::create_dir(workshop.path("empty")).unwrap();
    workshop.record("a.db", "shop/web");
    let mut cut = {
        export(&[workshop.path("a.db")], &workshop.path("a.parquet"), false, |_, _| {}).unwrap();
        fs::read(workshop.path("a.parquet")).unwrap()
    };
    cut.truncate(cut.len() / 2);
    fs::write(workshop.path("half.parquet"), cut).unwrap();
    let cases = [
        ("empty", "error: there is no recording in or like empty\n"),
        ("empty/*.db", "error: there is no recording in or like empty/*.db\n"),
        ("missing.db", "error: there is no recording at missing.db\n"),
        (
            "half.parquet",
            "error: half.parquet is no file of observations that `profile export` has written: it has been cut off",
        ),
    ];
    for (input, expected) in cases {
        let told = workshop.run(&["baselines", "--recording", "a.db", input]);
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{input}");
        assert!(
            told.stderr.starts_with(expected) && told.stderr.contains("\n  help: "),
            "{}",
            told.stderr
        );
        assert!(!workshop.path("baselines-out").exists());
    }
}
