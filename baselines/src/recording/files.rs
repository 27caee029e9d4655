//! Many files, few of which are open at a time: each takes descriptors and memory, and there may be thousands.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::error::{Error, Result};
use super::file::{self, failed};
use super::read::Held;
use super::{Recording, Source};

/// How many are kept open. Each has up to three descriptors, and 2 MiB of pages (<https://sqlite.org/pragma.html#pragma_cache_size>).
const OPEN_MAX: usize = 64;

/// Files with recordings, each in the state that it had when it was first opened.
#[derive(Debug)]
pub(crate) struct Files {
    files: Vec<Known>,
    /// Those that were used last, the very last one at the end.
    open: RefCell<VecDeque<(usize, Rc<Held>)>>,
    /// Those that are being recorded into: opened again, they would have another state.
    live: HashMap<usize, Rc<Held>>,
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
            files: Vec::with_capacity(paths.len()),
            open: RefCell::default(),
            live: HashMap::new(),
        };
        for (number, path) in paths.iter().enumerate() {
            let stamp = Stamp::of(path)?;
            let held = Rc::new(Held::new(Recording::open(path)?)?);
            let snapshot = held.snapshot();
            let sources = snapshot.sources().map_err(|failure| snapshot.error(failure))?;
            files.files.push(Known {
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
        self.files.get(number).map_or(Path::new(""), |known| &known.path)
    }

    /// The recordings in all files, by the numbers of the files.
    pub(super) fn sources(&self) -> impl Iterator<Item = (usize, &Source)> {
        let files = self.files.iter().enumerate();
        files.flat_map(|(number, known)| known.sources.iter().map(move |source| (number, source)))
    }

    /// A file, in the state that it had.
    ///
    /// # Errors
    /// [`Error::Changed`], or as [`Recording::open`].
    pub(crate) fn get(&self, number: usize) -> Result<Rc<Held>> {
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
        let Some(known) = self.files.get(number) else {
            return Err(Error::Missing { path: PathBuf::new() });
        };
        let held = Rc::new(Held::new(Recording::open_checked(&known.path)?)?);
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

    fn keep(&self, number: usize, held: Rc<Held>) {
        let mut open = self.open.borrow_mut();
        open.push_back((number, held));
        if open.len() > OPEN_MAX {
            open.pop_front();
        }
    }
}

/// What is another one whenever a file was written to or replaced: of it and of its log.
#[derive(Debug, PartialEq, Eq)]
struct Stamp([Option<(u64, u64, u64, i64, i64)>; 2]);

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
