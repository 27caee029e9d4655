//! Cgroups that come and go, announced or not.

use super::*;
use crate::cgroups::Cgroup;

fn walk(ids: &[u64], complete: bool) -> Walk {
    let cgroup = |id: &u64| Cgroup {
        path: format!("/system.slice/{id}.service").into_bytes(),
        id: *id,
    };
    Walk {
        cgroups: ids.iter().map(cgroup).collect(),
        complete,
    }
}

/// The containers in each of the next flushes, until they stay the same.
fn flushed(attribution: &mut Attribution) -> [Vec<u64>; 3] {
    std::array::from_fn(|_| {
        let mut ids: Vec<u64> = attribution
            .flush(UtcTime::from_nanos(0))
            .into_iter()
            .map(|container| container.cgroup_id)
            .collect();
        ids.sort_unstable();
        ids
    })
}

#[test]
fn what_came_and_went_unannounced_is_found_by_looking() {
    let clock = Clock::now();
    let mut attribution = Attribution::new(Scope::Host);
    for cgroup in walk(&[1, 2, 3], true).cgroups {
        attribution.appeared(cgroup.id, &cgroup.path, clock);
    }
    // 2 went, 4 came, and 5 came and went.
    let now = walk(&[1, 3, 4], true);
    let look = |attribution: &mut Attribution| {
        attribution.reconcile(
            &now,
            [1, 2, 5],
            |id, path| id == 2 && path.ends_with(b"/2.service"),
            clock,
        );
    };
    look(&mut attribution);
    assert!(attribution.is_missing(), "one look is not enough");
    assert_eq!(flushed(&mut attribution), [[1, 2, 3, 4]; 3].map(Vec::from));
    look(&mut attribution);
    assert!(!attribution.is_missing());
    // What was counted in it may come until the next flush but one.
    let [first, second, third] = flushed(&mut attribution);
    assert_eq!((first, second, third), (vec![1, 2, 3, 4], vec![1, 3, 4], vec![1, 3, 4]));
    let mut dead = attribution.take_dead();
    dead.sort_unstable();
    assert_eq!(dead, [2, 5]);
    assert!(!attribution.knows(2) && attribution.knows(4));
}

#[test]
fn a_container_is_not_charged_with_what_another_one_runs_under_its_id() {
    let [a, b] = ["a", "b"].map(|digit| digit.repeat(64));
    let mut attribution = Attribution::new(Scope::Host);
    let paths = [
        format!("/docker/{a}"),
        format!("/docker/{b}"),
        format!("/docker/{b}/docker/{a}"),
    ];
    for (path, id) in paths.iter().zip(1..) {
        attribution.appeared(id, path.as_bytes(), Clock::now());
    }
    let mut containers = attribution.flush(UtcTime::from_nanos(0));
    containers.sort_by_key(|container| container.cgroup_id);
    let [short_a, short_b] = [&a, &b].map(|id| &id[..12]);
    let told: Vec<_> = containers
        .iter()
        .map(|found| (found.image.repository.as_str(), found.id.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (format!("unresolved/docker/{short_a}").as_str(), a.as_str()),
            (format!("unresolved/docker/{short_b}").as_str(), b.as_str()),
            (
                format!("unresolved/docker/{short_b}/{short_a}").as_str(),
                format!("{b}/{a}").as_str()
            ),
        ]
    );
}

#[test]
fn what_cannot_be_seen_is_not_gone() {
    let clock = Clock::now();
    let mut attribution = Attribution::new(Scope::Host);
    attribution.appeared(1, b"/system.slice/1.service", clock);
    for _ in 0..3 {
        // Too many to list, or a mount that shows a part only.
        attribution.reconcile(&walk(&[], false), [1, 2], |_, _| false, clock);
        assert!(!attribution.is_missing());
    }
    assert_eq!(flushed(&mut attribution), [[1]; 3].map(Vec::from));
    assert_eq!(attribution.take_dead(), [] as [u64; 0]);
}

#[test]
fn a_cgroup_that_is_seen_at_the_second_look_has_only_just_been_made() {
    let clock = Clock::now();
    let mut attribution = Attribution::new(Scope::Host);
    attribution.appeared(1, b"/system.slice/1.service", clock);
    for there in [&[][..], &[1], &[]] {
        attribution.reconcile(&walk(there, true), [], |_, _| true, clock);
    }
    assert_eq!(flushed(&mut attribution), [[1]; 3].map(Vec::from));
}
