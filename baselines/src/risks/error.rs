//! Catalogues and decisions that cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use crate::document::{Fault, Unread, place, read_text};

/// A catalogue or a file of decisions that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum FileError {
    /// It says something that it cannot say.
    #[error("{}: {what}", place(noun, file.as_deref(), *line, *column))]
    #[diagnostic(help("correct that line; docs/reference/risks.md says what can be there"))]
    Invalid {
        /// What kind of document it is.
        noun: &'static str,
        /// The file, if it was read from one.
        file: Option<PathBuf>,
        /// Counts from 1; 0 where it is not known.
        line: usize,
        /// Counts from 1; 0 where it is not known.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// It is too large.
    #[error("{}: more than {max} bytes", place(noun, file.as_deref(), 0, 0))]
    #[diagnostic(help("no such document is that large: is it another file?"))]
    TooLarge {
        /// What kind of document it is.
        noun: &'static str,
        /// The file, if it was read from one.
        file: Option<PathBuf>,
        /// What is allowed, in bytes.
        max: u64,
    },
    /// The operating system does not give it.
    #[error("cannot read {}: {source}", file.display())]
    #[diagnostic(help("is the name right, and may you read it?"))]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A kind of document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// What a document is called that is in no file.
    pub(super) noun: &'static str,
    /// The largest one, in bytes.
    pub(super) size_max: u64,
}

impl Form {
    /// The text of a file.
    pub(super) fn read(self, file: &Path) -> Result<String, FileError> {
        read_text(file, self.size_max).map_err(|why| match why {
            Unread::File(source) => FileError::File {
                file: file.to_owned(),
                source,
            },
            Unread::TooLarge => self.too_large(Some(file)),
            Unread::Invalid(fault) => self.invalid(fault, Some(file)),
        })
    }

    /// A text as what it says.
    pub(super) fn parse<T: serde::de::DeserializeOwned>(self, text: &str, file: Option<&Path>) -> Result<T, FileError> {
        if text.len() as u64 > self.size_max {
            return Err(self.too_large(file));
        }
        crate::document::parse(text).map_err(|fault| self.invalid(fault, file))
    }

    pub(super) fn invalid(self, Fault { line, column, what }: Fault, file: Option<&Path>) -> FileError {
        FileError::Invalid {
            noun: self.noun,
            file: file.map(Path::to_owned),
            line,
            column,
            what,
        }
    }

    fn too_large(self, file: Option<&Path>) -> FileError {
        FileError::TooLarge {
            noun: self.noun,
            file: file.map(Path::to_owned),
            max: self.size_max,
        }
    }
}
