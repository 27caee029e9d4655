//! DNS names: what a container asked for when it got an address, whoever answered it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests may stop at the first surprise, and so may their helpers"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use baselines::document::Baseline;
use end_to_end::{Finished, Scratch, finish, profile, profile_run};

/// A resolver of the test's own, at port 53 of a network that nobody else has, and a program that asks it by the C library.
const PROGRAM: &str = r#"
import ctypes, os, socket, struct, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, CLONE_NEWNS, MS_BIND, MS_REC_PRIVATE = 0x40000000, 0x00020000, 4096, 0x44000
assert libc.unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
assert libc.mount(None, b"/", None, MS_REC_PRIVATE, None) == 0
for name, text in [("resolv.conf", "nameserver 127.0.0.1\noptions timeout:5\n"), ("nsswitch.conf", "hosts: dns\n"), ("hosts", "")]:
    file = os.path.join(sys.argv[1], name)
    with open(file, "w") as writing:
        writing.write(text)
    if os.path.exists("/etc/" + name):
        assert libc.mount(file.encode(), b"/etc/" + name.encode(), None, MS_BIND, None) == 0, name
import fcntl
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    # SIOCSIFFLAGS: IFF_UP
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))

def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
def record(name, kind, data):
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
ZONE = {
    "db.example": [("192.0.2.1", None)],
    "www.example": [("192.0.2.2", "cdn.example")],
    "six.example": [("2001:db8::6", None)],
    "many.example": [("192.0.2.%d" % n, None) for n in range(100, 200)],
}
def answer(query):
    name, at = [], 12
    while query[at]:
        name.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    kind, = struct.unpack(">H", query[at + 1:at + 3])
    name, records = ".".join(name), []
    if name == "broken.example":
        return query[:2] + b"\x81\x80\0\1\0\7\0\0\0\0" + query[12:at + 5]
    for address, alias in ZONE.get(name, []):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if (kind == 28) == (family == socket.AF_INET6):
            owner = b"\xc0\x0c"
            if alias:
                records.append(record(owner, 5, encoded(alias)))
                owner = encoded(alias)
            records.append(record(owner, kind, socket.inet_pton(family, address)))
    error = 0 if name in ZONE else 3
    return query[:2] + struct.pack(">HHHHH", 0x8180 | error, 1, len(records), 0, 0) + query[12:at + 5] + b"".join(records)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
def serve():
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(answer(query), client)
threading.Thread(target=serve, daemon=True).start()

def reach(address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as reaching:
        reaching.connect_ex((address, port))
def resolve(name):
    try:
        return [found[4][0] for found in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)]
    except socket.gaierror:
        return []
assert resolve("no.such.example") == [] and resolve("missing.example") == []
# Before anybody asks for it, and behind that.
reach("192.0.2.1", 1)
[address] = resolve("db.example")
reach(address, 2)
reach(address, 2)
# What is no answer of a resolver passes, whatever it is.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
    other.bind(("127.0.0.1", 0))
    for rubbish in [b"", b"x", bytes(11), bytes(4000)]:
        server.sendto(rubbish, other.getsockname())
        assert other.recv(5000) == rubbish
[address] = resolve("WWW.example.")
reach(address, 3)
[address] = resolve("six.example")
reach(address, 4)
# By a library of its own, of which the kernel shows as much: the answer has more bytes than are looked at.
def ask(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + encoded(name) + b"\0\1\0\1", ("127.0.0.1", 53))
        return asking.recv(5000)
assert len(ask("many.example")) > 1232
ask("broken.example")
reach("192.0.2.100", 5)
reach("192.0.2.199", 6)
# Addresses rotate, and names share them.
ZONE["db.example"] = [("192.0.2.7", None)]
reach(resolve("db.example")[0], 7)
ZONE["other.example"] = [("192.0.2.7", None)]
reach(resolve("other.example")[0], 8)
"#;

/// Runs the program, and whatever comes before `profile`.
fn learned(scratch: &Scratch, before: &[&str], options: &[&str]) -> Finished {
    let program = scratch.file("program.py", PROGRAM);
    let folder = scratch.directory().to_str().unwrap().to_owned();
    let command = ["/usr/bin/python3", program.to_str().unwrap(), &folder];
    let run = profile_run(scratch.recording(), "shop/web", options, command);
    let words: Vec<_> = before
        .iter()
        .map(AsRef::as_ref)
        .chain([run.get_program()])
        .chain(run.get_args())
        .collect();
    let (program, arguments) = words.split_first().unwrap();
    finish(Command::new(program).args(arguments))
}

/// Peer and name, by the port.
fn names(baseline: &Baseline) -> BTreeMap<u16, Vec<(String, Option<String>, u64)>> {
    let connects = baseline.behaviours.connect.iter();
    let named = connects.filter(|connect| connect.port < 10).map(|connect| {
        let peers = connect.peers.iter().map(|reached| {
            let name = reached.dns_name.as_ref().map(ToString::to_string);
            (reached.peer.to_string(), name, reached.count)
        });
        (connect.port, peers.collect())
    });
    named.collect()
}

#[test]
fn a_connection_has_the_name_that_was_asked_for_before_it() {
    let scratch = Scratch::new();
    let done = learned(&scratch, &[], &["--flush-interval", "100ms"]);
    assert_eq!(done.code(), 0, "{done}");
    let reached = |name: &str, count| vec![("unknown/no_cluster".to_owned(), Some(name.to_owned()), count)];
    let expected = [
        (1, vec![]),
        (2, reached("db.example", 2)),
        (3, reached("www.example", 1)),
        (4, reached("six.example", 1)),
        (5, reached("many.example", 1)),
        (6, vec![]),
        (7, reached("db.example", 1)),
        (8, reached("other.example", 1)),
    ];
    assert_eq!(names(&scratch.baseline("shop/web")), expected.into());
    let status = scratch.status();
    let window = &status["windows"][0];
    assert_eq!(window["dnsNames"], "seen", "{window:#}");
    let gaps = &window["dnsNameGaps"];
    assert_eq!((&gaps["cut"], &gaps["ambiguous"]), (&1.into(), &1.into()), "{window:#}");
    assert_eq!(gaps["malformed"], 1, "{window:#}");
    assert!(window["peersUntold"].as_object().unwrap().is_empty(), "{window:#}");
    assert_eq!(window["lost"], 0, "{window:#}");
}

#[test]
fn names_are_hidden_as_others_are_and_not_looked_at_when_they_are_not_wanted() {
    let hidden = Scratch::new();
    let done = learned(&hidden, &[], &["--redact", "db"]);
    assert_eq!(done.code(), 0, "{done}");
    let names_of = |scratch: &Scratch| names(&scratch.baseline("shop/web"));
    assert_eq!(names_of(&hidden)[&2][0].1.as_deref(), Some("[redacted].example"));

    let off = Scratch::new();
    let done = learned(&off, &[], &["--no-dns"]);
    assert_eq!(done.code(), 0, "{done}");
    assert!(names_of(&off).values().all(Vec::is_empty));
    let status = off.status();
    assert_eq!(status["windows"][0]["dnsNames"], "off");
    assert!(!done.stderr.contains("DNS"), "{done}");
}

#[test]
fn where_names_cannot_be_seen_recording_goes_on_and_says_so() {
    let scratch = Scratch::new();
    let without = ["setpriv", "--bounding-set", "-net_admin"];
    // The command may do no more than we: it cannot make its network.
    let run = profile_run(scratch.recording(), "shop/web", &[], ["/bin/true"]);
    let done = finish(
        Command::new(without[0])
            .args(&without[1..])
            .arg(run.get_program())
            .args(run.get_args()),
    );
    assert_eq!(done.code(), 0, "{done}");
    let why = "this process has no CAP_NET_ADMIN";
    let warning = format!("warning: DNS names of whom containers reach are not seen: {why}");
    assert_eq!(done.stderr.matches(&warning).count(), 1, "{done}");
    let window = &scratch.status()["windows"][0];
    assert_eq!(
        (&window["dnsNames"], &window["dnsNamesUnseen"]),
        (&"unseen".into(), &why.into())
    );
    assert!(!scratch.baseline("shop/web").behaviours.exec.is_empty());
    let doctor = finish(
        Command::new(without[0])
            .args(&without[1..])
            .arg(profile().get_program())
            .arg("doctor"),
    );
    let line = doctor.stdout.lines().find(|line| line.contains("DNS names")).unwrap();
    assert!(
        line.contains(" no ") && (line.contains(why) || line.contains("hierarchy")),
        "{line}"
    );

    if Path::new("/sys/fs/cgroup/memory/tasks").exists() {
        let done = finish(&mut end_to_end::profile_start(
            scratch.recording(),
            &["--hierarchy", "memory", "--for", "100ms"],
        ));
        assert_eq!(done.code(), 0, "{done}");
        assert!(done.stderr.contains("sockets only by the unified one"), "{done}");
    }
}
