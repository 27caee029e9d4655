//! Which paths are sensitive, and which could become so under a wildcard.

mod list;

use std::cell::OnceCell;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::place::Place;
use super::signature::{self, Signature};
use super::template::{Component, Token, components};
use crate::path::FilePath;

use list::FIXED;
pub use list::{SENSITIVE, Sensitive};

/// Whether no name in a directory ever folds.
pub(super) fn is_fixed(directory: &[u8]) -> bool {
    let is_below = |rest: &[u8]| rest.is_empty() || rest.starts_with(b"/");
    FIXED
        .iter()
        .any(|fixed| directory.strip_prefix(fixed.as_bytes()).is_some_and(is_below))
}

/// The first of the directories that come with images of which a prefix admits files.
pub(super) fn fixed(prefix: &[u8]) -> Option<&'static str> {
    let mut directories = FIXED.into_iter();
    directories.find(|directory| {
        let below = [directory.as_bytes(), b"/"].concat();
        below.starts_with(prefix) || prefix.starts_with(&below)
    })
}

/// The first entry of [`SENSITIVE`] that a path is one of. None for paths that no policy compares.
pub fn sensitive(path: &FilePath) -> Option<&'static Sensitive> {
    let names: Vec<Name> = components(path)?.map(Name::literal).collect();
    let entry = ENTRIES.of(&names).find(|entry| meets(&entry.parts, &names).is_some());
    entry.map(|entry| entry.sensitive)
}

/// Whether folding a path could put a wildcard over what a sensitive entry spells out. The answer depends on the path alone,
/// so that no set of other paths, and no order of them, changes it. Nearly no path is near an entry, and each is asked: so
/// what its directory tells is found out once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Guard {
    /// Paths in the directory need the closer look, whatever their names are.
    is_near: bool,
}

impl Guard {
    pub(super) fn of_directory(directory: &[u8], depth: usize) -> Self {
        if !ENTRIES.may_be_near(directory, depth) {
            return Self { is_near: false };
        }
        let names = with_places(directory, depth);
        let is_near = |entry: &Entry| {
            let begin = entry.parts.iter().take_while(|part| matches!(part, Part::Name(_)));
            begin.zip(&names).all(|(part, name)| part.meets(name).is_some())
        };
        // Entries that can be anywhere and have more names than one.
        let has_first = |entry: &Entry| match entry.parts.as_slice() {
            [Part::Many, first, _, ..] => names.iter().any(|name| first.meets(name).is_some()),
            _ => false,
        };
        Self {
            is_near: ENTRIES.anchored.iter().any(is_near) || ENTRIES.anywhere.iter().any(has_first),
        }
    }

    /// For a path in that directory.
    pub(super) fn is_guarded(self, path: &[u8], depth: usize) -> bool {
        let last = || path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        (self.is_near || ENTRIES.could_end_in(last())) && is_guarded(path, depth)
    }
}

/// The closer look.
pub(super) fn is_guarded(path: &[u8], depth: usize) -> bool {
    let names = with_places(path, depth);
    ENTRIES
        .of(&names)
        .any(|entry| meets(&entry.parts, &names) == Some(Met::OverWildcard))
}

/// The names of a path that could fold from a depth on.
fn with_places(path: &[u8], depth: usize) -> Vec<Name<'_>> {
    let mut place = Place::ROOT;
    let with_places = path.split(|byte| *byte == b'/').skip(1).map(|text| {
        let name = Name {
            text,
            place: Some((place, depth)),
            shape: OnceCell::new(),
        };
        place = place.child(Some(text));
        name
    });
    with_places.collect()
}

/// A name, and all that could become a wildcard in it.
struct Name<'a> {
    text: &'a [u8],
    /// Where it is, and how deep names may fold. None for a name that stays as it is.
    place: Option<(Place, usize)>,
    /// Found out when it is needed, which is seldom.
    shape: OnceCell<Option<Shape>>,
}

/// The pattern that has a wildcard for every run of a name that may differ.
struct Shape {
    signature: Signature,
    /// How long the names are that it matches.
    lengths: RangeInclusive<usize>,
}

impl<'a> Name<'a> {
    fn literal(text: &'a [u8]) -> Self {
        Self {
            text,
            place: None,
            shape: OnceCell::new(),
        }
    }

    fn shape(&self) -> Option<&Shape> {
        let (place, depth) = self.place?;
        let shape = || {
            place
                .signature(self.text, depth)
                .map(|signature| Shape::new(signature, self.text))
        };
        self.shape.get_or_init(shape).as_ref()
    }
}

impl Shape {
    fn new(signature: Signature, name: &[u8]) -> Self {
        let mut least = name.len();
        let mut most = name.len();
        for piece in &signature.pieces {
            let (short, long) = piece.class.bounds();
            let now = piece.end - piece.start;
            least -= now.saturating_sub(short);
            most += long.saturating_sub(now);
        }
        let lengths = least..=most;
        Self { signature, lengths }
    }

    /// Whether the pattern of this name matches another name.
    fn could_be(&self, name: &[u8], other: &[u8]) -> bool {
        // Nearly always the length and the ends tell.
        if !self.lengths.contains(&other.len()) {
            return false;
        }
        let pieces = &self.signature.pieces;
        let begin = pieces
            .first()
            .and_then(|piece| name.get(..piece.start))
            .unwrap_or_default();
        let end = pieces
            .last()
            .and_then(|piece| name.get(piece.end..))
            .unwrap_or_default();
        let Some(between) = other.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end)) else {
            return false;
        };
        match pieces.as_slice() {
            [only] => only.class.accepts(between),
            _ => self.pattern(name).matches(other),
        }
    }

    /// Whether the pattern of this name matches a name that ends so. May say yes where it does not.
    fn could_end_with(&self, name: &[u8], suffix: &[u8]) -> bool {
        let mut suffix = suffix;
        let mut end = name.len();
        for piece in self.signature.pieces.iter().rev() {
            let text = name.get(piece.end..end).unwrap_or_default();
            let Some(rest) = suffix.strip_suffix(text) else {
                return text.ends_with(suffix);
            };
            // The wildcard has all of what is left, or an end of it and the text before it the beginning.
            if rest.is_empty() || piece.class.can_end_with(rest) {
                return true;
            }
            let mut starts = 1..rest.len();
            let within = starts.find(|start| rest.get(*start..).is_some_and(|end| piece.class.accepts(end)));
            let Some(start) = within else { return false };
            suffix = rest.get(..start).unwrap_or_default();
            end = piece.start;
        }
        name.get(..end).is_some_and(|text| text.ends_with(suffix))
    }

    fn pattern(&self, name: &[u8]) -> Component {
        let text = |start: usize, end: usize| Token::Text(name.get(start..end).unwrap_or_default().into());
        let mut at = 0;
        let mut tokens = Vec::new();
        for piece in &self.signature.pieces {
            tokens.extend([text(at, piece.start), Token::Any(piece.class)]);
            at = piece.end;
        }
        tokens.push(text(at, name.len()));
        Component::of_tokens(tokens)
    }
}

/// How an entry and a path meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// What the entry spells out is literal.
    OverText,
    /// A part of it would be under a wildcard.
    OverWildcard,
}

#[derive(Debug)]
enum Part {
    Name(&'static [u8]),
    Suffix(&'static [u8]),
    One,
    Many,
}

#[derive(Debug)]
struct Entry {
    sensitive: &'static Sensitive,
    parts: Vec<Part>,
}

/// The entries: those that begin at the root, and the others.
struct Entries {
    anchored: Vec<Entry>,
    anywhere: Vec<Entry>,
}

static ENTRIES: LazyLock<Entries> = LazyLock::new(|| {
    let mut entries = Entries {
        anchored: Vec::new(),
        anywhere: Vec::new(),
    };
    for sensitive in SENSITIVE {
        let parts = |pattern: &'static str| pattern.split('/').map(Part::of);
        match sensitive.pattern.strip_prefix('/') {
            Some(pattern) => entries.anchored.push(Entry {
                sensitive,
                parts: parts(pattern).collect(),
            }),
            None => entries.anywhere.push(Entry {
                sensitive,
                parts: [Part::Many].into_iter().chain(parts(sensitive.pattern)).collect(),
            }),
        }
    }
    entries
});

impl Entries {
    /// Those that a path can meet. No wildcard is ever in the first name.
    fn of(&self, names: &[Name]) -> impl Iterator<Item = &Entry> {
        let is_near = |entry: &&Entry| match (entry.parts.first(), names.first()) {
            (Some(Part::Name(first)), Some(name)) => *first == name.text,
            _ => true,
        };
        self.anchored.iter().filter(is_near).chain(&self.anywhere)
    }

    /// Whether a directory needs a closer look: it begins like an entry that begins at the root (with two names, as the second
    /// one does not fold), or has the first name of any other entry with several names, or one that could be its pattern:
    /// those names begin with a dot.
    fn may_be_near(&self, directory: &[u8], depth: usize) -> bool {
        let mut names = directory.split(|byte| *byte == b'/').skip(1);
        let (first, second) = (names.next(), names.next());
        let is_begin = |entry: &Entry| match entry.parts.as_slice() {
            [Part::Name(one), Part::Name(two), ..] if depth > 2 => {
                Some(*one) == first && second.is_none_or(|second| second == *two)
            }
            [Part::Name(one), ..] => Some(*one) == first,
            _ => false,
        };
        let is_first = |name: &[u8]| {
            let has = |entry: &Entry| matches!(entry.parts.get(1), Some(Part::Name(text)) if *text == name);
            name.len() > 4 && has_digit(name) || name.len() > 7 || self.anywhere.iter().any(has)
        };
        self.anchored.iter().any(is_begin)
            || directory.windows(2).any(|two| two == b"/.")
                && directory
                    .split(|byte| *byte == b'/')
                    .any(|name| name.starts_with(b".") && is_first(name))
    }

    /// Whether a name could be, as a pattern, the last one of an entry that can be anywhere.
    fn could_end_in(&self, name: &[u8]) -> bool {
        let is_worth_reading = self.anywhere.iter().any(|entry| match entry.parts.last() {
            Some(Part::Name(text)) => same_without_numbers(name, text),
            Some(Part::Suffix(suffix)) => name.ends_with(suffix) || has_digit(suffix),
            _ => false,
        });
        let Some(signature) = is_worth_reading.then(|| signature::of_name(name)).flatten() else {
            return false;
        };
        let shape = Shape::new(signature, name);
        self.anywhere.iter().any(|entry| match entry.parts.last() {
            Some(Part::Name(text)) => shape.could_be(name, text),
            Some(Part::Suffix(suffix)) => shape.could_end_with(name, suffix),
            // Behind a name that begins with a dot.
            _ => false,
        })
    }
}

/// Whether two names have one length, or may differ in it: only numbers of any form have several lengths, and the hashes of
/// ReplicaSets, which stand behind a `-`. (The letters of an extension are fewer than those of any wildcard.)
fn same_without_numbers(name: &[u8], text: &[u8]) -> bool {
    name.len() == text.len() || name.first() == text.first() && (has_digit(text) || text.contains(&b'-'))
}

fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
}

impl Part {
    fn of(text: &'static str) -> Self {
        match text {
            "**" => Self::Many,
            "*" => Self::One,
            _ => match text.strip_prefix('*') {
                Some(suffix) => Self::Suffix(suffix.as_bytes()),
                None => Self::Name(text.as_bytes()),
            },
        }
    }

    /// Whether it meets a name that may become a pattern.
    fn meets(&self, name: &Name) -> Option<Met> {
        let is_met = match self {
            Self::Name(text) if name.text == *text => true,
            // A wildcard does not begin with a dot.
            Self::Name(text) if text.starts_with(b".") && !name.text.starts_with(b".") => false,
            Self::Name(text) => name.shape().is_some_and(|shape| shape.could_be(name.text, text)),
            Self::Suffix(suffix) if name.text.ends_with(suffix) => true,
            Self::Suffix(suffix) => name
                .shape()
                .is_some_and(|shape| shape.could_end_with(name.text, suffix)),
            Self::One => true,
            Self::Many => false,
        };
        is_met.then(|| match name.shape() {
            None => Met::OverText,
            Some(_) => Met::OverWildcard,
        })
    }
}

/// Whether the parts meet the names, and if they do so in several ways, the worst.
fn meets(parts: &[Part], names: &[Name]) -> Option<Met> {
    match parts.split_first() {
        None => names.is_empty().then_some(Met::OverText),
        Some((Part::Many, parts)) => {
            let is_last = !parts.iter().any(|part| matches!(part, Part::Many));
            // Only one place is left for parts that have no such further choice.
            let first = if is_last {
                names.len().checked_sub(parts.len())?
            } else {
                0
            };
            let last = if is_last { first } else { names.len() };
            (first..=last)
                .filter_map(|start| meets(parts, names.get(start..)?))
                .max()
        }
        Some((part, parts)) => {
            let (name, names) = names.split_first()?;
            let met = part.meets(name)?;
            Some(met.max(meets(parts, names)?))
        }
    }
}

/// The entries with a place of their own that are, or begin, below what a prefix admits.
pub(super) fn below(prefix: &[u8]) -> impl Iterator<Item = &'static Sensitive> {
    let is_below = move |entry: &&Sensitive| {
        let begin = entry.pattern.split('*').next().unwrap_or_default();
        let goes_on = begin.len() < entry.pattern.len();
        begin.starts_with('/')
            && (begin.as_bytes().starts_with(prefix) || goes_on && prefix.starts_with(begin.as_bytes()))
    };
    SENSITIVE.iter().filter(is_below)
}

/// The entries whose first name begins with a dot and that a prefix admits paths of: those are in home directories, and a prefix
/// that has begun to spell such a name out means one of them.
pub(super) fn hidden(prefix: &[u8]) -> impl Iterator<Item = &'static Sensitive> {
    let in_home = if b"/root".starts_with(prefix) || b"/home/".starts_with(prefix) {
        Some(b"".as_slice())
    } else if let Some(rest) = prefix.strip_prefix(b"/root/") {
        Some(rest)
    } else {
        let below_home = prefix.strip_prefix(b"/home/");
        below_home.map(|rest| rest.splitn(2, |byte| *byte == b'/').nth(1).unwrap_or_default())
    };
    let dot = prefix.windows(2).rposition(|two| two == b"/.");
    let spelt_out = dot.and_then(|slash| prefix.get(slash + 1..));
    let is_admitted = move |entry: &&Sensitive| {
        let begin = entry.pattern.split('*').next().unwrap_or_default().as_bytes();
        let goes_on = begin.len() < entry.pattern.len();
        let is_begun = |rest: &[u8]| begin.starts_with(rest) || goes_on && rest.starts_with(begin);
        begin.starts_with(b".") && in_home.into_iter().chain(spelt_out).any(is_begun)
    };
    SENSITIVE.iter().filter(is_admitted)
}

/// The entries that say how their paths end and have paths that a postfix admits.
pub(super) fn ending(postfix: &[u8]) -> impl Iterator<Item = &'static Sensitive> {
    let ends = move |entry: &&Sensitive| {
        let end = entry.pattern.rsplit('*').next().unwrap_or_default();
        let is_whole = end.starts_with('/') && end.len() == entry.pattern.len();
        !end.is_empty() && (end.as_bytes().ends_with(postfix) || !is_whole && postfix.ends_with(end.as_bytes()))
    };
    SENSITIVE.iter().filter(ends)
}
