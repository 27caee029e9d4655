use super::*;
use crate::loss::Reason;
use crate::testing::{node, observation, window};

#[test]
fn the_same_cgroup_id_after_a_reboot_is_another_container() {
    let folder = Folder::new();
    let path = folder.recording();
    for boot in ["boot-1", "boot-2"] {
        let node = Node {
            boot_id: boot.to_owned(),
            ..node("n1")
        };
        let mut writer = Recording::open_or_create(&path, &node).unwrap();
        let id = writer.start_window(&window(seconds(0))).unwrap();
        writer
            .flush(id, &flush(vec![observation(1, "/a", seconds(0))]))
            .unwrap();
    }
    let summary = summary(&path);
    assert_eq!((summary.containers.len(), summary.behaviours), (4, 1));
    assert_eq!(
        summary
            .windows
            .iter()
            .map(|window| window.new_behaviours)
            .collect::<Vec<_>>(),
        [1, 0]
    );
}

#[test]
fn windows_end_once_and_say_why() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let reasons = [
        EndReason::Completed,
        EndReason::Covered,
        EndReason::Interrupted,
        EndReason::CommandExited { code: -1 },
        EndReason::Failed("no more\nmemory".to_owned()),
    ];
    for (reason, at) in reasons.iter().zip(100..) {
        let id = writer.start_window(&window(seconds(0))).unwrap();
        writer.end_window(id, reason, seconds(at)).unwrap();
        assert!(matches!(
            writer.end_window(id, reason, seconds(at)),
            Err(Error::WindowNotOpen { .. })
        ));
        assert!(matches!(
            writer.flush(id, &flush(vec![])),
            Err(Error::WindowNotOpen { .. })
        ));
    }
    assert!(matches!(
        writer.flush(WindowId(99), &flush(vec![])),
        Err(Error::WindowNotOpen { .. })
    ));
    let ends: Vec<_> = summary(&path)
        .windows
        .into_iter()
        .map(|window| window.ended.unwrap())
        .collect();
    assert_eq!(ends, (100..).map(seconds).zip(reasons).collect::<Vec<_>>());
}

#[test]
fn a_window_whose_recorder_is_gone_has_crashed_at_its_last_flush() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    writer.flush(id, &flush(vec![])).unwrap();
    drop(writer);
    let crashed = Some((seconds(60), EndReason::Crashed));
    let seen = summary(&path);
    assert_eq!(seen.windows[0].ended, crashed);
    let writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let after = writer.recording().summary().unwrap();
    assert_eq!(after.windows[0].ended, crashed);
    assert_eq!(after.sources[0].revision, seen.sources[0].revision + 1);
}

#[test]
fn every_change_is_a_revision_and_a_refused_one_is_none() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let created = summary(&path);
    assert_eq!(created.sources[0].revision, 0);
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let unknown = flush(vec![
        observation(1, "/a", seconds(0)),
        observation(3, "/new", seconds(0)),
    ]);
    assert!(matches!(
        writer.flush(id, &unknown),
        Err(Error::UnknownContainer { cgroup_id: 3, .. })
    ));
    let summary_after = summary(&path);
    assert_eq!(
        (
            summary_after.sources[0].revision,
            summary_after.sources[0].id,
            summary_after.behaviours
        ),
        (1, created.sources[0].id, 0)
    );
    // What was interned by the refused flush must not be taken for known.
    writer
        .flush(
            id,
            &flush(vec![
                observation(1, "/a", seconds(0)),
                observation(1, "/new", seconds(0)),
            ]),
        )
        .unwrap();
    assert_eq!((revision(&path), summary(&path).behaviours), (2, 2));
}

#[test]
fn counts_never_wrap() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let many = |count| {
        flush(vec![Observation {
            count,
            ..observation(1, "/a", seconds(0))
        }])
    };
    let lost = |count| {
        let loss = Loss {
            cgroup_id: None,
            reason: Reason::Decode,
            count,
            first_seen: seconds(0),
            last_seen: seconds(0),
        };
        Flush {
            losses: vec![loss],
            ..flush(vec![])
        }
    };
    let most = i64::MAX.cast_unsigned();
    for refused in [many(most + 1), many(u64::MAX), lost(u64::MAX)] {
        assert!(matches!(writer.flush(id, &refused), Err(Error::CountTooLarge { .. })));
    }
    writer.flush(id, &many(most)).unwrap();
    writer.flush(id, &lost(most)).unwrap();
    for refused in [many(1), lost(1)] {
        assert!(matches!(writer.flush(id, &refused), Err(Error::CountTooLarge { .. })));
    }
    let summary = summary(&path);
    assert_eq!(
        (summary.containers[0].observations, summary.windows[0].losses),
        (most, most)
    );
}

#[test]
fn behaviours_that_the_cache_forgot_are_found_again() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    // Each takes more than 32 KiB of the cache's 16 MiB.
    let long = |number| observation(1, &format!("/{number}/{}", "x".repeat(1 << 15)), seconds(0));
    for _ in 0..2 {
        writer.flush(id, &flush((0..600).map(long).collect())).unwrap();
    }
    let summary = summary(&path);
    assert_eq!(
        (
            summary.behaviours,
            summary.windows[0].new_behaviours,
            summary.windows[0].observations
        ),
        (600, 600, 1200)
    );
}
