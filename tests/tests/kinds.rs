//! Every kind of behaviour that the probes know is recorded, under the name and as often as it was done.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

#[path = "../guest/story.rs"]
#[allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]
mod story;

use std::collections::BTreeMap;
use std::fs;

use baselines::behaviour::Phase;
use end_to_end::{Scratch, counts, finish, profile_run};

use crate::story::{IMAGE, PYTHON, Story, command};

/// Everything that was learned and how often, in short: the scratch folder is `@`, Python itself `python`.
fn learned(story: &Story) -> BTreeMap<String, u64> {
    let python = fs::canonicalize(PYTHON).unwrap().display().to_string();
    let short = |text: String| text.replace(&story.here, "@").replace(&python, "python");
    let learned = counts(&story.baseline.behaviours).into_iter();
    learned.map(|(behaviour, count)| (short(behaviour), count)).collect()
}

fn assert_learned(story: &Story, expected: &[(&str, u64)]) {
    let learned = learned(story);
    for (behaviour, count) in expected {
        let found = learned.get(*behaviour).copied().unwrap_or_default();
        assert_eq!(found, *count, "{behaviour}: {learned:#?}");
    }
}

#[test]
fn what_is_sent_without_a_connection_is_known_by_its_address() {
    let story = Story::of(
        r#"
import socket
HOST = "127.77.0.1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    for _ in range(3):
        datagrams.sendto(b"x", (HOST, 7001))
    datagrams.sendmsg([b"x"], [], 0, (HOST, 7002))
    # The kernel takes an address without a family for one of its own (udp_sendmsg).
    unspecified = bytes(2) + (7003).to_bytes(2, "big") + socket.inet_aton(HOST) + bytes(8)
    assert libc.sendto(datagrams.fileno(), b"x", 1, 0, unspecified, 16) == 1

    # Three messages with an address and one without, in one call.
    class Vector(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]
    class Header(ctypes.Structure):
        _fields_ = [("name", ctypes.c_void_p), ("name_length", ctypes.c_uint32), ("vectors", ctypes.c_void_p),
                    ("count", ctypes.c_size_t), ("control", ctypes.c_void_p), ("control_length", ctypes.c_size_t),
                    ("flags", ctypes.c_long), ("sent", ctypes.c_long)]
    text = ctypes.create_string_buffer(b"x")
    vector = Vector(ctypes.addressof(text), 1)
    address = ctypes.create_string_buffer((2).to_bytes(2, "little") + (7004).to_bytes(2, "big") + socket.inet_aton(HOST) + bytes(8))
    headers = (Header * 3)(*[Header(ctypes.addressof(address), 16, ctypes.addressof(vector), 1) for _ in range(3)])
    assert libc.sendmmsg(datagrams.fileno(), headers, 3, 0) == 3

    # A connected socket passes none: that is a connection.
    datagrams.connect((HOST, 7005))
    datagrams.send(b"x")
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams:
    datagrams.sendto(b"x", ("::ffff:" + HOST, 7006))
    datagrams.sendto(b"x", ("::1", 7007))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    # Refused before anything is sent: no permission to broadcast.
    try:
        datagrams.sendto(b"x", ("255.255.255.255", 7008))
        raise AssertionError("a broadcast without permission")
    except PermissionError:
        pass
"#,
    );
    story.assert_nothing_is_lost();
    assert_learned(
        &story,
        &[
            ("python sends to 127.77.0.1:7001 (udp)", 3),
            ("python sends to 127.77.0.1:7002 (udp)", 1),
            ("python sends to 127.77.0.1:7003 (udp)", 1),
            ("python sends to 127.77.0.1:7004 (udp)", 3),
            ("python connects to 127.77.0.1:7005 (udp)", 1),
            ("python sends to 127.77.0.1:7005 (udp)", 0),
            ("python sends to [::ffff:127.77.0.1]:7006 (udp)", 1),
            ("python sends to [::1]:7007 (udp)", 1),
            ("python sends to 255.255.255.255:7008 (udp)", 0),
        ],
    );
}

#[test]
fn what_is_sent_in_a_way_that_cannot_be_followed_is_counted_and_nothing_is_invented() {
    let story = Story::of(
        r#"
import socket
def header(address):
    name = ctypes.create_string_buffer(address)
    vector = (ctypes.c_uint64 * 2)(ctypes.addressof(text), 1)
    kept.extend([name, vector])
    return [ctypes.addressof(name) if address else 0, len(address), ctypes.addressof(vector), 1, 0, 0, 0, 0]
def send_batch(socket, addresses):
    words = [word for address in addresses for word in header(address)]
    assert libc.sendmmsg(socket.fileno(), (ctypes.c_uint64 * len(words))(*words), len(addresses), 0) == len(addresses)
def v4(host, port):
    return (2).to_bytes(2, "little") + port.to_bytes(2, "big") + socket.inet_aton(host) + bytes(8)
text, kept = ctypes.create_string_buffer(b"x"), []

# The ninth message is one too many, and it is the only one with an address.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    peer.bind(("127.77.0.3", 7020))
    datagrams.connect(("127.77.0.3", 7020))
    send_batch(datagrams, [b""] * 8 + [v4("127.77.0.3", 7021)])
# TCP, in either of its forms, does not look at an address.
for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_MPTCP):
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.77.0.3", 7022))
        server.listen()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            client.connect(("127.77.0.3", 7022))
            if protocol == socket.IPPROTO_TCP:
                send_batch(client, [v4("127.77.0.3", 7023)])
# A raw socket over IPv6 takes an address without a family for one of its own.
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
    address = bytes(8) + bytes(15) + b"\x01" + bytes(4)
    assert libc.sendto(raw.fileno(), b"\x80" + bytes(7), 8, 0, address, 28) == 8
# A Unix socket does not look at one of another family.
with socket.socket(socket.AF_UNIX) as client:
    assert libc.connect(client.fileno(), v4("127.77.0.3", 7024), 16) == -1
"#,
    );
    assert_learned(
        &story,
        &[
            ("python connects to 127.77.0.3:7020 (udp)", 1),
            ("python sends to 127.77.0.3:7021 (udp)", 0),
            ("python connects to 127.77.0.3:7022 (tcp)", 2),
            ("python sends to 127.77.0.3:7023 (tcp)", 0),
            ("python sends to [::1]:0 (58)", 1),
            ("python connects to 127.77.0.3:7024 (0)", 0),
        ],
    );
    let losses = story.scratch.status()["losses"].clone();
    let losses: Vec<(&str, u64)> = losses
        .as_array()
        .unwrap()
        .iter()
        .map(|loss| (loss["reason"].as_str().unwrap(), loss["count"].as_u64().unwrap()))
        .collect();
    assert_eq!(losses, [("batch_cut", 1)]);
}

#[test]
fn unix_sockets_are_known_by_their_paths_and_refusals_are_not() {
    let story = Story::of(
        r#"
import socket
os.mkdir("run")
with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
    server.bind("run/server")
    server.listen()
    log.bind("run/log")
    os.symlink("run", "link")
    for name in ("run/server", "link/../run/server", HERE + "/run/server"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect("run/log")
        client.send(b"x")
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect("run/nobody")
            raise AssertionError("connected to nobody")
        except FileNotFoundError:
            pass
"#,
    );
    story.assert_nothing_is_lost();
    assert_learned(
        &story,
        &[
            ("python connects to @/run/server (unix)", 3),
            ("python connects to @/run/log (unix)", 1),
            ("python connects to @/run/nobody (unix)", 0),
        ],
    );
}

#[test]
fn whoever_takes_connections_has_started_up() {
    let story = Story::of(
        r#"
import socket
create("early")
with socket.socket() as server:
    server.bind(("127.77.0.2", 7010))
    server.listen()
    create("late")
with socket.socket(socket.AF_INET6) as server:
    server.bind(("::1", 7011))
    server.listen()
    try:
        with socket.socket(socket.AF_INET6) as second:
            second.bind(("::1", 7011))
            raise AssertionError("two on one port")
    except OSError:
        pass
for address in [("127.77.0.3", 0), None]:
    with socket.socket() as server:
        if address:
            server.bind(address)
        server.listen()
"#,
    );
    story.assert_nothing_is_lost();
    assert_learned(
        &story,
        &[
            ("python listens on 127.77.0.2:7010 (tcp)", 1),
            ("python listens on [::1]:7011 (tcp)", 1),
            // The kernel chooses another port each time.
            ("python listens on 127.77.0.3:0 (tcp)", 1),
            ("python listens on 0.0.0.0:0 (tcp)", 1),
        ],
    );
    for (name, phase) in [("early", Phase::Startup), ("late", Phase::Steady)] {
        let mut opens = story.baseline.behaviours.opens();
        let open = opens.find(|open| open.path.to_text().ends_with(&format!("/{name}")));
        assert_eq!(open.unwrap().evidence.phases, [phase], "{name}");
    }
}

#[test]
fn what_is_mapped_to_be_executed_is_known_beside_what_is_opened() {
    let story = Story::of(
        r#"
import mmap
copied = read("/usr/bin/true")
write("library", "x" * 5000)
descriptor = opened("library")
for protection in (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_EXEC, mmap.PROT_READ | mmap.PROT_EXEC):
    mmap.mmap(descriptor, 4096, mmap.MAP_PRIVATE, protection).close()
# Without a file, whatever descriptor is passed.
mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_EXEC).close()
run("/usr/bin/true")
"#,
    );
    story.assert_nothing_is_lost();
    assert_learned(
        &story,
        &[
            ("python opens @/library (read)", 1),
            ("python maps @/library", 2),
            ("python maps /usr/bin/true", 1),
            ("python executes /usr/bin/true", 1),
        ],
    );
}

#[test]
fn who_gets_more_privileges_and_how_is_known() {
    let story = Story::of(
        r#"
def copy(name, mode):
    descriptor = opened(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(descriptor, read("/usr/bin/true"))
    os.close(descriptor)
    os.chmod(name, mode)

os.chmod(".", 0o755)
copy("plain", 0o755)
copy("set-user-id", 0o4755)
copy("capable", 0o755)
# VFS_CAP_REVISION_2, permitted and effective: CAP_NET_RAW (include/uapi/linux/capability.h).
os.setxattr("capable", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
def as_nobody(action):
    def become():
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        action()
        os._exit(0)
    assert in_child(become) == 0
for program in ("plain", "set-user-id", "capable"):
    as_nobody(lambda: run("./" + program))
def unshares():
    check(libc.unshare(0x10000000))  # CLONE_NEWUSER
    os._exit(0)
assert in_child(unshares) == 0
"#,
    );
    story.assert_nothing_is_lost();
    let learned = learned(&story);
    let raises: Vec<(&str, u64)> = learned
        .iter()
        .filter(|(behaviour, _)| behaviour.contains(" raises "))
        .map(|(behaviour, count)| (behaviour.as_str(), *count))
        .collect();
    let [capable, set_user_id, user_namespace] = raises.as_slice() else {
        panic!("{raises:#?}");
    };
    assert_eq!(
        *capable,
        (
            "python raises its privileges by executing @/capable (user 65534, cap_net_raw)",
            1
        )
    );
    let root = "python raises its privileges by executing @/set-user-id (user 0, ";
    assert!(set_user_id.0.starts_with(root) && set_user_id.1 == 1, "{set_user_id:?}");
    assert!(
        user_namespace.0.contains("user namespace") && user_namespace.1 == 1,
        "{user_namespace:?}"
    );
}

#[test]
fn arguments_are_recorded_only_where_they_are_asked_for_and_cut_at_512_bytes() {
    let workload = r##"
run("/usr/bin/true", "--password", "two words", "")
run("/usr/bin/true", "--password", "another")
run("/usr/bin/true", "x" * 600)
write("script", "#!/bin/sh\n")
run("./script", "argument")
"##;
    let executions = |options: &[&str]| {
        let scratch = Scratch::new();
        let mut profile = profile_run(scratch.recording(), IMAGE, options, command(workload));
        let done = finish(profile.current_dir(scratch.directory()));
        assert_eq!(done.code(), 0, "{done}");
        let story = Story::recorded(scratch);
        story.assert_nothing_is_lost();
        let mut learned = learned(&story);
        learned.retain(|behaviour, _| behaviour.starts_with("python executes "));
        learned
    };
    let cut = "x".repeat(512 - "/usr/bin/true".len() - 1);
    let expected = [
        (
            r#"python executes /usr/bin/true (/usr/bin/true --password "two words" "")"#.to_owned(),
            1,
        ),
        (
            "python executes /usr/bin/true (/usr/bin/true --password another)".to_owned(),
            1,
        ),
        (format!("python executes /usr/bin/true (/usr/bin/true {cut}...)"), 1),
        (
            "python executes @/script with /usr/bin/dash (/bin/sh ./script argument)".to_owned(),
            1,
        ),
    ];
    assert_eq!(executions(&["--record-args"]), BTreeMap::from(expected));
    let expected = [
        ("python executes /usr/bin/true".to_owned(), 3),
        ("python executes @/script with /usr/bin/dash".to_owned(), 1),
    ];
    assert_eq!(executions(&[]), BTreeMap::from(expected));
}
