//! The file itself: made safely, private to its owner, written by one process at a time.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{Error, Result};

/// What workloads do is nobody else's business. The database gives its `-wal` and `-shm` files the mode of the database.
const PRIVATE_FILE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// The path with its directories resolved, so that only the last name is left to be checked; they are made if they are
/// missing. What is there and is no file is refused.
pub(super) fn prepare(path: &Path) -> Result<PathBuf> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name() else {
        return Err(Error::Foreign {
            path: path.to_owned(),
            what: "it is a directory".to_owned(),
        });
    };
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIRECTORY)
        .create(directory)
        .map_err(failed("create the directory", directory))?;
    let path = directory
        .canonicalize()
        .map_err(failed("open the directory", directory))?
        .join(name);
    match path.symlink_metadata() {
        Ok(metadata) => require_regular(&path, metadata.file_type())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed("open", &path)(error)),
    }
    Ok(path)
}

/// Makes the file if there is none, without ever following a symbolic link.
pub(super) fn create_if_missing(path: &Path) -> Result<()> {
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .open(path)
    {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("create", path)(error)),
        _ => Ok(()),
    }
}

/// Sees to it that a recording that was there is private too, wherever it was copied from.
pub(super) fn make_private(path: &Path) -> Result<()> {
    let mode = path
        .symlink_metadata()
        .map_err(failed("open", path))?
        .permissions()
        .mode();
    if mode & 0o7777 == PRIVATE_FILE {
        return Ok(());
    }
    // By path: closing a descriptor of the file would release SQLite's locks of this process on it (fcntl(2)).
    std::fs::set_permissions(path, Permissions::from_mode(PRIVATE_FILE)).map_err(failed("make private", path))
}

/// Refuses what cannot be a recording before the database opens it: opening a FIFO would wait for ever.
pub(super) fn require_regular(path: &Path, kind: std::fs::FileType) -> Result<()> {
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_dir() => "it is a directory",
        _ if kind.is_symlink() => "it is a symbolic link; name the file itself",
        _ => "it is no regular file",
    };
    Err(Error::Foreign {
        path: path.to_owned(),
        what: what.to_owned(),
    })
}

/// The error about this path: a disk that is full is [`Error::Full`], all else [`Error::File`].
pub fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path: path.to_owned() },
        _ => Error::File {
            doing,
            path: path.to_owned(),
            source,
        },
    }
}

/// The right to write, held while this is alive. The kernel gives it back when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the right to write the recording at `path`, or says who has it.
    ///
    /// The lock is on a file of its own, which stays: were it removed, two writers could each lock a file of that name.
    pub(super) fn take(path: &Path) -> Result<Self> {
        let lock_path = lock_path(path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE_FILE)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&lock_path)
            .map_err(failed("create", &lock_path))?;
        let mut tries = 20;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                // A reader holds it for an instant to learn whether there is a writer.
                Err(TryLockError::WouldBlock) if tries > 0 => std::thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::InUse {
                        path: path.to_owned(),
                        writer: process_in(&mut file),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(failed("lock", &lock_path)(error)),
            }
            tries -= 1;
        }
        let write_id = |file: &mut File| {
            // Whatever the umask took away, or whoever copied it here gave.
            if file.metadata()?.permissions().mode() & 0o7777 != PRIVATE_FILE {
                file.set_permissions(Permissions::from_mode(PRIVATE_FILE))?;
            }
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write_id(&mut file).map_err(failed("write", &lock_path))?;
        Ok(Self { _file: file })
    }

    /// Whether somebody holds it.
    pub(super) fn is_taken(path: &Path) -> Result<bool> {
        Ok(Self::held(path)?.is_some())
    }

    /// The lock's file, if somebody holds it.
    fn held(path: &Path) -> Result<Option<File>> {
        let lock_path = lock_path(path);
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&lock_path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &lock_path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(file)),
            Err(TryLockError::Error(error)) => Err(failed("lock", &lock_path)(error)),
        }
    }
}

/// The process that wrote its id into the lock file; it may be about to.
fn process_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// The id of the process that records into this file now, if one does.
///
/// # Errors
/// [`Error::Missing`] without a file there, or what the system says.
pub fn writer_of(path: &Path) -> Result<Option<u32>> {
    let resolved = resolve(path)?;
    let mut held = WriterLock::held(&resolved)?;
    let writer = held.as_mut().and_then(process_in);
    // Somebody else may have written another process's id there.
    Ok(writer.filter(|writer| has_open(*writer, &lock_path(&resolved))))
}

/// Whether a process has a file open.
fn has_open(process: u32, path: &Path) -> bool {
    let Ok(wanted) = path.metadata() else { return false };
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    // These links lead to the open file itself, whatever its name is by now (proc(5)).
    let mut open = descriptors.filter_map(|descriptor| descriptor.ok()?.path().metadata().ok());
    open.any(|open| (open.dev(), open.ino()) == (wanted.dev(), wanted.ino()))
}

/// Where the database keeps what is not in the file yet.
pub(super) fn log_path(path: &Path) -> PathBuf {
    beside(path, "-wal")
}

fn lock_path(path: &Path) -> PathBuf {
    beside(path, "-lock")
}

/// Where what belongs to a file is kept.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The file that a path leads to.
pub(super) fn resolve(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Missing { path: path.to_owned() },
        _ => failed("open", path)(error),
    })
}

/// What a recording takes on the disk, its log included, in bytes.
///
/// # Errors
/// What the system says.
pub fn size_on_disk(path: &Path) -> io::Result<u64> {
    let log = std::fs::symlink_metadata(log_path(path)).map_or(0, |log| log.len());
    Ok(std::fs::symlink_metadata(path)?.len().saturating_add(log))
}

/// Removes a recording that nobody has open, with everything that is kept beside it.
///
/// # Errors
/// What the system says.
pub fn remove(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(failed("remove", path))?;
    remove_logs(path)?;
    remove_beside(path, "-lock")
}

/// Removes the logs of a file that goes away: the database would apply them to the next one of that name
/// (<https://sqlite.org/howtocorrupt.html>, section 1.4).
pub(super) fn remove_logs(path: &Path) -> Result<()> {
    ["-wal", "-shm", "-journal"]
        .into_iter()
        .try_for_each(|suffix| remove_beside(path, suffix))
}

fn remove_beside(path: &Path, suffix: &str) -> Result<()> {
    let path = beside(path, suffix);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
        _ => Ok(()),
    }
}
