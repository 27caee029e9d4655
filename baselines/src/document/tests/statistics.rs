use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::coverage::numbers;
use crate::document::{
    Accumulation, Activity, Baseline, Behaviours, Calendar, Counts, CurvePoint, Interval, Number, Quantiles, RankCount,
    Rate, StartsOfDay, Statistics, from_yaml, to_yaml,
};
use crate::testing::seconds;

pub(super) fn rates() -> impl Strategy<Value = Rate> {
    let quantiles = (numbers(), numbers(), numbers()).prop_map(|(p10, p50, p90)| Quantiles { p10, p50, p90 });
    (numbers(), option::of(quantiles)).prop_map(|(mean, over_containers)| Rate { mean, over_containers })
}

fn curves() -> impl Strategy<Value = Vec<CurvePoint>> {
    let band = (numbers(), numbers()).prop_map(|(lower, upper)| Interval { lower, upper });
    let point = (any::<u64>(), numbers(), option::of(band)).prop_map(|(units, behaviours, band)| CurvePoint {
        units,
        behaviours,
        band,
    });
    vec(point, 0..3)
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let start = (0_u64..9_000_000_000, any::<u64>()).prop_map(|(day, starts)| StartsOfDay {
        day: seconds(day),
        starts,
    });
    let by_hour = proptest::array::uniform24(any::<u64>()).prop_map(Counts);
    let by_weekday = any::<[u64; 7]>().prop_map(Counts);
    (by_hour, by_weekday, vec(start, 0..3), any::<u64>()).prop_map(|(by_hour, by_weekday, starts, earlier_starts)| {
        Calendar {
            watched_by_hour: by_hour,
            active_by_hour: Counts::default(),
            watched_by_weekday: Counts::default(),
            active_by_weekday: by_weekday,
            starts,
            earlier_starts,
        }
    })
}

pub(super) fn statistics() -> impl Strategy<Value = Statistics> {
    let rank = any::<[u64; 2]>().prop_map(|[rank, count]| RankCount { rank, count });
    let activity =
        (numbers(), numbers(), numbers()).prop_map(|(execs, opens, connects)| Activity { execs, opens, connects });
    let accumulation = (curves(), curves()).prop_map(|(startup, steady)| Accumulation { startup, steady });
    (numbers(), activity, vec(rank, 0..3), accumulation, calendars()).prop_map(
        |(container_hours, activity, rank_frequency, accumulation, calendar)| Statistics {
            container_hours,
            activity,
            rank_frequency,
            accumulation,
            calendar,
        },
    )
}

/// The example with everything that was counted later.
fn counted() -> Baseline {
    let ratio = |dividend, divisor| Number::quotient(dividend, divisor).unwrap();
    let mut baseline = super::example();
    let mut connect = baseline.behaviours.connect.remove(0);
    connect.evidence.days = Some(3);
    baseline.containers[0].partial = false;
    baseline.containers[0].startup_until = Some("2026-11-21T09:31:00Z".parse().unwrap());
    connect.evidence.rate = Some(Rate {
        mean: ratio(12, 72),
        over_containers: Some(Quantiles {
            p10: ratio(0, 1),
            p50: ratio(1, 6),
            p90: ratio(1, 3),
        }),
    });
    let mut calendar = Calendar {
        starts: vec![StartsOfDay {
            day: "2026-11-21T00:00:00Z".parse().unwrap(),
            starts: 2,
        }],
        earlier_starts: 1,
        ..Calendar::default()
    };
    calendar.watched_by_hour.0[9] = 3;
    calendar.active_by_hour.0[9] = 1;
    calendar.watched_by_weekday.0[5] = 3;
    calendar.active_by_weekday.0[5] = 1;
    Baseline {
        behaviours: Behaviours {
            connect: vec![connect],
            ..Behaviours::default()
        },
        statistics: Some(Statistics {
            container_hours: ratio(72, 1),
            activity: Activity {
                execs: ratio(1, 72),
                opens: ratio(1_388_888, 1_000),
                connects: ratio(12, 72),
            },
            rank_frequency: vec![RankCount { rank: 1, count: 12 }],
            accumulation: Accumulation {
                startup: Vec::new(),
                steady: vec![
                    CurvePoint {
                        units: 432,
                        behaviours: ratio(40, 1),
                        band: Some(Interval {
                            lower: ratio(391, 10),
                            upper: ratio(409, 10),
                        }),
                    },
                    CurvePoint {
                        units: 864,
                        behaviours: ratio(411, 10),
                        band: None,
                    },
                ],
            },
            calendar,
        }),
        ..baseline
    }
}

#[test]
fn a_document_with_statistics_looks_like_this() {
    let golden = include_str!("../statistics.yaml");
    assert_eq!(to_yaml(&counted()), golden);
    assert_eq!(from_yaml(golden).unwrap(), counted());
}

#[test]
fn quotients_are_rounded_to_six_decimals() {
    for (dividend, divisor, expected) in [
        (0, 1, "0.0"),
        (1, 3, "0.333333"),
        (2, 3, "0.666667"),
        (1, 2_000_000, "1e-6"),
        (1, 2_000_001, "0.0"),
        (u128::from(u64::MAX), 1, "1.8446744073709552e19"),
    ] {
        let number = Number::quotient(dividend, divisor).unwrap();
        assert_eq!(serde_yaml::to_string(&number).unwrap().trim_end(), expected);
    }
    assert_eq!(Number::quotient(1, 0), None);
    assert_eq!(Number::quotient(u128::MAX, 1), None);
}

#[test]
fn a_calendar_of_other_hours_is_refused_with_its_place() {
    let text = include_str!("../statistics.yaml");
    let week = "watchedByWeekday: 0 0 0 0 0 3 0";
    for wrong in [
        "0 0 0 0 0 3",
        "0 0 0 0 0 3 0 0",
        "0 0 0 0 0 -3 0",
        "0 0 0 0 0  3 0",
        "x",
    ] {
        let forged = text.replacen(week, &format!("watchedByWeekday: {wrong}"), 1);
        assert_ne!(forged, text);
        let error = from_yaml(&forged).unwrap_err().to_string();
        assert!(
            error.ends_with(
                "statistics.calendar.watchedByWeekday: 7 whole numbers are meant, with one blank between them"
            ),
            "{error}"
        );
    }
}
