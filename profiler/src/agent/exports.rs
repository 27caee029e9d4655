//! The files that are given to who collects recordings: each a state of a recording, or of a part of it.
//!
//! A transfer that was broken off goes on in the same file, though the recording has changed meanwhile. So files are kept for
//! a while: without a name, so that they are gone whenever the agent is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use baselines::recording::{self, backup, extract, failed};

use super::asked::Asked;
use crate::checksum;

/// How many files there are at a time, kept or on their way. Each takes as much of the disk as a recording does.
pub const EXPORTS_MAX: usize = 3;
/// How long a file is kept that nobody asks for any more.
pub const KEPT_FOR: Duration = Duration::from_mins(10);
/// How much is read at a time, in bytes.
const CHUNK: usize = 256 * 1024;

/// A file to give away.
#[derive(Debug)]
pub struct Export {
    file: File,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The SHA-256 of it, in hexadecimal.
    pub checksum: String,
}

impl Export {
    /// A copy of the recording at `path`, or of what was asked for of it.
    fn make(path: &Path, asked: &Asked, directory: &Path) -> Result<Self, recording::Error> {
        let out = directory.join(format!("{}.db", asked.uid));
        let made = if asked.namespaces.is_empty() {
            backup(path, &out, true).map(drop)
        } else {
            extract(path, &asked.namespaces, &out, true).map(drop)
        };
        let opened = made.and_then(|()| Self::open(&out).map_err(failed("read", &out)));
        // From now on it has no name, whatever has happened.
        let removed = if out.exists() { recording::remove(&out) } else { Ok(()) };
        let opened = opened?;
        removed.map(|()| opened)
    }

    fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let (checksum, bytes) = checksum::of(&mut file)?;
        Ok(Self { file, bytes, checksum })
    }

    /// What comes at this place of the file; nothing at its end.
    ///
    /// # Errors
    /// What the system says.
    pub fn chunk(&self, offset: u64) -> io::Result<Vec<u8>> {
        let left = self.bytes.saturating_sub(offset).min(CHUNK as u64);
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK)];
        self.file.read_exact_at(&mut chunk, offset)?;
        Ok(chunk)
    }
}

/// Which state of a recording a file is, told without opening it: its own and its log's length and time of change, and whether it
/// goes on, which changes nothing when it ends suddenly.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    file: (u64, SystemTime),
    log: Option<(u64, SystemTime)>,
    goes_on: bool,
}

impl State {
    fn of(path: &Path) -> Result<Self, recording::Error> {
        let look = |path: &Path| {
            path.symlink_metadata()
                .and_then(|file| Ok((file.len(), file.modified()?)))
        };
        let file = look(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => recording::Error::Missing { path: path.to_owned() },
            _ => failed("read", path)(error),
        })?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Ok(Self {
            file,
            log: look(Path::new(&log)).ok(),
            goes_on: recording::writer_of(path)?.is_some(),
        })
    }
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum Unexported {
    /// As many as there may be are on their way.
    #[error("too many others collect from this node just now")]
    Busy,
    /// The recording.
    #[error(transparent)]
    Recording(#[from] recording::Error),
}

struct Kept {
    asked: Asked,
    state: State,
    export: Arc<Export>,
    used: Instant,
}

impl Kept {
    fn is_on_its_way(&self) -> bool {
        Arc::strong_count(&self.export) > 1
    }
}

/// The files that are kept. Everything here may wait for a disk.
pub struct Exports {
    directory: PathBuf,
    kept: Vec<Kept>,
    /// All that are on the disk: also those that are not kept any more, and still on their way.
    there: Vec<Weak<Export>>,
}

impl Exports {
    /// None yet; `directory` is where the recordings are. They are made in a folder in there, which nobody else has.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.join("exports"),
            kept: Vec::new(),
            there: Vec::new(),
        }
    }

    /// Removes what an agent left that was killed while it made a file.
    ///
    /// # Errors
    /// What the system says.
    pub fn clear(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The newest state of what is asked for.
    ///
    /// # Errors
    /// [`Unexported`].
    pub fn newest(&mut self, asked: &Asked, path: &Path) -> Result<Arc<Export>, Unexported> {
        let state = State::of(path)?;
        if let Some(kept) = self
            .kept
            .iter_mut()
            .find(|kept| kept.asked == *asked && kept.state == state)
        {
            kept.used = Instant::now();
            return Ok(Arc::clone(&kept.export));
        }
        // The room of those is needed first that nobody has been given for longest; of what is on its way nothing can be had.
        self.kept
            .sort_by_key(|kept| std::cmp::Reverse((kept.is_on_its_way(), kept.used)));
        while self.is_full() && self.kept.pop_if(|kept| !kept.is_on_its_way()).is_some() {}
        if self.is_full() {
            return Err(Unexported::Busy);
        }
        let export = Arc::new(Export::make(path, asked, &self.directory)?);
        self.there.push(Arc::downgrade(&export));
        self.kept.push(Kept {
            asked: asked.clone(),
            // As it was before: if it has changed meanwhile, the next one makes another file.
            state,
            export: Arc::clone(&export),
            used: Instant::now(),
        });
        Ok(export)
    }

    fn is_full(&mut self) -> bool {
        self.there.retain(|export| export.strong_count() > 0);
        self.there.len() >= EXPORTS_MAX
    }

    /// The very file that somebody has a beginning of, if it is still here.
    pub fn same(&mut self, asked: &Asked, checksum: &str) -> Option<Arc<Export>> {
        let is_it = |kept: &&mut Kept| kept.asked == *asked && kept.export.checksum == checksum;
        let kept = self.kept.iter_mut().find(is_it)?;
        kept.used = Instant::now();
        Some(Arc::clone(&kept.export))
    }

    /// Gives back the room of what nobody asks for any more.
    pub fn forget_old(&mut self) {
        for kept in self.kept.iter_mut().filter(|kept| kept.is_on_its_way()) {
            kept.used = Instant::now();
        }
        self.kept.retain(|kept| kept.used.elapsed() < KEPT_FOR);
    }
}

#[cfg(test)]
mod tests {
    use baselines::recording::{EndReason, Flush, Recording};
    use baselines::time::UtcTime;

    use super::*;
    use crate::testing::{node, window};

    fn asked(namespaces: &[&str]) -> Asked {
        Asked {
            uid: "0a".to_owned(),
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
        }
    }

    fn whole(export: &Export) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let chunk = export.chunk(bytes.len() as u64).unwrap();
            if chunk.is_empty() {
                return bytes;
            }
            bytes.extend(chunk);
        }
    }

    #[test]
    fn a_transfer_goes_on_in_the_same_file_though_the_recording_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0a.db");
        let mut writer = Recording::open_or_create(&path, &node()).unwrap();
        let id = writer.start_window(&window(UtcTime::now())).unwrap();
        let mut exports = Exports::new(folder.path());
        let first = exports.newest(&asked(&[]), &path).unwrap();
        // Nothing has changed.
        assert_eq!(exports.newest(&asked(&[]), &path).unwrap().checksum, first.checksum);
        let now = UtcTime::now();
        writer
            .flush(
                id,
                &Flush {
                    at: now,
                    ..Flush::default()
                },
            )
            .unwrap();
        writer.end_window(id, &EndReason::Completed, now).unwrap();
        let second = exports.newest(&asked(&[]), &path).unwrap();
        assert_ne!(second.checksum, first.checksum);
        let kept = exports.same(&asked(&[]), &first.checksum).unwrap();
        assert_eq!(whole(&kept), whole(&first));
        std::fs::write(folder.path().join("came"), whole(&first)).unwrap();
        let mut came = File::open(folder.path().join("came")).unwrap();
        assert_eq!(checksum::of(&mut came).unwrap(), (first.checksum.clone(), first.bytes));
        // For somebody else, who may have less, it is not there.
        assert!(exports.same(&asked(&["shop"]), &first.checksum).is_none());
    }

    #[test]
    fn few_files_are_kept_and_none_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0a.db");
        drop(Recording::open_or_create(&path, &node()).unwrap());
        let mut exports = Exports::new(folder.path());
        let first = exports.newest(&asked(&["a"]), &path).unwrap();
        for name in ["b", "c", "d", "e"] {
            exports.newest(&asked(&[name]), &path).unwrap();
        }
        assert_eq!(exports.kept.len(), EXPORTS_MAX);
        assert_eq!(std::fs::read_dir(folder.path().join("exports")).unwrap().count(), 0);
        // What is on its way is still there when it is broken off.
        let same = exports.same(&asked(&["a"]), &first.checksum).unwrap();
        assert_eq!(whole(&same).len() as u64, first.bytes);
        let others: Vec<_> = ["f", "g"]
            .map(|name| exports.newest(&asked(&[name]), &path).unwrap())
            .into();
        assert!(matches!(exports.newest(&asked(&["h"]), &path), Err(Unexported::Busy)));
        drop(others);
        exports.newest(&asked(&["h"]), &path).unwrap();
    }

    #[test]
    fn what_cannot_be_copied_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0a.db");
        std::fs::write(&path, "no database").unwrap();
        assert!(Exports::new(folder.path()).newest(&asked(&[]), &path).is_err());
        assert!(!folder.path().join("exports").exists());
    }
}
