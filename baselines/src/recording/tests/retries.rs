//! Flushes that could not be written when they were made.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::behaviour::Phase;
use crate::dns::NameGap;
use crate::loss::Reason;
use crate::testing::{dns_names, node, observation, peers, window};

/// Flushes of two containers whose observations, losses and latencies often meet.
fn flushes() -> impl Strategy<Value = Flush> {
    let observation = (1..3_u64, 0..3_u64, 0..200_u64, any::<bool>()).prop_map(|(cgroup, path, second, startup)| {
        let phase = if startup { Phase::Startup } else { Phase::Steady };
        Observation {
            phase,
            count: second,
            ..observation(cgroup, &format!("/{path}"), seconds(second))
        }
    });
    let peer = prop_oneof![3 => Just(crate::peer::Peer::External), 1 => peers()];
    let reached =
        (1..3_u64, 0..3_u64, 0..200_u64, peer, dns_names()).prop_map(|(cgroup, path, second, peer, dns_name)| {
            let Observation {
                behaviour, provenance, ..
            } = crate::testing::observation(cgroup, &format!("/{path}"), seconds(0));
            Reached {
                cgroup_id: cgroup,
                behaviour,
                provenance,
                peer,
                dns_name,
                count: second,
                first_seen: seconds(second),
                last_seen: seconds(second + 1),
            }
        });
    let loss = (proptest::option::of(1..3_u64), 0..9_u64, 0..200_u64).prop_map(|(cgroup_id, count, second)| Loss {
        cgroup_id,
        reason: Reason::MapFull,
        count,
        first_seen: seconds(second),
        last_seen: seconds(second + 1),
    });
    let latency = ("[ab]", any::<u16>()).prop_map(|(name, max)| Latency {
        name,
        count: 1,
        p50: 1,
        p90: 1,
        p99: 1,
        max: max.into(),
    });
    let seen = (1..3_u64, "[ab]", 0..200_u64, any::<bool>()).prop_map(|(cgroup, image, second, partial)| Container {
        started: seconds(second),
        alive_until: seconds(second + 1),
        partial,
        ..container(cgroup, &image)
    });
    (
        0..200_u64,
        vec(seen, 0..3),
        vec(observation, 0..6),
        (vec(reached, 0..6), 0..3_u64, 0..3_u64),
        vec(loss, 0..4),
        vec(latency, 0..3),
    )
        .prop_map(
            |(at, containers, observations, (reached, reached_left_out, cut), losses, latencies)| Flush {
                at: seconds(at),
                containers,
                observations,
                reached,
                reached_left_out,
                name_gaps: [(NameGap::Cut, cut)].into(),
                losses,
                latencies,
            },
        )
}

/// What a recording shows after these flushes, its identity apart.
fn recorded(flushes: &[Flush]) -> (Vec<WindowSummary>, Vec<ContainerSummary>, Vec<LossSummary>, [String; 2]) {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    // Both containers are known from the start, as an observation's container is.
    writer.flush(id, &flush(vec![])).unwrap();
    for flush in flushes {
        writer.flush(id, flush).unwrap();
    }
    let mut summary = summary(&path);
    // Two recordings have different names.
    let id = RecordingId([0; 16]);
    summary.windows.iter_mut().for_each(|window| window.recording = id);
    // Rows of behaviours are numbered in the order in which they came, so they are shown by what they say.
    let rows = look(
        &path,
        "SELECT coalesce(group_concat(row, ';'), '') FROM (SELECT concat_ws(' ', container, hex(encoding), minute, phase, \
         provenance, count, first_seen, last_seen) AS row FROM observation JOIN behaviour USING (behaviour) ORDER BY row)",
    );
    let reached: String = look(
        &path,
        "SELECT coalesce(group_concat(row, ';'), '') FROM (SELECT concat_ws(' ', container, hex(encoding), provenance, kind, \
         namespace, workload_kind, name, count, first_seen, last_seen) AS row FROM reached JOIN behaviour USING (behaviour) \
         JOIN peer USING (peer) ORDER BY row)",
    );
    (summary.windows, summary.containers, summary.losses, [rows, reached])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn flushes_written_as_one_make_the_same_recording(all in vec(flushes(), 1..4)) {
        let mut merged = Flush::default();
        for flush in all.clone() {
            merged.merge(flush);
        }
        prop_assert_eq!(recorded(&[merged]), recorded(&all));
    }
}

#[test]
fn the_memory_of_what_waits_grows_with_what_is_new_only() {
    let seen = |path: &str| flush(vec![observation(1, path, seconds(1))]);
    let mut waiting = seen("/a");
    let once = waiting.memory();
    for _ in 0..10 {
        waiting.merge(seen("/a"));
    }
    assert_eq!((waiting.memory(), waiting.observations[0].count), (once, 11));
    waiting.merge(seen(&"/b".repeat(1000)));
    assert!(waiting.memory() > 2 * once + 1900);
}

#[test]
fn a_flush_that_finds_the_file_locked_can_be_tried_again() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let one = flush(vec![observation(1, "/a", seconds(1))]);
    let error = writer.flush(id, &one).unwrap_err();
    assert!(error.is_temporary(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    writer.flush(id, &one).unwrap();
    assert_eq!(look::<i64>(&path, "SELECT sum(count) FROM observation"), 1);
    // What will not be better next time.
    writer.end_window(id, &EndReason::Interrupted, seconds(2)).unwrap();
    assert!(!writer.flush(id, &one).unwrap_err().is_temporary());
}
