//! Connections and datagrams, generalised: by whom they reach, and by ranges of ports.
//!
//! Addresses of pods and of load balancers rotate; what they stand for does not. And a program that is given a port from a
//! range uses another one each time. What the recorded peers and names say is put together here, and nothing is guessed
//! beyond it.
//!
//! ```
//! use baselines::behaviour::Protocol;
//! use baselines::networks::{Options, Seen, Whom, generalise};
//! use baselines::peer::Peer;
//!
//! let peer: Peer = "pod/shop/Deployment/api".parse()?;
//! let seen = ["10.0.1.7", "10.0.2.9"].map(|address| Seen {
//!     address: address.parse().unwrap(),
//!     port: 8080,
//!     protocol: Protocol::Tcp,
//!     count: 5,
//!     peers: vec![(peer.clone(), None, 5)],
//! });
//! let options = Options { pod_networks: vec!["10.0.0.0/16".parse().unwrap()], ..Options::default() };
//! let targets = generalise(&seen, &options);
//! assert_eq!(targets.len(), 1);
//! assert_eq!(targets[0].networks, options.pod_networks);
//! assert_eq!((targets[0].count, targets[0].can_block()), (10, true));
//! # Ok::<(), baselines::peer::PeerError>(())
//! ```

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv6Net};

use crate::behaviour::Protocol;
use crate::dns::DnsName;
use crate::document::{Connect, Reached, Send};
use crate::peer::Peer;

/// The first port that is not a well-known one (RFC 6335, section 6): ranges begin there.
const WELL_KNOWN_END: u16 = 1024;

/// A connection or datagram that was seen, by one program or by many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The address as it was passed.
    pub address: IpAddr,
    /// The port, host byte order.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// How many times.
    pub count: u64,
    /// Whom the address was, under which name it had been asked for, and how many times it was so.
    pub peers: Vec<(Peer, Option<DnsName>, u64)>,
}

impl From<&Connect> for Seen {
    fn from(connect: &Connect) -> Self {
        Self {
            address: connect.address,
            port: connect.port,
            protocol: connect.protocol,
            count: connect.evidence.count,
            peers: peers(&connect.peers),
        }
    }
}

impl From<&Send> for Seen {
    fn from(send: &Send) -> Self {
        Self {
            address: send.address,
            port: send.port,
            protocol: send.protocol,
            count: send.evidence.count,
            peers: peers(&send.peers),
        }
    }
}

fn peers(reached: &[Reached]) -> Vec<(Peer, Option<DnsName>, u64)> {
    let peer = |reached: &Reached| (reached.peer.clone(), reached.dns_name.clone(), reached.count);
    reached.iter().map(peer).collect()
}

/// How much evidence generalising takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The networks that the cluster gives its pods, as its nodes say (`spec.podCIDRs`). Without them pods are listed by
    /// address.
    pub pod_networks: Vec<IpNet>,
    /// From how many addresses on a name rotates: 3. Two are what a service has for IPv4 and IPv6.
    pub addresses_of_name: usize,
    /// From how many addresses without a name on those behind one port rotate: 8.
    pub addresses_of_port: usize,
    /// From how many ports on a dense run of them is a range: 8. Dense: never two in a row are missing.
    pub ports_of_range: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pod_networks: Vec::new(),
            addresses_of_name: 3,
            addresses_of_port: 8,
            ports_of_range: 8,
        }
    }
}

/// Whom a target is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Whom {
    /// A service of the cluster. Its address stays for as long as it lives.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The pods of a workload. Their addresses change with each of them.
    Pods {
        /// The workload's namespace.
        namespace: String,
        /// The workload's kind.
        kind: String,
        /// The workload's name.
        name: String,
    },
    /// Many addresses outside the cluster that were asked for by one name.
    RotatingName(DnsName),
    /// Many addresses outside the cluster without a name, at one port.
    RotatingPort,
    /// One address, and nothing that it could be generalised to.
    Address(IpAddr),
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last; the same as the first where it is one port.
    pub last: u16,
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(formatter, "{}", self.first)
        } else {
            write!(formatter, "{}-{}", self.first, self.last)
        }
    }
}

/// Connections and datagrams that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whom they reach.
    pub whom: Whom,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The ports, ascending. They were all seen, or are between two that were.
    pub ports: Vec<Ports>,
    /// Each address that was passed, ascending. An IPv4 address that was passed in its form for IPv6 sockets
    /// (`::ffff:10.0.0.7`) is another one: a policy compares it so.
    pub addresses: Vec<IpAddr>,
    /// For pods: those of [`Options::pod_networks`] that have one of the addresses, ascending, and in the form for IPv6
    /// sockets (`::ffff:10.0.0.0/112`) where such addresses were passed.
    pub networks: Vec<IpNet>,
    /// How many times.
    pub count: u64,
}

impl Target {
    /// Whether a policy can allow this and block the rest. It cannot where the next address is one that nobody knows yet:
    /// then it can only watch.
    pub fn can_block(&self) -> bool {
        match &self.whom {
            Whom::Service { .. } | Whom::Address(_) => true,
            Whom::RotatingName(_) | Whom::RotatingPort => false,
            Whom::Pods { .. } => {
                let is_inside = |address: &IpAddr| self.networks.iter().any(|network| network.contains(address));
                self.addresses.iter().all(is_inside)
            }
        }
    }
}

/// Puts together what belongs together. The order of the input does not matter; the result is sorted by whom, and protocol.
pub fn generalise<'a>(seen: impl IntoIterator<Item = &'a Seen>, options: &Options) -> Vec<Target> {
    let seen: Vec<&Seen> = seen.into_iter().collect();
    let mut by_address: BTreeMap<(IpAddr, Protocol), Vec<&Seen>> = BTreeMap::new();
    for seen in &seen {
        by_address.entry((seen.address, seen.protocol)).or_default().push(seen);
    }
    let known: BTreeMap<(IpAddr, Protocol), Known> = by_address
        .into_iter()
        .map(|(key, seen)| (key, Known::of(&seen)))
        .collect();

    let mut of_name: BTreeMap<(&DnsName, Protocol), usize> = BTreeMap::new();
    let mut of_port: BTreeMap<(u16, Protocol), BTreeSet<IpAddr>> = BTreeMap::new();
    for seen in &seen {
        if let Some(Known::Outside(None)) = known.get(&(seen.address, seen.protocol)) {
            of_port
                .entry((seen.port, seen.protocol))
                .or_default()
                .insert(seen.address);
        }
    }
    for ((_, protocol), known) in &known {
        if let Known::Outside(Some(name)) = known {
            *of_name.entry((name, *protocol)).or_default() += 1;
        }
    }
    let whom = |seen: &Seen| match known.get(&(seen.address, seen.protocol)) {
        Some(Known::Inside(whom)) => whom.clone(),
        Some(Known::Outside(Some(name))) => match of_name.get(&(name, seen.protocol)) {
            Some(addresses) if *addresses >= options.addresses_of_name => Whom::RotatingName(name.clone()),
            _ => Whom::Address(seen.address),
        },
        Some(Known::Outside(None)) => match of_port.get(&(seen.port, seen.protocol)) {
            Some(addresses) if addresses.len() >= options.addresses_of_port => Whom::RotatingPort,
            _ => Whom::Address(seen.address),
        },
        Some(Known::Other) | None => Whom::Address(seen.address),
    };
    // What rotates behind one port has nothing to do with what rotates behind another.
    let mut groups: BTreeMap<(Whom, Protocol, Option<u16>), Vec<&Seen>> = BTreeMap::new();
    for seen in &seen {
        let whom = whom(seen);
        let port = (whom == Whom::RotatingPort).then_some(seen.port);
        groups.entry((whom, seen.protocol, port)).or_default().push(seen);
    }
    let target =
        |((whom, protocol, _), seen): ((Whom, Protocol, _), Vec<&Seen>)| target(whom, protocol, &seen, options);
    groups.into_iter().map(target).collect()
}

/// What is known of an address.
enum Known {
    /// It is a service or a pod.
    Inside(Whom),
    /// It is nothing in the cluster, or nobody was asked; and the name that it was mostly asked for by.
    Outside(Option<DnsName>),
    /// A node; or more than one of these, at different times: it says nothing by itself.
    Other,
}

impl Known {
    fn of(seen: &[&Seen]) -> Self {
        let mut kinds: BTreeSet<Option<Whom>> = BTreeSet::new();
        let mut names: BTreeMap<&DnsName, u64> = BTreeMap::new();
        for (peer, name, count) in seen.iter().flat_map(|seen| &seen.peers) {
            match peer {
                Peer::Service { namespace, name } => {
                    let (namespace, name) = (namespace.clone(), name.clone());
                    kinds.insert(Some(Whom::Service { namespace, name }));
                }
                Peer::Pod { namespace, kind, name } => {
                    let (namespace, kind, name) = (namespace.clone(), kind.clone(), name.clone());
                    kinds.insert(Some(Whom::Pods { namespace, kind, name }));
                }
                Peer::Node { .. } => return Self::Other,
                Peer::External => {
                    kinds.insert(None);
                }
                // Not asked, or not answered: it says neither this nor that.
                Peer::Unknown(_) => {}
            }
            if let Some(name) = name {
                let times = names.entry(name).or_default();
                *times = times.saturating_add(*count);
            }
        }
        let mut kinds = kinds.into_iter();
        match (kinds.next(), kinds.next()) {
            (Some(Some(whom)), None) => Self::Inside(whom),
            // The name with the highest count; of equal ones the first.
            (None | Some(None), None) => Self::Outside(
                names
                    .into_iter()
                    .rev()
                    .max_by_key(|(_, count)| *count)
                    .map(|(name, _)| name.clone()),
            ),
            _ => Self::Other,
        }
    }
}

fn target(whom: Whom, protocol: Protocol, seen: &[&Seen], options: &Options) -> Target {
    let addresses: BTreeSet<IpAddr> = seen.iter().map(|seen| seen.address).collect();
    let ports: BTreeSet<u16> = seen.iter().map(|seen| seen.port).collect();
    let networks: BTreeSet<IpNet> = match whom {
        Whom::Pods { .. } => addresses
            .iter()
            .filter_map(|address| network(*address, &options.pod_networks))
            .collect(),
        _ => BTreeSet::new(),
    };
    Target {
        whom,
        protocol,
        ports: ranges(&ports, options.ports_of_range),
        addresses: addresses.into_iter().collect(),
        networks: networks.into_iter().collect(),
        count: seen.iter().fold(0, |sum, seen| sum.saturating_add(seen.count)),
    }
}

/// The network that has the address, in the form in which the address was passed.
fn network(address: IpAddr, networks: &[IpNet]) -> Option<IpNet> {
    let network = networks
        .iter()
        .find(|network| network.contains(&address.to_canonical()))?;
    match (network, address) {
        (IpNet::V4(network), IpAddr::V6(_)) => {
            let mapped = Ipv6Net::new(network.network().to_ipv6_mapped(), 96 + network.prefix_len());
            mapped.ok().map(IpNet::V6)
        }
        _ => Some(network.trunc()),
    }
}

/// Ports in runs in which never two in a row are missing; runs that are too short, and well-known ports, one by one.
fn ranges(ports: &BTreeSet<u16>, least: usize) -> Vec<Ports> {
    let all: Vec<u16> = ports.iter().copied().collect();
    let runs = all.chunk_by(|a, b| *a >= WELL_KNOWN_END && b - a <= 2);
    let is_range = |run: &[u16]| run.len() >= least.max(2);
    let ranges = runs.flat_map(|run| match run {
        [first, .., end] if is_range(run) => vec![(*first, *end)],
        _ => run.iter().map(|port| (*port, *port)).collect(),
    });
    ranges.map(|(first, last)| Ports { first, last }).collect()
}
