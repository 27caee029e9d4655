//! What the probes cost: a single call in nanoseconds, beside what anything on the same hooks costs, and a whole recording
//! in processor time and memory.
//!
//!     cargo bench -p profiler --bench overhead                      # as root; some six minutes
//!     cargo bench -p profiler --bench overhead -- --part calls --rounds 31
//!     cargo bench -p profiler --bench overhead -- --part soak --soak 60m
//!
//! **Calls**: a worker process, in a cgroup of its own, performs each [`work::Operation`] many times, while another process
//! puts programs into the kernel and takes them out again. In each round every contender has its turn, beside the same work
//! without probes, so that what drifts (frequency, temperature, neighbours) cancels out; medians are shown. After our own
//! turn the counters are read: figures of probes that missed something are not printed. Nor are those of a tool that saw
//! nothing.
//!
//! **Published, flood, soak**: `profile start` records loads of a known size, see [`recordings`].
#![allow(
    clippy::cast_precision_loss,
    reason = "times and counts of a benchmark are far below 2^53"
)]

mod agent;
mod figures;
mod load;
mod machine;
mod peers;
mod place;
mod programs;
mod recordings;
mod report;
mod work;

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser as _, ValueEnum};
use profiler::cgroups::{self, Hierarchy};
use profiler::privileges;

use peers::PEERS;
use programs::{Contender, others};
use report::{Report, Sample};
use work::{Effort, Times, Worker};

/// Measure what the probes cost. Needs root.
#[derive(clap::Parser)]
struct Options {
    /// Only these parts.
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Calls: how many rounds.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Calls: how many rounds with other tools (bpftrace, opensnoop and so on, those that are installed). 0: without.
    #[arg(long, default_value_t = 5)]
    peer_rounds: usize,
    /// Calls: only this contender, as the table names it.
    #[arg(long)]
    only: Option<String>,
    /// How long the published load lasts, such as 60s or 10m.
    #[arg(long, default_value = "60s", value_parser = figures::statistics::duration)]
    published: Duration,
    /// How long files are opened as fast as possible.
    #[arg(long, default_value = "10s", value_parser = figures::statistics::duration)]
    flood: Duration,
    /// How long the soak lasts.
    #[arg(long, default_value = "60s", value_parser = figures::statistics::duration)]
    soak: Duration,
    /// `cargo bench` passes it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Nanoseconds added to single calls.
    Calls,
    /// Processor time and memory under the load that Kubescape publishes.
    Published,
    /// As many opens as all processors can make.
    Flood,
    /// A mixed load for long.
    Soak,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.part.is_empty() || self.part.contains(&part)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let done = match arguments.split_first() {
        Some((role, rest)) if role == work::WORKER => work::serve(rest),
        Some((role, rest)) if role == load::LOAD => load::serve(rest),
        _ => run(&Options::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    if let Some(capability) = privileges::first_missing() {
        return Err(format!("measuring loads probes into the kernel, which needs root: no {capability}").into());
    }
    let hierarchies = cgroups::mounted()?;
    let hierarchy = match cgroups::unified(&hierarchies) {
        Some(unified) => unified,
        None => cgroups::choose(&hierarchies)?,
    };
    println!("{}; load average {}\n", machine::description(), machine::load_average());
    if options.wants(Part::Calls) {
        println!("### Single calls\n\n{}", calls(options, hierarchy)?);
    }
    if options.wants(Part::Published) {
        println!(
            "### The published load\n\n{}",
            recordings::published(hierarchy, options.published)?
        );
    }
    if options.wants(Part::Flood) {
        println!("### Flood\n\n{}", recordings::flood(hierarchy, options.flood)?);
    }
    if options.wants(Part::Soak) {
        println!("### Soak\n\n{}", recordings::soak(hierarchy, options.soak)?);
    }
    println!("load average at the end {}", machine::load_average());
    Ok(())
}

fn calls(options: &Options, hierarchy: &Hierarchy) -> Result<Report, Box<dyn Error>> {
    let cgroup = hierarchy.create_for_run()?;
    let mut worker = Worker::start(&cgroup)?;
    let mut report = Report::default();
    // Once for nothing: caches, and pages that are touched for the first time.
    worker.measure(Effort::Full)?;
    let wanted = |contender: &Contender| options.only.as_deref().is_none_or(|only| contender.name() == only);
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for contender in Contender::ALL.into_iter().filter(wanted) {
            let with = |worker: &mut Worker| contender.measure(hierarchy, cgroup.id(), worker);
            report.add(contender.name(), pair(&mut worker, Effort::Full, with)?);
        }
        if round < options.peer_rounds {
            with_peers(&mut worker, &mut report);
        }
    }
    Ok(report)
}

/// One round of the tools that run here.
fn with_peers(worker: &mut Worker, report: &mut Report) {
    for peer in &PEERS {
        if report.has_refused(peer) {
            continue;
        }
        let mut seen = peers::Seen::new();
        let sample = pair(worker, peer.effort, |worker| {
            let (times, saw) = peer.measure(worker)?;
            seen = saw;
            Ok(times)
        });
        match sample {
            Ok(sample) => {
                report.add(peer.name, sample);
                report.saw(peer.name, seen);
            }
            Err(error) => report.refuse(peer.name, &error.to_string()),
        }
    }
}

/// The same work without any probe, with it, and without again.
fn pair(
    worker: &mut Worker,
    effort: Effort,
    with: impl FnOnce(&mut Worker) -> Result<Times, Box<dyn Error>>,
) -> Result<Sample, Box<dyn Error>> {
    let mut alone = others::are_gone();
    let before = worker.measure(effort)?;
    let with = with(worker)?;
    alone &= others::are_gone();
    let after = worker.measure(effort)?;
    alone &= !others::are_there();
    Ok(Sample {
        before,
        with,
        after,
        alone,
    })
}
