//! Tetragon's events become recordings, so that a cluster that runs Tetragon needs no second agent.
//!
//! | module | question it answers |
//! |---|---|
//! | [`sources`], [`lines`] | Where do the bytes come from, in which order, and how much of them is held? |
//! | [`event`], [`arguments`] | What does one line say? |
//! | [`stream`], [`messages`] | And what does an agent send over its socket? |
//! | [`repeats`], [`processes`] | Was it there before? Which image does a process run? |
//! | [`places`] | Which container is it in? |
//! | [`node`], [`words`] | Which behaviour is that? |
//! | [`tally`], [`windows`], [`output`] | What is to be written, and what is there already? |
//! | [`counters`], [`summary`] | What became of each event? |
//!
//! # Which path
//!
//! `process.binary` is what the program was called as: a symbolic link, a script, `/dev/fd/3`. Policies compare the path
//! that the kernel walked, and the hooks' events have it. So an execution is the files that `security_bprm_check` was
//! called with, up to the `process_exec` of the same process; one without such events is recorded [as
//! called](baselines::path::Origin::AsCalled), which no policy can use, and is a loss. Processes that ran before the agent
//! have the path of `/proc/PID/exe`.
//!
//! ```
//! use profiler::import::tetragon::{Importer, Options, Target};
//!
//! let folder = tempfile::tempdir()?;
//! let recording = folder.path().join("worker-1.db");
//! let mut importer = Importer::new(Options::into(Target::File(recording.clone())));
//! let process = r#""process":{"exec_id":"b","pid":7,"binary":"/bin/sh"}"#;
//! let end = r#""node_name":"worker-1","time":"2026-11-21T19:35:36.942275927Z""#;
//! let file = r#""args":[{"linux_binprm_arg":{"path":"/usr/bin/dash"}}]"#;
//! for line in [
//!     format!(r#"{{"process_kprobe":{{{process},"function_name":"security_bprm_check",{file}}},{end}}}"#),
//!     format!(r#"{{"process_exec":{{{process}}},{end}}}"#),
//! ] {
//!     importer.line(line.as_bytes(), &|| "example".to_owned())?;
//! }
//! let summary = importer.finish()?;
//! assert_eq!(summary.imported[0].events, 1);
//! let baselines = baselines::analysis::baselines(&[recording])?;
//! assert_eq!(baselines[0].behaviours.exec[0].binary.to_text(), "/usr/bin/dash");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod arguments;
pub mod counters;
pub mod event;
pub mod lines;
pub mod messages;
pub mod node;
pub mod output;
pub mod places;
pub mod processes;
pub mod repeats;
pub mod sources;
pub mod stream;
pub mod summary;
pub mod tally;
pub mod windows;
pub mod words;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use baselines::loss::Reason;
use baselines::recording::EndReason;
use baselines::time::UtcTime;

use crate::error::Failure;
use crate::import::error::ImportError;
use counters::{Counters, Verdict, Why};
use event::Event;
use lines::{LINE_BYTES_MAX, Line, Lines};
use messages::GetEventsResponse;
use node::{Node, Rules};
use output::Output;
pub use output::Target;
use repeats::Repeats;
use sources::{Opened, Source};
use summary::{Summary, Unreadable};

/// How many nodes one import follows: more than Kubernetes supports in a cluster, 5,000.
const NODES_MAX: usize = 8_192;
/// The longest name of a node, in bytes: twice what a host name may have (RFC 1123).
const NODE_BYTES_MAX: usize = 512;
/// How many rows are counted before they are written, about 150 MiB.
const ROWS_MAX: usize = 500_000;
/// What a node is called where the export leaves that out.
const UNNAMED: &str = "unnamed";

/// How to import.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to.
    pub target: Target,
    /// Only events of this node.
    pub node: Option<String>,
    /// Events after this moment have a wrong time: recorded, they would make every later one look imported.
    pub latest: Option<UtcTime>,
    /// How events become behaviours.
    pub rules: Rules,
    /// What the window says of its source.
    pub selector: String,
}

impl Options {
    /// Everything, with the usual rules.
    pub fn into(target: Target) -> Self {
        Self {
            target,
            node: None,
            latest: None,
            rules: Rules {
                startup: Duration::from_mins(1),
                record_arguments: false,
            },
            selector: "tetragon".to_owned(),
        }
    }
}

/// Takes in events, and writes recordings.
#[derive(Debug)]
pub struct Importer {
    options: Options,
    nodes: BTreeMap<Box<str>, (Node, Output)>,
    counters: Counters,
    unreadable: Unreadable,
    repeats: Repeats,
    sources: Vec<String>,
    notes: Vec<String>,
    lines: u64,
    rows: usize,
    started: Instant,
}

impl Importer {
    /// Nothing is read yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            nodes: BTreeMap::new(),
            counters: Counters::default(),
            unreadable: Unreadable::default(),
            repeats: Repeats::default(),
            sources: Vec::new(),
            notes: Vec::new(),
            lines: 0,
            rows: 0,
            started: Instant::now(),
        }
    }

    /// Takes in one event of a stream.
    ///
    /// # Errors
    /// As [`Importer::line`].
    pub fn message(&mut self, message: &GetEventsResponse) -> Result<(), Failure> {
        self.lines += 1;
        self.event(&message.event())
    }

    /// A source that is no file.
    pub fn names(&mut self, source: String) {
        self.sources.push(source);
    }

    /// Says something at the end.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// How many lines, or events of a stream, there were.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Reads a source to its end. What is wrong in it is counted; `show` is called now and then with the number of bytes that
    /// have been read of it.
    ///
    /// # Errors
    /// Where it cannot be opened, or the recording cannot be written.
    pub fn read(&mut self, source: &Source, show: &mut dyn FnMut(&Self, u64)) -> Result<(), Failure> {
        let mut opened = Opened::new(source)?;
        let (name, position) = (source.name(), opened.position());
        self.sources.push(name.clone());
        let mut lines = Lines::new(&mut opened.reader, LINE_BYTES_MAX);
        for number in 1_u64.. {
            let place = || format!("{name}:{number}");
            match lines.next() {
                Ok(None) => break,
                Ok(Some(Line::Whole(line))) => self.line(line, &place)?,
                Ok(Some(Line::Unended(line))) => self.unended(line, &place)?,
                Ok(Some(Line::TooLong)) => {
                    self.lines += 1;
                    self.unreadable.too_long += 1;
                    self.first_unreadable(|| format!("{}: more than {LINE_BYTES_MAX} bytes", place()));
                }
                Err(error) => {
                    self.unreadable.cut_sources += 1;
                    self.first_unreadable(|| format!("{}: {error}", place()));
                    self.notes
                        .push(format!("{name} could not be read beyond line {number}: {error}"));
                    break;
                }
            }
            if number % 4096 == 0 {
                show(self, position.get());
            }
        }
        show(self, position.get());
        if let Some(disturbance) = opened.disturbance() {
            self.notes.push(format!("{name}: {disturbance}"));
            self.unreadable.cut_sources += 1;
            self.first_unreadable(|| format!("{name}: {disturbance}"));
        }
        Ok(())
    }

    /// Takes in one line. `place` says where it is.
    ///
    /// # Errors
    /// Where the recording cannot be written. A line that is no event is counted.
    pub fn line(&mut self, line: &[u8], place: &dyn Fn() -> String) -> Result<(), Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        self.lines += 1;
        match Event::parse(line) {
            Ok(event) => self.event(&event),
            Err(error) => {
                self.unreadable.invalid += 1;
                self.first_unreadable(|| format!("{}: {error}", place()));
                Ok(())
            }
        }
    }

    /// The last line: a whole event, or one that is being written.
    fn unended(&mut self, line: &[u8], place: &dyn Fn() -> String) -> Result<(), Failure> {
        if let Ok(event) = Event::parse(line) {
            self.lines += 1;
            return self.event(&event);
        }
        if !line.trim_ascii().is_empty() {
            self.lines += 1;
            self.unreadable.half_written += 1;
            self.first_unreadable(|| format!("{}: the last line is not whole", place()));
        }
        Ok(())
    }

    fn first_unreadable(&mut self, what: impl FnOnce() -> String) {
        if self.unreadable.first.is_none() {
            // Errors of serde_json name fields and values of the line.
            self.unreadable.first = Some(what().chars().take(300).collect());
        }
    }

    /// Takes in one event.
    ///
    /// # Errors
    /// Where the recording cannot be written, or must not be: it is of another node.
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Failure> {
        let verdict = self.decide(event)?;
        self.counters.count(&event.kind(), verdict);
        Ok(())
    }

    fn decide(&mut self, event: &Event<'_>) -> Result<Verdict, Failure> {
        let node = match &*event.node {
            "" => UNNAMED,
            name => name.get(..name.floor_char_boundary(NODE_BYTES_MAX)).unwrap_or(name),
        };
        if self.options.node.as_deref().is_some_and(|wanted| wanted != node) {
            return Ok(Verdict::Not(Why::OtherNode));
        }
        let latest = self.options.latest;
        let Some(at) = event.time.filter(|at| latest.is_none_or(|latest| *at <= latest)) else {
            return Ok(Verdict::Not(Why::NoTime));
        };
        if self.repeats.has(event, at) {
            return Ok(Verdict::Not(Why::Repeated));
        }
        if !self.nodes.contains_key(node) {
            self.open(node)?;
        }
        let Some((known, _)) = self.nodes.get_mut(node) else {
            return Ok(Verdict::Not(Why::OtherNode));
        };
        let before = known.tally.rows();
        let verdict = known.take(event, at, &mut self.counters);
        self.rows += known.tally.rows() - before;
        if self.rows >= ROWS_MAX {
            self.write()?;
        }
        Ok(verdict)
    }

    fn open(&mut self, node: &str) -> Result<(), Failure> {
        if self.nodes.len() >= NODES_MAX {
            return Err(ImportError::TooManyNodes { max: NODES_MAX }.into());
        }
        if let (Target::File(recording), Some(first)) = (&self.options.target, self.nodes.keys().next()) {
            return Err(ImportError::SeveralNodes {
                recording: recording.clone(),
                first: first.to_string(),
                second: node.to_owned(),
            }
            .into());
        }
        let (output, covered) = Output::new(&self.options.target, node, &self.options.selector)?;
        let known = Node::new(node, self.options.rules, covered);
        self.nodes.insert(node.into(), (known, output));
        Ok(())
    }

    /// Writes what was counted.
    ///
    /// # Errors
    /// Where that cannot be done; it is kept then.
    pub fn write(&mut self) -> Result<(), Failure> {
        for (node, output) in self.nodes.values_mut() {
            output.write(node)?;
        }
        self.rows = 0;
        Ok(())
    }

    /// Ends the windows of which something is written already: the import has failed, and what is counted is dropped. An
    /// import of the same sources goes on from there.
    ///
    /// # Errors
    /// What the recordings say.
    pub fn abandon(self, why: &str) -> Result<(), Failure> {
        self.nodes.into_values().try_for_each(|(_, output)| output.abandon(why))
    }

    /// Writes everything and ends the windows.
    ///
    /// # Errors
    /// [`ImportError::NoEvent`] where there was none, or what the recordings say.
    pub fn finish(self) -> Result<Summary, Failure> {
        self.end(&EndReason::Completed)
    }

    /// The same, for a reason.
    ///
    /// # Errors
    /// As [`Importer::finish`].
    pub fn end(mut self, reason: &EndReason) -> Result<Summary, Failure> {
        let total = self.counters.total();
        if total.events == 0 {
            let first = self.unreadable.first.as_ref().map(|it| format!(", the first: {it}"));
            return Err(ImportError::NoEvent {
                what: self.sources.join(", "),
                lines: self.lines,
                unreadable: self.unreadable.total(),
                first: first.unwrap_or_default(),
            }
            .into());
        }
        let mut imported = Vec::with_capacity(self.nodes.len());
        let unreadable = self.unreadable.total();
        for (_, (mut node, output)) in std::mem::take(&mut self.nodes) {
            node.finish(&mut self.counters);
            // Nobody can tell whose they were.
            if let Some((_, last)) = node.tally.span() {
                node.tally.lose(None, Reason::SourceUnreadable, unreadable, last);
            }
            imported.push(output.finish(node, reason)?);
        }
        Ok(Summary {
            sources: self.sources,
            notes: self.notes,
            lines: self.lines,
            unreadable: self.unreadable,
            counters: self.counters,
            imported,
            took: self.started.elapsed(),
        })
    }

    /// The time of the last event that was counted, if any was.
    pub fn last(&self) -> Option<UtcTime> {
        self.nodes
            .values()
            .filter_map(|(node, _)| node.tally.span())
            .map(|(_, last)| last)
            .max()
    }
}

#[cfg(test)]
mod tests;
