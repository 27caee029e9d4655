//! The columns: one row says how often one container showed one behaviour in one minute, or whom it reached by it.

use std::sync::Arc;

use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// UTF-8.
    Text,
    /// 64 bits.
    Number,
    /// Nanoseconds since the epoch, UTC.
    Time,
}

macro_rules! columns {
    ($($name:ident $text:literal $kind:ident $is_optional:literal,)*) => {
        /// A column, in the order of the file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Column { $($name,)* }

        /// Every column: its name, what it holds, and whether it can be empty.
        pub(super) const COLUMNS: &[(Column, &str, Kind, bool)] =
            &[$((Column::$name, $text, Kind::$kind, $is_optional),)*];
    };
}

columns! {
    Recording "recording" Text false,
    Revision "revision" Number false,
    Node "node" Text false,
    Boot "boot" Text false,
    Repository "repository" Text false,
    Tag "tag" Text true,
    Digest "digest" Text true,
    Namespace "namespace" Text false,
    WorkloadKind "workload_kind" Text false,
    Workload "workload" Text false,
    ContainerName "container_name" Text false,
    ContainerId "container_id" Text false,
    Cgroup "cgroup" Number false,
    What "kind" Text false,
    Subject "subject" Text false,
    SubjectOrigin "subject_origin" Text false,
    Path "path" Text true,
    PathOrigin "path_origin" Text true,
    Script "script" Text true,
    ScriptOrigin "script_origin" Text true,
    Arguments "arguments" Text true,
    ArgumentsCut "arguments_cut" Number true,
    Access "access" Text true,
    Backing "backing" Text true,
    BackingOrigin "backing_origin" Text true,
    Address "address" Text true,
    Port "port" Number true,
    Protocol "protocol" Text true,
    Cause "cause" Text true,
    User "user" Number true,
    Capabilities "capabilities" Text true,
    Provenance "provenance" Text false,
    FirstSeen "first_seen" Time false,
    LastSeen "last_seen" Time false,
    Phase "phase" Text true,
    Minute "minute" Time true,
    Count "count" Number true,
    Peer "peer" Text true,
    DnsName "dns_name" Text true,
    Window "window" Number true,
    PeerCount "peer_count" Number true,
}

/// The first column that is of the behaviour, and the first one behind them.
pub(super) const BEHAVIOUR: std::ops::Range<usize> = Column::What as usize..Column::Provenance as usize;
/// The first column that is read: those before are of the container, which the catalogue has, too.
pub(super) const FIRST_READ: usize = Column::Cgroup as usize;

/// The schema of the file.
pub(super) fn schema() -> Result<Arc<Type>, ParquetError> {
    let field = |&(_, name, kind, is_optional): &(Column, &str, Kind, bool)| {
        let need = if is_optional { "OPTIONAL" } else { "REQUIRED" };
        match kind {
            Kind::Text => format!("{need} BYTE_ARRAY {name} (STRING);"),
            Kind::Number => format!("{need} INT64 {name};"),
            Kind::Time => format!("{need} INT64 {name} (TIMESTAMP(NANOS, true));"),
        }
    };
    let fields: String = COLUMNS.iter().map(field).collect();
    parse_message_type(&format!("message observations {{ {fields} }}")).map(Arc::new)
}

/// What is in one column of one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value {
    #[default]
    Nothing,
    Text(ByteArray),
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes().into())
    }
}

/// The values of a row, by column.
#[derive(Clone, Debug)]
pub(super) struct Row(Vec<Value>);

impl Row {
    pub(super) fn new() -> Self {
        Self(vec![Value::Nothing; COLUMNS.len()])
    }

    pub(super) fn set(&mut self, column: Column, value: impl Into<Value>) {
        if let Some(place) = self.0.get_mut(column as usize) {
            *place = value.into();
        }
    }

    pub(super) fn number(&mut self, column: Column, number: i64) {
        self.set(column, Value::Number(number));
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_where_their_numbers_say() {
        for (place, (column, name, ..)) in COLUMNS.iter().enumerate() {
            assert_eq!(*column as usize, place, "{name}");
        }
        assert_eq!(schema().unwrap().get_fields().len(), COLUMNS.len());
    }
}
