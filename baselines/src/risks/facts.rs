//! What is told from all behaviours of an image together.

use std::collections::HashSet;

use super::assess::Observed;
use super::chain::{Step, chain};
use super::condition::Fact;
use super::matcher::{Facts, Known, Matcher, compared, peer};
use super::values::Scope;
use crate::behaviour::{Access, Action};
use crate::path::{FilePath, Origin};

/// What there is to know of an image.
#[derive(Debug)]
pub(super) struct Image<'a> {
    written: HashSet<&'a [u8]>,
    connect_out: HashSet<&'a FilePath>,
    listen: HashSet<&'a FilePath>,
}

impl<'a> Image<'a> {
    pub(super) fn new(all: impl Iterator<Item = &'a Observed<'a>>) -> Self {
        let mut image = Self {
            written: HashSet::new(),
            connect_out: HashSet::new(),
            listen: HashSet::new(),
        };
        for Observed { behaviour, .. } in all {
            match &behaviour.action {
                Action::Open { path, access, .. } if is_written(*access) && has_name(path) => {
                    image.written.insert(compared(path));
                }
                Action::Listen { .. } => {
                    image.listen.insert(&behaviour.subject);
                }
                action @ (Action::Connect { .. } | Action::Send { .. })
                    if peer(action).is_some_and(|(address, ..)| Scope::of(address) == Scope::Public) =>
                {
                    image.connect_out.insert(&behaviour.subject);
                }
                _ => {}
            }
        }
        image
    }

    /// What is known of each behaviour but the chain.
    pub(super) fn facts(&self, observed: &Observed<'_>) -> Facts {
        let mut facts = Facts::default();
        let subject = &observed.behaviour.subject;
        match &observed.behaviour.action {
            Action::Exec { binary, script, .. } => {
                let is_drift = |path: &FilePath| has_name(path) && self.written.contains(compared(path));
                if is_drift(binary) || script.as_ref().is_some_and(is_drift) {
                    facts.insert(Fact::WrittenAndExecuted);
                }
                if self.connect_out.contains(subject) {
                    facts.insert(Fact::ParentConnectsOut);
                }
                if self.listen.contains(subject) {
                    facts.insert(Fact::ParentListens);
                }
            }
            Action::Open { path, access, .. }
                if access.contains(Access::MAP) && has_name(path) && self.written.contains(compared(path)) =>
            {
                facts.insert(Fact::WrittenAndMapped);
            }
            _ => {}
        }
        facts
    }

    /// Of each behaviour, whether it is a step of the entry point's chain.
    pub(super) fn chain<'b>(
        &self,
        matcher: &Matcher,
        observed: &'b [Observed<'_>],
        known: &mut Known<'b>,
    ) -> Vec<bool> {
        let mut is_step = vec![false; observed.len()];
        let mut steps = Vec::new();
        let mut places = Vec::new();
        for (place, it) in is_step.iter_mut().zip(observed) {
            if let Action::Exec { binary, .. } = &it.behaviour.action {
                let parent = &it.behaviour.subject;
                steps.push(Step {
                    parent,
                    parent_is_runtime: matcher.is_runtime(parent, known),
                    binary,
                    binary_is_launcher: matcher.is_launcher(binary, known),
                    evidence: it.evidence,
                });
                places.push(place);
            }
        }
        for (place, is_in) in places.into_iter().zip(chain(&steps, &self.written)) {
            *place = is_in;
        }
        is_step
    }
}

fn is_written(access: Access) -> bool {
    access.contains(Access::WRITE) || access.contains(Access::CREATE)
}

/// Whether two paths of the same bytes are of the same name.
fn has_name(path: &FilePath) -> bool {
    matches!(path.origin(), Origin::Canonical | Origin::Deleted)
}
