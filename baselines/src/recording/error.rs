//! What can go wrong with a recording, each in one message: what, where, why, and what to do.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::ffi::{SQLITE_CONSTRAINT_DATATYPE, SQLITE_IOERR_SHMSIZE};

/// A recording that could not be opened, written or read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum Error {
    /// There is no such file.
    #[error("there is no recording at {}", path.display())]
    #[diagnostic(help("record one with `profile start` or `profile run`, or name another file"))]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There is nothing where recordings were to be found.
    #[error("there is no recording in or like {}", input.display())]
    #[diagnostic(help(
        "name a recording, a folder that has some, or a pattern such as 'recordings/*.db' that matches some; folders below \
         one are not looked into, and what begins neither as a recording nor as a Parquet file is left out"
    ))]
    NoMatch {
        /// The folder or pattern.
        input: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    #[diagnostic(help("recordings need a directory that this user may write to; name another path, or become root"))]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is no Wardline recording: {what}", path.display())]
    #[diagnostic(help("name another path; nothing in the file was changed"))]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        what: String,
    },
    /// There is a file already where a new one was to be made.
    #[error("{} is there already", path.display())]
    #[diagnostic(help("name another file, or replace it with --force"))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It was written by a later version.
    #[error("{} has schema version {found}, this program knows versions up to {known}", path.display())]
    #[diagnostic(help("use the version of Wardline that wrote it, or a later one; nothing in the file was changed"))]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Its content contradicts itself.
    #[error("the recording {} is damaged: {what}", path.display())]
    #[diagnostic(help(
        "restore a copy, or move it away (with its -wal and -shm files) and record again; `sqlite3 FILE .recover` can save parts of it"
    ))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: String,
    },
    /// It is no whole export.
    #[error("{} is no file of observations that `profile export` has written: {what}", path.display())]
    #[diagnostic(help(
        "export it again, or name the recording; what another program wrote or rewrote is not read back"
    ))]
    Observations {
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: String,
    },
    /// Another process writes it.
    #[error("{} is being recorded into by {}", path.display(), writer.map_or_else(|| "another process".to_owned(), |id| format!("process {id}")))]
    #[diagnostic(help("end it first (Ctrl-C, or SIGTERM to its process), or name another file"))]
    InUse {
        /// The file.
        path: PathBuf,
        /// The other process, if it said who it is.
        writer: Option<u32>,
    },
    /// It is not what it was when the command began.
    #[error("{} was changed while it was read", path.display())]
    #[diagnostic(help("try again; of a recording that goes on `profile backup` makes a copy that nobody changes"))]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another machine.
    #[error("{} was recorded on node {recorded} and cannot be continued on node {here}", path.display())]
    #[diagnostic(help("record into another file; several recordings can be analysed together"))]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        recorded: String,
        /// Where we are.
        here: String,
    },
    /// No space.
    #[error("cannot write to the recording {}: the disk is full (or over quota)", path.display())]
    #[diagnostic(help("free some space; what was flushed before is safe, and this flush can be tried again"))]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Observations of a container that was never flushed.
    #[error("an observation names cgroup {cgroup_id}, which is no container of this boot in {}", path.display())]
    #[diagnostic(help(
        "this is a defect of the recorder: containers are flushed with their first observation; please report it"
    ))]
    UnknownContainer {
        /// The file.
        path: PathBuf,
        /// The cgroup's kernel id.
        cgroup_id: u64,
    },
    /// A window that has ended, or of another recording.
    #[error("window {} is not open in {}", window.0, path.display())]
    #[diagnostic(help("this is a defect of the recorder: a window ends once; please report it"))]
    WindowNotOpen {
        /// The file.
        path: PathBuf,
        /// The window.
        window: super::WindowId,
    },
    /// A sum beyond 9,223,372,036,854,775,807.
    #[error("a count is too large for the recording {}: more than {}", path.display(), i64::MAX)]
    #[diagnostic(help("nothing can really be counted that often: the source of the counts is wrong"))]
    CountTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Anything else.
    #[error("cannot {doing} the recording {}: {source}", path.display())]
    #[diagnostic(help(
        "another program may hold it (locked), or its directory may be read-only (unable to open): close the other program, or copy the file with its -wal file to another directory"
    ))]
    Database {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the database says.
        source: rusqlite::Error,
    },
}

/// Shorthand of this module.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the same may work later, as it is: there is no space, another program holds the file, or the device
    /// failed. What was to be written was not.
    pub fn is_temporary(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseBusy, DatabaseLocked, SystemIoFailure};
        match self {
            Self::Full { .. } => true,
            Self::Database { source, .. } => {
                let code = source.sqlite_error_code();
                code.is_some_and(|code| matches!(code, DatabaseBusy | DatabaseLocked | SystemIoFailure))
            }
            _ => false,
        }
    }

    /// Sorts what the database says into the cases that users can do something about.
    pub(super) fn from_sqlite(source: rusqlite::Error, doing: &'static str, path: &Path) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        let extended = source.sqlite_error().map(|error| error.extended_code);
        match (source.sqlite_error_code(), &source) {
            (Some(ErrorCode::DiskFull), _) => Self::Full { path },
            // The file of shared memory beside the database cannot grow, which needs nothing but space.
            _ if extended == Some(SQLITE_IOERR_SHMSIZE) => Self::Full { path },
            (Some(ErrorCode::NotADatabase), _) => Self::Foreign {
                path,
                what: "it is no SQLite database".to_owned(),
            },
            (Some(ErrorCode::DatabaseCorrupt), _) | (_, rusqlite::Error::FromSqlConversionFailure(..)) => {
                Self::Damaged {
                    path,
                    what: source.to_string(),
                }
            }
            (Some(ErrorCode::CannotOpen), _) => match File::open(&path) {
                Err(source) => Self::File {
                    doing: "open",
                    path,
                    source,
                },
                Ok(_) => Self::Database { doing, path, source },
            },
            // Sums beyond 64 bits become floating point, which the schema's STRICT columns do not take.
            _ if extended == Some(SQLITE_CONSTRAINT_DATATYPE) => Self::CountTooLarge { path },
            _ => Self::Database { doing, path, source },
        }
    }
}

/// What can go wrong inside of a transaction, before it is known which file it was about.
#[derive(Debug)]
pub(crate) enum Failure {
    Sqlite(rusqlite::Error),
    UnknownContainer(u64),
    WindowNotOpen(super::WindowId),
    CountTooLarge,
    OtherNode {
        recorded: String,
        here: String,
    },
    Damaged(String),
    Observations(String),
    /// One that already says which file.
    Other(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    /// The error for the user, who wants to know what was tried with which file.
    pub(super) fn at(self, doing: &'static str, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::Sqlite(error) => Error::from_sqlite(error, doing, &path),
            Self::UnknownContainer(cgroup_id) => Error::UnknownContainer { path, cgroup_id },
            Self::WindowNotOpen(window) => Error::WindowNotOpen { path, window },
            Self::CountTooLarge => Error::CountTooLarge { path },
            Self::OtherNode { recorded, here } => Error::OtherNode { path, recorded, here },
            Self::Damaged(what) => Error::Damaged { path, what },
            Self::Observations(what) => Error::Observations { path, what },
            Self::Other(error) => error,
        }
    }
}
