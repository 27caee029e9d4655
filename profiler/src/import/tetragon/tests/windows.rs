//! What is imported again, and what several imports make of one recording.

use baselines::recording::Recording;

use super::*;

#[test]
fn nothing_counts_twice_however_often_it_is_imported() {
    let scratch = Scratch::new();
    let process = Of { id: "a", ..POD };
    let all: Vec<String> = (0..100)
        .map(|number| process.opens(&format!("/{number}"), 1, number))
        .collect();
    let count = |scratch: &Scratch| {
        let opens = scratch.baseline("docker.io/shop/web").behaviours.open;
        opens.iter().map(|it| it.evidence.count).sum::<u64>()
    };
    // The log as it was at noon, at night, and at night again with a piece of it twice.
    scratch.import(&all[..60]);
    assert_eq!(count(&scratch), 60);
    let summary = scratch.import(&all);
    assert_eq!((count(&scratch), why(&summary, Why::AlreadyImported)), (100, 60));
    let summary = scratch.import(&[&all[..], &all[40..50]].concat());
    assert_eq!(
        (
            count(&scratch),
            why(&summary, Why::AlreadyImported),
            why(&summary, Why::Repeated)
        ),
        (100, 100, 10)
    );
    let summary_of = Recording::open(&scratch.recording()).unwrap().summary().unwrap();
    assert_eq!(summary_of.windows.len(), 2);
    assert!(summary_of.losses.is_empty());
}

#[test]
fn events_that_come_late_into_a_time_that_was_imported_are_a_loss() {
    let scratch = Scratch::new();
    let process = Of { id: "a", ..POD };
    let [first, late, last] = [0, 1, 2].map(|second| process.opens("/a", 1, second));
    scratch.import(&[first.clone(), last.clone()]);
    let summary = scratch.import(&[first, late, last, process.opens("/a", 1, 3)]);
    assert_eq!(summary.imported[0].losses["source_overlap"], 1);
    assert_eq!(summary.imported[0].events, 1);
}

#[test]
fn a_recording_is_one_nodes() {
    let scratch = Scratch::new();
    let one = POD.opens("/a", 1, 0);
    let other = one.replace("worker-1", "worker-2");
    let lines = [one.clone(), other.clone()];
    let mut importer = Importer::new(Options::into(Target::File(scratch.recording())));
    importer.line(one.as_bytes(), &String::new).unwrap();
    let error = importer.line(other.as_bytes(), &String::new).unwrap_err();
    assert!(error.to_string().contains("worker-2"), "{error}");
    importer.abandon("several nodes").unwrap();
    assert!(!scratch.recording().exists());

    let options = Options::into(Target::Folder(scratch.0.path().to_owned()));
    let summary = import_with(options, &lines);
    assert_eq!(summary.imported.len(), 2);
    assert!(scratch.0.path().join("worker-2.db").exists());

    let options = Options::into(Target::File(scratch.0.path().join("worker-2.db")));
    let mut importer = Importer::new(options.clone());
    assert!(importer.line(one.as_bytes(), &String::new).is_err(), "it is worker-2's");
    let summary = import_with(
        Options {
            node: Some("worker-2".to_owned()),
            ..options
        },
        &lines,
    );
    assert_eq!(
        (why(&summary, Why::OtherNode), why(&summary, Why::AlreadyImported)),
        (1, 1)
    );
}

#[test]
fn an_import_that_fails_is_taken_up_where_it_was() {
    let scratch = Scratch::new();
    let process = Of { id: "a", ..POD };
    let lines = [0, 1, 2].map(|second| process.opens("/a", 1, second));
    let mut importer = Importer::new(Options::into(Target::File(scratch.recording())));
    importer.line(lines[0].as_bytes(), &String::new).unwrap();
    importer.write().unwrap();
    importer.line(lines[1].as_bytes(), &String::new).unwrap();
    importer.abandon("it was enough").unwrap();
    let summary = scratch.import(&lines);
    assert_eq!(
        (why(&summary, Why::AlreadyImported), summary.imported[0].events),
        (1, 2)
    );
}

#[test]
fn a_clock_that_is_wrong_does_not_claim_the_future() {
    let scratch = Scratch::new();
    let latest = "2026-11-22T00:00:00Z".parse().ok();
    let options = Options {
        latest,
        ..Options::into(Target::File(scratch.recording()))
    };
    let line = POD.opens("/a", 1, 0);
    let summary = import_with(options, &[line.clone(), line.replace("2026-11", "2126-11")]);
    assert_eq!((why(&summary, Why::NoTime), summary.imported[0].events), (1, 1));
}

#[test]
fn events_that_come_late_into_a_window_that_is_being_written_are_recorded_within_a_minute() {
    let scratch = Scratch::new();
    let process = Of { id: "a", ..POD };
    let mut importer = Importer::new(Options::into(Target::File(scratch.recording())));
    for (second, is_written) in [(120, true), (90, true), (59, false)] {
        let line = process.opens("/a", 1, second);
        importer.line(line.as_bytes(), &String::new).unwrap();
        importer.write().unwrap();
        let total = importer.counters.total();
        assert_eq!(total.not.contains_key(&Why::TooLate), !is_written, "{second}");
    }
    let summary = importer.finish().unwrap();
    assert_eq!(
        (summary.imported[0].events, summary.imported[0].losses["source_overlap"]),
        (2, 1)
    );
}
