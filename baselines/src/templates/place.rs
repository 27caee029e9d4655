//! Where in a path a name stands, which decides whether it may fold.

use super::class::is_pid;
use super::signature::{self, Signature};

/// A directory: how deep it is, and whether the names in it mean something that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    depth: usize,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Root,
    /// `/proc`
    Proc,
    /// `/proc/PID`
    Process,
    /// `/proc/PID/task`
    Threads,
    /// `/tmp`
    Temporary,
    Other,
}

impl Place {
    pub(super) const ROOT: Self = Self {
        depth: 0,
        kind: Kind::Root,
    };

    /// How many names lead to it.
    pub(super) fn depth(self) -> usize {
        self.depth
    }

    /// The directory of this name in it; without a name, one that a pattern stands for.
    pub(super) fn child(self, name: Option<&[u8]>) -> Self {
        let kind = match (self.kind, name) {
            (Kind::Root, Some(b"proc")) => Kind::Proc,
            (Kind::Root, Some(b"tmp")) => Kind::Temporary,
            (Kind::Proc, None) => Kind::Process,
            (Kind::Proc, Some(name)) if is_pid(name) => Kind::Process,
            (Kind::Process, Some(b"task")) => Kind::Threads,
            _ => Kind::Other,
        };
        Self {
            depth: self.depth + 1,
            kind,
        }
    }

    /// The signature of a name in it, if that may fold.
    pub(super) fn signature(self, name: &[u8], depth: usize) -> Option<Signature> {
        match self.kind {
            Kind::Proc | Kind::Threads => signature::of_pid(name),
            Kind::Temporary => signature::of_name(name),
            _ if self.depth + 1 < depth.max(2) => None,
            _ => signature::of_name(name),
        }
    }
}
