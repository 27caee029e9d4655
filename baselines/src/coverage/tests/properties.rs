//! What holds for any data.

use proptest::prelude::*;

use crate::coverage::number::{real, real_sum};
use crate::coverage::{Cluster, Clusters, IncidenceCounts, Resampling, UnitsNeeded};

/// Some units, and in how many of them each behaviour was seen; rare ones most of the time.
fn counts() -> impl Strategy<Value = IncidenceCounts> {
    (2_u64..400).prop_flat_map(|units| {
        let seen = prop_oneof![3 => 1..=units.min(3), 1 => 1..=units];
        prop::collection::vec(seen, 1..40).prop_map(move |seen| IncidenceCounts::new(units, seen).unwrap())
    })
}

/// Clusters of some units each, with behaviours from a small set.
fn clusters() -> impl Strategy<Value = Vec<Cluster<u8>>> {
    let cluster = (1_u64..20).prop_flat_map(|units| {
        prop::collection::btree_map(any::<u8>(), 1..=units, 0..12).prop_map(move |seen| Cluster {
            units,
            seen: seen.into_iter().collect(),
        })
    });
    prop::collection::vec(cluster, 2..8)
}

proptest! {
    #[test]
    fn coverage_is_a_share_and_chao2_is_no_less_than_what_was_seen(counts in counts()) {
        let estimator = counts.estimator().unwrap();
        prop_assert!((0.0..=1.0).contains(&estimator.coverage()));
        let chao2 = estimator.chao2();
        let seen = real(counts.behaviours());
        prop_assert!(chao2.estimate >= seen);
        if let Some(spread) = chao2.spread {
            let interval = spread.interval;
            prop_assert!(spread.standard_error > 0.0);
            prop_assert!(seen <= interval.lower && interval.lower <= chao2.estimate && chao2.estimate <= interval.upper);
        }
    }

    /// Turing's coverage, 1 - Q1/U, is the worst that any number of idle units makes of it.
    #[test]
    fn idle_units_lower_coverage_a_little_and_never_below_turings(counts in counts(), idle in 1_u64..1_000_000) {
        let padded = IncidenceCounts::from_frequencies(counts.units() + idle, counts.frequencies()).unwrap();
        let (before, after) = (counts.estimator().unwrap().coverage(), padded.estimator().unwrap().coverage());
        let turing = 1.0 - real(counts.seen_in(1)) / real_sum(counts.incidences());
        prop_assert!(after <= before + 1e-12 && after >= turing - 1e-12);
    }

    /// More of the same does not always raise coverage (idle units lower it, and so does a behaviour that goes from two
    /// units to three, as then there is less reason to think that few are unseen). Seeing again what was seen once does.
    #[test]
    fn seeing_a_unique_behaviour_once_more_never_lowers_coverage(counts in counts()) {
        prop_assume!(counts.seen_in(1) > 0);
        let moved = counts.frequencies().map(|(seen, many)| match seen {
            1 => (1, many - 1),
            _ => (seen, many),
        });
        let again = IncidenceCounts::from_frequencies(counts.units(), moved.chain([(2, 1)])).unwrap();
        let (before, after) = (counts.estimator().unwrap().coverage(), again.estimator().unwrap().coverage());
        prop_assert!(after >= before - 1e-12, "{before} {after}");
    }

    #[test]
    fn the_curve_rises_through_what_was_seen_towards_chao2(counts in counts(), points in 2_usize..40) {
        let estimator = counts.estimator().unwrap();
        let seen = real(counts.behaviours());
        prop_assert!((estimator.behaviours_at(counts.units()) - seen).abs() < 1e-9);
        prop_assert!((estimator.coverage_at(counts.units()) - estimator.coverage()).abs() < 1e-12);
        let curve = estimator.accumulation(points);
        prop_assert_eq!(curve.observed.first().unwrap().units, 1);
        prop_assert_eq!(curve.observed.last().unwrap().units, counts.units());
        prop_assert_eq!(curve.extrapolated.last().unwrap().units, 2 * counts.units());
        let all: Vec<_> = curve.observed.iter().chain(&curve.extrapolated).collect();
        for pair in all.windows(2) {
            prop_assert!(pair[0].units < pair[1].units);
            prop_assert!(pair[0].behaviours <= pair[1].behaviours + 1e-9);
            prop_assert!((0.0..=1.0).contains(&pair[1].coverage));
        }
        prop_assert!(all.last().unwrap().behaviours <= estimator.chao2().estimate + 1e-9);
        for point in &curve.observed {
            let band = point.band.unwrap();
            prop_assert!(band.lower <= point.behaviours && point.behaviours <= band.upper);
        }
    }

    /// A behaviour is missed by a unit taken at random as often as it was not seen.
    #[test]
    fn one_unit_shows_what_a_unit_shows_on_average(counts in counts()) {
        let average = real_sum(counts.incidences()) / real(counts.units());
        prop_assert!((counts.estimator().unwrap().behaviours_at(1) - average).abs() < 1e-9);
    }

    #[test]
    fn the_units_needed_are_enough_and_one_less_is_not(counts in counts(), target in 0.01_f64..0.999) {
        let estimator = counts.estimator().unwrap();
        match estimator.units_needed(target) {
            UnitsNeeded::Reached => prop_assert!(estimator.coverage() >= target),
            UnitsNeeded::More(more) => {
                prop_assert!(more >= 1 && more <= counts.units());
                prop_assert!(estimator.coverage_at(counts.units() + more) >= target - 1e-9);
                prop_assert!(estimator.coverage_at(counts.units() + more - 1) < target + 1e-9);
            }
            UnitsNeeded::MoreThan(units) => {
                prop_assert_eq!(units, counts.units());
                prop_assert!(estimator.coverage_at(2 * units) < target + 1e-9);
            }
        }
    }

    #[test]
    fn the_order_of_behaviours_changes_nothing(seen in prop::collection::vec(1_u64..9, 1..30)) {
        let backwards = seen.iter().rev().copied();
        prop_assert_eq!(IncidenceCounts::new(9, seen.iter().copied()), IncidenceCounts::new(9, backwards));
    }

    #[test]
    fn clusters_add_up_to_the_counts_in_any_order_and_make_the_same_interval(clusters in clusters(), seed: u64) {
        let resampling = Resampling { seed, replicates: 100, ..Resampling::default() };
        let forwards = Clusters::new(clusters.iter().cloned()).unwrap();
        let backwards = Clusters::new(clusters.iter().rev().cloned().map(|mut cluster| {
            cluster.seen.reverse();
            cluster
        })).unwrap();
        prop_assert_eq!(forwards.counts(), backwards.counts());
        prop_assert_eq!(forwards.coverage(&resampling), backwards.coverage(&resampling));
        prop_assert_eq!(forwards.counts().units(), clusters.iter().map(|cluster| cluster.units).sum::<u64>());
    }

    #[test]
    fn the_interval_holds_the_estimate_and_proves_no_more_than_it_can(clusters in clusters(), seed: u64) {
        let resampling = Resampling { seed, replicates: 100, ..Resampling::default() };
        let clusters = Clusters::new(clusters).unwrap();
        prop_assume!(clusters.active() >= 2);
        let coverage = clusters.coverage(&resampling).unwrap();
        let interval = coverage.interval.unwrap();
        prop_assert!(0.0 <= interval.lower && interval.lower <= coverage.estimate);
        prop_assert!(coverage.estimate <= interval.upper && interval.upper <= 1.0);
        prop_assert!(interval.lower <= coverage.provable() && coverage.provable() < 1.0);
        prop_assert!((0.0..=1.0).contains(&clusters.first_surprise()));
        prop_assert!((0.0..=1.0).contains(&coverage.between_clusters.unwrap()));
    }
}
