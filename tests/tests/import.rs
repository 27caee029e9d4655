//! Tetragon's exports become recordings, and these baselines: whole, compressed, rotated, damaged ones.
//!
//! `tests/fixtures/tetragon/web.jsonl` was written for this, in the form that agents export.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use end_to_end::{Finished, Scratch, finish, generated, profile};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

const IMAGE: &str = "registry.example/shop/web";

fn fixture() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tetragon/web.jsonl");
    fs::read(path).unwrap()
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn import(recording: &Path, sources: &[&Path]) -> Finished {
    let mut profile = profile();
    profile
        .args(["import", "tetragon", "-o", "json", "--recording"])
        .arg(recording);
    finish(profile.args(sources))
}

#[track_caller]
fn summary(done: &Finished) -> Value {
    assert_eq!(done.code(), 0, "{done}");
    serde_json::from_str(&done.stdout).unwrap()
}

/// How often each event kind was recorded, and the sum.
fn recorded(summary: &Value) -> u64 {
    summary["recorded"].as_u64().unwrap()
}

/// The behaviours of the fixture's image, without recording id, revision and path.
fn behaviours(scratch: &Scratch, recording: &Path) -> Value {
    let out = scratch.path(&format!("out-{}", recording.file_name().unwrap().to_str().unwrap()));
    let files = generated("baselines", recording, &out).into_iter();
    let mut documents = files.map(|file| serde_yaml::from_str::<Value>(&fs::read_to_string(file).unwrap()).unwrap());
    let document = documents.find(|it| it["image"]["repository"] == IMAGE).unwrap();
    Value::Array(vec![document["behaviours"].clone(), document["notLearned"].clone()])
}

#[test]
fn an_export_becomes_a_baseline_and_a_policy() {
    let scratch = Scratch::new();
    let export = scratch.file("export.jsonl", fixture());
    let summary = summary(&import(scratch.recording(), &[&export]));
    assert_eq!(
        (recorded(&summary), &summary["used"], &summary["notRecorded"]),
        (11, &6.into(), &4.into())
    );
    assert_eq!(summary["nodes"][0]["losses"]["source_rate_limit"], 17);

    let [learned, not_learned] =
        <[Value; 2]>::try_from(behaviours(&scratch, scratch.recording()).as_array().unwrap().clone()).unwrap();
    let exec = learned["exec"].as_array().unwrap();
    assert_eq!(exec[1]["binary"], "/usr/bin/dash");
    assert_eq!(
        (&exec[1]["script"], &exec[0]["parent"]),
        (&"/entrypoint.sh".into(), &"/usr/bin/dash".into())
    );
    let opens: Vec<_> = learned["open"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        opens,
        [
            "/etc/web/defaults",
            "/etc/web/server.yaml",
            "/tmp/ready",
            "/var/log/web/access.log"
        ]
    );
    assert_eq!(learned["connect"][1]["address"], "::ffff:10.96.0.20");
    let not_learned: Vec<_> = not_learned["open"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    assert_eq!(not_learned, ["/etc/shadow", "/proc/self/fd"]);

    let policies = scratch.path("policies");
    let policy = generated("policies", scratch.recording(), &policies).into_iter();
    let policy = policy.map(|file| fs::read_to_string(file).unwrap());
    let policy = policy
        .filter(|it| it.contains("kind: TracingPolicy"))
        .collect::<Vec<_>>()
        .concat();
    assert!(policy.contains("# Imported from Tetragon's events"), "{policy}");
    assert!(
        policy.contains("\"/srv/web/releases/2.1/server\"") && !policy.contains("/etc/shadow"),
        "{policy}"
    );
}

/// However the same events come, they make the same behaviours; and once they are there, nothing comes to it.
#[test]
fn the_form_of_an_export_changes_nothing() {
    let scratch = Scratch::new();
    let bytes = fixture();
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let whole = scratch.file("whole.jsonl", &bytes);
    let zipped = scratch.file("zipped", compressed(&bytes));
    let rotated = scratch.path("rotated");
    fs::create_dir(&rotated).unwrap();
    // The names say another order than the events, and two files overlap.
    fs::write(rotated.join("a.log"), lines[12..].concat()).unwrap();
    fs::write(rotated.join("b.log.gz"), compressed(&lines[..7].concat())).unwrap();
    fs::write(rotated.join("c.json"), lines[5..14].concat()).unwrap();

    let expected = behaviours(&scratch, &imported(&scratch, "one.db", &[&whole]));
    for (name, sources) in [("two.db", vec![&zipped]), ("three.db", vec![&rotated])] {
        let sources: Vec<&Path> = sources.into_iter().map(PathBuf::as_path).collect();
        assert_eq!(
            behaviours(&scratch, &imported(&scratch, name, &sources)),
            expected,
            "{name}"
        );
    }
    let again = summary(&import(&scratch.path("one.db"), &[&rotated, &zipped]));
    assert_eq!(recorded(&again), 0, "{again:#}");
    assert_eq!(behaviours(&scratch, &scratch.path("one.db")), expected);
}

#[track_caller]
fn imported(scratch: &Scratch, recording: &str, sources: &[&Path]) -> PathBuf {
    let path = scratch.path(recording);
    assert_eq!(recorded(&summary(&import(&path, sources))), 11);
    path
}

#[test]
fn what_is_damaged_is_counted_and_the_rest_is_imported() {
    let scratch = Scratch::new();
    let bytes = fixture();
    let half = [&bytes[..], b"{\"process_exec\":{\"process\":{\"exec_id\":\"aa"].concat();
    let torn = [b"\0\0\0{]\n\n", &bytes[..]].concat();
    let long = [
        &b"{\"process_exec\":{\"process\":{\"arguments\":\""[..],
        &vec![b'x'; 2 << 20],
        b"\n",
        &bytes,
    ]
    .concat();
    let mut cut = compressed(&[&bytes[..], &bytes[..]].concat());
    cut.truncate(cut.len() - 9);
    let cases = [
        ("half-written", half, "halfWritten", "22"),
        ("torn", torn, "invalid", "1"),
        ("long", long, "tooLong", "1"),
        ("cut", cut, "cutSources", ""),
    ];
    for (name, content, counted, line) in cases {
        let export = scratch.file(name, content);
        let summary = summary(&import(&scratch.path(&format!("{name}.db")), &[&export]));
        assert_eq!(recorded(&summary), 11, "{name}: {summary:#}");
        assert_eq!(summary["unreadable"][counted], 1, "{name}: {summary:#}");
        let first = summary["unreadable"]["first"].as_str().unwrap();
        assert!(first.contains(&format!("{name}:{line}")), "{first}");
        assert_eq!(summary["nodes"][0]["losses"]["source_unreadable"], 1);
    }
}

#[test]
fn standard_input_is_a_source_and_a_folder_takes_a_recording_for_each_node() {
    let scratch = Scratch::new();
    let one = fixture();
    let other = String::from_utf8(one.clone()).unwrap().replace("worker-1", "worker-2");
    let folder = scratch.path("recordings");
    fs::create_dir(&folder).unwrap();
    let mut child = profile()
        .args(["import", "tetragon", "-q", "-", "--recording"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&one).unwrap();
    input.write_all(other.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    for node in ["worker-1", "worker-2"] {
        assert!(behaviours(&scratch, &folder.join(format!("{node}.db"))).is_array());
    }
}

#[test]
fn what_is_no_export_is_one_error_and_leaves_nothing() {
    let scratch = Scratch::new();
    let two_nodes =
        String::from_utf8(fixture()).unwrap() + &String::from_utf8(fixture()).unwrap().replace("worker-1", "worker-2");
    let empty = scratch.path("empty");
    fs::create_dir(&empty).unwrap();
    let cases = [
        (scratch.path("missing"), "cannot open"),
        (empty, "there is no export in"),
        (
            scratch.file("text", "Jun 1 sshd[7]: hello\n"),
            "there is no event of Tetragon in",
        ),
        (scratch.file("zero", ""), "there is no event of Tetragon in"),
        (scratch.file("two", two_nodes), "of several nodes"),
        (
            scratch.file("gzip", b"\x1f\x8b no gzip"),
            "there is no event of Tetragon in",
        ),
    ];
    for (source, says) in cases {
        let done = import(scratch.recording(), &[&source]);
        assert_eq!((done.code(), done.stdout.as_str()), (1, ""), "{done}");
        let errors = done.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert!(
            errors == 1 && done.stderr.contains(says) && done.stderr.contains("help:"),
            "{done}"
        );
        assert!(!scratch.recording().exists());
    }
    let wrong = scratch.file("text.db", "no recording");
    let done = import(&wrong, &[&scratch.file("export", fixture())]);
    assert!(
        done.code() == 1 && done.stderr.contains("no Wardline recording"),
        "{done}"
    );
}

/// With Tetragon's own schema, where `make setup-test` has found a Go to build the checker with.
#[test]
fn policies_for_learning_are_what_tetragon_reads() {
    let cache = std::env::var_os("WARDLINE_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
        caches.map(|caches| caches.join("wardline"))
    });
    let checker = cache.unwrap().join("tools/bin/tetragon-check");
    if !checker.exists() {
        eprintln!("skipped: there is no {}", checker.display());
        return;
    }
    let scratch = Scratch::new();
    let mut files = Vec::new();
    for tetragon in ["1.4", "1.5", "1.6", "1.7", "1.8"] {
        for namespace in [&[][..], &["--namespace", "shop"]] {
            let done = finish(
                profile()
                    .args(["policy-for-learning", "--tetragon", tetragon])
                    .args(namespace),
            );
            assert_eq!(done.code(), 0, "{done}");
            files.push(scratch.file(&format!("{tetragon}-{}.yaml", namespace.len()), &done.stdout));
        }
    }
    // It asks Go where the schema is, by the module that it was made from.
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tetragon-check");
    let done = finish(Command::new(checker).args(&files).current_dir(module));
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(done.stdout.matches("accepted").count(), files.len(), "{done}");
}
