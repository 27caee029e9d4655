//! What a baseline holds of each behaviour.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Evidence, Reached};
use crate::behaviour::{Access, Action, Arguments, Behaviour, Capabilities, Protocol, RaiseCause};
use crate::path::FilePath;

/// Behaviours by kind, each list sorted by its first fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Behaviours {
    /// Executions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exec: Vec<Exec>,
    /// File opens and executable mappings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Open>,
    /// Connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connect: Vec<Connect>,
    /// Connections to Unix sockets, and datagrams to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connect_unix: Vec<ConnectUnix>,
    /// Datagrams sent without a connection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub send: Vec<Send>,
    /// Sockets that wait for connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listen: Vec<Listen>,
    /// Privileges that were raised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raise: Vec<Raise>,
}

/// An execution and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Exec {
    /// What runs: for a script its interpreter.
    pub binary: FilePath,
    /// The script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<FilePath>,
    /// What it was called with, if that was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Arguments>,
    /// The calling image.
    pub parent: FilePath,
    /// How well known it is.
    pub evidence: Evidence,
}

/// An open or an executable mapping, and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Open {
    /// What was opened.
    pub path: FilePath,
    /// How.
    pub access: Access,
    /// The path inside the overlay's layer, see [`Action::Open`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backing: Option<FilePath>,
    /// The executable that opened it.
    pub subject: FilePath,
    /// How well known it is.
    pub evidence: Evidence,
}

/// A connection and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Connect {
    /// The address as passed.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The executable that connected.
    pub subject: FilePath,
    /// Whom it reached, sorted; empty where nobody was asked, and for addresses that say it themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Reached>,
    /// How well known it is.
    pub evidence: Evidence,
}

/// A connection to a Unix socket and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ConnectUnix {
    /// The socket's path.
    pub path: FilePath,
    /// The executable that connected or sent.
    pub subject: FilePath,
    /// How well known it is.
    pub evidence: Evidence,
}

/// A datagram sent without a connection and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Send {
    /// The address as passed.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The executable that sent it.
    pub subject: FilePath,
    /// Whom it reached, sorted; empty where nobody was asked, and for addresses that say it themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<Reached>,
    /// How well known it is.
    pub evidence: Evidence,
}

/// A socket that waits for connections and its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Listen {
    /// The address that it is bound to.
    pub address: IpAddr,
    /// The port; 0 where the kernel chose one.
    pub port: u16,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The executable that waits.
    pub subject: FilePath,
    /// How well known it is.
    pub evidence: Evidence,
}

/// Privileges that were raised and the evidence of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Raise {
    /// What was executed, or runs.
    pub binary: FilePath,
    /// How they were raised.
    pub cause: RaiseCause,
    /// The effective user id after it.
    pub user: u32,
    /// The permitted capabilities after it.
    pub capabilities: Capabilities,
    /// The executable that came by them.
    pub subject: FilePath,
    /// How well known it is.
    pub evidence: Evidence,
}

impl Open {
    /// Whether this is an executable mapping, which opens nothing: the file was opened before.
    pub fn is_mapping(&self) -> bool {
        self.access == Access::MAP
    }
}

impl Behaviours {
    /// The opens that are not executable mappings.
    pub fn opens(&self) -> impl Iterator<Item = &Open> {
        self.open.iter().filter(|open| !open.is_mapping())
    }

    /// Adds a behaviour at the end of its list. Those that come in the order of their actions, then subjects, make sorted
    /// lists.
    pub fn push(&mut self, behaviour: Behaviour, evidence: Evidence) {
        self.push_reached(behaviour, Vec::new(), evidence);
    }

    /// The same with whom it reached, which says nothing of behaviours other than connections and datagrams.
    pub fn push_reached(&mut self, behaviour: Behaviour, peers: Vec<Reached>, evidence: Evidence) {
        let Behaviour { subject, action } = behaviour;
        match action {
            Action::Exec {
                binary,
                script,
                arguments,
            } => self.exec.push(Exec {
                binary,
                script,
                arguments,
                parent: subject,
                evidence,
            }),
            Action::Open { path, access, backing } => self.open.push(Open {
                path,
                access,
                backing,
                subject,
                evidence,
            }),
            Action::Connect {
                address,
                port,
                protocol,
            } => self.connect.push(Connect {
                address,
                port,
                protocol,
                subject,
                peers,
                evidence,
            }),
            Action::ConnectUnix { path } => self.connect_unix.push(ConnectUnix {
                path,
                subject,
                evidence,
            }),
            Action::Send {
                address,
                port,
                protocol,
            } => self.send.push(Send {
                address,
                port,
                protocol,
                subject,
                peers,
                evidence,
            }),
            Action::Listen {
                address,
                port,
                protocol,
            } => self.listen.push(Listen {
                address,
                port,
                protocol,
                subject,
                evidence,
            }),
            Action::Raise {
                binary,
                cause,
                user,
                capabilities,
            } => self.raise.push(Raise {
                binary,
                cause,
                user,
                capabilities,
                subject,
                evidence,
            }),
        }
    }

    /// All behaviours, in the order of the document.
    pub fn all(&self) -> impl Iterator<Item = (Behaviour, &Evidence)> {
        self.all_reached().map(|(behaviour, _, evidence)| (behaviour, evidence))
    }

    /// The same with whom they reached, which is empty for all but connections and datagrams.
    pub fn all_reached(&self) -> impl Iterator<Item = (Behaviour, &[Reached], &Evidence)> {
        const NOBODY: &[Reached] = &[];
        let exec = self.exec.iter().map(|it| {
            let action = Action::Exec {
                binary: it.binary.clone(),
                script: it.script.clone(),
                arguments: it.arguments.clone(),
            };
            (it.parent.clone(), action, NOBODY, &it.evidence)
        });
        let open = self.open.iter().map(|it| {
            let action = Action::Open {
                path: it.path.clone(),
                access: it.access,
                backing: it.backing.clone(),
            };
            (it.subject.clone(), action, NOBODY, &it.evidence)
        });
        let connect = self.connect.iter().map(|it| {
            let action = Action::Connect {
                address: it.address,
                port: it.port,
                protocol: it.protocol,
            };
            (it.subject.clone(), action, it.peers.as_slice(), &it.evidence)
        });
        let connect_unix = self.connect_unix.iter().map(|it| {
            let action = Action::ConnectUnix { path: it.path.clone() };
            (it.subject.clone(), action, NOBODY, &it.evidence)
        });
        let send = self.send.iter().map(|it| {
            let action = Action::Send {
                address: it.address,
                port: it.port,
                protocol: it.protocol,
            };
            (it.subject.clone(), action, it.peers.as_slice(), &it.evidence)
        });
        let listen = self.listen.iter().map(|it| {
            let action = Action::Listen {
                address: it.address,
                port: it.port,
                protocol: it.protocol,
            };
            (it.subject.clone(), action, NOBODY, &it.evidence)
        });
        let raise = self.raise.iter().map(|it| {
            let action = Action::Raise {
                binary: it.binary.clone(),
                cause: it.cause,
                user: it.user,
                capabilities: it.capabilities,
            };
            (it.subject.clone(), action, NOBODY, &it.evidence)
        });
        let all = exec
            .chain(open)
            .chain(connect)
            .chain(connect_unix)
            .chain(send)
            .chain(listen)
            .chain(raise);
        all.map(|(subject, action, reached, evidence)| (Behaviour { subject, action }, reached, evidence))
    }
}
