//! From what the API server says to who has an address.
//!
//! Whoever may make services or pods chooses most of it: what has not the right form or size is left out.

use std::net::IpAddr;

use baselines::behaviour::Protocol;
use baselines::peer::Peer;
use baselines::time::UtcTime;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceSpec};
use serde::Deserialize;
use serde_json::Value;

use super::Place;
use crate::kubernetes::directory::REMEMBERED;
use crate::kubernetes::owners::is_name;
use crate::kubernetes::pods::{addresses, created, is_over};
use crate::kubernetes::times::utc;

/// More addresses and ports than anybody's service has. What has more is known by the first ones.
const PLACES_MAX: usize = 1_024;

/// What a service's description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Its uid.
    pub uid: String,
    /// What it is called.
    pub peer: Peer,
    /// When it was made.
    pub since: UtcTime,
    /// Where it is reached: its cluster addresses, and at its ports the external ones and those of its load balancer.
    pub places: Vec<Place>,
    /// There were more places.
    pub is_cut: bool,
}

impl ServiceFacts {
    /// The facts of a service. None where what names it is missing. A headless one has no place.
    pub fn of(service: &Service) -> Option<Self> {
        let metadata = &service.metadata;
        let required = |text: &Option<String>| text.clone().filter(|text| is_name(text));
        let (namespace, name) = (required(&metadata.namespace)?, required(&metadata.name)?);
        let mut places: Vec<Place> = cluster_addresses(service).map(|address| (address, None)).collect();
        // Without a cluster address kube-proxy serves no other ones either (`ShouldSkipService`, pkg/proxy/util/utils.go in
        // Kubernetes): whoever may make services could call any address theirs.
        if !places.is_empty() {
            let ports = ports(service);
            for address in other_addresses(service) {
                places.extend(ports.iter().map(|port| (address, Some(*port))));
            }
        }
        let is_cut = places.len() > PLACES_MAX;
        places.truncate(PLACES_MAX);
        Some(Self {
            uid: required(&metadata.uid)?,
            peer: Peer::Service { namespace, name },
            since: created(metadata),
            places,
            is_cut,
        })
    }
}

/// Those that are no addresses are `None`, of a headless service, or empty.
fn cluster_addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let is_name_only = |spec: &&ServiceSpec| spec.type_.as_deref() == Some("ExternalName");
    let spec = service.spec.as_ref().filter(|spec| !is_name_only(spec));
    let first = spec.and_then(|spec| spec.cluster_ip.as_ref());
    let all = spec.and_then(|spec| spec.cluster_ips.as_ref()).into_iter().flatten();
    let mut addresses: Vec<IpAddr> = first.into_iter().chain(all).filter_map(|text| parse(text)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.into_iter()
}

fn other_addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let external = service.spec.iter().flat_map(|spec| spec.external_ips.iter().flatten());
    let balancer = service.status.iter().filter_map(|status| status.load_balancer.as_ref());
    let ingress = balancer.flat_map(|balancer| balancer.ingress.iter().flatten());
    let ingress = ingress.filter_map(|ingress| ingress.ip.as_ref());
    external.chain(ingress).filter_map(|text| parse(text))
}

fn ports(service: &Service) -> Vec<(u16, Protocol)> {
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let known = ports.filter_map(|port| {
        let protocol = match port.protocol.as_deref() {
            None | Some("TCP") => Protocol::Tcp,
            Some("UDP") => Protocol::Udp,
            // IPPROTO_SCTP (include/uapi/linux/in.h).
            Some("SCTP") => Protocol::from_number(132),
            Some(_) => return None,
        };
        Some((u16::try_from(port.port).ok()?, protocol))
    });
    known.collect()
}

fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Who of some pods has an address.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claim<'a> {
    /// The node with this name: a pod in its network says so.
    Node(&'a str),
    /// This pod.
    Pod(&'a Pod),
    /// None of them.
    Nobody,
}

/// Who of these pods has the address at `now`. Of several that had it, one that runs has it now; else the one that came last,
/// if it ended a moment ago: the API server keeps what has ended, for ever where nobody says how long, and its address may be
/// anything by then.
pub fn claim(pods: &[Pod], address: IpAddr, now: UtcTime) -> Claim<'_> {
    let lately = now.before(REMEMBERED);
    let may_have_it = |pod: &&Pod| !is_over(pod) || ended(pod).is_some_and(|at| at >= lately);
    let claiming = || {
        let with_it = pods.iter().filter(|pod| addresses(pod).contains(&address));
        with_it.filter(may_have_it)
    };
    let node = claiming().find_map(|pod| {
        let spec = pod.spec.as_ref().filter(|spec| spec.host_network == Some(true))?;
        spec.node_name.as_deref().filter(|name| is_name(name))
    });
    let in_no_nodes_network = |pod: &&Pod| pod.spec.as_ref().is_none_or(|spec| spec.host_network != Some(true));
    let pod = claiming()
        .filter(in_no_nodes_network)
        .max_by_key(|pod| (!is_over(pod), created(&pod.metadata)));
    match (node, pod) {
        (Some(node), _) => Claim::Node(node),
        (None, Some(pod)) => Claim::Pod(pod),
        (None, None) => Claim::Nobody,
    }
}

/// When the last container of a pod that is over ended.
fn ended(pod: &Pod) -> Option<UtcTime> {
    let statuses = pod.status.as_ref()?.container_statuses.iter().flatten();
    let terminated = statuses.filter_map(|status| status.state.as_ref()?.terminated.as_ref());
    terminated.filter_map(|state| state.finished_at.as_ref()).map(utc).max()
}

/// A list as the API server prints it for people, which is a hundredth of what it knows of nodes.
#[derive(Debug, Deserialize)]
pub struct Table {
    #[serde(rename = "columnDefinitions")]
    columns: Vec<Column>,
    #[serde(default)]
    rows: Option<Vec<Row>>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Row {
    cells: Vec<Value>,
}

/// The addresses of nodes in their table, with the nodes' names: the first internal and the first external one of each
/// (`printNode`, pkg/printers/internalversion/printers.go in Kubernetes). None where it has not these columns.
pub fn node_addresses(table: &Table) -> Option<Vec<(IpAddr, String)>> {
    let column = |name: &str| table.columns.iter().position(|column| column.name == name);
    let (name, internal, external) = (column("Name")?, column("Internal-IP")?, column("External-IP")?);
    let nodes = table.rows.iter().flatten().filter_map(|row| {
        let cell = |at: usize| row.cells.get(at)?.as_str();
        let name = cell(name).filter(|name| is_name(name))?;
        // `<none>` where there is none.
        let addresses = [internal, external].into_iter().filter_map(move |at| parse(cell(at)?));
        Some(addresses.map(move |address| (address, name.to_owned())))
    });
    Some(nodes.flatten().collect())
}
