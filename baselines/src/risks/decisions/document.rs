//! Decisions as they are written.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{About, Decision, Decisions, Target, Verdict};
use crate::behaviour::Action;
use crate::risks::entry::ApiVersion;
use crate::risks::key::FindingKey;
use crate::risks::sequences::{Item, items};
use crate::risks::values::{Text, ValueError};
use crate::risks::written::Written;
use crate::serde_text;
use crate::time::UtcTime;
use crate::workload::Image;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Document {
    api_version: ApiVersion,
    kind: Kind,
    image: Image,
    #[serde(deserialize_with = "items")]
    decisions: Vec<Line>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum Kind {
    Decisions,
}

#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Allow,
    Deny,
}

/// A decision with what it is about.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    finding: Option<FindingKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    behaviour: Option<Written>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_text::escaped")]
    about: Option<String>,
    decision: Word,
    reason: Text,
    who: Text,
    when: UtcTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<UtcTime>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_text::escaped")]
    inherited_from: Option<String>,
}

impl Line {
    /// What it is about, and the decision.
    fn parts(&self) -> Result<(Target, Decision), ValueError> {
        let error = |why: &str| Err(ValueError(why.to_owned()));
        let about = match (&self.finding, &self.behaviour) {
            (Some(key), None) => About::Finding(key.clone()),
            (None, Some(Written(behaviour))) => match &behaviour.action {
                Action::Exec { arguments: Some(_), .. } => {
                    return error("a decision holds for all arguments, as a policy does: leave `arguments` out");
                }
                _ => About::Behaviour(behaviour.clone()),
            },
            _ => return error("a decision is about a `finding` or about a `behaviour`: name one of them"),
        };
        let (when, until) = (self.when.whole_second(), self.until.map(UtcTime::whole_second));
        let verdict = match (self.decision, until) {
            (Word::Allow, Some(until)) if until <= when => return error("`until` is not after `when`"),
            (Word::Allow, until) => Verdict::Allow { until },
            (Word::Deny, None) => Verdict::Deny,
            (Word::Deny, Some(_)) => return error("a denial does not end: allow it when it may be, without `until`"),
        };
        let decision = Decision {
            verdict,
            reason: self.reason.clone(),
            who: self.who.clone(),
            when,
            inherited_from: self.inherited_from.clone(),
            about: self.about.clone(),
        };
        Ok((Target(about), decision))
    }
}

impl Item for Line {
    type Before = BTreeSet<Target>;

    fn check(&self, before: &mut BTreeSet<Target>) -> Result<(), String> {
        let (target, _) = self.parts().map_err(|error| error.to_string())?;
        if before.insert(target) {
            Ok(())
        } else {
            Err("this was decided further up: leave one of the decisions".to_owned())
        }
    }
}

impl From<Document> for Decisions {
    fn from(document: Document) -> Self {
        // Each was checked when it was read.
        let decisions = document.decisions.iter().filter_map(|line| line.parts().ok());
        Self {
            image: document.image,
            decisions: decisions.collect(),
        }
    }
}

impl From<&Decisions> for Document {
    fn from(decisions: &Decisions) -> Self {
        let lines = decisions.decisions.iter().map(|(target, decision)| {
            let (finding, behaviour) = match &target.0 {
                About::Finding(key) => (Some(key.clone()), None),
                About::Behaviour(behaviour) => (None, Some(Written(behaviour.clone()))),
            };
            let (word, until) = match decision.verdict {
                Verdict::Allow { until } => (Word::Allow, until),
                Verdict::Deny => (Word::Deny, None),
            };
            Line {
                finding,
                behaviour,
                about: decision.about.clone(),
                decision: word,
                reason: decision.reason.clone(),
                who: decision.who.clone(),
                when: decision.when,
                until,
                inherited_from: decision.inherited_from.clone(),
            }
        });
        Self {
            api_version: ApiVersion::V1,
            kind: Kind::Decisions,
            image: decisions.image.clone(),
            decisions: lines.collect(),
        }
    }
}
