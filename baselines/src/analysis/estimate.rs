//! From what was watched and seen to how much of it there is: the numbers of one image.

use std::hash::Hash;

use super::exposure::{Exposure, Sightings, UnitLength};
use crate::behaviour::Phase;
use crate::coverage::{
    Cluster, Clusters, CoverageEstimate, Criteria, Estimator, Evidence, Exposure as Starts, Interval, Losses,
    NoEstimate, PhaseCoverage, Readiness, Reliability, Resampling, UnitsNeeded, reliability,
};
use crate::document::{self, CurvePoint, Number};
use crate::time::UtcTime;

/// How many units of the steady phase a day of one container has.
const UNITS_PER_DAY: u64 = 144;
/// How many times between now and [`Criteria::held`] ago the lower end of the interval is looked at, beside now.
const LOOKS: u32 = 4;
/// How many clusters are drawn for one interval, unless that were fewer than [`REPLICATES_MIN`] times all.
const DRAWS_MAX: u32 = 4_000_000;
/// Enough for a standard error, see [`Resampling::replicates`].
const REPLICATES_MIN: u32 = 200;
/// How many points a curve has up to the units that were watched, and how many beyond them.
const CURVE_POINTS: usize = 10;

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

/// What was watched of an image, in clusters.
pub(super) struct Watched<B> {
    pub(super) startup: Vec<Cluster<B>>,
    /// In units of half the length, of the length and of twice the length.
    pub(super) steady: [Vec<Cluster<B>>; 3],
    pub(super) has_steady: bool,
    pub(super) starts: (u64, u64),
    pub(super) partial: u64,
    pub(super) ends_by_itself: bool,
    /// When that was so.
    pub(super) now: UtcTime,
}

#[derive(Debug)]
struct Estimate {
    document: document::PhaseCoverage,
    coverage: PhaseCoverage,
    curve: Vec<CurvePoint>,
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
        let resampling = resampling(seed);
        let ends_by_itself = ends_by_itself || exposure.is_short();
        let now = exposure.until();
        let startup = |until| exposure.startup(behaviours, until);
        let steady = |until| exposure.steady(behaviours, UnitLength::Whole, until);
        let watched = Watched {
            startup: startup(now),
            steady: [UnitLength::Halved, UnitLength::Whole, UnitLength::Doubled]
                .map(|length| exposure.steady(behaviours, length, now)),
            has_steady: exposure.has_steady(),
            starts: exposure.starts(ends_by_itself),
            partial: exposure.partial(),
            ends_by_itself,
            now,
        };
        let held_since = |phase| {
            let earlier = (1..=LOOKS).map(|look| now.before(criteria.held * look / LOOKS));
            let was_there = |&moment: &UtcTime| {
                let clusters = added_up(match phase {
                    Phase::Startup => startup(moment),
                    Phase::Steady => steady(moment),
                });
                is_at(criteria.target, &coverage(&clusters, &resampling))
            };
            let held = earlier.take_while(was_there).last();
            // Nobody knows what it did while nothing watched.
            held.unwrap_or(now).max(exposure.watched_since())
        };
        Self::of(watched, seed, criteria, held_since)
    }

    /// Estimates from clusters. `held_since` tells, of a phase whose interval's lower end is at the target now, since when it
    /// has been there.
    pub(super) fn of<B: Eq + Hash>(
        watched: Watched<B>,
        seed: u64,
        criteria: &Criteria,
        held_since: impl Fn(Phase) -> UtcTime,
    ) -> Self {
        let resampling = resampling(seed);
        let estimate = |clusters, phase| Estimate::new(clusters, &resampling, criteria.target, || held_since(phase));
        let [halved, whole, doubled] = watched.steady.map(added_up);
        let steady = watched.has_steady.then(|| {
            let reliability = match (&halved, &whole, &doubled) {
                (Ok(halved), Ok(whole), Ok(doubled)) => reliability(halved.counts(), whole.counts(), doubled.counts()),
                _ => Reliability::Unknown,
            };
            let per_day = whole
                .as_ref()
                .ok()
                .and_then(|clusters| clusters.counts().estimator().ok());
            let per_day = per_day.and_then(|estimator| Number::new(estimator.new_within(UNITS_PER_DAY)));
            let mut estimate = estimate(whole, Phase::Steady);
            estimate.document.new_in_next_container_day = per_day;
            estimate.document.reliability = Some(match reliability {
                Reliability::Reliable => document::Reliability::Reliable,
                Reliability::Unreliable { .. } => document::Reliability::Unreliable,
                Reliability::Unknown => document::Reliability::Unknown,
            });
            estimate.coverage.reliability = reliability;
            estimate
        });
        Self {
            startup: estimate(added_up(watched.startup), Phase::Startup),
            steady,
            starts: watched.starts,
            partial: watched.partial,
            until: watched.now,
            ends_by_itself: watched.ends_by_itself,
            criteria: *criteria,
        }
    }

    /// How many behaviours fewer or more units show, in startup and in steady.
    pub(super) fn curves(&self) -> document::Accumulation {
        document::Accumulation {
            startup: self.startup.curve.clone(),
            steady: self
                .steady
                .as_ref()
                .map_or_else(Vec::new, |steady| steady.curve.clone()),
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
        clusters: Result<Clusters, NoEstimate>,
        resampling: &Resampling,
        target: f64,
        held_since: impl FnOnce() -> UtcTime,
    ) -> Self {
        let coverage = coverage(&clusters, resampling);
        let held_since = is_at(target, &coverage).then(held_since);
        Self {
            curve: clusters.as_ref().map_or_else(|_| Vec::new(), curve),
            document: clusters.map_or_else(
                |_| document::PhaseCoverage::default(),
                |clusters| shown(&clusters, &coverage, held_since, target),
            ),
            coverage: PhaseCoverage {
                coverage,
                held_since,
                reliability: Reliability::Unknown,
            },
        }
    }
}

fn resampling(seed: u64) -> Resampling {
    Resampling {
        seed,
        ..Resampling::default()
    }
}

fn added_up<B: Eq + Hash>(clusters: Vec<Cluster<B>>) -> Result<Clusters, NoEstimate> {
    Clusters::new(clusters).map_err(|_| NoEstimate::NoUnit)
}

fn coverage(clusters: &Result<Clusters, NoEstimate>, resampling: &Resampling) -> Result<CoverageEstimate, NoEstimate> {
    let clusters = clusters.as_ref().map_err(|&no| no)?;
    // The more clusters, the less each replicate differs from the next.
    let most = DRAWS_MAX / u32::try_from(clusters.active()).unwrap_or(u32::MAX).max(1);
    clusters.coverage(&Resampling {
        replicates: resampling.replicates.min(most.max(REPLICATES_MIN)),
        ..*resampling
    })
}

/// Whether the lower end of an interval is at a target.
fn is_at(target: f64, coverage: &Result<CoverageEstimate, NoEstimate>) -> bool {
    let interval = coverage.as_ref().ok().and_then(|coverage| coverage.interval);
    interval.is_some_and(|interval| interval.lower >= target)
}

/// Nothing where there is nothing to compare with.
fn curve(clusters: &Clusters) -> Vec<CurvePoint> {
    let curve = clusters.counts().estimator().map(|it| it.accumulation(CURVE_POINTS));
    let points = curve.map_or_else(|_| Vec::new(), |it| [it.observed, it.extrapolated].concat());
    let shown = |point: &crate::coverage::CurvePoint| {
        Some(CurvePoint {
            units: point.units,
            behaviours: Number::new(point.behaviours)?,
            band: point.band.and_then(|band| {
                Some(document::Interval {
                    lower: Number::new(band.lower)?,
                    upper: Number::new(band.upper)?,
                })
            }),
        })
    };
    points.iter().filter_map(shown).collect()
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
    let chao2 = estimator.map(Estimator::chao2);
    let interval = |interval: Interval| {
        Some(document::Interval {
            lower: Number::at_least(interval.lower)?,
            upper: Number::new(interval.upper)?,
        })
    };
    document::PhaseCoverage {
        units: counts.units(),
        clusters: clusters.active() as u64,
        behaviours: counts.behaviours(),
        seen_once: counts.seen_in(1),
        seen_twice: counts.seen_in(2),
        estimate: coverage.and_then(|coverage| Number::at_least(coverage.estimate)),
        interval: coverage.and_then(|coverage| interval(coverage.interval?)),
        behaviours_at_least: chao2.and_then(|chao2| Number::new(chao2.estimate)),
        behaviours_at_least_interval: chao2.and_then(|chao2| interval(chao2.spread?.interval)),
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
