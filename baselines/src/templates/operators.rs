//! What a template can become in a policy.
//!
//! Tetragon compares texts: a path equals a value, begins with it or ends with it. There are no wildcards. So a template
//! becomes its beginning or its end, and what is not compared any more is said.

use std::fmt;

use super::sensitive::{self, Sensitive, sensitive};
use super::template::{Part, Template};
use crate::path::{self, FilePath, PATH_BYTES_MAX};

/// The longest prefix, in bytes. Tetragon takes 256, and compares 255 of them.
pub const PREFIX_BYTES_MAX: usize = 255;

/// The longest postfix that Tetragon takes, in bytes.
pub const POSTFIX_BYTES_MAX: usize = 127;

/// How a path is compared, and with what. Values are text: policies are YAML.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operator {
    /// The path is the value, of at most [`PATH_BYTES_MAX`] bytes. Kernels before 5.11 compare 510 bytes at most.
    Equal(String),
    /// The path begins with the value, of at most [`PREFIX_BYTES_MAX`] bytes.
    Prefix(String),
    /// The path ends with the value, of at most [`POSTFIX_BYTES_MAX`] bytes, and at least one.
    Postfix(String),
}

impl Operator {
    /// Whether a policy with it admits this path.
    pub fn admits(&self, path: &FilePath) -> bool {
        let bytes = path.as_bytes();
        match self {
            Self::Equal(value) => bytes == value.as_bytes(),
            Self::Prefix(value) => bytes.starts_with(value.as_bytes()),
            Self::Postfix(value) => bytes.ends_with(value.as_bytes()),
        }
    }

    /// The entries of the [sensitive list](super::SENSITIVE) of which it could admit a path, whether or not one is known.
    ///
    /// Of a prefix those that say where their paths begin, and where that is a home directory or a name with a dot those that
    /// are found there; of a postfix those that say how they end. A file called `id_rsa` can be below any directory all the
    /// same: what is known of that is in a [price](super::Price).
    ///
    /// Nor does it tell of a postfix that `/etc/cron.d/*` and its like are about any name: a file there can be called like any
    /// other, so that no policy uses one.
    pub fn exposes(&self) -> Vec<&'static Sensitive> {
        match self {
            Self::Equal(value) => sensitive(&FilePath::canonical(value.as_bytes())).into_iter().collect(),
            Self::Prefix(value) => sensitive::below(value.as_bytes())
                .chain(sensitive::hidden(value.as_bytes()))
                .collect(),
            Self::Postfix(value) => sensitive::ending(value.as_bytes()).collect(),
        }
    }

    /// A directory of programs or the like, which come with images and which nobody writes to, of which it admits files: a template
    /// never has a wildcard there, but the prefix that it becomes may end above.
    pub fn exposes_fixed(&self) -> Option<&'static str> {
        match self {
            Self::Prefix(value) => sensitive::fixed(value.as_bytes()),
            // A postfix admits names everywhere.
            Self::Equal(_) | Self::Postfix(_) => None,
        }
    }

    /// Its name in a policy.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Equal(_) => "Equal",
            Self::Prefix(_) => "Prefix",
            Self::Postfix(_) => "Postfix",
        }
    }

    /// What is compared.
    pub fn value(&self) -> &str {
        match self {
            Self::Equal(value) | Self::Prefix(value) | Self::Postfix(value) => value,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.word(), path::escape(self.value().as_bytes()))
    }
}

/// A template in the words of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Compiled {
    /// What a policy compares.
    pub operator: Operator,
    /// The part of the template that is not compared any more, as a template writes it; empty if all of it is.
    pub gives_up: String,
}

impl Template {
    /// The tightest operator that admits everything that the template matches, and what it gives up.
    ///
    /// Without a corpus to try it on (see [`super::Corpus`]), that is the one that could admit fewer of the
    /// [sensitive paths](super::SENSITIVE); of two that are equal in that, the one that compares more names of the path as a
    /// whole; and else the prefix, because a file with any ending can be made wherever something can be written.
    pub fn operators(&self) -> Compiled {
        let mut all = self.compilations();
        let first = all.remove(0);
        all.into_iter().fold(
            first,
            |best, other| if rank(&other) < rank(&best) { other } else { best },
        )
    }

    /// Everything that it can become: [`Operator::Equal`] if it is one path, else a prefix, and a postfix if its last name is
    /// text.
    pub fn compilations(&self) -> Vec<Compiled> {
        let (begin, end) = self.ends();
        if self.is_literal()
            && begin.len() <= PATH_BYTES_MAX
            && let Ok(value) = String::from_utf8(begin.clone())
        {
            let operator = Operator::Equal(value);
            let gives_up = String::new();
            return vec![Compiled { operator, gives_up }];
        }
        let prefix = text_at_start(&begin, PREFIX_BYTES_MAX);
        let mut all = vec![Compiled {
            operator: Operator::Prefix(prefix.to_owned()),
            gives_up: self.without(prefix.len(), 0),
        }];
        let end = if self.is_literal() { &begin } else { &end };
        let postfix = text_at_end(end, POSTFIX_BYTES_MAX);
        // A whole name at least, or as much of it as can be compared: a file with any ending can be made anywhere.
        if !postfix.is_empty() && (postfix.contains('/') || end.len() > POSTFIX_BYTES_MAX) {
            all.push(Compiled {
                operator: Operator::Postfix(postfix.to_owned()),
                gives_up: self.without(0, postfix.len()),
            });
        }
        all
    }

    /// Its text without so many literal bytes at its beginning and its end.
    fn without(&self, start: usize, end: usize) -> String {
        let mut parts: Vec<Part> = self.tokens().collect();
        cut(parts.iter_mut(), start, |text, cut| text.get(cut..));
        cut(parts.iter_mut().rev(), end, |text, cut| text.get(..text.len() - cut));
        let mut text = String::new();
        for part in parts {
            part.write(&mut text);
        }
        text
    }
}

/// Takes so many bytes away from texts that come one after the other.
fn cut<'p, 'a: 'p>(
    parts: impl Iterator<Item = &'p mut Part<'a>>,
    bytes: usize,
    without: impl Fn(&'a [u8], usize) -> Option<&'a [u8]>,
) {
    let mut left = bytes;
    for part in parts {
        let Part::Text(text) = part else { return };
        let now = left.min(text.len());
        left -= now;
        *text = without(text, now).unwrap_or_default();
    }
}

/// The smaller, the tighter.
fn rank(compiled: &Compiled) -> (usize, std::cmp::Reverse<usize>) {
    let value = compiled.operator.value();
    let exposed = match &compiled.operator {
        Operator::Equal(_) => 0,
        Operator::Prefix(value) => sensitive::below(value.as_bytes()).count(),
        Operator::Postfix(value) => sensitive::ending(value.as_bytes()).count(),
    };
    let names = match &compiled.operator {
        // The last name is whole only if a slash is behind it, the first only if one is before it.
        Operator::Equal(_) | Operator::Postfix(_) => value.matches('/').count(),
        Operator::Prefix(_) => value.matches('/').count().saturating_sub(1),
    };
    (exposed, std::cmp::Reverse(names))
}

/// The longest text that the bytes begin with, of at most so many bytes.
fn text_at_start(bytes: &[u8], most: usize) -> &str {
    let bytes = bytes.get(..most).unwrap_or(bytes);
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// The longest text that the bytes end with, of at most so many bytes.
fn text_at_end(bytes: &[u8], most: usize) -> &str {
    let first = bytes.len().saturating_sub(most);
    let ends = (first..bytes.len()).filter_map(|start| std::str::from_utf8(bytes.get(start..)?).ok());
    ends.max_by_key(|text| text.len()).unwrap_or_default()
}
