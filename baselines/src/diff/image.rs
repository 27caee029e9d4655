//! What has changed of one image.

use std::collections::BTreeSet;

use serde::Serialize;

use super::changes::{self, Accounted, Change, Review};
use super::decisions::{self, DecisionsDiff};
use super::pairs::MatchedBy;
use super::risks::{self, RiskChange, Verdicts};
use super::templates::{self, TemplateChange};
use super::{Both, Version};
use crate::coverage::State;
use crate::document::{Baseline, Image};
use crate::risks::{Decided, Decisions, Seen};
use crate::serde_text;
use crate::time::UtcTime;

/// What has changed from one version of an image to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageDiff {
    /// The older version.
    pub old: Image,
    /// The newer one.
    pub new: Image,
    /// Why these two.
    pub matched_by: MatchedBy,
    /// How well each was watched.
    pub watched: Both<Watched>,
    /// What alone is up for review.
    pub to_review: ToReview,
    /// What has changed, sorted by class and sentence.
    pub changes: Vec<Change>,
    /// Where the behaviours of each side have gone.
    pub behaviours: Both<Accounted>,
    /// Path templates that have changed.
    pub templates: Vec<TemplateChange>,
    /// Risks that have changed.
    pub risks: Vec<RiskChange>,
    /// Decisions that are inherited or have changed.
    pub decisions: DecisionsDiff,
}

/// How well a version was watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watched {
    /// How much of it was seen. `unknown` where nobody has said.
    pub state: State,
    /// What would help most.
    #[serde(with = "serde_text::escaped")]
    pub advice: String,
    /// How many starts were watched.
    pub startup_units: u64,
    /// For how many units of ten minutes it was watched from then on.
    pub steady_units: u64,
    /// In how many containers.
    pub containers: u64,
    /// Of how many of them the start was not seen.
    pub partial: u64,
    /// How many observations were lost.
    pub losses: u64,
    /// How many windows could miss something without counting it.
    pub uncounted_losses: u64,
    /// With which backends, sorted.
    #[serde(with = "serde_text::escaped")]
    pub backends: Vec<String>,
}

/// What a person has to look at: what was decided about an earlier version is not among it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToReview {
    /// Changes that nobody has looked at ([`Review::Due`]).
    pub changes: u64,
    /// Risks that need a decision, new ones and others.
    pub risks: u64,
    /// Behaviours that stay out of policies because they were denied, seen now or before.
    pub denied: u64,
}

/// An image that is on one side only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alone {
    /// The image.
    pub image: Image,
    /// The versions of its repository on the other side, sorted: none of them is known to be what it came from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Image>,
    /// How well it was watched.
    pub watched: Watched,
    /// How many behaviours were learned of it.
    pub behaviours: u64,
    /// How many of its risks need a decision.
    pub risks: u64,
}

impl ImageDiff {
    /// Whether nothing has changed, see [`super::Diff::is_empty`].
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.templates.is_empty() && self.risks.is_empty() && self.decisions.is_empty()
    }
}

impl Watched {
    fn of(baseline: &Baseline) -> Self {
        let coverage = baseline.coverage.as_ref();
        let losses = baseline.losses.iter().map(|loss| loss.count);
        Self {
            state: coverage.map_or(State::Unknown, |coverage| coverage.state),
            advice: coverage.map_or_else(String::new, |coverage| coverage.advice.clone()),
            startup_units: coverage.map_or(0, |coverage| coverage.startup.units),
            steady_units: coverage
                .and_then(|coverage| coverage.steady.as_ref())
                .map_or(0, |steady| steady.units),
            containers: baseline.containers.len() as u64,
            partial: baseline.containers.iter().filter(|it| it.partial).count() as u64,
            losses: losses.fold(0, u64::saturating_add),
            uncounted_losses: baseline.uncounted_losses.len() as u64,
            backends: backends(baseline),
        }
    }
}

impl Alone {
    pub(super) fn of(version: &Version<'_>, others: &[Image], now: UtcTime) -> Self {
        let baseline = version.baseline;
        let is_version = |other: &&Image| other.repository == baseline.image.repository;
        let mut versions: Vec<Image> = others.iter().filter(is_version).cloned().collect();
        versions.sort();
        let none = Decisions::new(baseline.image.clone());
        let decisions = version.decisions.unwrap_or(&none);
        let applied = decisions.apply(version.findings, &Seen::from(baseline), now);
        Self {
            image: baseline.image.clone(),
            versions,
            watched: Watched::of(baseline),
            behaviours: baseline.behaviours.all().count() as u64,
            risks: open(&applied.findings),
        }
    }
}

/// The backends of a baseline's recordings, sorted, each once.
pub(super) fn backends(baseline: &Baseline) -> Vec<String> {
    let backends: BTreeSet<&String> = baseline.recordings.iter().flat_map(|it| &it.backends).collect();
    backends.into_iter().cloned().collect()
}

fn open(findings: &[Decided<'_>]) -> u64 {
    findings.iter().filter(|decided| decided.needs_decision()).count() as u64
}

/// Compares two versions of an image.
pub(super) fn compare(versions: Both<&Version<'_>>, matched_by: MatchedBy, now: UtcTime) -> ImageDiff {
    let (decisions, kept) = decisions::effective(versions);
    let Both { old, new } = versions;
    let applied = Both {
        old: decisions.old.apply(old.findings, &Seen::from(old.baseline), now),
        new: decisions.new.apply(new.findings, &Seen::from(new.baseline), now),
    };
    let verdicts = Both {
        old: Verdicts::of(old, &decisions.old, &applied.old, now),
        new: Verdicts::of(new, &decisions.new, &applied.new, now),
    };
    let (changes, behaviours) = changes::changes(versions, &verdicts);
    let due = changes.iter().filter(|change| change.review == Review::Due);
    ImageDiff {
        old: old.baseline.image.clone(),
        new: new.baseline.image.clone(),
        matched_by,
        watched: Both {
            old: Watched::of(old.baseline),
            new: Watched::of(new.baseline),
        },
        to_review: ToReview {
            changes: due.count() as u64,
            risks: open(&applied.new.findings),
            denied: verdicts.new.denied.len() as u64,
        },
        changes,
        behaviours,
        templates: templates::changes(versions),
        risks: risks::changes(&applied),
        decisions: decisions::changes(&decisions, kept, &applied.new),
    }
}
