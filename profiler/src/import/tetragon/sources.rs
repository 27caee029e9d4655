//! Where exports come from: files, rotated and compressed ones, folders of them, standard input.

use std::cell::Cell;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use baselines::time::UtcTime;
use flate2::bufread::MultiGzDecoder;

use super::event::Event;
use super::lines::{LINE_BYTES_MAX, Line, Lines};
use crate::import::error::ImportError;

/// What a compressed file begins with (RFC 1952, 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How a folder's exports end.
const ENDINGS: [&str; 3] = [".log", ".json", ".jsonl"];
/// How many lines are looked at for the time of the first event.
const PEEKED_LINES: usize = 16;
const BUFFER: usize = 256 << 10;

/// Where a source comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// What it is called in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "standard input".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// The sources, each log once, in the order of their events.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What will be read.
    pub sources: Vec<Source>,
    /// Bytes of all files that have a size.
    pub bytes: u64,
    /// What will not be read, and why.
    pub notes: Vec<String>,
}

/// A file that can be looked into before it is read.
struct Regular {
    path: PathBuf,
    size: u64,
    is_compressed: bool,
    identity: (u64, u64),
    /// Of the first line: the beginning of a log tells it from all others, because it holds a time in nanoseconds.
    beginning: Option<u64>,
    first: Option<UtcTime>,
}

/// Finds the files. Rotated files come in the order of their first events, whatever they are called; what cannot be looked
/// into before it is read (pipes, standard input) comes last.
///
/// # Errors
/// [`ImportError::Source`], [`ImportError::Empty`].
pub fn plan(named: &[PathBuf]) -> Result<Plan, ImportError> {
    let (mut regular, mut streams) = (Vec::new(), Vec::new());
    for path in named {
        if path == Path::new("-") {
            streams.push(Source::Stdin);
            continue;
        }
        let metadata = path.metadata().map_err(failed("open", path))?;
        if metadata.is_dir() {
            regular.extend(in_folder(path)?);
        } else if metadata.is_file() {
            regular.push(look(path, &metadata)?);
        } else {
            streams.push(Source::File(path.clone()));
        }
    }
    streams.dedup();
    let mut plan = Plan::default();
    // Of one log the longest copy first, and of those as long as each other one that is not compressed.
    regular.sort_by_key(|it: &Regular| (it.beginning, it.is_compressed, std::cmp::Reverse(it.size)));
    let mut kept: Vec<Regular> = Vec::new();
    for file in regular {
        let copy_of = kept.iter().find(|other| {
            other.identity == file.identity || file.beginning.is_some() && other.beginning == file.beginning
        });
        match copy_of {
            Some(other) if other.identity != file.identity => plan.notes.push(format!(
                "{} begins like {}: the same log, which is read once",
                file.path.display(),
                other.path.display()
            )),
            Some(_) => {}
            None => kept.push(file),
        }
    }
    kept.sort_by(|one, other| (one.first, &one.path).cmp(&(other.first, &other.path)));
    plan.bytes = kept.iter().map(|file| file.size).sum();
    plan.sources = kept.into_iter().map(|file| Source::File(file.path)).collect();
    plan.sources.extend(streams);
    Ok(plan)
}

fn in_folder(folder: &Path) -> Result<Vec<Regular>, ImportError> {
    let mut found = Vec::new();
    for entry in folder.read_dir().map_err(failed("list", folder))? {
        let entry = entry.map_err(failed("list", folder))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        if name.starts_with('.') || !ENDINGS.iter().any(|ending| plain.ends_with(ending)) {
            continue;
        }
        let path = entry.path();
        let metadata = path.metadata().map_err(failed("open", &path))?;
        if metadata.is_file() {
            found.push(look(&path, &metadata)?);
        }
    }
    if found.is_empty() {
        return Err(ImportError::Empty {
            path: folder.to_owned(),
        });
    }
    Ok(found)
}

/// Reads the beginning of a file.
fn look(path: &Path, metadata: &Metadata) -> Result<Regular, ImportError> {
    let opened = Opened::new(&Source::File(path.to_owned()))?;
    let is_compressed = opened.is_compressed;
    let mut lines = Lines::new(opened.reader, LINE_BYTES_MAX);
    let (mut beginning, mut first) = (None, None);
    for _ in 0..PEEKED_LINES {
        // A damaged file is told of when it is read.
        let Ok(Some(Line::Whole(line) | Line::Unended(line))) = lines.next() else {
            break;
        };
        beginning = beginning.or_else(|| {
            let mut hasher = DefaultHasher::new();
            line.hash(&mut hasher);
            Some(hasher.finish())
        });
        first = Event::parse(line).ok().and_then(|event| event.time);
        if first.is_some() {
            break;
        }
    }
    Ok(Regular {
        path: path.to_owned(),
        size: metadata.len(),
        is_compressed,
        identity: (metadata.dev(), metadata.ino()),
        // Only what begins like an export is told by its beginning.
        beginning: beginning.filter(|_| first.is_some()),
        first,
    })
}

/// A source that is being read.
pub struct Opened {
    /// Its lines, decompressed.
    pub reader: Box<dyn BufRead>,
    is_compressed: bool,
    read: Rc<Cell<u64>>,
    watched: Option<(PathBuf, (u64, u64))>,
}

impl Opened {
    /// Opens a source.
    ///
    /// # Errors
    /// [`ImportError::Source`].
    pub fn new(source: &Source) -> Result<Self, ImportError> {
        let (bytes, watched): (Box<dyn Read>, _) = match source {
            Source::Stdin => (Box::new(io::stdin()), None),
            Source::File(path) => {
                let file = File::open(path).map_err(failed("open", path))?;
                let metadata = file.metadata().map_err(failed("open", path))?;
                let watched = metadata
                    .is_file()
                    .then(|| (path.clone(), (metadata.dev(), metadata.ino())));
                (Box::new(file), watched)
            }
        };
        let read = Rc::new(Cell::new(0));
        let mut bytes = Counted {
            bytes,
            read: Rc::clone(&read),
        };
        let head = first_two(&mut bytes).map_err(|error| ImportError::Source {
            doing: "read",
            path: source.name().into(),
            source: error,
        })?;
        let is_compressed = head == GZIP_MAGIC;
        let whole = BufReader::with_capacity(BUFFER, io::Cursor::new(head).chain(bytes));
        let reader: Box<dyn BufRead> = if is_compressed {
            // Rotated files may be several compressed ones after each other.
            Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            reader,
            is_compressed,
            read,
            watched,
        })
    }

    /// Counts the bytes that have been read, before they are decompressed.
    pub fn position(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.read)
    }

    /// What happened to the file meanwhile, if that can have cost lines.
    pub fn disturbance(&self) -> Option<&'static str> {
        let (path, identity) = self.watched.as_ref()?;
        let Ok(now) = path.metadata() else {
            return Some("it was removed or renamed while it was read; what came into it until then was read");
        };
        if (now.dev(), now.ino()) != *identity {
            return Some("it was replaced while it was read: the new file with this name was not read");
        }
        (now.len() < self.read.get()).then_some("it became shorter while it was read: lines may be missing")
    }
}

/// Up to two bytes: less only where there are no more.
fn first_two(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(2);
    reader.by_ref().take(2).read_to_end(&mut head)?;
    Ok(head)
}

struct Counted {
    bytes: Box<dyn Read>,
    read: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError::Source { doing, path, source }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn line(second: u32) -> String {
        format!("{{\"process_exec\":{{}},\"time\":\"2026-11-21T19:35:{second:02}Z\"}}\n")
    }

    fn compressed(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn names(plan: &Plan) -> Vec<String> {
        let name = |source: &Source| source.name().rsplit('/').next().unwrap().to_owned();
        plan.sources.iter().map(name).collect()
    }

    #[test]
    fn rotated_files_come_in_the_order_of_their_events() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
        write("tetragon.log", line(40).as_bytes());
        write("tetragon-2026-11-21T19-35-30.000.log.gz", &compressed(&line(20)));
        write(
            "tetragon-2026-11-21T19-35-20.000.log",
            (line(10) + &line(11)).as_bytes(),
        );
        write("copy.json", line(10).as_bytes());
        write("notes.txt", b"no export");
        write(".hidden.log", line(1).as_bytes());
        write("empty.log", b"");
        let plan = plan(&[folder.path().to_owned(), folder.path().join("tetragon.log")]).unwrap();
        assert_eq!(
            names(&plan),
            [
                "empty.log",
                "tetragon-2026-11-21T19-35-20.000.log",
                "tetragon-2026-11-21T19-35-30.000.log.gz",
                "tetragon.log"
            ]
        );
        assert!(plan.notes.len() == 1 && plan.notes[0].contains("copy.json"), "{plan:?}");
    }

    #[test]
    fn what_cannot_be_read_is_an_error_and_a_folder_without_exports_too() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("missing"), folder.path().to_owned()] {
            assert!(plan(&[path]).is_err());
        }
    }

    #[test]
    fn compressed_files_are_told_by_their_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export");
        for content in [
            compressed(&line(1)),
            line(1).into_bytes(),
            [compressed(&line(1)[..7]), compressed(&line(1)[7..])].concat(),
        ] {
            std::fs::write(&path, &content).unwrap();
            let mut text = String::new();
            let mut opened = Opened::new(&Source::File(path.clone())).unwrap();
            opened.reader.read_to_string(&mut text).unwrap();
            assert_eq!(text, line(1));
            assert_eq!(opened.position().get(), content.len() as u64);
        }
    }

    #[test]
    fn a_file_that_changes_under_the_reader_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export.log");
        let open = || {
            std::fs::write(&path, line(1).repeat(3)).unwrap();
            let mut opened = Opened::new(&Source::File(path.clone())).unwrap();
            io::copy(&mut opened.reader, &mut io::sink()).unwrap();
            opened
        };
        assert_eq!(open().disturbance(), None);
        let opened = open();
        std::fs::write(&path, line(1)).unwrap();
        assert!(opened.disturbance().unwrap().contains("shorter"));
        let opened = open();
        std::fs::rename(&path, folder.path().join("rotated.log")).unwrap();
        assert!(opened.disturbance().unwrap().contains("renamed"));
        std::fs::write(&path, line(2)).unwrap();
        assert!(opened.disturbance().unwrap().contains("replaced"));
    }
}
