use super::*;
use proptest::prelude::*;

fn seen(address: &str, port: u16, peers: &[(&str, Option<&str>)]) -> Seen {
    let peer = |(peer, name): &(&str, Option<&str>)| (peer.parse().unwrap(), name.map(|name| name.parse().unwrap()), 1);
    Seen {
        address: address.parse().unwrap(),
        port,
        protocol: Protocol::Tcp,
        count: 1,
        peers: peers.iter().map(peer).collect(),
    }
}

/// Each target as one line.
fn lines(seen: &[Seen], options: &Options) -> Vec<String> {
    let join = |texts: Vec<String>| texts.join(",");
    let targets = generalise(seen, options);
    let lines = targets.iter().map(|target| {
        let ports = join(target.ports.iter().map(ToString::to_string).collect());
        let addresses = join(target.addresses.iter().map(ToString::to_string).collect());
        let networks = join(target.networks.iter().map(ToString::to_string).collect());
        let can_block = if target.can_block() { "" } else { " watch only" };
        format!(
            "{:?} {ports} [{addresses}] [{networks}] x{}{can_block}",
            target.whom, target.count
        )
    });
    lines.collect()
}

#[test]
fn addresses_become_whom_they_are() {
    let pod = [("pod/shop/Deployment/api", None)];
    let service = [("service/shop/db", Some("db.shop.svc"))];
    let all = [
        seen("10.0.0.7", 80, &pod),
        seen("10.0.1.9", 80, &pod),
        // The same network as an IPv6 socket passes it.
        seen("::ffff:10.0.2.3", 8080, &pod),
        seen("10.96.0.1", 5432, &service),
        seen("10.96.0.1", 5433, &[]),
        seen("192.0.2.1", 22, &[("node/worker-1", None)]),
        seen("198.51.100.1", 443, &[("external", Some("one.example"))]),
    ];
    let pods =
        r#"Pods { namespace: "shop", kind: "Deployment", name: "api" } 80,8080 [10.0.0.7,10.0.1.9,::ffff:10.0.2.3]"#;
    let others = [
        r#"Service { namespace: "shop", name: "db" } 5432,5433 [10.96.0.1] [] x2"#.to_owned(),
        "Address(192.0.2.1) 22 [192.0.2.1] [] x1".to_owned(),
        "Address(198.51.100.1) 443 [198.51.100.1] [] x1".to_owned(),
    ];
    let [service, node, external] = &others;
    let unknown = format!("{pods} [] x3 watch only");
    assert_eq!(
        lines(&all, &Options::default()),
        [service, &unknown, node, external].map(String::as_str)
    );
    let options = Options {
        pod_networks: vec!["10.0.0.0/16".parse().unwrap()],
        ..Options::default()
    };
    let known = format!("{pods} [10.0.0.0/16,::ffff:10.0.0.0/112] x3");
    assert_eq!(
        lines(&all, &options),
        [service, &known, node, external].map(String::as_str)
    );
}

#[test]
fn addresses_that_rotate_can_only_be_watched() {
    let named = |last: u8| {
        seen(
            &format!("203.0.113.{last}"),
            443,
            &[("unknown/no_cluster", Some("cdn.example"))],
        )
    };
    let bare = |last: u8| seen(&format!("198.51.100.{last}"), 443, &[("external", None)]);
    let mut all: Vec<Seen> = (1..=2).map(named).chain((1..=7).map(bare)).collect();
    assert!(
        generalise(&all, &Options::default()).iter().all(Target::can_block),
        "too few to rotate"
    );
    all.extend([named(3), bare(8)]);
    let targets = generalise(&all, &Options::default());
    let whom: Vec<_> = targets
        .iter()
        .map(|target| (target.whom.clone(), target.addresses.len(), target.can_block()))
        .collect();
    let name = Whom::RotatingName("cdn.example".parse().unwrap());
    assert_eq!(whom, [(name, 3, false), (Whom::RotatingPort, 8, false)]);
}

#[test]
fn an_address_that_was_several_things_stays_an_address() {
    let all = [
        seen("10.0.0.7", 80, &[("pod/shop/Deployment/api", None)]),
        seen("10.0.0.7", 81, &[("pod/shop/Deployment/web", None)]),
    ];
    assert_eq!(
        lines(&all, &Options::default()),
        ["Address(10.0.0.7) 80,81 [10.0.0.7] [] x2"]
    );
}

#[test]
fn only_dense_runs_of_ports_become_ranges() {
    let ports = |ports: &[u16]| {
        let ranges = ranges(&ports.iter().copied().collect(), 8);
        ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let cases: [(Vec<u16>, &str); 6] = [
        ((30000..30008).collect(), "30000-30007"),
        ((30000..30007).collect(), "30000,30001,30002,30003,30004,30005,30006"),
        ((0..8).map(|port| 30000 + 2 * port).collect(), "30000-30014"),
        (
            (0..8).map(|port| 30000 + 3 * port).collect(),
            "30000,30003,30006,30009,30012,30015,30018,30021",
        ),
        (
            (1016..1032).collect(),
            "1016,1017,1018,1019,1020,1021,1022,1023,1024-1031",
        ),
        (vec![80, 443, 65535], "80,443,65535"),
    ];
    for (seen, expected) in cases {
        assert_eq!(ports(&seen), expected);
    }
    assert_eq!(
        ranges(&[5000].into(), 0),
        [Ports {
            first: 5000,
            last: 5000
        }],
        "one port is no range"
    );
}

proptest! {
    #[test]
    fn nothing_is_lost_and_order_does_not_matter(
        raw in prop::collection::vec((0..20_u8, 1020..1040_u16, crate::testing::peers(), crate::testing::dns_names()), 0..40)
    ) {
        let all: Vec<Seen> = raw.into_iter().map(|(last, port, peer, name)| Seen {
            address: IpAddr::from([10, 0, 0, last]),
            port,
            protocol: Protocol::Udp,
            count: 1,
            peers: vec![(peer, name, 1)],
        }).collect();
        let targets = generalise(&all, &Options::default());
        prop_assert_eq!(targets.iter().map(|target| target.count).sum::<u64>(), all.len() as u64);
        for seen in &all {
            let has = |target: &Target| target.addresses.contains(&seen.address)
                && target.ports.iter().any(|ports| (ports.first..=ports.last).contains(&seen.port));
            prop_assert!(targets.iter().any(has));
        }
        prop_assert_eq!(generalise(all.iter().rev(), &Options::default()), targets);
    }
}
