//! Names in one directory, and which of them fold.

use std::collections::HashMap;

use super::mine::Options;
use super::place::Place;
use super::signature::Signature;
use super::template::{Component, Token};

/// Names of one signature.
struct Group<'a> {
    first: &'a [u8],
    signature: Signature,
    /// Which pieces are not the same in all of them.
    differs: Vec<bool>,
    /// How many show by themselves that they were made up.
    evidence: usize,
    members: Vec<usize>,
}

/// The groups of these different names that fold: the pattern of each, and the places of its names.
///
/// Whether a name is in a group depends on that name alone, and more names only make groups larger and patterns wider. So
/// what a template has matched stays matched when paths are added.
pub(super) fn fold<'a>(
    names: impl IntoIterator<Item = (usize, &'a [u8])>,
    place: Place,
    options: &Options,
) -> Vec<(Component, Vec<usize>)> {
    let mut groups: HashMap<Vec<u8>, Group<'a>> = HashMap::new();
    let mut key = Vec::new();
    for (index, name) in names {
        let Some(signature) = place.signature(name, options.depth) else {
            continue;
        };
        signature.write_key(name, &mut key);
        match groups.get_mut(key.as_slice()) {
            Some(group) => group.add(index, name, &signature),
            None => drop(groups.insert(key.clone(), Group::new(index, name, signature))),
        }
    }
    let folds = groups
        .into_values()
        .filter(|group| group.evidence >= options.threshold(group.signature.strength()));
    folds.map(|group| (group.pattern(), group.members)).collect()
}

impl<'a> Group<'a> {
    fn new(index: usize, first: &'a [u8], signature: Signature) -> Self {
        Self {
            first,
            differs: vec![false; signature.pieces.len()],
            evidence: usize::from(signature.is_evidence),
            signature,
            members: vec![index],
        }
    }

    fn add(&mut self, index: usize, name: &[u8], signature: &Signature) {
        self.members.push(index);
        self.evidence += usize::from(signature.is_evidence);
        let pieces = self.signature.pieces.iter().zip(&signature.pieces);
        for ((ours, theirs), differs) in pieces.zip(&mut self.differs) {
            *differs |= self.first.get(ours.start..ours.end) != name.get(theirs.start..theirs.end);
        }
    }

    /// What all of them have in common is text, the rest is wildcards.
    fn pattern(&self) -> Component {
        let text = |start: usize, end: usize| Token::Text(self.first.get(start..end).unwrap_or_default().into());
        let mut at = 0;
        let mut tokens = Vec::new();
        for (piece, differs) in self.signature.pieces.iter().zip(&self.differs) {
            if *differs {
                tokens.extend([text(at, piece.start), Token::Any(piece.class)]);
                at = piece.end;
            }
        }
        tokens.push(text(at, self.first.len()));
        Component::of_tokens(tokens)
    }
}
