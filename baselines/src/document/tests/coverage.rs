use proptest::option;
use proptest::prelude::*;

use crate::coverage::State;
use crate::document::{Coverage, Criteria, Interval, Number, PhaseCoverage, Reliability, UnitsNeeded};
use crate::testing::seconds;

use super::texts;

pub(super) fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![0.0..1.0_f64, 0.0..1e12_f64, Just(0.0), Just(1.0), Just(1e300)]
        .prop_map(|value| Number::new(value).unwrap())
}

fn phases() -> impl Strategy<Value = PhaseCoverage> {
    let reliability = prop::sample::select(vec![
        Reliability::Reliable,
        Reliability::Unreliable,
        Reliability::Unknown,
    ]);
    (
        any::<[u64; 5]>(),
        proptest::array::uniform4(option::of(numbers())),
        proptest::array::uniform2(option::of((numbers(), numbers()))),
        option::of((any::<u64>(), any::<bool>())),
        option::of(reliability),
        option::of(0_u64..9_000_000_000),
    )
        .prop_map(|(counts, numbers, intervals, needed, reliability, held)| {
            let [units, clusters, behaviours, seen_once, seen_twice] = counts;
            let [
                estimate,
                behaviours_at_least,
                new_in_next_unit,
                new_in_next_container_day,
            ] = numbers;
            let [interval, behaviours_at_least_interval] =
                intervals.map(|interval| interval.map(|(lower, upper)| Interval { lower, upper }));
            PhaseCoverage {
                units,
                clusters,
                behaviours,
                seen_once,
                seen_twice,
                estimate,
                interval,
                behaviours_at_least,
                behaviours_at_least_interval,
                new_in_next_unit,
                new_in_next_container_day,
                units_needed: needed.map(|(units, or_more)| UnitsNeeded { units, or_more }),
                reliability,
                held_since: held.map(seconds),
            }
        })
}

pub(super) fn coverages() -> impl Strategy<Value = Coverage> {
    let state = prop::sample::select(State::ALL.to_vec());
    let criteria = (numbers(), any::<[u64; 3]>()).prop_map(|(target, [held_hours, starts, dates])| Criteria {
        target,
        held_hours,
        starts,
        dates,
    });
    (state, texts(), criteria, phases(), option::of(phases())).prop_map(|(state, advice, criteria, startup, steady)| {
        Coverage {
            state,
            advice,
            criteria,
            startup,
            steady,
        }
    })
}

/// One that has everything.
pub(super) fn example() -> Coverage {
    let number = |value| Number::new(value).unwrap();
    let phase = PhaseCoverage {
        units: 1,
        clusters: 1,
        behaviours: 1,
        seen_once: 1,
        ..PhaseCoverage::default()
    };
    Coverage {
        state: State::Learning,
        advice: "2 more starts, each apart from the others: roll it out again".to_owned(),
        criteria: Criteria {
            target: number(0.95),
            held_hours: 24,
            starts: 3,
            dates: 2,
        },
        startup: phase,
        steady: Some(PhaseCoverage {
            units: 432,
            clusters: 3,
            behaviours: 40,
            seen_once: 2,
            seen_twice: 1,
            estimate: Some(number(0.998_76)),
            interval: Some(Interval {
                lower: number(0.936_844),
                upper: number(1.0),
            }),
            behaviours_at_least: Some(number(41.995)),
            behaviours_at_least_interval: Some(Interval {
                lower: number(40.1803),
                upper: number(62.0818),
            }),
            new_in_next_unit: Some(number(0.0046)),
            new_in_next_container_day: Some(number(0.61)),
            units_needed: Some(UnitsNeeded {
                units: 432,
                or_more: true,
            }),
            reliability: Some(Reliability::Reliable),
            held_since: Some("2026-11-21T09:30:00Z".parse().unwrap()),
        }),
    }
}

#[test]
fn numbers_are_rounded_to_four_decimals_and_a_lower_bound_is_never_rounded_up() {
    for (value, rounded, at_least) in [
        (0.0, "0", "0"),
        (0.949_96, "0.95", "0.9499"),
        (0.949_94, "0.9499", "0.9499"),
        (1.0, "1", "1"),
        (12.345_678, "12.3457", "12.3456"),
    ] {
        let text = |number: Option<Number>| number.unwrap().get().to_string();
        assert_eq!(text(Number::new(value)), rounded, "{value}");
        assert_eq!(text(Number::at_least(value)), at_least, "{value}");
    }
    for none in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert_eq!(Number::new(none), None, "{none}");
    }
}

#[test]
fn a_document_with_a_number_that_cannot_be_is_refused_with_its_place() {
    let text = crate::document::to_yaml(&super::example());
    for wrong in ["-1.0", ".nan", ".inf"] {
        let forged = text.replacen("estimate: 0.9988", &format!("estimate: {wrong}"), 1);
        assert_ne!(forged, text);
        let error = crate::document::from_yaml(&forged).unwrap_err().to_string();
        assert!(error.contains("a number from 0 on is meant"), "{error}");
    }
}
