//! Every schema version that was released is kept here, as it was written, to be read for ever: `vN.sql` is a recording, and
//! `vN.yaml` the baselines that its own version made of it.

use std::fs;

use super::*;
use crate::testing::{node, observation, window};
use crate::{analysis, document};

/// Version, recording, baselines.
const RELEASED: [(i64, &str, &str); 4] = [
    (1, include_str!("released/v1.sql"), include_str!("released/v1.yaml")),
    (2, include_str!("released/v2.sql"), include_str!("released/v2.yaml")),
    (3, include_str!("released/v3.sql"), include_str!("released/v3.yaml")),
    (4, include_str!("released/v4.sql"), include_str!("released/v4.yaml")),
];

/// Makes the file that this version left.
pub(super) fn load(path: &Path, dump: &str) {
    Connection::open(path).unwrap().execute_batch(dump).unwrap();
}

/// The baselines of a recording, without what only later programs counted.
fn baselines(path: &Path) -> String {
    let mut baselines = analysis::baselines(&[path.to_owned()]).unwrap();
    for baseline in &mut baselines {
        baseline.statistics = None;
        for container in &mut baseline.containers {
            container.startup_until = None;
        }
        for behaviours in [&mut baseline.behaviours, &mut baseline.not_learned] {
            let mut earlier = document::Behaviours::default();
            for (behaviour, reached, evidence) in behaviours.all_reached() {
                let evidence = document::Evidence {
                    days: None,
                    rate: None,
                    ..evidence.clone()
                };
                earlier.push_reached(behaviour, reached.to_vec(), evidence);
            }
            *behaviours = earlier;
        }
    }
    baselines.iter().map(document::to_yaml).collect()
}

/// The node that recorded them.
fn worker() -> Node {
    Node {
        machine_id: Some("0f1e2d3c4b5a69788796a5b4c3d2e1f0".to_owned()),
        ..node("worker-1")
    }
}

#[test]
fn every_released_version_is_read_as_it_is() {
    for (version, dump, expected) in RELEASED {
        let folder = Folder::new();
        let path = folder.recording();
        load(&path, dump);
        let before = fs::read(&path).unwrap();
        assert_eq!(baselines(&path), expected, "version {version}");
        let summary = summary(&path);
        assert_eq!((summary.windows.len(), summary.containers.len()), (3, 3));
        assert!(summary.sources[0].is_own && summary.sources[0].removed.is_none());
        assert!(fs::read(&path).unwrap() == before, "version {version} was changed");
        assert_eq!(
            fs::read_dir(folder.0.path()).unwrap().count(),
            1,
            "something was left behind"
        );
    }
}

#[test]
fn every_released_version_is_brought_up_to_date_by_its_recorder_and_goes_on() {
    for (version, dump, expected) in RELEASED {
        let folder = Folder::new();
        let path = folder.recording();
        load(&path, dump);
        let read = summary(&path);
        let mut writer = Recording::open_or_create(&path, &worker()).unwrap();
        assert_eq!(look::<i64>(&path, "PRAGMA user_version"), 5);
        // The recorder that was killed is gone for good, which is one more change.
        assert_eq!(
            baselines(&path),
            expected.replace("revision: 9", "revision: 10"),
            "version {version}"
        );
        let upgraded = summary(&path);
        assert_eq!(
            (&upgraded.windows, &upgraded.containers),
            (&read.windows, &read.containers)
        );
        assert_eq!((&upgraded.losses, upgraded.behaviours), (&read.losses, read.behaviours));
        let id = writer.start_window(&window(seconds(2_000_000_000))).unwrap();
        let seen = flush(vec![observation(1, "/new", seconds(2_000_000_000))]);
        writer.flush(id, &seen).unwrap();
        drop(writer);
        let after = summary(&path);
        assert_eq!((after.behaviours, after.windows[3].number), (read.behaviours + 1, 4));
        schema::check_references(&Connection::open(&path).unwrap()).unwrap();
    }
}

#[test]
fn every_released_version_can_be_merged() {
    let folder = Folder::new();
    let expected: String = RELEASED
        .map(|(version, dump, expected)| {
            load(&folder.0.path().join(format!("v{version}.db")), dump);
            expected
        })
        .concat();
    let files = RELEASED.map(|(version, ..)| folder.0.path().join(format!("v{version}.db")));
    let out = folder.recording();
    let merged = merge(&files, &out, false, |_, _| {}).unwrap();
    assert_eq!(
        merged.sources.iter().map(|source| source.windows).collect::<Vec<_>>(),
        [3, 3, 3, 0, 3, 0]
    );
    assert_eq!(
        analysis::baselines(&[out]).unwrap(),
        analysis::baselines(&files).unwrap()
    );
    assert!(expected.contains("shop/web"));
}

#[test]
fn an_upgrade_that_fails_changes_nothing() {
    let folder = Folder::new();
    let path = folder.recording();
    load(&path, RELEASED[1].1);
    // No recorder writes a negative revision, and version 3 holds none.
    Connection::open(&path)
        .unwrap()
        .execute_batch("UPDATE recording SET revision = -1")
        .unwrap();
    Recording::open_or_create(&path, &worker()).unwrap_err();
    assert_eq!(look::<i64>(&path, "PRAGMA user_version"), 2);
    assert_eq!(look::<i64>(&path, "SELECT count(*) FROM learning_window"), 3);
}
