//! A behaviour, written down by a person: in a decision, or as an entry's example.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::values::{ActionKind, ValueError};
use crate::behaviour::{Access, Action, Arguments, Behaviour, Capabilities, Protocol, RaiseCause};
use crate::path::FilePath;

/// A behaviour in a document: its kind, and the fields that this kind has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub(crate) struct Written(pub(crate) Behaviour);

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Fields {
    kind: Option<ActionKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<FilePath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<FilePath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<FilePath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Arguments>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<FilePath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Access>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Protocol>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<RaiseCause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
}

impl Fields {
    /// Whether a field is left that the behaviour's kind does not have.
    fn is_empty(&self) -> bool {
        let Self {
            kind,
            subject,
            binary,
            script,
            arguments,
            path,
            access,
            address,
            port,
            protocol,
            cause,
            user,
            capabilities,
        } = self;
        kind.is_none()
            && subject.is_none()
            && binary.is_none()
            && script.is_none()
            && arguments.is_none()
            && path.is_none()
            && access.is_none()
            && address.is_none()
            && port.is_none()
            && protocol.is_none()
            && cause.is_none()
            && user.is_none()
            && capabilities.is_none()
    }
}

/// A field that there must be.
fn needed<T>(field: &mut Option<T>, name: &str) -> Result<T, ValueError> {
    field
        .take()
        .ok_or_else(|| ValueError(format!("the behaviour has no `{name}`")))
}

impl TryFrom<Fields> for Written {
    type Error = ValueError;

    fn try_from(mut fields: Fields) -> Result<Self, ValueError> {
        let it = &mut fields;
        let kind = needed(&mut it.kind, "kind")?;
        let subject = needed(&mut it.subject, "subject")?;
        let action = match kind {
            ActionKind::Exec => Action::Exec {
                binary: needed(&mut it.binary, "binary")?,
                script: it.script.take(),
                arguments: it.arguments.take(),
            },
            ActionKind::Open => Action::Open {
                path: needed(&mut it.path, "path")?,
                access: needed(&mut it.access, "access")?,
                backing: None,
            },
            ActionKind::ConnectUnix => Action::ConnectUnix {
                path: needed(&mut it.path, "path")?,
            },
            ActionKind::Connect | ActionKind::Send | ActionKind::Listen => {
                let address = needed(&mut it.address, "address")?;
                let port = needed(&mut it.port, "port")?;
                let protocol = needed(&mut it.protocol, "protocol")?;
                network(kind, address, port, protocol)
            }
            ActionKind::Raise => Action::Raise {
                binary: needed(&mut it.binary, "binary")?,
                cause: needed(&mut it.cause, "cause")?,
                user: needed(&mut it.user, "user")?,
                capabilities: needed(&mut it.capabilities, "capabilities")?,
            },
        };
        if fields.is_empty() {
            Ok(Self(Behaviour { subject, action }))
        } else {
            Err(ValueError("the behaviour has a field that its kind has not".to_owned()))
        }
    }
}

fn network(kind: ActionKind, address: IpAddr, port: u16, protocol: Protocol) -> Action {
    match kind {
        ActionKind::Send => Action::Send {
            address,
            port,
            protocol,
        },
        ActionKind::Listen => Action::Listen {
            address,
            port,
            protocol,
        },
        _ => Action::Connect {
            address,
            port,
            protocol,
        },
    }
}

impl From<Written> for Fields {
    fn from(Written(Behaviour { subject, action }): Written) -> Self {
        let fields = Self {
            kind: Some(ActionKind::of(&action)),
            subject: Some(subject),
            ..Self::default()
        };
        match action {
            Action::Exec {
                binary,
                script,
                arguments,
            } => Self {
                binary: Some(binary),
                script,
                arguments,
                ..fields
            },
            Action::Open { path, access, .. } => Self {
                path: Some(path),
                access: Some(access),
                ..fields
            },
            Action::ConnectUnix { path } => Self {
                path: Some(path),
                ..fields
            },
            Action::Connect {
                address,
                port,
                protocol,
            }
            | Action::Send {
                address,
                port,
                protocol,
            }
            | Action::Listen {
                address,
                port,
                protocol,
            } => Self {
                address: Some(address),
                port: Some(port),
                protocol: Some(protocol),
                ..fields
            },
            Action::Raise {
                binary,
                cause,
                user,
                capabilities,
            } => Self {
                binary: Some(binary),
                cause: Some(cause),
                user: Some(user),
                capabilities: Some(capabilities),
                ..fields
            },
        }
    }
}
