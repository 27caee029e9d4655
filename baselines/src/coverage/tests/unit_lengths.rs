//! Units halved and doubled.

use crate::coverage::random::Random;
use crate::coverage::{IncidenceCounts, Reliability, reliability};

/// Counts of behaviours that were seen at some moments, with units of so many moments.
fn counts(seen: &[Vec<u64>], moments: u64, length: u64) -> IncidenceCounts {
    let units = seen.iter().map(|moments| {
        let units: std::collections::BTreeSet<u64> = moments.iter().map(|moment| moment / length).collect();
        u64::try_from(units.len()).unwrap()
    });
    IncidenceCounts::new(moments / length, units).unwrap()
}

/// Behaviours that begin at moments of their own, some often and most rarely, and then go on for a while.
fn behaviours(moments: u64, run: u64) -> Vec<Vec<u64>> {
    let mut random = Random::new(3);
    let starts: Vec<u64> = (0..moments - run).collect();
    (0..200)
        .map(|behaviour| {
            (0..=20 / (1 + behaviour / 4))
                .flat_map(|_| {
                    let start = *random.choose(&starts).unwrap();
                    start..start + run
                })
                .collect()
        })
        .collect()
}

fn of(seen: &[Vec<u64>], moments: u64) -> Reliability {
    reliability(
        &counts(seen, moments, 5),
        &counts(seen, moments, 10),
        &counts(seen, moments, 20),
    )
}

#[test]
fn behaviours_that_come_one_by_one_are_estimated_the_same_with_every_length() {
    assert_eq!(of(&behaviours(20_000, 1), 20_000), Reliability::Reliable);
}

#[test]
fn behaviours_that_come_in_runs_as_long_as_a_unit_are_not() {
    let Reliability::Unreliable {
        halved,
        estimate,
        doubled,
    } = of(&behaviours(20_000, 10), 20_000)
    else {
        panic!("it is not seen");
    };
    assert!(halved < estimate && estimate < doubled, "{halved} {estimate} {doubled}");
}

#[test]
fn one_behaviour_more_or_less_is_allowed_and_two_of_few_are_not() {
    let exactly = |behaviours: u64| IncidenceCounts::from_frequencies(10, [(5, behaviours)]).unwrap();
    for (halved, doubled, reliable) in [(3, 3, true), (2, 4, true), (3, 5, false), (1, 3, false)] {
        let verdict = reliability(&exactly(halved), &exactly(3), &exactly(doubled));
        assert_eq!(verdict == Reliability::Reliable, reliable, "{verdict:?}");
    }
    for (halved, doubled, reliable) in [(95, 110, true), (100, 111, false), (89, 100, false)] {
        let verdict = reliability(&exactly(halved), &exactly(100), &exactly(doubled));
        assert_eq!(verdict == Reliability::Reliable, reliable, "{verdict:?}");
    }
}

#[test]
fn without_an_estimate_nothing_is_said() {
    let some = IncidenceCounts::new(10, [5]).unwrap();
    let one_unit = IncidenceCounts::new(1, [1]).unwrap();
    assert_eq!(reliability(&some, &some, &one_unit), Reliability::Unknown);
    assert_eq!(reliability(&one_unit, &some, &some), Reliability::Unknown);
}
