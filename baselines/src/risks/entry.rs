//! One entry of a catalogue, as it is written.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::sequences::{Item, OneOf, items};
use super::values::{EntryId, Technique, Text};
use super::written::Written;
use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::dns::DnsName;

/// How much it matters, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing. Shown, and never needs a decision.
    Info,
    /// Common, and a door that need not be open.
    Low,
    /// Rare in a server, and useful to an intruder.
    Medium,
    /// Mostly an intrusion, or what makes the next one easy.
    High,
    /// An intrusion, or a way out of the container.
    Critical,
}

impl Severity {
    /// Every one, least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word used in documents and columns.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What one decision is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grouping {
    /// One behaviour, whatever its arguments are. What is new is undecided.
    #[default]
    Behaviour,
    /// Everything of the entry that one program does: for names and addresses that are others each time.
    Subject,
    /// Everything of the entry in an image, as it is now. Once there is more, it is undecided again.
    Together,
}

/// A risk: what it looks like, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Entry {
    /// Its stable name.
    pub id: EntryId,
    /// What it is, in a few words.
    pub title: Text,
    /// How much it matters.
    pub severity: Severity,
    /// What it can be a part of.
    pub attack: OneOf<Technique>,
    /// What a behaviour is like that this is about.
    #[serde(rename = "match")]
    pub condition: Condition,
    /// What one decision is about.
    #[serde(default)]
    pub decide: Grouping,
    /// The entries that a behaviour is left to where they match it, too.
    #[serde(default)]
    pub yields_to: Option<OneOf<EntryId>>,
    /// Why it matters.
    pub why: Text,
    /// What to do about it.
    pub advice: Text,
    /// Where more is written.
    #[serde(default)]
    pub references: Option<OneOf<Text>>,
    /// What it matches, and what it does not.
    pub examples: Examples,
    /// Why it takes the place of an entry of the same id.
    #[serde(default)]
    pub overrides: Option<Text>,
}

/// Behaviours that an entry is tried with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Examples {
    /// Each of these matches.
    pub matches: OneOf<Example>,
    /// None of these matches, though it comes near.
    pub does_not_match: OneOf<Example>,
}

/// A behaviour, and what was seen with it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Example {
    behaviour: Written,
    #[serde(default)]
    with: Vec<Written>,
    /// The name that its address was asked for by.
    #[serde(default)]
    pub(super) dns_name: Option<DnsName>,
    #[serde(default)]
    pub(super) phase: Option<Phase>,
    #[serde(default)]
    pub(super) provenance: Option<Provenance>,
}

impl Example {
    pub(super) fn behaviour(&self) -> &Behaviour {
        &self.behaviour.0
    }

    /// What else the image did.
    pub(super) fn with(&self) -> impl Iterator<Item = &Behaviour> {
        self.with.iter().map(|written| &written.0)
    }
}

impl Item for Entry {
    type Before = BTreeSet<EntryId>;

    fn check(&self, before: &mut BTreeSet<EntryId>) -> Result<(), String> {
        if !before.insert(self.id.clone()) {
            return Err(format!("there are two entries `{}`", self.id));
        }
        let entry = |why: String| format!("entry `{}`: {why}", self.id);
        if self.yields_to.iter().flat_map(OneOf::iter).any(|id| *id == self.id) {
            return Err(entry("it yields to itself".to_owned()));
        }
        self.condition.check().map_err(entry)
    }
}

/// The name of a technique.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NamedTechnique {
    pub(super) id: Technique,
    pub(super) name: Text,
}

impl Item for NamedTechnique {
    type Before = BTreeSet<Technique>;

    fn check(&self, before: &mut BTreeSet<Technique>) -> Result<(), String> {
        if before.insert(self.id.clone()) {
            Ok(())
        } else {
            Err(format!("there are two techniques `{}`", self.id))
        }
    }
}

/// An entry that is not used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[non_exhaustive]
pub struct Disabled {
    /// Which.
    pub id: EntryId,
    /// Why.
    pub reason: Text,
}

impl Item for Disabled {
    type Before = BTreeSet<EntryId>;

    fn check(&self, before: &mut BTreeSet<EntryId>) -> Result<(), String> {
        if before.insert(self.id.clone()) {
            Ok(())
        } else {
            Err(format!("`{}` is disabled twice", self.id))
        }
    }
}

/// A catalogue, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(rename = "apiVersion")]
    _version: ApiVersion,
    #[serde(rename = "kind")]
    _kind: Kind,
    #[serde(default)]
    pub(super) lists: super::lists::Lists,
    #[serde(default, deserialize_with = "items")]
    pub(super) techniques: Vec<NamedTechnique>,
    #[serde(default, deserialize_with = "items")]
    pub(super) entries: Vec<Entry>,
    #[serde(default, deserialize_with = "items")]
    pub(super) disable: Vec<Disabled>,
}

/// The version of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ApiVersion {
    /// The only one.
    #[default]
    #[serde(rename = "wardline.dev/v1")]
    V1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Kind {
    RiskCatalogue,
}
