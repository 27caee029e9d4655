//! The recorder, fed by hand with what the probes would send.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use baselines::behaviour::{Action, Protocol, Provenance};
use baselines::path::{FilePath, Origin};
use baselines::workload::{Image as ImageName, Workload};
use profiler_common::{
    ArgumentsRecord, Execution, PATH_BYTES, Peer, Raise, Record, Scripted, flags, kind, pod, raise, record,
};

use super::attribution::Scope;
use super::described::Loader;
use super::*;

mod entered;

const CGROUP: u64 = 7;
const PROGRAM: u64 = 100;

fn clock() -> Clock {
    Clock::now()
}

fn recorder() -> Recorder {
    let text = str::to_owned;
    let workload = Workload {
        namespace: text("host"),
        kind: text("run"),
        name: text("a"),
        container: text("a"),
    };
    let image = ImageName {
        repository: text("a"),
        tag: None,
        digest: None,
    };
    let mut attribution = Attribution::new(Scope::Run {
        cgroup: CGROUP,
        path: b"/run".to_vec(),
        workload,
        image,
    });
    attribution.appeared(CGROUP, b"/run", clock());
    recorder_of(attribution)
}

/// Whatever it asks for in the file system, nothing is found.
fn recorder_of(attribution: Attribution) -> Recorder {
    recorder_asking(attribution, || {
        shell(r#"while read -r line; do echo '"Nothing"'; done"#)
    })
}

fn recorder_asking(attribution: Attribution, command: fn() -> Command) -> Recorder {
    let resolver = Resolver::new(Workers {
        command,
        ..Workers::default()
    });
    Recorder::with(attribution, Described::new(OwnRoot::default(), None, resolver))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A record whose path ends where the probes end it.
fn message(kind: u32, id: u64, key: Key, path: &[u8], set: u32) -> Vec<u8> {
    let mut message: Record = pod::zeroed();
    let start = PATH_BYTES - path.len();
    message.path[start..PATH_BYTES].copy_from_slice(path);
    (message.kind, message.id, message.key, message.tgid) = (kind, id, key, u32::MAX);
    message.walk.position = start as u64;
    message.walk.below_mount = u64::MAX;
    message.walk.layer = start as u64;
    message.walk.flags = set.into();
    pod::bytes_of(&message).to_vec()
}

fn key(kind: u8, object: [u64; 8]) -> Key {
    Key {
        cgroup: CGROUP,
        subject: PROGRAM,
        kind,
        access: 1,
        object,
        ..pod::zeroed()
    }
}

fn delta(key: Key, count: u64) -> Delta {
    let now = crate::clock::boot_ns();
    Delta {
        key,
        count,
        first: now,
        last: now,
        seen: now,
    }
}

/// The next flush, once everything has been looked for.
fn flush(recorder: &mut Recorder) -> Flush {
    recorder.described.settle(Duration::from_secs(10));
    recorder.flush(clock())
}

/// The subject's description.
fn program() -> Vec<u8> {
    message(record::IMAGE, PROGRAM, pod::zeroed(), b"/no/such/program", 0)
}

fn counts(flush: &Flush) -> Vec<(String, u64)> {
    let mut counts: Vec<_> = flush
        .observations
        .iter()
        .map(|seen| (seen.behaviour.to_string(), seen.count))
        .collect();
    counts.sort();
    counts
}

fn lost(flush: &Flush) -> Vec<(Option<u64>, Reason, u64)> {
    let mut lost: Vec<_> = flush
        .losses
        .iter()
        .map(|loss| (loss.cgroup_id, loss.reason, loss.count))
        .collect();
    lost.sort();
    lost
}

#[test]
fn a_count_waits_for_its_description_in_whatever_order_they_come() {
    let file = key(kind::OPEN, [1; 8]);
    let described = message(record::FILE, 0, file, b"/etc/hosts", 0);
    let expected = vec![("/no/such/program opens /etc/hosts (read)".to_owned(), 5)];

    let mut recorder = recorder();
    recorder.count(delta(file, 5), clock());
    assert_eq!(counts(&flush(&mut recorder)), [], "nobody knows yet what it was");
    recorder.describe(&program(), clock());
    assert_eq!(counts(&flush(&mut recorder)), [], "nor which file");
    recorder.describe(&described, clock());
    assert_eq!(counts(&flush(&mut recorder)), expected);
    assert_eq!(counts(&flush(&mut recorder)), [], "counted once");

    recorder = self::recorder();
    recorder.describe(&described, clock());
    recorder.describe(&program(), clock());
    recorder.count(delta(file, 2), clock());
    recorder.count(delta(file, 3), clock());
    assert_eq!(counts(&flush(&mut recorder)), expected);
}

#[test]
fn what_is_never_described_is_a_loss_with_a_number() {
    let mut recorder = recorder();
    recorder.describe(&program(), clock());
    recorder.count(delta(key(kind::OPEN, [1; 8]), 5), clock());
    recorder.count(
        delta(
            Key {
                cgroup: 8,
                ..key(kind::OPEN, [2; 8])
            },
            3,
        ),
        clock(),
    );
    recorder.give_up_waiting(clock());
    let flush = flush(&mut recorder);
    assert_eq!(counts(&flush), []);
    let expected = [
        (Some(CGROUP), Reason::Undescribed, 5),
        (Some(8), Reason::UnresolvedCgroup, 3),
    ];
    assert_eq!(lost(&flush), expected);
}

#[test]
fn counts_of_the_last_generation_still_find_their_description() {
    let file = key(kind::OPEN, [1; 8]);
    let mut recorder = recorder();
    recorder.describe(&program(), clock());
    recorder.describe(&message(record::FILE, 0, file, b"/etc/hosts", 0), clock());
    recorder.next_generation();
    recorder.count(delta(file, 1), clock());
    assert_eq!(counts(&flush(&mut recorder)).len(), 1);
}

#[test]
fn an_execution_opens_what_no_system_call_shows() {
    let execution = Execution {
        image: 101,
        ..pod::zeroed()
    };
    let mut recorder = recorder();
    recorder.describe(&program(), clock());
    recorder.describe(
        &message(record::IMAGE, 101, pod::zeroed(), b"/no/such/tool", 0),
        clock(),
    );
    recorder.count(delta(key(kind::EXEC, pod::cast(execution)), 4), clock());
    let expected = [
        ("/no/such/program executes /no/such/tool".to_owned(), 4),
        ("/no/such/program maps /no/such/tool".to_owned(), 4),
        ("/no/such/program opens /no/such/tool (read)".to_owned(), 4),
    ];
    let flush = flush(&mut recorder);
    assert_eq!(counts(&flush), expected);
    let its_loader_is_unknown = [(Some(CGROUP), Reason::UnresolvedPath, 4)];
    assert_eq!(lost(&flush), its_loader_is_unknown);
}

#[test]
fn where_the_hooks_tell_of_every_open_an_execution_adds_none() {
    let mut recorder = recorder();
    recorder.described.opens_are_told(true);
    recorder.describe(&program(), clock());
    for (image, path) in [(101, &b"/bin/sh"[..]), (102, b"/app/start"), (103, b"/app/interpreter")] {
        recorder.describe(&message(record::IMAGE, image, pod::zeroed(), path, 0), clock());
    }
    let direct = Execution {
        image: 101,
        ..pod::zeroed()
    };
    let scripted = Scripted {
        image: 101,
        scripts: [102, 103, 0, 0, 0, 0],
        ..pod::zeroed()
    };
    recorder.count(delta(key(kind::EXEC, pod::cast(direct)), 4), clock());
    recorder.count(delta(key(kind::SCRIPTED, pod::cast(scripted)), 3), clock());
    let expected = [
        ("/no/such/program executes /app/interpreter with /bin/sh".to_owned(), 3),
        ("/no/such/program executes /app/start with /bin/sh".to_owned(), 3),
        ("/no/such/program executes /bin/sh".to_owned(), 4),
    ];
    let flush = flush(&mut recorder);
    assert_eq!(counts(&flush), expected);
    assert_eq!(lost(&flush), []);
}

#[test]
fn an_execution_waits_for_its_arguments() {
    let execution = Execution {
        image: PROGRAM,
        arguments: 7,
        ..pod::zeroed()
    };
    let counted = key(kind::EXEC, pod::cast(execution));
    let mut recorder = recorder();
    recorder.described.opens_are_told(true);
    recorder.describe(&program(), clock());
    recorder.count(delta(counted, 2), clock());
    assert_eq!(counts(&flush(&mut recorder)), []);
    let mut told: ArgumentsRecord = pod::zeroed();
    told.kind = record::ARGUMENTS;
    told.key = counted;
    told.length = 6;
    told.bytes[..6].copy_from_slice(b"a\0b c\0");
    recorder.describe(pod::bytes_of(&told), clock());
    let expected = [("/no/such/program executes /no/such/program (a \"b c\")".to_owned(), 2)];
    assert_eq!(counts(&flush(&mut recorder)), expected);
}

#[test]
fn sockets_and_raises_are_told_by_their_kinds() {
    let peer = Peer {
        address: [127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        port: 53,
        family: 2,
        protocol: 17,
        padding: [0; 42],
    };
    let raised = Raise {
        image: PROGRAM,
        capabilities: 1,
        user: 0,
        cause: raise::EXECUTION,
        padding: [0; 5],
    };
    let mut recorder = recorder();
    recorder.describe(&program(), clock());
    for kind in [kind::CONNECT, kind::SEND, kind::LISTEN] {
        recorder.count(delta(key(kind, pod::cast(peer)), u64::from(kind)), clock());
    }
    recorder.count(delta(key(kind::RAISE, pod::cast(raised)), 1), clock());
    let expected = [
        (
            "/no/such/program connects to 127.0.0.1:53 (udp)",
            u64::from(kind::CONNECT),
        ),
        (
            "/no/such/program listens on 127.0.0.1:53 (udp)",
            u64::from(kind::LISTEN),
        ),
        (
            "/no/such/program raises its privileges by executing /no/such/program (user 0, cap_chown)",
            1,
        ),
        ("/no/such/program sends to 127.0.0.1:53 (udp)", u64::from(kind::SEND)),
    ];
    let expected = expected.map(|(text, count)| (text.to_owned(), count));
    assert_eq!(counts(&flush(&mut recorder)), expected);
}

#[test]
fn addresses_are_the_ones_that_were_passed() {
    let v4 = Peer {
        address: [0; 16],
        port: 443,
        family: 2,
        protocol: 6,
        padding: [0; 42],
    };
    let v4 = Peer {
        address: [10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ..v4
    };
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1];
    let mapped = Peer {
        address: mapped,
        family: 10,
        protocol: 17,
        ..v4
    };
    let mut recorder = recorder();
    recorder.describe(&program(), clock());
    recorder.count(delta(key(kind::CONNECT, pod::cast(v4)), 1), clock());
    recorder.count(delta(key(kind::CONNECT, pod::cast(mapped)), 1), clock());
    let mut seen: Vec<_> = recorder
        .flush(clock())
        .observations
        .into_iter()
        .map(|seen| seen.behaviour.action)
        .collect();
    seen.sort();
    let connect = |address: &str, protocol| Action::Connect {
        address: address.parse::<IpAddr>().unwrap(),
        port: 443,
        protocol,
    };
    assert_eq!(
        seen,
        [
            connect("10.0.0.1", Protocol::Tcp),
            connect("::ffff:10.0.0.1", Protocol::Udp)
        ]
    );
}

#[test]
fn paths_say_where_they_come_from() {
    let cases: [(&[u8], u32, &[u8], Origin); 8] = [
        (b"/etc/hosts", 0, b"/etc/hosts", Origin::Canonical),
        (b"", 0, b"/", Origin::Canonical),
        (b"/x (deleted)", flags::DELETED, b"/x (deleted)", Origin::Deleted),
        (
            b"/memfd:code",
            flags::PATHLESS | flags::UNREACHABLE,
            b"memfd:code",
            Origin::Memfd,
        ),
        (b"", flags::PATHLESS | flags::UNREACHABLE, b"", Origin::Anonymous),
        (b"/outside", flags::UNREACHABLE, b"/outside", Origin::Unreachable),
        (b"/tail", flags::CUT, b"/tail", Origin::Cut),
        (b"/tail", flags::FULL, b"/tail", Origin::Cut),
    ];
    for (bytes, set, expected, origin) in cases {
        let file = key(kind::OPEN, [1; 8]);
        let mut recorder = recorder();
        recorder.describe(&program(), clock());
        recorder.describe(&message(record::FILE, 0, file, bytes, set), clock());
        recorder.count(delta(file, 1), clock());
        let flush = flush(&mut recorder);
        let Action::Open { path, .. } = &flush.observations[0].behaviour.action else {
            panic!("an open")
        };
        assert_eq!((path.as_bytes(), path.origin()), (expected, origin));
    }
}

#[test]
fn a_file_on_an_overlay_has_a_path_in_its_layer() {
    // Where it is mounted, which part of it that shows, the rest of the path; its path in the layer, if that is another one.
    let cases: [(&str, &str, &str, Option<&str>); 6] = [
        ("", "", "/etc/hosts", None),
        ("/mnt", "", "/etc/hosts", Some("/etc/hosts")),
        ("/mnt", "", "", Some("/")),
        ("/mnt", "/part", "/etc/hosts", Some("/part/etc/hosts")),
        ("/mnt", "/part", "", Some("/part")),
        ("", "/jail", "/etc/hosts", Some("/jail/etc/hosts")),
    ];
    for (mounted, part, below, expected) in cases {
        let file = key(kind::OPEN, [1; 8]);
        let path = format!("{part}{mounted}{below}");
        let mut described: Record =
            pod::read(&message(record::FILE, 0, file, path.as_bytes(), flags::OVERLAY)).unwrap();
        described.walk.position += part.len() as u64;
        if !mounted.is_empty() {
            described.walk.below_mount = (PATH_BYTES - below.len()) as u64;
        }
        let mut recorder = recorder();
        recorder.describe(&program(), clock());
        recorder.describe(pod::bytes_of(&described), clock());
        recorder.count(delta(file, 1), clock());
        let flush = flush(&mut recorder);
        let Action::Open { path, backing, .. } = &flush.observations[0].behaviour.action else {
            panic!("an open")
        };
        let backing = backing.as_ref().map(FilePath::as_bytes);
        assert_eq!(path.as_bytes(), format!("{mounted}{below}").as_bytes());
        assert_eq!(backing, expected.map(str::as_bytes), "{part} at {mounted}: {below}");
    }
}

#[test]
fn what_is_looked_for_has_one_time_limit_and_not_one_each() {
    const SLOW: fn() -> Command = || shell(r#"while read -r line; do sleep 0.05; echo '"Nothing"'; done"#);
    let mut recorder = recorder_asking(Attribution::new(Scope::Host), SLOW);
    for image in 0..4096 {
        let message = message(record::IMAGE, image, pod::zeroed(), b"/no/such/program", 0);
        recorder.describe(&message, clock());
    }
    let started = Instant::now();
    recorder.described.settle(Duration::from_millis(200));
    // All answers together would take minutes.
    assert!(started.elapsed() < Duration::from_secs(10));
    let has_answer = |image| matches!(recorder.described.image(image).unwrap().loader, Loader::Unknown);
    assert!(has_answer(0) && !has_answer(4095));
}

#[test]
fn damaged_messages_are_counted_and_nothing_else() {
    let whole = message(record::FILE, 0, key(kind::OPEN, [1; 8]), b"/x", 0);
    let mut beyond: Record = pod::read(&whole).unwrap();
    beyond.walk.position = u64::MAX;
    let mut unknown: Record = pod::read(&whole).unwrap();
    unknown.kind = 99;
    let mut recorder = recorder();
    let messages = [
        &[][..],
        &whole[..whole.len() - 1],
        pod::bytes_of(&beyond),
        pod::bytes_of(&unknown),
    ];
    for message in messages {
        recorder.describe(message, clock());
    }
    assert_eq!(lost(&flush(&mut recorder)), [(None, Reason::Decode, 4)]);
}

#[test]
fn whoever_enters_a_unit_or_a_plain_cgroup_later_is_its_own_and_a_container_is_another_matter() {
    let cases = [
        (
            b"/system.slice/a.service".as_slice(),
            provenance::ENTERED,
            Provenance::Workload,
        ),
        (b"/system.slice/a.service", provenance::ENTERING, Provenance::Runtime),
        (b"/some/group", provenance::ENTERED, Provenance::Workload),
        (b"/some/group", provenance::ENTERING, Provenance::Runtime),
        (b"/some/group", provenance::RUNTIME, Provenance::Runtime),
        (b"/some/group", provenance::WORKLOAD, Provenance::Workload),
        (b"/lxc/a", provenance::ENTERED, Provenance::Entered),
        (
            b"/lxc/a/system.slice/a.service",
            provenance::ENTERED,
            Provenance::Entered,
        ),
    ];
    for (path, counted, expected) in cases {
        let mut attribution = Attribution::new(Scope::Host);
        attribution.appeared(CGROUP, path, clock());
        let mut recorder = recorder_of(attribution);
        recorder.describe(&program(), clock());
        recorder.count(
            delta(
                Key {
                    provenance: counted,
                    ..key(kind::CONNECT, [0; 8])
                },
                1,
            ),
            clock(),
        );
        let flush = flush(&mut recorder);
        assert_eq!(
            flush.observations[0].provenance,
            expected,
            "{counted} in {}",
            String::from_utf8_lossy(path)
        );
    }
}

#[test]
fn counts_of_a_removed_cgroup_still_belong_to_it() {
    let mut attribution = Attribution::new(Scope::Host);
    attribution.appeared(20, b"/system.slice/a.service", clock());
    attribution.appeared(21, b"/system.slice/a.service/worker", clock());
    attribution.appeared(22, b"/system.slice", clock());
    assert_eq!(
        attribution.container_of(21),
        Some(20),
        "a sub-cgroup belongs to its unit"
    );
    assert_eq!(attribution.container_of(22), None, "a slice is no workload");
    assert_eq!(attribution.take_excluded(), [22]);
    let now = UtcTime::now();
    attribution.gone(21);
    attribution.gone(20);
    assert_eq!(attribution.flush(now).len(), 1, "it is written once more");
    assert_eq!(
        attribution.container_of(21),
        Some(20),
        "what was counted last is still attributed"
    );
    assert_eq!(attribution.flush(now), []);
    assert_eq!(attribution.container_of(21), None);
    let mut dead = attribution.take_dead();
    dead.sort_unstable();
    assert_eq!(dead, [20, 21]);
}
