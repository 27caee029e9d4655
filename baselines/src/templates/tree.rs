//! The tree of paths, and what folds in it.
//!
//! The paths are split by their first name, then each part by the second name, and so on. In each directory the names are
//! grouped by signature. A group that is large enough becomes one directory with a pattern as its name, and everything
//! below is split as if it were in one. So each name of each path is looked at once: time is linear in the bytes of the paths,
//! and memory in their number. Nothing calls itself, however deep a path is.

use std::collections::HashMap;
use std::ops::Range;

use super::mine::Options;
use super::place::Place;
use super::siblings;
use super::template::{Component, Template, names};
use crate::path::FilePath;

/// A directory that paths are in, or a template that was there before; and how far it has been read.
struct Item<'a> {
    source: Source<'a>,
    at: usize,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    /// A path without its last name.
    Directory(&'a [u8]),
    Template(&'a Template),
}

/// A path in a directory.
pub(super) struct File<'a> {
    /// Which path.
    pub(super) path: usize,
    /// Its last name.
    pub(super) name: &'a [u8],
}

/// The name of a directory or file. The name of a pattern is that pattern, and nothing else is a sibling of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Name<'a> {
    Text(&'a [u8]),
    Pattern(&'a Component),
}

impl<'a> Item<'a> {
    /// Reads the next name.
    fn next(&mut self) -> Option<Name<'a>> {
        match self.source {
            Source::Directory(bytes) => {
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
}

/// The different names in a directory.
#[derive(Default)]
struct Names<'a> {
    all: Vec<Name<'a>>,
    texts: HashMap<&'a [u8], usize>,
    patterns: HashMap<&'a Component, usize>,
    /// For each name, the item that had a file of this name last.
    file_of: Vec<Option<usize>>,
}

impl<'a> Names<'a> {
    /// The place of a name in `all`.
    fn place(&mut self, name: Name<'a>) -> usize {
        let new = self.all.len();
        let place = match name {
            Name::Text(text) => *self.texts.entry(text).or_insert(new),
            Name::Pattern(component) => *self.patterns.entry(component).or_insert(new),
        };
        if place == new {
            self.all.push(name);
        }
        place
    }

    /// Notes a file at this place. Says no if the item has had it before: it is the same path.
    fn is_file_of(&mut self, place: usize, item: usize) -> bool {
        if self.file_of.len() <= place {
            self.file_of.resize(place + 1, None);
        }
        let before = self.file_of.get_mut(place).and_then(|file| file.replace(item));
        before != Some(item)
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
    paths: &'o [&'a FilePath],
    items: Vec<Item<'a>>,
    /// The items, those of a directory side by side.
    order: Vec<usize>,
    /// For each item that is a directory, what is in it.
    files: Vec<Vec<File<'a>>>,
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
    /// A tree for some of these paths.
    pub(super) fn new(options: &'o Options, paths: &'o [&'a FilePath]) -> Self {
        Self {
            options,
            paths,
            items: Vec::new(),
            order: Vec::new(),
            files: Vec::new(),
            folds: Vec::new(),
            folded: Folded::default(),
        }
    }

    /// Adds what is in this directory. No directory may be added twice.
    pub(super) fn add(&mut self, directory: &'a [u8], files: Vec<File<'a>>) {
        self.push(Source::Directory(directory), files);
    }

    pub(super) fn add_template(&mut self, template: &'a Template) {
        self.push(Source::Template(template), Vec::new());
    }

    fn push(&mut self, source: Source<'a>, files: Vec<File<'a>>) {
        self.order.push(self.items.len());
        self.items.push(Item { source, at: 0 });
        self.files.push(files);
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
            self.split(items, target, &mut directories);
        }
        self.folded
    }

    /// Puts the files of a directory into the templates, and what goes on into the directories in it.
    fn split(&mut self, items: Range<usize>, directory: Target, directories: &mut Vec<Directory>) {
        let mut names = Names::default();
        // Each item that goes on, and each file, with the place of its name.
        let mut goes_on: Vec<(usize, usize)> = Vec::new();
        let mut files: Vec<(usize, usize)> = Vec::new();
        for index in self.order.get(items.clone()).into_iter().flatten() {
            let Some(item) = self.items.get_mut(*index) else {
                continue;
            };
            match (item.next(), item.source) {
                (Some(name), _) => goes_on.push((*index, names.place(name))),
                (None, Source::Template(template)) => drop(self.folded.found.entry(template.clone()).or_default()),
                (None, Source::Directory(_)) => {
                    let in_item = self.files.get_mut(*index).map(std::mem::take).unwrap_or_default();
                    names.texts.reserve(in_item.len());
                    for File { path, name } in in_item {
                        let place = names.place(Name::Text(name));
                        if names.is_file_of(place, *index) {
                            files.push((path, place));
                        } else {
                            self.folded.duplicates.push(path);
                        }
                    }
                }
            }
        }
        let Names { all, .. } = names;
        let (target_of, targets) = self.targets(directory, &all);
        for (_, place) in goes_on.iter_mut().chain(&mut files) {
            *place = target_of.get(*place).copied().unwrap_or(usize::MAX);
        }
        self.end(&files, &targets);
        self.sort(items.start, &goes_on, &targets, directories);
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
    fn sort(&mut self, start: usize, items: &[(usize, usize)], targets: &[Target], directories: &mut Vec<Directory>) {
        let mut ends = vec![0_usize; targets.len()];
        for (_, target) in items {
            ends.iter_mut().skip(*target).take(1).for_each(|count| *count += 1);
        }
        let mut end = start;
        for (count, target) in ends.iter_mut().zip(targets) {
            let items = end..end + *count;
            *count = end;
            end = items.end;
            if !items.is_empty() {
                directories.push(Directory { items, target: *target });
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

    /// Puts files, each with its target, into the templates, if there is a pattern on their way.
    fn end(&mut self, files: &[(usize, usize)], targets: &[Target]) {
        if targets.iter().all(|target| target.fold.is_none()) {
            return;
        }
        let mut by_target: Vec<Vec<usize>> = vec![Vec::new(); targets.len()];
        for (index, target) in files {
            by_target
                .iter_mut()
                .skip(*target)
                .take(1)
                .for_each(|files| files.push(*index));
        }
        for (target, files) in targets
            .iter()
            .zip(by_target)
            .filter(|(target, _)| target.fold.is_some())
        {
            let first = files.first().and_then(|index| self.paths.get(*index));
            if let Some(first) = first {
                let template = self.template(first.as_bytes(), target.fold);
                self.folded.found.entry(template).or_default().extend(files);
            }
        }
    }

    /// The path with the patterns on its way.
    fn template(&self, path: &[u8], fold: Option<usize>) -> Template {
        let mut components: Vec<Component> = names(path).map(Component::of_name).collect();
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
        Template::new(components)
    }
}
