//! What exports promise.
#![expect(clippy::cloned_ref_to_slice_refs, reason = "one path reads like several")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::LazyLock;

use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::super::files::Opened;
use super::super::tests::merges::{choices, choose};
use super::super::{Container, EndReason, Flush, Observation, Reached, Recording, merge};
use super::*;
use crate::analysis::{self, baselines};
use crate::behaviour::{Action, Phase};
use crate::document::to_yaml;
use crate::peer::Peer;
use crate::testing::{behaviours, container, dns_names, node, observation, peers, seconds, window};
use crate::workload::{Image, Workload};

/// The documents of these files; none where nothing was recorded.
fn documents(files: &[PathBuf]) -> String {
    match baselines(files) {
        Ok(baselines) => baselines.iter().map(to_yaml).collect(),
        Err(analysis::Error::Nothing { .. }) => String::new(),
        Err(error) => panic!("{error}"),
    }
}

fn exported(files: &[PathBuf], out: PathBuf) -> PathBuf {
    export(files, &out, true, |_, _| {}).unwrap();
    out
}

proptest! {
    // Each case makes some twenty files.
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn baselines_of_an_export_are_those_of_the_recordings((told, chosen) in choices()) {
        let folder = super::super::tests::folder();
        let file = |name: &str| folder.path().join(name);
        let [a, b, c] = choose(&folder, &told, &chosen);
        let all = [a.clone(), b.clone(), c].concat();
        let expected = documents(&all);
        let out = exported(&all, file("all.parquet"));
        prop_assert_eq!(documents(std::slice::from_ref(&out)), expected.clone());
        // Exports count as the recordings that they were made of: once, the furthest one.
        prop_assert_eq!(documents(&[&all[..], &[out.clone()]].concat()), expected.clone());
        let exports = [exported(&a, file("a.parquet")), exported(&b, file("b.parquet"))];
        prop_assert_eq!(documents(&[&exports[..], &all[..]].concat()), expected.clone());
        prop_assert_eq!(documents(&[&exports[..1], &b[..]].concat()), documents(&[&a[..], &b[..]].concat()));
        // Exports can be exported, and make the same file.
        let again = exported(&[out.clone()], file("again.parquet"));
        prop_assert_eq!(fs::read(again).unwrap(), fs::read(out).unwrap());
    }
}

/// A container whose names are hard on text formats.
fn hard(cgroup_id: u64, names: [String; 4], cgroup_path: Vec<u8>) -> Container {
    let [name, repository, tag, id] = names;
    Container {
        workload: Workload {
            name,
            ..container(1, "").workload
        },
        image: Image {
            repository,
            tag: Some(tag),
            digest: None,
        },
        id,
        cgroup_path,
        ..container(cgroup_id, "")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_name_and_behaviour_survives(
        all in vec((behaviours(), peers(), dns_names(), 0..200_u64), 1..12),
        names in [".{0,6}", ".{1,6}", ".{0,6}", ".{0,6}"],
        cgroup_path in vec(any::<u8>(), 0..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = Recording::open_or_create(&path, &node("n\u{202e}1")).unwrap();
        let id = writer.start_window(&window(seconds(0))).unwrap();
        let observed = |(behaviour, _, _, second): &(Behaviour, Peer, _, u64)| Observation {
            behaviour: behaviour.clone(),
            phase: if second % 2 == 0 { Phase::Startup } else { Phase::Steady },
            ..observation(1 + (second % 2) * (u64::MAX - 1), "", seconds(*second))
        };
        let reached = |(behaviour, peer, dns_name, second): &(Behaviour, Peer, Option<DnsName>, u64)| {
            let is_connection = matches!(behaviour.action, Action::Connect { .. } | Action::Send { .. });
            is_connection.then(|| Reached {
                cgroup_id: 1 + (second % 2) * (u64::MAX - 1),
                behaviour: behaviour.clone(),
                provenance: Provenance::Workload,
                peer: peer.clone(),
                dns_name: dns_name.clone(),
                count: 1 + second,
                first_seen: seconds(*second),
                last_seen: seconds(*second),
            })
        };
        let flush = Flush {
            at: seconds(300),
            containers: vec![hard(1, names.clone(), cgroup_path.clone()), hard(u64::MAX, names, cgroup_path)],
            observations: all.iter().map(observed).collect(),
            reached: all.iter().filter_map(reached).collect(),
            ..Flush::default()
        };
        writer.flush(id, &flush).unwrap();
        writer.end_window(id, &EndReason::Completed, seconds(301)).unwrap();
        let out = exported(std::slice::from_ref(&path), folder.path().join("a.parquet"));
        prop_assert_eq!(baselines(std::slice::from_ref(&out)).unwrap(), baselines(std::slice::from_ref(&path)).unwrap());
        prop_assert_eq!(documents(&[out]), documents(&[path]));
    }
}

/// A recording with more rows than one row group has.
fn large(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("large.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let rows = write::GROUP_ROWS * 5 / 2;
    let see = |number: u64| {
        observation(
            1 + number % 3,
            &format!("/{}", number % 40),
            seconds(60 * (number / 40)),
        )
    };
    let flush = Flush {
        at: seconds(60),
        containers: vec![container(1, "app"), container(2, "app"), container(3, "db")],
        observations: (0..rows).map(see).collect(),
        ..Flush::default()
    };
    writer.flush(id, &flush).unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(120)).unwrap();
    path
}

#[test]
fn rows_of_many_row_groups_are_found_wherever_they_begin() {
    let folder = tempfile::tempdir().unwrap();
    let path = large(&folder);
    let out = folder.path().join("large.parquet");
    let mut told = Vec::new();
    let report = export(&[path.clone()], &out, false, |done, all| told.push((done, all))).unwrap();
    assert_eq!(told, [(1, 3), (2, 3), (3, 3)]);
    assert_eq!((report.containers, report.rows), (3, write::GROUP_ROWS * 5 / 2));
    assert_eq!(report.bytes, fs::metadata(&out).unwrap().len());
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(documents(&[out.clone()]), documents(&[path.clone()]));
    // Also if they are asked for in another order.
    let (of_export, of_recording) = (Opened::open(&out, false).unwrap(), Opened::open(&path, false).unwrap());
    for container in [2, 0, 1, 0] {
        let counts = |opened: &Opened, row| {
            let mut counts = Vec::new();
            let each = |behaviour: &Behaviour, counted: Counted| {
                counts.push((behaviour.clone(), counted.minute, counted.count));
                Ok(())
            };
            opened.observed(row, each).unwrap();
            counts
        };
        assert_eq!(counts(&of_export, container), counts(&of_recording, container + 1));
    }
}

#[test]
fn what_is_there_stays_unless_it_is_to_be_replaced_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("a.db"), folder.path().join("a.parquet"));
    fs::write(&path, &*RECORDING).unwrap();
    fs::write(&out, "kept").unwrap();
    let refused = export(&[path.clone()], &out, false, |_, _| {}).unwrap_err();
    assert!(matches!(refused, Error::Exists { .. }), "{refused}");
    // Whatever is asked for, an export takes the place of an export only: a recording holds more.
    for other in [&out, &path] {
        let refused = export(&[path.clone()], other, true, |_, _| {}).unwrap_err();
        assert!(matches!(refused, Error::Foreign { .. }), "{refused}");
    }
    fs::write(&out, "PAR1, or so").unwrap();
    let failed = export(&[path.clone(), folder.path().join("missing.db")], &out, true, |_, _| {}).unwrap_err();
    assert!(matches!(failed, Error::Missing { .. }), "{failed}");
    assert_eq!(fs::read(&out).unwrap(), b"PAR1, or so");
    exported(&[path.clone()], out.clone());
    let merged = merge(&[out], &folder.path().join("merged.db"), false, |_, _| {}).unwrap_err();
    assert!(merged.to_string().contains("can be analysed only"), "{merged}");
    let names = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let unexpected: Vec<String> = names.filter(|name| !name.starts_with("a.")).collect();
    assert_eq!(unexpected, [] as [&str; 0]);
}

/// A small recording with something of each kind, and its export.
static RECORDING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut some = || {
        let tree = vec(behaviours(), 40).new_tree(&mut runner).unwrap();
        proptest::strategy::ValueTree::current(&tree)
    };
    let observed = |behaviour| Observation {
        behaviour,
        ..observation(1, "", seconds(0))
    };
    let behaviours: Vec<Behaviour> = some();
    let reached = behaviours
        .iter()
        .filter(|behaviour| matches!(behaviour.action, Action::Connect { .. }));
    let reached = reached.map(|behaviour| Reached {
        cgroup_id: 1,
        behaviour: behaviour.clone(),
        provenance: Provenance::Workload,
        peer: Peer::External,
        dns_name: Some("db.example".parse().unwrap()),
        count: 1,
        first_seen: seconds(0),
        last_seen: seconds(1),
    });
    let flush = Flush {
        at: seconds(60),
        containers: vec![container(1, "app"), container(2, "db")],
        reached: reached.collect(),
        observations: behaviours.into_iter().map(observed).collect(),
        ..Flush::default()
    };
    writer.flush(id, &flush).unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(60)).unwrap();
    drop(writer);
    fs::read(path).unwrap()
});
static EXPORT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, &*RECORDING).unwrap();
    fs::read(exported(&[path], folder.path().join("a.parquet"))).unwrap()
});

fn analysed(bytes: &[u8]) -> std::result::Result<String, analysis::Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, bytes).unwrap();
    baselines(&[path]).map(|baselines| baselines.iter().map(to_yaml).collect())
}

fn is_refused(bytes: &[u8]) -> String {
    match analysed(bytes).unwrap_err() {
        analysis::Error::Recording(error @ Error::Observations { .. }) => error.to_string(),
        error => panic!("{error}"),
    }
}

#[test]
fn what_another_program_wrote_is_refused() {
    let properties = Arc::new(WriterProperties::builder().build());
    let mut bytes = Vec::new();
    let writer = SerializedFileWriter::new(&mut bytes, columns::schema().unwrap(), properties).unwrap();
    writer.close().unwrap();
    assert!(is_refused(&bytes).ends_with("it was written by another program"));
    assert!(is_refused(b"PAR1").ends_with("it has been cut off"));
    assert!(is_refused(b"PAR1\xff\xff\xff\xffPAR1").ends_with("its metadata is damaged"));
    let cut = &EXPORT[..EXPORT.len() - 1];
    assert!(is_refused(cut).ends_with("it has been cut off, or was never finished"));
    let mut changed = EXPORT.clone();
    changed[100] ^= 1;
    assert!(is_refused(&changed).ends_with("it is damaged, or was changed by another program"));
}

#[test]
fn another_version_is_refused_by_its_number() {
    let text = String::from_utf8_lossy(&EXPORT).into_owned();
    assert!(text.contains(r#"{"version":1,"#));
    let at = EXPORT
        .windows(12)
        .position(|window| window == br#"{"version":1"#)
        .unwrap();
    let mut bytes = EXPORT.clone();
    bytes[at + 11] = b'2';
    assert!(is_refused(&sealed(&bytes).unwrap()).contains("version 2 of the schema"));
}

/// With the right checksum, as somebody would forge it.
fn sealed(bytes: &[u8]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    fs::write(&path, bytes).unwrap();
    let mut file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    digest::seal(&mut file).ok()?;
    fs::read(path).ok()
}

proptest! {
    #[test]
    fn what_was_cut_or_damaged_anywhere_is_refused(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let at = at.index(EXPORT.len());
        is_refused(&EXPORT[..at.max(4)]);
        let mut bytes = EXPORT.clone();
        bytes[at] ^= flip;
        // Without its first letters it is none of the files that are looked into.
        if at >= 4 {
            is_refused(&bytes);
        }
    }

    #[test]
    fn what_somebody_forged_is_read_or_refused(changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = EXPORT.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len() - 12) + 4;
            bytes[at] = byte;
        }
        if let Some(bytes) = sealed(&bytes) {
            let _ = analysed(&bytes);
        }
    }
}
