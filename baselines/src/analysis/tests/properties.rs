use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::behaviour::Behaviour;
use crate::testing::{behaviours, open};
use crate::time::UtcTime;

/// What one recorder did: small numbers, so that observations meet in one row often.
fn observations() -> impl Strategy<Value = Vec<Observation>> {
    let behaviour = prop::sample::select(vec!["/a", "/b", "/c"]).prop_map(open);
    let phase = prop::sample::select(vec![Phase::Startup, Phase::Steady]);
    let provenance = prop::sample::select(vec![
        Provenance::Workload,
        Provenance::Kubelet,
        Provenance::Entered,
        Provenance::Runtime,
    ]);
    // Some of them on the next day, and in the next week.
    let minute =
        (prop::sample::select(vec![0, 24 * 60, 7 * 24 * 60]), 0_u64..40).prop_map(|(day, minute)| day + minute);
    let one = (1_u64..4, behaviour, phase, provenance, minute, 1_u64..5, 0_u64..60).prop_map(
        |(cgroup_id, behaviour, phase, provenance, minute, count, second): (_, Behaviour, _, _, _, _, _)| {
            let first_seen = seconds(60 * minute + second);
            let last_seen = seconds(60 * minute + 59);
            let minute = first_seen.minute();
            Observation {
                cgroup_id,
                behaviour,
                provenance,
                phase,
                minute,
                count,
                first_seen,
                last_seen,
            }
        },
    );
    vec(one, 1..12)
}

fn containers(until: UtcTime) -> Vec<Container> {
    [(1, "app"), (2, "app"), (3, "db")]
        .map(|(cgroup_id, repository)| Container {
            alive_until: until,
            ..container(cgroup_id, repository)
        })
        .to_vec()
}

proptest! {
    // Each case makes a database file.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_behaviour_comes_back_once_and_in_order(mut all in vec(behaviours(), 1..12)) {
        let folder = Folder::new();
        let observed = |behaviour: &Behaviour| Observation {
            behaviour: behaviour.clone(),
            ..observation(1, "/a", seconds(0))
        };
        let observations = all.iter().map(observed).collect();
        let path = folder.recorded("a.db", "n1", &[flush(vec![container(1, "app")], observations)]);
        let baseline = only(baselines(&[path]).unwrap());
        let known: Vec<Behaviour> = baseline.behaviours.all().map(|(behaviour, _)| behaviour).collect();
        all.sort_by(|a, b| (&a.action, &a.subject).cmp(&(&b.action, &b.subject)));
        all.dedup();
        prop_assert_eq!(known, all);
    }
}

proptest! {
    // Each case makes several database files.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_recordings_changes_nothing(one in observations(), other in observations(), hosts in 0..2_usize) {
        let folder = Folder::new();
        let one = folder.recorded("one.db", "n1", &[flush(containers(seconds(60)), one)]);
        let other = folder.recorded("other.db", ["n1", "n2"][hosts], &[flush(containers(seconds(90)), other)]);
        prop_assert_eq!(baselines(&[one.clone(), other.clone()]).unwrap(), baselines(&[other, one]).unwrap());
    }

    #[test]
    fn a_later_revision_replaces_an_earlier_one(earlier in observations(), later in observations()) {
        let folder = Folder::new();
        let path = folder.recorded("a.db", "n1", &[flush(containers(seconds(60)), earlier)]);
        let copy = folder.path("copy.db");
        std::fs::copy(&path, &copy).unwrap();
        record(&path, "n1", &[flush(containers(seconds(90)), later)]);
        let alone = baselines(std::slice::from_ref(&path)).unwrap();
        prop_assert_eq!(&baselines(&[copy.clone(), path.clone()]).unwrap(), &alone);
        prop_assert_eq!(&baselines(&[path.clone(), copy, path]).unwrap(), &alone);
    }

    #[test]
    fn how_observations_are_cut_into_flushes_changes_nothing(all in observations(), at in any::<prop::sample::Index>()) {
        let folder = Folder::new();
        let (before, after) = all.split_at(at.index(all.len() + 1));
        let (before, after) = (before.to_vec(), after.to_vec());
        let whole = folder.recorded("whole.db", "n1", &[flush(containers(seconds(60)), all)]);
        let cut = [flush(containers(seconds(30)), before), flush(containers(seconds(60)), after)];
        let parts = folder.recorded("parts.db", "n1", &cut);
        // Two recordings have different ids and numbers of revisions; everything else is the same.
        let anonymous = |path| {
            let mut baselines = baselines(&[path]).unwrap();
            for baseline in &mut baselines {
                baseline.recordings.clear();
            }
            baselines
        };
        prop_assert_eq!(anonymous(whole), anonymous(parts));
    }
}
