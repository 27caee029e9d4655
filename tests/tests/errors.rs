//! Whatever is wrong is said once and clearly, with what to do about it, and leaves nothing half-done.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use end_to_end::{
    Cgroup, Finished, Mount, Scratch, finish, in_own_mounts, profile, profile_run, profile_start, require_root, start,
    unique,
};
use rusqlite::Connection;
use serde_json::json;

const NOBODY: u32 = 65534;

/// One error, in one line, with a help; and this exit code.
#[track_caller]
fn refused(done: &Finished, code: i32, says: &str) {
    assert_eq!(done.code(), code, "{done}");
    let errors: Vec<&str> = done.stderr.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(errors.len(), 1, "{done}");
    assert!(done.stderr.contains(says), "{says}: {done}");
    assert!(done.stderr.contains("help"), "{done}");
    assert!(!done.stderr.contains("panicked"), "{done}");
}

/// What there is in a folder.
fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn without_root_nothing_is_touched() {
    require_root();
    let scratch = Scratch::new();
    // Where everybody may write, and the program can be reached.
    fs::set_permissions(scratch.directory(), Permissions::from_mode(0o777)).unwrap();
    let program = scratch.path("profile");
    fs::copy(profile().get_program(), &program).unwrap();
    let before = listing(scratch.directory());
    let recording = scratch.recording().to_str().unwrap();
    let cases: [&[&str]; 2] = [
        &["run", "--image", "a", "--recording", recording, "--", "touch", "marker"],
        &["start", "--recording", recording, "--for", "1s"],
    ];
    for arguments in cases {
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .current_dir(scratch.directory())
            .uid(NOBODY)
            .gid(NOBODY);
        refused(&finish(&mut command), 1, "needs root: this process has no CAP_");
        assert_eq!(listing(scratch.directory()), before);
    }
}

#[test]
fn without_type_information_nothing_is_recorded() {
    let btf = Path::new("/sys/kernel/btf/vmlinux");
    let missing = [Mount::Tmpfs(btf.parent().unwrap(), "")];
    let empty = [Mount::Bind(Path::new("/dev/null"), btf)];
    let scratch = Scratch::new();
    for (mounts, says) in [(missing, "(BTF)"), (empty, "this is no BTF")] {
        let commands = [
            profile_run(
                scratch.recording(),
                "a",
                &[],
                ["touch", scratch.path("marker").to_str().unwrap()],
            ),
            profile_start(scratch.recording(), &["--for", "1s"]),
        ];
        for mut command in commands {
            in_own_mounts(&mut command, &mounts);
            refused(&finish(&mut command), 1, says);
            assert_eq!(listing(scratch.directory()), [] as [PathBuf; 0]);
        }
    }
}

#[test]
fn without_cgroups_nothing_is_recorded() {
    let scratch = Scratch::new();
    let mut command = profile_run(scratch.recording(), "a", &[], ["true"]);
    in_own_mounts(&mut command, &[Mount::Tmpfs(Path::new("/sys/fs/cgroup"), "")]);
    refused(&finish(&mut command), 1, "no cgroup hierarchy is mounted");
    assert_eq!(listing(scratch.directory()), [] as [PathBuf; 0]);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let cases: [(&[&str], &str); 30] = [
        (&[], "Usage"),
        (&["learn"], "unrecognized subcommand"),
        (&["run", "--", "true"], "--image"),
        (&["run", "--image", "a"], "COMMAND"),
        (&["run", "--image", "", "--", "true"], "--image"),
        (&["run", "--image", "a:b:c", "--", "true"], "--image"),
        (&["run", "--image", "a", "--ring", "100", "--", "true"], "power of two"),
        (
            &["run", "--image", "a", "--behaviours-max", "0", "--", "true"],
            "--behaviours-max",
        ),
        (
            &["run", "--image", "a", "--flush-interval", "0s", "--", "true"],
            "--flush-interval",
        ),
        (&["start", "--for", "ten minutes"], "no duration"),
        (&["start", "--for"], "--for"),
        (
            &["start", "--namespace", "production", "--no-runtime"],
            "pods of namespace production cannot be told on this machine",
        ),
        (
            &["start", "--kubernetes", "required", "--no-runtime"],
            "no cluster was found",
        ),
        (
            &["start", "-A", "--runtime-endpoint", "tcp://localhost:1"],
            "write unix:///run/containerd",
        ),
        (&["start", "-A", "--runtime-endpoint", "/etc/hostname"], "is no socket"),
        (
            &["start", "-A", "--runtime-endpoint", "/run/a.sock", "--no-runtime"],
            "cannot be used with",
        ),
        (
            &["start", "-A", "--runtime-endpoint", "/run/a.sock", "--kubeconfig", "/a"],
            "cannot be used with",
        ),
        (
            &["start", "--namespace", "production", "--kubernetes", "off"],
            "there is only `host`",
        ),
        (
            &["start", "--namespace", "a b", "--kubernetes", "required"],
            "a namespace is at most 63",
        ),
        (
            &["start", "--namespace", "a,host"],
            "another namespace chooses among pods",
        ),
        (&["start", "--selector", "app=web"], "--selector chooses among pods"),
        (&["start", "--image", "shop/*"], "--image chooses among pods"),
        (&["start", "-A", "--namespace", "production"], "--all-namespaces"),
        (
            &["start", "-A", "--selector", "app=web,env in a"],
            "at character 16: `(` is expected",
        ),
        (&["start", "-A", "--image", "shop/[web"], "write it like shop/*"),
        (&["start", "-A", "--kubernetes", "off"], "there is only `host`"),
        (&["start", "--node", "a,spec.nodeName=b"], "a node's name"),
        (&["start", "--kubernetes", "perhaps"], "perhaps"),
        (&["status", "-o", "xml"], "xml"),
        (&["completions", "cobol"], "cobol"),
    ];
    for (arguments, says) in cases {
        let done = finish(profile().args(arguments));
        assert_eq!((done.code(), done.stdout.as_str()), (2, ""), "{done}");
        // Without any word at all, the answer is the help.
        if !arguments.is_empty() {
            refused(&done, 2, says);
        }
    }
}

#[test]
fn a_command_that_cannot_be_run_has_the_exit_code_that_shells_give() {
    let scratch = Scratch::new();
    let file = |name: &str, content: &str, mode: u32| {
        let path = scratch.file(name, content);
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let folder = scratch.directory().to_str().unwrap().to_owned();
    let found_too_late = file("script", "#!/no/such/interpreter\n", 0o755);
    let cases = [
        ("no-such-command-anywhere", 127, "command not found"),
        ("/no/such/command", 127, "command not found"),
        ("", 127, "command not found"),
        (&file("text", "text", 0o644), 126, "cannot execute"),
        (&folder, 126, "cannot execute"),
    ];
    for (command, code, says) in cases {
        let done = finish(&mut profile_run(scratch.recording(), "a", &[], [command]));
        refused(&done, code, says);
        assert!(!scratch.recording().exists(), "{done}");
    }
    let done = finish(&mut profile_run(scratch.recording(), "a", &[], [found_too_late]));
    refused(&done, 126, "its interpreter is missing");
    let ended = &scratch.status()["windows"][0]["endReason"];
    assert!(ended.as_str().unwrap().starts_with("failed: cannot execute"), "{ended}");
}

#[test]
fn places_where_no_recording_can_be_are_named() {
    let scratch = Scratch::new();
    let (folder, fifo, link) = (scratch.path("folder"), scratch.path("fifo"), scratch.path("link"));
    fs::create_dir(&folder).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    symlink(scratch.path("elsewhere"), &link).unwrap();
    let cases = [
        (folder.clone(), "it is a directory"),
        (fifo.clone(), "it is no regular file"),
        (link, "it is a symbolic link"),
        (
            scratch.file("file", "").join("recording.db"),
            "cannot create the directory",
        ),
        ("/proc/recording.db".into(), "cannot create"),
    ];
    let marker = scratch.path("marker");
    for (recording, says) in cases {
        let done = finish(&mut profile_run(
            &recording,
            "a",
            &[],
            ["touch", marker.to_str().unwrap()],
        ));
        refused(&done, 1, says);
    }
    let mut read_only = profile_run(
        &folder.join("recording.db"),
        "a",
        &[],
        ["touch", marker.to_str().unwrap()],
    );
    in_own_mounts(&mut read_only, &[Mount::ReadOnly(&folder)]);
    refused(&finish(&mut read_only), 1, "Read-only file system");
    assert!(!marker.exists(), "the command must not run");
    assert!(!scratch.path("elsewhere").exists() && fifo.metadata().unwrap().file_type().is_fifo());
}

#[test]
fn a_file_that_is_no_recording_stays_as_it_is() {
    let scratch = Scratch::new();
    let done = finish(&mut profile_run(scratch.recording(), "a", &[], ["true"]));
    assert_eq!(done.code(), 0, "{done}");
    let good = fs::read(scratch.recording()).unwrap();

    let newer = scratch.file("newer", &good);
    Connection::open(&newer)
        .unwrap()
        .pragma_update(None, "user_version", 1000)
        .unwrap();
    let foreign = scratch.path("foreign");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE bookmark (url TEXT)")
        .unwrap();
    // Everything after the first page.
    let mut overwritten = good.clone();
    overwritten[4096..].fill(0xa5);
    let cases = [
        (
            scratch.file("text", "These are my notes.\n".repeat(500)),
            "it is no SQLite database",
        ),
        (foreign, "it is an SQLite database of another program"),
        (newer, "has schema version 1000"),
        (scratch.file("overwritten", overwritten), "is damaged"),
        (scratch.file("cut", &good[..good.len() / 2]), "is damaged"),
    ];
    let marker = scratch.path("marker");
    for (recording, says) in cases {
        let before = fs::read(&recording).unwrap();
        let status = finish(profile().arg("status").arg("--recording").arg(&recording));
        refused(&status, 1, says);
        let run = finish(&mut profile_run(
            &recording,
            "a",
            &[],
            ["touch", marker.to_str().unwrap()],
        ));
        refused(&run, 1, says);
        assert_eq!(fs::read(&recording).unwrap(), before, "{says}");
        assert!(!marker.exists(), "the command must not run: {run}");
    }
    let missing = finish(profile().args(["status", "--recording", "/no/such/recording.db"]));
    refused(&missing, 1, "there is no recording at /no/such/recording.db");
}

#[test]
fn a_full_disk_stops_the_recording_and_not_the_command() {
    let scratch = Scratch::new();
    let (disk, files, saved) = (scratch.path("disk"), scratch.path("files"), scratch.path("saved"));
    for folder in [&disk, &files, &saved] {
        fs::create_dir(folder).unwrap();
    }
    for file in 0..2000 {
        fs::write(files.join(format!("a-long-name-makes-the-recording-grow-{file}")), "").unwrap();
    }
    // More than the disk holds, then an exit code of its own. The disk exists for the shell around it only.
    let command = "cat files/* && touch marker && exit 7";
    let script = format!(
        "\"$0\" run --image a --flush-interval 50ms --recording disk/recording.db -- sh -c '{command}'; code=$?; \
         cp disk/* saved; exit $code"
    );
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(script)
        .arg(profile().get_program())
        .current_dir(scratch.directory());
    in_own_mounts(&mut shell, &[Mount::Tmpfs(&disk, "size=400k")]);
    let done = finish(&mut shell);
    refused(&done, 1, "the disk is full (or over quota), for 1");
    assert_eq!(done.stderr.matches("what is learned is kept").count(), 1, "{done}");
    assert!(
        scratch.path("marker").exists(),
        "the command was to run to its end: {done}"
    );

    let status = end_to_end::status(&saved.join("recording.db"));
    let ended = status["windows"][0]["endReason"].as_str().unwrap();
    assert!(ended == "crashed" || ended.contains("the disk is full"), "{status:#}");

    // With no room for even an empty recording, the command is not started.
    let mut shell = Command::new("sh");
    let script = "\"$0\" run --image a --recording disk/recording.db -- touch never";
    shell
        .arg("-c")
        .arg(script)
        .arg(profile().get_program())
        .current_dir(scratch.directory());
    in_own_mounts(&mut shell, &[Mount::Tmpfs(&disk, "size=8k")]);
    refused(&finish(&mut shell), 1, "the disk is full");
    assert!(!scratch.path("never").exists());
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let scratch = Scratch::new();
    let done = finish(&mut profile_run(scratch.recording(), "a", &[], ["true"]));
    assert_eq!(done.code(), 0, "{done}");
    assert_eq!(
        scratch.status()["windows"][0]["endReason"],
        json!("command exited with 0")
    );
    let recording = scratch.recording().to_str().unwrap();
    let cases: [&[&str]; 5] = [
        &["status", "--recording", recording],
        &["doctor"],
        &["completions", "bash"],
        &["completions", "zsh"],
        &["completions", "fish"],
    ];
    let written_to = |stdout: Stdio, arguments: &[&str]| {
        let mut command = profile();
        command.args(arguments).stdout(stdout).stderr(Stdio::piped());
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for arguments in cases {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, stderr) = written_to(full.into(), arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: cannot write to standard output"), "{stderr}");
        assert!(stderr.contains("help: free some space"), "{stderr}");
        assert_eq!(stderr.lines().count(), 2, "{stderr}");

        // Whoever has seen enough, such as head(1), closes the pipe.
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let gone = written_to(writer.into(), arguments);
        assert_eq!(gone, (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn whoever_wants_quiet_gets_warnings_and_errors_only() {
    let scratch = Scratch::new();
    let recording = scratch.recording().to_str().unwrap();
    let files: Vec<String> = (0..50)
        .map(|file| scratch.file(&format!("file-{file}"), "").to_str().unwrap().to_owned())
        .collect();
    let cat = std::iter::once("cat").chain(files.iter().map(String::as_str));
    let loud = finish(&mut profile_run(scratch.recording(), "a", &[], ["true"]));
    assert!(loud.stderr.starts_with("learned: "), "{loud}");

    let without_loss = profile_run(scratch.recording(), "a", &["-q"], ["true"]);
    let with_loss = profile_run(scratch.recording(), "a", &["-q", "--behaviours-max", "5"], cat);
    let mut status = profile();
    status.args(["status", "-q", "--recording", recording]);
    let mut doctor = profile();
    doctor.args(["-q", "doctor"]);
    let mut missing = profile();
    missing.args(["status", "-q", "--recording", "/no/such/recording.db"]);
    let cases = [
        (without_loss, 0, ""),
        (with_loss, 0, "warning: some observations were lost"),
        (status, 0, ""),
        (doctor, 0, ""),
        (missing, 1, "error: there is no recording"),
    ];
    for (mut command, code, says) in cases {
        let done = finish(&mut command);
        assert_eq!((done.code(), done.stdout.as_str()), (code, ""), "{done}");
        assert!(done.stderr.starts_with(says), "{done}");
        assert_eq!(done.stderr.is_empty(), says.is_empty(), "{done}");
    }
}

#[test]
fn containers_that_have_ended_are_counted_at_the_end() {
    let scratch = Scratch::new();
    let elsewhere = Cgroup::create(&unique("elsewhere"));
    let _inhabitant = elsewhere.inhabit();
    let mut window = start(&mut profile_start(scratch.recording(), &["--flush-interval", "50ms"]));
    window.wait_for("the window", |window| catches(window.id(), libc::SIGTERM));
    let is_recorded = |name: &str| {
        let containers = scratch.status()["containers"].clone();
        let mut workloads = containers
            .as_array()
            .unwrap()
            .iter()
            .map(|container| &container["workload"]);
        workloads.any(|workload| workload.as_str().unwrap().contains(name))
    };
    // A container is forgotten two flushes after its end. Where the last one is recorded, the first one is.
    for number in 0..5 {
        let name = unique(&format!("ended-{number}"));
        let done = Cgroup::create(&name).start(&mut Command::new("true")).finish();
        assert_eq!(done.code(), 0, "{done}");
        window.wait_for("its container", |_| is_recorded(&name));
    }
    window.signal(libc::SIGTERM);
    let done = window.finish();
    assert_eq!(done.code(), 0, "{done}");
    let seen = &scratch.status()["windows"][0]["containers"];
    assert!(seen.as_u64().unwrap() >= 5, "{seen}");
    assert!(
        done.stderr.contains(&format!(", {seen} containers, ")),
        "{seen}: {done}"
    );
}

#[test]
fn a_window_ends_with_its_terminal_unless_it_was_started_to_outlive_it() {
    let cases = [
        ("exec \"$0\" \"$@\"", "1h", "interrupted"),
        // As nohup(1) does.
        ("trap '' HUP; exec \"$0\" \"$@\"", "2s", "completed"),
    ];
    for (script, time, reason) in cases {
        let scratch = Scratch::new();
        let profile = profile_start(scratch.recording(), &["--for", time]);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script])
            .arg(profile.get_program())
            .args(profile.get_args());
        let mut window = start(&mut shell);
        window.wait_for("listening to signals", |window| catches(window.id(), libc::SIGTERM));
        window.signal(libc::SIGHUP);
        let done = window.finish();
        assert_eq!(done.code(), 0, "{done}");
        assert_eq!(scratch.status()["windows"][0]["endReason"], json!(reason), "{script}");
    }
}

/// Whether a process has a handler for a signal (`SigCgt` in `proc_pid_status(5)`).
fn catches(process: u32, signal: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap() & (1 << (signal - 1)) != 0
}
