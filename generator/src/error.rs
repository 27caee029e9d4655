//! What can go wrong, each in one message: what, where, why, and what to do.

use std::path::{Path, PathBuf};

use miette::Diagnostic;

use crate::selfcheck::SelfCheckError;

/// A command that failed. Nothing was written unless the message says so.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[non_exhaustive]
pub enum Error {
    /// The recordings cannot be analysed.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Analysis(#[from] baselines::analysis::Error),
    /// There are no recordings where they were to be found.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recordings(#[from] baselines::recording::Error),
    /// A baseline document cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Document(#[from] baselines::document::DocumentError),
    /// A catalogue of risks, or decisions, cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Risks(#[from] baselines::risks::FileError),
    /// Decisions beside a baseline that are about another image.
    #[error("{} has decisions about {image}", file.display())]
    #[diagnostic(help("it is named after another image: give it that one's name, or correct `image` in it"))]
    OtherImage {
        /// The file.
        file: PathBuf,
        /// The image that it is about.
        image: String,
    },
    /// Nobody has decided.
    #[error("{open} risks wait for a decision")]
    #[diagnostic(help("without --check they are listed; `generate decide` decides"))]
    Undecided {
        /// How many.
        open: usize,
    },
    /// There is nothing to decide about.
    #[error("no baseline in {} has the finding {key}", folder.display())]
    #[diagnostic(help("`generate risks --baselines {}` lists them with their keys; nothing was written", folder.display()))]
    NoFinding {
        /// The key.
        key: String,
        /// The folder.
        folder: PathBuf,
    },
    /// A folder without baselines.
    #[error("there is no baseline in {}", folder.display())]
    #[diagnostic(help("baselines are files that end in .yaml; `generate baselines --out {}` writes them", folder.display()))]
    NoDocuments {
        /// The folder.
        folder: PathBuf,
    },
    /// Baselines without behaviours only.
    #[error("nothing was learned of any image, so there is nothing to write a policy from")]
    #[diagnostic(help("`profile status` says what was recorded, and what was lost"))]
    NothingLearned,
    /// Two baselines of one image.
    #[error("there are two baselines of {image}")]
    #[diagnostic(help("keep one of the documents; to add recordings up, pass all of them as --recording instead"))]
    Duplicate {
        /// The image.
        image: String,
    },
    /// A baseline of nothing that could be selected.
    #[error(
        "the image `{image}` cannot be selected: its repository is empty, or has characters that Tetragon does not read"
    )]
    #[diagnostic(help(
        "correct image.repository in the baseline and use --baselines; an empty one would select every container whose \
         image Tetragon does not know"
    ))]
    NoRepository {
        /// The image.
        image: String,
    },
    /// A policy that must not be written.
    #[error("the policy for {image} does not pass its own check, so nothing was written")]
    #[diagnostic(help(
        "this is a defect of `generate`: please report it with the baseline, after removing what is secret"
    ))]
    SelfCheck {
        /// The image.
        image: String,
        /// What is wrong with it.
        source: SelfCheckError,
    },
    /// A target that is not ours to replace.
    #[error("will not replace {}: it is {what}", path.display())]
    #[diagnostic(help("remove it, or choose another place to write to"))]
    Target {
        /// The target.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A drawing that could not be made.
    #[error("cannot draw a part of the report, so nothing was written")]
    #[diagnostic(help(
        "this is a defect of `generate`: please report it with the baseline, after removing what is secret"
    ))]
    Plot(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system refused.
    #[error("cannot {doing} {}", path.display())]
    #[diagnostic(help("{help}"))]
    File {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
        /// What to do.
        help: &'static str,
    },
    /// The list of what was written cannot be shown.
    #[error("cannot print the list of what was written")]
    #[diagnostic(help("the files themselves are complete"))]
    Print(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn file(doing: &'static str, path: &Path, help: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            doing,
            path,
            source,
            help,
        }
    }
}

/// An error as people read it: what happened, why, and what to do.
///
/// ```
/// let error = generator::Error::Duplicate { image: "shop/web:1.4".to_owned() };
/// assert_eq!(
///     generator::explain(&error),
///     "error: there are two baselines of shop/web:1.4\n  help: keep one of the documents; to add recordings up, pass all \
///      of them as --recording instead\n",
/// );
/// ```
pub fn explain(error: &dyn Diagnostic) -> String {
    let mut lines = vec![format!("error: {}\n", printable(&error.to_string()))];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let why = printable(&cause.to_string());
        // Some messages end with their cause already.
        if !lines.iter().any(|line| line.contains(&why)) {
            lines.push(format!("  why: {why}\n"));
        }
        source = cause.source();
    }
    let help = error
        .help()
        .map(|help| format!("  help: {}\n", printable(&help.to_string())));
    lines.into_iter().chain(help).collect()
}

/// One line of text that cannot steer the terminal: names in messages come from workloads.
pub fn printable(text: &str) -> String {
    crate::yaml::comment(text)
}
