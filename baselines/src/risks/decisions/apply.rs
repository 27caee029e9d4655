//! What decisions say about findings.

use std::collections::BTreeSet;

use super::{About, Decision, Decisions, Target, Verdict};
use crate::behaviour::Behaviour;
use crate::document::Behaviours;
use crate::risks::assess::{Finding, Flagged, Seen, Standing};
use crate::risks::key::core;
use crate::time::UtcTime;

/// What was decided about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State<'a> {
    /// Nothing.
    Undecided,
    /// It is allowed. Where each of its behaviours was decided about by itself, this is the last of these decisions.
    Allowed(&'a Decision),
    /// It is denied: all of it is taken out.
    Denied(&'a Decision),
    /// It was allowed for a time that is over: it needs a decision again.
    Expired(&'a Decision),
}

/// A finding, and what was decided about it.
#[derive(Clone, Copy, Debug)]
pub struct Decided<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// What was decided.
    pub state: State<'a>,
}

impl Decided<'_> {
    /// Whether a person has to decide before a policy of the image can be approved.
    pub fn needs_decision(&self) -> bool {
        self.finding.standing == Standing::Quarantined && matches!(self.state, State::Undecided | State::Expired(_))
    }

    /// The word for what the finding asks of people, given what was decided.
    pub const fn word(&self) -> &'static str {
        match (self.finding.standing, self.state) {
            (Standing::Apart, _) => "not learned",
            (_, State::Allowed(_)) => "allowed",
            (_, State::Denied(_)) => "denied",
            (Standing::Quarantined, State::Expired(_)) => "expired",
            (Standing::Quarantined, State::Undecided) => "undecided",
            (Standing::Flagged(Flagged::SingleContainer), _) => "one container",
            (Standing::Flagged(Flagged::Informational), _) => "info",
        }
    }
}

/// Findings with what was decided about them.
#[derive(Clone, Debug)]
pub struct Applied<'a> {
    /// The findings, in their order.
    pub findings: Vec<Decided<'a>>,
    /// The decisions that nothing fits which was seen: remembered, in case that it is seen again.
    pub unmatched: Vec<(&'a Target, &'a Decision)>,
}

/// What was learned, without what was denied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Split {
    /// What may be in a policy as far as decisions go. What is quarantined is still among it.
    pub kept: Behaviours,
    /// What was denied.
    pub removed: Behaviours,
}

impl Decisions {
    /// What these decisions say now about findings, and which of them are about nothing that was seen. What was not learned
    /// needs no decision and gets none.
    pub fn apply<'a>(&'a self, findings: &'a [Finding], seen: &Seen<'_>, now: UtcTime) -> Applied<'a> {
        let decided = findings.iter().map(|finding| Decided {
            finding,
            state: match finding.standing {
                Standing::Apart => State::Undecided,
                Standing::Quarantined | Standing::Flagged(_) => self.state(finding, now),
            },
        });
        let keys = learned(findings).map(|finding| About::Finding(finding.key.clone()));
        let behaviours = seen
            .learned
            .all()
            .map(|(behaviour, _)| About::Behaviour(core(&behaviour)));
        let known: BTreeSet<About> = keys.chain(behaviours).collect();
        Applied {
            findings: decided.collect(),
            unmatched: self.iter().filter(|(target, _)| !known.contains(&target.0)).collect(),
        }
    }

    /// Takes out of what was learned what is denied, by itself or with a finding.
    pub fn split(&self, findings: &[Finding], behaviours: &Behaviours) -> Split {
        let is_denied = |finding: &&Finding| {
            let decision = self.decisions.get(&Target::finding(finding.key.clone()));
            decision.is_some_and(|decision| decision.verdict == Verdict::Deny)
        };
        let in_findings: BTreeSet<Behaviour> = learned(findings)
            .filter(is_denied)
            .flat_map(|finding| finding.sightings.iter().map(|sighting| core(&sighting.behaviour)))
            .collect();
        let mut split = Split::default();
        for (behaviour, reached, evidence) in behaviours.all_reached() {
            let by_itself = self.decisions.get(&Target::behaviour(&behaviour));
            let is_denied = by_itself.is_some_and(|decision| decision.verdict == Verdict::Deny)
                || in_findings.contains(&core(&behaviour));
            let list = if is_denied { &mut split.removed } else { &mut split.kept };
            list.push_reached(behaviour, reached.to_vec(), evidence.clone());
        }
        split
    }

    /// The behaviours that are denied by themselves, seen or not.
    pub fn denied(&self) -> impl Iterator<Item = &Behaviour> {
        self.iter().filter_map(|(target, decision)| match &target.0 {
            About::Behaviour(behaviour) if decision.verdict == Verdict::Deny => Some(behaviour),
            _ => None,
        })
    }

    fn state(&self, finding: &Finding, now: UtcTime) -> State<'_> {
        if let Some(decision) = self.decisions.get(&Target::finding(finding.key.clone())) {
            return state(decision, now);
        }
        // Or each of its behaviours was decided about by itself: what matters is what is left open, then what is allowed.
        let by_itself = finding.sightings.iter().map(|sighting| {
            let decision = self.decisions.get(&Target::behaviour(&sighting.behaviour));
            decision.map_or(State::Undecided, |decision| state(decision, now))
        });
        by_itself.min_by_key(State::rank).unwrap_or(State::Undecided)
    }
}

impl State<'_> {
    /// The most open first; of two that are equally open the one that was decided last.
    fn rank(&self) -> (u8, std::cmp::Reverse<UtcTime>) {
        let (rank, decision) = match self {
            Self::Undecided => (0, None),
            Self::Expired(decision) => (1, Some(decision)),
            Self::Allowed(decision) => (2, Some(decision)),
            Self::Denied(decision) => (3, Some(decision)),
        };
        let when = decision.map_or(UtcTime::default(), |decision| decision.when);
        (rank, std::cmp::Reverse(when))
    }
}

fn state(decision: &Decision, now: UtcTime) -> State<'_> {
    match decision.verdict {
        Verdict::Deny => State::Denied(decision),
        Verdict::Allow { until: Some(until) } if until <= now => State::Expired(decision),
        Verdict::Allow { .. } => State::Allowed(decision),
    }
}

fn learned(findings: &[Finding]) -> impl Iterator<Item = &Finding> {
    findings.iter().filter(|finding| finding.standing != Standing::Apart)
}
