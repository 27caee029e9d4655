//! The program as its users meet it: help, wrong usage and output, judged by exit code and text.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

mod common;

use std::fs;

use common::Workshop;

#[test]
fn wrong_usage_is_exit_code_2() {
    let workshop = Workshop::new();
    let cases: [&[&str]; 17] = [
        &[],
        &["policy"],
        &["policies", "--nonsense"],
        &["policies", "--tetragon", "1.5"],
        &["policies", "-o", "xml"],
        &["policies", "--baselines", "a", "--recording", "b"],
        &["baselines", "--baselines", "a"],
        &["baselines", "--recording"],
        &["report"],
        &["report", "--baselines", "a", "--coverage-target", "0.9", "--html", "b"],
        &["completions", "cobol"],
        &["baselines", "--coverage-target", "1"],
        &["baselines", "--coverage-target", "95%"],
        &["policies", "--coverage-held", "90m"],
        &["baselines", "--coverage-starts", "0"],
        &["baselines", "--coverage-dates", "-1"],
        // Documents say by which criteria they were made.
        &["policies", "--baselines", "a", "--coverage-target", "0.9"],
    ];
    for arguments in cases {
        let told = workshop.run(arguments);
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!told.stderr.is_empty(), "{arguments:?}");
    }
    assert!(workshop.names("").is_empty());
}

#[test]
fn help_teaches_with_examples() {
    let workshop = Workshop::new();
    for arguments in [
        &["--help"][..],
        &["baselines", "--help"],
        &["policies", "--help"],
        &["report", "--help"],
        &["diff", "--help"],
    ] {
        let told = workshop.run(arguments);
        assert_eq!(told.code, Some(0));
        assert!(told.stdout.contains("Examples:\n  generate "), "{}", told.stdout);
    }
    assert_eq!(
        workshop.run(&["--version"]).stdout,
        format!("generate {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn every_shell_gets_completions() {
    let workshop = Workshop::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let told = workshop.run(&["completions", shell]);
        assert_eq!(told.code, Some(0), "{shell}");
        assert!(told.stdout.contains("policies") && told.stderr.is_empty(), "{shell}");
    }
}

#[test]
fn colour_is_never_forced_on_anybody() {
    let workshop = Workshop::new();
    for arguments in [&["--help"][..], &["policies", "--nonsense"], &["baselines"]] {
        let output = workshop
            .command(arguments)
            .env("NO_COLOR", "1")
            .env("CLICOLOR_FORCE", "1")
            .output()
            .unwrap();
        assert!(
            !output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let workshop = Workshop::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = workshop
        .command(&["completions", "bash"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_full_output_device_is_a_failure() {
    let workshop = Workshop::new();
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = workshop
        .command(&["completions", "bash"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .starts_with("error: cannot write to standard output")
    );
}
