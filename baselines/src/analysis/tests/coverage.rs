//! What the coverage of a baseline says, and what it must never say.

use std::time::Duration;

use super::*;
use crate::coverage::{Criteria, State};
use crate::document::Coverage;

const DAY: u64 = 24 * 3600;

/// Containers of one workload, each with its start and its end in seconds; recorded in one window, in which each of them
/// shows what it is asked to. The coverage of their image.
fn coverage_of(lives: &[(u64, u64)], shows: impl Fn(&mut Vec<Observation>, u64, u64, u64)) -> Coverage {
    coverage_by(&Criteria::default(), lives, shows)
}

/// The same by other criteria.
fn coverage_by(
    criteria: &Criteria,
    lives: &[(u64, u64)],
    shows: impl Fn(&mut Vec<Observation>, u64, u64, u64),
) -> Coverage {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let end = lives.iter().map(|&(_, until)| until).max().unwrap();
    let mut observations = Vec::new();
    let containers = (1..).zip(lives).map(|(cgroup_id, &(from, until))| {
        shows(&mut observations, cgroup_id, from, until);
        let mut container = container(cgroup_id, "app");
        container.workload.name = "web".to_owned();
        container.started = seconds(from);
        container.alive_until = seconds(until);
        container
    });
    let containers = containers.collect();
    let flush = Flush {
        at: seconds(end),
        ..flush(containers, observations)
    };
    writer.flush(id, &flush).unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(end)).unwrap();
    drop(writer);
    only(baselines_by(&[path], criteria).unwrap()).coverage.unwrap()
}

fn starts_up(observations: &mut Vec<Observation>, cgroup_id: u64, from: u64, files: u64) {
    observations.extend((0..files).map(|file| Observation {
        phase: Phase::Startup,
        ..observation(cgroup_id, &format!("/etc/part{file:03}/config"), seconds(from + 1))
    }));
}

/// A look at the same file every minute.
fn works(observations: &mut Vec<Observation>, cgroup_id: u64, from: u64, until: u64) {
    observations.extend(
        (from + 120..until)
            .step_by(60)
            .map(|second| observation(cgroup_id, "/srv/index", seconds(second))),
    );
}

#[test]
fn one_start_is_not_covered_however_long_it_runs_afterwards() {
    let week = coverage_of(&[(0, 7 * DAY)], |observations, id, from, until| {
        starts_up(observations, id, from, 150);
        works(observations, id, from, until);
    });
    assert_eq!((week.startup.units, week.startup.behaviours), (1, 150));
    assert_eq!((week.startup.estimate, &week.startup.interval), (None, &None));
    assert_ne!(week.state, State::Ready);
    assert!(week.advice.contains("start"), "{}", week.advice);
    // The steady phase is another matter: seven days that are alike.
    let steady = week.steady.unwrap();
    assert_eq!((steady.clusters, steady.behaviours), (7, 1));
    assert!(steady.interval.unwrap().lower.get() >= 0.95);
}

#[test]
fn replicas_that_are_started_together_are_not_covered_together() {
    let together = coverage_of(&[(0, DAY), (1, DAY), (2, DAY)], |observations, id, from, until| {
        starts_up(observations, id, from, 20);
        works(observations, id, from, until);
    });
    assert_eq!((together.startup.units, together.startup.clusters), (3, 1));
    assert_eq!(together.startup.interval, None);
    assert_ne!(together.state, State::Ready);
}

#[test]
fn what_starts_often_and_works_alike_for_days_becomes_ready() {
    let lives: Vec<(u64, u64)> = (0..8).map(|day| (day * DAY, (day + 1) * DAY - 60)).collect();
    let ready = coverage_of(&lives, |observations, id, from, until| {
        starts_up(observations, id, from, 20);
        works(observations, id, from, until);
    });
    assert_eq!(ready.state, State::Ready, "{ready:#?}");
    assert_eq!(ready.startup.clusters, 8);
    // The same with one start that did something else is not.
    let odd = coverage_of(&lives, |observations, id, from, until| {
        starts_up(observations, id, from, if id == 8 { 60 } else { 20 });
        works(observations, id, from, until);
    });
    assert_eq!(odd.state, State::Learning, "{odd:#?}");
    assert_eq!(odd.startup.seen_once, 40);
}

#[test]
fn criteria_of_ones_own_decide_and_are_written_down() {
    // Two starts on one date, six hours apart.
    let lives = [(0, DAY / 4 - 60), (DAY / 4, DAY / 2)];
    let by = |criteria: &Criteria| {
        coverage_by(criteria, &lives, |observations, id, from, until| {
            starts_up(observations, id, from, 20);
            works(observations, id, from, until);
        })
    };
    let few = Criteria {
        target: 0.9,
        held: Duration::from_hours(0),
        starts: 2,
        dates: 1,
    };
    let ready = by(&few);
    assert_eq!(ready.state, State::Ready, "{ready:#?}");
    let criteria = ready.criteria;
    assert_eq!(
        (
            criteria.target.get(),
            criteria.held_hours,
            criteria.starts,
            criteria.dates
        ),
        (0.9, 0, 2, 1)
    );
    // Each of them by itself, and all of what is there where nobody says.
    for (criteria, advice) in [
        (Criteria { target: 0.93, ..few }, "1 more start"),
        (Criteria { starts: 3, ..few }, "1 more start"),
        (Criteria { dates: 2, ..few }, "a start on 1 more date"),
        (
            Criteria {
                held: Duration::from_hours(8),
                ..few
            },
            "more hours of learning",
        ),
        (Criteria::default(), "3 more starts"),
    ] {
        let learning = by(&criteria);
        assert_eq!(learning.state, State::Learning, "{criteria:?}");
        assert!(learning.advice.contains(advice), "{}", learning.advice);
    }
    // When it was there depends on where it had to be.
    let held_since = |target| by(&Criteria { target, ..few }).steady.unwrap().held_since;
    assert!(held_since(0.9).is_some());
    assert_eq!(held_since(0.93), None);
}

#[test]
fn who_idles_is_not_covered() {
    let idle = coverage_of(&[(0, DAY), (2 * DAY, 3 * DAY)], |observations, id, from, _| {
        starts_up(observations, id, from, 3);
    });
    assert_eq!(idle.state, State::Idle, "{idle:#?}");
    assert_eq!(idle.steady.unwrap().behaviours, 0);
}

#[test]
fn recordings_that_claim_ages_are_refused() {
    let folder = Folder::new();
    let until = 9_000_000_000;
    let containers: Vec<Container> = (1..=100)
        .map(|id| Container {
            alive_until: seconds(until),
            ..container(id, "app")
        })
        .collect();
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let observations = vec![observation(1, "/a", seconds(1))];
    writer.flush(id, &flush(containers, observations)).unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(until)).unwrap();
    drop(writer);
    let error = baselines(&[path]).unwrap_err().to_string();
    assert!(error.contains("10416700 days"), "{error}");
}

/// Looks at a file every minute, and at thirty others every ten minutes that nobody sees again.
fn works_with_fresh_files(
    observations: &mut Vec<Observation>,
    cgroup_id: u64,
    (from, until): (u64, u64),
    name: impl Fn(u64) -> String,
) {
    works(observations, cgroup_id, from, until);
    for unit in (from + 600..until).step_by(600) {
        observations.extend((0..30).map(|file| {
            let path = format!("/tmp/{}", name(cgroup_id << 40 | unit << 8 | file));
            observation(cgroup_id, &path, seconds(unit))
        }));
    }
}

/// A word of letters alone for a number.
fn letters(mut number: u64) -> String {
    let mut word = String::new();
    while number > 0 {
        word.push(char::from(b'a' + u8::try_from(number % 26).unwrap()));
        number /= 26;
    }
    word
}

#[test]
fn fresh_temporary_names_do_not_hold_coverage_down_but_fresh_words_do() {
    // Half a day each, so that the test stays quick.
    let lives: Vec<(u64, u64)> = (0..6).map(|day| (day * DAY, day * DAY + DAY / 2)).collect();
    let covered = |name: &dyn Fn(u64) -> String| {
        let coverage = coverage_of(&lives, |observations, id, from, until| {
            works_with_fresh_files(observations, id, (from, until), name);
        });
        coverage.steady.unwrap()
    };
    let random = |number: u64| u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let temporary = covered(&|number| format!("upload-{:032x}.tmp", random(number)));
    assert_eq!(temporary.behaviours, 2, "{temporary:?}");
    assert!(temporary.interval.unwrap().lower.get() >= 0.95);
    let words = covered(&letters);
    assert!(words.behaviours > 10_000 && words.seen_once > 10_000, "{words:?}");
    assert!(words.interval.unwrap().lower.get() < 0.2);
}

#[test]
fn templates_say_what_they_would_admit_of_what_other_images_did() {
    let folder = Folder::new();
    let log = |number: u64| format!("/var/log/app/part-{number}.log");
    let own = (1..=6).map(|number| observation(1, &log(number), seconds(1)));
    let others = [
        log(77),
        log(78),
        "/var/log/app/part-secrets/token".to_owned(),
        "/var/log/other".to_owned(),
    ];
    let others = others.iter().map(|path| observation(2, path, seconds(1)));
    let path = folder.recorded(
        "a.db",
        "n1",
        &[flush(
            vec![container(1, "app"), container(2, "db")],
            own.chain(others).collect(),
        )],
    );
    let [app, db] = baselines(&[path]).unwrap().try_into().unwrap();
    let [template] = app.templates.try_into().unwrap();
    assert_eq!(template.template.to_string(), "/var/log/app/part-{number}.log");
    assert_eq!((template.covers, template.also_admits), (6, 2));
    assert_eq!(
        (template.policy_also_admits, template.value.as_str()),
        (3, "/var/log/app/part-")
    );
    // Paths stay as they were recorded: a template is what they generalise to.
    assert_eq!(app.behaviours.open.len(), 6);
    assert_eq!(app.coverage.unwrap().steady.unwrap().behaviours, 1);
    assert_eq!(db.templates, []);
}
