//! Nothing vanishes: whatever has no room is counted as lost, and what was recorded plus what was lost is what was done.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::net::{TcpListener, UdpSocket};

use baselines::document::Baseline;
use end_to_end::{Scratch, finish, profile_run, workload};
use serde_json::Value;

const FILES: u64 = 300;
const TIMES: u64 = 4;
const THREADS: u64 = 3;
const EXECUTIONS: u64 = 50;
const CONNECTIONS: u64 = 50;
/// What the workload does beside starting up.
const DONE: u64 = FILES * TIMES * THREADS + 2 * EXECUTIONS + 2 * CONNECTIONS;

/// A workload that does the same each time, more of it than the small tables below hold.
fn noise(scratch: &Scratch) -> Vec<String> {
    let folder = scratch.path("files");
    fs::create_dir(&folder).unwrap();
    for file in 0..FILES {
        fs::write(folder.join(file.to_string()), "").unwrap();
    }
    let programs = [scratch.program("one"), scratch.program("other")];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let udp = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();

    let [times, threads, files] = [TIMES, THREADS, FILES].map(|number| number.to_string());
    let [executions, connections] = [EXECUTIONS, CONNECTIONS].map(|number| number.to_string());
    let steps = [
        vec!["open-each", folder.to_str().unwrap(), &files, &times, &threads],
        vec!["exec", programs[0].to_str().unwrap(), &executions],
        vec!["exec", programs[1].to_str().unwrap(), &executions],
        vec!["connect", "tcp", &tcp, &connections],
        vec!["connect", "udp", &udp, &connections],
    ];
    let words = steps.join(&"then");
    let program = workload().to_str().unwrap().to_owned();
    std::iter::once(program)
        .chain(words.into_iter().map(str::to_owned))
        .collect()
}

/// How many events the recorded behaviours stand for. An execution is one, although it opens its program and the
/// program's dynamic loader, too.
fn events(baseline: &Baseline) -> u64 {
    let behaviours = &baseline.behaviours;
    let by_execution = |subject: &_, path: &baselines::path::FilePath| {
        let is_loader = path
            .as_bytes()
            .rsplit(|byte| *byte == b'/')
            .next()
            .unwrap()
            .starts_with(b"ld-");
        behaviours
            .exec
            .iter()
            .any(|exec| exec.parent == *subject && (exec.binary == *path || is_loader))
    };
    let opens = behaviours
        .open
        .iter()
        .filter(|open| !by_execution(&open.subject, &open.path));
    let counts = opens
        .map(|open| open.evidence.count)
        .chain(behaviours.exec.iter().map(|exec| exec.evidence.count));
    counts
        .chain(behaviours.connect.iter().map(|connect| connect.evidence.count))
        .sum()
}

/// Losses of the container. Others are not about what it did: cgroups of other tests whose coming or going found no room.
fn lost(status: &Value) -> Vec<(String, u64)> {
    let losses = status["losses"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|loss| loss["workload"] != Value::Null);
    losses
        .map(|loss| {
            (
                loss["reason"].as_str().unwrap().to_owned(),
                loss["count"].as_u64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn a_container_that_executes_ever_new_programs_does_not_use_up_the_table_of_executables() {
    let scratch = Scratch::new();
    let program = scratch.program("program").to_str().unwrap().to_owned();
    let options = ["--executables-max", "1024", "--flush-interval", "50ms"];
    let workload = workload();
    let command = [workload.to_str().unwrap(), "exec-links", &program, "2000"];
    let done = finish(&mut profile_run(scratch.recording(), "test/churn", &options, command));
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(lost(&scratch.status()), []);
    let baseline = scratch.baseline("test/churn");
    let links = baseline.behaviours.exec.iter().filter(|exec| exec.evidence.count == 1);
    let links = links.filter(|exec| exec.binary.as_bytes().starts_with(program.as_bytes()));
    assert_eq!(links.count(), 2000);
}

#[test]
fn with_tiny_tables_what_was_recorded_and_what_was_lost_add_up() {
    // What a table with room for everything holds is all there is.
    let scratch = Scratch::new();
    let noise = noise(&scratch);
    let done = finish(&mut profile_run(scratch.recording(), "test/noise", &[], &noise));
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(lost(&scratch.status()), []);
    let all = events(&scratch.baseline("test/noise"));
    assert!(
        (DONE + 1..DONE + 2000).contains(&all),
        "{all} events of {DONE} and some for starting up"
    );

    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["--behaviours-max", "32", "--behaviours-per-container", "1000"],
            &["map_full"],
        ),
        (&["--behaviours-per-container", "16"], &["key_quota"]),
        // The smallest: three descriptions.
        (&["--ring", "16"], &[]),
        (&["--ring", "16", "--flush-interval", "1ms"], &[]),
        (
            &[
                "--behaviours-max",
                "1",
                "--behaviours-per-container",
                "1000",
                "--flush-interval",
                "1ms",
            ],
            &["map_full"],
        ),
        // Filled and replaced again and again while it is being counted in.
        (&["--behaviours-max", "64", "--flush-interval", "1ms"], &[]),
        (
            &[
                "--behaviours-max",
                "24",
                "--behaviours-per-container",
                "12",
                "--ring",
                "16",
                "--flush-interval",
                "5ms",
            ],
            &["key_quota"],
        ),
    ];
    for (number, (options, expected)) in cases.into_iter().enumerate() {
        let recording = scratch.path(&format!("recording-{number}.db"));
        let done = finish(&mut profile_run(&recording, "test/noise", options, &noise));
        assert_eq!(done.code(), 0, "{done}");
        let status = end_to_end::status(&recording);
        let lost = lost(&status);
        // Where nothing was recorded, there is no baseline.
        let recorded = match status["behaviours"].as_u64() {
            Some(0) => 0,
            _ => events(&end_to_end::baselines(&recording)[0]),
        };
        let sum: u64 = lost.iter().map(|(_, count)| count).sum();
        assert_eq!(
            recorded + sum,
            all,
            "{options:?}: recorded {recorded}, lost {lost:?}\n{done}"
        );
        for reason in expected {
            assert!(lost.iter().any(|(found, _)| found == reason), "{options:?}: {lost:?}");
        }
    }
}

#[test]
fn a_process_that_leaves_the_recorded_cgroup_is_a_loss() {
    let scratch = Scratch::new();
    let elsewhere = end_to_end::unified().join("cgroup.procs");
    let script = format!("echo $$ > {}; cat /etc/hostname", elsewhere.display());
    let done = finish(&mut profile_run(
        scratch.recording(),
        "test/leaver",
        &[],
        ["sh", "-c", &script],
    ));
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(lost(&scratch.status()), [("left_cgroup".to_owned(), 1)]);
}
