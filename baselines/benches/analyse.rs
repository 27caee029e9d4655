//! What baselines of a large recording cost beside the least that can be done with the same rows: the `sqlite3` command that
//! reads them with a plain GROUP BY, then documents made of the recording, then documents made of its export, one after the
//! other in one run, each in a process of its own whose peak of memory the kernel tells.
//!
//! Run it with `cargo bench -p baselines --bench analyse`; `-- --growth` shows how time and size grow instead. It needs the
//! command `sqlite3`, and 2 GB in the temporary directory.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::io::Write as _;
use std::mem::MaybeUninit;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use baselines::behaviour::{Access, Action, Behaviour, Phase, Protocol, Provenance};
use baselines::path::FilePath;
use baselines::recording::{Container, EndReason, Flush, Node, Observation, Recording, WindowStart, export};
use baselines::time::UtcTime;
use baselines::workload::{Image, Workload};
use baselines::{analysis, document};

/// What a week of a cluster's node could be, some fifty times over.
const LARGE: Shape = Shape {
    images: 200,
    containers: 5,
    behaviours: 200,
    minutes: 50,
};
const PLAIN: &str = "SELECT repository, behaviour, sum(count), min(first_seen), max(last_seen) \
                     FROM observation JOIN container USING (container) GROUP BY repository, behaviour";
const WEEK_MINUTES: u64 = 7 * 24 * 60;

/// How much there is.
#[derive(Clone, Copy)]
struct Shape {
    images: u64,
    /// Of each image.
    containers: u64,
    /// Of each container.
    behaviours: u64,
    /// In which each behaviour of a container is seen.
    minutes: u64,
}

impl Shape {
    const fn rows(self) -> u64 {
        self.images * self.containers * self.behaviours * self.minutes
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [_, "--documents", input] => documents(input),
        [_, rest @ ..] if rest.contains(&"--growth") => growth(),
        _ => side_by_side(),
    }
}

/// What a child process does: all documents of a file.
fn documents(input: &str) {
    let baselines = analysis::baselines(&[input.into()]).unwrap();
    let mut out = std::io::stdout().lock();
    for baseline in &baselines {
        out.write_all(document::to_yaml(baseline).as_bytes()).unwrap();
    }
}

fn side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (recording, parquet) = (folder.path().join("a.db"), folder.path().join("a.parquet"));
    record(LARGE, &recording);
    let start = Instant::now();
    export(std::slice::from_ref(&recording), &parquet, false, |_, _| {}).unwrap();
    let exported = start.elapsed();
    println!(
        "{} rows, {} images; exported in {:.1} s\n",
        LARGE.rows(),
        LARGE.images,
        exported.as_secs_f64()
    );
    println!(
        "| what | file, MB | seconds | ratio | of a processor | ratio | peak, MiB |\n|---|--:|--:|--:|--:|--:|--:|"
    );
    let plain = cost(Command::new("sqlite3").arg(&recording).arg(PLAIN));
    let ours = [&recording, &parquet].map(|file| cost(&mut child(file)));
    for (what, file, cost) in [
        ("GROUP BY", &recording, plain),
        ("documents", &recording, ours[0]),
        ("documents", &parquet, ours[1]),
    ] {
        let ratio = |time: fn(&Cost) -> Duration| time(&cost).as_secs_f64() / time(&plain).as_secs_f64();
        println!(
            "| {what} | {:.0} | {:.1} | {:.2} | {:.1} | {:.2} | {} |",
            megabytes(file),
            cost.time.as_secs_f64(),
            ratio(|cost| cost.time),
            cost.processor.as_secs_f64(),
            ratio(|cost| cost.processor),
            cost.peak >> 20
        );
    }
}

fn growth() {
    println!(
        "| rows | images | behaviours | recording, MB | processor, s | peak, MiB | Parquet, MB | processor, s | peak, MiB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let base = Shape {
        minutes: 10,
        containers: 2,
        images: 100,
        behaviours: 100,
    };
    let times = [1, 2, 4, 8];
    let minutes = times.map(|by| Shape {
        minutes: base.minutes * by,
        ..base
    });
    let images = times.map(|by| Shape {
        images: base.images * by,
        ..base
    });
    let behaviours = times.map(|by| Shape {
        behaviours: base.behaviours * by,
        ..base
    });
    for shape in [minutes, images, behaviours].concat() {
        let folder = tempfile::tempdir().unwrap();
        let (recording, parquet) = (folder.path().join("a.db"), folder.path().join("a.parquet"));
        record(shape, &recording);
        export(std::slice::from_ref(&recording), &parquet, false, |_, _| {}).unwrap();
        print!("| {} | {} | {} ", shape.rows(), shape.images, shape.behaviours);
        for file in [&recording, &parquet] {
            let Cost { processor, peak, .. } = cost(&mut child(file));
            print!(
                "| {:.1} | {:.2} | {} ",
                megabytes(file),
                processor.as_secs_f64(),
                peak >> 20
            );
        }
        println!("|");
    }
}

fn child(file: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--documents").arg(file);
    command
}

fn megabytes(file: &PathBuf) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "it is shown")]
    let bytes = std::fs::metadata(file).unwrap().len() as f64;
    bytes / 1e6
}

#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    /// Of a processor: other programs do not change it much.
    processor: Duration,
    /// In bytes.
    peak: i64,
}

/// Runs a command to its end.
#[expect(clippy::zombie_processes, reason = "it is waited for by wait4(2)")]
fn cost(command: &mut Command) -> Cost {
    let start = Instant::now();
    let child = command.stdout(Stdio::null()).spawn().unwrap();
    let (mut status, mut usage) = (0, MaybeUninit::<libc::rusage>::zeroed());
    let id = i32::try_from(child.id()).unwrap();
    // SAFETY: both pointers are to what wait4(2) writes, and the child is waited for nowhere else.
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
    let time = start.elapsed();
    assert!(waited == id && status == 0, "{command:?} failed");
    // SAFETY: zeros are a value of it, and wait4(2) has written another.
    let usage = unsafe { usage.assume_init() };
    let of = |time: libc::timeval| {
        Duration::new(
            u64::try_from(time.tv_sec).unwrap(),
            u32::try_from(time.tv_usec).unwrap() * 1000,
        )
    };
    Cost {
        time,
        processor: of(usage.ru_utime) + of(usage.ru_stime),
        peak: usage.ru_maxrss * 1024,
    }
}

/// A small generator (splitmix64), the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn at(seconds: u64) -> UtcTime {
    UtcTime::from_nanos((1_790_000_000 - 1_790_000_000 % 604_800 + seconds) * 1_000_000_000)
}

fn record(shape: Shape, path: &Path) {
    let node = Node {
        host: "n1".to_owned(),
        boot_id: "b1".to_owned(),
        kernel: "6.18".to_owned(),
        machine_id: None,
    };
    let mut writer = Recording::open_or_create(path, &node).unwrap();
    let start = WindowStart {
        started: at(0),
        selector: "host".to_owned(),
        backend: "tracepoint".to_owned(),
        tool_version: "0.1.0".to_owned(),
        flush_interval: Duration::from_secs(2),
        lossy_from_start: None,
        names: baselines::dns::Names::Off,
    };
    let window = writer.start_window(&start).unwrap();
    let mut random = Random(7);
    for number in 0..shape.images * shape.containers {
        let flush = Flush {
            at: at(60 * WEEK_MINUTES),
            containers: vec![container(shape, number)],
            observations: (0..shape.behaviours)
                .flat_map(|behaviour| observed(shape, number, behaviour, &mut random))
                .collect(),
            ..Flush::default()
        };
        writer.flush(window, &flush).unwrap();
    }
    writer
        .end_window(window, &EndReason::Completed, at(60 * WEEK_MINUTES))
        .unwrap();
}

fn container(shape: Shape, number: u64) -> Container {
    let image = number / shape.containers;
    Container {
        cgroup_id: number + 1,
        workload: Workload {
            namespace: "shop".to_owned(),
            kind: "Deployment".to_owned(),
            name: format!("app-{image}"),
            container: "main".to_owned(),
        },
        id: format!("{number:064x}"),
        image: Image {
            repository: format!("registry.example/shop/app-{image}"),
            tag: Some("1.4".to_owned()),
            digest: None,
        },
        cgroup_path: format!("/kubepods/pod{number}/{number:064x}").into_bytes(),
        started: at(3600 * (number % shape.containers)),
        alive_until: at(60 * WEEK_MINUTES),
        partial: false,
    }
}

/// One behaviour of a container, in as many minutes of the week as there are to be.
fn observed(shape: Shape, container: u64, behaviour: u64, random: &mut Random) -> Vec<Observation> {
    let behaviour_of_image = does(container / shape.containers, behaviour);
    let step = WEEK_MINUTES / shape.minutes;
    let minutes: Vec<u64> = (0..shape.minutes)
        .map(|minute| minute * step + random.below(step))
        .collect();
    let observations = minutes.into_iter().map(|minute| {
        let first = 60 * minute + random.below(50);
        Observation {
            cgroup_id: container + 1,
            behaviour: behaviour_of_image.clone(),
            provenance: Provenance::Workload,
            phase: if minute < 60 { Phase::Startup } else { Phase::Steady },
            minute: at(first).minute(),
            count: 1 + random.below(20),
            first_seen: UtcTime::from_nanos(at(first).nanos().cast_unsigned() + random.below(1_000_000_000)),
            last_seen: UtcTime::from_nanos(at(first + 8).nanos().cast_unsigned() + random.below(1_000_000_000)),
        }
    });
    observations.collect()
}

/// Images share half of what they do.
fn does(image: u64, behaviour: u64) -> Behaviour {
    let whose = if behaviour.is_multiple_of(2) {
        "shared".to_owned()
    } else {
        format!("app-{image}")
    };
    let subject = FilePath::canonical(*b"/usr/bin/python3.11");
    let path = |folder: &str| {
        let path = format!(
            "/{folder}/{whose}/package_{}/module_{}.py",
            behaviour % 17,
            word(behaviour)
        );
        FilePath::canonical(path.into_bytes())
    };
    let action = match behaviour % 10 {
        0 => Action::Exec {
            binary: path("usr/bin"),
            script: None,
            arguments: None,
        },
        1 => Action::Connect {
            address: Ipv4Addr::from_bits(0x0a00_0000 | u32::try_from(behaviour).unwrap()).into(),
            port: 443,
            protocol: Protocol::Tcp,
        },
        _ => Action::Open {
            path: path("usr/lib/python3/dist-packages"),
            access: Access::READ,
            backing: None,
        },
    };
    Behaviour { subject, action }
}

/// Letters for a number: names that nothing folds.
fn word(number: u64) -> String {
    let letters = number.to_string();
    letters.bytes().map(|digit| char::from(b'a' + (digit - b'0'))).collect()
}
