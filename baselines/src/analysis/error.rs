//! What can go wrong in an analysis.

use super::sources::Source;

/// Recordings that could not be analysed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum Error {
    /// One of them cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recording(#[from] crate::recording::Error),
    /// There is no behaviour in any of them.
    #[error("nothing was recorded: {why}")]
    #[diagnostic(help("{help}"))]
    Nothing {
        /// What there is instead.
        why: String,
        /// What to do.
        help: &'static str,
    },
    /// More time than anybody has recorded.
    #[error("the containers of these recordings are said to have been watched for {days} days together")]
    #[diagnostic(help(
        "a node's clock was wrong, or a recording is forged: `profile status` shows when windows began and ended; leave that \
         recording out, or analyse fewer at a time"
    ))]
    TooLong {
        /// How many.
        days: u64,
    },
    /// A sum beyond 2^64.
    #[error("the counts of one behaviour or loss add up to more than {}", u64::MAX)]
    #[diagnostic(help("nothing can really be counted that often: a recording that was analysed is forged or damaged"))]
    CountTooLarge,
}

/// Why there is no behaviour in recordings with this many containers.
pub(super) fn nothing(sources: &[Source<'_>], containers: usize) -> Error {
    let files: Vec<String> = sources
        .iter()
        .map(|source| source.path().display().to_string())
        .collect();
    let files = if files.is_empty() {
        "no recording was given".to_owned()
    } else {
        files.join(", ")
    };
    let windows: usize = sources.iter().map(|source| source.windows.len()).sum();
    let lost: u64 = sources
        .iter()
        .flat_map(|source| &source.windows)
        .map(|window| window.losses)
        .fold(0, u64::saturating_add);
    let removed = sources.iter().any(|source| source.identity.removed.is_some());
    let (why, help) = match (windows, containers) {
        (0, _) if removed => (
            "every learning window was removed by retention",
            "record another one with `profile start` or `profile run`, and keep more with `profile prune`",
        ),
        (0, _) => (
            "there is no learning window",
            "record one with `profile start` or `profile run`",
        ),
        (_, 0) => (
            "no container was seen",
            "look with `profile status` at what the windows selected, and record while the workload runs",
        ),
        _ => (
            "containers were seen, and none of them did anything",
            "record while the workload starts and works; `profile status` shows the windows",
        ),
    };
    let lost = if lost == 0 {
        String::new()
    } else {
        format!("; {lost} observations were lost")
    };
    Error::Nothing {
        why: format!("{why} ({files}){lost}"),
        help,
    }
}
