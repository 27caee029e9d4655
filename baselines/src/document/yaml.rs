//! Documents as YAML. The only place that knows which YAML library does it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Baseline, lines};
use crate::path::is_unprintable;

/// The largest document that is read, in bytes: 64 MiB.
pub const SIZE_MAX: u64 = 64 << 20;

/// What a baseline that is in no file is called.
const NOUN: &str = "the baseline";

/// A document that cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum DocumentError {
    /// It says something that a baseline cannot say.
    #[error("{}: {what}", place(NOUN, file.as_deref(), *line, *column))]
    #[diagnostic(help("correct that line, or make the document anew with `generate baselines`"))]
    Invalid {
        /// The file, if it was read from one.
        file: Option<PathBuf>,
        /// Counts from 1; 0 where it is not known.
        line: usize,
        /// Counts from 1; 0 where it is not known.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// It is larger than [`SIZE_MAX`].
    #[error("{}: more than {SIZE_MAX} bytes", place(NOUN, file.as_deref(), 0, 0))]
    #[diagnostic(help("no baseline is that large: is it another file?"))]
    TooLarge {
        /// The file, if it was read from one.
        file: Option<PathBuf>,
    },
    /// The operating system does not give it.
    #[error("cannot read the baseline {}: {source}", file.display())]
    #[diagnostic(help("`generate baselines` makes baselines from recordings"))]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Where something is, as editors understand it. `noun` stands for a text that is in no file.
pub(crate) fn place(noun: &str, file: Option<&Path>, line: usize, column: usize) -> String {
    let file = file.map_or_else(|| noun.to_owned(), |file| file.display().to_string());
    if line == 0 {
        file
    } else {
        format!("{file}:{line}:{column}")
    }
}

/// What a text says that its kind of document cannot say.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Counts from 1; 0 where it is not known.
    pub(crate) line: usize,
    /// Counts from 1; 0 where it is not known.
    pub(crate) column: usize,
    /// What is wrong.
    pub(crate) what: String,
}

/// Why there is no text.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The operating system does not give it.
    File(io::Error),
    /// It is larger than was allowed.
    TooLarge,
    /// It is no text.
    Invalid(Fault),
}

/// A document as text: the same to the byte for the same document.
///
/// # Panics
/// Never: documents hold only text, numbers, lists and structs, all of which YAML can hold.
pub(crate) fn print<T: Serialize>(document: &T) -> String {
    #[expect(clippy::expect_used, reason = "see above")]
    serde_yaml::to_string(document).expect("a document can be written as YAML")
}

/// The inverse of [`print`]. The text is refused before the YAML library sees it where it could cost more than its length.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    if let Some((line, why)) = lines::first_bad_line(text) {
        return Err(Fault {
            line,
            column: 1,
            what: why.to_owned(),
        });
    }
    serde_yaml::from_str(text).map_err(|error| {
        let (line, column) = error
            .location()
            .map_or((0, 0), |location| (location.line(), location.column()));
        let message = error.to_string();
        // The library writes the place at the end; ours is at the beginning, where editors look for it.
        let what = message
            .strip_suffix(&format!(" at line {line} column {column}"))
            .unwrap_or(&message);
        // It may quote the document, where escapes can stand for what would move a terminal's text.
        let what = what.replace(is_unprintable, "\u{fffd}");
        Fault { line, column, what }
    })
}

/// The text in a file of at most this many bytes.
pub(crate) fn read_text(file: &Path, size_max: u64) -> Result<String, Unread> {
    let mut bytes = Vec::new();
    // One byte more, to tell a file that is too large from one that just fits.
    File::open(file)
        .map_err(Unread::File)?
        .take(size_max + 1)
        .read_to_end(&mut bytes)
        .map_err(Unread::File)?;
    if bytes.len() as u64 > size_max {
        return Err(Unread::TooLarge);
    }
    String::from_utf8(bytes).map_err(|error| {
        Unread::Invalid(Fault {
            line: 0,
            column: 0,
            what: format!("it is no text in UTF-8 (byte {})", error.utf8_error().valid_up_to()),
        })
    })
}

/// A baseline as text: the same to the byte for the same baseline.
pub fn to_yaml(baseline: &Baseline) -> String {
    print(baseline)
}

/// The inverse of [`to_yaml`].
///
/// # Errors
/// [`DocumentError::Invalid`] with line and column, [`DocumentError::TooLarge`].
pub fn from_yaml(text: &str) -> Result<Baseline, DocumentError> {
    parse_baseline(text, None)
}

/// Reads the baseline in a file.
///
/// # Errors
/// As [`from_yaml`], and [`DocumentError::File`].
pub fn read(file: &Path) -> Result<Baseline, DocumentError> {
    let text = read_text(file, SIZE_MAX).map_err(|why| match why {
        Unread::File(source) => DocumentError::File {
            file: file.to_owned(),
            source,
        },
        Unread::TooLarge => DocumentError::TooLarge {
            file: Some(file.to_owned()),
        },
        Unread::Invalid(fault) => invalid(fault, Some(file)),
    })?;
    parse_baseline(&text, Some(file))
}

fn parse_baseline(text: &str, file: Option<&Path>) -> Result<Baseline, DocumentError> {
    if text.len() as u64 > SIZE_MAX {
        return Err(DocumentError::TooLarge {
            file: file.map(Path::to_owned),
        });
    }
    parse(text).map_err(|fault| invalid(fault, file))
}

fn invalid(Fault { line, column, what }: Fault, file: Option<&Path>) -> DocumentError {
    DocumentError::Invalid {
        file: file.map(Path::to_owned),
        line,
        column,
        what,
    }
}
