use super::*;
use crate::behaviour::{Phase, Provenance};
use crate::loss::Reason;
use crate::testing::{node, observation, window};

#[test]
fn what_was_flushed_can_be_read_while_the_writer_is_at_work() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    assert!(summary(&path).windows.is_empty());
    let start = WindowStart {
        lossy_from_start: Some("kprobes may be skipped".to_owned()),
        ..window(seconds(10))
    };
    let id = writer.start_window(&start).unwrap();
    let lost = |cgroup_id, count, at| Loss {
        cgroup_id,
        reason: Reason::MapFull,
        count,
        first_seen: seconds(at),
        last_seen: seconds(at),
    };
    let latency = |max| Latency {
        name: "flush".to_owned(),
        count: 1,
        p50: 1,
        p90: 2,
        p99: 3,
        max,
    };
    let mut first = flush(vec![
        observation(1, "/a", seconds(20)),
        observation(2, "/a", seconds(21)),
    ]);
    first.losses = vec![lost(Some(1), 2, 5), lost(Some(77), 3, 6), lost(None, 4, 7)];
    first.latencies = vec![latency(4)];
    writer.flush(id, &first).unwrap();
    let mut second = flush(vec![
        observation(1, "/a", seconds(22)),
        observation(1, "/b", seconds(23)),
    ]);
    second.at = seconds(62);
    second.losses = vec![lost(Some(1), 5, 8)];
    second.latencies = vec![latency(5)];
    writer.flush(id, &second).unwrap();

    let summary = summary(&path);
    assert_eq!(summary, writer.recording().summary().unwrap());
    let [source] = summary.sources.as_slice() else {
        panic!("{:?}", summary.sources)
    };
    assert_eq!(
        (source.host.as_str(), summary.behaviours, source.revision, source.is_own),
        ("n1", 2, 3, true)
    );
    let [shown] = summary.windows.as_slice() else {
        panic!("{:?}", summary.windows)
    };
    assert_eq!(
        (shown.number, shown.started, shown.last_flush, &shown.ended),
        (1, seconds(10), seconds(62), &None)
    );
    assert_eq!(
        (shown.selector.as_str(), shown.backend.as_str(), shown.kernel.as_str()),
        ("host", "tracepoint", "6.18.1")
    );
    assert_eq!(
        (shown.flush_interval, &shown.lossy_from_start),
        (start.flush_interval, &start.lossy_from_start)
    );
    assert_eq!(
        (shown.containers, shown.new_behaviours, shown.observations, shown.losses),
        (2, 2, 4, 14)
    );
    assert_eq!(shown.latencies, [latency(5)]);
    let counts: Vec<_> = summary
        .containers
        .iter()
        .map(|seen| (seen.behaviours, seen.observations))
        .collect();
    assert_eq!(counts, [(2, 3), (1, 1)]);
    assert_eq!(summary.containers[0].container, container(1, "app"));
    let losses: Vec<_> = summary
        .losses
        .iter()
        .map(|loss| {
            (
                loss.cgroup_id,
                loss.workload.as_ref().map(ToString::to_string),
                loss.count,
                loss.last_seen,
            )
        })
        .collect();
    assert_eq!(
        losses,
        [
            (None, None, 4, seconds(7)),
            (Some(1), Some("host/unit/unit-1.service/main".to_owned()), 7, seconds(8)),
            (Some(77), None, 3, seconds(6)),
        ]
    );
}

#[test]
fn counts_of_one_minute_meet_in_one_row() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let at = |second| observation(1, "/a", seconds(second));
    writer
        .flush(id, &flush(vec![at(30), Observation { count: 0, ..at(1) }]))
        .unwrap();
    writer
        .flush(id, &flush(vec![Observation { count: 7, ..at(20) }, at(59), at(60)]))
        .unwrap();
    let phase = Observation {
        phase: Phase::Startup,
        ..at(30)
    };
    writer
        .flush(
            id,
            &flush(vec![
                phase,
                Observation {
                    provenance: Provenance::Entered,
                    ..at(30)
                },
            ]),
        )
        .unwrap();
    let rows: String = look(
        &path,
        "SELECT group_concat(concat_ws(' ', minute, phase, provenance, count, first_seen / 1000000000, last_seen / 1000000000), ', ') FROM observation",
    );
    assert_eq!(rows, "0 0 0 1 30 30, 0 1 0 9 20 59, 0 1 2 1 30 30, 1 1 0 1 60 60");
    assert_eq!(look::<i64>(&path, "SELECT count(*) FROM behaviour"), 1);
}

#[test]
fn a_container_flushed_again_keeps_what_is_known_best() {
    let folder = Folder::new();
    let path = folder.recording();
    let mut writer = Recording::open_or_create(&path, &node("n1")).unwrap();
    let id = writer.start_window(&window(seconds(0))).unwrap();
    let large = Container {
        cgroup_id: u64::MAX,
        ..container(1, "host/unresolved")
    };
    let known = Container {
        started: seconds(5),
        alive_until: seconds(90),
        partial: true,
        ..large.clone()
    };
    let resolved = Container {
        image: container(1, "app").image,
        ..large
    };
    for container in [known, resolved.clone()] {
        writer
            .flush(
                id,
                &Flush {
                    containers: vec![container],
                    ..Flush::default()
                },
            )
            .unwrap();
    }
    let [shown] = &writer.recording().summary().unwrap().containers[..] else {
        panic!("one container")
    };
    assert_eq!(
        shown.container,
        Container {
            alive_until: seconds(90),
            ..resolved
        }
    );
}
