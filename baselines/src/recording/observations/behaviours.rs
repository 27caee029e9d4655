//! Behaviours as columns, and back.

use std::net::IpAddr;

use super::super::error::Failure;
use super::super::read::Read;
use super::columns::{Column, Row};
use super::words::{self, CAUSES, word};
use crate::behaviour::{Action, Arguments, Behaviour};
use crate::path::{self, FilePath, Origin};

const PATH: (Column, Column) = (Column::Path, Column::PathOrigin);
const SCRIPT: (Column, Column) = (Column::Script, Column::ScriptOrigin);
const BACKING: (Column, Column) = (Column::Backing, Column::BackingOrigin);
const SUBJECT: (Column, Column) = (Column::Subject, Column::SubjectOrigin);

/// Sets the columns of a behaviour in a row that has none yet.
pub(super) fn set(row: &mut Row, behaviour: &Behaviour) {
    row.set(Column::What, behaviour.action.kind().to_owned());
    set_path(row, SUBJECT, &behaviour.subject);
    match &behaviour.action {
        Action::Exec {
            binary,
            script,
            arguments,
        } => {
            set_path(row, PATH, binary);
            if let Some(script) = script {
                set_path(row, SCRIPT, script);
            }
            if let Some(arguments) = arguments {
                row.set(Column::Arguments, path::escape(arguments.as_bytes()));
                row.number(Column::ArgumentsCut, arguments.is_cut().into());
            }
        }
        Action::Open { path, access, backing } => {
            set_path(row, PATH, path);
            row.set(Column::Access, access.to_string());
            if let Some(backing) = backing {
                set_path(row, BACKING, backing);
            }
        }
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
        } => {
            row.set(Column::Address, address.to_string());
            row.number(Column::Port, (*port).into());
            row.set(Column::Protocol, protocol.to_string());
        }
        Action::ConnectUnix { path } => set_path(row, PATH, path),
        Action::Raise {
            binary,
            cause,
            user,
            capabilities,
        } => {
            set_path(row, PATH, binary);
            row.set(Column::Cause, word(CAUSES, cause).to_owned());
            row.number(Column::User, (*user).into());
            row.set(Column::Capabilities, capabilities.to_string());
        }
    }
}

fn set_path(row: &mut Row, (name, origin): (Column, Column), path: &FilePath) {
    row.set(name, path.to_text());
    row.set(origin, path.origin().word().to_owned());
}

/// A row that is read.
pub(super) trait Cells {
    fn text(&self, column: Column) -> Read<Option<&str>>;
    fn number(&self, column: Column) -> Option<i64>;

    /// Text that must be there, as what it says.
    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&self, column: Column) -> Read<T> {
        let text = self.text(column)?.ok_or_else(|| missing(column))?;
        text.parse().map_err(|error: T::Err| bad(column, &error.to_string()))
    }

    /// A word that must be there.
    fn one_of<T: Copy>(&self, column: Column, words: &[(&'static str, T)]) -> Read<T> {
        let word = self.text(column)?.ok_or_else(|| missing(column))?;
        words::value(words, word).ok_or_else(|| bad(column, &format!("`{}` is unknown", word.escape_debug())))
    }

    /// A number that must be there, in its range.
    fn ranged<T: TryFrom<i64>>(&self, column: Column) -> Read<T> {
        let number = self.number(column).ok_or_else(|| missing(column))?;
        T::try_from(number).map_err(|_| bad(column, &format!("{number} is out of range")))
    }
}

pub(super) fn missing(column: Column) -> Failure {
    Failure::Observations(format!("a row has no {column:?}"))
}

pub(super) fn bad(column: Column, why: &str) -> Failure {
    Failure::Observations(format!("a row's {column:?} cannot be read: {why}"))
}

/// The behaviour in a row.
pub(super) fn get(row: &impl Cells) -> Read<Behaviour> {
    let path = || path(row, PATH)?.ok_or_else(|| missing(Column::Path));
    let network = || -> Read<_> {
        let address: IpAddr = row.parsed(Column::Address)?;
        Ok((address, row.ranged(Column::Port)?, row.parsed(Column::Protocol)?))
    };
    let kind = row.text(Column::What)?.unwrap_or_default();
    let action = match kind {
        "exec" => Action::Exec {
            binary: path()?,
            script: self::path(row, SCRIPT)?,
            arguments: arguments(row)?,
        },
        "open" => Action::Open {
            path: path()?,
            access: row.parsed(Column::Access)?,
            backing: self::path(row, BACKING)?,
        },
        "connect" => {
            let (address, port, protocol) = network()?;
            Action::Connect {
                address,
                port,
                protocol,
            }
        }
        "connect_unix" => Action::ConnectUnix { path: path()? },
        "send" => {
            let (address, port, protocol) = network()?;
            Action::Send {
                address,
                port,
                protocol,
            }
        }
        "listen" => {
            let (address, port, protocol) = network()?;
            Action::Listen {
                address,
                port,
                protocol,
            }
        }
        "raise" => Action::Raise {
            binary: path()?,
            cause: row.one_of(Column::Cause, CAUSES)?,
            user: row.ranged(Column::User)?,
            capabilities: row.parsed(Column::Capabilities)?,
        },
        other => return Err(bad(Column::What, &format!("`{}` is no kind", other.escape_debug()))),
    };
    Ok(Behaviour {
        subject: self::path(row, SUBJECT)?.ok_or_else(|| missing(Column::Subject))?,
        action,
    })
}

fn path(row: &impl Cells, (name, origin): (Column, Column)) -> Read<Option<FilePath>> {
    let (Some(text), Some(word)) = (row.text(name)?, row.text(origin)?) else {
        return Ok(None);
    };
    let origin = Origin::from_word(word).ok_or_else(|| bad(origin, "it is no origin"))?;
    let path = FilePath::from_text(text, origin).map_err(|error| bad(name, &error.to_string()))?;
    Ok(Some(path))
}

fn arguments(row: &impl Cells) -> Read<Option<Arguments>> {
    let Some(text) = row.text(Column::Arguments)? else {
        return Ok(None);
    };
    let bytes = path::unescape(text).map_err(|error| bad(Column::Arguments, &error.to_string()))?;
    let is_cut = row.number(Column::ArgumentsCut) == Some(1);
    let arguments = Arguments::new(&bytes, is_cut);
    // What had to be changed was never written.
    let is_same = arguments.as_bytes() == bytes && arguments.is_cut() == is_cut;
    is_same
        .then_some(Some(arguments))
        .ok_or_else(|| bad(Column::Arguments, "they do not end as arguments do"))
}
