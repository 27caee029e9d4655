//! Bytes that nobody expects.

use proptest::prelude::*;

use super::*;

/// JSON that is nearly an event.
fn nearly_events() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just(POD.opens("/a", 1, 0)),
        Just(POD.executed(&NODE, 1)),
        Just(POD.checks("/bin/x", 1)),
        Just(POD.calls(
            "socket_connect",
            r#"{"sockaddr_arg":{"family":"AF_INET","addr":"10.0.0.1","port":70000}}"#,
            2
        )),
        Just(end(
            r#""rate_limit_info":{"number_of_dropped_process_events":"18446744073709551615"}"#,
            1
        )),
    ];
    (
        line,
        any::<prop::sample::Index>(),
        any::<prop::sample::Index>(),
        "\\PC{0,6}|\\\\u[0-9a-f]{4}|[0-9]{1,30}",
    )
        .prop_map(|(line, from, to, insert)| {
            let characters: Vec<char> = line.chars().collect();
            let (from, to) = (from.index(characters.len()), to.index(characters.len()));
            let (head, tail) = (&characters[..from], &characters[from.max(to)..]);
            head.iter()
                .copied()
                .chain(insert.chars())
                .chain(tail.iter().copied())
                .collect()
        })
}

proptest! {
    // Each case makes a recording.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_stop_an_import(lines in proptest::collection::vec(
        prop_oneof![nearly_events().prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..200)], 1..20,
    )) {
        let scratch = Scratch::new();
        let mut importer = Importer::new(Options::into(Target::Folder(scratch.0.path().to_owned())));
        importer.line(POD.opens("/a", 1, 0).as_bytes(), &String::new).unwrap();
        for line in &lines {
            importer.line(line, &String::new).unwrap();
        }
        let summary = importer.finish().unwrap();
        let total = summary.counters.total();
        let decided = total.recorded + total.used + total.not.values().sum::<u64>();
        prop_assert_eq!(total.events, decided, "every event has become something");
        prop_assert_eq!(summary.lines, total.events + summary.unreadable.total());
        let recorded: u64 = summary.imported.iter().map(|it| it.events).sum();
        prop_assert_eq!(recorded, total.recorded);
    }
}
