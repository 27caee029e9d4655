//! What is promised on every kernel, checked on the one that this runs on.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;
use std::{env, fs};

use end_to_end::{
    Cgroup, Finished, Mount, Scratch, counts, generated, in_own_mounts, profile, profile_run, start, unique,
};
use serde_json::Value;

use crate::names::names_are_seen;
use crate::oracle::{Hit, Hook, Oracle};
use crate::policy::Policy;
use crate::story::{IMAGE, PYTHON, Story, command, seen};

/// Everything takes long in an emulated machine on a busy one.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often each of eight processes opens the same file.
const FLOOD: u64 = 2_000;

/// One recording of each backend for all of them: loading the probes takes most of the time.
#[test]
#[ignore = "the other tests of this file run it, each on its kernel"]
fn on_this_kernel() {
    println!("{}", fs::read_to_string("/proc/version").unwrap());
    // How it preempts; since 5.12.
    println!(
        "{}",
        fs::read_to_string("/sys/kernel/debug/sched/preempt").unwrap_or_default()
    );
    names_are_seen();
    let peer = listen();
    let program = |flood: u64| {
        let (address, port) = (peer.ip().to_string(), peer.port());
        let workload = include_str!("workload.py");
        format!("PEER = ({address:?}, {port})\nFLOOD = {flood}\n{workload}")
    };
    let flooding = program(FLOOD);
    let backends = env::var("BACKENDS").unwrap();
    let backends: Vec<&str> = backends.split(',').collect();
    // The first one without being asked for.
    let chosen = record(&flooding, &[]);
    assert_eq!(backend_of(&chosen), backends[0]);
    promises_hold(&chosen, peer);
    // The oracle tells of each call by itself.
    the_learned_policy_denies_what_is_new_and_nothing_else(&chosen, &program(1));
    for backend in &backends[1..] {
        let story = record(&flooding, &["--backend", backend]);
        assert_eq!(backend_of(&story), *backend);
        promises_hold(&story, peer);
        assert_eq!(in_short(&story), in_short(&chosen), "{backend} and {}", backends[0]);
    }
    println!("{} backends agree", backends.len());
    // With what only a cluster asks for, too; and those that have not just recorded.
    every_backend_loads();
}

fn every_backend_loads() {
    let done = start(profile().args(["doctor", "-o", "json"])).finish_within(PATIENCE);
    assert_eq!(done.code(), 0, "{done}");
    let report: Value = serde_json::from_str(&done.stdout).unwrap();
    let backends = report["backends"].as_array().unwrap();
    assert_eq!(backends.len(), 4, "{report:#}");
    assert!(backends.iter().all(|backend| backend["loads"] == true), "{report:#}");
}

fn promises_hold(story: &Story, peer: SocketAddr) {
    let losses = story.losses();
    // There the end of a connection, a rename, a mount or new credentials, of whatever process, can be skipped: the kernel
    // counts that, and `profile doctor` says so (profiler/src/probes/misses.rs). Nothing else may be lost.
    let may_miss = env::var("PREEMPTS").is_ok() && backend_of(story) == "lsm";
    let is_allowed = |loss: &Value| may_miss && loss["reason"] == "probe_missed";
    assert!(losses.iter().all(is_allowed), "{:#}", story.scratch.status());
    everything_is_counted(story, peer);
    every_path_is_that_of_its_time_and_its_root(story);
}

/// What the workload did, as that was recorded with these options.
fn record(program: &str, options: &[&str]) -> Story {
    let scratch = Scratch::new();
    // As often as leaves the workload most of an emulated processor.
    let often = ["--flush-interval", "50ms"];
    let mut profile = profile_run(
        scratch.recording(),
        IMAGE,
        &[&often, options].concat(),
        command(program),
    );
    furnish(&scratch, &mut profile);
    let done = start(&mut profile).finish_within(PATIENCE);
    assert_eq!(done.code(), 0, "{done}");
    Story::recorded(scratch)
}

fn backend_of(story: &Story) -> String {
    story.scratch.status()["windows"][0]["backend"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Everything that was learned and how often, with the scratch folder as `@`.
fn in_short(story: &Story) -> BTreeMap<String, u64> {
    let learned = counts(&story.baseline.behaviours).into_iter();
    learned
        .map(|(behaviour, count)| (behaviour.replace(&story.here, "@"), count))
        .collect()
}

/// A TCP listener, which accepts until the test process ends.
fn listen() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || listener.incoming().for_each(drop));
    address
}

/// Lets a command start in the scratch folder with some mounts in it, and nothing that was left behind there before.
fn furnish(scratch: &Scratch, command: &mut Command) {
    for folder in ["mounts", "work"].map(|folder| scratch.path(folder)) {
        if folder.exists() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
    let mounts = scratch.path("mounts");
    let [real, one, two] = ["real", "one", "two"].map(|folder| mounts.join(folder));
    for folder in ["real", "one", "two", "lower", "upper", "internal", "merged"] {
        fs::create_dir_all(mounts.join(folder)).unwrap();
    }
    scratch.file("mounts/real/file", "");
    scratch.file("mounts/lower/below", "");
    scratch.program("mounts/lower/program");
    let mounts = [
        Mount::Bind(&real, &one),
        Mount::Bind(&real, &two),
        Mount::Overlay(&mounts),
    ];
    in_own_mounts(command.current_dir(scratch.directory()), &mounts);
}

fn everything_is_counted(story: &Story, peer: SocketAddr) {
    let learned = counts(&story.baseline.behaviours);
    let (here, python) = (&story.here, fs::canonicalize(PYTHON).unwrap().display().to_string());
    let expected = [
        (format!("{python} opens {here}/work/flood (read)"), 8 * FLOOD),
        (format!("{python} opens {here}/work/often (read)"), 200),
        (format!("{python} opens {here}/work/program (read)"), 20),
        (format!("{python} executes {here}/work/program"), 20),
        (format!("{here}/work/program opens /etc/ld.so.cache (read)"), 20),
        (format!("{python} connects to {peer} (tcp)"), 20),
        (format!("{python} connects to {peer} (udp)"), 20),
        (format!("{python} sends to {peer} (udp)"), 4),
        (
            format!("{python} sends to [::ffff:{}]:{} (udp)", peer.ip(), peer.port()),
            1,
        ),
        (format!("{python} connects to 127.0.0.1:9 (tcp)"), 1),
        (format!("{python} listens on 127.0.0.1:8099 (tcp)"), 1),
        // Bound to any port, and not bound at all.
        (format!("{python} listens on 127.0.0.1:0 (tcp)"), 1),
        (format!("{python} listens on 0.0.0.0:0 (tcp)"), 1),
        (format!("{python} connects to {here}/work/socket (unix)"), 1),
        (format!("{python} maps {here}/work/program"), 20),
    ];
    for (behaviour, count) in expected {
        assert_eq!(learned.get(&behaviour), Some(&count), "{behaviour}: {learned:#?}");
    }
}

fn every_path_is_that_of_its_time_and_its_root(story: &Story) {
    assert_eq!(
        story.opens(|open| open == "/file (read)" || open == "/ (read)"),
        seen([
            ("/ (read)", 1),
            ("/file (read)", 2),
            ("@/mounts/merged/above (write,create, in its layer /above)", 1),
            ("@/mounts/merged/below (read, in its layer /below)", 2),
            ("@/mounts/merged/program (read, in its layer /program)", 1),
            ("@/mounts/one/file (read)", 2),
            ("@/mounts/real/file (read)", 1),
            ("@/mounts/two/file (read)", 3),
            ("@/work/a/b/c/file (read)", 5),
            ("@/work/a/b/c/file (write,create)", 1),
            ("@/work/after/parent/file (read)", 20),
            ("@/work/before/parent/file (read)", 11),
            ("@/work/before/parent/file (write,create)", 1),
            ("@/work/env (read)", 1),
            ("@/work/env (write,create)", 1),
            ("@/work/gone (read)", 1),
            ("@/work/gone (write,create)", 1),
            ("@/work/jail/bin/busybox (write,create)", 1),
            ("@/work/jail/file (write,create)", 1),
            ("@/work/flood (read)", 8 * FLOOD),
            ("@/work/flood (write,create)", 1),
            ("@/work/often (read)", 200),
            ("@/work/often (write,create)", 1),
            ("@/work/outer (read)", 1),
            ("@/work/outer (write,create)", 1),
            ("@/work/page.html (read)", 5),
            ("@/work/page.html (write,create)", 1),
            ("@/work/program (read)", 20),
            ("@/work/program (write,create)", 1),
            ("@/work/raise (read)", 1),
            ("@/work/raise (write,create)", 1),
            ("@/work/script (read)", 2),
            ("@/work/script (write,create)", 1),
            ("@/work/sp ace, café (read,write,create)", 1),
            ("deleted:@/work/gone (deleted) (read)", 1),
        ])
    );
}

/// The same once more, in the same place, while the oracle watches; then something new.
fn the_learned_policy_denies_what_is_new_and_nothing_else(story: &Story, program: &str) {
    let policy = policy(story);
    let cgroup = Cgroup::create(&unique("replay"));
    let mut oracle = Oracle::of(&cgroup);
    let mut run = |program: &str| {
        let done = run_in(&cgroup, &story.scratch, program);
        assert_eq!(done.code(), 0, "{done}");
        let hits = oracle.hits();
        let denied = tally(story, hits.iter().filter(|hit| policy.denies(hit)));
        (tally(story, &hits), denied)
    };

    let (hits, denied) = run(program);
    assert_eq!(denied, seen([]), "{hits:#?}");
    // The oracle was not blind.
    let (executions, opens): (BTreeMap<_, _>, BTreeMap<_, _>) =
        hits.into_iter().partition(|(what, _)| what.starts_with("execute "));
    let python = format!("execute {}", fs::canonicalize(PYTHON).unwrap().display());
    assert_eq!(
        executions,
        seen([
            (&python, 1),
            ("execute /bin/busybox", 1),
            ("execute /usr/bin/dash", 3),
            ("execute /usr/bin/env", 1),
            ("execute /usr/bin/ls", 2),
            ("execute /usr/bin/wc", 2),
            ("execute @/mounts/merged/program", 1),
            ("execute @/work/env", 1),
            ("execute @/work/outer", 1),
            ("execute @/work/program", 20),
            ("execute @/work/raise", 1),
            ("execute @/work/script", 2),
        ])
    );
    let expected = seen([
        // Each execution opens what it executes.
        ("open @/work/program", 1 + 20),
        ("open @/work/often", 1 + 200),
        ("open @/work/after/parent/file", 20),
        ("open @/work/gone (deleted)", 1),
        ("open @/mounts/two/file", 3),
        ("open /file", 2),
    ]);
    for (what, count) in expected {
        assert_eq!(opens.get(&what), Some(&count), "{what}: {opens:#?}");
    }

    story.scratch.file("outside", "");
    story.scratch.program("outsider");
    let (_, denied) = run(r#"
touch("outside")
run("./outsider")
memory = os.memfd_create("code")
os.write(memory, read("/usr/bin/true"))
assert in_child(lambda: execute_descriptor(memory)) == 0
"#);
    assert_eq!(
        denied,
        seen([
            ("open @/outside", 1),
            ("open @/outsider", 1),
            ("execute @/outsider", 1),
            ("execute a file without a path", 1),
        ])
    );
}

/// The policy of what was recorded.
fn policy(story: &Story) -> Policy {
    let (recording, folder) = (story.scratch.recording(), story.scratch.path("policies"));
    let files = generated("policies", recording, &folder);
    let [file] = files.as_slice() else {
        panic!("not one policy: {files:?}");
    };
    Policy::read(file)
}

/// Runs a program as `profile run` did, but unobserved by it.
fn run_in(cgroup: &Cgroup, scratch: &Scratch, program: &str) -> Finished {
    let [python, arguments @ ..] = command(program);
    let mut python = Command::new(python);
    python.args(arguments);
    furnish(scratch, &mut python);
    cgroup.start(&mut python).finish_within(PATIENCE)
}

/// How often each hook saw which path, with the scratch folder as `@`.
fn tally<'a>(story: &Story, hits: impl IntoIterator<Item = &'a Hit>) -> BTreeMap<String, u64> {
    let mut tally = BTreeMap::new();
    for hit in hits {
        let path = hit
            .path
            .as_deref()
            .unwrap_or("a file without a path")
            .replace(&story.here, "@");
        let what = match hit.hook {
            Hook::BprmCheck => "execute",
            Hook::FileOpen => "open",
        };
        *tally.entry(format!("{what} {path}")).or_default() += 1;
    }
    tally
}
