//! Is it enough, and what would help most?

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::criteria::Criteria;
use super::incidence::NoEstimate;
use super::interval::CoverageEstimate;
use super::unit_length::Reliability;
use crate::behaviour::Phase;
use crate::time::UtcTime;

/// What is known of an image when somebody asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// When that is.
    pub now: UtcTime,
    /// Its starts.
    pub startup: PhaseCoverage,
    /// What it does from then on. `None` only where there is no such thing, for jobs that are done before.
    pub steady: Option<PhaseCoverage>,
    /// How often it was seen to start, or to run.
    pub exposure: Exposure,
    /// What was lost. `None` where nobody has said: that is not the same as nothing.
    pub losses: Option<Losses>,
    /// How many of its containers are known only in part, as they ran before recording began.
    pub partial_only: u64,
    /// How much it did since it had started up, or, of jobs, in all: executions, opens and connections.
    pub activity: u64,
}

/// What is known of one phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseCoverage {
    /// How much of it was seen.
    pub coverage: Result<CoverageEstimate, NoEstimate>,
    /// Since when the lower end of the interval has been at the target without a break, if it is there.
    pub held_since: Option<UtcTime>,
    /// Whether units of another length say the same. Of a phase whose units cannot be cut (starts), nobody can tell.
    pub reliability: Reliability,
}

/// How often an image was seen to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Of what runs until it is stopped: its starts, and on how many dates.
    Starts {
        /// How many.
        count: u64,
        /// On how many dates, in UTC.
        dates: u64,
    },
    /// Of what ends by itself (a CronJob): the runs that were completed, and on how many dates.
    Runs {
        /// How many.
        count: u64,
        /// On how many dates, in UTC.
        dates: u64,
    },
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Losses {
    /// Nothing.
    RuledOut,
    /// It cannot be told that nothing was.
    NotRuledOut,
    /// Something.
    Present,
}

/// What to think of an image. Only `Ready` is a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Enough was seen.
    Ready,
    /// Not yet.
    Learning,
    /// Something was lost, or may have been.
    Lossy,
    /// A container was never seen from its start.
    Partial,
    /// It was observed, and did nothing.
    Idle,
    /// Too little is known to say anything else. Never the same as nothing being wrong.
    Unknown,
}

impl State {
    /// Every state, in the order of documents.
    pub const ALL: [Self; 6] = [
        Self::Ready,
        Self::Learning,
        Self::Lossy,
        Self::Partial,
        Self::Idle,
        Self::Unknown,
    ];

    /// The word used in documents and columns.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Learning => "learning",
            Self::Lossy => "lossy",
            Self::Partial => "partial",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// The one thing that would help most. Its text is a sentence for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Advice {
    /// Nothing has to be done.
    None,
    /// Observe it at all.
    Observe,
    /// Find out what was lost.
    AskForLosses,
    /// Learn again without the loss.
    LearnWithoutLoss(Losses),
    /// Restart containers that were running before recording began.
    RestartPartial(u64),
    /// Use it.
    Use,
    /// See a start, or a completed run.
    FirstStart(Exposure),
    /// See so many more starts, or completed runs.
    MoreStarts(Exposure, u64),
    /// See one on so many more dates.
    MoreDates(Exposure, u64),
    /// Observe so many more days of containers that were started apart from each other.
    MoreContainerDays(u64),
    /// Wait, as this phase still shows new behaviour: of what a further cluster does, this share.
    StillNew(Phase, f64),
    /// Ask for less: no number of clusters proves this target.
    LowerTarget,
    /// Wait, as units of another length tell another number of behaviours.
    DependsOnUnits,
    /// Wait for so long, to see that it stays.
    Hold(Duration),
}

impl fmt::Display for Advice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => write!(formatter, "nothing: enough was seen"),
            Self::Observe => write!(formatter, "nothing was observed: run it while a window is open"),
            Self::AskForLosses => write!(formatter, "nobody has said what was lost: ask its recorders"),
            Self::LearnWithoutLoss(Losses::Present) => {
                write!(formatter, "something was lost: remove the reason and learn again")
            }
            Self::LearnWithoutLoss(_) => {
                write!(
                    formatter,
                    "a loss cannot be ruled out: remove the reason and learn again"
                )
            }
            Self::RestartPartial(count) => write!(
                formatter,
                "{} running before recording began: roll it out once",
                plural(count, "container was", "containers were")
            ),
            Self::Use => write!(formatter, "it did nothing: send it requests, or wait until it is used"),
            Self::FirstStart(Exposure::Starts { .. }) => write!(formatter, "no restart seen: roll it out once"),
            Self::FirstStart(Exposure::Runs { .. }) => write!(formatter, "no completed run seen: run it once"),
            Self::MoreStarts(Exposure::Starts { .. }, count) => write!(
                formatter,
                "{}, each apart from the others: roll it out again",
                plural(count, "more start", "more starts")
            ),
            Self::MoreStarts(Exposure::Runs { .. }, count) => {
                write!(
                    formatter,
                    "{}",
                    plural(count, "more completed run", "more completed runs")
                )
            }
            Self::MoreDates(Exposure::Starts { .. }, count) => {
                write!(formatter, "a start on {}", plural(count, "more date", "more dates"))
            }
            Self::MoreDates(Exposure::Runs { .. }, count) => {
                write!(
                    formatter,
                    "a completed run on {}",
                    plural(count, "more date", "more dates")
                )
            }
            Self::MoreContainerDays(count) => {
                write!(
                    formatter,
                    "{}",
                    plural(count, "more container-day", "more container-days")
                )
            }
            Self::StillNew(phase, share) => {
                let when = match phase {
                    Phase::Startup => "starts still show",
                    Phase::Steady => "container-days still show",
                };
                // Shares below a tenth of a percent would read as nothing.
                write!(
                    formatter,
                    "{when} new behaviour ({:.1} %): keep learning",
                    (share * 100.0).max(0.1)
                )
            }
            Self::LowerTarget => write!(formatter, "no amount of evidence proves the target: set one below 1"),
            Self::DependsOnUnits => write!(formatter, "the estimate depends on how time is cut: learn for longer"),
            Self::Hold(left) => write!(
                formatter,
                "{} of learning without falling below the target",
                plural(left.as_secs().div_ceil(3600).max(1), "more hour", "more hours")
            ),
        }
    }
}

fn plural(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// What to think of an image, and what would help most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Readiness {
    /// What to think of it.
    pub state: State,
    /// What would help most.
    pub advice: Advice,
}

impl Readiness {
    /// Decides. What makes evidence worthless comes before what makes it too little.
    pub fn of(evidence: &Evidence, criteria: &Criteria) -> Self {
        let (state, advice) = match unusable(evidence) {
            Some(verdict) => verdict,
            None => match missing(evidence, criteria) {
                Some(advice) => (State::Learning, advice),
                None => (State::Ready, Advice::None),
            },
        };
        Self { state, advice }
    }
}

fn unusable(evidence: &Evidence) -> Option<(State, Advice)> {
    let observed = |phase: &PhaseCoverage| phase.coverage != Err(NoEstimate::NoUnit);
    if !observed(&evidence.startup) && !evidence.steady.as_ref().is_some_and(observed) {
        return Some((State::Unknown, Advice::Observe));
    }
    match evidence.losses {
        None => return Some((State::Unknown, Advice::AskForLosses)),
        Some(losses @ (Losses::Present | Losses::NotRuledOut)) => {
            return Some((State::Lossy, Advice::LearnWithoutLoss(losses)));
        }
        Some(Losses::RuledOut) => {}
    }
    if evidence.partial_only > 0 {
        return Some((State::Partial, Advice::RestartPartial(evidence.partial_only)));
    }
    (evidence.activity == 0).then_some((State::Idle, Advice::Use))
}

fn missing(evidence: &Evidence, criteria: &Criteria) -> Option<Advice> {
    let exposure = evidence.exposure;
    let (Exposure::Starts { count, dates } | Exposure::Runs { count, dates }) = exposure;
    if count == 0 {
        return Some(Advice::FirstStart(exposure));
    }
    let starts = criteria.starts.saturating_sub(count);
    let steady = match (&evidence.steady, exposure) {
        (Some(steady), _) => shortfall(steady, criteria),
        (None, Exposure::Starts { .. }) => Some(Shortfall::Clusters(1)),
        (None, Exposure::Runs { .. }) => None,
    };
    let advice = match shortfall(&evidence.startup, criteria) {
        Some(Shortfall::Clusters(clusters)) => Some(Advice::MoreStarts(exposure, clusters.max(starts))),
        Some(other) => Some(other.advice(Phase::Startup)),
        None if starts > 0 => Some(Advice::MoreStarts(exposure, starts)),
        None if dates < criteria.dates => Some(Advice::MoreDates(exposure, criteria.dates.saturating_sub(dates))),
        None => steady.map(|shortfall| shortfall.advice(Phase::Steady)),
    };
    advice
        .or_else(|| is_unreliable(evidence).then_some(Advice::DependsOnUnits))
        .or_else(|| hold(evidence, criteria).map(Advice::Hold))
}

/// What a phase lacks.
enum Shortfall {
    Clusters(u64),
    Activity,
    Novelty(f64),
    Target,
}

impl Shortfall {
    const fn advice(self, phase: Phase) -> Advice {
        match self {
            Self::Clusters(clusters) => Advice::MoreContainerDays(clusters),
            Self::Activity => Advice::Use,
            Self::Novelty(share) => Advice::StillNew(phase, share),
            Self::Target => Advice::LowerTarget,
        }
    }
}

fn shortfall(phase: &PhaseCoverage, criteria: &Criteria) -> Option<Shortfall> {
    let coverage = match &phase.coverage {
        Ok(coverage) => coverage,
        Err(NoEstimate::NothingSeen) => return Some(Shortfall::Activity),
        Err(NoEstimate::NoUnit | NoEstimate::OneUnit) => return Some(Shortfall::Clusters(1)),
    };
    if coverage
        .interval
        .is_some_and(|interval| interval.lower >= criteria.target)
    {
        return None;
    }
    Some(match coverage.clusters_missing(criteria.target) {
        None => Shortfall::Target,
        Some(0) => Shortfall::Novelty(1.0 - coverage.between_clusters.unwrap_or(0.0)),
        Some(clusters) => Shortfall::Clusters(clusters),
    })
}

fn is_unreliable(evidence: &Evidence) -> bool {
    let mut phases = evidence.steady.iter().chain([&evidence.startup]);
    phases.any(|phase| matches!(phase.reliability, Reliability::Unreliable { .. }))
}

/// How long the bound has still to be held, by the phase that reached it last.
fn hold(evidence: &Evidence, criteria: &Criteria) -> Option<Duration> {
    let left = |phase: &PhaseCoverage| {
        let held = phase
            .held_since
            .map_or(Duration::ZERO, |since| evidence.now.since(since));
        criteria.held.saturating_sub(held)
    };
    let left = evidence.steady.iter().chain([&evidence.startup]).map(left).max()?;
    (!left.is_zero()).then_some(left)
}
