//! Which decisions hold for the newer version, and where they come from.

use serde::Serialize;

use super::{Both, Version};
use crate::risks::{Applied, Decision, Decisions, Target, Text, Verdict};
use crate::serde_text;
use crate::time::UtcTime;

/// Where the decisions about the newer version are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// There are none.
    #[default]
    Nowhere,
    /// Beside the newer version. What is kept beside the older one only does not hold.
    New,
    /// Beside the older version only: they are inherited here, and nowhere else until they are kept beside the newer one.
    Old,
}

/// How decisions have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionsDiff {
    /// Where they are kept.
    pub kept: Kept,
    /// Those that were made for another version and hold for the newer one.
    pub inherited: Vec<DecisionLine>,
    /// Those that were made about the newer version.
    pub added: Vec<DecisionLine>,
    /// Those that say something else now.
    pub changed: Vec<DecisionLine>,
    /// Those that hold for the older version and not for the newer one.
    pub withdrawn: Vec<DecisionLine>,
    /// How many are the same ones, neither inherited nor changed.
    pub same: u64,
    /// How many fit nothing that was seen of the newer version; they are remembered.
    pub unmatched: u64,
}

impl DecisionsDiff {
    /// Whether nothing has changed. To inherit is no change.
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.withdrawn.is_empty()
    }
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionLine {
    /// The finding's key, or the behaviour as a sentence.
    pub target: String,
    /// The finding as a sentence.
    #[serde(skip_serializing_if = "Option::is_none", with = "serde_text::escaped")]
    pub about: Option<String>,
    /// Allow or deny.
    pub decision: &'static str,
    /// Until when it is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<UtcTime>,
    /// Why.
    pub reason: Text,
    /// By whom.
    pub who: Text,
    /// When.
    pub when: UtcTime,
    /// The version that it was made for, if it was another one.
    #[serde(skip_serializing_if = "Option::is_none", with = "serde_text::escaped")]
    pub inherited_from: Option<String>,
}

impl DecisionLine {
    fn new(target: &Target, decision: &Decision) -> Self {
        let (word, until) = match decision.verdict {
            Verdict::Allow { until } => ("allow", until),
            Verdict::Deny => ("deny", None),
        };
        Self {
            target: target.to_string(),
            about: decision.about.clone(),
            decision: word,
            until,
            reason: decision.reason.clone(),
            who: decision.who.clone(),
            when: decision.when,
            inherited_from: decision.inherited_from.clone(),
        }
    }
}

/// The decisions that hold for each version: for the newer one those that are kept beside it, and if none are, those of the
/// older one.
pub(super) fn effective(versions: Both<&Version<'_>>) -> (Both<Decisions>, Kept) {
    let none = |version: &Version<'_>| Decisions::new(version.baseline.image.clone());
    let (old, new) = (versions.old, versions.new);
    let (of_new, kept) = match (new.decisions, old.decisions) {
        (Some(decisions), _) => (decisions.clone(), Kept::New),
        (None, None) => (none(new), Kept::Nowhere),
        (None, Some(decisions)) => {
            let mut inherited = none(new);
            // It refuses those of other repositories only, and these are matched by it.
            inherited.inherit(decisions).unwrap_or_default();
            (inherited, Kept::Old)
        }
    };
    let of_old = old.decisions.cloned().unwrap_or_else(|| none(old));
    (
        Both {
            old: of_old,
            new: of_new,
        },
        kept,
    )
}

/// How the decisions have changed.
pub(super) fn changes(decisions: &Both<Decisions>, kept: Kept, applied: &Applied<'_>) -> DecisionsDiff {
    let mut diff = DecisionsDiff {
        kept,
        unmatched: applied.unmatched.len() as u64,
        ..DecisionsDiff::default()
    };
    let what = |decision: &Decision| {
        (
            decision.verdict,
            decision.reason.clone(),
            decision.who.clone(),
            decision.when,
        )
    };
    let olds: std::collections::BTreeMap<&Target, &Decision> = decisions.old.iter().collect();
    let news: std::collections::BTreeMap<&Target, &Decision> = decisions.new.iter().collect();
    for (target, decision) in &news {
        let line = || DecisionLine::new(target, decision);
        let before = olds.get(target);
        match before {
            Some(before) if what(before) != what(decision) => diff.changed.push(line()),
            Some(before) if before.inherited_from == decision.inherited_from => diff.same += 1,
            None if decision.inherited_from.is_none() => diff.added.push(line()),
            _ => diff.inherited.push(line()),
        }
    }
    let withdrawn = olds.iter().filter(|(target, _)| !news.contains_key(*target));
    diff.withdrawn = withdrawn
        .map(|(target, decision)| DecisionLine::new(target, decision))
        .collect();
    diff
}
