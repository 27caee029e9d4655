//! What has changed, told to people: what a difference has to say, and what it looks like as text or as Markdown.
//!
//! Names come from workloads and may be hostile. So what is said is made of words, which are ours, and names, which are not
//! ([`report`]), and each format writes names in a way of its own that they cannot leave.

mod markdown;
mod report;
mod text;

use baselines::diff::Diff;

use crate::error::Error;

/// How a difference is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people at a terminal.
    #[default]
    Text,
    /// For pull requests; at most 60,000 characters, and it says what was left out.
    Markdown,
    /// For programs; everything.
    Json,
}

/// The whole difference, ending in a newline.
///
/// # Errors
/// [`Error::Print`] where it has no form in that format.
pub fn print(diff: &Diff, format: Format) -> Result<String, Error> {
    match format {
        Format::Text => Ok(text::print(&report::report(diff))),
        Format::Markdown => Ok(markdown::print(&report::report(diff))),
        Format::Json => match serde_json::to_string_pretty(diff) {
            Ok(text) => Ok(text + "\n"),
            Err(error) => Err(Error::Print(error.into())),
        },
    }
}
