//! Files out of files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::analysis::{self, baselines};
use crate::behaviour::{Action, Behaviour, Phase, Protocol, Provenance};
use crate::dns::NameGap;
use crate::loss::Reason;
use crate::testing::{node, observation, open, window};

/// Everything in a file, by what it means and not by its rows.
pub(super) fn content(path: &Path) -> String {
    let sql = "SELECT group_concat(line, char(10)) FROM (
        SELECT concat_ws(' ', 'source', hex(id), revision, created, host, machine_id, own, hex(part_of), namespace, lost)
          AS line FROM source
        UNION ALL SELECT concat_ws(' ', 'boot', hex(id), boot_id, kernel) FROM boot JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'window', hex(id), boot_id, number, started, last_flush, ended, end_reason,
          end_detail, selector, backend, tool_version, flush_interval, lossy_from_start, observations, new_behaviours,
          redacted)
          FROM learning_window JOIN boot USING (boot) JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'container', hex(id_of_source), boot_id, cgroup, namespace, kind, name,
          container_name, id, repository, tag, digest, hex(cgroup_path), started, alive_until, partial, redacted)
          FROM container JOIN boot USING (boot) JOIN (SELECT source, id AS id_of_source FROM source) USING (source)
        UNION ALL SELECT concat_ws(' ', 'presence', hex(source.id), number, cgroup)
          FROM presence JOIN learning_window USING (learning_window) JOIN container USING (container)
          JOIN boot ON boot.boot = container.boot JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'behaviour', hex(encoding)) FROM behaviour
        UNION ALL SELECT concat_ws(' ', 'observation', hex(source.id), boot_id, cgroup, hex(encoding), minute, phase,
          provenance, count, first_seen, last_seen)
          FROM observation JOIN behaviour USING (behaviour) JOIN container USING (container) JOIN boot USING (boot)
          JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'peer', kind, namespace, workload_kind, name) FROM peer
        UNION ALL SELECT concat_ws(' ', 'reached', hex(source.id), boot_id, number, cgroup, hex(encoding), provenance,
          peer.kind, peer.namespace, workload_kind, peer.name, count, first_seen, last_seen)
          FROM reached JOIN behaviour USING (behaviour) JOIN peer USING (peer)
          JOIN learning_window USING (learning_window) JOIN container USING (container)
          JOIN boot ON boot.boot = container.boot JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'reached apart', hex(id), number, apart.redacted, left_out)
          FROM reached_apart apart JOIN learning_window USING (learning_window) JOIN boot USING (boot)
          JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'loss', hex(id), number, cgroup, reason, count, first_seen, last_seen)
          FROM loss JOIN learning_window USING (learning_window) JOIN boot USING (boot) JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'latency', hex(id), number, name, count, p50, p90, p99, max)
          FROM latency JOIN learning_window USING (learning_window) JOIN boot USING (boot) JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'removed', hex(id), number, started, ended, observations, losses)
          FROM removed_window JOIN source USING (source)
        UNION ALL SELECT concat_ws(' ', 'removed image', hex(id), number, repository, tag, digest)
          FROM removed_image JOIN source USING (source)
        ORDER BY line)";
    look(path, sql)
}

/// What the containers of a namespace did, beside the file.
pub(super) fn part(file: &Path, namespace: &str, name: &str) -> PathBuf {
    let out = file.with_file_name(name);
    extract(file, &[namespace.to_owned()], &out, false).unwrap();
    out
}

/// The word that a recording is lost.
pub(super) fn lost(whole: RecordingId, namespace: Option<String>, revision: u64, why: &str) -> LostRecording {
    LostRecording {
        whole,
        namespace,
        revision,
        host: "n1".to_owned(),
        selector: "learning window shop".to_owned(),
        started: seconds(0),
        ended: seconds(1061),
        why: why.to_owned(),
        tool_version: "0.1.0".to_owned(),
    }
}

pub(super) fn merged(files: &[PathBuf], out: PathBuf) -> PathBuf {
    merge(files, &out, true, |_, _| {}).unwrap();
    out
}

/// How one window of a recording went.
#[derive(Clone, Debug)]
pub(in crate::recording) struct Told {
    /// Containers, paths, seconds.
    seen: Vec<(u64, u8, u64)>,
    lost: u64,
    crashes: bool,
    reboots: bool,
    /// The recorder removes all windows but this one.
    prunes: bool,
}

fn windows() -> impl Strategy<Value = Vec<Told>> {
    let told = (
        vec((1..3_u64, 0..4_u8, 0..300_u64), 1..5),
        0..3_u64,
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
    )
        .prop_map(|(seen, lost, crashes, reboots, prunes)| Told {
            seen,
            lost,
            crashes,
            reboots,
            prunes,
        });
    vec(told, 1..4)
}

/// Opens three files, and connects.
fn did(path: u8) -> Behaviour {
    if path < 3 {
        return open(&format!("/{path}"));
    }
    let Behaviour { subject, .. } = open("/");
    let action = Action::Connect {
        address: [10, 1, 0, path].into(),
        port: 443,
        protocol: Protocol::Tcp,
    };
    Behaviour { subject, action }
}

/// The same in a namespace of its own.
pub(super) fn in_shop(mut container: Container) -> Container {
    container.workload.namespace = "shop".to_owned();
    container
}

/// Records windows, and keeps a copy of the recording after each of them.
fn record(folder: &Folder, name: &str, host: &str, windows: &[Told]) -> Vec<PathBuf> {
    let path = folder.0.path().join(format!("{name}.db"));
    let mut boots = 1;
    let elsewhere = node("elsewhere");
    let copy = |(index, told): (usize, &Told)| {
        boots += u32::from(told.reboots);
        let node = Node {
            boot_id: format!("{host}-boot-{boots}"),
            ..node(host)
        };
        let mut writer = Recording::open_or_create(&path, &node).unwrap();
        let start = 1000 * index as u64;
        let id = writer.start_window(&window(seconds(start))).unwrap();
        let see = |(cgroup, path, second): &(u64, u8, u64)| Observation {
            behaviour: did(*path),
            phase: if path % 2 == 0 { Phase::Startup } else { Phase::Steady },
            ..observation(*cgroup, "", seconds(start + second))
        };
        let reach = |(cgroup, path, second): &(u64, u8, u64)| Reached {
            cgroup_id: *cgroup,
            behaviour: did(*path),
            provenance: Provenance::Workload,
            peer: ["external", "node/n1", "service/shop/api"][usize::try_from(second % 3).unwrap()]
                .parse()
                .unwrap(),
            dns_name: (second % 2 == 0).then(|| "db.example".parse().unwrap()),
            count: 1,
            first_seen: seconds(start + second),
            last_seen: seconds(start + second),
        };
        let loss = |cgroup_id, count| Loss {
            cgroup_id,
            reason: Reason::KeyQuota,
            count,
            first_seen: seconds(start),
            last_seen: seconds(start + 1),
        };
        let seen = Flush {
            at: seconds(start + 300),
            containers: vec![
                Container {
                    alive_until: seconds(start + 300),
                    ..container(1, "app")
                },
                in_shop(container(2, name)),
            ],
            losses: vec![
                loss(Some(1), told.lost),
                loss(Some(9), told.lost),
                loss(None, told.lost),
            ],
            latencies: vec![Latency {
                name: "flush".to_owned(),
                count: start,
                p50: 1,
                p90: 2,
                p99: 3,
                max: 4,
            }],
            observations: told.seen.iter().map(see).collect(),
            reached: told.seen.iter().map(reach).collect(),
            reached_left_out: told.lost,
            name_gaps: [(NameGap::Ambiguous, told.lost)].into(),
        };
        writer.flush(id, &seen).unwrap();
        if !told.crashes {
            writer
                .end_window(id, &EndReason::Completed, seconds(start + 301))
                .unwrap();
        }
        drop(writer);
        if told.prunes {
            prune_before(&path, &node, start);
        }
        let copy = folder.0.path().join(format!("{name}-{index}.db"));
        let pruned = folder.0.path().join(format!("{name}-{index}-pruned.db"));
        for copy in [&copy, &pruned] {
            fs::copy(&path, copy).unwrap();
        }
        // Somebody elsewhere removes windows of a copy.
        prune_before(
            &pruned,
            &elsewhere,
            start.saturating_sub(u64::from(told.reboots) * 1000),
        );
        [copy, pruned]
    };
    windows.iter().enumerate().flat_map(copy).collect()
}

/// Removes the windows that ended before this second.
fn prune_before(path: &Path, node: &Node, second: u64) {
    let retention = Retention {
        keep: Some(Duration::ZERO),
        size_max: None,
    };
    prune(path, node, retention, seconds(second), false).unwrap();
}

/// Three recordings, two of them of one node, and three choices of files: copies of any state of any of them.
pub(in crate::recording) fn choices() -> impl Strategy<Value = ([Vec<Told>; 3], [Vec<prop::sample::Index>; 3])> {
    let chosen = || vec(any::<prop::sample::Index>(), 1..3);
    ([windows(), windows(), windows()], [chosen(), chosen(), chosen()])
}

pub(in crate::recording) fn choose(
    folder: &Folder,
    told: &[Vec<Told>; 3],
    chosen: &[Vec<prop::sample::Index>; 3],
) -> [Vec<PathBuf>; 3] {
    let [one, two, three] = told;
    let files = [
        record(folder, "one", "n1", one),
        record(folder, "two", "n1", two),
        record(folder, "three", "n2", three),
    ]
    .concat();
    let parts = files.iter().zip(0..).map(|(file, number)| {
        let namespace = if number % 2 == 0 { "shop" } else { "host" };
        part(file, namespace, &format!("part-{number}.db"))
    });
    let lost = files.iter().zip(0_u64..).map(|(file, number)| {
        let source = summary(file).sources.remove(0);
        let namespace = (number % 3 == 0).then(|| "shop".to_owned());
        let revision = source.revision + u64::from(number % 2 == 0);
        let path = folder.0.path().join(format!("lost-{number}.db"));
        write_lost(&lost(source.id, namespace, revision, &format!("{}", number % 4)), &path).unwrap();
        path
    });
    let files = [files.clone(), parts.collect(), lost.collect()].concat();
    chosen
        .clone()
        .map(|indices| indices.iter().map(|index| index.get(&files).clone()).collect())
}

proptest! {
    // Each case makes some twenty database files.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn in_whatever_order_and_steps_files_are_merged_the_content_is_the_same((told, chosen) in choices()) {
        let folder = Folder::new();
        let file = |name: &str| folder.0.path().join(name);
        let [a, b, c] = choose(&folder, &told, &chosen);
        let (a, b, c) = (merged(&a, file("a")), merged(&b, file("b")), merged(&c, file("c")));
        let whole = content(&merged(&[a.clone(), b.clone(), c.clone()], file("abc")));
        // Commutative.
        prop_assert_eq!(&content(&merged(&[c.clone(), a.clone(), b.clone()], file("cab"))), &whole);
        // Associative.
        let ab = merged(&[a.clone(), b.clone()], file("ab"));
        let bc = merged(&[b.clone(), c.clone()], file("bc"));
        prop_assert_eq!(&content(&merged(&[ab.clone(), c], file("ab-c"))), &whole);
        prop_assert_eq!(&content(&merged(&[a.clone(), bc], file("a-bc"))), &whole);
        // Idempotent, and what is in it already adds nothing.
        prop_assert_eq!(content(&merged(&[ab.clone(), ab.clone(), b.clone(), a.clone()], file("abba"))), content(&ab));
        prop_assert_eq!(content(&merged(std::slice::from_ref(&a), file("aa"))), content(&a));
    }

    #[test]
    fn an_analysis_of_files_and_of_what_they_were_merged_into_is_the_same((told, chosen) in choices()) {
        let folder = Folder::new();
        let files = choose(&folder, &told, &chosen).concat();
        let out = merged(&files, folder.0.path().join("merged"));
        // In parts, and in the word that one is lost, there may be nobody who did anything.
        let analysed = |files: &[PathBuf]| match baselines(files) {
            Ok(baselines) => baselines,
            Err(analysis::Error::Nothing { .. }) => Vec::new(),
            Err(error) => panic!("{error}"),
        };
        prop_assert_eq!(analysed(std::slice::from_ref(&out)), analysed(&files));
        let with_parts = [&[out], &files[..]].concat();
        prop_assert_eq!(analysed(&with_parts), analysed(&files));
        let connection = Connection::open(&with_parts[0]).unwrap();
        prop_assert!(schema::check_references(&connection).is_ok());
    }
}

fn calm(paths: &[u8]) -> Told {
    Told {
        seen: paths.iter().map(|path| (1, *path, 0)).collect(),
        lost: 0,
        crashes: false,
        reboots: false,
        prunes: false,
    }
}

#[test]
fn a_newer_copy_replaces_exactly_its_part_of_a_merged_file() {
    let folder = Folder::new();
    let one = record(&folder, "one", "n1", &[calm(&[1]), calm(&[2])]);
    let other = record(&folder, "other", "n2", &[calm(&[3])]);
    let older = merged(&[one[0].clone(), other[0].clone()], folder.0.path().join("older.db"));
    let out = folder.recording();
    let mut told = Vec::new();
    let report = merge(&[older.clone(), one[2].clone()], &out, false, |done, total| {
        told.push((done, total));
    })
    .unwrap();
    assert_eq!(told, [(1, 3), (2, 3), (3, 3)]);
    let source = |path: &Path| summary(path).sources.remove(0);
    let (newer, kept) = (source(&one[2]), source(&other[0]));
    let mut expected = [
        (
            newer.id,
            newer.revision,
            one[2].clone(),
            vec![(older.clone(), source(&one[0]).revision)],
        ),
        (kept.id, kept.revision, older, vec![]),
    ];
    expected.sort_by_key(|(id, ..)| *id);
    let told: Vec<_> = report
        .sources
        .iter()
        .map(|it| (it.id, it.revision, it.from.clone(), it.replaced.clone()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(
        (report.behaviours, report.bytes),
        (3, fs::metadata(&out).unwrap().len())
    );
    let alone = merged(&[one[2].clone(), other[0].clone()], folder.0.path().join("alone.db"));
    assert_eq!(content(&out), content(&alone));
}

#[test]
fn a_recording_that_goes_on_is_merged_as_it_is_at_that_moment() {
    let folder = Folder::new();
    let path = folder.0.path().join("live.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    writer
        .flush(id, &flush(vec![observation(1, "/a", seconds(0))]))
        .unwrap();
    let live = baselines(std::slice::from_ref(&path)).unwrap();
    let copy = merged(std::slice::from_ref(&path), folder.0.path().join("copy.db"));
    assert_eq!(baselines(std::slice::from_ref(&copy)).unwrap(), live);
    assert_eq!(summary(&copy).windows[0].ended, Some((seconds(60), EndReason::Copied)));
    // Its recorder is killed: what is known then, at the same revision, replaces what was not known before.
    drop(writer);
    let crashed = merged(std::slice::from_ref(&path), folder.0.path().join("crashed.db"));
    for files in [[&copy, &crashed], [&crashed, &copy], [&copy, &path]] {
        let out = merged(&files.map(Clone::clone), folder.recording());
        assert_eq!(content(&out), content(&crashed));
        assert_eq!(baselines(&files.map(Clone::clone)).unwrap(), baselines(&[out]).unwrap());
    }
}

#[test]
fn a_recorder_begins_a_recording_of_its_own_in_a_merged_file() {
    let folder = Folder::new();
    let files = record(&folder, "one", "n1", &[calm(&[1])]);
    let out = merged(&files, folder.recording());
    // Also on the node of the copy: the original may go on elsewhere.
    let mut writer = Recording::open_or_create(&out, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(5000))).unwrap();
    writer
        .flush(id, &flush(vec![observation(1, "/5", seconds(5000))]))
        .unwrap();
    writer.end_window(id, &EndReason::Completed, seconds(5060)).unwrap();
    drop(writer);
    let summary = summary(&out);
    let mut sources: Vec<_> = summary.sources.iter().map(|it| (it.is_own, it.revision)).collect();
    sources.sort_unstable();
    assert_eq!(sources, [(false, 3), (true, 3)]);
    assert_eq!(summary.windows.iter().map(|it| it.number).collect::<Vec<_>>(), [1, 1]);
}

/// What one does to a file.
type Harm = (fn(&Path), &'static str);

#[test]
fn a_file_that_cannot_be_read_is_one_error_and_nothing_is_written() {
    let cases: [Harm; 6] = [
        (|path| fs::remove_file(path).unwrap(), "there is no recording at …"),
        (
            |path| fs::write(path, "hello").unwrap(),
            "… is no Wardline recording: it is no SQLite database",
        ),
        (
            |path| {
                Connection::open(path)
                    .unwrap()
                    .execute_batch("PRAGMA user_version = 9")
                    .unwrap();
            },
            "… has schema version 9, this program knows versions up to 5",
        ),
        (
            |path| {
                let sql = "PRAGMA foreign_keys = 0; DELETE FROM reached; DELETE FROM behaviour";
                Connection::open(path).unwrap().execute_batch(sql).unwrap();
            },
            "the recording … is damaged: a row of its table observation refers to a missing behaviour",
        ),
        (
            |path| {
                let sql = "UPDATE behaviour SET encoding = x'ff'";
                Connection::open(path).unwrap().execute_batch(sql).unwrap();
            },
            "the recording … is damaged: behaviour 1 cannot be read",
        ),
        (
            |path| {
                let sql = "UPDATE learning_window SET end_reason = 'bored'";
                Connection::open(path).unwrap().execute_batch(sql).unwrap();
            },
            "the recording … is damaged: a window ended for the unknown reason `bored`",
        ),
    ];
    for (harm, expected) in cases {
        let folder = Folder::new();
        let whole = record(&folder, "whole", "n1", &[calm(&[1])]);
        let harmed = record(&folder, "harmed", "n2", &[calm(&[1])]);
        let harmed = harmed[0].canonicalize().unwrap();
        harm(&harmed);
        let names = || -> std::collections::BTreeSet<_> {
            let entries = fs::read_dir(folder.0.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect()
        };
        let before = names();
        let error = merge(
            &[whole[0].clone(), harmed.clone()],
            &folder.recording(),
            false,
            |_, _| {},
        )
        .unwrap_err();
        assert_eq!(error.to_string().replace(harmed.to_str().unwrap(), "…"), expected);
        assert_eq!(names(), before);
    }
}

#[test]
fn what_is_there_is_replaced_only_when_told_to_and_never_under_a_recorder() {
    let folder = Folder::new();
    let files = record(&folder, "one", "n1", &[calm(&[1])]);
    let out = folder.recording();
    let mut writer = Recording::open_or_create(&out, &node("n2")).unwrap();
    let attempt = |replaces| merge(&files, &out, replaces, |_, _| {});
    assert!(matches!(attempt(false), Err(Error::Exists { .. })));
    assert!(matches!(attempt(true), Err(Error::InUse { .. })));
    // The recorder is killed, and leaves its log behind.
    writer.start_window(&window(seconds(0))).unwrap();
    let wal = folder.0.path().join("recording.db-wal");
    let log = fs::read(&wal).unwrap();
    drop(writer);
    fs::write(&wal, log).unwrap();
    assert!(matches!(attempt(false), Err(Error::Exists { .. })));
    attempt(true).unwrap();
    assert_eq!(
        content(&out),
        content(&merged(&files, folder.0.path().join("again.db")))
    );
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o7777, 0o600);
}
