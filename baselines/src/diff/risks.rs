//! How risks have changed, and what decisions say of behaviours.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use super::changes::Review;
use super::{Both, Version};
use crate::behaviour::Behaviour;
use crate::risks::{Applied, Decided, Decisions, FindingKey, Severity, Standing, State, Target, Verdict, core};
use crate::time::UtcTime;

/// A risk that appears, disappears, or of which something else was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RiskChange {
    /// The finding's key.
    pub key: FindingKey,
    /// How much it matters.
    #[serde(serialize_with = "word")]
    pub severity: Severity,
    /// What it is about, as a sentence.
    pub what: String,
    /// Its word on the older side (`undecided`, `allowed`, ...), see [`Decided::word`]. None if it appears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<&'static str>,
    /// On the newer side. None if it disappears.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<&'static str>,
    /// Whether a person has to decide.
    pub needs_decision: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn word<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.word())
}

/// All changes, in the order of findings: those of the newer side, then those that are gone.
pub(super) fn changes(applied: &Both<Applied<'_>>) -> Vec<RiskChange> {
    // What was learned comes before what was not, and counts.
    let by_key = |applied: &Applied<'_>| {
        let mut by_key: BTreeMap<FindingKey, &'static str> = BTreeMap::new();
        for decided in &applied.findings {
            by_key
                .entry(decided.finding.key.clone())
                .or_insert_with(|| decided.word());
        }
        by_key
    };
    let (olds, news) = (by_key(&applied.old), by_key(&applied.new));
    let change = |decided: &Decided<'_>| {
        let key = &decided.finding.key;
        let (old, new) = (olds.get(key).copied(), news.get(key).copied());
        (old != new).then(|| RiskChange {
            key: key.clone(),
            severity: decided.finding.severity,
            what: decided.finding.sentence(),
            old,
            new,
            needs_decision: new.is_some() && decided.needs_decision(),
        })
    };
    let gone = applied
        .old
        .findings
        .iter()
        .filter(|decided| !news.contains_key(&decided.finding.key));
    let mut seen = BTreeSet::new();
    let mut changes: Vec<RiskChange> = applied.new.findings.iter().chain(gone).filter_map(change).collect();
    changes.retain(|change| seen.insert(change.key.clone()));
    changes
}

/// What is known of a version's behaviours: the findings about them, and what was decided.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    findings: BTreeMap<Behaviour, BTreeSet<FindingKey>>,
    /// What a finding waits for a decision about.
    open: BTreeSet<Behaviour>,
    allowed: BTreeSet<Behaviour>,
    pub(super) denied: BTreeSet<Behaviour>,
}

impl Verdicts {
    pub(super) fn of(version: &Version<'_>, decisions: &Decisions, applied: &Applied<'_>, now: UtcTime) -> Self {
        let mut verdicts = Self::default();
        for decided in &applied.findings {
            for sighting in &decided.finding.sightings {
                let behaviour = core(&sighting.behaviour);
                if decided.needs_decision() {
                    verdicts.open.insert(behaviour.clone());
                }
                if decided.finding.standing != Standing::Apart && matches!(decided.state, State::Allowed(_)) {
                    verdicts.allowed.insert(behaviour.clone());
                }
                let keys = verdicts.findings.entry(behaviour).or_default();
                keys.insert(decided.finding.key.clone());
            }
        }
        let is_allowed = |verdict: Verdict| match verdict {
            Verdict::Allow { until } => until.is_none_or(|until| until > now),
            Verdict::Deny => false,
        };
        let allowances: BTreeSet<&Target> = decisions
            .iter()
            .filter(|(_, decision)| is_allowed(decision.verdict))
            .map(|(target, _)| target)
            .collect();
        let learned = version.baseline.behaviours.all().map(|(behaviour, _)| core(&behaviour));
        verdicts
            .allowed
            .extend(learned.filter(|behaviour| allowances.contains(&Target::behaviour(behaviour))));
        let removed = decisions.split(version.findings, &version.baseline.behaviours).removed;
        verdicts.denied = removed.all().map(|(behaviour, _)| core(&behaviour)).collect();
        verdicts
    }

    /// The findings about these, each once.
    pub(super) fn findings<'a>(&self, behaviours: impl Iterator<Item = &'a Behaviour>) -> Vec<FindingKey> {
        let keys: BTreeSet<&FindingKey> = behaviours
            .filter_map(|behaviour| self.findings.get(behaviour))
            .flatten()
            .collect();
        keys.into_iter().cloned().collect()
    }

    /// What is left to look at of behaviours that are new.
    pub(super) fn review(&self, behaviours: &[&Behaviour]) -> Review {
        let is_denied = |behaviour: &&&Behaviour| self.denied.contains(**behaviour);
        let is_settled = |behaviour: &&Behaviour| {
            let is_allowed = self.allowed.contains(*behaviour) && !self.open.contains(*behaviour);
            is_allowed || self.denied.contains(*behaviour)
        };
        if behaviours.iter().filter(is_denied).count() == behaviours.len() {
            Review::Denied
        } else if behaviours.iter().all(is_settled) {
            Review::Allowed
        } else {
            Review::Due
        }
    }
}
