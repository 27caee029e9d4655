//! Holding an image's behaviours against a catalogue.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::catalogue::Catalogue;
use super::condition::Fact;
use super::entry::{Entry, Example, Grouping, Severity};
use super::facts::Image;
use super::key::{FindingKey, core};
use super::matcher::{Case, Known};
use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::document::{Baseline, Behaviours, Evidence, Reached};
use crate::time::UtcTime;

/// How many containers are many: a leader, and two that are like each other.
pub const CONTAINERS_MANY: u64 = 3;

/// What was seen of an image.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What was learned.
    pub learned: &'a Behaviours,
    /// What was seen and not learned: debug sessions, the container runtime.
    pub not_learned: &'a Behaviours,
    /// How many containers ran the image.
    pub containers: u64,
}

impl<'a> From<&'a Baseline> for Seen<'a> {
    fn from(baseline: &'a Baseline) -> Self {
        Self {
            learned: &baseline.behaviours,
            not_learned: &baseline.not_learned,
            containers: baseline.containers.len() as u64,
        }
    }
}

/// What a finding asks of people. The order is the one in which findings are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It needs a decision before a policy of the image can be approved.
    Quarantined,
    /// It is shown.
    Flagged(Flagged),
    /// It was not learned, and is shown apart.
    Apart,
}

/// Why a finding needs no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flagged {
    /// One container out of many did it: a leader does what replicas do not. Never said of [`Severity::High`] and more,
    /// because an intrusion begins in one container, too.
    SingleContainer,
    /// The entry is [`Severity::Info`].
    Informational,
}

/// A risk that an image takes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finding {
    /// Its name, which has the entry's id in it.
    pub key: FindingKey,
    /// How much it matters.
    pub severity: Severity,
    /// What it asks of people.
    pub standing: Standing,
    /// What was seen, sorted by action and subject; never empty.
    pub sightings: Vec<Sighting>,
}

impl Finding {
    /// One sentence: the first behaviour, and how many more there are.
    pub fn sentence(&self) -> String {
        match self.sightings.as_slice() {
            [] => String::new(),
            [only] => only.behaviour.to_string(),
            [first, others @ ..] => format!("{}, and {} more", first.behaviour, others.len()),
        }
    }
}

/// A behaviour that a finding is about.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sighting {
    /// What was done.
    pub behaviour: Behaviour,
    /// Whom it reached.
    pub reached: Vec<Reached>,
    /// How often, where and when.
    pub evidence: Evidence,
}

/// A behaviour, on its way into a case.
#[derive(Debug)]
pub(super) struct Observed<'a> {
    pub(super) behaviour: Behaviour,
    pub(super) reached: &'a [Reached],
    pub(super) evidence: &'a Evidence,
}

fn observed(behaviours: &Behaviours) -> Vec<Observed<'_>> {
    let all = behaviours.all_reached();
    let all = all.map(|(behaviour, reached, evidence)| Observed {
        behaviour,
        reached,
        evidence,
    });
    all.collect()
}

/// What one finding is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    is_apart: bool,
    entry: usize,
    /// Unless the entry's behaviours are all together.
    about: Option<Behaviour>,
    subject: Option<crate::path::FilePath>,
}

impl Catalogue {
    /// What of this is a risk: quarantined first, then flagged, then apart; in each the most severe first, then by key. The
    /// order of the behaviours makes no difference.
    pub fn assess(&self, seen: &Seen<'_>) -> Vec<Finding> {
        let (learned, apart) = (observed(seen.learned), observed(seen.not_learned));
        let mut groups: BTreeMap<Group, Vec<Sighting>> = BTreeMap::new();
        self.each_case(&learned, &apart, |is_apart, case| {
            for (index, entry) in self.matching(case) {
                let behaviour = case.behaviour;
                let (about, subject) = match entry.decide {
                    Grouping::Behaviour => (Some(core(behaviour)), None),
                    Grouping::Subject => (None, Some(behaviour.subject.clone())),
                    Grouping::Together => (None, None),
                };
                let group = Group {
                    is_apart,
                    entry: index,
                    about,
                    subject,
                };
                groups.entry(group).or_default().push(Sighting {
                    behaviour: behaviour.clone(),
                    reached: case.reached.to_vec(),
                    evidence: case.evidence.clone(),
                });
            }
        });
        let findings = groups.into_iter().filter_map(|(group, sightings)| {
            let entry = self.entries().get(group.entry)?;
            Some(finding(entry, group.is_apart, sightings, seen.containers))
        });
        let mut findings: Vec<Finding> = findings.collect();
        findings.sort_by(|a, b| {
            let rank = |finding: &Finding| (finding.standing, Reverse(finding.severity));
            (rank(a), &a.key).cmp(&(rank(b), &b.key))
        });
        findings
    }

    /// The entries that a case is a matter of: those that match it and yield to none that does.
    fn matching(&self, case: &Case<'_>) -> impl Iterator<Item = (usize, &Entry)> {
        let matching: Vec<usize> = self.matcher.matching(case).collect();
        let yields = |index: &usize| {
            let yields_to = self.yields_to.get(*index);
            yields_to.is_some_and(|others| others.iter().any(|other| matching.contains(other)))
        };
        let left: Vec<usize> = matching.iter().copied().filter(|index| !yields(index)).collect();
        left.into_iter()
            .filter_map(|index| Some((index, self.entries().get(index)?)))
    }

    /// Makes a case of each behaviour, and says whether it was not learned.
    fn each_case<'a>(
        &self,
        learned: &'a [Observed<'a>],
        apart: &'a [Observed<'a>],
        mut each: impl FnMut(bool, &Case<'a>),
    ) {
        let mut known = Known::default();
        let image = Image::new(learned.iter().chain(apart));
        let chain = image.chain(&self.matcher, learned, &mut known);
        let learned = learned.iter().zip(chain).map(|(it, is_step)| (false, it, is_step));
        let apart = apart.iter().map(|it| (true, it, false));
        for (is_apart, observed, is_step) in learned.chain(apart) {
            let mut facts = image.facts(observed);
            if is_step {
                facts.insert(Fact::Entrypoint);
            }
            let Observed {
                behaviour,
                reached,
                evidence,
            } = observed;
            each(
                is_apart,
                &self.matcher.case((behaviour, reached, evidence), facts, &mut known),
            );
        }
    }

    /// Whether an entry matches an example.
    pub(super) fn does_match(&self, entry: usize, example: &Example) -> bool {
        let provenance = example.provenance.unwrap_or(Provenance::Workload);
        let evidence = Evidence {
            count: 1,
            units: 1,
            containers: 1,
            nodes: 1,
            days: None,
            rate: None,
            first_seen: UtcTime::default(),
            last_seen: UtcTime::default(),
            phases: vec![example.phase.unwrap_or(Phase::Steady)],
            provenance: vec![provenance],
        };
        let reached: Vec<Reached> = example.dns_name.iter().cloned().map(Reached::by_name).collect();
        let observed = |behaviour: &Behaviour| Observed {
            behaviour: behaviour.clone(),
            reached: &reached,
            evidence: &evidence,
        };
        let all: Vec<Observed<'_>> = [example.behaviour()]
            .into_iter()
            .chain(example.with())
            .map(observed)
            .collect();
        let (learned, apart): (&[_], &[_]) = if provenance.is_learned() {
            (&all, &[])
        } else {
            (&[], &all)
        };
        // The example is the first one.
        let mut first = None;
        self.each_case(learned, apart, |_, case| {
            first.get_or_insert_with(|| self.matcher.matching(case).any(|index| index == entry));
        });
        first == Some(true)
    }
}

impl Reached {
    /// An address that this name was asked for, and of which nothing else is known.
    fn by_name(name: crate::dns::DnsName) -> Self {
        Self {
            peer: crate::peer::Peer::Unknown(crate::peer::Untold::NoCluster),
            dns_name: Some(name),
            count: 1,
            containers: 1,
            first_seen: UtcTime::default(),
            last_seen: UtcTime::default(),
        }
    }
}

fn finding(entry: &Entry, is_apart: bool, mut sightings: Vec<Sighting>, containers: u64) -> Finding {
    sightings.sort_by(|Sighting { behaviour: a, .. }, Sighting { behaviour: b, .. }| {
        (&a.action, &a.subject).cmp(&(&b.action, &b.subject))
    });
    let behaviours: Vec<&Behaviour> = sightings.iter().map(|sighting| &sighting.behaviour).collect();
    let key = FindingKey::new(&entry.id, entry.decide, &behaviours);
    // Of several behaviours, each of one container, nobody can tell whether that is the same one.
    let is_of_one =
        containers >= CONTAINERS_MANY && matches!(sightings.as_slice(), [it] if it.evidence.containers <= 1);
    let standing = match entry.severity {
        _ if is_apart => Standing::Apart,
        Severity::Info => Standing::Flagged(Flagged::Informational),
        Severity::Low | Severity::Medium if is_of_one => Standing::Flagged(Flagged::SingleContainer),
        _ => Standing::Quarantined,
    };
    Finding {
        key,
        severity: entry.severity,
        standing,
        sightings,
    }
}
