//! Many templates at once: which of them match a path, without trying each.

use std::collections::HashMap;

use super::class::Class;
use super::template::{Component, Template, Token, components};
use crate::path::FilePath;

/// A tree of templates. To look a path up takes time for its components, and for the wildcards in the directories that it goes
/// through; templates elsewhere do not matter.
///
/// ```
/// use baselines::path::FilePath;
/// use baselines::templates::{Template, TemplateSet};
///
/// let templates: Vec<Template> = vec!["/proc/{pid}/status".parse()?, "/proc/{pid}/{random:6}".parse()?];
/// let set = TemplateSet::new(&templates);
/// assert_eq!(set.matching(&FilePath::canonical(*b"/proc/7/status")), [0, 1]);
/// # Ok::<(), baselines::templates::TemplateError>(())
/// ```
#[derive(Debug, Default)]
pub struct TemplateSet {
    nodes: Vec<Node>,
}

/// A place in a path: at the beginning of a name, or within it.
#[derive(Debug, Default)]
struct Node {
    /// Whole names, and where to go behind them.
    names: HashMap<Box<[u8]>, usize>,
    /// Literal parts of patterns.
    texts: HashMap<Box<[u8]>, usize>,
    /// The lengths of those, each once.
    lengths: Vec<usize>,
    /// Wildcards.
    classes: Vec<(Class, usize)>,
    /// Where to go if the name ends here. Only within names.
    end: Option<usize>,
    /// The template that ends here. Only at the beginning of names.
    template: Option<usize>,
}

const ROOT: usize = 0;

impl TemplateSet {
    /// Of these templates. Of equal ones the first counts.
    pub fn new<'a>(templates: impl IntoIterator<Item = &'a Template>) -> Self {
        let mut set = Self {
            nodes: vec![Node::default()],
        };
        for (index, template) in templates.into_iter().enumerate() {
            let mut at = ROOT;
            for component in template.components() {
                at = set.insert(at, component);
            }
            if let Some(node) = set.nodes.get_mut(at) {
                node.template.get_or_insert(index);
            }
        }
        set
    }

    /// The templates that match a path: their places in what the set was made of, ascending.
    pub fn matching(&self, path: &FilePath) -> Vec<usize> {
        // Of no template at all; the one of the root has no names, so that it ends where it begins.
        let is_empty = matches!(self.nodes.as_slice(), [] | [Node { template: None, .. }]);
        let Some(names) = components(path).filter(|_| !is_empty) else {
            return Vec::new();
        };
        let (mut places, mut next) = (vec![ROOT], Vec::new());
        for name in names {
            for place in places.drain(..) {
                self.follow(place, name, &mut next);
            }
            std::mem::swap(&mut places, &mut next);
            if places.is_empty() {
                return Vec::new();
            }
        }
        let mut found: Vec<usize> = places
            .into_iter()
            .filter_map(|place| self.nodes.get(place)?.template)
            .collect();
        found.sort_unstable();
        found
    }

    fn insert(&mut self, at: usize, component: &Component) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        if let Some(name) = component.name() {
            let next = *node.names.entry(name.into()).or_insert(new);
            self.add(next);
            return next;
        }
        let mut at = at;
        for token in component.tokens() {
            at = self.insert_token(at, token);
        }
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let next = *node.end.get_or_insert(new);
        self.add(next);
        next
    }

    fn insert_token(&mut self, at: usize, token: &Token) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return at };
        let next = match token {
            Token::Text(text) => {
                if !node.lengths.contains(&text.len()) {
                    node.lengths.push(text.len());
                }
                *node.texts.entry(text.clone()).or_insert(new)
            }
            Token::Any(class) => {
                let known = node.classes.iter().find(|(known, _)| known == class);
                known.map_or(new, |(_, next)| *next)
            }
        };
        if let (Token::Any(class), true) = (token, next == new) {
            node.classes.push((*class, new));
        }
        self.add(next);
        next
    }

    /// Makes the node, if it is the next one.
    fn add(&mut self, node: usize) {
        if node == self.nodes.len() {
            self.nodes.push(Node::default());
        }
    }

    /// Adds the places behind a name to `next`, each once.
    fn follow(&self, from: usize, name: &[u8], next: &mut Vec<usize>) {
        let Some(node) = self.nodes.get(from) else { return };
        next.extend(node.names.get(name));
        if node.lengths.is_empty() && node.classes.is_empty() {
            return;
        }
        // Within the name: nodes, and how far into the name.
        let mut places = vec![(from, 0)];
        let mut ends = Vec::new();
        while !places.is_empty() {
            let mut behind = Vec::new();
            for (place, at) in places {
                let (Some(node), Some(rest)) = (self.nodes.get(place), name.get(at..)) else {
                    continue;
                };
                if rest.is_empty() {
                    ends.extend(node.end);
                    continue;
                }
                let texts = node
                    .lengths
                    .iter()
                    .filter_map(|length| Some((*node.texts.get(rest.get(..*length)?)?, at + length)));
                behind.extend(texts);
                for (class, next) in &node.classes {
                    behind.extend(class.lengths(rest).map(|length| (*next, at + length)));
                }
            }
            behind.sort_unstable();
            behind.dedup();
            places = behind;
        }
        ends.sort_unstable();
        ends.dedup();
        next.extend(ends);
    }
}
