//! How often, how much and when.

use proptest::prelude::*;

use super::*;
use crate::analysis::exposure::Days;
use crate::analysis::statistics::Watching;
use crate::document::{Number, Quantiles, RankCount, Rate, StartsOfDay, Statistics};
use crate::time::UtcTime;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

fn number(dividend: u128, divisor: u128) -> Number {
    Number::quotient(dividend, divisor).unwrap()
}

/// A container that lives from one second to another.
fn lives(number: u64, from: u64, until: u64) -> Container {
    Container {
        started: seconds(from),
        alive_until: seconds(until),
        ..container(number, "app")
    }
}

/// Watching containers that a window watched from the first second on, for so many seconds each.
fn watching(lengths: &[u64]) -> Watching {
    let mut watching = Watching::default();
    for (number, &length) in (1..).zip(lengths) {
        let span = (seconds(0), seconds(length));
        watching.add(&lives(number, 0, length), &Days::default(), &[span]);
    }
    watching
}

fn statistics(path: PathBuf) -> Statistics {
    only(baselines(&[path]).unwrap()).statistics.unwrap()
}

#[test]
fn containers_that_do_not_show_a_behaviour_have_the_rate_zero() {
    // Ten containers of two hours each; the last three showed it.
    let ten = watching(&[2 * HOUR; 10]);
    assert_eq!(
        ten.rate(&[(7, 2), (8, 200), (9, 20)]),
        Rate {
            mean: number(222, 20),
            over_containers: Some(Quantiles {
                p10: number(0, 1),
                p50: number(0, 1),
                p90: number(10, 1),
            }),
        }
    );
    // A day of one container and an hour of another: the rate of both together is not the mean of their rates.
    let two = watching(&[24 * HOUR, HOUR]);
    assert_eq!(
        two.rate(&[(0, 24), (1, 26)]),
        Rate {
            mean: number(2, 1),
            over_containers: Some(Quantiles {
                p10: number(1, 1),
                p50: number(1, 1),
                p90: number(26, 1),
            }),
        }
    );
}

#[test]
fn one_container_has_no_quantiles_and_counts_for_a_minute_at_least() {
    assert_eq!(
        watching(&[0]).rate(&[(0, 1)]),
        Rate {
            mean: number(60, 1),
            over_containers: None,
        }
    );
    assert_eq!(watching(&[HOUR]).rate(&[(0, 1)]).mean, number(1, 1));
}

#[test]
fn what_several_windows_watched_counts_once() {
    let rate = |spans: &[(u64, u64)]| {
        let spans: Vec<_> = spans
            .iter()
            .map(|&(from, until)| (seconds(from), seconds(until)))
            .collect();
        let mut watching = Watching::default();
        watching.add(&lives(1, HOUR, 5 * HOUR), &Days::default(), &spans);
        watching.rate(&[(0, 4)]).mean
    };
    let cases: [(&[(u64, u64)], u128); 5] = [
        (&[(0, 9 * HOUR)], 4),
        (&[(HOUR, 3 * HOUR), (2 * HOUR, 5 * HOUR)], 4),
        (&[(HOUR, 2 * HOUR), (3 * HOUR, 4 * HOUR)], 2),
        // One within the other; and one that was over before it began, as a clock that was set back tells it.
        (&[(HOUR, 3 * HOUR), (HOUR, 2 * HOUR)], 2),
        (&[(HOUR, 2 * HOUR), (4 * HOUR, 3 * HOUR)], 1),
    ];
    for (spans, hours) in cases {
        assert_eq!(rate(spans), number(4, hours), "{spans:?}");
    }
}

#[test]
fn an_image_has_the_days_rates_and_ranks_of_its_behaviours() {
    let folder = Folder::new();
    let at = |cgroup_id, path, second, count| Observation {
        count,
        ..observation(cgroup_id, path, seconds(second))
    };
    let mut observations = vec![
        at(1, "/often", 60, 90),
        at(2, "/often", DAY, 10),
        at(1, "/seldom", 120, 1),
        at(1, "/seldom", 180, 1),
    ];
    observations[2].phase = Phase::Startup;
    let containers = vec![lives(1, 0, HOUR), lives(2, 0, HOUR)];
    let path = folder.recorded("a.db", "n1", &[flush(containers, observations)]);
    let baseline = only(baselines(&[path]).unwrap());
    let evidence: Vec<_> = baseline.behaviours.open.iter().map(|open| &open.evidence).collect();
    assert_eq!((evidence[0].days, evidence[1].days), (Some(2), Some(1)));
    assert_eq!(evidence[0].rate.unwrap().mean, number(50, 1));
    assert_eq!(evidence[1].rate.unwrap().over_containers.unwrap().p50, number(0, 1));
    let statistics = baseline.statistics.unwrap();
    assert_eq!(statistics.container_hours, number(2, 1));
    assert_eq!(statistics.activity.opens, number(102, 2));
    assert_eq!(statistics.activity.execs, number(0, 1));
    let ranks = [RankCount { rank: 1, count: 100 }, RankCount { rank: 2, count: 2 }];
    assert_eq!(statistics.rank_frequency, ranks);
}

#[test]
fn ranks_are_evenly_spaced_on_a_logarithmic_axis() {
    let folder = Folder::new();
    let opens = (0..120).map(|number| observation(1, &format!("/bin/{number:03}x"), seconds(60)));
    let path = folder.recorded("a.db", "n1", &[flush(vec![lives(1, 0, HOUR)], opens.collect())]);
    let ranks: Vec<u64> = statistics(path).rank_frequency.iter().map(|it| it.rank).collect();
    assert_eq!(ranks, [1, 2, 5, 10, 20, 50, 100, 120]);
}

#[test]
fn the_curve_ends_at_what_was_seen_and_is_bounded() {
    let folder = Folder::new();
    let opens = (0..400).map(|minute| {
        observation(
            1,
            &format!("/etc/{}", "abc".repeat(minute / 40)),
            seconds(60 * minute as u64),
        )
    });
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    writer
        .flush(id, &flush(vec![lives(1, 0, 24_000)], opens.collect()))
        .unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(24_000)).unwrap();
    let baseline = only(baselines(&[path]).unwrap());
    let (coverage, curves) = (baseline.coverage.unwrap(), baseline.statistics.unwrap().accumulation);
    // There is one start: nothing to compare it with.
    assert!(curves.startup.is_empty());
    assert_eq!(curves.steady.len(), 20);
    let steady = coverage.steady.unwrap();
    let last = curves.steady.iter().rfind(|point| point.band.is_some()).unwrap();
    assert_eq!(last.units, steady.units);
    assert_eq!(last.behaviours, Number::new(10.0).unwrap());
    assert_eq!(steady.behaviours, 10);
    assert_eq!(curves.steady.last().unwrap().units, 2 * steady.units);
}

#[test]
fn the_calendar_tells_when_it_was_watched_and_when_it_did_anything() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    // The epoch was a Thursday. From 22:30 on that day to 01:30 on the next.
    let (from, until) = (22 * HOUR + HOUR / 2, DAY + HOUR + HOUR / 2);
    let id = writer.start_window(&window(seconds(from))).unwrap();
    let seen = observation(1, "/a", seconds(DAY + 60));
    let entered = Observation {
        provenance: Provenance::Entered,
        ..observation(1, "/a", seconds(from))
    };
    let before = Container {
        partial: true,
        ..lives(2, from, until)
    };
    writer
        .flush(id, &flush(vec![lives(1, from, until), before], vec![seen, entered]))
        .unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(until)).unwrap();
    let calendar = statistics(path).calendar;
    let hours = |counts: [u64; 24]| {
        let hours = counts.iter().enumerate().filter(|(_, count)| **count > 0);
        hours.map(|(hour, count)| (hour, *count)).collect::<Vec<_>>()
    };
    assert_eq!(hours(calendar.watched_by_hour.0), [(0, 1), (1, 1), (22, 1), (23, 1)]);
    assert_eq!(hours(calendar.active_by_hour.0), [(0, 1)]);
    assert_eq!(calendar.watched_by_weekday.0, [0, 0, 0, 1, 1, 0, 0]);
    assert_eq!(calendar.active_by_weekday.0, [0, 0, 0, 0, 1, 0, 0]);
    let start = StartsOfDay {
        day: UtcTime::default(),
        starts: 1,
    };
    assert_eq!(calendar.starts, [start]);
}

#[test]
fn a_calendar_names_the_last_dates_and_counts_the_rest() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let containers: Vec<Container> = (0..40).map(|day| lives(day + 1, day * DAY, day * DAY + 60)).collect();
    writer
        .flush(id, &flush(containers, vec![observation(1, "/a", seconds(0))]))
        .unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(41 * DAY)).unwrap();
    let calendar = statistics(path).calendar;
    assert_eq!((calendar.starts.len(), calendar.earlier_starts), (31, 9));
    assert_eq!(calendar.starts[0].day, seconds(9 * DAY));
}

proptest! {
    #[test]
    fn how_watching_is_cut_into_windows_and_their_order_change_nothing(
        spans in proptest::collection::vec((0_u64..400_000, 1_u64..100_000), 1..6),
        at in any::<prop::sample::Index>(),
    ) {
        let whole: Vec<_> = spans.iter().map(|&(from, length)| (seconds(from), seconds(from + length))).collect();
        let mut cut = whole.clone();
        let (from, until) = cut.remove(at.index(whole.len()));
        let middle = UtcTime::from_nanos(u64::midpoint(from.nanos().cast_unsigned(), until.nanos().cast_unsigned()));
        cut.extend([(middle, until), (from, middle)]);
        let watched = |spans: &[(UtcTime, UtcTime)]| {
            let mut watching = Watching::default();
            watching.add(&lives(1, 50_000, 300_000), &Days::default(), spans);
            watching
        };
        prop_assert_eq!(watched(&whole), watched(&cut));
    }
}
