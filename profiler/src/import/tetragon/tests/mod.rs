//! What lines become, from their bytes to the baselines made of them.

mod hostile;
mod windows;

use std::path::PathBuf;

use baselines::analysis;
use baselines::behaviour::{Phase, Provenance};
use baselines::document::Baseline;
use baselines::path::Origin;
use tempfile::TempDir;

use super::*;

/// A folder with a recording.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn recording(&self) -> PathBuf {
        self.0.path().join("recording.db")
    }

    fn import(&self, lines: &[String]) -> Summary {
        import_with(Options::into(Target::File(self.recording())), lines)
    }

    fn baseline(&self, image: &str) -> Baseline {
        let mut all = analysis::baselines(&[self.recording()]).unwrap();
        all.retain(|baseline| baseline.image.to_string().starts_with(image));
        all.pop().unwrap()
    }
}

fn import_with(options: Options, lines: &[String]) -> Summary {
    let mut importer = Importer::new(options);
    for line in lines {
        importer.line(line.as_bytes(), &|| "a test".to_owned()).unwrap();
    }
    importer.finish().unwrap()
}

/// A process of the container `shop/web`, or of the node.
#[derive(Clone)]
struct Of {
    id: &'static str,
    parent: &'static str,
    pid: u32,
    binary: &'static str,
    flags: &'static str,
    pod: &'static str,
}

/// A process of the node.
const NODE: Of = Of {
    id: "",
    parent: "",
    pid: 1,
    binary: "",
    flags: "execve clone",
    pod: "",
};

/// A process of a pod, below its first one.
const POD: Of = Of {
    pod: r#""docker":"551e161c47d8ff0eb665438a7bcd5b4","in_init_tree":true,"pod":{"namespace":"shop","name":"web-1",
        "workload":"web","workload_kind":"Deployment","container":{"id":"containerd://551e161c47d8ff0eb665438a7bcd5b4e3",
        "name":"main","image":{"name":"shop/web:1.4"},"start_time":"2026-11-21T10:00:00Z","pid":9}}"#,
    ..NODE
};

impl Of {
    fn json(&self) -> String {
        let Self {
            id,
            parent,
            pid,
            binary,
            flags,
            pod,
        } = self;
        let pod = if pod.is_empty() {
            String::new()
        } else {
            format!(",{pod}")
        };
        format!(
            r#"{{"exec_id":"{id}","parent_exec_id":"{parent}","pid":{pid},"binary":"{binary}","arguments":"-c \"echo a\" b","flags":"{flags}"{pod}}}"#
        )
        .replace('\n', "")
    }

    fn executed(&self, parent: &Self, second: u32) -> String {
        let (process, parent) = (self.json(), parent.json());
        end(
            &format!(r#""process_exec":{{"process":{process},"parent":{parent}}}"#),
            second,
        )
    }

    fn exited(&self, second: u32) -> String {
        end(&format!(r#""process_exit":{{"process":{}}}"#, self.json()), second)
    }

    fn calls(&self, function: &str, arguments: &str, second: u32) -> String {
        let process = self.json();
        let call = format!(
            r#"{{"process":{process},"function_name":"{function}","args":[{arguments}],"action":"KPROBE_ACTION_POST"}}"#
        );
        let kind = if function.starts_with("security_") {
            "process_kprobe"
        } else {
            "process_lsm"
        };
        end(&format!(r#""{kind}":{call}"#), second)
    }

    fn checks(&self, path: &str, second: u32) -> String {
        self.calls(
            "security_bprm_check",
            &format!(r#"{{"linux_binprm_arg":{{"path":"{path}"}}}}"#),
            second,
        )
    }

    fn opens(&self, path: &str, mode: u32, second: u32) -> String {
        let arguments = format!(r#"{{"file_arg":{{"path":"{path}"}}}},{{"uint_arg":{mode},"label":"f_mode"}}"#);
        self.calls("security_file_open", &arguments, second)
    }
}

/// Each line has a nanosecond of its own.
fn end(event: &str, second: u32) -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NANOS: AtomicU32 = AtomicU32::new(0);
    let nanos = NANOS.fetch_add(1, Ordering::Relaxed);
    let (minute, second) = (second / 60, second % 60);
    format!(r#"{{{event},"node_name":"worker-1","time":"2026-11-21T10:{minute:02}:{second:02}.{nanos:09}Z"}}"#)
}

fn why(summary: &Summary, why: Why) -> u64 {
    summary.counters.total().not.get(&why).copied().unwrap_or_default()
}

#[test]
fn an_execution_has_the_kernels_path_and_so_has_whoever_it_becomes() {
    let scratch = Scratch::new();
    let shell = Of {
        id: "a",
        pid: 7,
        binary: "/bin/sh",
        ..POD
    };
    let fork = Of {
        id: "b",
        parent: "a",
        pid: 8,
        ..shell.clone()
    };
    let script = Of {
        id: "c",
        parent: "a",
        pid: 8,
        binary: "./run.sh",
        ..POD
    };
    let summary = scratch.import(&[
        NODE.checks("/usr/bin/dash", 0).replace(r#""pid":1"#, r#""pid":7"#),
        shell.executed(&NODE, 0),
        fork.opens("/etc/passwd", 0x1d, 1),
        fork.checks("/app/run.sh", 2),
        fork.checks("/usr/bin/python3.11", 2),
        script.executed(&shell, 2),
        script.opens("/tmp/new", 0x10_001e, 3),
        script.exited(4),
    ]);
    let web = scratch.baseline("docker.io/shop/web:1.4");
    let [exec_shell, exec_script] = &web.behaviours.exec[..] else {
        panic!("{web:?}")
    };
    assert_eq!(exec_shell.binary.to_text(), "/usr/bin/dash");
    assert_eq!(exec_script.binary.to_text(), "/usr/bin/python3.11");
    assert_eq!(exec_script.script.as_ref().unwrap().to_text(), "/app/run.sh");
    assert_eq!(
        (exec_script.parent.to_text(), exec_script.parent.origin()),
        ("/usr/bin/dash".to_owned(), Origin::Canonical)
    );
    let opens: Vec<_> = web
        .behaviours
        .open
        .iter()
        .map(|it| format!("{} {} {}", it.subject, it.path, it.access))
        .collect();
    assert_eq!(
        opens,
        [
            "/usr/bin/dash /etc/passwd read",
            "/usr/bin/python3.11 /tmp/new write,create"
        ]
    );
    assert_eq!(
        (summary.counters.as_called, summary.counters.subjects_as_called),
        (0, 1)
    );
    assert_eq!(summary.counters.total().used, 4);
}

#[test]
fn an_execution_that_nobody_checked_is_as_called_and_a_loss() {
    let scratch = Scratch::new();
    let summary = scratch.import(&[POD
        .executed(&NODE, 0)
        .replace(r#""binary":"""#, r#""binary":"/bin/sh""#)]);
    let exec = &scratch.baseline("docker.io/shop/web").behaviours.exec[0];
    assert_eq!(
        (exec.binary.to_text(), exec.binary.origin()),
        ("/bin/sh".to_owned(), Origin::AsCalled)
    );
    assert_eq!(summary.imported[0].losses["unresolved_path"], 1);
    assert_eq!(summary.counters.as_called, 1);
}

#[test]
fn a_check_without_an_execution_is_none() {
    let scratch = Scratch::new();
    let denied = POD.checks("/bin/denied", 0).replace("ACTION_POST", "ACTION_OVERRIDE");
    let summary = scratch.import(&[denied, POD.checks("/bin/failed", 1), POD.opens("/a", 1, 2)]);
    assert_eq!((why(&summary, Why::Denied), why(&summary, Why::NoExecution)), (1, 1));
    assert!(scratch.baseline("docker.io/shop/web").behaviours.exec.is_empty());
}

#[test]
fn who_ran_before_the_agent_is_known_and_executed_nothing() {
    let scratch = Scratch::new();
    let daemon = Of {
        id: "d",
        binary: "/usr/sbin/nginx",
        flags: "procFS",
        ..POD
    };
    scratch.import(&[daemon.executed(&NODE, 0), daemon.opens("/etc/a", 1, 1)]);
    let web = scratch.baseline("docker.io/shop/web");
    assert!(web.behaviours.exec.is_empty());
    assert_eq!(web.behaviours.open[0].subject.origin(), Origin::Canonical);
}

#[test]
fn nameless_files_keep_what_is_known_of_them() {
    let scratch = Scratch::new();
    let memfd = Of {
        id: "m",
        pid: 7,
        binary: "/dev/fd/5",
        ..POD
    };
    let deleted = Of {
        id: "n",
        pid: 8,
        binary: "/srv/del",
        ..POD
    };
    let summary = scratch.import(&[
        memfd.calls(
            "security_bprm_check",
            r#"{"linux_binprm_arg":{"permission":"-rwxr-xr-x"}}"#,
            0,
        ),
        memfd.executed(&NODE, 0),
        deleted.checks("/srv/del (deleted)", 1),
        deleted.executed(&NODE, 1),
        deleted.calls(
            "security_file_open",
            r#"{"file_arg":{"path":"/tail","flags":"unresolvedPathComponents"}}"#,
            2,
        ),
        deleted.opens("/bad\u{fffd}", 1, 2),
        deleted.opens("", 1, 2),
    ]);
    let behaviours = scratch.baseline("docker.io/shop/web").behaviours;
    let origins: Vec<_> = behaviours.exec.iter().map(|it| it.binary.origin()).collect();
    assert_eq!(origins, [Origin::Deleted, Origin::Memfd]);
    assert_eq!(behaviours.open[0].path.origin(), Origin::Cut);
    assert_eq!((why(&summary, Why::NoPath), why(&summary, Why::UnreadablePath)), (1, 1));
    assert_eq!(summary.imported[0].losses["unresolved_path"], 2);
    assert_eq!(summary.counters.access_unknown, 1);
}

#[test]
fn connections_have_the_address_that_was_passed() {
    let scratch = Scratch::new();
    let to = |function: &str, family: &str, address: &str, protocol: &str| {
        let socket = format!(r#"{{"sock_arg":{{"protocol":"{protocol}"}}}},"#);
        let address = format!(r#"{{"sockaddr_arg":{{"family":"{family}","addr":"{address}","port":53}}}}"#);
        POD.calls(function, &(socket + &address), 0)
    };
    let summary = scratch.import(&[
        to("security_socket_connect", "AF_INET", "10.0.0.1", "IPPROTO_TCP"),
        to("security_socket_connect", "AF_INET6", "10.0.0.1", "IPPROTO_MPTCP"),
        to("socket_connect", "AF_INET6", "::ffff:10.0.0.2", "IPPROTO_SCTP"),
        to("security_socket_sendmsg", "AF_INET", "10.0.0.3", "IPPROTO_UDP"),
        to("security_socket_connect", "AF_UNIX", "", "0"),
        to("security_socket_connect", "AF_UNSPEC", "", "IPPROTO_TCP"),
        POD.calls(
            "security_socket_connect",
            r#"{"sockaddrun_arg":{"path":"/run/a.sock"}}"#,
            1,
        ),
        POD.calls(
            "security_socket_connect",
            r#"{"sockaddrun_arg":{"path":"@abstract"}}"#,
            1,
        ),
        POD.calls("security_socket_connect", r#"{"int_arg":16}"#, 1),
    ]);
    let behaviours = scratch.baseline("docker.io/shop/web").behaviours;
    let connect: Vec<_> = behaviours
        .connect
        .iter()
        .map(|it| format!("{} {} {}", it.address, it.port, it.protocol))
        .collect();
    assert_eq!(
        connect,
        ["10.0.0.1 53 tcp", "::ffff:10.0.0.1 53 tcp", "::ffff:10.0.0.2 53 132"]
    );
    assert_eq!(behaviours.send[0].address.to_string(), "10.0.0.3");
    assert_eq!(behaviours.connect_unix[0].path.origin(), Origin::AsCalled);
    assert_eq!((why(&summary, Why::NoAddress), why(&summary, Why::NoArgument)), (3, 1));
}

#[test]
fn who_entered_a_container_and_who_set_it_up_is_not_learned() {
    let scratch = Scratch::new();
    let variant = |id, from: &str, to: &str| {
        let pod = POD.pod.replace(from, to);
        Of {
            id,
            pod: String::leak(pod),
            binary: "/bin/x",
            ..POD
        }
    };
    let entered = variant("e", r#""in_init_tree":true"#, r#""in_init_tree":false"#);
    let probe = variant("p", r#""in_init_tree":true"#, r#""in_init_tree":false"#);
    let probe = Of {
        pod: String::leak(probe.pod.replace(r#""pid":9"#, r#""pid":9,"maybe_exec_probe":true"#)),
        ..probe
    };
    let helper = Of {
        id: "h",
        parent: "p",
        ..entered.clone()
    };
    let runtime = Of {
        id: "r",
        binary: "/usr/sbin/runc",
        ..POD
    };
    let old = variant("o", r#""in_init_tree":true,"#, "");
    let summary = scratch.import(&[
        probe.executed(&NODE, 0),
        helper.executed(&probe, 0),
        entered.opens("/entered", 1, 1),
        helper.opens("/helper", 1, 1),
        runtime.opens("/runtime", 1, 1),
        old.opens("/old", 1, 1),
    ]);
    let web = scratch.baseline("docker.io/shop/web");
    let provenance = |behaviours: &baselines::document::Behaviours| -> Vec<_> {
        behaviours
            .open
            .iter()
            .map(|it| (it.path.to_text(), it.evidence.provenance[0]))
            .collect()
    };
    assert_eq!(
        provenance(&web.behaviours),
        [
            ("/helper".to_owned(), Provenance::Kubelet),
            ("/old".to_owned(), Provenance::Workload)
        ]
    );
    assert_eq!(
        provenance(&web.not_learned),
        [
            ("/entered".to_owned(), Provenance::Entered),
            ("/runtime".to_owned(), Provenance::Runtime)
        ]
    );
    assert_eq!(summary.counters.provenance_unknown, 1);
}

#[test]
fn a_layers_file_is_the_open_that_was_just_seen_unless_its_path_is_another() {
    let scratch = Scratch::new();
    let process = Of { id: "a", ..POD };
    let summary = scratch.import(&[
        process.executed(&NODE, 0),
        process.opens("/etc/a", 0x1d, 1),
        process.opens("/etc/a", 0x2000_001d, 1),
        process.opens("/layer/etc/a", 0x2000_001d, 1),
        process.opens("/etc/a", 0x1d, 1),
    ]);
    let opens = scratch.baseline("docker.io/shop/web").behaviours.open;
    let counts: Vec<_> = opens.iter().map(|it| (it.path.to_text(), it.evidence.count)).collect();
    assert_eq!(counts, [("/etc/a".to_owned(), 2), ("/layer/etc/a".to_owned(), 1)]);
    assert_eq!(why(&summary, Why::LayerOfOpen), 1);
}

#[test]
fn what_the_source_lost_is_lost() {
    let scratch = Scratch::new();
    let summary = scratch.import(&[
        POD.opens("/a", 1, 0),
        end(r#""rate_limit_info":{"number_of_dropped_process_events":"12"}"#, 1),
        end(r#""process_throttle":{"type":"THROTTLE_START","cgroup":"x"}"#, 2),
        end(r#""process_throttle":{"type":"THROTTLE_STOP","cgroup":"x"}"#, 3),
        end(r#""process_loader":{"path":"/lib/x.so"}"#, 3),
        POD.calls("security_mmap_file", r#"{"file_arg":{"path":"/lib/x.so"}}"#, 4),
        "{".to_owned(),
    ]);
    let losses = &summary.imported[0].losses;
    let expected = [
        ("source_rate_limit", 12),
        ("source_throttled", 1),
        ("source_unreadable", 1),
    ];
    assert_eq!(
        losses
            .iter()
            .map(|(reason, count)| (*reason, *count))
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(why(&summary, Why::CannotBeMapped), 2);
    assert_eq!(
        summary
            .unreadable
            .first
            .as_deref()
            .map(|it| it.starts_with("a test: EOF")),
        Some(true)
    );
    let web = scratch.baseline("docker.io/shop/web");
    assert_eq!(web.losses.len(), 3);
    assert_eq!(web.uncounted_losses.len(), 1);
}

#[test]
fn arguments_are_recorded_when_asked_for() {
    let scratch = Scratch::new();
    let options = Options::into(Target::File(scratch.recording()));
    let rules = Rules {
        record_arguments: true,
        ..options.rules
    };
    let cut = Of {
        id: "c",
        pid: 8,
        flags: "execve truncArgs",
        ..POD
    };
    let lines = [POD.executed(&NODE, 0), cut.executed(&NODE, 0)];
    import_with(Options { rules, ..options }, &lines);
    let exec = scratch.baseline("docker.io/shop/web").behaviours.exec;
    let arguments: Vec<_> = exec
        .iter()
        .map(|it| it.arguments.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(arguments, [r#""" -c "echo a" b..."#, r#""" -c "echo a" b"#]);
}

#[test]
fn phases_are_told_by_the_containers_start() {
    let scratch = Scratch::new();
    scratch.import(&[POD.opens("/a", 1, 59), POD.opens("/b", 1, 61), NODE.opens("/c", 1, 1)]);
    let phases = |image: &str| -> Vec<_> {
        let opens = scratch.baseline(image).behaviours.open;
        opens.iter().map(|it| it.evidence.phases[0]).collect()
    };
    assert_eq!(phases("docker.io/shop/web"), [Phase::Startup, Phase::Steady]);
    assert_eq!(phases("host/worker-1"), [Phase::Steady]);
}
