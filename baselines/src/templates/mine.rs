//! Mining: which siblings fold into one template.
//!
//! What is done with each name is in [`tree`](super::tree).

use std::collections::HashSet;

use super::class::Strength;
use super::sensitive::{is_fixed, is_guarded};
use super::set::TemplateSet;
use super::template::{Template, is_walked};
use super::tree::{Folded, Item, Tree};
use crate::path::FilePath;

/// When siblings fold: how many different names of one signature in one directory it takes.
///
/// What is right depends on what a name says by itself. The defaults are measured by [`super::cross_validate`], and argued for
/// in the handbook, in the chapter "Path templates".
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
    let mut tree = Tree::new(options);
    for (index, path) in paths.iter().enumerate() {
        let reason = match path.as_bytes() {
            _ if !is_walked(path) => &mut aside.not_canonical,
            bytes if is_fixed(bytes) => &mut aside.fixed,
            bytes if is_guarded(bytes, options.depth) => &mut aside.sensitive,
            _ => {
                tree.add(Item::path(index, path));
                continue;
            }
        };
        if set_aside.insert(path) {
            *reason += 1;
        } else {
            duplicates.push(index);
        }
    }
    for template in templates {
        tree.add(Item::template(template));
    }

    let mut folded = tree.fold();
    folded.duplicates.append(&mut duplicates);
    let mut mined = assign(folded, &paths);
    mined.aside = aside;
    mined
}

/// Gives each path to a template that it was mined for, or that matches it.
fn assign<'a>(folded: Folded, paths: &[&'a FilePath]) -> Mined<'a> {
    let mut found: Vec<(Template, Vec<usize>)> = folded.found.into_iter().collect();
    found.sort_unstable();
    let mut is_done = vec![false; paths.len()];
    for index in found.iter().flat_map(|(_, members)| members).chain(&folded.duplicates) {
        is_done
            .iter_mut()
            .skip(*index)
            .take(1)
            .for_each(|is_done| *is_done = true);
    }
    // A hash that happens to have no letter is a number by itself. What others showed to be a hash matches it, too.
    let set = TemplateSet::new(found.iter().map(|(template, _)| template));
    let mut rest = Vec::new();
    for (index, path) in paths
        .iter()
        .enumerate()
        .filter(|(index, _)| is_done.get(*index) == Some(&false))
    {
        let template = set.matching(path).first().copied();
        match template.and_then(|template| found.get_mut(template)) {
            Some((_, members)) => members.push(index),
            None => rest.push(*path),
        }
    }
    let templates = found.into_iter().map(|(template, mut members)| {
        members.sort_unstable();
        let members = members
            .into_iter()
            .filter_map(|index| paths.get(index).copied())
            .collect();
        Found { template, members }
    });
    Mined {
        templates: templates.collect(),
        paths: rest,
        aside: Aside::default(),
    }
}
