//! Frequency is exact: what a container did often is recorded exactly that often, whoever else does the same.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use end_to_end::{Cgroup, Running, Scratch, finish, profile_run, profile_start, start, unique, workload};
use serde_json::json;

/// User space drains without a pause, which is when a probe that could be skipped would be.
const FULL_SPEED: [&str; 2] = ["--flush-interval", "1ms"];

/// A TCP listener on a free port of this address, which accepts until the test process ends.
fn listen(address: &str) -> SocketAddr {
    let listener = TcpListener::bind((address, 0)).unwrap_or_else(|error| panic!("{address}: {error}"));
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// The workload's steps, as arguments.
fn steps(steps: &[&[&str]]) -> Vec<String> {
    let program = workload().to_str().unwrap().to_owned();
    let words = steps.join(&"then");
    std::iter::once(program)
        .chain(words.into_iter().map(str::to_owned))
        .collect()
}

/// The same in a cgroup, in the background.
fn start_in(cgroup: &Cgroup, arguments: &[String]) -> Running {
    cgroup.start(Command::new(&arguments[0]).args(&arguments[1..]))
}

#[test]
fn every_event_is_counted_while_another_cgroup_makes_the_same_noise() {
    let scratch = Scratch::new();
    let (file, program) = (scratch.file("file", "content"), scratch.program("program"));
    let (file, program) = (file.to_str().unwrap(), program.to_str().unwrap());
    let (v4, v6) = (listen("127.0.0.1"), listen("::1"));
    let mapped = format!("[::ffff:127.0.0.1]:{}", v4.port());
    let (v4, v6) = (v4.to_string(), v6.to_string());

    let neighbour = Cgroup::create(&unique("neighbour"));
    let for_ever = "1000000000000";
    // TCP connections not for ever: each keeps its port for a minute.
    let noises = [
        steps(&[&["open", file, for_ever, "2"]]),
        steps(&[&["exec", program, for_ever]]),
        steps(&[&["connect", "tcp", &v4, "1000"], &["connect", "udp", &v4, for_ever]]),
    ];
    let mut noisy: Vec<Running> = noises.iter().map(|steps| start_in(&neighbour, steps)).collect();
    let steps = steps(&[
        &["open", file, "100000", "4"],
        &["exec", program, "1000"],
        &["connect", "tcp", &v4, "1000"],
        &["connect", "udp", &v4, "1000"],
        &["connect", "tcp", &v6, "1000"],
        &["connect", "tcp", &mapped, "1000"],
    ]);
    let done = finish(&mut profile_run(
        scratch.recording(),
        "test/counts",
        &FULL_SPEED,
        &steps,
    ));
    assert_eq!(done.code(), 0, "{done}");
    assert!(
        noisy.iter_mut().all(Running::is_running),
        "the noise was to go on until the end"
    );

    let (status, learned) = (scratch.status(), scratch.learned("test/counts"));
    let workload = &steps[0];
    let expected = [
        (format!("{workload} opens {file} (read)"), 100_000),
        (format!("{workload} executes {program}"), 1000),
        (format!("{workload} opens {program} (read)"), 1000),
        (format!("{workload} connects to {v4} (tcp)"), 1000),
        (format!("{workload} connects to {v4} (udp)"), 1000),
        (format!("{workload} connects to {v6} (tcp)"), 1000),
        (format!("{workload} connects to {mapped} (tcp)"), 1000),
    ];
    for (behaviour, count) in expected {
        assert_eq!(learned.get(&behaviour), Some(&count), "{behaviour}: {learned:#?}");
    }
    assert_eq!(
        learned
            .keys()
            .filter(|behaviour| behaviour.contains(" connects to "))
            .count(),
        4,
        "{learned:#?}"
    );
    assert_eq!(
        learned
            .keys()
            .filter(|behaviour| behaviour.contains(" executes "))
            .count(),
        2,
        "{learned:#?}"
    );
    assert_eq!(status["losses"], json!([]), "{status:#}");
    assert_eq!(
        status["windows"][0]["events"],
        json!(learned.values().sum::<u64>()),
        "{status:#}"
    );

    // The ring carried descriptions of what was new (and of what programs and cgroups others make), no events.
    let descriptions = scratch.descriptions();
    let behaviours = status["behaviours"].as_u64().unwrap();
    let events = status["windows"][0]["events"].as_u64().unwrap();
    assert!(
        descriptions > 0 && descriptions * 100 < events,
        "{descriptions} for {behaviours} of {events}: {status:#}"
    );
}

#[test]
fn containers_that_do_the_same_at_the_same_time_are_counted_apart() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "content");
    let file = file.to_str().unwrap();
    let [one, other] = ["one", "other"].map(|name| format!("{}.service", unique(name)));
    let cgroups = [&one, &other].map(|unit| Cgroup::create(&format!("system.slice/{unit}")));

    let mut window = start(&mut profile_start(scratch.recording(), &FULL_SPEED));
    window.wait_for("the window", |window| {
        window.stderr().contains("Ctrl-C ends the window")
    });
    let running = [(&cgroups[0], "50000"), (&cgroups[1], "30000")]
        .map(|(cgroup, count)| start_in(cgroup, &steps(&[&["open", file, count, "2"]])));
    for running in running {
        let done = running.finish();
        assert_eq!(done.code(), 0, "{done}");
    }
    window.signal(libc::SIGINT);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");

    let opens = format!("{} opens {file} (read)", workload().display());
    for (unit, count) in [(&one, 50_000), (&other, 30_000)] {
        let learned = scratch.learned(&format!("host/{unit}"));
        assert_eq!(learned.get(&opens), Some(&count), "{unit}: {learned:#?}");
    }
}

#[test]
fn what_the_kernel_refused_is_no_behaviour_and_what_a_peer_refused_is() {
    const NOBODY: &str = "65534";
    let scratch = Scratch::new();
    let (secret, missing) = (scratch.file("secret", "content"), scratch.path("missing"));
    let (secret, missing) = (secret.to_str().unwrap(), missing.to_str().unwrap());
    std::fs::set_permissions(secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // Nobody has to be able to get as far as the file.
    std::fs::set_permissions(scratch.directory(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let listener = listen("127.0.0.1").to_string();
    let nobody_there = "127.0.0.1:1"; // tcpmux, which nobody has used for decades
    let [enoent, eacces, refused] = [libc::ENOENT, libc::EACCES, libc::ECONNREFUSED].map(|error| error.to_string());

    let steps = steps(&[
        &["open-refused", missing, "100", &enoent],
        &["open-path", secret, "100"],
        &["connect-invalid", &listener, "100"],
        &["connect-failed", nobody_there, "70", &refused],
        &["connect-in-progress", &listener, "80"],
        &["connect-untouched", &listener, "9"],
        &["become", NOBODY],
        &["open-refused", secret, "100", &eacces],
    ]);
    let done = finish(&mut profile_run(scratch.recording(), "test/refused", &[], &steps));
    assert_eq!(done.code(), 0, "{done}");

    let learned = scratch.learned("test/refused");
    let workload = &steps[0];
    let about = |text: &str| -> Vec<(&String, &u64)> {
        learned
            .iter()
            .filter(|(behaviour, _)| behaviour.contains(text))
            .collect()
    };
    assert_eq!(about(missing), []);
    assert_eq!(about(secret), []);
    let connections = [
        (&format!("{workload} connects to {nobody_there} (tcp)"), &70),
        (&format!("{workload} connects to {listener} (tcp)"), &89),
    ];
    assert_eq!(about(" connects to "), connections);
    assert_eq!(scratch.status()["losses"], json!([]));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn calls_of_32_bit_programs_are_counted_or_known_to_be_lost() {
    let scratch = Scratch::new();
    let file = scratch.file("file", "");
    let file = file.to_str().unwrap();
    let steps = steps(&[&["open-32", file, "100"], &["connect-32", "127.0.0.1:9", "50"]]);
    let available = finish(Command::new(&steps[0]).args(&steps[1..]));
    if available.signal() == Some(libc::SIGSEGV) {
        eprintln!("nothing to test: this kernel has no 32-bit system calls (CONFIG_IA32_EMULATION)");
        return;
    }
    let done = finish(&mut profile_run(scratch.recording(), "test/foreign", &[], &steps));
    assert_eq!(done.code(), 0, "{done}");
    let learned = scratch.learned("test/foreign");
    let opens = format!("{} opens {file} (read)", steps[0]);
    assert_eq!(learned.get(&opens), Some(&100), "{learned:#?}");
    let status = scratch.status();
    let losses = status["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 1, "{status:#}");
    assert_eq!(
        (&losses[0]["reason"], &losses[0]["count"]),
        (&json!("foreign_abi"), &json!(50))
    );
}
