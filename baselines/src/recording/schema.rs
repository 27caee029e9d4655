//! Which version of the schema a file has, and bringing it up to date.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior};

use super::error::{Error, Failure, Result};

/// Tells recordings apart from every other `SQLite` file: `WARD` as its `application_id`.
const APPLICATION_ID: i64 = 0x5741_5244;

/// Step n makes version n + 1 out of version n. Released steps never change.
const STEPS: &[&str] = &[
    include_str!("v1.sql"),
    include_str!("v2.sql"),
    include_str!("v3.sql"),
    include_str!("v4.sql"),
    include_str!("v5.sql"),
];
/// Version 3 is the first that holds several recordings.
const FIRST_WITH_SOURCES: usize = 3;
/// Version 4 is the first that holds peers.
const FIRST_WITH_PEERS: usize = 4;
/// Version 5 is the first that holds parts of recordings, and DNS names.
const FIRST_WITH_PARTS: usize = 5;

/// What is in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing yet: a new file, or one whose making was interrupted.
    Nothing,
    /// A recording with this schema version, one of those that this program knows.
    Version(usize),
}

/// Finds out whether this is a recording, and which version, without changing anything.
pub(super) fn identify(connection: &Connection, path: &Path) -> Result<Content> {
    let read = |sql: &str| {
        connection
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .map_err(|error| Error::from_sqlite(error, "read", path))
    };
    let (application, version) = (read("PRAGMA application_id")?, read("PRAGMA user_version")?);
    if application == 0 && version == 0 && read("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(Content::Nothing);
    }
    if application != APPLICATION_ID {
        let what = "it is an SQLite database of another program".to_owned();
        return Err(Error::Foreign {
            path: path.to_owned(),
            what,
        });
    }
    match usize::try_from(version) {
        Ok(known @ 1..) if known <= STEPS.len() => Ok(Content::Version(known)),
        Ok(1..) => {
            let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
            Err(Error::Newer {
                path: path.to_owned(),
                found: version,
                known,
            })
        }
        _ => Err(Error::Damaged {
            path: path.to_owned(),
            what: format!("its schema version is {version}"),
        }),
    }
}

/// Brings a file to the newest version, as a whole or not at all.
pub(super) fn migrate(connection: &mut Connection, from: Content) -> rusqlite::Result<()> {
    if from == Content::Version(STEPS.len()) {
        return Ok(());
    }
    // A step may make a table anew that others refer to (https://sqlite.org/lang_altertable.html, section 7).
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    upgrade(&transaction, from)?;
    transaction.commit()?;
    connection.pragma_update(None, "foreign_keys", true)
}

/// The same within a transaction, of a connection that does not enforce foreign keys.
pub(super) fn upgrade(transaction: &Transaction<'_>, from: Content) -> rusqlite::Result<()> {
    let done = match from {
        Content::Nothing => 0,
        Content::Version(version) => version,
    };
    for (step, version) in STEPS.iter().zip(1_i64..).skip(done) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    Ok(())
}

/// Lets a connection that only reads see an older version as the newest one.
pub(super) fn show_as_newest(connection: &Connection, version: usize) -> rusqlite::Result<()> {
    if version >= FIRST_WITH_PARTS {
        return Ok(());
    }
    // Views of this connection alone: nothing is written, not even beside the file.
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.execute_batch(include_str!("v4-as-v5.sql"))?;
    connection.execute_batch(if version >= FIRST_WITH_PEERS {
        "CREATE TEMP VIEW peer AS SELECT *, '' AS dns_name FROM main.peer"
    } else {
        include_str!("v3-as-v4.sql")
    })?;
    connection.execute_batch(if version >= FIRST_WITH_SOURCES {
        include_str!("v3-as-v5.sql")
    } else {
        include_str!("v2-as-v3.sql")
    })
}

/// Checks that every row refers to one that is there, which the database does for writers only.
pub(super) fn check_references(connection: &Connection) -> std::result::Result<(), Failure> {
    let broken = connection
        .query_row("PRAGMA main.foreign_key_check", [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(2)?))
        })
        .optional()?;
    match broken {
        None => Ok(()),
        Some((table, parent)) => Err(Failure::Damaged(format!(
            "a row of its table {table} refers to a missing {parent}"
        ))),
    }
}

/// Checks that the file is whole and has exactly the tables of its version: a file may come from anywhere, and a view
/// or a trigger in the place of a table would run code of its maker.
pub(super) fn check(connection: &Connection, version: usize) -> std::result::Result<(), Failure> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Failure::Damaged(verdict.lines().collect::<Vec<_>>().join(" ")));
    }
    let expected = Connection::open_in_memory()?;
    STEPS
        .iter()
        .take(version)
        .try_for_each(|step| expected.execute_batch(step))?;
    if objects(connection)? == objects(&expected)? {
        return Ok(());
    }
    Err(Failure::Damaged(format!(
        "its tables are not those of schema version {version}"
    )))
}

/// Every table, index, view and trigger with its definition; the database's own statistics apart.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<(String, Option<String>)>> {
    connection
        .prepare("SELECT type || ' ' || name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\' ORDER BY 1")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
