//! What has changed from one baseline of an image to the next, and what of it a person has to look at.
//!
//! Images are matched by repository ([`MatchedBy`]), and never by a guess: what cannot be told is listed as such. Behaviours are
//! compared as what they generalise to, so that a new temporary name under a template that was known is no change.
//! Each behaviour of both sides is a part of exactly one [`Change`], or counted as unchanged or covered ([`Accounted`]).
//! What was not seen again is evidence only as far as the newer image was watched ([`Change::weak_because`]).
//!
//! ```
//! use baselines::diff::{Class, Version, diff};
//! use baselines::document;
//! use baselines::time::UtcTime;
//!
//! let document = |behaviours: &str| {
//!     let head = "apiVersion: wardline.dev/v1\nkind: Baseline\nimage:\n  repository: shop/web\nrecordings: []\n";
//!     let text = format!("{head}containers: []\nlosses: []\nbehaviours:{behaviours}\nnotLearned: {{}}\n");
//!     document::from_yaml(&text)
//! };
//! let old = document(" {}")?;
//! let new = document("
//!   open:
//!   - path: /etc/hosts
//!     access: read
//!     subject: /app
//!     evidence:
//!       count: 1
//!       units: 1
//!       containers: 1
//!       nodes: 1
//!       firstSeen: 2026-11-21T09:00:00Z
//!       lastSeen: 2026-11-21T09:00:00Z
//!       phases:
//!       - steady
//!       provenance:
//!       - workload")?;
//! let version = |baseline| Version { baseline, findings: &[], decisions: None };
//!
//! let diff = diff(&[version(&old)], &[version(&new)], UtcTime::now());
//! let change = &diff.images[0].changes[0];
//! assert_eq!((change.class, change.what.as_str()), (Class::Added, "/app opens /etc/hosts (read)"));
//! # Ok::<(), document::DocumentError>(())
//! ```
//!
//! `docs/reference/diff.md` describes the classes and the JSON.

mod absence;
mod changes;
mod decisions;
mod image;
mod members;
mod pairs;
mod risks;
mod templates;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::document::{ApiVersion, Baseline, Image};
use crate::risks::{Decisions, Finding};
use crate::time::UtcTime;

pub use absence::Doubt;
pub use changes::{Accounted, Change, Class, Occurrence, Review, Right};
pub use decisions::{DecisionLine, DecisionsDiff, Kept};
pub use image::{Alone, ImageDiff, ToReview, Watched};
pub use pairs::{MatchedBy, Unmatched};
pub use risks::RiskChange;
pub use templates::{TemplateChange, TemplatePrice};

/// One image's baseline, with what is known of its risks.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    /// The baseline.
    pub baseline: &'a Baseline,
    /// What a catalogue of risks finds in it.
    pub findings: &'a [Finding],
    /// What was decided about it, inherited decisions among them. None if nothing is kept beside it.
    pub decisions: Option<&'a Decisions>,
}

/// Something of both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Both<T> {
    /// Of the older side.
    pub old: T,
    /// Of the newer one.
    pub new: T,
}

/// What has changed between two sets of baselines.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    /// Always `wardline.dev/v1`.
    pub api_version: ApiVersion,
    /// Always `Diff`.
    pub kind: Kind,
    /// The images that are on both sides, and new versions of them, sorted by the newer one.
    pub images: Vec<ImageDiff>,
    /// Images that no longer are there, sorted.
    pub only_in_old: Vec<Alone>,
    /// Images that were not there before, sorted.
    pub only_in_new: Vec<Alone>,
    /// Images that were not compared because nobody could tell with which other one, sorted by repository.
    pub unmatched: Vec<Unmatched>,
}

/// The word written into `kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Kind {
    /// Always this one.
    Diff,
}

impl Diff {
    /// Whether nothing has changed: neither a behaviour, a template, a risk nor a decision, and each image has its match.
    /// Versions, how often things were seen, and how well images were watched, are not looked at.
    pub fn is_empty(&self) -> bool {
        let is_alone = self.only_in_old.is_empty() && self.only_in_new.is_empty() && self.unmatched.is_empty();
        is_alone && self.images.iter().all(ImageDiff::is_empty)
    }
}

/// Compares two sets of baselines. Their order makes no difference. `now` is when allowances that have an end are looked at.
pub fn diff(old: &[Version<'_>], new: &[Version<'_>], now: UtcTime) -> Diff {
    let images = |versions: &[Version<'_>]| -> Vec<Image> {
        let images = versions.iter().map(|version| version.baseline.image.clone());
        images.collect()
    };
    let (olds, news) = (images(old), images(new));
    let pairs = pairs::pair(&olds, &news);
    let alone = |versions: &[Version<'_>], places: &[usize], others: &[Image]| -> Vec<Alone> {
        let versions = places.iter().filter_map(|place| versions.get(*place));
        versions.map(|version| Alone::of(version, others, now)).collect()
    };
    let compared = pairs.matched.iter().filter_map(|pair| {
        let both = Both {
            old: old.get(pair.old)?,
            new: new.get(pair.new)?,
        };
        Some(image::compare(both, pair.by, now))
    });
    Diff {
        api_version: ApiVersion,
        kind: Kind::Diff,
        images: compared.collect(),
        only_in_old: alone(old, &pairs.only_in_old, &news),
        only_in_new: alone(new, &pairs.only_in_new, &olds),
        unmatched: pairs.unmatched,
    }
}
