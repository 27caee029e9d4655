//! From what was watched and seen to how much of it there is: the numbers of one image.

use super::exposure::{Exposure, Sightings, UnitLength};
use crate::coverage::{
    Cluster, Clusters, CoverageEstimate, Criteria, Evidence, Exposure as Starts, Losses, NoEstimate, PhaseCoverage,
    Readiness, Reliability, Resampling, UnitsNeeded, reliability,
};
use crate::document::{self, Number};
use crate::time::UtcTime;

/// How many units of the steady phase a day of one container has.
const UNITS_PER_DAY: u64 = 144;
/// How many times between now and [`Criteria::held`] ago the lower end of the interval is looked at, beside now.
const LOOKS: u32 = 4;
/// How many clusters are drawn for one interval, unless that were fewer than [`REPLICATES_MIN`] times all.
const DRAWS_MAX: u32 = 4_000_000;
/// Enough for a standard error, see [`Resampling::replicates`].
const REPLICATES_MIN: u32 = 200;

/// What was estimated of an image. It does not hold what that was made of.
#[derive(Debug)]
pub(super) struct Estimated {
    startup: Estimate,
    steady: Option<Estimate>,
    starts: (u64, u64),
    partial: u64,
    until: UtcTime,
    ends_by_itself: bool,
    criteria: Criteria,
}

#[derive(Debug)]
struct Estimate {
    document: document::PhaseCoverage,
    coverage: PhaseCoverage,
}

impl Estimated {
    /// Estimates from the behaviours of an image, generalised. The same recordings make the same numbers: `seed` is the
    /// image's. `ends_by_itself` is what jobs do.
    pub(super) fn new(
        exposure: &Exposure,
        behaviours: &[Sightings],
        seed: u64,
        ends_by_itself: bool,
        criteria: &Criteria,
    ) -> Self {
        let resampling = Resampling {
            seed,
            ..Resampling::default()
        };
        let ends_by_itself = ends_by_itself || exposure.is_short();
        let startup = |until| exposure.startup(behaviours, until);
        let steady = |until| exposure.steady(behaviours, UnitLength::Whole, until);
        let until = exposure.until();
        let steady = exposure.has_steady().then(|| {
            let mut estimate = Estimate::new(steady, exposure, &resampling, criteria);
            let of_length = |length| {
                let clusters = Clusters::new(exposure.steady(behaviours, length, until)).ok()?;
                Some(clusters.counts().clone())
            };
            let lengths = [UnitLength::Halved, UnitLength::Whole, UnitLength::Doubled].map(of_length);
            let document = &mut estimate.document;
            let reliability = match &lengths {
                [Some(halved), Some(counts), Some(doubled)] => reliability(halved, counts, doubled),
                _ => Reliability::Unknown,
            };
            document.reliability = Some(match reliability {
                Reliability::Reliable => document::Reliability::Reliable,
                Reliability::Unreliable { .. } => document::Reliability::Unreliable,
                Reliability::Unknown => document::Reliability::Unknown,
            });
            let estimator = lengths[1].as_ref().and_then(|counts| counts.estimator().ok());
            document.new_in_next_container_day =
                estimator.and_then(|estimator| Number::new(estimator.new_within(UNITS_PER_DAY)));
            estimate.coverage.reliability = reliability;
            estimate
        });
        Self {
            startup: Estimate::new(startup, exposure, &resampling, criteria),
            steady,
            starts: exposure.starts(ends_by_itself),
            partial: exposure.partial(),
            until,
            ends_by_itself,
            criteria: *criteria,
        }
    }

    /// The verdict, given what was lost.
    pub(super) fn into_document(self, losses: Losses) -> document::Coverage {
        let criteria = self.criteria;
        let steady = self.steady.as_ref().map(|steady| steady.document.behaviours);
        let activity = match steady {
            Some(steady) if !self.ends_by_itself => steady,
            _ => self.startup.document.behaviours + steady.unwrap_or(0),
        };
        let (count, dates) = self.starts;
        let readiness = Readiness::of(
            &Evidence {
                now: self.until,
                startup: self.startup.coverage,
                steady: self.steady.as_ref().map(|steady| steady.coverage),
                exposure: if self.ends_by_itself {
                    Starts::Runs { count, dates }
                } else {
                    Starts::Starts { count, dates }
                },
                losses: Some(losses),
                partial_only: self.partial,
                activity,
            },
            &criteria,
        );
        document::Coverage {
            state: readiness.state,
            advice: readiness.advice.to_string(),
            criteria: document::Criteria {
                target: Number::new(criteria.target).unwrap_or_default(),
                held_hours: criteria.held.as_secs() / 3600,
                starts: criteria.starts,
                dates: criteria.dates,
            },
            startup: self.startup.document,
            steady: self.steady.map(|steady| steady.document),
        }
    }
}

impl Estimate {
    fn new(
        clusters: impl Fn(UtcTime) -> Vec<Cluster<usize>>,
        exposure: &Exposure,
        resampling: &Resampling,
        criteria: &Criteria,
    ) -> Self {
        let until = exposure.until();
        let at = |until| Clusters::new(clusters(until)).map_err(|_| NoEstimate::NoUnit);
        let now = at(until);
        let coverage = |clusters: &Result<Clusters, NoEstimate>| {
            let clusters = clusters.as_ref().map_err(|&no| no)?;
            // The more clusters, the less each replicate differs from the next.
            let most = DRAWS_MAX / u32::try_from(clusters.active()).unwrap_or(u32::MAX).max(1);
            clusters.coverage(&Resampling {
                replicates: resampling.replicates.min(most.max(REPLICATES_MIN)),
                ..*resampling
            })
        };
        let coverage_now = coverage(&now);
        let is_there = |coverage: &Result<CoverageEstimate, NoEstimate>| {
            let interval = coverage.as_ref().ok().and_then(|coverage| coverage.interval);
            interval.is_some_and(|interval| interval.lower >= criteria.target)
        };
        let earlier = (1..=LOOKS).map(|look| until.before(criteria.held * look / LOOKS));
        let held_since = is_there(&coverage_now).then(|| {
            let held = earlier.take_while(|&moment| is_there(&coverage(&at(moment))));
            // Nobody knows what it did while nothing watched.
            held.last().unwrap_or(until).max(exposure.watched_since())
        });
        Self {
            document: now.map_or_else(
                |_| document::PhaseCoverage::default(),
                |clusters| shown(&clusters, &coverage_now, held_since, criteria.target),
            ),
            coverage: PhaseCoverage {
                coverage: coverage_now,
                held_since,
                reliability: Reliability::Unknown,
            },
        }
    }
}

fn shown(
    clusters: &Clusters,
    coverage: &Result<CoverageEstimate, NoEstimate>,
    held_since: Option<UtcTime>,
    target: f64,
) -> document::PhaseCoverage {
    let counts = clusters.counts();
    let coverage = coverage.as_ref().ok();
    let estimator = counts.estimator().ok();
    document::PhaseCoverage {
        units: counts.units(),
        clusters: clusters.active() as u64,
        behaviours: counts.behaviours(),
        seen_once: counts.seen_in(1),
        seen_twice: counts.seen_in(2),
        estimate: coverage.and_then(|coverage| Number::at_least(coverage.estimate)),
        interval: coverage.and_then(|coverage| {
            let interval = coverage.interval?;
            Some(document::Interval {
                lower: Number::at_least(interval.lower)?,
                upper: Number::new(interval.upper)?,
            })
        }),
        behaviours_at_least: estimator.and_then(|estimator| Number::new(estimator.chao2().estimate)),
        new_in_next_unit: estimator.and_then(|estimator| Number::new(estimator.new_in_next_unit())),
        new_in_next_container_day: None,
        units_needed: estimator.map(|estimator| match estimator.units_needed(target) {
            UnitsNeeded::Reached => document::UnitsNeeded {
                units: 0,
                or_more: false,
            },
            UnitsNeeded::More(units) => document::UnitsNeeded { units, or_more: false },
            UnitsNeeded::MoreThan(units) => document::UnitsNeeded { units, or_more: true },
        }),
        reliability: None,
        held_since: held_since.map(UtcTime::whole_second),
    }
}
