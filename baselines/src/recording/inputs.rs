//! Which files people mean: files, folders, and patterns that no shell has expanded.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::error::{Error, Result};
use super::file::failed;

/// How a database begins, and where it says whose it is: `application_id` (<https://sqlite.org/fileformat.html>, section 1.3).
const DATABASE: &[u8] = b"SQLite format 3\0";
const APPLICATION: std::ops::Range<usize> = 68..72;
const RECORDING: &[u8] = b"WARD";
/// How a Parquet file begins (<https://parquet.apache.org/docs/file-format/>).
const PARQUET: &[u8] = b"PAR1";

/// What a file seems to be, by how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// A recording.
    Recording,
    /// Observations that were exported, or another Parquet file.
    Parquet,
}

/// The files that are meant by these inputs, in their order:
///
/// - a file that is there is meant itself, whatever it is;
/// - a folder means the recordings and Parquet files in it, sorted by name, and not those in folders below it;
/// - where there is neither, `*`, `?` and `[...]` match names, and `**` any folders; each match means a file or a folder as above.
///
/// What begins neither as a recording nor as a Parquet file is left out of folders and matches, and so are names that begin
/// with a dot: beside a recording are its log and its lock, and half-written files of programs that were killed.
///
/// # Errors
/// [`Error::NoMatch`] for a folder or pattern without any, [`Error::File`] for a folder that cannot be read.
///
/// ```
/// use baselines::recording::find;
///
/// let folder = tempfile::tempdir()?;
/// let error = find(&[folder.path().join("*.db")]).unwrap_err();
/// assert!(error.to_string().contains("*.db"));
/// let named = folder.path().join("missing.db");
/// assert_eq!(find(&[named.clone()])?, [named]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find(inputs: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for input in inputs {
        let before = found.len();
        if input.is_dir() {
            in_folder(input, &mut found)?;
        } else if let Some(pattern) = pattern(input) {
            for path in matches(pattern, input)? {
                if path.is_dir() {
                    in_folder(&path, &mut found)?;
                } else if is_shown(&path) && format(&path)?.is_some() {
                    found.push(path);
                }
            }
        } else {
            // What is not there is missed where it is opened.
            found.push(input.clone());
        }
        if found.len() == before {
            return Err(Error::NoMatch { input: input.clone() });
        }
    }
    Ok(found)
}

/// An input that is no file's name and can be a pattern.
fn pattern(input: &Path) -> Option<&str> {
    let text = input.to_str()?;
    (text.contains(['*', '?', '[']) && input.symlink_metadata().is_err()).then_some(text)
}

fn matches(pattern: &str, input: &Path) -> Result<Vec<PathBuf>> {
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let Ok(paths) = glob::glob_with(pattern, options) else {
        return Err(Error::NoMatch {
            input: input.to_owned(),
        });
    };
    let read = |path: std::result::Result<PathBuf, glob::GlobError>| {
        path.map_err(|error| {
            let path = error.path().to_owned();
            failed("read the folder", &path)(error.into())
        })
    };
    paths.map(read).collect()
}

/// Adds what is in a folder.
fn in_folder(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = folder.read_dir().map_err(failed("read the folder", folder))?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed("read the folder", folder))?.path();
        if is_shown(&path) && format(&path)?.is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    found.append(&mut paths);
    Ok(())
}

fn is_shown(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| !name.as_encoded_bytes().starts_with(b"."))
}

/// The log beside a database, see <https://sqlite.org/wal.html>.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// What a file is by its beginning, if it is one of both.
///
/// # Errors
/// [`Error::File`] where it is there and cannot be read.
pub(crate) fn format(path: &Path) -> Result<Option<Format>> {
    // A FIFO would block.
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed("open", path)(error)),
        _ => return Ok(None),
    }
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(100).read_to_end(&mut begin));
    read.map_err(failed("read", path))?;
    // A young database has its first pages in the log beside it alone: what it is, whoever opens it finds out.
    let is_young = || begin.get(APPLICATION) == Some(&[0; 4]) && log_of(path).metadata().is_ok_and(|log| log.len() > 0);
    Ok(if begin.starts_with(PARQUET) {
        Some(Format::Parquet)
    } else if begin.starts_with(DATABASE) && (begin.get(APPLICATION) == Some(RECORDING) || is_young()) {
        Some(Format::Recording)
    } else {
        None
    })
}
