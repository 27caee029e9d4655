//! What holds for any two baselines.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::behaviour::{Access, Action, Capabilities, RaiseCause};
use crate::diff::{Accounted, Class, Occurrence, Review};
use crate::document::{Evidence, Reached};
use crate::risks::core;
use crate::risks::tests::{connect, did as doing, exec, open, path};
use crate::testing::{behaviours, dns_names, peers};

/// Behaviours that often are the same, or generalise to the same, and any others.
fn alike() -> impl Strategy<Value = Behaviour> {
    let subjects = || prop::sample::select(vec!["/app", "/var/lib/x/7"]);
    let names = (0_u8..12).prop_map(|name| format!("/var/lib/x/{name:x}"));
    let access = (0_u8..16).prop_map(|bits| Access::from_bits(bits).unwrap());
    let raise = |(subject, user, bits): (&str, u32, u64)| {
        doing(
            subject,
            Action::Raise {
                binary: path("/bin/su"),
                cause: RaiseCause::Execution,
                user,
                capabilities: Capabilities(bits),
            },
        )
    };
    prop_oneof![
        4 => (subjects(), names.clone(), access).prop_map(|(subject, name, access)| open(subject, &name, access)),
        2 => (subjects(), names).prop_map(|(subject, name)| exec(subject, &name)),
        3 => (subjects(), 1_u8..4).prop_map(|(subject, last)| connect(subject, &format!("10.0.0.{last}"), 80)),
        1 => (subjects(), 0_u32..2, 0_u64..4).prop_map(raise),
        1 => behaviours(),
    ]
}

fn reached() -> impl Strategy<Value = Vec<Reached>> {
    let known = prop::sample::select(vec!["pod/a/b/c", "pod/a/b/d", "external", "unknown/refused"]);
    let known = known.prop_map(|text| text.parse().unwrap());
    let names = prop_oneof![Just(None), Just(Some("a.example".parse().unwrap())), dns_names()];
    let reached = (prop_oneof![3 => known, 1 => peers()], names).prop_map(|(peer, dns_name)| Reached {
        peer,
        dns_name,
        count: 1,
        containers: 1,
        first_seen: seconds(0),
        last_seen: seconds(60),
    });
    vec(reached, 0..3)
}

fn evidences(learned: bool) -> impl Strategy<Value = Evidence> {
    let phases = prop::sample::select(vec![
        vec![Phase::Startup],
        vec![Phase::Steady],
        vec![Phase::Startup, Phase::Steady],
    ]);
    let provenance = if learned {
        vec![Provenance::Workload, Provenance::Kubelet]
    } else {
        vec![Provenance::Entered, Provenance::Runtime]
    };
    (1_u64..4, phases, prop::sample::subsequence(provenance, 1..=2))
        .prop_map(|(containers, phases, provenance)| evidence(containers, &phases, &provenance))
}

type Row = (Behaviour, Vec<Reached>, Evidence);

fn rows(learned: bool, most: usize) -> impl Strategy<Value = Vec<Row>> {
    vec((alike(), reached(), evidences(learned)), 0..most)
}

/// Each behaviour once, as documents have them.
fn list(rows: &[Row], is_reversed: bool) -> Behaviours {
    let once: BTreeMap<&Behaviour, &Row> = rows.iter().map(|row| (&row.0, row)).collect();
    let mut once: Vec<&Row> = once.into_values().collect();
    if is_reversed {
        once.reverse();
    }
    let mut list = Behaviours::default();
    for (behaviour, reached, evidence) in once {
        list.push_reached(behaviour.clone(), reached.clone(), evidence.clone());
    }
    list
}

#[derive(Clone, Debug)]
struct Made {
    learned: Vec<Row>,
    not_learned: Vec<Row>,
    templates: Vec<PathTemplate>,
    state: Option<crate::coverage::State>,
}

impl Made {
    fn baseline(&self, is_reversed: bool) -> Baseline {
        let mut made = baseline(list(&self.learned, is_reversed), list(&self.not_learned, is_reversed));
        made.templates.clone_from(&self.templates);
        if is_reversed {
            made.templates.reverse();
        }
        made.coverage = self.state.map(|state| coverage(state, 2, 9));
        made
    }
}

fn made() -> impl Strategy<Value = Made> {
    let texts = vec![
        "/var/lib/x/{number}",
        "/var/lib/x/{hex:1}",
        "/var/lib/x/{random:1}",
        "/etc/{date}",
    ];
    let templates = prop::sample::subsequence(texts, 0..=4);
    let state = prop::sample::select(vec![crate::coverage::State::Ready, crate::coverage::State::Learning]);
    (rows(true, 12), rows(false, 4), templates, option::of(state)).prop_map(|(learned, not_learned, texts, state)| {
        Made {
            learned,
            not_learned,
            templates: texts.into_iter().map(|it| template(it, 0)).collect(),
            state,
        }
    })
}

/// The behaviours that a side of a change names.
fn named(occurrence: Option<&Occurrence>) -> Vec<Behaviour> {
    occurrence.map_or_else(Vec::new, |it| it.behaviours.clone())
}

proptest! {
    #[test]
    fn nothing_has_changed_from_a_baseline_to_itself(made in made()) {
        let baseline = made.baseline(false);
        let diff = compare(&baseline, &baseline);
        prop_assert!(diff.is_empty(), "{:?}", diff);
        let behaviours = diff.images[0].behaviours;
        prop_assert_eq!(behaviours.old, behaviours.new);
        prop_assert_eq!((behaviours.old.changed, behaviours.old.covered), (0, 0));
    }

    #[test]
    fn to_swap_sides_swaps_what_is_said(one in made(), other in made()) {
        let (one, other) = (one.baseline(false), other.baseline(false));
        let (there, back) = (of_image(&one, &other), of_image(&other, &one));
        prop_assert_eq!(there.changes.len(), back.changes.len());
        prop_assert_eq!(there.behaviours.old, back.behaviours.new);
        prop_assert_eq!(there.behaviours.new, back.behaviours.old);
        for change in &there.changes {
            let same = back.changes.iter().find(|it| named(it.old.as_ref()) == named(change.new.as_ref()) && named(it.new.as_ref()) == named(change.old.as_ref()));
            let same = same.unwrap();
            let class = match change.class {
                Class::Added => Class::Gone,
                Class::Gone => Class::Added,
                Class::Widened if change.lost.is_empty() => Class::Narrowed,
                Class::Narrowed => Class::Widened,
                class => class,
            };
            prop_assert_eq!(same.class, class);
            prop_assert_eq!((&same.gained, &same.lost), (&change.lost, &change.gained));
        }
        let classes = |diff: &ImageDiff, class| diff.templates.iter().filter(|it| it.class == class).count();
        for (class, swapped) in [(Class::Added, Class::Gone), (Class::Widened, Class::Narrowed)] {
            prop_assert_eq!(classes(&there, class), classes(&back, swapped));
        }
    }

    #[test]
    fn every_behaviour_is_accounted_for_exactly_once(one in made(), other in made()) {
        let (one, other) = (one.baseline(false), other.baseline(false));
        let diff = of_image(&one, &other);
        let sides = [(&one, diff.behaviours.old, true), (&other, diff.behaviours.new, false)];
        for (baseline, accounted, is_old) in sides {
            let all: Vec<Behaviour> = baseline.behaviours.all().chain(baseline.not_learned.all()).map(|it| core(&it.0)).collect();
            let Accounted { changed, unchanged, covered } = accounted;
            prop_assert_eq!(changed + unchanged + covered, all.len() as u64);
            let sides = diff.changes.iter().map(|change| named(if is_old { change.old.as_ref() } else { change.new.as_ref() }));
            let mut in_changes: Vec<Behaviour> = sides.flatten().collect();
            let before = in_changes.len();
            in_changes.sort_unstable();
            in_changes.dedup();
            prop_assert_eq!(in_changes.len(), before);
            let found = all.iter().filter(|behaviour| in_changes.binary_search(behaviour).is_ok()).count();
            prop_assert_eq!(found as u64, changed);
        }
    }

    #[test]
    fn order_makes_no_difference(one in made(), other in made()) {
        let ordered = compare(&one.baseline(false), &other.baseline(false));
        prop_assert_eq!(compare(&one.baseline(true), &other.baseline(true)), ordered);

        let mut cart = one.baseline(false);
        cart.image.repository = "shop/cart".to_owned();
        let (web, next) = (one.baseline(false), other.baseline(false));
        let straight = diff(&[plain(&web), plain(&cart)], &[plain(&next), plain(&cart)], seconds(0));
        let reversed = diff(&[plain(&cart), plain(&web)], &[plain(&cart), plain(&next)], seconds(0));
        prop_assert_eq!(straight, reversed);
    }

    #[test]
    fn only_what_is_learned_of_the_newer_side_is_up_for_review(one in made(), other in made()) {
        let diff = of_image(&one.baseline(false), &other.baseline(false));
        for change in &diff.changes {
            let is_learned = change.new.as_ref().is_some_and(|new| new.learned);
            prop_assert!(is_learned || change.review == Review::None, "{:?}", change);
            let is_new = matches!(change.class, Class::Added | Class::Widened) && is_learned;
            prop_assert!(!is_new || change.review == Review::Due, "{:?}", change);
        }
    }
}
