//! The tree of paths, and what folds in it.
//!
//! The paths are split by their first name, then each part by the second name, and so on. In each directory the names are
//! grouped by signature. A group that is large enough becomes one directory with a pattern as its name, and everything
//! below is split as if it were in one. So each name of each path is looked at once: time is linear in the bytes of the paths,
//! and memory in their number. Nothing calls itself, however deep a path is.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::mine::Options;
use super::place::Place;
use super::siblings;
use super::template::{Component, Template};
use crate::path::FilePath;

/// A path, or a template that was there before, and how far it has been read.
pub(super) struct Item<'a> {
    source: Source<'a>,
    at: usize,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// A canonical path, and which one.
    Path {
        index: usize,
        bytes: &'a [u8],
    },
    Template(&'a Template),
}

/// The name of a directory or file. The name of a pattern is that pattern, and nothing else is a sibling of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Name<'a> {
    Text(&'a [u8]),
    Pattern(&'a Component),
}

impl<'a> Item<'a> {
    pub(super) fn path(index: usize, path: &'a FilePath) -> Self {
        let bytes = path.as_bytes();
        // The root has no name in it.
        let bytes = if bytes == b"/" { b"" } else { bytes };
        let source = Source::Path { index, bytes };
        Self { source, at: 0 }
    }

    pub(super) fn template(template: &'a Template) -> Self {
        let source = Source::Template(template);
        Self { source, at: 0 }
    }

    /// Reads the next name.
    fn next(&mut self) -> Option<Name<'a>> {
        match self.source {
            Source::Path { bytes, .. } => {
                let rest = bytes.get(self.at..)?.strip_prefix(b"/")?;
                let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
                self.at += 1 + length;
                rest.get(..length).map(Name::Text)
            }
            Source::Template(template) => {
                let component = template.components().get(self.at)?;
                self.at += 1;
                Some(component.name().map_or(Name::Pattern(component), Name::Text))
            }
        }
    }

    fn components(&self) -> Vec<Component> {
        match self.source {
            Source::Path { bytes, .. } => bytes
                .split(|byte| *byte == b'/')
                .skip(1)
                .map(Component::of_name)
                .collect(),
            Source::Template(template) => template.components().to_vec(),
        }
    }
}

/// Paths that are in one directory.
struct Directory {
    /// Which, in [`Tree::order`].
    items: Range<usize>,
    target: Target,
}

/// What the directory is.
#[derive(Clone, Copy)]
struct Target {
    place: Place,
    /// The last pattern on the way to it, in [`Tree::folds`].
    fold: Option<usize>,
}

/// A pattern that stands for a name.
struct Fold {
    component: Component,
    /// Which name of the path, counted from 0.
    depth: usize,
    /// The one before it on the way.
    before: Option<usize>,
}

pub(super) struct Tree<'a, 'o> {
    options: &'o Options,
    items: Vec<Item<'a>>,
    /// The items, those of a directory side by side.
    order: Vec<usize>,
    has_templates: bool,
    folds: Vec<Fold>,
    folded: Folded,
}

/// What comes of a tree.
#[derive(Default)]
pub(super) struct Folded {
    /// The templates, each with the indices of the paths that it was made of.
    pub(super) found: HashMap<Template, Vec<usize>>,
    /// The indices of paths that were there before.
    pub(super) duplicates: Vec<usize>,
}

impl<'a, 'o> Tree<'a, 'o> {
    pub(super) fn new(options: &'o Options) -> Self {
        Self {
            options,
            items: Vec::new(),
            order: Vec::new(),
            has_templates: false,
            folds: Vec::new(),
            folded: Folded::default(),
        }
    }

    pub(super) fn add(&mut self, item: Item<'a>) {
        self.has_templates |= matches!(item.source, Source::Template(_));
        self.order.push(self.items.len());
        self.items.push(item);
    }

    /// Folds what folds.
    pub(super) fn fold(mut self) -> Folded {
        let mut directories = vec![Directory {
            items: 0..self.items.len(),
            target: Target {
                place: Place::ROOT,
                fold: None,
            },
        }];
        while let Some(Directory { items, target }) = directories.pop() {
            match self.order.get(items.clone()) {
                // It has no siblings from here on.
                Some(&[only]) => self.end(&[only], target.fold),
                _ => self.split(items, target, &mut directories),
            }
        }
        self.folded
    }

    /// Puts what ends in a directory into the templates, and what goes on into the directories in it.
    fn split(&mut self, items: Range<usize>, directory: Target, directories: &mut Vec<Directory>) {
        let mut names: Vec<Name<'a>> = Vec::new();
        let mut places: HashMap<Name<'a>, usize> = HashMap::new();
        let mut ends = Vec::new();
        // Each item that goes on, and the place of its name in `names`.
        let mut goes_on: Vec<(usize, usize)> = Vec::new();
        for index in self.order.get(items.clone()).into_iter().flatten() {
            let Some(name) = self.items.get_mut(*index).and_then(Item::next) else {
                ends.push(*index);
                continue;
            };
            let new = names.len();
            let place = match goes_on.last() {
                // Who has sorted paths is spared the hashing.
                Some((_, last)) if names.get(*last) == Some(&name) => *last,
                _ => *places.entry(name).or_insert(new),
            };
            if place == new {
                names.push(name);
            }
            goes_on.push((*index, place));
        }
        drop(places);
        self.end(&ends, directory.fold);
        let (target_of, targets) = self.targets(directory, &names);
        let goes_on = goes_on
            .into_iter()
            .filter_map(|(index, child)| Some((index, *target_of.get(child)?)));
        self.sort(items.start, &goes_on.collect::<Vec<_>>(), targets, directories);
    }

    /// Where each name leads: into a directory of its own, or into that of a pattern.
    fn targets(&mut self, directory: Target, children: &[Name<'a>]) -> (Vec<usize>, Vec<Target>) {
        let mut targets: Vec<Target> = Vec::new();
        let mut target_of: Vec<Option<usize>> = vec![None; children.len()];
        let mut patterns: HashMap<Component, usize> = HashMap::new();
        let place = directory.place;
        let mut pattern = |component: Component, targets: &mut Vec<Target>| {
            *patterns.entry(component).or_insert_with_key(|component| {
                self.folds.push(Fold {
                    component: component.clone(),
                    depth: place.depth(),
                    before: directory.fold,
                });
                targets.push(Target {
                    place: place.child(None),
                    fold: Some(self.folds.len() - 1),
                });
                targets.len() - 1
            })
        };
        let names = children.iter().enumerate().filter_map(|(index, child)| match child {
            Name::Text(text) => Some((index, *text)),
            Name::Pattern(_) => None,
        });
        for (component, members) in siblings::fold(names, place, self.options) {
            let target = pattern(component, &mut targets);
            for member in members {
                if let Some(target_of) = target_of.get_mut(member) {
                    *target_of = Some(target);
                }
            }
        }
        let target_of = children
            .iter()
            .zip(target_of)
            .map(|(child, target)| match (target, child) {
                (Some(target), _) => target,
                (None, Name::Pattern(component)) => pattern((*component).clone(), &mut targets),
                (None, Name::Text(name)) => {
                    targets.push(Target {
                        place: place.child(Some(name)),
                        fold: directory.fold,
                    });
                    targets.len() - 1
                }
            });
        let target_of = target_of.collect();
        (target_of, targets)
    }

    /// Puts items of one target side by side, from `start` on, in the order in which they are.
    fn sort(&mut self, start: usize, items: &[(usize, usize)], targets: Vec<Target>, directories: &mut Vec<Directory>) {
        let mut ends = vec![0_usize; targets.len()];
        for (_, target) in items {
            ends.iter_mut().skip(*target).take(1).for_each(|count| *count += 1);
        }
        let mut end = start;
        for (count, target) in ends.iter_mut().zip(targets) {
            let items = end..end + *count;
            *count = end;
            end = items.end;
            // A path alone, and no pattern on its way: nothing can come of it.
            if items.len() > 1 || target.fold.is_some() || self.has_templates {
                directories.push(Directory { items, target });
            }
        }
        for (index, target) in items {
            let Some(place) = ends.get_mut(*target) else { continue };
            if let Some(slot) = self.order.get_mut(*place) {
                *slot = *index;
            }
            *place += 1;
        }
    }

    /// Notes that these items, which are the same by now, end with this fold: as a template, if they have a wildcard.
    fn end(&mut self, items: &[usize], fold: Option<usize>) {
        let mut paths = Vec::new();
        let mut known: HashSet<&[u8]> = HashSet::new();
        let mut template = None;
        for item in items.iter().filter_map(|index| self.items.get(*index)) {
            match item.source {
                Source::Path { index, bytes } if items.len() == 1 || known.insert(bytes) => paths.push(index),
                Source::Path { index, .. } => self.folded.duplicates.push(index),
                Source::Template(_) => template = Some(item),
            }
        }
        let first = paths
            .first()
            .and_then(|_| self.items.get(*items.first()?))
            .filter(|_| fold.is_some());
        let Some(first) = template.or(first) else { return };
        let mut components = first.components();
        let mut fold = fold.and_then(|fold| self.folds.get(fold));
        while let Some(Fold {
            component,
            depth,
            before,
        }) = fold
        {
            if let Some(name) = components.get_mut(*depth) {
                name.clone_from(component);
            }
            fold = before.and_then(|before| self.folds.get(before));
        }
        self.folded
            .found
            .entry(Template::new(components))
            .or_default()
            .extend(paths);
    }
}
