//! Many files, few of which are open at a time: each takes descriptors and memory, and there may be thousands.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::error::{Error, Failure, Result};
use super::file::{self, failed};
use super::inputs::{self, Format};
use super::observations::Observations;
use super::read::{Counted, CountedPeer, Held, Read, StoredContainer, StoredLoss};
use super::{Recording, RemovedImage, Source, WindowSummary};
use crate::behaviour::Behaviour;

/// How many are kept open. Each has up to three descriptors, and 2 MiB of pages (<https://sqlite.org/pragma.html#pragma_cache_size>).
const OPEN_MAX: usize = 64;

/// Files with recordings, each in the state that it had when it was first opened.
#[derive(Debug)]
pub(crate) struct Files {
    known: Vec<Known>,
    /// Those that were used last, the very last one at the end.
    open: RefCell<VecDeque<(usize, Rc<Opened>)>>,
    /// Those that are being recorded into: opened again, they would have another state.
    live: HashMap<usize, Rc<Opened>>,
}

/// A file that was open once.
#[derive(Debug)]
struct Known {
    path: PathBuf,
    stamp: Stamp,
    sources: Vec<Source>,
}

impl Files {
    /// Opens each of these files once, and checks it.
    ///
    /// # Errors
    /// As [`Recording::open`].
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Self {
            known: Vec::with_capacity(paths.len()),
            open: RefCell::default(),
            live: HashMap::new(),
        };
        for (number, path) in paths.iter().enumerate() {
            let stamp = Stamp::of(path)?;
            let held = Rc::new(Opened::open(path, false)?);
            let sources = held.sources()?;
            files.known.push(Known {
                path: path.clone(),
                stamp,
                sources,
            });
            if held.is_live() {
                files.live.insert(number, held);
            } else {
                files.keep(number, held);
            }
        }
        Ok(files)
    }

    /// How a file is called.
    pub(crate) fn path(&self, number: usize) -> &Path {
        self.known.get(number).map_or(Path::new(""), |known| &known.path)
    }

    /// The recordings in all files, by the numbers of the files.
    pub(super) fn sources(&self) -> impl Iterator<Item = (usize, &Source)> {
        let files = self.known.iter().enumerate();
        files.flat_map(|(number, known)| known.sources.iter().map(move |source| (number, source)))
    }

    /// A file, in the state that it had.
    ///
    /// # Errors
    /// [`Error::Changed`], or as [`Recording::open`].
    pub(crate) fn get(&self, number: usize) -> Result<Rc<Opened>> {
        if let Some(held) = self.live.get(&number) {
            return Ok(Rc::clone(held));
        }
        let mut open = self.open.borrow_mut();
        if let Some(place) = open.iter().rposition(|(known, _)| *known == number)
            && let Some(used) = open.remove(place)
        {
            let held = Rc::clone(&used.1);
            open.push_back(used);
            return Ok(held);
        }
        drop(open);
        let Some(known) = self.known.get(number) else {
            return Err(Error::Missing { path: PathBuf::new() });
        };
        let held = Rc::new(Opened::open(&known.path, true)?);
        // Looked at last: what is read from now on is in the state that is there now.
        if Stamp::of(&known.path)? != known.stamp {
            return Err(Error::Changed {
                path: known.path.clone(),
            });
        }
        self.keep(number, Rc::clone(&held));
        Ok(held)
    }

    /// How many are open that could be closed.
    #[cfg(test)]
    pub(super) fn open_now(&self) -> usize {
        self.open.borrow().len()
    }

    fn keep(&self, number: usize, held: Rc<Opened>) {
        let mut open = self.open.borrow_mut();
        open.push_back((number, held));
        if open.len() > OPEN_MAX {
            open.pop_front();
        }
    }
}

/// A file that is open, in one state.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A database.
    Recording(Held),
    /// What was exported.
    Observations(Observations),
}

impl Opened {
    /// Opens a file, and checks it as a whole unless it `is_checked`.
    pub(super) fn open(path: &Path, is_checked: bool) -> Result<Self> {
        if inputs::format(path)? == Some(Format::Parquet) {
            return Observations::open(path, is_checked).map(Self::Observations);
        }
        let recording = if is_checked {
            Recording::open_checked(path)
        } else {
            Recording::open(path)
        };
        Held::new(recording?).map(Self::Recording)
    }

    fn is_live(&self) -> bool {
        match self {
            Self::Recording(held) => held.is_live(),
            Self::Observations(_) => false,
        }
    }

    fn sources(&self) -> Result<Vec<Source>> {
        match self {
            Self::Recording(held) => self.told(held.snapshot().sources()),
            Self::Observations(observations) => Ok(observations.sources()),
        }
    }

    /// The windows of a source, oldest first.
    pub(crate) fn windows(&self, source: &Source) -> Result<Vec<WindowSummary>> {
        self.told(match self {
            Self::Recording(held) => held.snapshot().windows(source),
            Self::Observations(observations) => observations.windows(source),
        })
    }

    /// The images that removed windows of a source had seen.
    pub(crate) fn removed_images(&self, source: &Source) -> Result<Vec<RemovedImage>> {
        self.told(match self {
            Self::Recording(held) => held.snapshot().removed_images(source),
            Self::Observations(observations) => observations.removed_images(source),
        })
    }

    /// The containers of a source, and where to find them again.
    pub(crate) fn containers(&self, source: &Source) -> Result<Vec<StoredContainer>> {
        self.told(match self {
            Self::Recording(held) => held.snapshot().containers(source),
            Self::Observations(observations) => observations.containers(source),
        })
    }

    /// The rows of the containers that a window saw.
    pub(crate) fn presence(&self, source: &Source, window: u64) -> Result<Vec<i64>> {
        self.told(match self {
            Self::Recording(held) => held.snapshot().presence(source, window),
            Self::Observations(observations) => observations.presence(source, window),
        })
    }

    /// What each window of a source lost.
    pub(crate) fn losses(&self, source: &Source) -> Result<Vec<StoredLoss>> {
        self.told(match self {
            Self::Recording(held) => held.snapshot().losses(source),
            Self::Observations(observations) => observations.losses(source),
        })
    }

    /// Everything that a container did, behaviour by behaviour and minute by minute.
    pub(crate) fn observed(&self, container: i64, each: impl FnMut(&Behaviour, Counted) -> Read<()>) -> Result<()> {
        self.told(match self {
            Self::Recording(held) => held.snapshot().observed(container, each),
            Self::Observations(observations) => observations.observed(container, each),
        })
    }

    /// Whom a container reached, behaviour by behaviour.
    pub(crate) fn reached(&self, container: i64, each: impl FnMut(&Behaviour, CountedPeer) -> Read<()>) -> Result<()> {
        self.told(match self {
            Self::Recording(held) => held.snapshot().reached(container, each),
            Self::Observations(observations) => observations.reached(container, each),
        })
    }

    /// The database.
    ///
    /// # Errors
    /// [`Error::Foreign`] for what was exported.
    pub(super) fn recording(&self, path: &Path) -> Result<&Held> {
        match self {
            Self::Recording(held) => Ok(held),
            Self::Observations(_) => Err(Error::Foreign {
                path: path.to_owned(),
                what: "it holds observations that were exported from one, which can be analysed only".to_owned(),
            }),
        }
    }

    fn told<T>(&self, read: Read<T>) -> Result<T> {
        read.map_err(|failure| self.error(failure))
    }

    fn error(&self, failure: Failure) -> Error {
        match self {
            Self::Recording(held) => held.snapshot().error(failure),
            Self::Observations(observations) => observations.error(failure),
        }
    }
}

/// What is another one whenever a file was written to or replaced: of it and of its log.
#[derive(Debug, PartialEq, Eq)]
struct Stamp([Option<Written>; 2]);

/// Device, inode, length, and the time of the last change in seconds and nanoseconds.
type Written = (u64, u64, u64, i64, i64);

impl Stamp {
    fn of(path: &Path) -> Result<Self> {
        let path = file::resolve(path)?;
        let stamp = |metadata: Metadata| {
            let (at, nanos) = (metadata.mtime(), metadata.mtime_nsec());
            (metadata.dev(), metadata.ino(), metadata.len(), at, nanos)
        };
        let recording = path.metadata().map_err(failed("open", &path))?;
        let log = match file::log_path(&path).metadata() {
            // Whoever reads makes an empty one.
            Ok(log) => (log.len() > 0).then(|| stamp(log)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed("open", &path)(error)),
        };
        Ok(Self([Some(stamp(recording)), log]))
    }
}
