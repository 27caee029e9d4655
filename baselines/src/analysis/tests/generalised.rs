//! Which behaviours are the same one.

use crate::analysis::generalised::{Reached, numbers, paths, whom};
use crate::behaviour::{Access, Action, Behaviour, Protocol};
use crate::dns::DnsName;
use crate::path::FilePath;
use crate::peer::{Peer, Untold};
use crate::templates::{self, mine};

fn by(subject: &str, action: Action) -> Behaviour {
    Behaviour {
        subject: FilePath::canonical(subject.as_bytes()),
        action,
    }
}

fn opens(subject: &str, path: &str, access: Access) -> Behaviour {
    let path = FilePath::canonical(path.as_bytes());
    by(
        subject,
        Action::Open {
            path,
            access,
            backing: None,
        },
    )
}

fn connects(address: &str, port: u16) -> Behaviour {
    by(
        "/app",
        Action::Connect {
            address: address.parse().unwrap(),
            port,
            protocol: Protocol::Tcp,
        },
    )
}

#[test]
fn paths_are_one_if_their_template_is_whoever_uses_them_and_however() {
    let pids = [10, 11, 12].map(|pid| format!("/proc/{pid}/stat"));
    let mut behaviours: Vec<Behaviour> = pids.iter().map(|path| opens("/bin/ps", path, Access::READ)).collect();
    behaviours.push(opens("/bin/ps", "/proc/self/stat", Access::READ));
    behaviours.push(opens("/bin/top", &pids[0], Access::READ));
    behaviours.push(opens("/bin/ps", &pids[0], Access::WRITE));
    let mined = mine(behaviours.iter().flat_map(paths), &templates::Options::default());
    let found = numbers(behaviours.iter().map(|behaviour| (behaviour, None)), &mined);
    assert_eq!(found.0, [0, 0, 0, 1, 2, 3]);
}

/// Peers with the names that they were asked for by, and what they are together.
type Case<'a> = (&'a [(&'a Peer, Option<&'a DnsName>)], Option<Reached<'a>>);

#[test]
fn connections_are_one_if_whom_they_reach_is() {
    let pod = |name: &str| -> Peer { format!("pod/shop/Deployment/{name}").parse().unwrap() };
    let (web, db) = (pod("web"), pod("db"));
    let service: Peer = "service/shop/web".parse().unwrap();
    let unknown = Peer::Unknown(Untold::Unanswered);
    let [one, other]: [DnsName; 2] = ["one.example", "other.example"].map(|name| name.parse().unwrap());
    let cases: [Case<'_>; 10] = [
        (&[], None),
        (&[(&web, None)], Some(Reached::Pods(&web))),
        (&[(&web, Some(&one)), (&web, None)], Some(Reached::Pods(&web))),
        (&[(&web, None), (&db, None)], None),
        // A service keeps its address.
        (&[(&service, Some(&one))], None),
        (&[(&Peer::External, Some(&one))], Some(Reached::Name(&one))),
        (&[(&Peer::External, None)], None),
        (&[(&Peer::External, Some(&one)), (&Peer::External, Some(&other))], None),
        (&[(&Peer::External, Some(&one)), (&Peer::External, None)], None),
        (&[(&unknown, Some(&one))], None),
    ];
    for (peers, expected) in cases {
        assert_eq!(whom(peers.iter().copied()), expected, "{peers:?}");
    }
    let behaviours = [
        (connects("10.0.0.1", 80), Some(Reached::Pods(&web))),
        (connects("10.0.0.2", 80), Some(Reached::Pods(&web))),
        (connects("10.0.0.3", 81), Some(Reached::Pods(&web))),
        (connects("10.0.0.4", 80), Some(Reached::Pods(&db))),
        (connects("10.0.0.5", 80), None),
        (connects("10.0.0.6", 80), None),
    ];
    let mined = templates::Mined::default();
    let found = numbers(
        behaviours.iter().map(|(behaviour, reached)| (behaviour, *reached)),
        &mined,
    );
    assert_eq!(found.0, [0, 0, 1, 2, 3, 4]);
}
