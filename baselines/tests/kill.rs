//! A recorder that is killed, at whatever moment, loses nothing that was flushed and leaves no half of a flush.

#![expect(
    clippy::unwrap_used,
    reason = "a test may stop at the first surprise, and so may its helpers"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use baselines::behaviour::{Access, Action, Behaviour, Phase, Provenance};
use baselines::loss::Reason;
use baselines::path::FilePath;
use baselines::recording::{Container, EndReason, Flush, Loss, Node, Observation, Recording, WindowStart};
use baselines::time::UtcTime;
use baselines::workload::{Image, Workload};
use rusqlite::Connection;

/// Names the file to record into, for the process that will be killed.
const RECORD_INTO: &str = "WARDLINE_TEST_RECORD_INTO";

/// How many times a recorder is killed.
const KILLS: u64 = 20;

/// How many observations are in each flush.
const OBSERVATIONS: u64 = 50;

fn node() -> Node {
    Node {
        host: "n1".to_owned(),
        boot_id: "boot-1".to_owned(),
        kernel: "6.18.1".to_owned(),
        machine_id: None,
    }
}

/// Not a test of its own: what the test below runs in another process, until it is killed.
#[test]
#[ignore = "run by a_recorder_killed_at_any_moment_leaves_whole_flushes"]
fn record_until_killed() {
    let Some(path) = std::env::var_os(RECORD_INTO) else {
        return;
    };
    let mut writer = Recording::open_or_create(Path::new(&path), &node()).unwrap();
    let flushed: u64 = writer
        .recording()
        .summary()
        .unwrap()
        .windows
        .iter()
        .map(|window| window.observations)
        .sum();
    let start = WindowStart {
        started: UtcTime::from_nanos(1),
        selector: "host".to_owned(),
        backend: "tracepoint".to_owned(),
        tool_version: "0.1.0".to_owned(),
        flush_interval: Duration::from_secs(2),
        lossy_from_start: None,
        names: baselines::dns::Names::Off,
    };
    let window = writer.start_window(&start).unwrap();
    for number in flushed / OBSERVATIONS + 1.. {
        writer.flush(window, &flush(number)).unwrap();
        // Only now it is promised.
        println!("flushed {number}");
    }
}

/// Flush n has one minute of its own, one new behaviour, one that all have, a container and a loss.
fn flush(number: u64) -> Flush {
    let at = UtcTime::from_nanos(number * 60_000_000_000);
    let container = Container {
        cgroup_id: number,
        workload: Workload {
            namespace: "host".to_owned(),
            kind: "unit".to_owned(),
            name: format!("{number}.service"),
            container: "main".to_owned(),
        },
        id: String::new(),
        image: Image {
            repository: "app".to_owned(),
            tag: None,
            digest: None,
        },
        cgroup_path: b"/".to_vec(),
        started: at,
        alive_until: at,
        partial: false,
    };
    let open = |path: String| Behaviour {
        subject: FilePath::canonical(*b"/app"),
        action: Action::Open {
            path: FilePath::canonical(path.as_bytes()),
            access: Access::READ,
            backing: None,
        },
    };
    let observation = |path| Observation {
        cgroup_id: number,
        behaviour: open(path),
        provenance: Provenance::Workload,
        phase: Phase::Steady,
        minute: at.minute(),
        count: 1,
        first_seen: at,
        last_seen: at,
    };
    let shared = (1..OBSERVATIONS).map(|file| observation(format!("/shared/{file}")));
    let loss = Loss {
        cgroup_id: None,
        reason: Reason::Decode,
        count: 1,
        first_seen: at,
        last_seen: at,
    };
    Flush {
        at,
        containers: vec![container],
        observations: shared.chain([observation(format!("/own/{number}"))]).collect(),
        losses: vec![loss],
        ..Flush::default()
    }
}

#[test]
fn a_recorder_killed_at_any_moment_leaves_whole_flushes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.db");
    // Some are killed while they open the file, which takes a few milliseconds, most while they flush.
    for kill in 0..KILLS {
        let promised = record_and_kill(&path, Duration::from_micros(3_000 + kill * kill * 613));
        check(&path, promised, kill + 1);
    }
    let summary = Recording::open(&path).unwrap().summary().unwrap();
    assert!(
        summary.windows.iter().filter(|window| window.observations > 0).count() > 10,
        "too few were killed at work"
    );
}

/// Returns the last flush that the recorder was told is safe.
fn record_and_kill(path: &Path, after: Duration) -> u64 {
    let mut recorder = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "record_until_killed"])
        .env(RECORD_INTO, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Read meanwhile: a full pipe would stop the recorder.
    let output = BufReader::new(recorder.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let lines = output.lines().map_while(Result::ok);
        lines
            .filter_map(|line| line.strip_prefix("flushed ")?.parse().ok())
            .last()
            .unwrap_or(0)
    });
    std::thread::sleep(after);
    recorder.kill().unwrap();
    recorder.wait().unwrap();
    reader.join().unwrap()
}

fn check(path: &Path, promised: u64, kills: u64) {
    if !path.exists() {
        assert_eq!(promised, 0);
        return;
    }
    // Closes the window that was open, and checks the integrity of the file.
    drop(Recording::open_or_create(path, &node()).unwrap());
    let summary = Recording::open(path).unwrap().summary().unwrap();
    assert!(summary.windows.len() as u64 <= kills);
    for window in &summary.windows {
        assert!(matches!(window.ended, Some((_, EndReason::Crashed))), "{window:?}");
        assert_eq!(window.observations, window.losses * OBSERVATIONS);
    }
    let read = |sql: &str| -> i64 {
        Connection::open(path)
            .unwrap()
            .query_row(sql, [], |row| row.get(0))
            .unwrap()
    };
    let flushes = summary.containers.len() as u64;
    assert!(
        flushes >= promised,
        "{flushes} flushes are there, {promised} were promised"
    );
    let incomplete = "SELECT count(*) FROM (SELECT sum(count) AS n FROM observation GROUP BY minute) WHERE n <> ";
    assert_eq!(read(&format!("{incomplete} {OBSERVATIONS}")), 0);
    assert_eq!(
        read("SELECT count(DISTINCT minute) FROM observation").cast_unsigned(),
        flushes
    );
    assert_eq!(summary.windows.iter().map(|window| window.losses).sum::<u64>(), flushes);
    assert_eq!(
        summary.behaviours,
        if flushes == 0 { 0 } else { OBSERVATIONS - 1 + flushes }
    );
    let integrity: String = Connection::open(path)
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok");
}
