//! Which paths a policy can compare, and which have to be left out.

use std::collections::BTreeMap;

use baselines::path::{FilePath, Origin, PATH_BYTES_MAX};

use super::model::Value;
use crate::evidence::{Use, describe, enumerate, shorten};
use crate::yaml::agent_reads;

/// The paths that one hook allows.
#[derive(Debug, Default)]
pub(crate) struct Paths<'a> {
    allowed: BTreeMap<&'a str, Vec<Use<'a>>>,
    left_out: BTreeMap<LeftOut, BTreeMap<&'a FilePath, Vec<Use<'a>>>>,
}

/// Why a path cannot be a value.
///
/// The words are for people; they follow "left out, because ".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LeftOut {
    /// Tetragon never matches `/`.
    Root,
    /// An anonymous file has no path, and Tetragon matches no operator with an empty path.
    NoPath,
    /// YAML holds Unicode.
    NotUnicode,
    /// A NUL in a value ends the agent (facts 2.4), and some characters do not arrive there, see [`agent_reads`].
    Unreadable,
    /// A script's name as it was called.
    AsCalled,
    /// Only the end of the path is known.
    Cut,
    /// The file was not below the task's root.
    Unreachable,
    /// Nothing of the path is known.
    Unknown,
    /// A part was hidden when it was recorded.
    Redacted,
    /// A value of more than 4,096 bytes is refused, a longer path never compared equal.
    TooLong,
    /// No canonical path starts with anything but a slash.
    Relative,
}

impl LeftOut {
    /// Whether Tetragon reports the behaviour although it is in the baseline.
    pub(crate) const fn is_reported(self) -> bool {
        !matches!(self, Self::Root | Self::NoPath)
    }

    const fn why(self) -> &'static str {
        match self {
            Self::Root => "Tetragon never compares `/`",
            Self::NoPath => "an anonymous file has no path to compare",
            Self::NotUnicode => "it is not UTF-8, and YAML can hold nothing else",
            Self::Unreadable => {
                "it contains a character that Tetragon's agent does not read (U+0000, U+007F to U+009F, U+FFFE, U+FFFF)"
            }
            Self::AsCalled => "its canonical path, which Tetragon compares, could not be found out",
            Self::Cut => "only the end of the path was recorded",
            Self::Unreachable => "the file was outside of the task's root, so what Tetragon compares is not known",
            Self::Unknown => "its path was not recorded",
            Self::Redacted => "a part of it was hidden when it was recorded (--redact)",
            Self::TooLong => "it has more than 4,096 bytes, the most that Tetragon compares",
            Self::Relative => "it does not start with a slash, so it is no canonical path",
        }
    }
}

/// The text that Tetragon compares for this path.
fn comparable(path: &FilePath) -> Result<&str, LeftOut> {
    match path.origin() {
        Origin::Canonical | Origin::Deleted => (),
        Origin::Memfd | Origin::Anonymous => return Err(LeftOut::NoPath),
        Origin::Unreachable => return Err(LeftOut::Unreachable),
        Origin::AsCalled => return Err(LeftOut::AsCalled),
        Origin::Cut => return Err(LeftOut::Cut),
        Origin::Unknown => return Err(LeftOut::Unknown),
        Origin::Redacted => return Err(LeftOut::Redacted),
    }
    let text = path.as_utf8().ok_or(LeftOut::NotUnicode)?;
    match text {
        "/" => Err(LeftOut::Root),
        _ if !agent_reads(text) => Err(LeftOut::Unreadable),
        _ if !text.starts_with('/') => Err(LeftOut::Relative),
        _ if text.len() > PATH_BYTES_MAX => Err(LeftOut::TooLong),
        _ => Ok(text),
    }
}

impl<'a> Paths<'a> {
    /// Allows a path, or keeps why it cannot be.
    pub(crate) fn add(&mut self, path: &'a FilePath, used: Use<'a>) {
        match comparable(path) {
            Ok(text) => self.allowed.entry(text).or_default().push(used),
            Err(reason) => self
                .left_out
                .entry(reason)
                .or_default()
                .entry(path)
                .or_default()
                .push(used),
        }
    }

    /// Adds what `other` has and this has not: the evidence here is more direct.
    pub(crate) fn add_missing(&mut self, other: Self) {
        for (path, uses) in other.allowed {
            self.allowed.entry(path).or_insert(uses);
        }
        for (reason, paths) in other.left_out {
            let known = self.left_out.entry(reason).or_default();
            for (path, uses) in paths {
                known.entry(path).or_insert(uses);
            }
        }
    }

    /// What the list allows, sorted.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.allowed.keys().copied()
    }

    /// Takes a path out of the list, because something else admits it.
    pub(crate) fn take(&mut self, path: &str) -> Option<Vec<Use<'a>>> {
        self.allowed.remove(path)
    }

    /// The list of values, sorted; empty if nothing can be allowed.
    pub(crate) fn values(&self, containers: usize) -> Vec<Value> {
        self.allowed
            .iter()
            .map(|(path, uses)| Value {
                text: (*path).to_owned(),
                evidence: describe(uses, containers),
            })
            .collect()
    }

    /// One paragraph for each path that is left out, with its evidence.
    pub(crate) fn left_out_comments(&self, containers: usize) -> Vec<String> {
        self.left_out
            .iter()
            .filter(|(reason, _)| **reason != LeftOut::Root)
            .flat_map(|(reason, paths)| paths.iter().map(move |(path, uses)| (reason, path, uses)))
            .map(|(reason, path, uses)| {
                format!(
                    "Left out: `{}` ({}): {}. {}",
                    path.to_text(),
                    describe(uses, containers),
                    reason.why(),
                    if reason.is_reported() {
                        "It cannot be expressed: it would be reported as outside of the baseline."
                    } else {
                        "It is not reported."
                    }
                )
            })
            .collect()
    }

    /// One warning for each reason why learned behaviour will be reported. `done` is what happened to the paths.
    pub(crate) fn warnings(&self, done: &str) -> Vec<String> {
        self.left_out
            .iter()
            .filter(|(reason, _)| reason.is_reported())
            .map(|(reason, paths)| {
                let names: Vec<String> = paths
                    .keys()
                    .map(|path| format!("`{}`", shorten(&path.to_text())))
                    .collect();
                format!(
                    "{done} {} cannot be expressed: would be reported as outside of the baseline ({})",
                    enumerate(names.iter()),
                    reason.why()
                )
            })
            .collect()
    }

    /// The paths that are reported although they are in the baseline.
    pub(crate) fn inexpressible(&self) -> impl Iterator<Item = &'a FilePath> {
        self.left_out
            .iter()
            .filter(|(reason, _)| reason.is_reported())
            .flat_map(|(_, paths)| paths.keys().copied())
    }

    /// Whether something was learned that cannot be a value.
    pub(crate) fn is_anything_left_out(&self) -> bool {
        !self.left_out.is_empty()
    }

    /// Whether a value is so long that kernels before 5.11 refuse the policy (their string maps end at 510 bytes,
    /// Tetragon's pkg/selectors/selectors.go).
    pub(crate) fn needs_kernel_5_11(&self) -> bool {
        self.allowed.keys().any(|path| path.len() > 510)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_tetragon_compares_becomes_a_value() {
        let long = |bytes: usize| format!("/{}", "x".repeat(bytes - 1)).into_bytes();
        let cases: [(FilePath, Result<&str, LeftOut>); 15] = [
            (FilePath::canonical(*b"/etc/hosts"), Ok("/etc/hosts")),
            (FilePath::canonical(*b"/new\nline"), Ok("/new\nline")),
            (
                FilePath::new(*b"/tmp/x (deleted)", Origin::Deleted),
                Ok("/tmp/x (deleted)"),
            ),
            (FilePath::canonical(*b"/"), Err(LeftOut::Root)),
            (FilePath::new(*b"memfd:x", Origin::Memfd), Err(LeftOut::NoPath)),
            (FilePath::canonical(*b"/\xff"), Err(LeftOut::NotUnicode)),
            (FilePath::canonical(*b"/a\0b"), Err(LeftOut::Unreadable)),
            (FilePath::canonical("/a\u{85}b".as_bytes()), Err(LeftOut::Unreadable)),
            (FilePath::new(*b"./run.sh", Origin::AsCalled), Err(LeftOut::AsCalled)),
            (FilePath::new(*b"/tail", Origin::Cut), Err(LeftOut::Cut)),
            (FilePath::new(*b"/old", Origin::Unreachable), Err(LeftOut::Unreachable)),
            (FilePath::new(*b"", Origin::Unknown), Err(LeftOut::Unknown)),
            (
                FilePath::new(*b"/home/[redacted]/x", Origin::Redacted),
                Err(LeftOut::Redacted),
            ),
            (FilePath::canonical(*b""), Err(LeftOut::Relative)),
            (FilePath::canonical(long(4097)), Err(LeftOut::TooLong)),
        ];
        for (path, expected) in cases {
            assert_eq!(comparable(&path), expected, "{path:?}");
        }
        let longest = FilePath::canonical(long(4096));
        assert_eq!(comparable(&longest).map(str::len), Ok(4096));
    }
}
