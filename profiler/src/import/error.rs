//! What can go wrong with an import, each in one message: what, where, why, and what to do.

use std::io;
use std::path::PathBuf;

/// Why nothing, or not everything, could be imported.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ImportError {
    /// A source cannot be opened, or not be read to its end.
    #[error("cannot {doing} {}: {source}", path.display())]
    #[diagnostic(help("name files that this user may read, a folder of them, or - for standard input"))]
    Source {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A folder without exports.
    #[error("there is no export in {}", path.display())]
    #[diagnostic(help(
        "files are taken whose names end in .log, .json or .jsonl, each also with .gz: name others one by one"
    ))]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// One recording cannot hold two nodes.
    #[error("the events are of several nodes ({first:?} and {second:?}), and {} is one recording, of one node", recording.display())]
    #[diagnostic(help(
        "name a folder that is there (--recording DIRECTORY) for one recording a node, or choose one: --node NAME"
    ))]
    SeveralNodes {
        /// Where to.
        recording: PathBuf,
        /// The node whose events came first.
        first: String,
        /// Another one.
        second: String,
    },
    /// The recording is another node's.
    #[error("{} is a recording of another node than {node:?}", recording.display())]
    #[diagnostic(help("name another file, or a folder that is there for one recording a node"))]
    OtherNode {
        /// Where to.
        recording: PathBuf,
        /// Whose events these are.
        node: String,
    },
    /// The agent's socket.
    #[error("cannot get events from the agent at {}: {why}", socket.display())]
    #[diagnostic(help(
        "its socket is root's, and /var/run/tetragon/tetragon.sock unless told otherwise (--server-address); `tetra getevents` asks the same"
    ))]
    Agent {
        /// Where it is.
        socket: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// The agent ended the stream, or sent something else.
    #[error("the events from the agent at {} ended after {events}: {why}", socket.display())]
    #[diagnostic(help("what came until then is recorded, and its window is marked as failed; import again to go on"))]
    Ended {
        /// Where it is.
        socket: PathBuf,
        /// How many came.
        events: u64,
        /// What it said.
        why: String,
    },
    /// More nodes than any cluster has.
    #[error("the events are of more than {max} nodes")]
    #[diagnostic(help("import them in parts: --node NAME takes one node's events"))]
    TooManyNodes {
        /// The limit.
        max: usize,
    },
    /// Nothing that could be an event of Tetragon.
    #[error("there is no event of Tetragon in {what} ({lines} lines, {unreadable} unreadable{first})")]
    #[diagnostic(help(
        "it takes Tetragon's JSON export, one event a line: `tetra getevents -o json`, or the agent's --export-filename"
    ))]
    NoEvent {
        /// The sources.
        what: String,
        /// How many lines there were.
        lines: u64,
        /// How many of them are no JSON.
        unreadable: u64,
        /// The first of these, if any.
        first: String,
    },
}
