//! A recording that is made as a whole: it appears complete, or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::OpenFlags;
use tempfile::NamedTempFile;

use super::Recording;
use super::error::{Error, Result};
use super::file::{self, WriterLock, failed, remove_logs};
use super::inputs::{self, Format};

/// A file that nobody sees yet.
#[derive(Debug)]
pub(super) struct NewFile {
    /// Private to its owner, and removed unless it is finished.
    temporary: NamedTempFile,
    target: PathBuf,
    /// No recorder writes what is replaced.
    _lock: Option<WriterLock>,
    replaces: bool,
}

impl NewFile {
    /// Begins a file that will be at `target`, in the place of what is there if it `replaces` that.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::InUse`], [`Error::Foreign`] for what is no file, or what the system says.
    pub(super) fn create(target: &Path, replaces: bool) -> Result<Self> {
        let target = file::prepare(target)?;
        let exists = target.exists();
        if exists && !replaces {
            return Err(Error::Exists { path: target });
        }
        // Nobody records into an export.
        let is_recording = exists && inputs::format(&target)? != Some(Format::Parquet);
        let lock = (is_recording || WriterLock::is_taken(&target)?).then(|| WriterLock::take(&target));
        let directory = target.parent().unwrap_or(Path::new("/"));
        let temporary = tempfile::Builder::new()
            .prefix(".recording-")
            .tempfile_in(directory)
            .map_err(failed("create a file in", directory))?;
        Ok(Self {
            temporary,
            target,
            _lock: lock.transpose()?,
            replaces,
        })
    }

    /// What is written to it.
    pub(super) fn as_file(&self) -> &File {
        self.temporary.as_file()
    }

    /// The same, to be read and changed.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn reopen(&self) -> Result<File> {
        self.temporary.reopen().map_err(failed("open", self.path()))
    }

    /// Where it is for now.
    pub(super) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Where it will be.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }

    /// A connection that is quick and unsafe: if anything goes wrong, the file is thrown away.
    pub(super) fn connect(&self) -> Result<Recording> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let recording = Recording::connect(self.path(), flags)?;
        for pragma in ["journal_mode", "synchronous"] {
            recording
                .connection
                .pragma_update(None, pragma, "off")
                .map_err(|error| Error::from_sqlite(error, "write", &self.target))?;
        }
        Ok(recording)
    }

    /// Puts it in its place, on the disk, and returns its size in bytes. Connections must be closed.
    pub(super) fn finish(self) -> Result<u64> {
        let Self {
            temporary,
            target,
            _lock,
            replaces,
        } = self;
        let write = failed("write", &target);
        let size = match temporary
            .as_file()
            .sync_all()
            .and_then(|()| temporary.as_file().metadata())
        {
            Ok(metadata) => metadata.len(),
            Err(error) => return Err(write(error)),
        };
        if replaces {
            remove_logs(&target)?;
            temporary.persist(&target).map_err(|error| write(error.error))?;
        } else {
            temporary
                .persist_noclobber(&target)
                .map_err(|error| match error.error.kind() {
                    io::ErrorKind::AlreadyExists => Error::Exists { path: target.clone() },
                    _ => failed("write", &target)(error.error),
                })?;
        }
        let directory = target.parent().unwrap_or(Path::new("/"));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(failed("write", directory))?;
        Ok(size)
    }
}
