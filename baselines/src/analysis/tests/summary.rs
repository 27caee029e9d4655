//! What nodes tell of images comes to what their recordings together come to.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::summary::seconds as whole_seconds;
use super::super::{ImageSummary, Sum, summaries};
use super::*;
use crate::coverage::{Criteria, Losses, State};
use crate::document::Coverage;

const HOUR: u64 = 3600;
/// Of which more fits than tests make.
const ROOM: usize = 1 << 20;

/// A container on some node: when it starts and ends, which of two workloads or none it is of, and what it does when.
#[derive(Clone, Debug)]
struct Life {
    start: u64,
    hours: u64,
    kind: &'static str,
    is_partial: bool,
    deeds: Vec<(u8, u64)>,
}

/// `step` apart at least, but for a few seconds: containers of different nodes start together, or clearly not.
fn lives(step: u64) -> impl Strategy<Value = Vec<Life>> {
    let deeds = vec((0_u8..6, 0_u64..40), 0..30);
    let kind = prop::sample::select(vec!["Deployment", "CronJob", "Pod"]);
    let life = (0..30_u64, 0..60_u64, 1_u64..30, kind, prop::bool::weighted(0.2), deeds).prop_map(
        move |(number, seconds, hours, kind, is_partial, deeds)| Life {
            start: number * step + seconds,
            hours,
            kind,
            is_partial,
            deeds,
        },
    );
    vec(life, 1..5)
}

fn recorded(folder: &Folder, node: usize, lives: &[Life]) -> PathBuf {
    let host = format!("node-{node}");
    let path = folder.path(&format!("{host}.db"));
    let mut writer = Recording::open_or_create(&path, &super::node(&host)).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let end = 80 * HOUR;
    let (mut containers, mut observations) = (Vec::new(), Vec::new());
    for (cgroup_id, life) in (1..).zip(lives) {
        let mut one = container(cgroup_id, "app");
        one.workload.kind = life.kind.to_owned();
        one.workload.name = match life.kind {
            "Pod" => format!("alone-{node}-{cgroup_id}"),
            _ => "web".to_owned(),
        };
        one.started = seconds(life.start);
        one.alive_until = seconds((life.start + life.hours * HOUR).min(end));
        one.partial = life.is_partial;
        containers.push(one);
        for &(what, when) in &life.deeds {
            // Words, which nothing folds.
            let path = ["/a", "/b", "/c", "/d", "/e", "/f"][usize::from(what)];
            let (phase, at) = match when {
                0..5 => (Phase::Startup, life.start + when),
                _ => (Phase::Steady, life.start + when * 450),
            };
            if at < life.start + life.hours * HOUR && at < end {
                let observed = observation(cgroup_id, path, seconds(at));
                observations.push(Observation { phase, ..observed });
            }
        }
    }
    let flush = Flush {
        at: seconds(end),
        ..flush(containers, observations)
    };
    writer.flush(id, &flush).unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(end)).unwrap();
    path
}

/// By what the nodes tell, and by their recordings.
fn both(nodes: &[Vec<Life>], criteria: &Criteria) -> Option<(Coverage, Coverage)> {
    let folder = Folder::new();
    let paths: Vec<PathBuf> = (0..)
        .zip(nodes)
        .map(|(node, lives)| recorded(&folder, node, lives))
        .collect();
    let baseline = match baselines_by(&paths, criteria) {
        Ok(baselines) => only(baselines),
        Err(Error::Nothing { .. }) => return None,
        Err(error) => panic!("{error}"),
    };
    let mut sum = Sum::new();
    let mut until = 0;
    for path in paths {
        // A node that saw nothing happen tells of its containers, too.
        let (mut told, left_out) = summaries(&[path]).unwrap();
        assert_eq!((told.len(), left_out.len()), (1, 0));
        until = until.max(told[0].until);
        sum.add(told.remove(0), Losses::RuledOut, &mut { ROOM });
    }
    let covered = sum.covered(&baseline.image.to_string(), criteria, seconds(until), None);
    assert_eq!(
        (covered.nodes, covered.left_out, covered.unsound),
        (nodes.len() as u64, 0, 0)
    );
    Some((covered.coverage, baseline.coverage.unwrap()))
}

fn at_once() -> Criteria {
    Criteria {
        target: 0.5,
        held: Duration::ZERO,
        starts: 1,
        dates: 1,
    }
}

proptest! {
    // Each case makes several database files.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_nodes_tell_comes_to_what_their_recordings_come_to(nodes in vec(lives(HOUR), 1..4)) {
        if let Some((told, recorded)) = both(&nodes, &at_once()) {
            prop_assert_eq!(told, recorded);
        }
    }

    #[test]
    fn it_never_comes_to_more_evidence(nodes in vec(lives(400), 1..4)) {
        if let Some((told, recorded)) = both(&nodes, &at_once()) {
            prop_assert!(told.startup.clusters <= recorded.startup.clusters);
            prop_assert_eq!(told.startup.units, recorded.startup.units);
            prop_assert_eq!(told.startup.behaviours, recorded.startup.behaviours);
        }
    }

    #[test]
    fn the_order_of_nodes_changes_nothing(nodes in vec(lives(400), 2..4)) {
        let folder = Folder::new();
        let told: Vec<ImageSummary> = (0..)
            .zip(&nodes)
            .filter_map(|(node, lives)| summaries(&[recorded(&folder, node, lives)]).ok()?.0.pop())
            .collect();
        let covered = |told: &mut dyn Iterator<Item = &ImageSummary>| {
            let mut sum = Sum::new();
            told.for_each(|told| sum.add(told.clone(), Losses::RuledOut, &mut { ROOM }));
            sum.covered("app", &at_once(), seconds(80 * HOUR), None)
        };
        prop_assert_eq!(covered(&mut told.iter()), covered(&mut told.iter().rev()));
    }
}

/// A life that works alike on any day.
fn alike(day: u64, what: u8) -> Life {
    Life {
        start: day * 25 * HOUR,
        hours: 20,
        kind: "Deployment",
        is_partial: false,
        deeds: (5..40).map(|when| (what, when)).chain([(what, 1)]).collect(),
    }
}

fn told(nodes: &[Vec<Life>]) -> Vec<ImageSummary> {
    let folder = Folder::new();
    let paths = (0..).zip(nodes).map(|(node, lives)| recorded(&folder, node, lives));
    let mut told: Vec<ImageSummary> = paths.map(|path| summaries(&[path]).unwrap().0.remove(0)).collect();
    for told in &mut told {
        told.until = 100 * HOUR;
    }
    told
}

fn covered(summaries: &[ImageSummary], mut room: usize, since: Option<u64>) -> super::super::Covered {
    let mut sum = Sum::new();
    for summary in summaries {
        sum.add(summary.clone(), Losses::RuledOut, &mut room);
    }
    let criteria = Criteria {
        held: Duration::from_hours(24),
        ..at_once()
    };
    sum.covered(
        "app",
        &criteria,
        seconds(100 * HOUR),
        since.map(|hour| seconds(hour * HOUR)),
    )
}

#[test]
fn what_is_on_one_node_only_is_new_and_what_is_on_all_is_not() {
    let nodes = |second: u8| told(&[vec![alike(0, 0)], vec![alike(1, second)], vec![alike(2, 0)]]);
    let same = covered(&nodes(0), ROOM, Some(0)).coverage;
    assert_eq!((same.state, same.startup.behaviours), (State::Ready, 1), "{same:#?}");
    let other = covered(&nodes(1), ROOM, Some(0)).coverage;
    assert_eq!(
        (other.state, other.startup.behaviours),
        (State::Learning, 2),
        "{other:#?}"
    );
}

#[test]
fn it_has_to_be_held_and_only_whoever_asks_knows_since_when() {
    let nodes = told(&[vec![alike(0, 0)], vec![alike(1, 0)], vec![alike(2, 0)]]);
    for (since, state) in [
        (None, State::Learning),
        (Some(77), State::Learning),
        (Some(76), State::Ready),
    ] {
        assert_eq!(covered(&nodes, ROOM, since).coverage.state, state, "{since:?}");
    }
    // What a node did while nobody watched there is not known.
    let mut resumed = nodes.clone();
    resumed[1].resumed = Some(77 * HOUR);
    assert_eq!(covered(&resumed, ROOM, Some(0)).coverage.state, State::Learning);
}

#[test]
fn time_in_which_nobody_watched_holds_nothing() {
    let mut nodes = told(&[vec![alike(0, 0)], vec![alike(1, 0)], vec![alike(2, 0)]]);
    for told in &mut nodes {
        told.until = 80 * HOUR;
    }
    assert_eq!(covered(&nodes, ROOM, Some(57)).coverage.state, State::Learning);
    assert_eq!(covered(&nodes, ROOM, Some(56)).coverage.state, State::Ready);
}

#[test]
fn one_node_that_lost_something_is_enough() {
    let mut nodes = told(&[vec![alike(0, 0)], vec![alike(1, 0)], vec![alike(2, 0)]]);
    nodes[2].losses = Losses::NotRuledOut;
    assert_eq!(covered(&nodes, ROOM, Some(0)).coverage.state, State::Lossy);
}

#[test]
fn who_does_not_fit_counts_for_nothing_and_is_told() {
    let nodes = told(&[vec![alike(0, 0)], vec![alike(1, 0)], vec![alike(2, 0)]]);
    let few = covered(&nodes, 8, Some(0));
    assert_eq!((few.nodes, few.left_out, few.unsound), (3, 2, 0));
    assert_eq!(few.coverage.startup.clusters, 1);
    assert_ne!(few.coverage.state, State::Ready);
}

type Breaks = fn(&mut ImageSummary);

#[test]
fn what_cannot_be_counts_for_nothing_and_is_a_loss() {
    let sound = told(&[vec![alike(0, 0)], vec![alike(1, 0)], vec![alike(2, 0)]]);
    let broken: [(&str, Breaks); 9] = [
        ("a group that is not there", |told| told.behaviours[0].steady[0].0 = 1),
        ("a day nobody watched", |told| told.behaviours[0].steady[0].1 += 1_000),
        ("more units than there are", |told| {
            told.behaviours[0].steady[0].2 = [u64::MAX; 3];
        }),
        ("no unit", |told| told.behaviours[0].steady[0].2 = [0; 3]),
        ("more starts than there are", |told| told.behaviours[0].starts[0].1 = 2),
        ("more ends than starts", |told| told.groups[0].over = u64::MAX),
        ("a day twice", |told| {
            let day = told.groups[0].days[0];
            told.groups[0].days.push(day);
        }),
        ("a start twice", |told| {
            let start = told.behaviours[0].starts[0];
            told.behaviours[0].starts.push(start);
        }),
        ("too many behaviours", |told| {
            let one = told.behaviours[0].clone();
            told.behaviours = vec![one; super::super::BEHAVIOURS_MAX + 1];
        }),
    ];
    for (what, breaks) in broken {
        let mut nodes = sound.clone();
        breaks(&mut nodes[0]);
        let found = covered(&nodes, ROOM, Some(0));
        assert_eq!((found.nodes, found.unsound), (3, 1), "{what}");
        assert_eq!(found.coverage.state, State::Lossy, "{what}");
    }
    // Numbers that are as large as can be are none that overflow.
    let mut nodes = sound;
    nodes[0].until = u64::MAX;
    nodes[0].partial_alone = u64::MAX;
    for group in nodes.iter_mut().flat_map(|told| &mut told.groups) {
        (group.started, group.whole, group.over) = (u64::MAX, u64::MAX, u64::MAX);
        for (_, units) in &mut group.days {
            *units = [u64::MAX; 3];
        }
    }
    assert_ne!(covered(&nodes, ROOM, Some(0)).coverage.state, State::Ready);
}

#[test]
fn names_are_told_as_hashes_that_are_the_same_on_every_node() {
    let nodes = told(&[vec![alike(0, 0)], vec![alike(1, 0)]]);
    let keys: Vec<Vec<u64>> = nodes
        .iter()
        .map(|told| told.behaviours.iter().map(|seen| seen.key).collect())
        .collect();
    assert_eq!((keys[0].len(), &keys[0]), (1, &keys[1]));
    assert_eq!(nodes[0].groups[0].workload, nodes[1].groups[0].workload);
    assert_eq!(whole_seconds(seconds(7)), 7);
    let by_image: BTreeMap<&str, usize> = nodes.iter().map(|told| (told.image.as_str(), 1)).collect();
    assert_eq!(by_image.into_keys().collect::<Vec<_>>(), ["app"]);
}
