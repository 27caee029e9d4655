//! Mining: which siblings fold into one template.
//!
//! What is done with each name is in [`tree`](super::tree).

use std::collections::{HashMap, HashSet};

use super::class::Strength;
use super::sensitive::{Guard, is_fixed};
use super::set::TemplateSet;
use super::template::{Template, is_walked};
use super::tree::{File, Folded, Tree};
use crate::path::FilePath;

/// When siblings fold: how many different names of one signature in one directory it takes.
///
/// What is right depends on what a name says by itself: the handbook argues for the defaults in the chapter "Path templates".
/// What comes of others can be measured with [`super::cross_validate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Names with numbers, versions and random words in them, which can be names that people gave: 5. The four `Root_CA_1` to
    /// `Root_CA_4` that public authorities have must not fold.
    pub numbers: usize,
    /// Names that were made to be unique: hashes, UUIDs, dates, pods' names: 3.
    pub unique: usize,
    /// Process ids below `/proc`, which are nothing else and are never the same again: 2.
    pub pids: usize,
    /// The first component that may have a wildcard, counted from 1: 3, as in `/var/log/app-{date}.log`. Process ids in
    /// `/proc` and names in `/tmp` may fold in the second one. The first component never folds.
    pub depth: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            numbers: 5,
            unique: 3,
            pids: 2,
            depth: 3,
        }
    }
}

impl Options {
    /// Two names at least: one alone shows nothing.
    pub(super) fn threshold(&self, strength: Strength) -> usize {
        let threshold = match strength {
            Strength::Numbers => self.numbers,
            Strength::Unique => self.unique,
            Strength::Pids => self.pids,
        };
        threshold.max(2)
    }
}

/// What mining makes of a set of paths. Each path is in it once: with a template, or by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mined<'a> {
    /// The templates, sorted.
    pub templates: Vec<Found<'a>>,
    /// The paths that no template matches, in the order in which they were given.
    pub paths: Vec<&'a FilePath>,
    /// How many of them could not take part.
    pub aside: Aside,
}

/// A template and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// The template.
    pub template: Template,
    /// The paths of the set that it stands for, in the order in which they were given. None for one that was there before
    /// and matches no path of this set.
    pub members: Vec<&'a FilePath>,
}

/// Paths that stay as they are, whatever others there are, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    /// Of another origin than [`crate::path::Origin::Canonical`], or not in the form that the kernel walks paths in. Where they
    /// begin is not known, or they are no names of files: what looks like siblings may be anywhere.
    pub not_canonical: u64,
    /// With a sensitive name that a wildcard would swallow, see [`super::SENSITIVE`].
    pub sensitive: u64,
    /// Below a directory of programs or of the image's own data.
    pub fixed: u64,
}

/// Mines templates from a set of paths. Paths that are given twice count once.
///
/// ```
/// use baselines::path::FilePath;
/// use baselines::templates::{Options, mine};
///
/// let paths: Vec<FilePath> = ["12", "345", "self"]
///     .map(|name| FilePath::canonical(format!("/proc/{name}/status").into_bytes()))
///     .into();
/// let mined = mine(&paths, &Options::default());
/// assert_eq!(mined.templates[0].template.to_string(), "/proc/{pid}/status");
/// assert_eq!(mined.templates[0].members, [&paths[0], &paths[1]]);
/// assert_eq!(mined.paths, [&paths[2]]);
/// ```
pub fn mine<'a>(paths: impl IntoIterator<Item = &'a FilePath>, options: &Options) -> Mined<'a> {
    mine_with(&[], paths, options)
}

/// Mines templates from a set of paths, beside templates that are there already. Those stay, whatever the options are.
pub fn mine_with<'a>(
    templates: &[Template],
    paths: impl IntoIterator<Item = &'a FilePath>,
    options: &Options,
) -> Mined<'a> {
    let paths: Vec<&FilePath> = paths.into_iter().collect();
    let mut aside = Aside::default();
    let mut set_aside: HashSet<&FilePath> = HashSet::new();
    let mut duplicates = Vec::new();
    let mut directories = Directories::default();
    for (index, path) in paths.iter().enumerate() {
        let reason = match is_walked(path)
            .then(|| directories.of(path.as_bytes(), options))
            .flatten()
        {
            None => &mut aside.not_canonical,
            Some(directory) if directory.is_fixed => &mut aside.fixed,
            Some(directory) if directory.guard.is_guarded(path.as_bytes(), options.depth) => &mut aside.sensitive,
            Some(directory) => {
                let name = path.as_bytes().get(directory.bytes.len() + 1..).unwrap_or_default();
                directory.files.push(File { path: index, name });
                continue;
            }
        };
        if set_aside.insert(path) {
            *reason += 1;
        } else {
            duplicates.push(index);
        }
    }
    let mut tree = Tree::new(options, &paths);
    for directory in directories.all {
        tree.add(directory.bytes, directory.files);
    }
    for template in templates {
        tree.add_template(template);
    }

    let mut folded = tree.fold();
    folded.duplicates.append(&mut duplicates);
    let mut mined = assign(folded, &paths);
    mined.aside = aside;
    mined
}

/// The directories that paths are in: what is the same for all paths in one is found out once.
#[derive(Default)]
struct Directories<'a> {
    all: Vec<Directory<'a>>,
    places: HashMap<&'a [u8], usize>,
    last: usize,
}

struct Directory<'a> {
    bytes: &'a [u8],
    is_fixed: bool,
    guard: Guard,
    files: Vec<File<'a>>,
}

impl<'a> Directories<'a> {
    fn of(&mut self, path: &'a [u8], options: &Options) -> Option<&mut Directory<'a>> {
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
        let bytes = path.get(..end).unwrap_or_default();
        // Who has sorted paths is spared the hashing.
        if self.all.get(self.last).is_none_or(|last| last.bytes != bytes) {
            self.last = *self.places.entry(bytes).or_insert(self.all.len());
        }
        if self.last == self.all.len() {
            self.all.push(Directory {
                bytes,
                is_fixed: is_fixed(bytes),
                guard: Guard::of_directory(bytes, options.depth),
                files: Vec::new(),
            });
        }
        self.all.get_mut(self.last)
    }
}

/// What becomes of a path.
#[derive(Clone, Copy)]
enum Fate {
    Alone,
    Duplicate,
    /// Which of the templates it belongs to.
    Member(usize),
}

/// Gives each path to a template that it was mined for, or that matches it.
fn assign<'a>(folded: Folded, paths: &[&'a FilePath]) -> Mined<'a> {
    let mut found: Vec<(Template, Vec<usize>)> = folded.found.into_iter().collect();
    found.sort_unstable();
    let mut fates = vec![Fate::Alone; paths.len()];
    let members = found.iter().enumerate().flat_map(|(template, (_, members))| {
        let fate = Fate::Member(template);
        members.iter().map(move |index| (*index, fate))
    });
    let duplicates = folded.duplicates.iter().map(|index| (*index, Fate::Duplicate));
    for (index, fate) in members.chain(duplicates) {
        if let Some(slot) = fates.get_mut(index) {
            *slot = fate;
        }
    }
    // A hash that happens to have no letter is a number by itself. What others showed to be a hash matches it, too.
    let set = TemplateSet::new(found.iter().map(|(template, _)| template));
    let mut mined = Mined {
        templates: found.into_iter().map(Found::without_members).collect(),
        ..Mined::default()
    };
    for (path, fate) in paths.iter().zip(fates) {
        let template = match fate {
            Fate::Duplicate => continue,
            Fate::Member(template) => Some(template),
            Fate::Alone => set.matching(path).first().copied(),
        };
        match template.and_then(|template| mined.templates.get_mut(template)) {
            Some(found) => found.members.push(path),
            None => mined.paths.push(path),
        }
    }
    mined
}

impl Found<'_> {
    /// With room for them.
    fn without_members((template, members): (Template, Vec<usize>)) -> Self {
        let members = Vec::with_capacity(members.len());
        Self { template, members }
    }
}
