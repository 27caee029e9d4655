//! What a flush costs beyond writing its rows: 10,000 observations through [`Writer::flush`], and the same rows with plain
//! inserts into one table, in turns and in one run.
//!
//! `cold`: every behaviour is new and has to be interned. `warm`: the same behaviours in the next minute, which is what
//! nearly every flush of a settled workload is. `again`: the same minute, so that every row is there and is added to.
//!
//! Run it with `cargo bench -p baselines`.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first surprise")]

use std::path::Path;
use std::time::{Duration, Instant};

use baselines::behaviour::{Access, Action, Behaviour, Phase, Provenance};
use baselines::path::FilePath;
use baselines::recording::{Container, Flush, Node, Observation, Recording, WindowId, WindowStart, Writer};
use baselines::time::UtcTime;
use baselines::workload::Image;
use rusqlite::{Connection, params};

const OBSERVATIONS: u64 = 10_000;
const CONTAINERS: u64 = 20;
const ROUNDS: usize = 15;

fn main() {
    let [mut ours, mut plain] = [vec![], vec![]];
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir().unwrap();
        ours.push(time_ours(&folder.path().join("recording.db")));
        plain.push(time_plain(&folder.path().join("plain.db")));
    }
    println!("{OBSERVATIONS} observations a flush, {CONTAINERS} containers, medians of {ROUNDS} rounds\n");
    println!("| flush | ours, ms | plain inserts, ms | ratio |\n|---|---|---|---|");
    for (case, name) in ["cold", "warm", "again"].iter().enumerate() {
        let [ours, plain] = [&ours, &plain].map(|rounds| median(rounds, case).as_secs_f64() * 1e3);
        println!("| {name} | {ours:.1} | {plain:.1} | {:.2} |", ours / plain);
    }
}

/// The middle one of all rounds of a case.
fn median(rounds: &[[Duration; 3]], case: usize) -> Duration {
    let mut times: Vec<Duration> = rounds.iter().filter_map(|round| round.get(case).copied()).collect();
    times.sort();
    times.get(times.len() / 2).copied().unwrap()
}

fn time_ours(path: &Path) -> [Duration; 3] {
    let node = Node {
        host: "n1".to_owned(),
        boot_id: "b1".to_owned(),
        kernel: "6.18".to_owned(),
        machine_id: None,
    };
    let mut writer = Recording::open_or_create(path, &node).unwrap();
    let start = WindowStart {
        started: UtcTime::from_nanos(0),
        selector: "host".to_owned(),
        backend: "tracepoint".to_owned(),
        tool_version: "0.1.0".to_owned(),
        flush_interval: Duration::from_secs(2),
        lossy_from_start: None,
        names: baselines::dns::Names::Off,
    };
    let window = writer.start_window(&start).unwrap();
    let containers = (1..=CONTAINERS).map(container).collect();
    writer
        .flush(
            window,
            &Flush {
                containers,
                ..Flush::default()
            },
        )
        .unwrap();
    [0, 1, 1].map(|minute| time_flush(&mut writer, window, minute))
}

fn time_flush(writer: &mut Writer, window: WindowId, minute: u64) -> Duration {
    let at = UtcTime::from_nanos(minute * 60_000_000_000);
    let observation = |number| Observation {
        cgroup_id: 1 + number % CONTAINERS,
        behaviour: behaviour(number),
        provenance: Provenance::Workload,
        phase: Phase::Steady,
        minute: at.minute(),
        count: 3,
        first_seen: at,
        last_seen: at,
    };
    let flush = Flush {
        at,
        observations: (0..OBSERVATIONS).map(observation).collect(),
        ..Flush::default()
    };
    let start = Instant::now();
    writer.flush(window, &flush).unwrap();
    start.elapsed()
}

fn container(cgroup_id: u64) -> Container {
    Container {
        cgroup_id,
        workload: "host/unit/web.service/main".parse().unwrap(),
        id: String::new(),
        image: Image {
            repository: "web".to_owned(),
            tag: None,
            digest: None,
        },
        cgroup_path: b"/system.slice/web.service".to_vec(),
        started: UtcTime::from_nanos(0),
        alive_until: UtcTime::from_nanos(0),
        partial: false,
    }
}

fn path(number: u64) -> String {
    format!(
        "/usr/lib/python3/dist-packages/package_{}/module_{number}.py",
        number % 97
    )
}

fn behaviour(number: u64) -> Behaviour {
    Behaviour {
        subject: FilePath::canonical(*b"/usr/bin/python3.11"),
        action: Action::Open {
            path: FilePath::canonical(path(number).into_bytes()),
            access: Access::READ,
            backing: None,
        },
    }
}

/// The least that a database can do: the same columns and the same key, and nothing is checked.
fn time_plain(path: &Path) -> [Duration; 3] {
    let mut connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.pragma_update(None, "synchronous", "normal").unwrap();
    connection
        .execute_batch(
            "CREATE TABLE behaviour (behaviour INTEGER PRIMARY KEY, encoding BLOB UNIQUE);
             CREATE TABLE observation (container INTEGER, behaviour INTEGER, minute INTEGER, phase INTEGER,
               provenance INTEGER, count INTEGER, first_seen INTEGER, last_seen INTEGER,
               PRIMARY KEY (container, behaviour, minute, phase, provenance)) WITHOUT ROWID",
        )
        .unwrap();
    [(0, true), (1, false), (1, false)].map(|(minute, new)| time_inserts(&mut connection, minute, new))
}

fn time_inserts(connection: &mut Connection, minute: i64, new: bool) -> Duration {
    let rows: Vec<(i64, Vec<u8>)> = (0..OBSERVATIONS)
        .map(|number| (number.cast_signed(), path(number).into_bytes()))
        .collect();
    let start = Instant::now();
    let transaction = connection.transaction().unwrap();
    {
        let mut behaviour = transaction.prepare("INSERT INTO behaviour VALUES (?1, ?2)").unwrap();
        let mut observation = transaction
            .prepare("INSERT OR REPLACE INTO observation VALUES (?1, ?2, ?3, 1, 0, 3, ?4, ?4)")
            .unwrap();
        for (number, encoding) in &rows {
            if new {
                behaviour.execute(params![number, encoding]).unwrap();
            }
            let container = 1 + number % CONTAINERS.cast_signed();
            observation
                .execute(params![container, number, minute, minute * 60_000_000_000])
                .unwrap();
        }
    }
    transaction.commit().unwrap();
    start.elapsed()
}
