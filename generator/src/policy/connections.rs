//! Connections as selectors: exact (address, port) pairs where a hook has room for them.
//!
//! The filters of one selector must all match, so it can say "one of these addresses and one of these ports", and
//! not "anything but A:1 or B:2". Exact pairs need the allowed ones first, with an action that reports nothing, and the
//! rest last: at most four groups, since a hook has five selectors (facts 1.1 and 3.1).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use baselines::document::{Connect, Reached};
use baselines::peer::{Peer, Untold};

use super::model::{Action, Argument, Call, Errno, Filter, Hook, Operator, Selector, Value};
use crate::evidence::{Use, describe, enumerate, shorten};

/// Selectors of one hook, less the one that reports the rest.
const GROUPS_MAX: usize = 4;

const REPORT: Action = Action::Override(Errno::Eperm);

/// Every address of a group was reached at every port of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    addresses: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
}

/// The learned connections by (address, port). An IPv4 address and its IPv4-mapped form (RFC 4291, 2.5.5.2) are one
/// peer: which of them a program passes depends on the family of its socket.
type Pairs<'a> = BTreeMap<(IpAddr, u16), Vec<Use<'a>>>;

/// The hook for connections. There always is one: an image that never connected has nothing to connect to.
pub(crate) fn hook(connects: &[Connect], containers: usize) -> Hook {
    let mut pairs = Pairs::new();
    for connect in connects {
        let how = how(connect);
        let used = Use {
            how,
            subject: &connect.subject,
            evidence: &connect.evidence,
        };
        pairs
            .entry((connect.address.to_canonical(), connect.port))
            .or_default()
            .push(used);
    }
    let (comments, selectors) = match exact_groups(pairs.keys().copied()) {
        _ if pairs.is_empty() => (
            vec!["No connection was observed: every IPv4 and IPv6 connect is reported.".to_owned()],
            vec![selector(vec![family()], REPORT)],
        ),
        Ok(groups) => in_groups(&groups, &pairs, containers),
        Err(groups) => apart(groups, &pairs, containers),
    };
    Hook {
        call: Call::Connect,
        comments,
        selectors,
    }
}

/// `tcp/443`, and whom it reached, where that is known: the address alone says little to a reviewer.
fn how(connect: &Connect) -> String {
    let Connect { protocol, port, .. } = connect;
    let peers = connect.peers.iter().map(|reached| shorten(&whom(reached)));
    match enumerate(peers) {
        peers if peers.is_empty() => format!("{protocol}/{port}"),
        peers => format!("{protocol}/{port} to {peers}"),
    }
}

/// A peer, and the DNS name that it was asked for by; of one that no cluster was asked about, that name alone.
fn whom(Reached { peer, dns_name, .. }: &Reached) -> String {
    match (peer, dns_name) {
        (Peer::Unknown(Untold::NoCluster), Some(name)) => name.to_string(),
        (_, Some(name)) => format!("{peer} ({name})"),
        (_, None) => peer.to_string(),
    }
}

/// Allowed groups first, then the rest.
fn in_groups(groups: &[Group], pairs: &Pairs<'_>, containers: usize) -> (Vec<String>, Vec<Selector>) {
    let comment = "Exact (address, port) pairs: each selector but the last allows a group of them (NoPost reports \
        nothing), the last one reports every other IPv4 and IPv6 connect. Tetragon's own checks accept this shape, but \
        it was not run on a kernel: watch that allowed connections are not reported. TCP and UDP are not told apart.";
    let selectors = groups
        .iter()
        .map(|group| {
            let filters = vec![
                filter(
                    Operator::SAddr,
                    addresses(&group.addresses, &group.ports, pairs, containers),
                ),
                filter(
                    Operator::SPort,
                    ports(&group.addresses, &group.ports, pairs, containers),
                ),
            ];
            selector(filters, Action::NoPost)
        })
        .chain([selector(vec![family()], REPORT)])
        .collect();
    (vec![comment.to_owned()], selectors)
}

/// Addresses and ports each on their own.
fn apart(groups: usize, pairs: &Pairs<'_>, containers: usize) -> (Vec<String>, Vec<Selector>) {
    let all_addresses: BTreeSet<IpAddr> = pairs.keys().map(|(address, _)| *address).collect();
    let all_ports: BTreeSet<u16> = pairs.keys().map(|(_, port)| *port).collect();
    let comment = format!(
        "The {} observed (address, port) pairs would need {groups} groups, and a hook has room for {GROUPS_MAX}. So \
         addresses and ports are compared apart, and a connect is reported if either is unknown. What this gives up: \
         each of the {} addresses may be reached at each of the {} ports, {} pairs in all. TCP and UDP are not told \
         apart.",
        pairs.len(),
        all_addresses.len(),
        all_ports.len(),
        all_addresses.len().saturating_mul(all_ports.len()),
    );
    let unknown_address = filter(
        Operator::NotSAddr,
        addresses(&all_addresses, &all_ports, pairs, containers),
    );
    let unknown_port = filter(Operator::NotSPort, ports(&all_addresses, &all_ports, pairs, containers));
    // Without the family, a Unix socket would count as one with an unknown port.
    let selectors = [unknown_address, unknown_port].map(|filter| selector(vec![family(), filter], REPORT));
    (vec![comment], selectors.into())
}

/// Groups that allow exactly `pairs`, or how many there would be if they are too many for a hook.
///
/// Either ports with the same addresses or addresses with the same ports are put together, whichever gives fewer
/// groups. The best cover by such groups is a hard problem (biclique cover); what this one misses goes into more
/// groups, never into wider ones.
fn exact_groups(pairs: impl Iterator<Item = (IpAddr, u16)> + Clone) -> Result<Vec<Group>, usize> {
    let by_port = same_partners(pairs.clone().map(|(address, port)| (port, address)))
        .map(|(ports, addresses)| Group { addresses, ports })
        .collect::<BTreeSet<_>>();
    let by_address = same_partners(pairs)
        .map(|(addresses, ports)| Group { addresses, ports })
        .collect::<BTreeSet<_>>();
    let groups = if by_address.len() < by_port.len() {
        by_address
    } else {
        by_port
    };
    if groups.len() <= GROUPS_MAX {
        Ok(groups.into_iter().collect())
    } else {
        Err(groups.len())
    }
}

/// All `A` that have the same set of `B`, with that set.
fn same_partners<A: Ord + Copy, B: Ord>(
    pairs: impl Iterator<Item = (A, B)>,
) -> impl Iterator<Item = (BTreeSet<A>, BTreeSet<B>)> {
    let mut partners = BTreeMap::<A, BTreeSet<B>>::new();
    for (one, other) in pairs {
        partners.entry(one).or_default().insert(other);
    }
    let mut same = BTreeMap::<BTreeSet<B>, BTreeSet<A>>::new();
    for (one, others) in partners {
        same.entry(others).or_default().insert(one);
    }
    same.into_iter().map(|(others, ones)| (ones, others))
}

/// The addresses, IPv4 also in its mapped form: Tetragon compares what the program passed, and dual-stack sockets pass
/// that one.
fn addresses(addresses: &BTreeSet<IpAddr>, ports: &BTreeSet<u16>, pairs: &Pairs<'_>, containers: usize) -> Vec<Value> {
    let plain = addresses.iter().map(|address| Value {
        text: address.to_string(),
        evidence: describe(&uses(pairs, ports.iter().map(|port| (*address, *port))), containers),
    });
    let mapped = addresses.iter().filter_map(|address| match address {
        IpAddr::V4(v4) => Some(Value {
            text: v4.to_ipv6_mapped().to_string(),
            evidence: format!("{v4} as dual-stack sockets pass it"),
        }),
        IpAddr::V6(_) => None,
    });
    plain.chain(mapped).collect()
}

fn ports(addresses: &BTreeSet<IpAddr>, ports: &BTreeSet<u16>, pairs: &Pairs<'_>, containers: usize) -> Vec<Value> {
    ports
        .iter()
        .map(|port| Value {
            text: port.to_string(),
            evidence: describe(
                &uses(pairs, addresses.iter().map(|address| (*address, *port))),
                containers,
            ),
        })
        .collect()
}

/// Everything that was seen of some pairs.
fn uses<'a>(pairs: &Pairs<'a>, of: impl Iterator<Item = (IpAddr, u16)>) -> Vec<Use<'a>> {
    of.filter_map(|pair| pairs.get(&pair)).flatten().cloned().collect()
}

fn family() -> Filter {
    filter(Operator::Family, ["AF_INET", "AF_INET6"].map(Value::constant).into())
}

fn filter(operator: Operator, values: Vec<Value>) -> Filter {
    Filter {
        argument: Argument::Address,
        operator,
        values,
    }
}

fn selector(filters: Vec<Filter>, action: Action) -> Selector {
    Selector {
        comments: Vec::new(),
        filters,
        action,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(texts: &[&str]) -> BTreeSet<(IpAddr, u16)> {
        texts
            .iter()
            .map(|text| text.parse::<std::net::SocketAddr>().unwrap())
            .map(|it| (it.ip(), it.port()))
            .collect()
    }

    #[test]
    fn pairs_are_grouped_the_way_that_needs_fewer_selectors() {
        let cases: [(&[&str], Result<usize, usize>); 5] = [
            (&["10.0.0.1:53"], Ok(1)),
            (&["10.0.0.1:53", "10.0.0.2:53", "10.0.0.1:80", "10.0.0.2:80"], Ok(1)),
            (&["10.0.0.1:53", "10.0.0.2:80", "10.0.0.3:443", "10.0.0.4:5432"], Ok(4)),
            // Two ports with their addresses; three addresses with their ports would be three groups.
            (&["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:1", "10.0.0.3:2"], Ok(2)),
            (
                &["10.0.0.1:1", "10.0.0.2:2", "10.0.0.3:3", "10.0.0.4:4", "10.0.0.5:5"],
                Err(5),
            ),
        ];
        for (texts, expected) in cases {
            assert_eq!(
                exact_groups(pairs(texts).iter().copied()).map(|groups| groups.len()),
                expected,
                "{texts:?}"
            );
        }
    }

    #[test]
    fn a_reviewer_is_told_whom_an_address_was() {
        let connect = |peers: &str| -> Connect {
            let evidence = "evidence: {count: 1, units: 1, containers: 1, nodes: 1, firstSeen: '2026-11-21T09:00:00Z', \
                lastSeen: '2026-11-21T09:00:00Z', phases: [], provenance: []}";
            let text = format!("{{address: 10.1.0.7, port: 443, protocol: tcp, subject: /bin/a, {peers}{evidence}}}");
            crate::yaml::parse(&text).unwrap()
        };
        let peer = |name: &str| {
            format!(
                "{{peer: {name}, count: 1, containers: 1, firstSeen: '2026-11-21T09:00:00Z', \
                 lastSeen: '2026-11-21T09:00:00Z'}}"
            )
        };
        let peers = [
            "pod/shop/Deployment/web",
            "external, dnsName: db.example.com",
            "unknown/no_cluster, dnsName: a.example",
        ]
        .map(peer)
        .join(", ");
        assert_eq!(how(&connect("")), "tcp/443");
        assert_eq!(
            how(&connect(&format!("peers: [{peers}], "))),
            "tcp/443 to pod/shop/Deployment/web, external (db.example.com), a.example"
        );
    }

    proptest! {
        #[test]
        fn groups_allow_exactly_what_was_observed(
            pairs in proptest::collection::btree_set((0..4_u8, 0..4_u16), 1..12)
        ) {
            let pairs: BTreeSet<(IpAddr, u16)> =
                pairs.into_iter().map(|(host, port)| (IpAddr::from([10, 0, 0, host]), port)).collect();
            if let Ok(groups) = exact_groups(pairs.iter().copied()) {
                let allowed: BTreeSet<(IpAddr, u16)> = groups
                    .iter()
                    .flat_map(|group| group.addresses.iter().flat_map(|it| group.ports.iter().map(|port| (*it, *port))))
                    .collect();
                prop_assert_eq!(allowed, pairs);
            }
        }
    }
}
