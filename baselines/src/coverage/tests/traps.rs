//! What makes other estimates say that an image is covered when it is not, or never.

use std::time::Duration;

use crate::coverage::{
    Advice, Cluster, Clusters, Criteria, Evidence, Exposure, Losses, NoEstimate, PhaseCoverage, Readiness, Reliability,
    Resampling, State,
};
use crate::time::UtcTime;

const DAY: Duration = Duration::from_hours(24);

fn at(days: u32) -> UtcTime {
    UtcTime::from_nanos(u64::try_from((DAY * (20_000 + days)).as_nanos()).unwrap())
}

fn phase(clusters: Vec<Cluster<String>>) -> PhaseCoverage {
    PhaseCoverage {
        reliability: Reliability::Unknown,
        coverage: Clusters::new(clusters).unwrap().coverage(&Resampling::default()),
        // Whatever the caller believes: without a bound at the target there is nothing to hold.
        held_since: Some(at(0)),
    }
}

fn named(names: &[&str], count: u64, seen: u64) -> Vec<(String, u64)> {
    (0..count)
        .flat_map(|number| names.iter().map(move |name| (format!("{name}{number}"), seen)))
        .collect()
}

/// A container that does the same every day, and has run for a week.
fn steady_week() -> PhaseCoverage {
    phase(
        (0..7)
            .map(|_| Cluster {
                units: 144,
                seen: named(&["open /srv/"], 20, 100),
            })
            .collect(),
    )
}

fn readiness(startup: PhaseCoverage, starts: u64) -> Readiness {
    let evidence = Evidence {
        now: at(7),
        startup,
        steady: Some(steady_week()),
        exposure: Exposure::Starts {
            count: starts,
            dates: 1,
        },
        losses: Some(Losses::RuledOut),
        partial_only: 0,
        activity: 1_000_000,
    };
    Readiness::of(&evidence, &Criteria::default())
}

#[test]
fn one_start_with_150_behaviours_is_not_covered_after_a_week_of_steady_running() {
    let start = phase(vec![Cluster {
        units: 1,
        seen: named(&["open /etc/"], 150, 1),
    }]);
    assert_eq!(start.coverage, Err(NoEstimate::OneUnit));
    let steady = steady_week().coverage.unwrap();
    assert!(
        steady.interval.unwrap().lower > 0.95,
        "the week itself is covered: {steady:?}"
    );
    for (starts, advice) in [(0, "no restart seen: roll it out once"), (1, "2 more starts")] {
        let readiness = readiness(start, starts);
        assert_eq!(readiness.state, State::Learning);
        assert!(readiness.advice.to_string().starts_with(advice), "{}", readiness.advice);
    }
}

#[test]
fn three_replicas_started_at_once_are_not_covered_at_once() {
    // They are one cluster of three units, in all of which the same was done: no behaviour is rare.
    let starts = phase(vec![Cluster {
        units: 3,
        seen: named(&["open /etc/"], 150, 3),
    }]);
    let coverage = starts.coverage.unwrap();
    assert!((coverage.estimate - 1.0).abs() < 1e-12);
    assert_eq!(coverage.interval, None);
    let readiness = readiness(starts, 3);
    assert_eq!(readiness.state, State::Learning);
    assert!(matches!(readiness.advice, Advice::MoreStarts(_, 4)), "{readiness:?}");
}

#[test]
fn thirty_fresh_temporary_names_a_unit_hold_coverage_down_only_until_they_are_one_behaviour() {
    let day = |day: u64, general: bool| {
        let mut seen = named(&["open /srv/"], 20, 144);
        if general {
            seen.push(("open /tmp/*".to_owned(), 144));
        } else {
            seen.extend((0..144 * 30).map(|number| (format!("open /tmp/{day}-{number}"), 1)));
        }
        Cluster { units: 144, seen }
    };
    let lower = |general| {
        let coverage = phase((0..7).map(|number| day(number, general)).collect())
            .coverage
            .unwrap();
        (coverage.estimate, coverage.interval.unwrap().lower)
    };
    let (estimate, bound) = lower(false);
    assert!(estimate < 0.45 && bound < 0.45, "raw names: {estimate} {bound}");
    let (estimate, bound) = lower(true);
    assert!(estimate > 0.999 && bound > 0.95, "generalised: {estimate} {bound}");
}

#[test]
fn what_comes_in_runs_of_many_units_is_not_covered_though_nothing_is_rare() {
    // Each day has something of its own that goes on for an hour: to units nothing was ever seen less than six times.
    let days = (0..7)
        .map(|day| Cluster {
            units: 144,
            seen: named(&["open /srv/"], 2, 100)
                .into_iter()
                .chain(named(&[&format!("job {day} ")], 20, 6))
                .collect(),
        })
        .collect();
    let coverage = phase(days).coverage.unwrap();
    assert!((coverage.estimate - 1.0).abs() < 1e-12);
    assert!(coverage.interval.unwrap().lower < 0.7, "{coverage:?}");
}

#[test]
fn a_container_that_idles_for_a_year_next_to_one_that_works_is_no_evidence() {
    let idle = (0..365).map(|_| Cluster {
        units: 144,
        seen: Vec::new(),
    });
    let work = Cluster {
        units: 144,
        seen: named(&["open /srv/"], 20, 100),
    };
    let coverage = phase(idle.chain([work]).collect()).coverage.unwrap();
    assert_eq!((coverage.clusters, coverage.interval), (1, None));
}
