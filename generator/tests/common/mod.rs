//! A place to run the program in, and what it told.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

pub(crate) mod page;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use baselines::behaviour::{
    Access, Action, Arguments, Behaviour, Capabilities, Phase, Protocol, Provenance, RaiseCause,
};
use baselines::document::{Image, Workload};
use baselines::path::FilePath;
use baselines::recording::{Container, EndReason, Flush, Node, Observation, Recording, WindowStart};
use baselines::time::UtcTime;
use tempfile::TempDir;

/// A folder of its own for every test, in which the program runs.
pub(crate) struct Workshop(TempDir);

impl Workshop {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_generate"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("WARDLINE_RECORDING");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Told {
        Told::new(self.command(arguments).output().unwrap())
    }

    /// The names in a folder, sorted.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn contents(&self, folder: &str) -> Vec<(String, String)> {
        let read = |name: String| (name.clone(), fs::read_to_string(self.path(folder).join(name)).unwrap());
        self.names(folder).into_iter().map(read).collect()
    }

    /// A recording of one container of `repository`, which did something of every kind.
    pub(crate) fn record(&self, name: &str, repository: &str) {
        let node = Node {
            host: format!("node-of-{name}"),
            boot_id: "5a1e0b8c-52a2-4f0e-9d6c-4c5cbd2ff0f4".to_owned(),
            kernel: "6.18.1".to_owned(),
            machine_id: None,
        };
        let now = UtcTime::from_nanos(1_795_000_000_000_000_000);
        let mut writer = Recording::open_or_create(&self.path(name), &node).unwrap();
        let start = WindowStart {
            started: now,
            selector: "host".to_owned(),
            backend: "tracepoint".to_owned(),
            tool_version: "0.1.0".to_owned(),
            flush_interval: Duration::from_secs(2),
            lossy_from_start: None,
            names: baselines::dns::Names::Off,
        };
        let window = writer.start_window(&start).unwrap();
        let dash = FilePath::canonical(*b"/usr/bin/dash");
        let exec = |arguments| Action::Exec {
            binary: dash.clone(),
            script: Some(FilePath::canonical(*b"/app/run.sh")),
            arguments,
        };
        let open = |path: &str, access| Action::Open {
            path: FilePath::canonical(path.as_bytes()),
            access,
            backing: None,
        };
        let (address, protocol) = ([10, 0, 0, 1].into(), Protocol::Udp);
        let send = |port| Action::Send {
            address,
            port,
            protocol,
        };
        let listen = |port| Action::Listen {
            address,
            port,
            protocol: Protocol::Tcp,
        };
        let actions = [
            exec(None),
            exec(Some(Arguments::new(b"run.sh\0--password=secret\0", false))),
            open("/etc/hosts", Access::READ),
            open("/etc/hosts", Access::MAP),
            open("/mapped.so", Access::MAP),
            Action::Connect {
                address,
                port: 53,
                protocol,
            },
            Action::ConnectUnix {
                path: FilePath::canonical(*b"/run/log.sock"),
            },
            send(53),
            send(123),
            send(514),
            listen(0),
            listen(80),
            Action::Raise {
                binary: FilePath::canonical(*b"/usr/bin/su"),
                cause: RaiseCause::Execution,
                user: 0,
                capabilities: Capabilities::ALL,
            },
        ];
        let observation = |action| Observation {
            cgroup_id: 7,
            behaviour: Behaviour {
                subject: dash.clone(),
                action,
            },
            provenance: Provenance::Workload,
            phase: Phase::Startup,
            minute: now.minute(),
            count: 3,
            first_seen: now,
            last_seen: now,
        };
        let flush = Flush {
            at: now,
            containers: vec![Container {
                cgroup_id: 7,
                workload: "host/container/web/main".parse::<Workload>().unwrap(),
                id: "c0ffee".to_owned(),
                image: Image {
                    repository: repository.to_owned(),
                    tag: Some("1.4".to_owned()),
                    digest: None,
                },
                cgroup_path: b"/web".to_vec(),
                started: now,
                alive_until: now,
                partial: false,
            }],
            observations: actions.into_iter().map(observation).collect(),
            ..Flush::default()
        };
        writer.flush(window, &flush).unwrap();
        writer.end_window(window, &EndReason::Completed, now).unwrap();
    }

    /// The golden baseline of a web server, in `baselines/`.
    pub(crate) fn baseline(&self) {
        fs::create_dir(self.path("baselines")).unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/web.baseline.yaml");
        fs::copy(golden, self.path("baselines/web.yaml")).unwrap();
    }
}

#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Told {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It failed as designed: exit code 1, one message with help, nothing on standard output.
    #[track_caller]
    pub(crate) fn failed(&self, what: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(1), ""), "{self:?}");
        assert!(
            self.stderr.starts_with("error: ") && self.stderr.contains(what),
            "{self:?}"
        );
        assert!(self.stderr.contains("\n  help: "), "{self:?}");
        assert_eq!(self.stderr.matches("error: ").count(), 1, "{self:?}");
    }
}
