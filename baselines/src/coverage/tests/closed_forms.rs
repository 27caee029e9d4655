//! Cases that can be worked out with pencil and paper.

use crate::coverage::accumulation::missed;
use crate::coverage::number::{real, real_len};
use crate::coverage::{CountError, IncidenceCounts, NoEstimate, UnitsNeeded};

fn close(computed: f64, expected: f64) {
    let tolerance = 1e-9 * expected.abs().max(1.0);
    assert!((computed - expected).abs() <= tolerance, "{computed} is not {expected}");
}

#[test]
fn counts_that_cannot_be_are_refused() {
    assert_eq!(IncidenceCounts::new(3, [1, 0]), Err(CountError::NeverSeen));
    assert_eq!(
        IncidenceCounts::new(3, [4]),
        Err(CountError::MoreThanUnits { seen: 4, units: 3 })
    );
    assert_eq!(
        IncidenceCounts::from_frequencies(3, [(1, u64::MAX), (2, 1)]),
        Err(CountError::TooMany)
    );
    // A row of nothing says nothing.
    assert_eq!(
        IncidenceCounts::from_frequencies(3, [(9, 0)]),
        IncidenceCounts::new(3, [])
    );
}

#[test]
fn there_is_no_estimate_where_nothing_can_be_compared() {
    for (units, seen, reason) in [
        (0, vec![], NoEstimate::NoUnit),
        (1, vec![1; 150], NoEstimate::OneUnit),
        (1, vec![], NoEstimate::NothingSeen),
        (1_000, vec![], NoEstimate::NothingSeen),
    ] {
        let counts = IncidenceCounts::new(units, seen).unwrap();
        assert_eq!(counts.estimator().unwrap_err(), reason, "{units}");
    }
}

#[test]
fn chao2_and_coverage_with_behaviours_seen_twice() {
    // T = 10, Q1 = 4, Q2 = 2, one behaviour in 8 units: S = 7, U = 16.
    let counts = IncidenceCounts::new(10, [1, 1, 1, 1, 2, 2, 8]).unwrap();
    let estimator = counts.estimator().unwrap();
    let chao2 = estimator.chao2();
    // 7 + 9/10 * 16/4
    close(chao2.estimate, 10.6);
    // 2 * (0.9 * 4/2 + 0.81 * (8 + 16/4))
    let spread = chao2.spread.unwrap();
    close(spread.standard_error, 23.04_f64.sqrt());
    // 3.6 unseen, taken to be log-normal: exp(1.96 sqrt(ln(1 + 23.04/3.6²)))
    let factor = (1.959_963_984_540_054 * (1.0_f64 + 16.0 / 9.0).ln().sqrt()).exp();
    close(spread.interval.lower, 7.0 + 3.6 / factor);
    close(spread.interval.upper, 7.0 + 3.6 * factor);
    // 1 - 4/16 * 36/40
    close(estimator.coverage(), 0.775);
    close(estimator.new_in_next_unit(), 0.4);
    // 4/10 * 36/40, as the share that is unseen times what a unit does: 0.225 * 16/10
    close(estimator.new_within(1), 0.36);
    // 1 - 4/16 * (36/40)^6
    close(estimator.coverage_at(15), 1.0 - 0.25 * 0.9_f64.powi(6));
    close(estimator.behaviours_at(15), 7.0 + 3.6 * (1.0 - 0.9_f64.powi(5)));
    assert!(!counts.has_nothing_rare());
}

#[test]
fn chao2_and_coverage_without_behaviours_seen_twice() {
    // T = 5, Q1 = 3, Q2 = 0, one behaviour in 4 units: S = 4, U = 7.
    let counts = IncidenceCounts::new(5, [1, 1, 1, 4]).unwrap();
    let estimator = counts.estimator().unwrap();
    let chao2 = estimator.chao2();
    // 4 + 4/5 * 3*2/2
    close(chao2.estimate, 6.4);
    // 0.8*3 + 0.64 * (3*25/4 - 81/(4*6.4))
    close(chao2.spread.unwrap().standard_error, 12.375_f64.sqrt());
    // 1 - 3/7 * 8/10
    close(estimator.coverage(), 1.0 - 3.0 / 7.0 * 0.8);
    // 1 - 3/7 * 0.8^(t+1) reaches 0.9 with t = 5.52...
    assert_eq!(estimator.units_needed(0.8), UnitsNeeded::More(3));
    assert_eq!(estimator.units_needed(0.9), UnitsNeeded::MoreThan(5));
}

#[test]
fn what_has_nothing_rare_is_estimated_to_be_complete_and_says_nothing_of_how_sure_that_is() {
    for (seen, rare) in [(vec![20, 20, 5], false), (vec![20, 2, 2], true), (vec![20, 1], true)] {
        let counts = IncidenceCounts::new(20, seen.iter().copied()).unwrap();
        let estimator = counts.estimator().unwrap();
        close(estimator.coverage(), 1.0);
        close(estimator.chao2().estimate, real_len(seen.len()));
        assert_eq!(estimator.chao2().spread, None);
        assert_eq!(counts.has_nothing_rare(), !rare);
        assert_eq!(estimator.units_needed(1.0), UnitsNeeded::Reached);
        assert_eq!(estimator.units_needed(f64::NAN), UnitsNeeded::MoreThan(20));
        close(estimator.new_within(1_000), 0.0);
    }
}

#[test]
fn fewer_units_show_what_counting_all_ways_to_choose_them_says() {
    // Four units: {a, b}, {a}, {a, c}, {c}. Two of them, in all six ways: 2, 3, 3, 2, 2, 2 behaviours.
    let counts = IncidenceCounts::new(4, [3, 1, 2]).unwrap();
    let estimator = counts.estimator().unwrap();
    close(estimator.behaviours_at(2), 14.0 / 6.0);
    close(estimator.behaviours_at(1), 6.0 / 4.0);
    close(estimator.behaviours_at(0), 0.0);
    close(estimator.coverage_at(0), 0.0);
    // Of three units the fourth has: known 1 of 2, 1 of 1, 2 of 2, 1 of 1 incidences.
    close(estimator.coverage_at(3), 5.0 / 6.0);
}

#[test]
fn the_band_is_two_standard_errors_wide_on_each_side() {
    // T = 10, S = 7, Chao2 = 10.6: at the observed units the variance is S (1 - S/Chao2).
    let counts = IncidenceCounts::new(10, [1, 1, 1, 1, 2, 2, 8]).unwrap();
    let curve = counts.estimator().unwrap().accumulation(3);
    let units: Vec<u64> = curve.observed.iter().map(|point| point.units).collect();
    assert_eq!(units, [1, 6, 10]);
    let last = curve.observed.last().unwrap();
    let half = 1.959_963_984_540_054 * (7.0_f64 * (1.0 - 7.0 / 10.6)).sqrt();
    close(last.band.unwrap().lower, 7.0 - half);
    close(last.band.unwrap().upper, 7.0 + half);
    // One unit: Σ (k/10)² Qk - 1.6²/10.6
    let first = curve.observed.first().unwrap();
    let half = 1.959_963_984_540_054 * (0.04_f64 + 0.08 + 0.64 - 2.56 / 10.6).sqrt();
    close(first.band.unwrap().upper, 1.6 + half);
    let beyond: Vec<_> = curve
        .extrapolated
        .iter()
        .map(|point| (point.units, point.band))
        .collect();
    assert_eq!(beyond, [(11, None), (16, None), (20, None)]);
    for (points, drawn) in [(0, 0), (1, 1), (usize::MAX, 10)] {
        assert_eq!(counts.estimator().unwrap().accumulation(points).observed.len(), drawn);
    }
}

#[test]
fn the_chance_to_miss_is_exact_for_any_size() {
    for (all, marked, drawn, expected) in [
        (10, 0, 5, 1.0),
        (10, 5, 0, 1.0),
        (10, 6, 5, 0.0),
        // C(7,4) / C(10,4)
        (10, 3, 4, 35.0 / 210.0),
        // C(5,5) / C(10,5)
        (10, 5, 5, 1.0 / 252.0),
        (1_000_000, 1, 500_000, 0.5),
        // 500,000 * 499,999 / (1,000,000 * 999,999)
        (1_000_000, 2, 500_000, 0.249_999_749_999_75),
        // The product of all factors, with 60 digits.
        (1_000_000, 1_000, 1_000, 0.367_511_500_417_011_25),
        (1_000_000, 7_000, 7_000, 3.710_142_443_321_034_4e-22),
        (1_000_000, 5_000, 5_000, 1.224_723_081_273_613e-11),
        (1 << 63, 3, 1 << 62, 0.125),
    ] {
        let computed = missed(all, marked, drawn);
        assert!(
            (computed - expected).abs() <= 1e-9 * f64::max(expected, 1e-9),
            "{all} {marked} {drawn}: {computed:e} is not {expected:e}"
        );
    }
}

#[test]
fn numbers_as_large_as_there_are_make_estimates_and_no_panic() {
    let huge = 1_u64 << 63;
    for counts in [
        IncidenceCounts::from_frequencies(huge, [(1, huge)]),
        IncidenceCounts::from_frequencies(huge, [(1, 2), (2, huge), (huge, 9)]),
        IncidenceCounts::from_frequencies(u64::MAX, [(1, 1), (u64::MAX, u64::MAX - 1)]),
        IncidenceCounts::from_frequencies(2, [(1, u64::MAX)]),
        IncidenceCounts::from_frequencies(huge, (0..63).map(|power| (1 << power, 1_000))),
    ] {
        let counts = counts.unwrap();
        let estimator = counts.estimator().unwrap();
        let numbers = [
            estimator.coverage(),
            estimator.coverage_at(1),
            estimator.coverage_at(huge / 2),
            estimator.coverage_at(u64::MAX),
        ];
        assert!(numbers.iter().all(|number| (0.0..=1.0).contains(number)), "{numbers:?}");
        let chao2 = estimator.chao2();
        assert!(chao2.estimate.is_finite() && chao2.estimate >= real(counts.behaviours()) * (1.0 - 1e-15));
        assert!(estimator.behaviours_at(huge / 2).is_finite());
        let curve = estimator.accumulation(5);
        assert!(curve.observed.len() <= 5 && !curve.extrapolated.is_empty());
        for target in [0.0, 0.5, 0.999, 1.0, 2.0, -1.0, f64::NAN, f64::INFINITY] {
            estimator.units_needed(target);
        }
    }
}
