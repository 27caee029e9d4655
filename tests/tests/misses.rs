//! What `profile doctor` says the probes miss is what they miss, no more and no less.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::net::TcpListener;

use profiler::kernel::features::cores_are_files;

use end_to_end::{Scratch, finish, profile, profile_run};
use serde_json::Value;

#[test]
fn what_the_doctor_says_is_missed_is_missed() {
    let scratch = Scratch::new();
    let script = scratch.file("misses.py", include_str!("misses.py"));
    scratch.file("watched", "");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let [script, folder] = [&script, scratch.directory()].map(|path| path.to_str().unwrap());
    let command = ["python3", "-S", script, &port, folder];
    let done = finish(&mut profile_run(scratch.recording(), "test/misses", &[], command));
    assert_eq!(done.code(), 0, "{done}");
    let did = |text: &str| assert!(done.stdout.contains(text), "{text}: {done}");

    let learned = scratch.learned("test/misses");
    let seen = |text: &str| -> u64 {
        let counts = learned.iter().filter(|(behaviour, _)| behaviour.contains(text));
        counts.map(|(_, count)| count).sum()
    };
    // One call of each kind that is seen, so that the others are missing for a reason.
    assert_eq!(seen("opens /dev/ptmx"), 1, "{learned:#?}");
    assert_eq!(seen(&format!("opens {folder}/watched")), 1, "{learned:#?}");
    did(&format!("connected: {port}"));
    assert_eq!(seen(&format!(" sends to 127.0.0.1:{port} (tcp)")), 1, "{learned:#?}");
    assert_eq!(seen(" connects "), 0, "{learned:#?}");
    did("received: a datagram");
    assert_eq!(seen(" (unix)"), 0, "{learned:#?}");
    let status = scratch.status();
    let lost = |reason: &str| {
        let losses = status["losses"].as_array().unwrap();
        losses.iter().any(|loss| loss["reason"] == reason && loss["count"] == 1)
    };
    assert!(lost("unix_datagram"), "{status:#}");
    let losses = status["losses"].as_array().unwrap();
    let unseen = losses.iter().find(|loss| loss["reason"] == "unseen_open").unwrap();
    // The terminal, the queue, whatever fanotify opens; and the core, if the kernel may write one to a file here.
    let core = u64::from(done.stdout.contains("dumped: True") && cores_are_files());
    assert_eq!(unseen["count"], 3 + core, "{status:#} {done}");
    did("opened: /dev/pts/");
    assert_eq!(seen("opens /dev/pts/"), 0, "{learned:#?}");
    did("opened: /wardline-test-");
    assert_eq!(seen("wardline-test-"), 0, "{learned:#?}");
    did(&format!("opened: {folder}/watched"));
    assert_eq!(seen(&format!("opens {folder}/core")), 0, "{learned:#?}");

    let doctor = finish(profile().args(["doctor", "-o", "json"]));
    assert_eq!(doctor.code(), 0, "{doctor}");
    let report: Value = serde_json::from_str(&doctor.stdout).unwrap();
    let misses = report["misses"].to_string();
    for word in [
        "to which Unix socket a datagram goes",
        "mprotect",
        "TIOCGPTPEER",
        "mq_open",
        "fanotify",
        "core dumps",
        "overlay",
        "ENOEXEC",
        "io_uring",
        "int 0x80",
    ] {
        assert!(misses.contains(word), "{word}: {misses}");
    }
    // Nothing is opened where a descriptor is received.
    assert!(!misses.contains("SCM_RIGHTS"), "{misses}");
}
