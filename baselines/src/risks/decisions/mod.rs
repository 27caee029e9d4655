//! What people decided about findings and behaviours: a reviewed file next to the baseline.
//!
//! A decision allows or denies, says who did it, when and why, and is about a finding, by its key, or about one behaviour.
//! Neither has the image in it, so that decisions hold for the next version of an image, too
//! ([`Decisions::inherit`]): only what is new is undecided there.
//!
//! - An allowance may end (`until`). From then on what it was about is undecided again.
//! - What is denied is taken out of what was learned ([`Decisions::split`]), now and whenever it is seen again.
//! - Whatever is denied by one decision is denied, whatever others allow.
//! - A decision that nothing fits is listed as such and kept.

mod apply;
mod document;

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{FileError, Form};
use super::key::{FindingKey, core};
use super::values::Text;
use crate::behaviour::Behaviour;
use crate::path::escape;
use crate::time::UtcTime;
use crate::workload::Image;

pub use apply::{Applied, Decided, Split, State};

const FORM: Form = Form {
    noun: "the decisions",
    size_max: 16 << 20,
};

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(pub(super) About);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum About {
    Finding(FindingKey),
    Behaviour(Behaviour),
}

impl Target {
    /// A finding.
    pub fn finding(key: FindingKey) -> Self {
        Self(About::Finding(key))
    }

    /// A behaviour, whatever its arguments are.
    pub fn behaviour(behaviour: &Behaviour) -> Self {
        Self(About::Behaviour(core(behaviour)))
    }
}

/// The finding's key, or the behaviour's sentence.
impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            About::Finding(key) => key.fmt(formatter),
            About::Behaviour(behaviour) => behaviour.fmt(formatter),
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be in a policy.
    Allow {
        /// Until then; for ever if nothing is said.
        until: Option<UtcTime>,
    },
    /// It is not learned, and never becomes a part of a policy.
    Deny,
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was decided.
    pub verdict: Verdict,
    /// Why.
    pub reason: Text,
    /// By whom.
    pub who: Text,
    /// When.
    pub when: UtcTime,
    /// The image that it was made for, if it was another one.
    pub inherited_from: Option<String>,
    /// What the finding was, for those who read the file. Nothing depends on it.
    pub about: Option<String>,
}

/// The decisions about an image: at most one for each target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// What they are about.
    pub image: Image,
    decisions: BTreeMap<Target, Decision>,
}

/// Decisions about an image of another repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("decisions about {from} cannot be inherited by {image}: that is another repository")]
#[diagnostic(help("decide about {image} by itself"))]
pub struct InheritError {
    from: String,
    image: String,
}

impl Decisions {
    /// None yet.
    pub fn new(image: Image) -> Self {
        Self {
            image,
            decisions: BTreeMap::new(),
        }
    }

    /// The decisions in this text.
    ///
    /// # Errors
    /// [`FileError::Invalid`] with line and column, [`FileError::TooLarge`] beyond 16 MiB.
    pub fn from_yaml(text: &str) -> Result<Self, FileError> {
        FORM.parse::<document::Document>(text, None).map(Self::from)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Decisions::from_yaml`], and [`FileError::File`].
    pub fn read(file: &Path) -> Result<Self, FileError> {
        FORM.parse::<document::Document>(&FORM.read(file)?, Some(file))
            .map(Self::from)
    }

    /// The inverse of [`Decisions::from_yaml`]: sorted, and the same to the byte for the same decisions.
    pub fn to_yaml(&self) -> String {
        crate::document::print(&document::Document::from(self))
    }

    /// Decides, and gives back the decision that was there.
    pub fn decide(&mut self, target: Target, decision: Decision) -> Option<Decision> {
        self.decisions.insert(target, decision)
    }

    /// All of them, sorted by target: findings first.
    pub fn iter(&self) -> impl Iterator<Item = (&Target, &Decision)> {
        self.decisions.iter()
    }

    /// Takes over what was decided about another version of the image and not about this one. Gives back how many decisions
    /// that are.
    ///
    /// # Errors
    /// [`InheritError`] if it is another repository's.
    pub fn inherit(&mut self, predecessor: &Self) -> Result<usize, InheritError> {
        if predecessor.image.repository != self.image.repository {
            return Err(InheritError {
                from: escape(predecessor.image.to_string().as_bytes()),
                image: escape(self.image.to_string().as_bytes()),
            });
        }
        let before = self.decisions.len();
        for (target, decision) in &predecessor.decisions {
            self.decisions.entry(target.clone()).or_insert_with(|| Decision {
                inherited_from: decision
                    .inherited_from
                    .clone()
                    .or_else(|| Some(predecessor.image.to_string())),
                ..decision.clone()
            });
        }
        Ok(self.decisions.len() - before)
    }
}
