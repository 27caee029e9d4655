//! What the probes cost, in nanoseconds, beside what anything on the same hooks costs.
//!
//!     cargo bench -p profiler --bench overhead                   # as root; one to two minutes
//!     cargo bench -p profiler --bench overhead -- --rounds 31    # steadier figures
//!
//! A worker process, in a cgroup of its own, performs each [`work::Operation`] many times, while another process puts
//! programs into the kernel and takes them out again. In each round every contender has its turn, beside the same work
//! without probes, so that what drifts (frequency, temperature, neighbours) cancels out; medians are shown. After our own
//! turn the counters are read: figures of probes that missed an open are not printed.
#![allow(
    clippy::cast_precision_loss,
    reason = "times and counts of a benchmark are far below 2^53"
)]

mod peers;
mod programs;
mod report;
mod work;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser as _;
use profiler::cgroups;
use profiler::privileges;

use programs::{Contender, others};
use report::{Report, Sample};
use work::{Effort, Times, Worker};

/// Measure what the probes cost. Needs root.
#[derive(clap::Parser)]
struct Options {
    /// How many rounds.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// How many rounds with other tools (bpftrace, opensnoop, execsnoop, strace; those that are installed). 0: without.
    #[arg(long, default_value_t = 3)]
    peer_rounds: usize,
    /// Only this contender, as the table names it.
    #[arg(long)]
    only: Option<String>,
    /// `cargo bench` passes it to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    if let Some(arguments) = work::worker_arguments() {
        return work::serve(&arguments);
    }
    match run(&Options::parse()) {
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
    let cgroup = hierarchy.create_for_run()?;
    let mut worker = Worker::start(&cgroup)?;
    let mut report = Report::default();
    // Once for nothing: caches, and pages that are touched for the first time.
    worker.measure(Effort::Full)?;

    let wanted = |contender: &Contender| options.only.as_deref().is_none_or(|only| contender.name() == only);
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for contender in Contender::ALL.into_iter().filter(wanted) {
            report.add(
                contender.name(),
                pair(&mut worker, Effort::Full, |worker| {
                    contender.measure(hierarchy, cgroup.id(), worker)
                })?,
            );
        }
    }
    for peer in peers::PEERS {
        for round in 0..options.peer_rounds {
            eprintln!("{}, round {} of {}", peer.name, round + 1, options.peer_rounds);
            let mut seen = None;
            let sample = pair(&mut worker, peer.effort, |worker| {
                let (times, saw) = peer.measure(worker)?;
                seen = saw;
                Ok(times)
            });
            match sample {
                Ok(sample) => report.add(peer.name, sample),
                Err(error) => {
                    report.refuse(peer.name, &error.to_string());
                    break;
                }
            }
            report.saw(peer.name, seen);
        }
    }
    drop(worker);
    drop(cgroup);
    println!("{report}");
    Ok(())
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
