//! What analyses promise.

mod coverage;
mod exposure;
mod generalised;
mod properties;
mod statistics;
mod summary;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Error, baselines, baselines_by};
use crate::behaviour::{Phase, Provenance};
use crate::document::{Baseline, Loss};
use crate::loss::Reason;
use crate::recording::{
    self, Container, EndReason, Flush, LostRecording, Observation, Recording, RecordingId, WindowStart, write_lost,
};
use crate::testing::{container, node, observation, seconds, window};
use crate::workload::Image;

/// Records flushes in one window that ends well.
fn record(path: &Path, host: &str, flushes: &[Flush]) {
    let mut writer = Recording::open_or_create(path, &node(host)).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    for flush in flushes {
        writer.flush(id, flush).unwrap();
    }
    writer.end_window(id, &EndReason::Completed, seconds(3600)).unwrap();
}

fn flush(containers: Vec<Container>, observations: Vec<Observation>) -> Flush {
    Flush {
        at: seconds(60),
        containers,
        observations,
        ..Flush::default()
    }
}

fn only(mut baselines: Vec<Baseline>) -> Baseline {
    assert_eq!(baselines.len(), 1);
    baselines.remove(0)
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn recorded(&self, name: &str, host: &str, flushes: &[Flush]) -> PathBuf {
        record(&self.path(name), host, flushes);
        self.path(name)
    }
}

#[test]
fn a_unit_is_a_container_start_or_ten_minutes_of_a_container() {
    let folder = Folder::new();
    let at = |cgroup_id, phase, minute: u64| Observation {
        phase,
        ..observation(cgroup_id, "/etc/app", seconds(60 * minute))
    };
    let observations = vec![
        at(1, Phase::Startup, 0),
        at(1, Phase::Startup, 1),
        at(1, Phase::Steady, 1),
        at(1, Phase::Steady, 9),
        at(1, Phase::Steady, 10),
        at(2, Phase::Steady, 9),
    ];
    let path = folder.recorded(
        "a.db",
        "n1",
        &[flush(vec![container(1, "app"), container(2, "app")], observations)],
    );
    let evidence = only(baselines(&[path]).unwrap()).behaviours.open.remove(0).evidence;
    // The start of container 1, its slots 0 and 1, and slot 0 of container 2.
    assert_eq!(
        (evidence.count, evidence.units, evidence.containers, evidence.nodes),
        (6, 4, 2, 1)
    );
    assert_eq!((evidence.first_seen, evidence.last_seen), (seconds(0), seconds(600)));
    assert_eq!(evidence.phases, [Phase::Startup, Phase::Steady]);
}

#[test]
fn what_people_and_runtimes_did_is_kept_apart() {
    let folder = Folder::new();
    let by = |path, provenance| Observation {
        provenance,
        ..observation(1, path, seconds(0))
    };
    let observations = vec![
        by("/etc/app", Provenance::Workload),
        by("/etc/app", Provenance::Kubelet),
        by("/etc/app", Provenance::Entered),
        by("/root/.bashrc", Provenance::Entered),
        by("/proc/self/fd", Provenance::Runtime),
    ];
    let path = folder.recorded("a.db", "n1", &[flush(vec![container(1, "app")], observations)]);
    let baseline = only(baselines(&[path]).unwrap());
    let shown = |behaviours: &crate::document::Behaviours| -> Vec<(String, u64, Vec<Provenance>)> {
        let show = |open: &crate::document::Open| {
            (
                open.path.to_string(),
                open.evidence.count,
                open.evidence.provenance.clone(),
            )
        };
        behaviours.open.iter().map(show).collect()
    };
    assert_eq!(
        shown(&baseline.behaviours),
        [(
            "/etc/app".to_owned(),
            2,
            vec![Provenance::Workload, Provenance::Kubelet]
        )]
    );
    assert_eq!(
        shown(&baseline.not_learned),
        [
            ("/etc/app".to_owned(), 1, vec![Provenance::Entered]),
            ("/proc/self/fd".to_owned(), 1, vec![Provenance::Runtime]),
            ("/root/.bashrc".to_owned(), 1, vec![Provenance::Entered]),
        ]
    );
}

#[test]
fn tags_of_one_digest_are_one_image() {
    let folder = Folder::new();
    let tagged = |cgroup_id, tag: Option<&str>, digest: &str| {
        let image = Image {
            repository: "app".to_owned(),
            tag: tag.map(str::to_owned),
            digest: Some(digest.to_owned()),
        };
        Container {
            image,
            ..container(cgroup_id, "app")
        }
    };
    let containers = vec![
        tagged(1, None, "sha256:aa"),
        tagged(2, Some("1.5"), "sha256:aa"),
        tagged(3, Some("1.4"), "sha256:aa"),
        tagged(4, Some("1.4"), "sha256:bb"),
    ];
    let path = folder.recorded(
        "a.db",
        "n1",
        &[flush(containers, vec![observation(1, "/etc/app", seconds(0))])],
    );
    let baselines = baselines(&[path]).unwrap();
    let images: Vec<String> = baselines.iter().map(|baseline| baseline.image.to_string()).collect();
    assert_eq!(images, ["app:1.4@sha256:aa", "app:1.4@sha256:bb"]);
    assert_eq!(baselines[0].containers.len(), 3);
    assert!(baselines[1].behaviours.open.is_empty());
}

#[test]
fn losses_are_charged_to_their_image_or_to_all_that_the_window_saw() {
    let folder = Folder::new();
    let loss = |cgroup_id, reason, count| recording::Loss {
        cgroup_id,
        reason,
        count,
        first_seen: seconds(1),
        last_seen: seconds(2),
    };
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let first = writer.start_window(&window(seconds(0))).unwrap();
    let observed = flush(
        vec![container(1, "app"), container(2, "db")],
        vec![
            observation(1, "/etc/app", seconds(0)),
            observation(2, "/etc/db", seconds(0)),
        ],
    );
    writer.flush(first, &observed).unwrap();
    let losses = vec![
        loss(Some(1), Reason::KeyQuota, 3),
        loss(Some(1), Reason::KeyQuota, 4),
        loss(None, Reason::MapFull, 5),
        loss(Some(99), Reason::UnresolvedCgroup, 6),
        loss(None, Reason::Decode, 0),
    ];
    writer
        .flush(
            first,
            &Flush {
                at: seconds(62),
                losses,
                ..Flush::default()
            },
        )
        .unwrap();
    writer.end_window(first, &EndReason::Completed, seconds(62)).unwrap();
    // A second window sees only the database, and loses something too.
    let second = writer.start_window(&window(seconds(100))).unwrap();
    let idle = flush(vec![container(2, "db")], vec![]);
    writer
        .flush(
            second,
            &Flush {
                losses: vec![loss(None, Reason::MapFull, 7)],
                ..idle
            },
        )
        .unwrap();
    writer.end_window(second, &EndReason::Completed, seconds(102)).unwrap();

    let baselines = baselines(&[path]).unwrap();
    let unit = "/system.slice/unit-1.service";
    let expected = |count, reason, container: Option<&str>| Loss {
        reason,
        count,
        container: container.map(str::to_owned),
    };
    assert_eq!(
        baselines[0].losses,
        [
            expected(5, Reason::MapFull, None),
            expected(7, Reason::KeyQuota, Some(unit)),
            expected(6, Reason::UnresolvedCgroup, None),
        ]
    );
    assert_eq!(
        baselines[1].losses,
        [
            expected(12, Reason::MapFull, None),
            expected(6, Reason::UnresolvedCgroup, None)
        ]
    );
    assert!(baselines.iter().all(|baseline| baseline.uncounted_losses.is_empty()));
}

#[test]
fn windows_that_can_have_missed_something_say_so() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let start = WindowStart {
        lossy_from_start: Some("kprobes may be skipped".to_owned()),
        ..window(seconds(0))
    };
    let id = writer.start_window(&start).unwrap();
    writer
        .flush(
            id,
            &flush(vec![container(1, "app")], vec![observation(1, "/etc/app", seconds(0))]),
        )
        .unwrap();
    // While it is being recorded, nothing has crashed.
    let open = only(baselines(std::slice::from_ref(&path)).unwrap());
    drop(writer);
    let crashed = only(baselines(std::slice::from_ref(&path)).unwrap());
    let recording = Recording::open(&path).unwrap().summary().unwrap().sources[0].id;
    let prefix = format!("window 1 of recording {recording}: kprobes may be skipped");
    assert_eq!(open.uncounted_losses, std::slice::from_ref(&prefix));
    let killed = "; the recorder was killed; up to 2 s from 1970-01-01T00:01:00Z are missing, or more if it could not write \
                  just then";
    assert_eq!(crashed.uncounted_losses, [prefix + killed]);
}

#[test]
fn a_window_that_failed_is_a_loss_for_the_images_that_it_saw() {
    let folder = Folder::new();
    let path = folder.path("a.db");
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let (app, db) = (container(1, "app"), container(2, "db"));
    let failed = EndReason::Failed("the disk is full".to_owned());
    for (seen, ended) in [(app, failed), (db, EndReason::Interrupted)] {
        let id = writer.start_window(&window(seconds(0))).unwrap();
        let observation = observation(seen.cgroup_id, "/etc/app", seconds(0));
        writer.flush(id, &flush(vec![seen], vec![observation])).unwrap();
        writer.end_window(id, &ended, seconds(70)).unwrap();
    }
    let recording = writer.recording().summary().unwrap().sources[0].id;
    let baselines = baselines(&[path]).unwrap();
    let missed = format!(
        "window 1 of recording {recording}: recording failed (the disk is full); what happened from 1970-01-01T00:01:00Z \
         on is missing"
    );
    assert_eq!(baselines[0].uncounted_losses, [missed]);
    assert_eq!(baselines[1].uncounted_losses, [] as [String; 0]);
}

#[test]
fn a_window_that_failed_before_it_saw_anybody_is_a_loss_for_every_image() {
    let folder = Folder::new();
    let seen = [flush(
        vec![container(1, "app")],
        vec![observation(1, "/etc/app", seconds(0))],
    )];
    let (there, lost) = (folder.recorded("n1", "n1", &seen), folder.path("lost.db"));
    let told = LostRecording {
        whole: RecordingId::derived(&["n2"]),
        namespace: None,
        revision: 1,
        host: "n2".to_owned(),
        selector: "learning window shop".to_owned(),
        started: seconds(0),
        ended: seconds(60),
        why: "node n2 was lost".to_owned(),
        tool_version: "0.1.0".to_owned(),
    };
    write_lost(&told, &lost).unwrap();
    let baseline = only(baselines(&[there, lost]).unwrap());
    let [missed] = baseline.uncounted_losses.as_slice() else {
        panic!("{baseline:?}")
    };
    assert!(missed.contains("node n2 was lost"), "{missed}");
}

#[test]
fn recordings_of_several_nodes_add_up() {
    let folder = Folder::new();
    let flushes = [flush(
        vec![container(1, "app")],
        vec![observation(1, "/etc/app", seconds(0))],
    )];
    let paths = ["n1", "n2", "n3"].map(|host| folder.recorded(host, host, &flushes));
    let baseline = only(baselines(&paths).unwrap());
    let evidence = &baseline.behaviours.open[0].evidence;
    assert_eq!((evidence.count, evidence.containers, evidence.nodes), (3, 3, 3));
    assert_eq!((baseline.recordings.len(), baseline.containers.len()), (3, 3));
    assert!(baseline.recordings.is_sorted_by_key(|source| source.recording));
    let backend = window(seconds(0)).backend;
    assert!(
        baseline
            .recordings
            .iter()
            .all(|source| source.backends == [backend.as_str()])
    );
}

#[test]
fn a_container_in_two_recordings_of_its_node_is_one() {
    let folder = Folder::new();
    let again = Container {
        alive_until: seconds(90),
        partial: true,
        ..container(1, "app")
    };
    let paths = [
        folder.recorded(
            "a.db",
            "n1",
            &[flush(vec![container(1, "app")], vec![observation(1, "/x", seconds(0))])],
        ),
        folder.recorded(
            "b.db",
            "n1",
            &[flush(vec![again], vec![observation(1, "/x", seconds(70))])],
        ),
    ];
    let baseline = only(baselines(&paths).unwrap());
    let evidence = &baseline.behaviours.open[0].evidence;
    assert_eq!(
        (evidence.count, evidence.units, evidence.containers, evidence.nodes),
        (2, 1, 1, 1)
    );
    assert_eq!(baseline.containers.len(), 1);
    assert_eq!(
        (baseline.containers[0].last_seen, baseline.containers[0].partial),
        (seconds(90), false)
    );
}

#[test]
fn nothing_recorded_is_an_error_that_says_what_there_is() {
    let folder = Folder::new();
    let no_window = folder.path("no-window.db");
    drop(Recording::open_or_create(&no_window, &node("n1")).unwrap());
    let no_container = folder.recorded("no-container.db", "n1", &[]);
    let lost = recording::Loss {
        cgroup_id: None,
        reason: Reason::MapFull,
        count: 8,
        first_seen: seconds(0),
        last_seen: seconds(0),
    };
    let idle = Flush {
        losses: vec![lost],
        ..flush(vec![container(1, "app")], vec![])
    };
    let no_behaviour = folder.recorded("no-behaviour.db", "n1", &[idle]);
    let cases = [
        (
            vec![],
            "nothing was recorded: there is no learning window (no recording was given)",
        ),
        (
            vec![no_window],
            "nothing was recorded: there is no learning window (…/no-window.db)",
        ),
        (
            vec![no_container],
            "nothing was recorded: no container was seen (…/no-container.db)",
        ),
        (
            vec![no_behaviour],
            "nothing was recorded: containers were seen, and none of them did anything (…/no-behaviour.db); 8 observations were lost",
        ),
    ];
    for (paths, expected) in cases {
        let error = baselines(&paths).unwrap_err();
        assert!(matches!(error, Error::Nothing { .. }));
        let folder = folder.0.path().canonicalize().unwrap();
        assert_eq!(error.to_string().replace(folder.to_str().unwrap(), "…"), expected);
    }
}

#[test]
fn what_is_no_recording_is_refused_by_name() {
    let folder = Folder::new();
    let missing = folder.path("missing.db");
    let error = baselines(std::slice::from_ref(&missing)).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("there is no recording at {}", missing.display())
    );
}
