//! Whole recordings: what `profile start` takes under a known load, and whether it counts all of it.
//!
//! | function | question it answers |
//! |---|---|
//! | [`published`] | How much processor time and memory does the load take that Kubescape publishes figures for? |
//! | [`flood`] | Are the counts exact when all processors open files as fast as they can? |
//! | [`soak`] | Do memory and recording stop growing once nothing is new? |

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use baselines::behaviour::Action;
use baselines::recording::Summary;
use profiler::cgroups::{Hierarchy, OwnedCgroup};

use crate::agent::{Agent, Usage, ring_messages};
use crate::figures::statistics::Settled;
use crate::load::{Amounts, Kind, Load};

/// The load of kubescape/node-agent's docs/dedup-testing/benchmark-results.md: opens, executions, connections and HTTP
/// exchanges a second.
const PUBLISHED: Amounts = [1_000, 10, 10, 100];
/// The load of the soak.
const MIXED: Amounts = [5_000, 20, 50, 100];
const MIB: f64 = 1_048_576.0;

/// Seconds since the load began, and what had been taken by then.
type Sample = (f64, Usage);

/// What one load took, and what was recorded of it.
struct Outcome {
    idle: [Usage; 2],
    samples: Vec<Sample>,
    /// Ring messages at a quarter of the time, and at the end of the load.
    messages: [u64; 2],
    /// The load's.
    cgroup: String,
    done: Amounts,
    recorded: Amounts,
    summary: Summary,
}

/// How long the agent is watched before the load.
const IDLE: Duration = Duration::from_secs(5);

fn record(hierarchy: &Hierarchy, kind: Kind, time: Duration, options: &[&str]) -> Result<Outcome, Box<dyn Error>> {
    let mut agent = Agent::start(hierarchy, options)?;
    let before = agent.usage()?;
    thread::sleep(IDLE);
    let idle = [before, agent.usage()?];
    let name = format!("bench-{}", std::process::id());
    let cgroup: OwnedCgroup = hierarchy.create_child(&hierarchy.own()?, &name)?;
    let start = Instant::now();
    let mut samples = vec![(0.0, agent.usage()?)];
    let mut load = Load::start(&cgroup, kind, time)?;
    let mut early = None;
    // Sixty samples, the last one when the load ends.
    let interval = (time / 60).max(Duration::from_secs(1));
    while start.elapsed() + interval < time {
        thread::sleep(interval);
        samples.push((start.elapsed().as_secs_f64(), agent.usage()?));
        if early.is_none() && start.elapsed() > time / 4 {
            early = Some(agent.ring_messages()?);
        }
    }
    let done = load.finish()?;
    samples.push((start.elapsed().as_secs_f64(), agent.usage()?));
    let summary = agent.stop()?;
    let late = ring_messages(&summary);
    Ok(Outcome {
        idle,
        samples,
        messages: [early.unwrap_or(late), late],
        done,
        recorded: recorded(&agent.recording(), &name, load.folder())?,
        cgroup: name,
        summary,
    })
}

/// What the recording says that the load did: opens of its files, executions of its program, connections.
fn recorded(recording: &Path, cgroup: &str, folder: &Path) -> Result<Amounts, Box<dyn Error>> {
    let folder = folder.canonicalize()?;
    let mut amounts = Amounts::default();
    let [opens, executions, connects, _] = &mut amounts;
    for baseline in baselines::analysis::baselines(&[recording.to_owned()])? {
        if !baseline.image.repository.ends_with(cgroup) {
            continue;
        }
        for (behaviour, evidence) in baseline.behaviours.all() {
            let ours = |path: &baselines::path::FilePath| {
                let path = path.as_bytes().strip_prefix(folder.as_os_str().as_encoded_bytes());
                path.map(<[u8]>::to_vec)
            };
            match &behaviour.action {
                // The kernel opens the program, too; only files have numbers.
                Action::Open { path, .. } if ours(path).is_some_and(|name| name != b"/program") => {
                    *opens += evidence.count;
                }
                Action::Exec { binary, .. } if ours(binary).is_some() => *executions += evidence.count,
                Action::Connect { .. } => *connects += evidence.count,
                _ => {}
            }
        }
    }
    Ok(amounts)
}

impl Outcome {
    /// The counts must be exact, and nothing lost.
    fn accuracy(&self) -> Result<String, Box<dyn Error>> {
        let [opens, executions, connects, exchanges] = self.done;
        // Each exchange begins with a connection.
        let done = [opens, executions, connects + exchanges];
        let [opens, executions, connects, _] = self.recorded;
        let recorded = [opens, executions, connects];
        let mut text = String::from("| | done | recorded |\n|---|--:|--:|\n");
        for (what, (done, recorded)) in ["opens", "executions", "connections"]
            .iter()
            .zip(done.iter().zip(recorded))
        {
            writeln!(text, "| {what} | {done} | {recorded} |")?;
        }
        // What others on this machine lost is theirs; what belongs to nobody may be the load's.
        let (others, ours): (Vec<_>, Vec<_>) = self.summary.losses.iter().partition(|loss| {
            let workload = loss.workload.as_ref().map(ToString::to_string);
            workload.is_some_and(|workload| !workload.contains(&self.cgroup))
        });
        let others: u64 = others.iter().map(|loss| loss.count).sum();
        let lost: Vec<String> = ours
            .iter()
            .map(|loss| format!("{} {}", loss.count, loss.reason))
            .collect();
        let lost = if lost.is_empty() {
            "nothing".to_owned()
        } else {
            lost.join("; ")
        };
        writeln!(
            text,
            "\n- counts exact: {}; lost: {lost} (of other workloads on this machine: {others})",
            if done == recorded { "yes" } else { "**no**" }
        )?;
        Ok(text)
    }

    fn first_and_last(&self) -> Result<[Sample; 2], &'static str> {
        match self.samples.as_slice() {
            [first, .., last] => Ok([*first, *last]),
            _ => Err("nothing was measured"),
        }
    }
}

/// Processor time and memory under the published load.
pub(crate) fn published(hierarchy: &Hierarchy, time: Duration) -> Result<String, Box<dyn Error>> {
    eprintln!("the published load, {} s", time.as_secs());
    let outcome = record(hierarchy, Kind::Paced(PUBLISHED), time, &[])?;
    let [(from, first), (to, last)] = outcome.first_and_last()?;
    let seconds = to - from;
    let (processor, probes) = (
        (last.processor - first.processor) / seconds,
        (last.probes - first.probes) / seconds,
    );
    let [before, after] = outcome.idle;
    let idle = (after.processor - before.processor + after.probes - before.probes) / IDLE.as_secs_f64();
    let memory = (last.own + last.tables) as f64 / MIB;
    let mut text =
        format!("{seconds:.0} s of 1,000 opens, 10 executions, 10 connections and 100 HTTP exchanges a second.\n\n");
    writeln!(text, "| | measured | goal | Kubescape's best |\n|---|--:|--:|--:|")?;
    writeln!(text, "| processor time of the processes, cores | {processor:.4} | | |")?;
    writeln!(text, "| run time of the probes, cores | {probes:.4} | | |")?;
    writeln!(text, "| together | {:.4} | 0.02 | 0.150 |", processor + probes)?;
    writeln!(
        text,
        "| memory of the processes, MiB | {:.1} | | |",
        last.own as f64 / MIB
    )?;
    writeln!(
        text,
        "| tables in the kernel, MiB | {:.1} | | |",
        last.tables as f64 / MIB
    )?;
    writeln!(text, "| together | {memory:.1} | 40 | 336 |\n")?;
    writeln!(
        text,
        "- the probes ran {:.0} times a second, {:.0} ns each, in the calls of everybody on this machine; in the {} s before \
         the load, all took {idle:.4} cores",
        (last.runs - first.runs) as f64 / seconds,
        (last.probes - first.probes) * 1e9 / (last.runs - first.runs).max(1) as f64,
        IDLE.as_secs()
    )?;
    writeln!(
        text,
        "- memory of the processes: pages that several share count once, the ring buffer with the tables. `VmRSS` of the first \
         process {:.1} MiB, `VmHWM` {:.1} MiB (while it loads the probes), both with the ring buffer in it twice",
        last.resident as f64 / MIB,
        last.peak as f64 / MIB
    )?;
    Ok(format!("{text}\n{}", outcome.accuracy()?))
}

/// As many opens as all processors can make, while the counters are read without much pause.
pub(crate) fn flood(hierarchy: &Hierarchy, time: Duration) -> Result<String, Box<dyn Error>> {
    eprintln!("flood, {} s", time.as_secs());
    let outcome = record(hierarchy, Kind::Flood, time, &["--flush-interval", "10ms"])?;
    let [opens, ..] = outcome.done;
    let [early, late] = outcome.messages;
    Ok(format!(
        "{} s of opens of 100 files by one thread a processor, with `--flush-interval 10ms`.\n\n{}- {:.0} opens a second\n\
         - messages of the ring buffer: {early} after a quarter of the time, {late} at the end\n",
        time.as_secs(),
        outcome.accuracy()?,
        opens as f64 / time.as_secs_f64()
    ))
}

/// One of the figures, in bytes.
type Figure = fn(&Usage) -> u64;

/// A mixed load for long.
pub(crate) fn soak(hierarchy: &Hierarchy, time: Duration) -> Result<String, Box<dyn Error>> {
    eprintln!("soak, {} s", time.as_secs());
    // The steady phase is something new, once: it is to begin in the first half.
    let startup = format!("{}s", (time.as_secs() / 6).clamp(1, 60));
    let outcome = record(hierarchy, Kind::Paced(MIXED), time, &["--startup", &startup])?;
    let mut text = format!(
        "{} s of 5,000 opens, 20 executions, 50 connections and 100 HTTP exchanges a second; the second half of the time, when \
         nothing is new any more.\n\n| KiB | first | last | most | growth a minute |\n|---|--:|--:|--:|--:|\n",
        time.as_secs()
    );
    let rows: [(&str, Figure); 3] = [
        ("memory of the processes", |usage| usage.own),
        ("tables in the kernel", |usage| usage.tables),
        ("recording with its journal", |usage| usage.recording),
    ];
    for (what, figure) in rows {
        let series: Vec<_> = outcome
            .samples
            .iter()
            .map(|(seconds, usage)| (*seconds, figure(usage) as f64 / 1024.0))
            .collect();
        let Settled {
            first,
            last,
            max,
            per_minute,
        } = Settled::of(&series).ok_or("too short to tell what grows")?;
        writeln!(
            text,
            "| {what} | {first:.0} | {last:.0} | {max:.0} | {per_minute:+.0} |"
        )?;
    }
    let [early, late] = outcome.messages;
    writeln!(
        text,
        "\n- {} behaviours; the recording has a row for each that was seen in a minute, so it grows by as many rows a minute, \
         however often they are seen\n- messages of the ring buffer: {early} after a quarter of the time, {late} at the end",
        outcome.summary.behaviours
    )?;
    Ok(format!("{text}\n{}", outcome.accuracy()?))
}
