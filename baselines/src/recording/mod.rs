//! Recordings: what was observed on one node, in one file (an `SQLite` database).
//!
//! A recorder opens a recording with [`Recording::open_or_create`], starts a window and flushes every few seconds what
//! it counted. Each [`Flush`] is one transaction: a recorder that is killed loses what it had not flushed and nothing
//! else. Anybody may read meanwhile, see [`Recording::open`].
//!
//! The file grows with novelty: a behaviour is stored once, and a row says how often one container showed it in one
//! minute of UTC. Every change makes the [revision](SourceSummary::revision) higher, so that of several copies of a recording
//! the newest can be told. [`merge()`] makes one file of several: it holds the newest copy of each recording in them.
//! [`export`] writes one for notebooks. [`extract`] takes out what some namespaces' containers did.
//!
//! ```
//! use std::time::Duration;
//!
//! use baselines::recording::{EndReason, Flush, Node, Recording, WindowStart};
//! use baselines::time::UtcTime;
//!
//! let directory = tempfile::tempdir()?;
//! let path = directory.path().join("recording.db");
//! let node = Node {
//!     host: "worker-1".to_owned(),
//!     boot_id: "5a1e0b8c-52a2-4f0e-9d6c-4c5cbd2ff0f4".to_owned(),
//!     kernel: "6.18.1".to_owned(),
//!     machine_id: None,
//! };
//! let mut writer = Recording::open_or_create(&path, &node)?;
//! let window = writer.start_window(&WindowStart {
//!     started: UtcTime::now(),
//!     selector: "host".to_owned(),
//!     backend: "tracepoint".to_owned(),
//!     tool_version: "0.1.0".to_owned(),
//!     flush_interval: Duration::from_secs(2),
//!     lossy_from_start: None,
//!     names: baselines::dns::Names::Off,
//! })?;
//! writer.flush(window, &Flush { at: UtcTime::now(), ..Flush::default() })?;
//! assert!(Recording::open(&path)?.summary()?.windows[0].ended.is_none());
//! writer.end_window(window, &EndReason::Interrupted, UtcTime::now())?;
//! assert!(Recording::open(&path)?.summary()?.windows[0].ended.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backup;
mod columns;
mod encoding;
mod error;
mod file;
mod files;
mod flush;
mod id;
mod inputs;
mod interned;
mod lost;
mod merge;
mod model;
mod new_file;
mod newest;
mod observations;
mod parts;
mod peers;
mod prune;
mod read;
mod schema;
mod summarise;
mod summary;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use backup::backup;
pub use error::{Error, Result};
pub use file::{failed, remove, size_on_disk, writer_of};
pub(crate) use files::{Files, Opened};
pub use id::{RecordingId, RecordingIdError};
pub use inputs::find;
pub use lost::{LostRecording, write_lost};
pub use merge::{Merged, MergedSource, merge, restore};
pub use model::{Container, EndReason, Flush, Latency, Loss, Node, Observation, Reached, WindowId, WindowStart};
pub(crate) use newest::{Newest, newest};
pub use observations::{Exported, export};
pub use parts::extract;
pub use prune::{Pruned, PrunedWindow, Retention, prune};
pub(crate) use read::{Counted, CountedPeer, RemovedImage, Source};
pub use summary::{ContainerSummary, LossSummary, Part, RemovedWindows, SourceSummary, Summary, WindowSummary};
pub use writer::Writer;

use read::Read;
use schema::Content;

/// How long to wait for another connection's lock. Readers and the writer do not wait for each other in WAL mode; only
/// recovery after a crash and checkpoints do, for moments.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A recording, open for reading.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    connection: Connection,
}

impl Recording {
    /// Opens a recording for reading. It may be being written meanwhile; each read sees whole flushes.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Foreign`], [`Error::Newer`], [`Error::Damaged`], or what the system says.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_and(path, schema::check)
    }

    /// Opens one again that was checked, and has not changed since.
    fn open_checked(path: &Path) -> Result<Self> {
        Self::open_and(path, |_, _| Ok(()))
    }

    fn open_and(path: &Path, check: fn(&Connection, usize) -> Read<()>) -> Result<Self> {
        let resolved = file::resolve(path)?;
        let metadata = resolved.metadata().map_err(failed("open", path))?;
        file::require_regular(path, metadata.file_type())?;
        let recording = Self::connect(&resolved, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let Content::Version(version) = schema::identify(&recording.connection, path)? else {
            return Err(Error::Foreign {
                path: path.to_owned(),
                what: "it is empty".to_owned(),
            });
        };
        check(&recording.connection, version)
            .and_then(|()| Ok(schema::show_as_newest(&recording.connection, version)?))
            .map_err(|failure| failure.at("check", path))?;
        Ok(recording)
    }

    /// Opens a recording for writing, and makes it (mode 0600) and its directory if there is none. Windows that a killed
    /// recorder left open are closed with [`EndReason::Crashed`].
    ///
    /// # Errors
    /// As [`Recording::open`], and [`Error::InUse`] while there is another writer, [`Error::OtherNode`] for a recording
    /// of another machine, [`Error::Full`].
    pub fn open_or_create(path: &Path, node: &Node) -> Result<Writer> {
        Writer::open(path, node)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self> {
        let connect = || {
            let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            connection.pragma_update(None, "foreign_keys", true)?;
            Ok(connection)
        };
        let connection = connect().map_err(|error| Error::from_sqlite(error, "open", path))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }
}
