//! The values that a catalogue's conditions are made of. Each is checked where it is read, so that an error has a place.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use globset::{Glob, GlobBuilder};
use ipnet::IpNet;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::behaviour::Action;
use crate::dns::DnsName;
use crate::path;

/// The longest text of an entry or a decision, in bytes.
const TEXT_MAX: usize = 2_000;

/// The longest glob, in bytes.
const GLOB_MAX: usize = 512;

/// A value that is not of its form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(super) String);

/// One line of text for people: not blank, and nothing in it hides or moves what is around it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(String);

impl Text {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for Text {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ValueError("it is empty; write at least a few words".to_owned()));
        }
        if text.len() > TEXT_MAX {
            return Err(ValueError(format!("it has more than {TEXT_MAX} bytes")));
        }
        if text.chars().any(path::is_unprintable) {
            return Err(ValueError(
                "it contains a character that hides or moves text, or ends the line".to_owned(),
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A stable name of lower-case words with dashes between them, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId(String);

impl EntryId {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for EntryId {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_word = |word: &str| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if text.len() <= 64 && text.split('-').all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError(format!(
                "`{}` is no id: write lower-case words with dashes between them, such as exec-in-memory",
                shown(text)
            )))
        }
    }
}

/// A technique or sub-technique of ATT&CK, by its id: `T1059` or `T1059.004`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Technique(String);

impl Technique {
    /// Its page.
    pub fn address(&self) -> String {
        format!("https://attack.mitre.org/techniques/{}/", self.0.replace('.', "/"))
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for Technique {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_number = |digits: &str, length| digits.len() == length && digits.bytes().all(|it| it.is_ascii_digit());
        let is_technique = text
            .strip_prefix('T')
            .is_some_and(|number| match number.split_once('.') {
                Some((technique, part)) => is_number(technique, 4) && is_number(part, 3),
                None => is_number(number, 4),
            });
        if is_technique {
            Ok(Self(text.to_owned()))
        } else {
            Err(ValueError(format!(
                "`{}` is no technique of ATT&CK: write T1234 or T1234.001",
                shown(text)
            )))
        }
    }
}

/// A glob, or `$NAME` for those in a list of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// A glob of paths, see [`glob`].
    Glob(String),
    /// All of this list.
    List(String),
}

impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glob(text) => formatter.pad(text),
            Self::List(name) => formatter.pad(&format!("${name}")),
        }
    }
}

impl FromStr for Pattern {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        if let Some(name) = text.strip_prefix('$') {
            return if is_list_name(name) {
                Ok(Self::List(name.to_owned()))
            } else {
                Err(ValueError(format!("`{}` names no list", shown(text))))
            };
        }
        if text.is_empty() || text.len() > GLOB_MAX {
            return Err(ValueError(format!("a glob has from 1 to {GLOB_MAX} bytes")));
        }
        glob(text, true)?;
        Ok(Self::Glob(text.to_owned()))
    }
}

/// Whether a list can have this name.
pub(super) fn is_list_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A glob of bytes: `*` is any of them, but no slash where `is_path`; `**` between slashes any number of components, also
/// none; `?`, `[a-z]`, `[!a]`, `{a,b}` (`{,a}` for none or `a`), and `\` before what is meant as it stands.
pub(super) fn glob(text: &str, is_path: bool) -> Result<Glob, ValueError> {
    GlobBuilder::new(text)
        .literal_separator(is_path)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
        .map_err(|error| ValueError(format!("`{}` is no glob: {}", shown(text), error.kind())))
}

/// An address, or a network: `169.254.169.254`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address is in it; IPv4 addresses that are written as IPv6 (`::ffff:10.0.0.1`) are what they stand for.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(network) = self;
        if network.prefix_len() == network.max_prefix_len() {
            formatter.pad(&network.addr().to_string())
        } else {
            formatter.pad(&network.to_string())
        }
    }
}

impl FromStr for Network {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        match network {
            Ok(network) if network.trunc() == network => Ok(Self(network)),
            Ok(network) => Err(ValueError(format!(
                "`{network}` has bits beyond its prefix: write {}",
                network.trunc()
            ))),
            Err(_) => Err(ValueError(format!(
                "`{}` is no address or network: write 169.254.169.254, 10.0.0.0/8 or fd00::/8",
                shown(text)
            ))),
        }
    }
}

/// A port, or a range of them: `443`, `8000-8999`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports(RangeInclusive<u16>);

impl Ports {
    /// Whether the port is among them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(&port)
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start(), self.0.end()) {
            (first, last) if first == last => write!(formatter, "{first}"),
            (first, last) => write!(formatter, "{first}-{last}"),
        }
    }
}

impl FromStr for Ports {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.parse::<u16>(), last.parse::<u16>()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(ValueError(format!(
                "`{}` is no port or range of ports: write 443 or 8000-8999",
                shown(text)
            ))),
        }
    }
}

/// Ports are numbers in YAML, ranges are text.
impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PortsVisitor;
        impl Visitor<'_> for PortsVisitor {
            type Value = Ports;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a port or a range of ports")
            }
            fn visit_u64<E: Error>(self, port: u64) -> Result<Ports, E> {
                port.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Ports, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(PortsVisitor)
    }
}

/// A DNS name, and all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsSuffix(DnsName);

impl DnsSuffix {
    /// Whether the name is this one or below it.
    pub fn contains(&self, name: &DnsName) -> bool {
        match name.as_str().strip_suffix(self.0.as_str()) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

impl fmt::Display for DnsSuffix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for DnsSuffix {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let is_name = !text.starts_with('.') && !text.ends_with('.') && !text.contains('*');
        let name: Option<DnsName> = text.to_ascii_lowercase().parse().ok();
        match name {
            Some(name) if is_name => Ok(Self(name)),
            _ => Err(ValueError(format!(
                "`{}` is no DNS name: write example.com, which stands for all below it, too",
                shown(text)
            ))),
        }
    }
}

crate::serde_text::as_text!(Text, EntryId, Technique, Pattern, Network, DnsSuffix);

/// What kind of address it is, told from the address alone (RFC 6890).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// RFC 1918, RFC 6598 (`100.64.0.0/10`), `fc00::/7`.
    Private,
    /// Multicast and broadcast.
    Multicast,
    /// `0.0.0.0`, `::`: every address of the machine where it is listened to, the machine itself where it is connected to.
    Unspecified,
    /// Any other: the internet, as far as an address can tell.
    Public,
}

impl Scope {
    /// Of this address.
    pub fn of(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let (is_link_local, is_private, is_broadcast) = match address {
            IpAddr::V4(it) => {
                let [first, second, ..] = it.octets();
                let is_shared = first == 100 && (64..128).contains(&second);
                (it.is_link_local(), it.is_private() || is_shared, it.is_broadcast())
            }
            IpAddr::V6(it) => (it.is_unicast_link_local(), it.is_unique_local(), false),
        };
        match () {
            () if address.is_loopback() => Self::Loopback,
            () if address.is_unspecified() => Self::Unspecified,
            () if address.is_multicast() || is_broadcast => Self::Multicast,
            () if is_link_local => Self::LinkLocal,
            () if is_private => Self::Private,
            () => Self::Public,
        }
    }
}

/// A kind of behaviour, as columns and options name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionKind {
    /// [`Action::Exec`].
    Exec,
    /// [`Action::Open`].
    Open,
    /// [`Action::Connect`].
    Connect,
    /// [`Action::ConnectUnix`].
    ConnectUnix,
    /// [`Action::Send`].
    Send,
    /// [`Action::Listen`].
    Listen,
    /// [`Action::Raise`].
    Raise,
}

impl ActionKind {
    /// Of this action.
    pub const fn of(action: &Action) -> Self {
        match action {
            Action::Exec { .. } => Self::Exec,
            Action::Open { .. } => Self::Open,
            Action::Connect { .. } => Self::Connect,
            Action::ConnectUnix { .. } => Self::ConnectUnix,
            Action::Send { .. } => Self::Send,
            Action::Listen { .. } => Self::Listen,
            Action::Raise { .. } => Self::Raise,
        }
    }
}

/// The beginning of a text from outside, for an error.
fn shown(text: &str) -> String {
    path::escape(text.chars().take(64).collect::<String>().as_bytes())
}
