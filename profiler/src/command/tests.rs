//! Signals concern a whole process, so what is about them runs in a process of its own: this test binary once more,
//! with the test [`profile_run_of_a_script`] alone.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::cgroups::{self, Hierarchy, Kind};

/// The hierarchies that we may make cgroups in. Not every machine that runs the tests has one.
fn writable() -> Vec<Hierarchy> {
    let all = cgroups::mounted().unwrap();
    let writable: Vec<_> = all
        .into_iter()
        .filter(|hierarchy| hierarchy.create_for_run().is_ok())
        .collect();
    if writable.is_empty() {
        eprintln!("skipped: no cgroup hierarchy can be written to (not root, or in a container)");
    }
    writable
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

fn shell(script: &str) -> Program {
    Program::find("sh".as_ref(), &words(&["-c", script])).unwrap()
}

const SCRIPT: &str = "WARDLINE_TEST_SCRIPT";

/// Not a test of its own: what `profile run -- sh -c "$SCRIPT"` does, and with its exit code.
#[test]
#[ignore = "started by the other tests"]
fn profile_run_of_a_script() {
    let Ok(script) = env::var(SCRIPT) else { return };
    let signals = Signals::hold().unwrap();
    let _ours = File::open("/dev/null").unwrap();
    let cgroup = writable().first().unwrap().create_for_run().unwrap();
    let code = shell(&script).spawn(&cgroup, signals).unwrap().wait().unwrap();
    cgroup.remove(Duration::ZERO).unwrap();
    std::process::exit(code.into());
}

fn profile_run(script: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([
        "--exact",
        "command::tests::profile_run_of_a_script",
        "--ignored",
        "--nocapture",
    ]);
    command.env(SCRIPT, script).stdout(Stdio::null()).stderr(Stdio::null());
    // Whoever runs the tests may ignore it (nohup), and what is ignored is ignored below, too.
    let heed_hangups = || {
        // SAFETY: async-signal-safe, and the default action for a valid signal.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_DFL) };
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(heed_hangups) };
    command
}

/// A folder with a file that scripts write to.
struct Notes(tempfile::TempDir);

impl Notes {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> String {
        self.0.path().join("notes").display().to_string()
    }

    fn read(&self) -> String {
        fs::read_to_string(self.path()).unwrap_or_default()
    }

    /// Until the script has written this. The limit only ends a test that hangs.
    fn wait_for(&self, text: &str) {
        let start = Instant::now();
        while !self.read().contains(text) {
            assert!(
                start.elapsed() < Duration::from_mins(1),
                "no `{text}` in `{}`",
                self.read()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn pid(child: &std::process::Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

fn without_cgroups() -> bool {
    writable().is_empty()
}

#[test]
fn a_command_is_in_its_cgroup_from_the_start_and_its_exit_code_comes_back() {
    for hierarchy in writable() {
        let notes = Notes::new();
        let cgroup = hierarchy.create_for_run().unwrap();
        let child = shell(&format!("cat /proc/self/cgroup > {}; exit 42", notes.path()));
        let child = child.spawn(&cgroup, Signals::hold().unwrap()).unwrap();
        assert!(child.id() > 1);
        assert_eq!(child.wait().unwrap(), 42);
        let path = String::from_utf8(cgroup.path().to_vec()).unwrap();
        assert!(
            notes.read().lines().any(|line| line.ends_with(&format!(":{path}"))),
            "{} {path}",
            notes.read()
        );
    }
}

#[test]
fn exit_codes_are_those_of_a_shell() {
    let Some(hierarchy) = writable().into_iter().next() else {
        return;
    };
    for (script, code) in [
        ("exit 0", 0),
        ("exit 255", 255),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
    ] {
        let cgroup = hierarchy.create_for_run().unwrap();
        let child = shell(script).spawn(&cgroup, Signals::hold().unwrap()).unwrap();
        assert_eq!(child.wait().unwrap(), code, "{script}");
    }
}

#[test]
fn the_command_keeps_the_name_it_was_called_by() {
    let Some(hierarchy) = writable().into_iter().next() else {
        return;
    };
    let notes = Notes::new();
    let cgroup = hierarchy.create_for_run().unwrap();
    let program = Program::find(
        "sh".as_ref(),
        &words(&["-c", &format!("tr '\\0' ' ' < /proc/$$/cmdline > {}", notes.path())]),
    );
    program
        .unwrap()
        .spawn(&cgroup, Signals::hold().unwrap())
        .unwrap()
        .wait()
        .unwrap();
    assert!(notes.read().starts_with("sh -c tr"), "{}", notes.read());
}

#[test]
fn what_cannot_be_run_is_told_apart_before_anything_is_set_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, mode: u32| {
        let path = folder.path().join(name);
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.into_os_string()
    };
    let (plain, script) = (file("plain", 0o644), file("script", 0o755));
    let slash = |name: &str| folder.path().join(name).into_os_string();
    let path = env::join_paths([Path::new("/nonexistent"), folder.path()]).unwrap();
    let cases: [(OsString, Result<(), u8>); 10] = [
        (script.clone(), Ok(())),
        ("script".into(), Ok(())),
        (plain, Err(126)),
        ("plain".into(), Err(126)),
        (folder.path().into(), Err(126)),
        (slash("missing"), Err(127)),
        (slash("script/below"), Err(127)),
        ("missing".into(), Err(127)),
        ("".into(), Err(127)),
        ("nul\0".into(), Err(127)),
    ];
    for (name, expected) in cases {
        let found = Program::find_along(&path, &name, &[]);
        assert_eq!(
            found.map(|_| ()).map_err(|error| error.exit_code()),
            expected,
            "{}",
            name.display()
        );
    }
    // The first one that may be executed wins over one that may not and comes earlier.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("script"), "").unwrap();
    let path = env::join_paths([other.path(), folder.path()]).unwrap();
    assert_eq!(
        Program::find_along(&path, "script".as_ref(), &[]).unwrap().path(),
        script
    );
    // An empty entry of PATH is the working directory, which for tests is the crate's.
    assert_eq!(
        Program::find_along("".as_ref(), "Cargo.toml".as_ref(), &[])
            .unwrap_err()
            .exit_code(),
        126
    );
}

#[test]
fn what_turns_out_at_the_start_says_so_and_leaves_nothing() {
    let Some(hierarchy) = writable().into_iter().next() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for (content, message) in [
        ("#!/nonexistent/interpreter\n", "its interpreter is missing"),
        ("#!/dev/null\n", "cannot execute"),
    ] {
        let path = folder.path().join("script");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let cgroup = hierarchy.create_for_run().unwrap();
        let program = Program::find(path.as_os_str(), &[]).unwrap();
        let error = loop {
            match program.spawn(&cgroup, Signals::hold().unwrap()).unwrap_err() {
                // Another test forked while the script was being written, and its child has yet to execute.
                CommandError::NotExecutable { source, .. } if source.raw_os_error() == Some(libc::ETXTBSY) => {}
                error => break error,
            }
        };
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(error.exit_code(), 126);
        assert!(!cgroup.is_populated().unwrap());
    }
}

#[test]
fn a_cgroup_that_takes_no_process_is_told_apart_from_a_program_that_does_not_start() {
    for hierarchy in writable().iter().filter(|hierarchy| hierarchy.kind == Kind::V2) {
        let parent = hierarchy.create_for_run().unwrap();
        let cgroup = hierarchy.create_child(parent.path(), "taken").unwrap();
        let sibling = hierarchy.create_child(parent.path(), "threaded").unwrap();
        // Beside a threaded cgroup there is no place for processes: its type becomes `domain invalid`.
        fs::write(sibling.directory().join("cgroup.type"), "threaded").unwrap();
        let error = shell("exit 0").spawn(&cgroup, Signals::hold().unwrap()).unwrap_err();
        assert!(
            matches!(&error, CommandError::Join { source } if source.raw_os_error() == Some(libc::EOPNOTSUPP)),
            "{error:?}"
        );
        assert_eq!(error.exit_code(), 1);
    }
}

#[test]
fn signals_sent_to_us_reach_the_command_once() {
    if without_cgroups() {
        return;
    }
    let notes = Notes::new();
    let script = format!(
        "for s in HUP INT QUIT USR1 USR2 WINCH; do trap \"echo got $s >> {0}\" $s; done
         trap 'echo got TERM >> {0}; exit 7' TERM
         echo ready >> {0}; while :; do sleep 0.01; done",
        notes.path()
    );
    let mut run = profile_run(&script).spawn().unwrap();
    notes.wait_for("ready");
    let mut expected = "ready\n".to_owned();
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::INT, "INT"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::WINCH, "WINCH"),
        (Signal::USR1, "USR1"),
        (Signal::TERM, "TERM"),
    ] {
        kill_process(pid(&run), signal).unwrap();
        expected = format!("{expected}got {name}\n");
        notes.wait_for(&expected);
    }
    assert_eq!(run.wait().unwrap().code(), Some(7));
    assert_eq!(notes.read(), expected);
}

#[test]
fn a_signal_that_the_command_sends_to_its_group_does_not_come_back() {
    if without_cgroups() {
        return;
    }
    let notes = Notes::new();
    let script = format!(
        "trap 'echo got >> {0}' USR1; kill -USR1 0; sleep 0.2; exit 5",
        notes.path()
    );
    let mut command = profile_run(&script);
    let mut run = command.process_group(0).spawn().unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(5));
    assert_eq!(notes.read(), "got\n");
}

#[test]
fn signals_before_the_command_wait_for_it() {
    // SIGWINCH, which nothing minds if other tests of this process get it.
    let Some(hierarchy) = writable().into_iter().next() else {
        return;
    };
    let notes = Notes::new();
    let signals = Signals::hold().unwrap();
    kill_process(rustix::process::getpid(), Signal::WINCH).unwrap();
    let cgroup = hierarchy.create_for_run().unwrap();
    // The shell has not set its trap yet when the signal comes: what it does is up to it, but it must live.
    let code = shell(&format!("echo alive > {}", notes.path()))
        .spawn(&cgroup, signals)
        .unwrap()
        .wait()
        .unwrap();
    assert_eq!((code, notes.read().as_str()), (0, "alive\n"));
}

/// Prints the open files, the blocked signals and those that are ignored or caught.
const INHERITED: &str = "ls /proc/self/fd; grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status";

/// What that printed, with signals up to 31 only: glibc keeps 32 and 33 for itself, and resets them with the first
/// thread.
fn inherited(notes: &Notes) -> Vec<String> {
    let line = |line: &str| match line.split_once(":\t") {
        Some((name, mask)) => format!("{name} {:x}", u64::from_str_radix(mask, 16).unwrap() & 0x7fff_ffff),
        None => line.to_owned(),
    };
    notes.read().lines().map(line).collect()
}

#[test]
fn the_command_inherits_what_it_would_without_us() {
    if without_cgroups() {
        return;
    }
    for ignoring in ["", "trap '' HUP USR2;"] {
        let (with, without) = (Notes::new(), Notes::new());
        let through =
            |script: &str, notes: &Notes| format!("{{ {script}; }} > {} 3</dev/null 7</dev/null", notes.path());
        let plain = format!("{ignoring} exec sh -c \"{}\" 5</dev/null", through(INHERITED, &without));
        assert!(Command::new("sh").args(["-c", &plain]).status().unwrap().success());

        let run = profile_run(&through(INHERITED, &with));
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{ignoring} exec \"$0\" \"$@\" 5</dev/null")])
            .arg(run.get_program())
            .args(run.get_args());
        command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert!(
            command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap()
                .success()
        );

        assert!(with.read().contains("\n5\n"), "{}", with.read());
        assert_eq!(inherited(&with), inherited(&without), "{ignoring}");
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    if without_cgroups() {
        return;
    }
    let notes = Notes::new();
    let run = profile_run(&format!("echo ready > {0}; sleep 0.3; echo over >> {0}", notes.path()));
    let mut command = Command::new("nohup");
    command.arg(run.get_program()).args(run.get_args());
    command.envs(run.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut run = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    notes.wait_for("ready");
    kill_process(pid(&run), Signal::HUP).unwrap();
    assert!(run.wait().unwrap().success());
    assert_eq!(notes.read(), "ready\nover\n");
}

/// Runs a script through us in the foreground of a new terminal, and types.
fn on_a_terminal(script: &str, notes: &Notes, typed: &[u8]) -> ExitStatus {
    let mut controller = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
    // Both ends close-on-exec from the start: other tests start programs at the same time.
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the first call reads an int, the second takes flags and returns a new descriptor that nobody else knows.
    let terminal = unsafe {
        assert_eq!(libc::ioctl(controller.as_raw_fd(), libc::TIOCSPTLCK, &0), 0);
        let terminal = libc::ioctl(controller.as_raw_fd(), libc::TIOCGPTPEER, flags);
        assert!(terminal >= 0);
        OwnedFd::from_raw_fd(terminal)
    };
    let mut command = profile_run(script);
    command.stdin(terminal);
    let take_terminal = || {
        // SAFETY: both are async-signal-safe; standard input is the terminal here.
        if unsafe { libc::setsid() == -1 || libc::ioctl(0, libc::TIOCSCTTY, 0) == -1 } {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(take_terminal) };
    let mut run = command.spawn().unwrap();
    notes.wait_for("ready");
    controller.write_all(typed).unwrap();
    // A terminal that nobody reads may block who writes to it.
    std::thread::spawn(move || controller.read_to_end(&mut Vec::new()));
    run.wait().unwrap()
}

#[test]
fn ctrl_c_reaches_the_command_once_and_we_survive_it() {
    if without_cgroups() {
        return;
    }
    for (typed, signal) in [(b"\x03", "INT"), (b"\x1c", "QUIT")] {
        let notes = Notes::new();
        let script = format!(
            "trap 'echo got {signal} >> {0}' {signal}; echo ready > {0}; sleep 0.3 & wait; sleep 0.2; exit 9",
            notes.path()
        );
        assert_eq!(
            on_a_terminal(&script, &notes, typed).code(),
            Some(9),
            "{signal}: {}",
            notes.read()
        );
        assert_eq!(notes.read(), format!("ready\ngot {signal}\n"));
    }
}
