//! What an image's behaviours generalise to, for counting and comparing: two that differ in a temporary name, or in the address
//! of a peer that is the same one, are one behaviour.

use std::collections::HashMap;

use super::exposure::key_of;
use crate::behaviour::{Access, Action, Behaviour, Capabilities, Protocol, RaiseCause};
use crate::dns::DnsName;
use crate::path::FilePath;
use crate::peer::Peer;
use crate::templates::Mined;

/// A path, or the template that it was mined for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place<'a> {
    Path(&'a FilePath),
    /// By its number.
    Template(usize),
}

/// Whom a connection is for: who keeps its address is its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Whom<'a> {
    Address(std::net::IpAddr),
    /// Pods of one workload.
    Pods(&'a Peer),
    /// Whatever a name outside the cluster stood for.
    Name(&'a DnsName),
}

/// A behaviour without what is never the same twice: the program that did it, and what it did.
pub(crate) type Generalised<'a> = (Place<'a>, Form<'a>);

/// What a program did. Arguments are left out: no policy compares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Form<'a> {
    Exec(Place<'a>, Option<Place<'a>>),
    Open(Place<'a>, Access),
    Connect(Whom<'a>, u16, Protocol),
    ConnectUnix(Place<'a>),
    Send(Whom<'a>, u16, Protocol),
    Listen(std::net::IpAddr, u16, Protocol),
    Raise(Place<'a>, RaiseCause, u32, Capabilities),
}

/// The same for the same form on every node, as templates have names: see [`key_of`].
pub(super) fn key(&(subject, form): &Generalised<'_>, mined: &Mined<'_>) -> u64 {
    let place = |place: Place<'_>| match place {
        Place::Path(path) => format!("path {path}"),
        Place::Template(number) => match mined.templates.get(number) {
            Some(found) => format!("template {}", found.template),
            None => String::new(),
        },
    };
    let whom = |whom: Whom<'_>| match whom {
        Whom::Address(address) => format!("address {address}"),
        Whom::Pods(peer) => format!("pods {peer}"),
        Whom::Name(name) => format!("name {name}"),
    };
    let network = |kind: &str, whom: String, port: u16, protocol: Protocol| {
        [kind.to_owned(), whom, port.to_string(), protocol.to_string()].to_vec()
    };
    let deed = match form {
        Form::Exec(binary, script) => {
            let script = script.map_or_else(String::new, place);
            vec!["exec".to_owned(), place(binary), script]
        }
        Form::Open(path, access) => vec!["open".to_owned(), place(path), access.to_string()],
        Form::Connect(to, port, protocol) => network("connect", whom(to), port, protocol),
        Form::ConnectUnix(path) => vec!["connect-unix".to_owned(), place(path)],
        Form::Send(to, port, protocol) => network("send", whom(to), port, protocol),
        Form::Listen(at, port, protocol) => network("listen", at.to_string(), port, protocol),
        Form::Raise(binary, cause, user, capabilities) => {
            let cause = match cause {
                RaiseCause::Execution => "execution",
                RaiseCause::UserNamespace => "user namespace",
            };
            let cause = cause.to_owned();
            let what = [place(binary), cause, user.to_string(), capabilities.to_string()];
            ["raise".to_owned()].into_iter().chain(what).collect()
        }
    };
    key_of([place(subject)].into_iter().chain(deed))
}

/// Every path that a behaviour names, the program that did it among them.
pub(crate) fn paths(behaviour: &Behaviour) -> impl Iterator<Item = &FilePath> {
    let of_action: [Option<&FilePath>; 2] = match &behaviour.action {
        Action::Exec { binary, script, .. } => [Some(binary), script.as_ref()],
        Action::Open { path, .. } | Action::ConnectUnix { path } => [Some(path), None],
        Action::Raise { binary, .. } => [Some(binary), None],
        Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => [None, None],
    };
    std::iter::once(&behaviour.subject).chain(of_action.into_iter().flatten())
}

/// A number for each behaviour: the same for those that generalise to the same form; and these forms, by their numbers. `whom`
/// tells whom a behaviour reached, as [`whom`] does.
pub(super) fn numbers<'a>(
    behaviours: impl IntoIterator<Item = (&'a Behaviour, Option<Reached<'a>>)>,
    mined: &Mined<'a>,
) -> (Vec<usize>, Vec<Generalised<'a>>) {
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
    let mut forms = Vec::new();
    let number = |(behaviour, reached): (&'a Behaviour, Option<Reached<'a>>)| {
        let form = form(behaviour, reached, place);
        *numbers.entry(form).or_insert_with(|| {
            forms.push(form);
            forms.len() - 1
        })
    };
    (behaviours.into_iter().map(number).collect(), forms)
}

/// What a behaviour generalises to, where `place` tells which paths are one.
pub(crate) fn form<'a>(
    behaviour: &'a Behaviour,
    reached: Option<Reached<'a>>,
    place: impl Fn(&'a FilePath) -> Place<'a>,
) -> Generalised<'a> {
    let whom = |address| match reached {
        None => Whom::Address(address),
        Some(Reached::Pods(peer)) => Whom::Pods(peer),
        Some(Reached::Name(name)) => Whom::Name(name),
    };
    let form = match &behaviour.action {
        Action::Exec { binary, script, .. } => Form::Exec(place(binary), script.as_ref().map(&place)),
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
    (place(&behaviour.subject), form)
}

/// Whom an address stood for, where that is not the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reached<'a> {
    Pods(&'a Peer),
    Name(&'a DnsName),
}

/// Whom a behaviour reached, if that was always the same: pods of one workload, or one name outside the cluster. Else its
/// address is all that there is to say.
pub(crate) fn whom<'a>(mut peers: impl Iterator<Item = (&'a Peer, Option<&'a DnsName>)>) -> Option<Reached<'a>> {
    let of = |(peer, name): (&'a Peer, Option<&'a DnsName>)| match (peer, name) {
        (Peer::Pod { .. }, _) => Some(Reached::Pods(peer)),
        (Peer::External, Some(name)) => Some(Reached::Name(name)),
        _ => None,
    };
    let first = of(peers.next()?)?;
    peers.all(|peer| of(peer) == Some(first)).then_some(first)
}
