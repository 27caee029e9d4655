//! Many globs, tried all at once.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobSet, GlobSetBuilder};

use super::lists::Lists;
use super::sequences::OneOf;
use super::values::{Pattern, glob};

/// The most different globs of a catalogue.
const GLOBS_MAX: usize = 20_000;

/// A field's patterns, by number.
pub(super) type Group = u32;

/// Globs in groups. Texts are matched as the bytes that they are, in time that grows with their length and nothing else: the
/// globs are compiled into automata, without backtracking.
#[derive(Clone, Debug)]
pub(super) struct Globs {
    set: GlobSet,
    /// The groups that each glob is in.
    groups: Vec<Vec<Group>>,
}

impl Globs {
    /// The groups that have a glob which matches, sorted.
    pub(super) fn hits(&self, text: &[u8]) -> Vec<Group> {
        let matched = self.set.matches(Path::new(OsStr::from_bytes(text)));
        let groups = matched.into_iter().filter_map(|index| self.groups.get(index));
        let mut hits: Vec<Group> = groups.flatten().copied().collect();
        hits.sort_unstable();
        hits.dedup();
        hits
    }
}

/// Collects [`Globs`].
#[derive(Debug)]
pub(super) struct GlobsBuilder<'a> {
    lists: &'a Lists,
    /// Whether a slash ends what `*` stands for.
    is_path: bool,
    set: GlobSetBuilder,
    groups: Vec<Vec<Group>>,
    index_of: HashMap<String, usize>,
    next: Group,
}

impl<'a> GlobsBuilder<'a> {
    pub(super) fn new(lists: &'a Lists, is_path: bool) -> Self {
        Self {
            lists,
            is_path,
            set: GlobSetBuilder::new(),
            groups: Vec::new(),
            index_of: HashMap::new(),
            next: 0,
        }
    }

    /// A group of these patterns; or why there can be none.
    pub(super) fn group(&mut self, patterns: &OneOf<Pattern>) -> Result<Group, String> {
        let group = self.next_group();
        for pattern in patterns {
            match pattern {
                Pattern::Glob(text) => self.add(text, group)?,
                Pattern::List(name) => {
                    let lists = self.lists;
                    let globs = lists.get(name).ok_or_else(|| format!("there is no list `{name}`"))?;
                    globs.iter().try_for_each(|text| self.add(text, group))?;
                }
            }
        }
        Ok(group)
    }

    /// A group of what is in this list; of nothing if there is none.
    pub(super) fn list(&mut self, name: &str) -> Result<Group, String> {
        let group = self.next_group();
        let globs = self.lists.get(name).unwrap_or_default();
        globs.iter().try_for_each(|text| self.add(text, group))?;
        Ok(group)
    }

    fn next_group(&mut self) -> Group {
        self.next += 1;
        self.next
    }

    fn add(&mut self, text: &str, group: Group) -> Result<(), String> {
        if let Some(groups) = self.index_of.get(text).and_then(|index| self.groups.get_mut(*index)) {
            groups.push(group);
            return Ok(());
        }
        if self.groups.len() == GLOBS_MAX {
            return Err(format!("there are more than {GLOBS_MAX} different globs"));
        }
        self.set
            .add(glob(text, self.is_path).map_err(|error| error.to_string())?);
        self.index_of.insert(text.to_owned(), self.groups.len());
        self.groups.push(vec![group]);
        Ok(())
    }

    pub(super) fn build(self) -> Result<Globs, String> {
        let set = self
            .set
            .build()
            .map_err(|error| format!("the globs are too large together: {error}"))?;
        Ok(Globs {
            set,
            groups: self.groups,
        })
    }
}
