//! Tests of what the benchmark computes: without the usual harness it runs none of its own.
#![allow(
    clippy::cast_precision_loss,
    reason = "times and counts of a benchmark are far below 2^53"
)]

mod figures;

mod output {
    use crate::figures::output::{mentions, reason};

    #[test]
    fn lines_and_counts_of_an_object_are_added_up() {
        let cases = [
            ("12 worker 3 0 /tmp/one\n12 worker 3 0 /tmp/one2\n", "/tmp/one", 1),
            ("@[/tmp/one]: 50000\n@[/tmp/two]: 7\n", "/tmp/one", 50_000),
            ("@[127.0.0.1, 4444]: 12\n@[127.0.0.2, 4444]: 1", "4444", 13),
            ("openat(AT_FDCWD, \"/tmp/one\", O_RDONLY) = 3\n", "/tmp/one", 1),
            (
                "connect(3, {sa_family=AF_INET, sin_port=htons(4444)}, 16) = 0",
                "4444",
                1,
            ),
            ("", "/tmp/one", 0),
        ];
        for (output, object, count) in cases {
            assert_eq!(mentions(output, object), count, "{output}");
        }
    }

    #[test]
    fn a_tool_says_why_it_does_not_run() {
        let tcpconnect = "libbpf: prog 'a': failed to create kprobe: No such file\nfailed to attach BPF programs\n";
        assert_eq!(reason(tcpconnect), tcpconnect.lines().next());
        let bpftrace = "ERROR: couldn't set RLIMIT_MEMLOCK\nstdin:1:1-25: ERROR: no kprobes here\nkprobe:a { }\n~~~~\n";
        assert_eq!(reason(bpftrace), Some("stdin:1:1-25: ERROR: no kprobes here"));
        assert_eq!(reason("one\nnothing works\n\n"), Some("nothing works"));
        assert_eq!(reason(""), None);
    }
}

mod procfs {
    use crate::figures::procfs::{Held, Stat, field, own_memory, text};

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let status = "Name:\tx\nVmHWM:\t   17000 kB\nVmRSS:\t   16000 kB\n";
        assert_eq!(field(status, "VmRSS"), Some(16_000));
        assert_eq!(field(status, "Vm"), None);
        assert_eq!((field(status, "Name"), text(status, "Name")), (None, Some("x")));
        assert_eq!(text("model\t\t: 1\nmodel name\t: A B\n", "model name"), Some("A B"));
    }

    #[test]
    fn the_time_of_a_process_is_its_own_and_that_of_its_ended_children() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7\n";
        assert_eq!(Stat::parse(stat), Some(Stat { parent: 3, ticks: 127 }));
        assert_eq!(Stat::parse("7 (a) S 3 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn memory_of_a_process_is_its_share_without_the_tables_of_the_kernel_that_it_sees() {
        let smaps = "55-56 r-xp 0 00:1 2 /bin/a\nRss: 8 kB\nPss:                  4 kB\nPss_Dirty: 1 kB\n\
                     7f-80 r--s 0 00:1 3 anon_inode:bpf-map\nRss: 80 kB\nPss: 40 kB\n\
                     81-82 rw-p 0 00:0 0\nRss: 3 kB\nPss: 3 kB\n";
        assert_eq!(own_memory(smaps), 7 * 1024);
        assert_eq!(own_memory(""), 0);
    }

    #[test]
    fn programs_and_maps_are_told_from_links_and_files() {
        let program = "pos:\t0\nprog_type:\t26\nmemlock:\t4096\nprog_id:\t5\nrun_time_ns:\t1200\nrun_cnt:\t3\n";
        let table = "map_type:\t1\nmax_entries:\t4096\nmemlock:\t500\nmap_id:\t8\n";
        let link = "link_type:\ttracing\nlink_id:\t3\nprog_id:\t5\n";
        let cases = [
            (
                program,
                Some(Held::Program {
                    id: 5,
                    run_time: 1_200,
                    runs: 3,
                }),
            ),
            (table, Some(Held::Map { id: 8, memory: 500 })),
            (link, None),
            ("pos:\t0\nflags:\t02\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Held::parse(text), expected, "{text}");
        }
    }
}

mod statistics {
    use std::time::Duration;

    use crate::figures::statistics::{Settled, Spread, due, duration};

    #[test]
    fn one_outlier_moves_neither_the_median_nor_the_deviation() {
        let cases = [
            (vec![5.0], 5.0, 0.0),
            (vec![3.0, 1.0, 2.0], 2.0, 0.5),
            (vec![1.0, 2.0, 3.0, 4.0, 5.0], 3.0, 1.0),
            (vec![1.0, 2.0, 3.0, 4.0, 5_000.0], 3.0, 1.0),
            (vec![f64::NAN, 7.0, 7.0], 7.0, 0.0),
        ];
        for (figures, median, deviation) in cases {
            assert_eq!(Spread::of(figures), Some(Spread { median, deviation }));
        }
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN]), None);
    }

    #[test]
    fn a_spread_is_shown_with_and_without_its_sign() {
        let spread = Spread {
            median: 1026.4,
            deviation: 14.6,
        };
        assert_eq!(
            (format!("{spread}"), format!("{spread:+}")),
            ("1026 ±15".into(), "+1026 ±15".into())
        );
    }

    #[test]
    fn what_grows_at_first_and_stays_then_has_settled() {
        let series = [(0.0, 1.0), (10.0, 50.0), (20.0, 80.0), (30.0, 90.0), (40.0, 80.0)];
        let settled = Settled {
            first: 80.0,
            last: 80.0,
            max: 90.0,
            per_minute: 0.0,
        };
        assert_eq!(Settled::of(&series), Some(settled));
        let growing: Vec<_> = (0..=40_u32)
            .map(|second| (f64::from(second), f64::from(second) * 3.0))
            .collect();
        assert_eq!(Settled::of(&growing).map(|settled| settled.per_minute), Some(180.0));
        assert_eq!(Settled::of(&[]), None);
        assert_eq!(Settled::of(&[(1.0, 1.0)]), None);
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("60m"), Ok(Duration::from_hours(1)));
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        for text in ["", "s", "0s", "10", "1.5h", "-1s", "1d", "99999999h", "1ä"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_due_catches_up_with_the_rate() {
        let cases = [
            (1_000, 0, 0, 0),
            (1_000, 10, 0, 10),
            (1_000, 10, 4, 6),
            (1_000, 10, 40, 0),
            (10, 99, 0, 0),
            (10, 100, 0, 1),
        ];
        for (rate, milliseconds, done, expected) in cases {
            let elapsed = Duration::from_millis(milliseconds);
            assert_eq!(due(rate, elapsed, done), expected, "{rate} {milliseconds} {done}");
        }
    }
}
