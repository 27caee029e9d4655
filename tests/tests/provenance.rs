//! Who belongs to a container, and who only came into it: decided when they enter its cgroup, whatever their namespaces and
//! their parents are.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use end_to_end::evidence::{executed, only, opened};
use end_to_end::runc::{Runc, bundle};
use end_to_end::{Cgroup, Running, Scratch, finish, profile_start, start, unified, workload};
use serde_json::json;

/// A container's id, as Docker gives them, that no other test gives.
fn id() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}{number:04x}{}", std::process::id(), "c".repeat(52))
}

/// A container's cgroup, and what its image is called as long as nobody knows better.
struct Container {
    cgroup: Cgroup,
    image: String,
}

impl Container {
    fn new() -> Self {
        let id = id();
        Self {
            cgroup: Cgroup::create(&format!("docker/{id}")),
            image: image(&id),
        }
    }

    /// Runs a script in it to its end.
    fn run(&self, script: &str) {
        let done = self.cgroup.start(&mut shell(script)).finish();
        assert_eq!(done.code(), 0, "{script}: {done}");
    }
}

fn image(id: &str) -> String {
    format!("unresolved/docker/{}", &id[..12])
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-ec", script]);
    command
}

/// Opens a file a number of times.
fn opens(file: &Path, count: u32) -> String {
    format!("{} open {} {count} 1", workload().display(), file.display())
}

fn window(scratch: &Scratch) -> Running {
    let mut window = start(&mut profile_start(scratch.recording(), &["--flush-interval", "200ms"]));
    window.wait_for("the window", |window| window.stderr().contains("learning "));
    window
}

fn end(window: Running) {
    window.signal(libc::SIGTERM);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");
}

#[test]
fn what_descends_from_the_first_process_is_the_workload_whatever_its_namespaces_and_parents() {
    let scratch = Scratch::new();
    let window = window(&scratch);
    let [separate, daemon, nested, plain] =
        ["separate", "daemon", "nested", "plain"].map(|name| scratch.file(name, ""));
    let container = Container::new();
    container.run(&format!(
        "unshare --mount --pid --net --ipc --uts --cgroup --fork {}
        # Forked twice, so that its parent is gone when it starts to work.
        (setsid sh -c 'sleep 0.3; exec {}' & ) &
        # An init process of its own, and below it once more.
        unshare --pid --fork --mount-proc sh -c 'unshare --pid --fork {}'
        {}
        sleep 1",
        opens(&separate, 3),
        opens(&daemon, 4),
        opens(&nested, 5),
        opens(&plain, 6),
    ));
    end(window);
    let baseline = scratch.baseline(&container.image);
    for (file, count) in [(separate, 3), (daemon, 4), (nested, 5), (plain, 6)] {
        assert_eq!(opened(&baseline, &file), only("workload", count), "{}", file.display());
    }
    assert_eq!(baseline.not_learned.exec, [], "nobody else came");
}

#[test]
fn who_comes_into_a_running_container_has_entered_and_so_has_what_it_leaves_there() {
    let scratch = Scratch::new();
    let window = window(&scratch);
    let names = ["own", "entered", "left", "outside", "moved", "after"];
    let [own, entered, left, outside, moved, after] = names.map(|name| scratch.file(name, ""));
    let container = Container::new();
    let mut first = container.cgroup.start(&mut shell(&format!(
        "{}; echo there; exec sleep infinity",
        opens(&own, 3)
    )));
    first.wait_for("the first process", |first| first.stdout().contains("there"));
    // As `kubectl exec` does it, and what it leaves behind.
    container.run(&format!(
        "nsenter --target {} --mount --uts --ipc --net --pid {}; (setsid {} & ) & sleep 0.5",
        first.id(),
        opens(&entered, 4),
        opens(&left, 5),
    ));
    // Into its namespaces and not into its cgroup, as a debugger on the node does: nothing that the container does.
    let enter_namespaces = format!("nsenter --target {} --mount --pid {}", first.id(), opens(&outside, 6));
    assert_eq!(finish(&mut shell(&enter_namespaces)).code(), 0);
    // Moved there while it runs: somebody else's work, until it executes something there.
    let mut moving = start(&mut shell(&format!(
        "echo $$ > {}/cgroup.procs; read -r nothing < {} || true; {}",
        container.cgroup.directory().display(),
        moved.display(),
        opens(&after, 7),
    )));
    moving.wait_for_end();
    drop(first);
    end(window);
    let baseline = scratch.baseline(&container.image);
    let cases = [
        (own, only("workload", 3)),
        (entered, only("entered", 4)),
        (left, only("entered", 5)),
        (outside, BTreeMap::new()),
        (moved, only("runtime", 1)),
        (after, only("entered", 7)),
    ];
    for (file, expected) in cases {
        assert_eq!(opened(&baseline, &file), expected, "{}", file.display());
    }
}

#[test]
fn who_comes_into_a_container_that_ran_before_the_window_has_entered_it() {
    let scratch = Scratch::new();
    let [own, entered] = ["own", "entered"].map(|name| scratch.file(name, ""));
    let container = Container::new();
    let go_on = scratch.path("go-on");
    let mut first = container.cgroup.start(&mut shell(&format!(
        "echo there; until [ -e {} ]; do sleep 0.1; done; {}; echo opened; exec sleep infinity",
        go_on.display(),
        opens(&own, 3)
    )));
    first.wait_for("the first process", |first| first.stdout().contains("there"));
    let window = window(&scratch);
    container.run(&opens(&entered, 4));
    scratch.file("go-on", "");
    first.wait_for("its opens", |first| first.stdout().contains("opened"));
    drop(first);
    end(window);
    let baseline = scratch.baseline(&container.image);
    assert!(baseline.containers.iter().all(|container| container.partial));
    assert_eq!(opened(&baseline, &own), only("workload", 3));
    assert_eq!(opened(&baseline, &entered), only("entered", 4));
}

#[test]
fn containers_that_share_a_pid_namespace_are_told_apart_and_so_are_those_in_the_hosts() {
    let scratch = Scratch::new();
    let window = window(&scratch);
    let [first, second, intruder] = ["first", "second", "intruder"].map(|name| scratch.file(name, ""));
    let [pause, app] = [Container::new(), Container::new()];
    // A pod with shareProcessNamespace: the namespace is the pause container's.
    let mut init = pause.cgroup.start(&mut shell(&format!(
        "exec unshare --pid --fork --kill-child sh -c '{}; echo there; exec sleep infinity'",
        opens(&first, 3)
    )));
    init.wait_for("the first container", |init| init.stdout().contains("there"));
    let processes = fs::read_to_string(pause.cgroup.directory().join("cgroup.procs")).unwrap();
    let inside = processes
        .lines()
        .find(|process| **process != init.id().to_string())
        .unwrap();
    let share = |file: &Path, count| format!("nsenter --target {inside} --pid {}", opens(file, count));
    app.run(&share(&second, 4));
    app.run(&share(&intruder, 5));
    // One with hostPID: its processes are everybody's, and their parent is anybody.
    let host = Container::new();
    let [direct, orphan, later] = ["direct", "orphan", "later"].map(|name| scratch.file(name, ""));
    host.run(&format!(
        "{}; (setsid {} & ) & sleep 0.5",
        opens(&direct, 3),
        opens(&orphan, 4)
    ));
    host.run(&opens(&later, 5));
    drop(init);
    end(window);
    let cases = [
        (&pause, &first, only("workload", 3)),
        (&app, &second, only("workload", 4)),
        (&app, &intruder, only("entered", 5)),
        (&pause, &second, BTreeMap::new()),
        (&pause, &intruder, BTreeMap::new()),
        (&host, &direct, only("workload", 3)),
        (&host, &orphan, only("workload", 4)),
        (&host, &later, only("entered", 5)),
    ];
    for (container, file, expected) in cases {
        let baseline = scratch.baseline(&container.image);
        assert_eq!(
            opened(&baseline, file),
            expected,
            "{} {}",
            container.image,
            file.display()
        );
    }
}

#[test]
fn a_runtime_that_executes_a_copy_of_itself_is_not_the_entry_point_yet() {
    let scratch = Scratch::new();
    let [before, own] = ["before", "own"].map(|name| scratch.file(name, ""));
    // In memory, as runc does, so that no container can change it (CVE-2019-5736).
    // SAFETY: the name is a string, and a new descriptor is nobody else's.
    let mut copy = unsafe {
        let copy = libc::memfd_create(c"runtime".as_ptr(), 0);
        assert!(copy >= 0);
        fs::File::from_raw_fd(copy)
    };
    copy.write_all(&fs::read("/usr/bin/busybox").unwrap()).unwrap();
    let window = window(&scratch);
    let container = Container::new();
    let mut runtime = Command::new(format!("/proc/{}/fd/{}", std::process::id(), copy.as_raw_fd()));
    let script = format!(": < {}; exec /usr/bin/sh -ec ': < {}'", before.display(), own.display());
    runtime.arg0("sh").args(["-ec", &script]);
    let done = container.cgroup.start(&mut runtime).finish();
    assert_eq!(done.code(), 0, "{done}");
    end(window);

    let baseline = scratch.baseline(&container.image);
    assert_eq!(opened(&baseline, &before), only("runtime", 1), "{baseline:#?}");
    assert_eq!(opened(&baseline, &own), only("workload", 1), "{baseline:#?}");
    assert_eq!(
        executed(&baseline, "memfd:runtime"),
        only("runtime", 1),
        "{baseline:#?}"
    );
    assert_eq!(
        executed(&baseline, "/usr/bin/dash"),
        only("workload", 1),
        "{baseline:#?}"
    );
}

#[test]
fn a_container_starts_up_once_wherever_its_processes_go() {
    let scratch = Scratch::new();
    let [early, late, later] = ["early", "late", "later"].map(|name| scratch.file(name, ""));
    let mut window = start(&mut profile_start(scratch.recording(), &["--startup", "1s"]));
    window.wait_for("the window", |window| window.stderr().contains("learning "));
    let container = Container::new();
    container.run(&format!(
        ": < {}
        sleep 1.5
        own={}$(sed -n 's/^0:://p' /proc/self/cgroup)
        mkdir $own/part
        echo 0 > $own/part/cgroup.procs
        : < {}
        {}
        echo 0 > $own/cgroup.procs
        rmdir $own/part",
        early.display(),
        unified().display(),
        late.display(),
        opens(&later, 1),
    ));
    end(window);

    let baseline = scratch.baseline(&container.image);
    let phases = |file: &Path| {
        let mut opens = baseline.behaviours.open.iter();
        let open = opens.find(|open| open.path.as_bytes() == file.as_os_str().as_encoded_bytes());
        json!(open.unwrap().evidence.phases)
    };
    let all = [&early, &late, &later].map(|file| phases(file));
    assert_eq!(all, [json!(["startup"]), json!(["steady"]), json!(["steady"])]);
}

#[test]
fn of_a_container_of_runc_the_entry_point_is_the_workload_and_what_runc_does_is_not() {
    let scratch = Scratch::new();
    let id = id();
    let cgroup = format!("/docker/{id}");
    bundle(
        &scratch,
        &cgroup,
        "/bin/cat /etc/own; ( /bin/sh -c '/bin/sleep 0.3; /bin/cat /etc/left' & ); exec /bin/sleep 600",
    );
    let window = window(&scratch);
    let container = Runc::start(&scratch, &id, &cgroup);
    assert!(
        unified().join("docker").join(&id).is_dir(),
        "runc made no cgroup in the unified hierarchy"
    );
    for _ in 0..2 {
        container.exec(&["/bin/cat", "/etc/exec"]);
    }
    std::thread::sleep(std::time::Duration::from_millis(800));
    drop(container);
    end(window);

    let baseline = scratch.baseline(&image(&id));
    let opens = [
        ("/etc/own", only("workload", 1)),
        ("/etc/left", only("workload", 1)),
        ("/etc/exec", only("entered", 2)),
    ];
    for (file, expected) in opens {
        assert_eq!(opened(&baseline, Path::new(file)), expected, "{file}: {baseline:#?}");
    }
    // Something that runc opens on its way.
    let names: Vec<String> = opened(&baseline, Path::new("/proc/filesystems")).into_keys().collect();
    assert_eq!(names, ["runtime"], "{baseline:#?}");
    let executions = [
        ("/bin/sh", only("workload", 2)),
        ("/bin/sleep", only("workload", 2)),
        (
            "/bin/cat",
            BTreeMap::from([("workload".to_owned(), 2), ("entered".to_owned(), 2)]),
        ),
    ];
    for (program, expected) in executions {
        assert_eq!(executed(&baseline, program), expected, "{program}: {baseline:#?}");
    }
    // The entry point and its descendants, and nothing that runc executes.
    assert_eq!(
        baseline
            .behaviours
            .exec
            .iter()
            .map(|exec| exec.evidence.count)
            .sum::<u64>(),
        6
    );
    let learned: BTreeSet<String> = baseline
        .behaviours
        .open
        .iter()
        .map(|open| open.path.to_text())
        .collect();
    let expected = [
        "/bin/cat",
        "/bin/sh",
        "/bin/sleep",
        "/dev/null",
        "/etc/left",
        "/etc/own",
    ]
    .map(str::to_owned);
    assert_eq!(learned, expected.into(), "{baseline:#?}");
    assert_eq!(baseline.losses, [], "{baseline:#?}");
}
