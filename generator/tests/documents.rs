//! From recordings to documents on disk: run for real, judged by exit code, output and files.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may what they share"
)]

mod common;

use std::fs;
use std::process::Command;

use common::{Told, Workshop};

#[test]
fn a_recording_becomes_a_baseline_and_a_policy() {
    let workshop = Workshop::new();
    workshop.record("recording.db", "shop/web");
    let told = workshop.run(&["baselines", "--recording", "recording.db", "--out", "b"]);
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""));
    let [name] = workshop.names("b").try_into().unwrap();
    let table: Vec<Vec<&str>> = told
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let file = format!("b/{name}");
    assert_eq!(
        table,
        [
            vec![
                "IMAGE",
                "CONTAINERS",
                "EXECS",
                "OPENS",
                "MAPS",
                "CONNECTS",
                "UNIX",
                "SENDS",
                "LISTENS",
                "RAISES",
                "LOSSES",
                "RISKS",
                "STATE",
                "FILE"
            ],
            vec![
                "shop/web:1.4",
                "1",
                "2",
                "1",
                "2",
                "1",
                "1",
                "3",
                "2",
                "1",
                "0",
                "8",
                "learning",
                &file
            ],
        ]
    );
    let direct = workshop.run(&["policies", "--recording", "recording.db", "--out", "p"]);
    let from_document = workshop.run(&["policies", "--baselines", "b", "--out", "q"]);
    assert_eq!(
        (direct.code, from_document.code),
        (Some(0), Some(0)),
        "{direct:?} {from_document:?}"
    );
    assert_eq!(workshop.contents("p"), workshop.contents("q"));
    let [(_, policy)] = workshop.contents("p").try_into().unwrap();
    for line in [
        // Called with two lists of arguments, which say nothing in a policy.
        "- \"/app/run.sh\"  # 6x in 1 of 1 container, startup, by /usr/bin/dash\n",
        // Opened, and mapped, which is not counted here.
        "- \"/etc/hosts\"  # 3x in 1 of 1 container, startup, by /usr/bin/dash (read)\n",
        "\n# Learned and not enforced by this policy: 3 sends, 1 unix socket, 2 listens, 1 privilege raise.\n",
    ] {
        assert!(policy.contains(line), "{line}: {policy}");
    }
    for unknown in ["/mapped.so", "secret"] {
        assert!(!policy.contains(unknown), "{policy}");
    }
}

#[test]
fn recordings_of_several_nodes_add_up() {
    let workshop = Workshop::new();
    workshop.record("a.db", "shop/web");
    workshop.record("b.db", "shop/web");
    workshop.record("c.db", "shop/cart");
    let told = workshop.run(&[
        "policies",
        "--recording",
        "a.db",
        "b.db",
        "--recording",
        "c.db",
        "-o",
        "json",
    ]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let rows: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    let images: Vec<_> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["image"].as_str(), row["containers"].as_u64()))
        .collect();
    assert_eq!(
        images,
        [(Some("shop/cart:1.4"), Some(1)), (Some("shop/web:1.4"), Some(2))]
    );
}

#[test]
fn the_environment_names_the_recording_and_does_not_disturb_baselines() {
    let workshop = Workshop::new();
    workshop.record("recording.db", "shop/web");
    workshop.baseline();
    for arguments in [
        &["baselines"][..],
        &["policies"],
        &["policies", "--baselines", "baselines"],
    ] {
        let output = workshop
            .command(arguments)
            .env("WARDLINE_RECORDING", "recording.db")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
    }
    assert_eq!(
        (workshop.names("baselines-out").len(), workshop.names("policies").len()),
        (1, 2)
    );
}

#[test]
fn lists_come_as_table_json_and_yaml_or_not_at_all() {
    let workshop = Workshop::new();
    workshop.baseline();
    let run = |more: &[&str]| workshop.run(&[&["policies", "--baselines", "baselines"], more].concat());
    let [table, json, yaml, quiet] = [&[][..], &["-o", "json"], &["-o", "yaml"], &["--quiet"]].map(run);
    assert!(table.stdout.starts_with("IMAGE "), "{table:?}");
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let yaml: serde_json::Value = serde_yaml::from_str(&yaml.stdout).unwrap();
    assert_eq!(json, yaml);
    assert_eq!(json[0]["opens"], 12);
    assert_eq!((quiet.code, quiet.stdout.as_str()), (Some(0), ""));
}

#[test]
fn a_second_run_changes_nothing_and_leaves_other_files_alone() {
    let workshop = Workshop::new();
    workshop.baseline();
    let run = || workshop.run(&["policies", "--baselines", "baselines"]);
    assert_eq!(run().code, Some(0));
    fs::write(workshop.path("policies/theirs.yaml"), "reviewed by hand").unwrap();
    let before = workshop.contents("policies");
    assert_eq!(run().code, Some(0));
    assert_eq!(workshop.contents("policies"), before);
    assert_eq!(before.len(), 2);
}

#[test]
fn warnings_name_the_image_and_cannot_steer_the_terminal() {
    let workshop = Workshop::new();
    workshop.baseline();
    let document = fs::read_to_string(workshop.path("baselines/web.yaml")).unwrap();
    let document = document.replace("/docker-entrypoint.sh", r"/\xff\x1b");
    fs::write(workshop.path("baselines/web.yaml"), document).unwrap();
    let told = workshop.run(&["policies", "--baselines", "baselines", "--quiet"]);
    assert_eq!(told.code, Some(0));
    assert!(
        told.stderr.starts_with(r"warning: shop/web:1.4@sha256:9f2d"),
        "{}",
        told.stderr
    );
    assert!(
        told.stderr.contains(r"executing `/\xff\x1b` cannot be expressed"),
        "{}",
        told.stderr
    );
    assert!(!told.stderr.contains('\u{1b}'));
}

#[test]
fn versions_of_one_image_are_warned_about() {
    let workshop = Workshop::new();
    workshop.baseline();
    let document = fs::read_to_string(workshop.path("baselines/web.yaml")).unwrap();
    fs::write(
        workshop.path("baselines/next.yaml"),
        document.replace("tag: '1.4'", "tag: '1.5'"),
    )
    .unwrap();
    let told = workshop.run(&["policies", "--baselines", "baselines"]);
    assert_eq!(told.code, Some(0));
    assert_eq!(
        told.stderr.matches("selects the containers of shop/web:1.").count(),
        2,
        "{}",
        told.stderr
    );
}

#[test]
fn input_that_cannot_be_used_is_told_and_nothing_is_written() {
    let workshop = Workshop::new();
    workshop.baseline();
    fs::write(
        workshop.path("foreign.db"),
        "not a database, but long enough to be looked at".repeat(100),
    )
    .unwrap();
    for (folder, file, content) in [
        (
            "policy",
            "a.yaml",
            "apiVersion: cilium.io/v1alpha1\nkind: TracingPolicy\n",
        ),
        ("binary", "a.yaml", "\u{0}\u{1}"),
        ("other", "a.txt", ""),
    ] {
        fs::create_dir(workshop.path(folder)).unwrap();
        fs::write(workshop.path(folder).join(file), content).unwrap();
    }
    fs::create_dir(workshop.path("twice")).unwrap();
    for name in ["twice/a.yaml", "twice/b.yaml"] {
        fs::copy(workshop.path("baselines/web.yaml"), workshop.path(name)).unwrap();
    }
    let cases: [(&[&str], &str); 8] = [
        (&["baselines", "--recording", "missing.db"], "missing.db"),
        (&["baselines", "--recording", "foreign.db"], "foreign.db"),
        (&["policies", "--recording", "."], "."),
        (&["policies", "--baselines", "missing"], "missing"),
        (&["policies", "--baselines", "policy"], "policy/a.yaml:1:"),
        (&["policies", "--baselines", "binary"], "binary/a.yaml"),
        (&["policies", "--baselines", "other"], "other"),
        (&["policies", "--baselines", "twice"], "two baselines of shop/web:1.4"),
    ];
    for (arguments, what) in cases {
        workshop.run(&[arguments, &["--out", "out"]].concat()).failed(what);
        assert!(!workshop.path("out").exists(), "{arguments:?}");
    }
}

#[test]
fn targets_that_are_not_ours_are_refused() {
    let workshop = Workshop::new();
    workshop.baseline();
    assert_eq!(workshop.run(&["policies", "--baselines", "baselines"]).code, Some(0));
    let [(name, content)] = workshop.contents("policies").try_into().unwrap();
    fs::write(workshop.path("elsewhere"), "theirs").unwrap();
    fs::remove_file(workshop.path("policies").join(&name)).unwrap();
    std::os::unix::fs::symlink(workshop.path("elsewhere"), workshop.path("policies").join(&name)).unwrap();
    workshop
        .run(&["policies", "--baselines", "baselines"])
        .failed("a symbolic link");
    assert_eq!(fs::read_to_string(workshop.path("elsewhere")).unwrap(), "theirs");
    assert_eq!(workshop.names("policies"), [name]);
    assert!(!content.is_empty());
    fs::write(workshop.path("file"), "").unwrap();
    workshop
        .run(&["policies", "--baselines", "baselines", "--out", "file"])
        .failed("file");
}

#[test]
fn a_full_disk_leaves_the_folder_as_it_was() {
    let workshop = Workshop::new();
    workshop.baseline();
    assert_eq!(workshop.run(&["policies", "--baselines", "baselines"]).code, Some(0));
    let before = workshop.contents("policies");
    // A limit on file sizes stands in for a full disk: both fail in write(2).
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} policies --baselines baselines",
        env!("CARGO_BIN_EXE_generate")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(workshop.path(""))
        .output()
        .unwrap();
    Told::new(output).failed("cannot write policies/");
    assert_eq!(workshop.contents("policies"), before);
}

#[test]
fn an_image_that_did_nothing_gets_no_policy_that_would_report_everything() {
    let workshop = Workshop::new();
    workshop.record("a.db", "shop/web");
    assert_eq!(
        workshop
            .run(&["baselines", "--recording", "a.db", "--out", "busy"])
            .code,
        Some(0)
    );
    let (name, busy) = workshop.contents("busy").remove(0);
    let (head, _) = busy.split_once("behaviours:\n").unwrap();
    let idle =
        format!("{head}behaviours: {{}}\nnotLearned: {{}}\n").replace("repository: shop/web", "repository: shop/idle");

    fs::create_dir(workshop.path("idle")).unwrap();
    fs::write(workshop.path("idle").join("idle.yaml"), &idle).unwrap();
    let told = workshop.run(&["policies", "--baselines", "idle", "--out", "none"]);
    assert_eq!(told.code, Some(1));
    assert!(
        told.stderr.starts_with("error: nothing was learned of any image"),
        "{}",
        told.stderr
    );
    assert!(!workshop.path("none").exists());

    fs::write(workshop.path("idle").join(name), busy).unwrap();
    let told = workshop.run(&["policies", "--baselines", "idle", "--out", "one"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stderr
            .contains("shop/idle:1.4: nothing was learned, so there is no policy of it"),
        "{}",
        told.stderr
    );
    assert_eq!(workshop.names("one").len(), 1);
}
