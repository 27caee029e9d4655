//! What became of every event.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Kinds are told apart up to here; further ones are counted together.
const KINDS_MAX: usize = 256;
/// The longest name of a kind that is kept, in bytes.
const KIND_BYTES_MAX: usize = 128;
/// What the rest is called.
const OTHER_KINDS: &str = "other kinds";

/// Why an event was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// Wardline has no behaviour for it.
    CannotBeMapped,
    /// A policy denied it, or would have.
    Denied,
    /// It was a file checked for an execution, and no execution followed.
    NoExecution,
    /// The policy posts no argument that tells what it was about, or the agent could not read it.
    NoArgument,
    /// A file without a path: a pipe, a socket, an anonymous file.
    NoPath,
    /// The path holds bytes that the export cannot show.
    UnreadablePath,
    /// Neither an IPv4 nor an IPv6 address, nor a Unix socket with a path.
    NoAddress,
    /// The file in an overlay's layer that belongs to an open that was just seen.
    LayerOfOpen,
    /// It does not say when, or says a time that has not come yet.
    NoTime,
    /// It does not say who.
    NoProcess,
    /// It is in the source twice.
    Repeated,
    /// It lies in a time that was imported before.
    AlreadyImported,
    /// It is earlier than everything that has been written, and comes after that.
    TooLate,
    /// It is of a node that was not asked for.
    OtherNode,
    /// There were too many containers.
    TooManyContainers,
}

impl Why {
    /// The word in summaries.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CannotBeMapped => "cannot_be_mapped",
            Self::Denied => "denied",
            Self::NoExecution => "no_execution_followed",
            Self::NoArgument => "argument_missing",
            Self::NoPath => "no_path",
            Self::UnreadablePath => "unreadable_path",
            Self::NoAddress => "no_ip_address",
            Self::LayerOfOpen => "layer_of_open",
            Self::NoTime => "no_time",
            Self::NoProcess => "no_process",
            Self::Repeated => "repeated",
            Self::AlreadyImported => "already_imported",
            Self::TooLate => "too_late",
            Self::OtherNode => "other_node",
            Self::TooManyContainers => "too_many_containers",
        }
    }
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the recording.
    Recorded,
    /// It told something about other events: which image a process runs, which file is executed, what was lost.
    Used,
    /// It is not in the recording.
    Not(Why),
    /// That is decided later.
    Later,
}

/// One kind of events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// How many there were.
    pub events: u64,
    /// [`Verdict::Recorded`].
    pub recorded: u64,
    /// [`Verdict::Used`].
    pub used: u64,
    /// [`Verdict::Not`].
    pub not: BTreeMap<Why, u64>,
}

/// All kinds.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    kinds: BTreeMap<Cow<'static, str>, Kind>,
    /// Programs, scripts and interpreters recorded as they were called.
    pub as_called: u64,
    /// Subjects recorded as they were called.
    pub subjects_as_called: u64,
    /// Opens of which it is not known how.
    pub access_unknown: u64,
    /// Connections and datagrams of which the protocol is not known.
    pub protocol_unknown: u64,
    /// Events of containers that do not say how the process came into it.
    pub provenance_unknown: u64,
}

impl Counters {
    /// One more event of this kind.
    pub fn count(&mut self, kind: &str, verdict: Verdict) {
        self.with(kind, |kind| {
            kind.events += 1;
            kind.decide(verdict, 1);
        });
    }

    /// What was to be decided later.
    pub fn decide(&mut self, kind: &str, verdict: Verdict, count: u64) {
        self.with(kind, |kind| kind.decide(verdict, count));
    }

    fn with(&mut self, name: &str, change: impl FnOnce(&mut Kind)) {
        // Looked up first, because nearly every event is of a kind that is there, and needs no copy of its name.
        if let Some(kind) = self.kinds.get_mut(name) {
            return change(kind);
        }
        let is_kept = self.kinds.len() < KINDS_MAX && name.len() <= KIND_BYTES_MAX;
        let name = if is_kept {
            Cow::Owned(name.to_owned())
        } else {
            Cow::Borrowed(OTHER_KINDS)
        };
        change(self.kinds.entry(name).or_default());
    }

    /// Each kind by its name.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.kinds.iter().map(|(name, kind)| (&**name, kind))
    }

    /// All kinds together.
    pub fn total(&self) -> Kind {
        let mut total = Kind::default();
        for kind in self.kinds.values() {
            total.events += kind.events;
            total.recorded += kind.recorded;
            total.used += kind.used;
            for (why, count) in &kind.not {
                *total.not.entry(*why).or_default() += count;
            }
        }
        total
    }
}

impl Kind {
    fn decide(&mut self, verdict: Verdict, count: u64) {
        match verdict {
            Verdict::Recorded => self.recorded += count,
            Verdict::Used => self.used += count,
            Verdict::Not(why) => *self.not.entry(why).or_default() += count,
            Verdict::Later => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_somebody_makes_up_take_bounded_memory() {
        let mut counters = Counters::default();
        for number in 0..10_000 {
            counters.count(&format!("kind {number}"), Verdict::Not(Why::CannotBeMapped));
        }
        counters.count(&"x".repeat(1_000_000), Verdict::Recorded);
        assert!(counters.kinds.len() <= KINDS_MAX + 1);
        let total = counters.total();
        assert_eq!((total.events, total.recorded), (10_001, 1));
        assert_eq!(total.not.get(&Why::CannotBeMapped), Some(&10_000));
    }
}
