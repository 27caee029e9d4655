//! Baselines as YAML. The only place that knows which YAML library does it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Baseline, lines};

/// The largest document that is read, in bytes: 64 MiB.
pub const SIZE_MAX: u64 = 64 << 20;

/// A document that cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum DocumentError {
    /// It says something that a baseline cannot say.
    #[error("{}: {what}", place(file.as_deref(), *line, *column))]
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
    #[error("{}: more than {SIZE_MAX} bytes", place(file.as_deref(), 0, 0))]
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
        source: std::io::Error,
    },
}

fn place(file: Option<&Path>, line: usize, column: usize) -> String {
    let file = file.map_or_else(|| "the baseline".to_owned(), |file| file.display().to_string());
    if line == 0 {
        file
    } else {
        format!("{file}:{line}:{column}")
    }
}

/// A baseline as text: the same to the byte for the same baseline.
///
/// # Panics
/// Never: a baseline holds only text, numbers, lists and structs, all of which YAML can hold.
pub fn to_yaml(baseline: &Baseline) -> String {
    #[expect(clippy::expect_used, reason = "see above")]
    serde_yaml::to_string(baseline).expect("a baseline can be written as YAML")
}

/// The inverse of [`to_yaml`].
///
/// # Errors
/// [`DocumentError::Invalid`] with line and column, [`DocumentError::TooLarge`].
pub fn from_yaml(text: &str) -> Result<Baseline, DocumentError> {
    parse(text, None)
}

/// Reads the baseline in a file.
///
/// # Errors
/// As [`from_yaml`], and [`DocumentError::File`].
pub fn read(file: &Path) -> Result<Baseline, DocumentError> {
    let failed = |source| DocumentError::File {
        file: file.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    // One byte more, to tell a file that is too large from one that just fits.
    File::open(file)
        .map_err(failed)?
        .take(SIZE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    let text = String::from_utf8(bytes).map_err(|error| DocumentError::Invalid {
        file: Some(file.to_owned()),
        line: 0,
        column: 0,
        what: format!("it is no text in UTF-8 (byte {})", error.utf8_error().valid_up_to()),
    })?;
    parse(&text, Some(file))
}

fn parse(text: &str, file: Option<&Path>) -> Result<Baseline, DocumentError> {
    let file = file.map(Path::to_owned);
    if text.len() as u64 > SIZE_MAX {
        return Err(DocumentError::TooLarge { file });
    }
    if let Some((line, why)) = lines::first_bad_line(text) {
        return Err(DocumentError::Invalid {
            file,
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
            .unwrap_or(&message)
            .to_owned();
        DocumentError::Invalid {
            file,
            line,
            column,
            what,
        }
    })
}
