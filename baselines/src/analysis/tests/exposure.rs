//! What counts as watched, and as seen.

use std::time::Duration;

use crate::analysis::exposure::{Days, Exposure, Sightings, UnitLength, days};
use crate::coverage::Cluster;
use crate::recording::Container;
use crate::testing::{container, seconds};
use crate::time::UtcTime;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
const FOREVER: UtcTime = UtcTime::from_nanos(u64::MAX);

/// A container of one workload that lives from one second to another.
fn lives(number: u64, from: u64, until: u64) -> Container {
    let mut lives = container(number, "app");
    lives.workload.name = "web".to_owned();
    lives.started = seconds(from);
    lives.alive_until = seconds(until);
    lives
}

fn at(minutes: &[u64]) -> Days {
    let mut days = Days::default();
    for minute in minutes {
        days.insert(seconds(minute * MINUTE).minute());
    }
    days
}

/// An exposure of containers that one window watched, from the first second to this one.
fn watched(containers: &[Container], until: u64) -> Exposure {
    let mut exposure = Exposure::default();
    for container in containers {
        exposure.add(container, None, Days::default(), &[(seconds(0), seconds(until))]);
    }
    exposure
}

fn units(clusters: &[Cluster<usize>]) -> Vec<u64> {
    clusters.iter().map(|cluster| cluster.units).collect()
}

#[test]
fn units_are_aligned_to_utc_and_may_be_halved_and_doubled() {
    let cases = [
        (&[][..], [0, 0, 0]),
        (&[0], [1, 1, 1]),
        (&[0, 4], [1, 1, 1]),
        (&[4, 5], [2, 1, 1]),
        (&[9, 10], [2, 2, 1]),
        (&[19, 20], [2, 2, 2]),
        // The last word of a day, and the next day.
        (&[1439, 1440], [2, 2, 2]),
        (&[0, 5, 10, 15, 20, 25, 30, 35], [8, 4, 2]),
    ];
    for (minutes, expected) in cases {
        let days = at(minutes);
        let lengths = [UnitLength::Halved, UnitLength::Whole, UnitLength::Doubled];
        assert_eq!(lengths.map(|length| days.units(length)), expected, "{minutes:?}");
    }
}

#[test]
fn idle_units_are_there_from_a_minute_after_the_start_until_the_end_of_window_or_container() {
    let steady = |exposure: &Exposure| units(&exposure.steady(&[], UnitLength::Whole, FOREVER));
    // From 00:01 to 00:59: six units.
    assert_eq!(steady(&watched(&[lives(1, 0, 3599)], 2 * 3600)), [6]);
    // The window ends before it.
    assert_eq!(steady(&watched(&[lives(1, 0, 3599)], 1799)), [3]);
    // It ends before it has started up.
    assert!(steady(&watched(&[lives(1, 0, 59)], 3600)).is_empty());
    // Its start was not seen: nothing is start-up.
    let partial = Container {
        partial: true,
        ..lives(1, 0, 59)
    };
    let exposure = watched(&[partial], 3600);
    assert_eq!((steady(&exposure), exposure.partial()), (vec![1], 1));
    // It took fifteen minutes to start up.
    let mut exposure = Exposure::default();
    let watched = [(seconds(0), seconds(3600))];
    exposure.add(
        &lives(1, 0, 3599),
        Some(seconds(15 * MINUTE)),
        Days::default(),
        &watched,
    );
    assert_eq!(steady(&exposure), [5]);
    // Two windows, with a pause of an hour between them.
    let watched = [(seconds(0), seconds(1199)), (seconds(4800), seconds(5999))];
    let mut exposure = Exposure::default();
    exposure.add(&lives(1, 0, DAY), None, Days::default(), &watched);
    assert_eq!(steady(&exposure), [4]);
    // Whatever windows say: when it was seen to do something it was watched.
    let mut exposure = Exposure::default();
    exposure.add(&lives(1, 0, 3599), None, at(&[100]), &[]);
    assert_eq!(steady(&exposure), [1]);
}

#[test]
fn containers_that_start_together_are_one_cluster_of_each_day() {
    let starts = [0, 9 * MINUTE, 18 * MINUTE, 2 * 3600];
    let containers: Vec<Container> = (1..)
        .zip(starts)
        .map(|(id, start)| lives(id, start, 2 * DAY - 1))
        .collect();
    let mut other = lives(9, 0, 2 * DAY - 1);
    other.workload.name = "db".to_owned();
    let exposure = watched(&[containers, vec![other]].concat(), 2 * DAY - 1);
    // The second is within ten minutes of the first, the third is not: starts that trickle are no single one. The fourth is
    // another, and so is the other workload.
    let mut sizes = units(&exposure.startup(&[], FOREVER));
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 1, 1, 2]);
    assert_eq!(exposure.starts(false), (4, 1));
    // Two days each.
    let mut sizes = units(&exposure.steady(&[], UnitLength::Whole, FOREVER));
    sizes.sort_unstable();
    assert_eq!(sizes, [132, 143, 144, 144, 144, 144, 144 + 143, 2 * 144]);
    // And of the first twelve hours, none of the second day.
    let mut sizes = units(&exposure.steady(&[], UnitLength::Whole, seconds(DAY / 2 - 1)));
    sizes.sort_unstable();
    assert_eq!(sizes, [60, 71, 72, 72 + 71]);
    // The order in which containers come changes nothing.
    let forwards: Vec<Container> = (1..)
        .zip(starts)
        .map(|(id, start)| lives(id, start, 3 * 3600))
        .collect();
    let backwards: Vec<Container> = forwards.iter().rev().cloned().collect();
    assert_eq!(
        watched(&forwards, DAY).starts(false),
        watched(&backwards, DAY).starts(false)
    );
}

#[test]
fn a_run_counts_once_it_has_ended_by_itself() {
    let ended = lives(1, 0, 100);
    let cut_off = lives(2, 2 * DAY, 3 * DAY - 2);
    let exposure = watched(&[ended, cut_off], 3 * DAY);
    assert_eq!(exposure.starts(true), (1, 1));
    assert_eq!(exposure.starts(false), (2, 2));
}

#[test]
fn a_behaviour_is_seen_once_a_unit_however_many_forms_it_had() {
    let exposure = watched(&[lives(1, 0, DAY - 1), lives(2, DAY / 2, DAY - 1)], DAY);
    let mut sightings = Sightings::default();
    sightings.add(0, true, at(&[10, 11, 25]));
    sightings.add(0, true, at(&[12, 30]));
    sightings.add(1, false, at(&[13, 1000]));
    sightings.settle();
    let seen = |clusters: Vec<Cluster<usize>>| -> Vec<u64> {
        let seen = clusters.iter().flat_map(|cluster| &cluster.seen);
        seen.map(|&(_, units)| units).collect()
    };
    let behaviours = [sightings];
    // 00:10, 00:20 and 00:30 of the first; 00:10 and 16:40 of the second, which was started at another time.
    assert_eq!(seen(exposure.steady(&behaviours, UnitLength::Whole, FOREVER)), [3, 2]);
    assert_eq!(
        seen(exposure.steady(&behaviours, UnitLength::Whole, seconds(20 * MINUTE - 1))),
        [1, 1]
    );
    assert_eq!(seen(exposure.startup(&behaviours, FOREVER)), [1]);
    assert!(seen(exposure.startup(&behaviours, seconds(0).before(Duration::from_secs(1)))).len() <= 1);
}

#[test]
fn how_long_a_recording_claims_is_known_before_anything_is_made_of_it() {
    let long = lives(1, 0, 9_000_000_000);
    let watched = [(seconds(0), FOREVER), (seconds(DAY), seconds(DAY + 1))];
    assert_eq!(days(&long, &watched), 9_000_000_000 / DAY + 1 + 1);
    assert_eq!(days(&lives(1, DAY, DAY), &[(seconds(2 * DAY), seconds(3 * DAY))]), 0);
}

#[test]
fn replicas_that_nothing_controls_start_together_whatever_their_names_are() {
    let replicas: Vec<Container> = (1..=3)
        .map(|number| {
            let mut pod = lives(number, 0, DAY);
            pod.workload.kind = "Pod".to_owned();
            pod.workload.name = format!("web-{number}");
            pod
        })
        .collect();
    assert_eq!(watched(&replicas, DAY).starts(false), (1, 1));
}

#[test]
fn runs_every_ten_minutes_are_many_runs() {
    let runs: Vec<Container> = (0..144).map(|run| lives(run + 1, run * 600, run * 600 + 20)).collect();
    assert_eq!(watched(&runs, 2 * DAY).starts(true), (144, 1));
    // Twice as often, two of them are one cluster.
    let runs: Vec<Container> = (0..144).map(|run| lives(run + 1, run * 300, run * 300 + 20)).collect();
    assert_eq!(watched(&runs, 2 * DAY).starts(true), (72, 1));
}

#[test]
fn a_start_counts_where_a_window_that_is_still_there_saw_it() {
    // The window of its start was taken away by retention.
    let container = lives(1, 0, 2 * DAY);
    let mut exposure = Exposure::default();
    exposure.add(&container, None, Days::default(), &[(seconds(DAY), seconds(2 * DAY))]);
    assert_eq!((exposure.starts(false), exposure.partial()), ((0, 0), 1));
    assert!(units(&exposure.startup(&[], FOREVER)).is_empty());
}

#[test]
fn a_workload_is_partial_while_none_of_its_starts_was_seen() {
    let old = Container {
        partial: true,
        ..lives(1, 0, DAY)
    };
    assert_eq!(watched(std::slice::from_ref(&old), DAY).partial(), 1);
    assert_eq!(watched(&[old, lives(2, 3600, DAY)], DAY).partial(), 0);
}

#[test]
fn a_run_may_go_on_in_the_next_window() {
    let windows = [(seconds(0), seconds(3600)), (seconds(3600), seconds(7200))];
    let mut exposure = Exposure::default();
    exposure.add(&lives(1, 3000, 4000), None, Days::default(), &windows);
    assert_eq!(exposure.starts(true), (1, 1));
    assert_eq!((exposure.is_short(), exposure.watched_since()), (false, seconds(0)));
    // One that ends before it has started up is all that there is of it.
    let mut exposure = Exposure::default();
    exposure.add(&lives(1, 3000, 3020), None, Days::default(), &windows);
    assert!(exposure.is_short());
}

#[test]
fn where_nothing_watched_nobody_knows_that_it_held() {
    let mut exposure = Exposure::default();
    let windows = [(seconds(0), seconds(DAY)), (seconds(7 * DAY), seconds(7 * DAY + 60))];
    exposure.add(&lives(1, 0, 8 * DAY), None, Days::default(), &windows);
    assert_eq!(exposure.watched_since(), seconds(7 * DAY));
    assert_eq!(exposure.until(), seconds(7 * DAY + 60));
}

#[test]
fn what_was_seen_after_a_container_was_last_known_to_live_counts() {
    let mut exposure = Exposure::default();
    exposure.add(&lives(1, 0, 3600), None, at(&[120]), &[(seconds(0), seconds(4000))]);
    assert_eq!(exposure.until(), seconds(120 * MINUTE));
}
