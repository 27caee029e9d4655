//! What of a baseline needs a person's decision, and what people have decided.

use baselines::document::Baseline;
use baselines::risks::{Catalogue, Decided, Decisions, Finding, Seen};
use baselines::time::UtcTime;

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

    /// Takes out of a baseline what was denied; how many behaviours that is.
    pub fn remove_denied(&self, baseline: &mut Baseline) -> usize {
        let split = self.decisions.split(&self.findings, &baseline.behaviours);
        baseline.behaviours = split.kept;
        split.removed.all().count()
    }
}
