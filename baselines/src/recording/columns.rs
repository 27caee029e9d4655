//! How values of the vocabulary are held in columns.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};

use super::EndReason;
use crate::behaviour::{Phase, Provenance};
use crate::dns::Names;
use crate::time::{Minute, UtcTime};

/// A value that no version of the schema writes.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no {1}")]
struct BadValue(i64, &'static str);

fn bad(value: i64, what: &'static str) -> FromSqlError {
    FromSqlError::Other(Box::new(BadValue(value, what)))
}

impl ToSql for UtcTime {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.nanos().into())
    }
}

impl FromSql for UtcTime {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let nanos = value.as_i64()?;
        Self::from_stored(nanos).ok_or_else(|| bad(nanos, "time"))
    }
}

impl ToSql for Minute {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.number().into())
    }
}

impl FromSql for Minute {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        Self::from_stored(number).ok_or_else(|| bad(number, "minute"))
    }
}

/// Recordings hold these codes: they never change.
impl ToSql for Phase {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Startup => 0,
            Self::Steady => 1,
        }
        .into())
    }
}

impl FromSql for Phase {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Startup),
            1 => Ok(Self::Steady),
            other => Err(bad(other, "phase")),
        }
    }
}

/// Recordings hold these codes: they never change.
impl ToSql for Provenance {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Workload => 0,
            Self::Kubelet => 1,
            Self::Entered => 2,
            Self::Runtime => 3,
        }
        .into())
    }
}

impl FromSql for Provenance {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value.as_i64()? {
            0 => Ok(Self::Workload),
            1 => Ok(Self::Kubelet),
            2 => Ok(Self::Entered),
            3 => Ok(Self::Runtime),
            other => Err(bad(other, "provenance")),
        }
    }
}

/// NULL where names were not asked for, empty where they are seen, else why not.
pub(super) fn from_names(names: &Names) -> Option<&str> {
    match names {
        Names::Off => None,
        Names::Seen => Some(""),
        Names::Unseen(why) if why.is_empty() => Some("for a reason that nobody told"),
        Names::Unseen(why) => Some(why),
    }
}

/// The inverse of [`from_names`].
pub(super) fn names(column: Option<String>) -> Names {
    match column {
        None => Names::Off,
        Some(why) if why.is_empty() => Names::Seen,
        Some(why) => Names::Unseen(why),
    }
}

/// A window's end as a word and a detail.
pub(super) fn from_end_reason(reason: &EndReason) -> (&'static str, Option<String>) {
    match reason {
        EndReason::Completed => ("completed", None),
        EndReason::Covered => ("covered", None),
        EndReason::Interrupted => ("interrupted", None),
        EndReason::CommandExited { code } => ("command_exited", Some(code.to_string())),
        EndReason::Failed(message) => ("failed", Some(message.clone())),
        EndReason::Crashed => ("crashed", None),
        EndReason::Copied => ("copied", None),
    }
}

/// The inverse of [`from_end_reason`].
pub(super) fn to_end_reason(word: &str, detail: Option<String>) -> Option<EndReason> {
    Some(match (word, detail) {
        ("completed", None) => EndReason::Completed,
        ("covered", None) => EndReason::Covered,
        ("interrupted", None) => EndReason::Interrupted,
        ("command_exited", Some(code)) => EndReason::CommandExited {
            code: code.parse().ok()?,
        },
        ("failed", Some(message)) => EndReason::Failed(message),
        ("crashed", None) => EndReason::Crashed,
        ("copied", None) => EndReason::Copied,
        _ => return None,
    })
}

/// A count, an ordinal or a duration in nanoseconds: never negative.
pub(super) struct Count(pub(super) u64);

impl FromSql for Count {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let count = value.as_i64()?;
        u64::try_from(count).map(Self).map_err(|_| bad(count, "count"))
    }
}

/// A cgroup's id: stored integers are signed, so that ids from 2^63 are held as the negative number with their bits.
pub(super) struct CgroupId(pub(super) u64);

impl ToSql for CgroupId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.0.cast_signed().into())
    }
}

impl FromSql for CgroupId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64().map(|id| Self(id.cast_unsigned()))
    }
}
