//! What an image's behaviours generalise to, for counting: two that differ in a temporary name, or in the address of a peer that
//! is the same one, are one behaviour.

use std::collections::HashMap;

use crate::behaviour::{Access, Action, Behaviour, Capabilities, Protocol, RaiseCause};
use crate::dns::DnsName;
use crate::path::FilePath;
use crate::peer::Peer;
use crate::templates::Mined;

/// A path, or the template that it was mined for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Place<'a> {
    Path(&'a FilePath),
    /// By its number.
    Template(usize),
}

/// Whom a connection is for: who keeps its address is its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whom<'a> {
    Address(std::net::IpAddr),
    /// Pods of one workload.
    Pods(&'a Peer),
    /// Whatever a name outside the cluster stood for.
    Name(&'a DnsName),
}

/// A behaviour without what is never the same twice. Arguments are left out: no policy compares them.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Form<'a> {
    Exec(Place<'a>, Option<Place<'a>>),
    Open(Place<'a>, Access),
    Connect(Whom<'a>, u16, Protocol),
    ConnectUnix(Place<'a>),
    Send(Whom<'a>, u16, Protocol),
    Listen(std::net::IpAddr, u16, Protocol),
    Raise(Place<'a>, RaiseCause, u32, Capabilities),
}

/// Every path that a behaviour names, the program that did it among them.
pub(super) fn paths(behaviour: &Behaviour) -> impl Iterator<Item = &FilePath> {
    let of_action: [Option<&FilePath>; 2] = match &behaviour.action {
        Action::Exec { binary, script, .. } => [Some(binary), script.as_ref()],
        Action::Open { path, .. } | Action::ConnectUnix { path } => [Some(path), None],
        Action::Raise { binary, .. } => [Some(binary), None],
        Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => [None, None],
    };
    std::iter::once(&behaviour.subject).chain(of_action.into_iter().flatten())
}

/// A number for each behaviour: the same for those that generalise to the same one. `whom` tells whom a behaviour reached,
/// as [`whom`] does.
pub(super) fn numbers<'a>(
    behaviours: impl IntoIterator<Item = (&'a Behaviour, Option<Reached<'a>>)>,
    mined: &Mined<'a>,
) -> Vec<usize> {
    let members = mined.templates.iter().enumerate();
    let templates: HashMap<&FilePath, usize> = members
        .flat_map(|(number, found)| found.members.iter().map(move |path| (*path, number)))
        .collect();
    let place = |path: &'a FilePath| {
        templates
            .get(path)
            .map_or(Place::Path(path), |&number| Place::Template(number))
    };
    let mut numbers = HashMap::new();
    let number = |(behaviour, reached): (&'a Behaviour, Option<Reached<'a>>)| {
        let whom = |address| match reached {
            None => Whom::Address(address),
            Some(Reached::Pods(peer)) => Whom::Pods(peer),
            Some(Reached::Name(name)) => Whom::Name(name),
        };
        let form = match &behaviour.action {
            Action::Exec { binary, script, .. } => Form::Exec(place(binary), script.as_ref().map(place)),
            Action::Open { path, access, .. } => Form::Open(place(path), *access),
            Action::Connect {
                address,
                port,
                protocol,
            } => Form::Connect(whom(*address), *port, *protocol),
            Action::ConnectUnix { path } => Form::ConnectUnix(place(path)),
            Action::Send {
                address,
                port,
                protocol,
            } => Form::Send(whom(*address), *port, *protocol),
            Action::Listen {
                address,
                port,
                protocol,
            } => Form::Listen(*address, *port, *protocol),
            Action::Raise {
                binary,
                cause,
                user,
                capabilities,
            } => Form::Raise(place(binary), *cause, *user, *capabilities),
        };
        let next = numbers.len();
        *numbers.entry((place(&behaviour.subject), form)).or_insert(next)
    };
    behaviours.into_iter().map(number).collect()
}

/// Whom an address stood for, where that is not the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reached<'a> {
    Pods(&'a Peer),
    Name(&'a DnsName),
}

/// Whom a behaviour reached, if that was always the same: pods of one workload, or one name outside the cluster. Else its
/// address is all that there is to say.
pub(super) fn whom<'a>(mut peers: impl Iterator<Item = (&'a Peer, Option<&'a DnsName>)>) -> Option<Reached<'a>> {
    let of = |(peer, name): (&'a Peer, Option<&'a DnsName>)| match (peer, name) {
        (Peer::Pod { .. }, _) => Some(Reached::Pods(peer)),
        (Peer::External, Some(name)) => Some(Reached::Name(name)),
        _ => None,
    };
    let first = of(peers.next()?)?;
    peers.all(|peer| of(peer) == Some(first)).then_some(first)
}
