//! What of a baseline needs a person's decision, and what people have decided.

use std::collections::BTreeMap;

use baselines::behaviour::{Action, Behaviour};
use baselines::document::Baseline;
use baselines::path::FilePath;
use baselines::risks::{Catalogue, Decided, Decisions, Finding, Seen};
use baselines::time::UtcTime;

use crate::policy::Forbidden;

/// A baseline's findings, with the decisions that there are about them.
#[derive(Debug)]
pub struct Risks {
    /// The findings, quarantined ones first.
    pub findings: Vec<Finding>,
    /// What was decided, for this digest or for another one of the same repository.
    pub decisions: Decisions,
}

impl Risks {
    /// Holds a baseline against a catalogue. `decisions` are those that are kept beside it.
    pub fn of(baseline: &Baseline, catalogue: &Catalogue, decisions: Option<Decisions>) -> Self {
        Self {
            findings: catalogue.assess(&Seen::from(baseline)),
            decisions: decisions.unwrap_or_else(|| Decisions::new(baseline.image.clone())),
        }
    }

    /// Each finding with what was decided about it.
    pub fn decided(&self, baseline: &Baseline, now: UtcTime) -> Vec<Decided<'_>> {
        let applied = self.decisions.apply(&self.findings, &Seen::from(baseline), now);
        applied.findings
    }

    /// The decisions that nothing fits which was seen.
    pub fn unmatched(&self, baseline: &Baseline, now: UtcTime) -> usize {
        let applied = self.decisions.apply(&self.findings, &Seen::from(baseline), now);
        applied.unmatched.len()
    }

    /// How many findings need a decision before a policy of the image can be approved.
    pub fn open(&self, baseline: &Baseline, now: UtcTime) -> usize {
        let decided = self.decided(baseline, now);
        decided.iter().filter(|decided| decided.needs_decision()).count()
    }

    /// The paths that no wildcard of a policy may admit: of what was denied, now or ever, and of what waits for a decision.
    pub fn forbidden(&self, baseline: &Baseline, now: UtcTime) -> BTreeMap<FilePath, Forbidden> {
        let waiting = self.decided(baseline, now).into_iter().filter(Decided::needs_decision);
        let waiting = waiting.flat_map(|decided| decided.finding.sightings.iter().map(|seen| &seen.behaviour));
        let split = self.decisions.split(&self.findings, &baseline.behaviours);
        let removed: Vec<Behaviour> = split.removed.all().map(|(behaviour, _)| behaviour).collect();
        let denied = self.decisions.denied().chain(&removed);
        let undecided = waiting
            .flat_map(objects)
            .map(|path| (path.clone(), Forbidden::Undecided));
        let denied = denied.flat_map(objects).map(|path| (path.clone(), Forbidden::Denied));
        undecided.chain(denied).collect()
    }

    /// Takes out of a baseline what was denied; how many behaviours that is.
    pub fn remove_denied(&self, baseline: &mut Baseline) -> usize {
        let split = self.decisions.split(&self.findings, &baseline.behaviours);
        baseline.behaviours = split.kept;
        split.removed.all().count()
    }
}

/// The files that something was done with, without the program that did it.
fn objects(behaviour: &Behaviour) -> impl Iterator<Item = &FilePath> {
    let [first, second] = match &behaviour.action {
        Action::Exec { binary, script, .. } => [Some(binary), script.as_ref()],
        Action::Open { path, backing, .. } => [Some(path), backing.as_ref()],
        Action::ConnectUnix { path } => [Some(path), None],
        Action::Raise { binary, .. } => [Some(binary), None],
        Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => [None, None],
    };
    first.into_iter().chain(second)
}
