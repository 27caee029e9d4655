//! Which image of one side is which of the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::document::Image;
use crate::serde_text;

/// Why two images are taken for versions of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// Repository, tag and digest are the same.
    Name,
    /// The digest is the same, and the tag another one.
    Digest,
    /// The tag is the same, and the digest of one of them is not known.
    Tag,
    /// They are the only ones of their repository that are left on their sides: two versions of it.
    Repository,
    /// The older one is the only one of its repository on the older side, and still there on the newer side: it is what the
    /// newer one inherits from.
    Predecessor,
}

/// Images of a repository that cannot be told apart well enough to compare them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// The repository.
    #[serde(with = "serde_text::escaped")]
    pub repository: String,
    /// What is left of it on the older side, sorted.
    pub old: Vec<Image>,
    /// And on the newer one.
    pub new: Vec<Image>,
}

/// Two versions of an image, by their places.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) old: usize,
    pub(super) new: usize,
    pub(super) by: MatchedBy,
}

/// All images: each of the newer side in exactly one of these, and each of the older side, unless it is a predecessor, too.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) matched: Vec<Pair>,
    pub(super) only_in_old: Vec<usize>,
    pub(super) only_in_new: Vec<usize>,
    pub(super) unmatched: Vec<Unmatched>,
}

/// What two images have to have in common to be one. Nothing for an image that cannot be told by it.
type Trait = for<'a> fn(&'a Image) -> Option<(Option<&'a str>, Option<&'a str>)>;

/// The surest first.
const TRAITS: [(MatchedBy, Trait); 3] = [
    (MatchedBy::Name, |image| {
        Some((image.tag.as_deref(), image.digest.as_deref()))
    }),
    (MatchedBy::Digest, |image| Some((None, Some(image.digest.as_deref()?)))),
    (MatchedBy::Tag, |image| Some((Some(image.tag.as_deref()?), None))),
];

/// Matches what can be matched without a guess.
pub(super) fn pair(old: &[Image], new: &[Image]) -> Pairs {
    let mut repositories: BTreeMap<&str, (BTreeSet<usize>, BTreeSet<usize>)> = BTreeMap::new();
    for (place, image) in old.iter().enumerate() {
        repositories.entry(&image.repository).or_default().0.insert(place);
    }
    for (place, image) in new.iter().enumerate() {
        repositories.entry(&image.repository).or_default().1.insert(place);
    }
    let mut pairs = Pairs::default();
    for (repository, (mut olds, mut news)) in repositories {
        let all_old = sorted(old, &olds);
        for (by, common) in TRAITS {
            match_by(by, common, (old, &mut olds), (new, &mut news), &mut pairs.matched);
        }
        let (sorted_old, sorted_new) = (sorted(old, &olds), sorted(new, &news));
        match (sorted_old.as_slice(), sorted_new.as_slice()) {
            ([old], [new]) => pairs.matched.push(Pair {
                old: *old,
                new: *new,
                by: MatchedBy::Repository,
            }),
            ([], _) => match all_old.as_slice() {
                [only] => pairs.matched.extend(sorted_new.iter().map(|new| Pair {
                    old: *only,
                    new: *new,
                    by: MatchedBy::Predecessor,
                })),
                _ => pairs.only_in_new.extend(sorted_new),
            },
            (_, []) => pairs.only_in_old.extend(sorted_old),
            _ => {
                let images = |all: &[Image], places: &[usize]| -> Vec<Image> {
                    places.iter().filter_map(|place| all.get(*place).cloned()).collect()
                };
                pairs.unmatched.push(Unmatched {
                    repository: repository.to_owned(),
                    old: images(old, &sorted_old),
                    new: images(new, &sorted_new),
                });
            }
        }
    }
    pairs.matched.sort_by_key(|pair| (new.get(pair.new), old.get(pair.old)));
    pairs
}

/// Takes those away that exactly one image of each side has in common.
fn match_by(
    by: MatchedBy,
    common: Trait,
    (old, olds): (&[Image], &mut BTreeSet<usize>),
    (new, news): (&[Image], &mut BTreeSet<usize>),
    matched: &mut Vec<Pair>,
) {
    let mut groups: BTreeMap<_, (Vec<usize>, Vec<usize>)> = BTreeMap::new();
    for (place, image) in olds.iter().filter_map(|place| Some((*place, old.get(*place)?))) {
        if let Some(key) = common(image) {
            groups.entry(key).or_default().0.push(place);
        }
    }
    for (place, image) in news.iter().filter_map(|place| Some((*place, new.get(*place)?))) {
        if let Some(key) = common(image) {
            groups.entry(key).or_default().1.push(place);
        }
    }
    for group in groups.into_values() {
        let ([old_place], [new_place]) = (group.0.as_slice(), group.1.as_slice()) else {
            continue;
        };
        let has_digest = |all: &[Image], place: &usize| all.get(*place).is_some_and(|image| image.digest.is_some());
        // Two digests are two images, whatever they are called.
        if by == MatchedBy::Tag && has_digest(old, old_place) && has_digest(new, new_place) {
            continue;
        }
        olds.remove(old_place);
        news.remove(new_place);
        matched.push(Pair {
            old: *old_place,
            new: *new_place,
            by,
        });
    }
}

fn sorted(all: &[Image], places: &BTreeSet<usize>) -> Vec<usize> {
    let mut sorted: Vec<usize> = places.iter().copied().collect();
    sorted.sort_by_key(|place| all.get(*place));
    sorted
}
