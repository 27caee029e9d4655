//! Every state, and what would help most.

use std::time::Duration;

use crate::coverage::{
    CoverageEstimate, Criteria, Evidence, Exposure, Interval, Losses, NoEstimate, PhaseCoverage, Readiness,
    Reliability, State,
};
use crate::time::UtcTime;

fn hour(hour: u32) -> UtcTime {
    UtcTime::from_nanos(u64::try_from(Duration::from_hours(480_000 + u64::from(hour)).as_nanos()).unwrap())
}

fn covered(lower: f64, clusters: usize, held_since: Option<u32>) -> PhaseCoverage {
    PhaseCoverage {
        coverage: Ok(CoverageEstimate {
            estimate: 1.0,
            between_clusters: Some(0.97),
            interval: (clusters >= 2).then_some(Interval { lower, upper: 1.0 }),
            clusters,
            surprise: 0.1,
        }),
        held_since: held_since.map(hour),
        reliability: Reliability::Reliable,
    }
}

fn without(reason: NoEstimate) -> PhaseCoverage {
    PhaseCoverage {
        coverage: Err(reason),
        held_since: None,
        reliability: Reliability::Unknown,
    }
}

const UNRELIABLE: Reliability = Reliability::Unreliable {
    halved: 80.0,
    estimate: 100.0,
    doubled: 120.0,
};

fn ready() -> Evidence {
    Evidence {
        now: hour(100),
        startup: covered(0.96, 6, Some(70)),
        steady: Some(covered(0.97, 8, Some(76))),
        exposure: Exposure::Starts { count: 6, dates: 2 },
        losses: Some(Losses::RuledOut),
        partial_only: 0,
        activity: 10,
    }
}

type Change = fn(&mut Evidence);

fn check(cases: &[(State, &str, Change)]) {
    for (number, (state, advice, change)) in cases.iter().enumerate() {
        let mut evidence = ready();
        change(&mut evidence);
        let readiness = Readiness::of(&evidence, &Criteria::default());
        assert_eq!(
            (readiness.state, readiness.advice.to_string().as_str()),
            (*state, *advice),
            "case {number}"
        );
    }
}

#[test]
fn it_is_ready_when_everything_is_there() {
    check(&[
        (State::Ready, "nothing: enough was seen", |_| {}),
        // A job that is done before it has started up has no steady phase to wait for.
        (State::Ready, "nothing: enough was seen", |evidence| {
            evidence.exposure = Exposure::Runs { count: 6, dates: 2 };
            evidence.steady = None;
        }),
        // That nobody can tell is no doubt: units of a day are too few to be doubled.
        (State::Ready, "nothing: enough was seen", |evidence| {
            evidence.startup.reliability = Reliability::Unknown;
        }),
    ]);
}

#[test]
fn evidence_that_is_worth_nothing_comes_before_evidence_that_is_too_little() {
    check(&[
        (
            State::Unknown,
            "nothing was observed: run it while a window is open",
            |evidence| {
                evidence.startup = without(NoEstimate::NoUnit);
                evidence.steady = Some(without(NoEstimate::NoUnit));
                evidence.losses = Some(Losses::Present);
            },
        ),
        (
            State::Unknown,
            "nothing was observed: run it while a window is open",
            |evidence| {
                evidence.startup = without(NoEstimate::NoUnit);
                evidence.steady = None;
            },
        ),
        (
            State::Unknown,
            "nobody has said what was lost: ask its recorders",
            |evidence| evidence.losses = None,
        ),
        (
            State::Lossy,
            "something was lost: remove the reason and learn again",
            |evidence| evidence.losses = Some(Losses::Present),
        ),
        (
            State::Lossy,
            "a loss cannot be ruled out: remove the reason and learn again",
            |evidence| {
                evidence.losses = Some(Losses::NotRuledOut);
                evidence.partial_only = 1;
            },
        ),
        (
            State::Partial,
            "1 container was running before recording began: roll it out once",
            |evidence| evidence.partial_only = 1,
        ),
        (
            State::Partial,
            "2 containers were running before recording began: roll it out once",
            |evidence| {
                evidence.partial_only = 2;
                evidence.activity = 0;
            },
        ),
        (
            State::Idle,
            "it did nothing: send it requests, or wait until it is used",
            |evidence| evidence.activity = 0,
        ),
    ]);
}

#[test]
fn starts_and_runs_are_asked_for_first_as_they_can_be_had() {
    let learning = |advice, change: Change| (State::Learning, advice, change);
    check(&[
        learning("no restart seen: roll it out once", |evidence| {
            evidence.exposure = Exposure::Starts { count: 0, dates: 0 };
            evidence.startup = without(NoEstimate::NoUnit);
        }),
        learning("no completed run seen: run it once", |evidence| {
            evidence.exposure = Exposure::Runs { count: 0, dates: 0 };
        }),
        learning(
            "2 more starts, each apart from the others: roll it out again",
            |evidence| {
                evidence.exposure = Exposure::Starts { count: 1, dates: 1 };
                evidence.startup = without(NoEstimate::OneUnit);
            },
        ),
        // However many there were: two are independent, and five it takes.
        learning(
            "3 more starts, each apart from the others: roll it out again",
            |evidence| {
                evidence.exposure = Exposure::Starts { count: 9, dates: 3 };
                evidence.startup = covered(0.92, 2, None);
            },
        ),
        learning(
            "1 more start, each apart from the others: roll it out again",
            |evidence| evidence.exposure = Exposure::Starts { count: 2, dates: 2 },
        ),
        learning("2 more completed runs", |evidence| {
            evidence.exposure = Exposure::Runs { count: 1, dates: 1 };
        }),
        learning("a start on 1 more date", |evidence| {
            evidence.exposure = Exposure::Starts { count: 6, dates: 1 };
        }),
        learning("a completed run on 1 more date", |evidence| {
            evidence.exposure = Exposure::Runs { count: 6, dates: 1 };
        }),
        learning("starts still show new behaviour (3.0 %): keep learning", |evidence| {
            evidence.startup = covered(0.9, 40, None);
        }),
    ]);
}

#[test]
fn then_days_are_waited_for_and_then_whether_it_stays() {
    let learning = |advice, change: Change| (State::Learning, advice, change);
    check(&[
        learning(
            "container-days still show new behaviour (3.0 %): keep learning",
            |evidence| {
                evidence.steady = Some(covered(0.9, 40, None));
            },
        ),
        learning("3 more container-days", |evidence| {
            evidence.steady = Some(covered(0.9, 2, None));
        }),
        learning("4 more container-days", |evidence| {
            evidence.steady = Some(covered(1.0, 1, Some(1)));
        }),
        learning("1 more container-day", |evidence| {
            evidence.steady = Some(without(NoEstimate::OneUnit));
        }),
        learning("1 more container-day", |evidence| evidence.steady = None),
        learning(
            "it did nothing: send it requests, or wait until it is used",
            |evidence| {
                evidence.steady = Some(without(NoEstimate::NothingSeen));
            },
        ),
        // Asked for before the time that it has to stay, which passes meanwhile.
        learning(
            "the estimate depends on how time is cut: learn for longer",
            |evidence| {
                evidence.steady = Some(PhaseCoverage {
                    reliability: UNRELIABLE,
                    ..covered(0.97, 8, Some(99))
                });
            },
        ),
        learning(
            "the estimate depends on how time is cut: learn for longer",
            |evidence| {
                evidence.startup.reliability = UNRELIABLE;
            },
        ),
        // After what it takes anyway.
        learning("3 more container-days", |evidence| {
            evidence.steady = Some(PhaseCoverage {
                reliability: UNRELIABLE,
                ..covered(0.9, 2, None)
            });
        }),
        learning("1 more hour of learning without falling below the target", |evidence| {
            evidence.startup.held_since = Some(hour(77));
        }),
        learning(
            "24 more hours of learning without falling below the target",
            |evidence| {
                evidence.startup.held_since = None;
            },
        ),
        // A clock that went backwards has held nothing.
        learning(
            "24 more hours of learning without falling below the target",
            |evidence| {
                evidence.now = hour(1);
            },
        ),
    ]);
}

#[test]
fn criteria_that_nothing_meets_are_never_met() {
    for (target, advice) in [
        (1.0, "no amount of evidence proves the target: set one below 1"),
        (f64::NAN, "no amount of evidence proves the target: set one below 1"),
        (0.99, "23 more starts, each apart from the others: roll it out again"),
    ] {
        let criteria = Criteria {
            target,
            ..Criteria::default()
        };
        let readiness = Readiness::of(&ready(), &criteria);
        assert_eq!(readiness.state, State::Learning);
        assert_eq!(readiness.advice.to_string(), advice);
    }
}

#[test]
fn every_state_has_a_word_of_its_own() {
    let words: std::collections::BTreeSet<String> = State::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(words.len(), State::ALL.len());
}
