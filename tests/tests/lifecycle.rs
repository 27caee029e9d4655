//! How windows begin and end, whoever ends them, and whom they attribute what to.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

use end_to_end::{
    Cgroup, Finished, Running, Scratch, enter, finish, profile, profile_run, profile_start, start, unique, workload,
};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

/// `workload STEPS`, as arguments.
fn steps(steps: &[&str]) -> Vec<String> {
    let program = workload().to_str().unwrap().to_owned();
    std::iter::once(program)
        .chain(steps.iter().map(|word| (*word).to_owned()))
        .collect()
}

/// The same as a command.
fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(workload());
    command.args(arguments);
    command
}

/// A `profile start` that has begun to record.
fn started(recording: &Path, options: &[&str]) -> Running {
    let mut window = start(&mut profile_start(recording, options));
    window.wait_for("the window", |window| window.stderr().contains("learning "));
    window
}

/// Ends a window as Ctrl-C does.
fn interrupted(window: Running) -> Finished {
    window.signal(libc::SIGINT);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");
    done
}

/// The container of this workload in a status.
#[track_caller]
fn container<'a>(status: &'a Value, workload: &str) -> &'a Value {
    let containers = status["containers"].as_array().unwrap();
    let found = containers.iter().find(|container| container["workload"] == workload);
    found.unwrap_or_else(|| panic!("no {workload}: {status:#}"))
}

#[test]
fn a_run_ends_with_the_exit_code_of_its_command() {
    let scratch = Scratch::new();
    let cases = [
        ("exit 0", 0),
        ("exit 7", 7),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
    ];
    for (number, (script, code)) in cases.into_iter().enumerate() {
        let done = finish(&mut profile_run(scratch.recording(), "a", &[], ["sh", "-c", script]));
        assert_eq!(done.code(), code, "{script}: {done}");
        let reason = &scratch.status()["windows"][number]["endReason"];
        assert_eq!(*reason, json!(format!("command exited with {code}")), "{script}");
    }
}

#[test]
fn what_is_said_at_the_end_is_what_status_shows() {
    let scratch = Scratch::new();
    let script = "for number in 1 2 3; do cat /etc/hostname; done";
    let done = finish(&mut profile_run(scratch.recording(), "a", &[], ["sh", "-c", script]));
    assert_eq!(done.code(), 0, "{done}");
    let (status, window) = (scratch.status(), scratch.status()["windows"][0].clone());
    let [events, behaviours] = [&window["events"], &status["behaviours"]].map(|number| number.as_u64().unwrap());
    assert!(
        events > behaviours,
        "what happens three times is three events: {status:#}"
    );
    let said = format!("learned: {events} events, {behaviours} behaviours ({behaviours} new in the last minute)");
    assert!(done.stderr.contains(&said), "{said}: {done}");
    let in_containers = status["containers"].as_array().unwrap().iter();
    let in_containers = in_containers.map(|container| container["events"].as_u64().unwrap());
    assert_eq!(in_containers.sum::<u64>(), events);
}

#[test]
fn signals_reach_the_command_and_the_window_ends_with_it() {
    let signals = [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGUSR2,
    ];
    let runs: Vec<(i32, Scratch, Running)> = signals
        .into_iter()
        .map(|signal| {
            let scratch = Scratch::new();
            let command = steps(&["signalled", &signal.to_string(), &(40 + signal).to_string()]);
            let running = start(&mut profile_run(scratch.recording(), "a", &[], command));
            (signal, scratch, running)
        })
        .collect();
    for (signal, scratch, mut running) in runs {
        running.wait_for("the command", |running| running.stdout().contains("waiting"));
        running.signal(signal);
        let done = running.finish();
        assert_eq!(done.code(), 40 + signal, "{done}");
        assert_eq!(
            scratch.status()["windows"][0]["endReason"],
            json!(format!("command exited with {}", 40 + signal))
        );
    }
}

#[test]
fn what_a_command_leaves_behind_ends_with_its_window() {
    let scratch = Scratch::new();
    let script = ["sh", "-c", "setsid sleep 1000 & exit 3"];
    let running = start(&mut profile_run(scratch.recording(), "a", &[], script));
    let id = running.id();
    let done = running.finish();
    assert_eq!(done.code(), 3, "{done}");
    assert!(done.stderr.contains("outlived the command and were killed"), "{done}");
    assert_eq!(end_to_end::cgroup_of_run(id), None);
}

#[test]
fn a_window_ends_in_time_or_when_it_is_told_to() {
    let scratch = Scratch::new();
    let done = finish(&mut profile_start(scratch.recording(), &["--for", "300ms"]));
    assert_eq!(done.code(), 0, "{done}");
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let window = started(scratch.recording(), &["--for", "1h"]);
        window.signal(signal);
        let done = window.finish();
        assert_eq!(done.code(), 0, "{done}");
    }
    let status = scratch.status();
    let reasons: Vec<&Value> = status["windows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|window| &window["endReason"])
        .collect();
    assert_eq!(reasons, ["completed", "interrupted", "interrupted"]);
}

#[test]
fn windows_of_one_recording_add_up() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let command = steps(&["open", file.to_str().unwrap(), "100", "1"]);
    for _ in 0..2 {
        let done = finish(&mut profile_run(scratch.recording(), "test/twice", &[], &command));
        assert_eq!(done.code(), 0, "{done}");
    }
    let status = scratch.status();
    assert_eq!(
        (&status["windows"][0]["number"], &status["windows"][1]["number"]),
        (&json!(1), &json!(2))
    );
    let new = |window: usize| status["windows"][window]["newBehaviours"].as_u64().unwrap();
    assert!(new(0) > new(1), "{status:#}");
    assert_eq!(status["containers"].as_array().unwrap().len(), 2, "{status:#}");
    let opens = format!("{} opens {} (read)", command[0], file.display());
    assert_eq!(scratch.learned("test/twice").get(&opens), Some(&200));
}

#[test]
fn there_is_one_writer_at_a_time() {
    let scratch = Scratch::new();
    let mut first = start(&mut profile_run(
        scratch.recording(),
        "a",
        &[],
        steps(&["signalled", "15", "0"]),
    ));
    first.wait_for("the command", |first| first.stdout().contains("waiting"));

    let marker = scratch.path("marker");
    let second = finish(&mut profile_run(
        scratch.recording(),
        "b",
        &[],
        ["touch", marker.to_str().unwrap()],
    ));
    assert_eq!(second.code(), 1, "{second}");
    assert!(
        second
            .stderr
            .contains(&format!("is being recorded into by process {}", first.id())),
        "{second}"
    );
    assert!(!marker.exists(), "{second}");
    assert_eq!(
        scratch.status()["windows"][0]["ended"],
        Value::Null,
        "the first window goes on"
    );

    first.signal(libc::SIGTERM);
    let done = first.finish();
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(scratch.status()["windows"].as_array().unwrap().len(), 1);
}

#[test]
fn units_and_pods_are_recognised_whether_they_were_there_before_or_came_later() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let counter = scratch.file("counter", [0; 8]);
    let (file, counter) = (file.to_str().unwrap(), counter.to_str().unwrap());
    // A pod's uid is a UUID, a container's id has 64 hexadecimal digits. Ours say which process made them.
    let process = std::process::id();
    let [uid_before, uid_during] = ["b", "d"].map(|digit| format!("{process:08x}-0000-4000-8000-00000000000{digit}"));
    let [id_before, id_during] = ["b", "d"].map(|digit| digit.repeat(56) + &format!("{process:08x}"));
    let [unit_before, unit_during] = ["before", "during"].map(|when| format!("{}.service", unique(when)));
    let unit = |name: &str| Cgroup::create(&format!("system.slice/{name}"));
    let pod = |uid: &str, id: &str| Cgroup::create(&format!("kubepods/besteffort/pod{uid}/{id}"));

    let there_before = [unit(&unit_before), pod(&uid_before, &id_before)];
    let _opening = there_before
        .each_ref()
        .map(|cgroup| cgroup.start(&mut command(&["open-counting", file, counter])));
    let window = started(scratch.recording(), &["--flush-interval", "100ms"]);
    let came_later = [unit(&unit_during), pod(&uid_during, &id_during)];
    for cgroup in &came_later {
        let done = cgroup.start(&mut command(&["open", file, "10", "1"])).finish();
        assert_eq!(done.code(), 0, "{done}");
    }
    interrupted(window);

    let status = scratch.status();
    let cases = [
        (
            format!("host/unit/{unit_before}/main"),
            format!("host/{unit_before}"),
            true,
        ),
        (
            format!("host/unit/{unit_during}/main"),
            format!("host/{unit_during}"),
            false,
        ),
        (
            format!("host/pod/{uid_before}/{}", &id_before[..12]),
            format!("unresolved/kubernetes/{}", &id_before[..12]),
            true,
        ),
        (
            format!("host/pod/{uid_during}/{}", &id_during[..12]),
            format!("unresolved/kubernetes/{}", &id_during[..12]),
            false,
        ),
    ];
    let opens = format!("{} opens {file} (read)", workload().display());
    for (workload, image, partial) in cases {
        let container = container(&status, &workload);
        assert_eq!(container["partial"], json!(partial), "{container:#}");
        assert_eq!(container["image"], json!(image), "{container:#}");
        let count = scratch.learned(&image).get(&opens).copied().unwrap_or_default();
        assert!(if partial { count > 0 } else { count == 10 }, "{workload}: {count}");
    }
}

#[test]
fn what_the_profiler_does_is_nobodys_workload_even_where_it_is_a_unit() {
    let scratch = Scratch::new();
    let [unit, looked_at] = [format!("{}.service", unique("profiler")), unique("looked-at")];
    let cgroup = Cgroup::create(&format!("system.slice/{unit}"));
    let options = ["--flush-interval", "100ms"];
    let mut window = cgroup.start(&mut profile_start(scratch.recording(), &options));
    window.wait_for("the window", |window| window.stderr().contains("learning "));
    let done = Cgroup::create(&looked_at).start(&mut command(&["exit", "3"])).finish();
    assert_eq!(done.code(), 3, "{done}");
    interrupted(window);
    // Processes of ours looked at the program's file.
    let learned = scratch.learned(&format!("host/cgroup/{looked_at}"));
    assert!(
        learned.keys().any(|behaviour| behaviour.contains("/ld-linux")),
        "{learned:#?}"
    );
    let status = scratch.status();
    let containers = status["containers"].as_array().unwrap();
    assert!(
        containers
            .iter()
            .all(|container| !container["workload"].to_string().contains(&unit)),
        "{status:#}"
    );
}

#[test]
fn what_the_profiler_does_is_nobodys_workload_even_where_somebody_puts_it_among_others() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let [shared, looked_at] = [unique("shared"), unique("looked-at")];
    let cgroup = Cgroup::create(&shared);
    let _neighbour = cgroup.inhabit();
    let window = started(scratch.recording(), &["--flush-interval", "100ms"]);
    fs::write(cgroup.directory().join("cgroup.procs"), window.id().to_string()).unwrap();
    // The first look-ups, so that their processes are started now.
    let other = Cgroup::create(&looked_at);
    let done = other.start(&mut command(&["exit", "0"])).finish();
    assert_eq!(done.code(), 0, "{done}");
    let done = cgroup
        .start(&mut command(&["open", file.to_str().unwrap(), "3", "1"]))
        .finish();
    assert_eq!(done.code(), 0, "{done}");
    interrupted(window);
    let learned = scratch.learned(&format!("host/cgroup/{looked_at}"));
    assert!(
        learned.keys().any(|behaviour| behaviour.contains("/ld-linux")),
        "{learned:#?}"
    );
    let learned = scratch.learned(&format!("host/cgroup/{shared}"));
    let opens = format!("{} opens {} (read)", workload().display(), file.display());
    assert_eq!(learned.get(&opens), Some(&3), "{learned:#?}");
    let profiler = profile().get_program().to_str().unwrap().to_owned();
    assert!(
        learned.keys().all(|behaviour| !behaviour.contains(&profiler)),
        "{learned:#?}"
    );
}

#[test]
fn containers_that_live_for_a_moment_are_attributed() {
    const CONTAINERS: usize = 20;
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let window = started(scratch.recording(), &[]);
    let name = unique("short");
    for number in 0..CONTAINERS {
        let cgroup = Cgroup::create(&format!("{name}-{number}"));
        let done = cgroup
            .start(&mut command(&["open", file.to_str().unwrap(), "3", "1"]))
            .finish();
        assert_eq!(done.code(), 0, "{done}");
    }
    interrupted(window);
    let opens = format!("{} opens {} (read)", workload().display(), file.display());
    for number in 0..CONTAINERS {
        let learned = scratch.learned(&format!("host/cgroup/{name}-{number}"));
        assert_eq!(learned.get(&opens), Some(&3), "{learned:#?}");
    }
    let status = scratch.status();
    let losses = status["losses"].as_array().unwrap();
    assert!(
        losses.iter().all(|loss| !loss["workload"].to_string().contains(&name)),
        "{status:#}"
    );
}

#[test]
fn who_enters_a_running_container_is_shown_and_not_learned() {
    let scratch = Scratch::new();
    let [own, foreign] = ["own", "foreign"].map(|name| scratch.file(name, "").to_str().unwrap().to_owned());
    let command_of_run = steps(&["open", &own, "5", "1", "then", "signalled", "15", "0"]);
    let mut running = start(&mut profile_run(
        scratch.recording(),
        "test/entered",
        &[],
        command_of_run,
    ));
    running.wait_for("the command", |running| running.stdout().contains("waiting"));
    let mut intruder = command(&["open", &foreign, "7", "1"]);
    enter(&running.cgroup().unwrap(), &mut intruder);
    let done = finish(&mut intruder);
    assert_eq!(done.code(), 0, "{done}");
    running.signal(libc::SIGTERM);
    let done = running.finish();
    assert_eq!(done.code(), 0, "{done}");

    let baseline = scratch.baseline("test/entered");
    let [learned, not_learned] = [&baseline.behaviours, &baseline.not_learned].map(end_to_end::counts);
    let opens = |file: &str| format!("{} opens {file} (read)", workload().display());
    assert_eq!(
        (learned.get(&opens(&own)), not_learned.get(&opens(&own))),
        (Some(&5), None),
        "{learned:#?}"
    );
    assert_eq!(
        (learned.get(&opens(&foreign)), not_learned.get(&opens(&foreign))),
        (None, Some(&7)),
        "{not_learned:#?}"
    );
    let provenance = |behaviours: &baselines::document::Behaviours, path: &str| {
        let open = behaviours
            .open
            .iter()
            .find(|open| open.path.as_bytes() == path.as_bytes())
            .unwrap();
        json!(open.evidence.provenance)
    };
    assert_eq!(provenance(&baseline.behaviours, &own), json!(["workload"]));
    assert_eq!(provenance(&baseline.not_learned, &foreign), json!(["entered"]));
}

#[test]
fn what_a_container_does_while_it_starts_is_told_from_what_it_does_later() {
    let scratch = Scratch::new();
    let [file, early, late] = ["file", "early", "late"].map(|name| scratch.file(name, "").to_str().unwrap().to_owned());
    let open = |file: &str, count: &str| ["open", file, count, "1", "then"].map(str::to_owned);
    let words = [
        &open(&file, "5")[..],
        &open(&early, "3"),
        &["sleep", "3000", "then"].map(str::to_owned),
    ]
    .concat();
    let words = [&words[..], &open(&late, "4"), &open(&file, "7")[..4]].concat();
    let command = steps(&words.iter().map(String::as_str).collect::<Vec<_>>());
    let done = finish(&mut profile_run(
        scratch.recording(),
        "test/phases",
        &["--startup", "2s"],
        command,
    ));
    assert_eq!(done.code(), 0, "{done}");
    let recording = Connection::open_with_flags(scratch.recording(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut counts = recording
        .prepare("SELECT phase, sum(count) FROM observation GROUP BY phase ORDER BY phase")
        .unwrap();
    let counts = counts.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let counts: Vec<(u8, u64)> = counts.map(Result::unwrap).collect();
    // Of the startup, what executing the program opens, too.
    assert_eq!(counts.last(), Some(&(1, 11)), "{counts:?}");
    let baseline = scratch.baseline("test/phases");
    for (file, count, phases) in [
        (&file, 12, json!(["startup", "steady"])),
        (&early, 3, json!(["startup"])),
        (&late, 4, json!(["steady"])),
    ] {
        let opens = &baseline.behaviours.open;
        let open = opens
            .iter()
            .find(|open| open.path.as_bytes() == file.as_bytes())
            .unwrap();
        assert_eq!(
            (open.evidence.count, json!(open.evidence.phases)),
            (count, phases),
            "{file}"
        );
    }
}

#[test]
fn a_restart_in_a_cgroup_without_a_runtime_is_learned() {
    let scratch = Scratch::new();
    let [first, again] = ["first", "again"].map(|name| scratch.file(name, "").to_str().unwrap().to_owned());
    let window = started(scratch.recording(), &[]);
    let name = unique("restarted");
    let cgroup = Cgroup::create(&name);
    for file in [&first, &again] {
        let done = cgroup.start(&mut command(&["open", file, "5", "1"])).finish();
        assert_eq!(done.code(), 0, "{done}");
    }
    interrupted(window);
    let learned = scratch.learned(&format!("host/cgroup/{name}"));
    for file in [&first, &again] {
        let opens = format!("{} opens {file} (read)", workload().display());
        assert_eq!(learned.get(&opens), Some(&5), "{learned:#?}");
    }
}

#[test]
fn a_run_that_was_killed_leaves_its_cgroup_to_the_next_one() {
    let scratch = Scratch::new();
    let mut killed = start(&mut profile_run(
        scratch.recording(),
        "a",
        &[],
        steps(&["signalled", "15", "0"]),
    ));
    killed.wait_for("the command", |killed| killed.stdout().contains("waiting"));
    let left_behind = killed.cgroup().unwrap();
    let command: i32 = fs::read_to_string(left_behind.join("cgroup.procs"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    killed.signal(libc::SIGKILL);
    killed.wait_for_end();

    // The command is somebody's: it is reported, not killed.
    let next = finish(&mut profile_run(scratch.recording(), "a", &[], ["true"]));
    assert_eq!(next.code(), 0, "{next}");
    assert!(next.stderr.contains(&left_behind.display().to_string()), "{next}");
    assert!(left_behind.exists());
    // SAFETY: the process is in a cgroup of ours, where nobody but the command has ever been.
    assert_eq!(unsafe { libc::kill(command, libc::SIGTERM) }, 0);
    let is_removed = || {
        let next = finish(&mut profile_run(scratch.recording(), "a", &[], ["true"]));
        assert_eq!(next.code(), 0, "{next}");
        !left_behind.exists()
    };
    // It may take a moment to end.
    assert!((0..20).any(|_| is_removed()));
}
