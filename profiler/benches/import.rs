//! How fast Tetragon's events are imported: events a second, beside what anybody who reads them as JSON has to pay, on the
//! same lines in the same run.
//!
//!     cargo bench -p profiler --bench import                        # 1,000,000 events, some 1.5 GB in a temporary file
//!     cargo bench -p profiler --bench import -- --events 100000
//!
//! **lines**: the file is read and cut into lines, nothing else: no import can be faster. **values**: `serde_json` makes a
//! `Value` of each line, which is thrown away. **import**: everything, from the file to the recording on the disk. They take
//! turns; medians are shown.
#![allow(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]
#![allow(
    clippy::cast_precision_loss,
    reason = "events and bytes of a benchmark are far below 2^53"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser as _;
use profiler::import::tetragon::lines::{LINE_BYTES_MAX, Line, Lines};
use profiler::import::tetragon::sources::Source;
use profiler::import::tetragon::{Importer, Options, Target};

/// Measure how fast Tetragon's events are imported.
#[derive(clap::Parser)]
struct Arguments {
    /// How many events.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// How many rounds.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("tetragon.log");
    write_events(&export, arguments.events);
    let bytes = export.metadata().unwrap().len();
    let mut times = [vec![], vec![], vec![]];
    let mut memory = 0;
    for round in 0..arguments.rounds {
        let recording = folder.path().join(format!("{round}.db"));
        let [lines, values, imports] = &mut times;
        imports.push(time(|| import(&export, &recording, arguments.events)));
        if round == 0 {
            // Before anything else has taken memory.
            memory = peak_kib();
        }
        lines.push(time(|| read(&export, |line| _ = black_box(line))));
        values.push(time(|| {
            read(&export, |line| {
                _ = black_box(serde_json::from_slice::<serde_json::Value>(line).unwrap());
            });
        }));
    }
    let events = arguments.events as f64;
    println!(
        "{} events, {:.0} bytes each, medians of {} rounds; the import's peak of resident memory: {:.0} MiB\n",
        arguments.events,
        bytes as f64 / events,
        arguments.rounds,
        memory as f64 / 1024.0
    );
    println!("| | events/s | time to that of values |\n|---|---|---|");
    let medians = times.map(median);
    let [_, values, _] = medians;
    for (name, median) in ["lines", "values", "import"].iter().zip(medians) {
        println!("| {name} | {:.0} | {:.2} |", events / median, median / values);
    }
}

fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// The middle one, in seconds.
fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times.get(times.len() / 2).unwrap().as_secs_f64()
}

fn read(export: &Path, mut take: impl FnMut(&[u8])) {
    let reader = BufReader::with_capacity(256 << 10, File::open(export).unwrap());
    let mut lines = Lines::new(reader, LINE_BYTES_MAX);
    while let Some(line) = lines.next().unwrap() {
        match line {
            Line::Whole(line) | Line::Unended(line) => take(line),
            Line::TooLong => unreachable!("no line is that long"),
        }
    }
}

fn import(export: &Path, recording: &Path, events: u64) {
    let mut importer = Importer::new(Options::into(Target::File(recording.to_owned())));
    importer.read(&Source::File(export.to_owned()), &mut |_, _| ()).unwrap();
    let total = importer.finish().unwrap().counters.total();
    // A figure for work that was not done would be worth nothing.
    assert_eq!(total.events, events);
    assert!(total.recorded > events / 2 && total.not.is_empty(), "{total:?}");
}

/// `VmHWM` of `proc_pid_status(5)`.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// 200 containers of 20 images on a busy node: of 20 events 2 are an execution's (the check, and that it succeeded), 1 an
/// exit, 2 connections and 15 opens, of some 300 files an image.
fn write_events(export: &Path, events: u64) {
    let mut file = BufWriter::new(File::create(export).unwrap());
    for number in 0..events {
        // Of one process after the other.
        let process = number / 20;
        let place = process % 200;
        let (event, function, arguments) = match number % 20 {
            0 => (
                "process_kprobe",
                "security_bprm_check",
                r#"[{"linux_binprm_arg":{"path":"/usr/bin/dash","permission":"-rwxr-xr-x"}}]"#.to_owned(),
            ),
            1 => ("process_exec", "", String::new()),
            19 => ("process_exit", "", String::new()),
            10 | 15 => (
                "process_kprobe",
                "security_socket_connect",
                format!(
                    r#"[{{"sock_arg":{{"family":"AF_INET","type":"SOCK_STREAM","protocol":"IPPROTO_TCP","saddr":"0.0.0.0","daddr":"0.0.0.0","cookie":"18446612693{number}","state":"TCP_CLOSE"}}}},{{"sockaddr_arg":{{"family":"AF_INET","addr":"10.0.{}.{}","port":5432}}}}]"#,
                    place % 20,
                    number % 7
                ),
            ),
            _ => (
                "process_kprobe",
                "security_file_open",
                format!(
                    r#"[{{"file_arg":{{"path":"/usr/share/app-{}/data/file-{}.json","permission":"-rw-r--r--"}}}},{{"uint_arg":29,"label":"f_mode"}}]"#,
                    place % 20,
                    number * 7 % 300
                ),
            ),
        };
        let before = if number % 20 == 0 {
            process.wrapping_sub(1)
        } else {
            process
        };
        let call = if function.is_empty() {
            String::new()
        } else {
            format!(
                r#","function_name":"{function}","args":{arguments},"action":"KPROBE_ACTION_POST","policy_name":"wardline-learn""#
            )
        };
        let (seconds, nanos) = (number / 1000, number % 1000 * 1_000_000);
        writeln!(
            file,
            r#"{{"{event}":{{"process":{},"parent":{}{call}}},"node_name":"worker-1","time":"2026-11-21T{:02}:{:02}:{:02}.{nanos:09}Z","node_labels":{{"kubernetes.io/arch":"amd64","kubernetes.io/os":"linux"}}}}"#,
            process_json(before, process, place, "/bin/sh"),
            process_json(1_000_000 + place, 1_000_000 + place, place, "/usr/bin/supervisor"),
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
        .unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
}

/// A process as agents in a cluster write it.
fn process_json(id: u64, pid: u64, place: u64, binary: &str) -> String {
    let image = place % 20;
    let hash = format!("{image:064x}");
    // Different from its beginning on, which is all that Tetragon gives of it.
    let id_of_container = format!("{place:04x}{:060x}", 0);
    format!(
        r#"{{"exec_id":"d29ya2VyLTE6MTE2OTc3OTA1NDM0MjAx{id:012}","pid":{pid},"uid":0,"cwd":"/app","binary":"{binary}","arguments":"-c \"exec /app/run --number {id}\"","flags":"execve rootcwd clone","start_time":"2026-11-21T00:00:00.000000000Z","auid":4294967295,"pod":{{"namespace":"shop","name":"app-{image}-5d4f8c7b9d-{place:05}","uid":"8e86f744-bfea-465f-84ce-{place:012}","container":{{"id":"containerd://{id_of_container}","name":"main","image":{{"id":"docker.io/shop/app-{image}@sha256:{hash}","name":"docker.io/shop/app-{image}:1.4"}},"start_time":"2026-11-20T23:59:00Z","pid":{pid}}},"pod_labels":{{"app":"app-{image}","pod-template-hash":"5d4f8c7b9d"}},"workload":"app-{image}","workload_kind":"Deployment"}},"docker":"{id_of_container:.31}","parent_exec_id":"d29ya2VyLTE6MTE2OTc3OTA1NDM0MjAx{place:012}","refcnt":1,"tid":{pid},"in_init_tree":true}}"#
    )
}
