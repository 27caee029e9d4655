//! Values for tests.

use std::net::IpAddr;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::behaviour::{Access, Action, Arguments, Behaviour, Capabilities, Phase, Protocol, Provenance, RaiseCause};
use crate::dns::{DnsName, Names};
use crate::path::{FilePath, Origin};
use crate::peer::{Peer, Untold};
use crate::recording::{Container, Node, Observation, WindowStart};
use crate::time::UtcTime;
use crate::workload::{Image, Workload};

/// Paths of every origin, made of bytes that are hard on text formats.
pub(crate) fn paths() -> impl Strategy<Value = FilePath> {
    let word = prop::sample::select(vec![
        &b"/etc"[..],
        b"/",
        b"\n",
        b" ",
        b"- a",
        b": ",
        b"#",
        b"~",
        b"yes",
        b"1.0",
        b"\\",
        b"\xff",
        b"'",
        b"\"",
        b"\x1b[31m",
        "\u{202e}é".as_bytes(),
        b"\r",
        b"\t",
        b"null",
        b"0x1",
        b"{",
        b"*a",
        b"&a",
        b"!!str",
        b"%",
        b"@",
        b"`",
    ]);
    let bytes = prop_oneof![
        vec(word, 0..4).prop_map(|words| words.concat()),
        vec(any::<u8>(), 0..20)
    ];
    let origin = prop_oneof![3 => Just(Origin::Canonical), 1 => prop::sample::select(Origin::ALL.to_vec())];
    (bytes, origin).prop_map(|(bytes, origin)| FilePath::new(bytes, origin))
}

/// Arguments, whole and cut, short and too long.
fn arguments() -> impl Strategy<Value = Arguments> {
    let argument = paths().prop_map(|path| [path.as_bytes(), b"\0"].concat());
    let bytes = prop_oneof![9 => vec(argument, 0..4), 1 => vec(vec(any::<u8>(), 200), 0..4)];
    (bytes, any::<bool>()).prop_map(|(bytes, is_cut)| Arguments::new(&bytes.concat(), is_cut))
}

/// Behaviours of every kind.
pub(crate) fn behaviours() -> impl Strategy<Value = Behaviour> {
    let exec =
        (paths(), option::of(paths()), option::of(arguments())).prop_map(|(binary, script, arguments)| Action::Exec {
            binary,
            script,
            arguments,
        });
    let open = (paths(), 0_u8..16, option::of(paths())).prop_map(|(path, bits, backing)| Action::Open {
        path,
        access: Access::from_bits(bits).unwrap(),
        backing,
    });
    let peer = (
        any::<IpAddr>(),
        any::<u16>(),
        any::<u8>().prop_map(Protocol::from_number),
    );
    let network = (peer, 0..3).prop_map(|((address, port, protocol), kind)| match kind {
        0 => Action::Connect {
            address,
            port,
            protocol,
        },
        1 => Action::Send {
            address,
            port,
            protocol,
        },
        _ => Action::Listen {
            address,
            port,
            protocol,
        },
    });
    let connect_unix = paths().prop_map(|path| Action::ConnectUnix { path });
    let cause = prop::sample::select(vec![RaiseCause::Execution, RaiseCause::UserNamespace]);
    let raise = (paths(), cause, any::<u32>(), any::<u64>()).prop_map(|(binary, cause, user, bits)| Action::Raise {
        binary,
        cause,
        user,
        capabilities: Capabilities(bits),
    });
    (paths(), prop_oneof![exec, open, network, connect_unix, raise])
        .prop_map(|(subject, action)| Behaviour { subject, action })
}

/// Peers of every kind, with names that are hard on text formats.
pub(crate) fn peers() -> impl Strategy<Value = Peer> {
    let name = || prop_oneof!["[a-z]{1,3}", ".{0,6}"];
    prop_oneof![
        (name(), name()).prop_map(|(namespace, name)| Peer::Service { namespace, name }),
        (name(), name(), name()).prop_map(|(namespace, kind, name)| Peer::Pod { namespace, kind, name }),
        name().prop_map(|name| Peer::Node { name }),
        Just(Peer::External),
        prop::sample::select(Untold::ALL.to_vec()).prop_map(Peer::Unknown),
    ]
}

/// DNS names, mostly none.
pub(crate) fn dns_names() -> impl Strategy<Value = Option<DnsName>> {
    let labels = vec(vec(any::<u8>(), 1..4), 1..3);
    option::of(labels.prop_map(|labels| DnsName::from_labels(labels.iter().map(Vec::as_slice)).unwrap()))
}

/// A node of this name, in its first boot.
pub(crate) fn node(host: &str) -> Node {
    Node {
        host: host.to_owned(),
        boot_id: format!("{host}-boot-1"),
        kernel: "6.18.1".to_owned(),
        machine_id: Some(format!("{host}-machine")),
    }
}

/// This many seconds after the epoch.
pub(crate) fn seconds(seconds: u64) -> UtcTime {
    UtcTime::from_nanos(seconds * 1_000_000_000)
}

/// A window that begins then.
pub(crate) fn window(started: UtcTime) -> WindowStart {
    WindowStart {
        started,
        selector: "host".to_owned(),
        backend: "tracepoint".to_owned(),
        tool_version: "0.1.0".to_owned(),
        flush_interval: Duration::from_secs(2),
        lossy_from_start: None,
        names: Names::Off,
    }
}

/// A container that ran this image from the beginning, seen starting.
pub(crate) fn container(cgroup_id: u64, repository: &str) -> Container {
    Container {
        cgroup_id,
        workload: Workload {
            namespace: "host".to_owned(),
            kind: "unit".to_owned(),
            name: format!("unit-{cgroup_id}.service"),
            container: "main".to_owned(),
        },
        id: String::new(),
        image: Image {
            repository: repository.to_owned(),
            tag: None,
            digest: None,
        },
        cgroup_path: format!("/system.slice/unit-{cgroup_id}.service").into_bytes(),
        started: seconds(0),
        alive_until: seconds(60),
        partial: false,
    }
}

/// One look at a file, in the steady phase, by the container's own process.
pub(crate) fn observation(cgroup_id: u64, path: &str, at: UtcTime) -> Observation {
    Observation {
        cgroup_id,
        behaviour: open(path),
        provenance: Provenance::Workload,
        phase: Phase::Steady,
        minute: at.minute(),
        count: 1,
        first_seen: at,
        last_seen: at,
    }
}

/// A server opens a file for reading.
pub(crate) fn open(path: &str) -> Behaviour {
    Behaviour {
        subject: FilePath::canonical(*b"/usr/sbin/server"),
        action: Action::Open {
            path: FilePath::canonical(path.as_bytes()),
            access: Access::READ,
            backing: None,
        },
    }
}
