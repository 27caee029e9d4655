//! `profile status`: what was learned, and what was lost.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use baselines::path::FilePath;
use baselines::recording::{EndReason, Recording, Summary, WindowSummary};
use serde::Serialize;

use super::print;
use crate::cli::Output;
use crate::error::Failure;
use crate::table::Table;

/// Prints a recording's windows, containers, losses and latencies, unless `quiet`: then only the exit code tells that there
/// is one.
///
/// # Errors
/// [`Failure::Recording`], [`Failure::Output`].
pub fn status(path: &Path, output: Output, quiet: bool) -> Result<ExitCode, Failure> {
    let summary = Recording::open(path)?.summary()?;
    let text = match output {
        Output::Table => table(path, &summary),
        Output::Json | Output::Yaml => crate::table::serialise(&Status::from(&summary), output)?,
    };
    if !quiet {
        print(text.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(path: &Path, summary: &Summary) -> String {
    let head = format!(
        "Recording {} on {}: {} behaviours, revision {}, id {}\n\n",
        path.display(),
        printable(&summary.host),
        summary.behaviours,
        summary.revision,
        summary.id
    );
    let mut windows = Table::new([
        "WINDOW",
        "STARTED",
        "ENDED",
        "SELECTOR",
        "BACKEND",
        "CONTAINERS",
        "NEW",
        "EVENTS",
        "LOST",
    ]);
    for window in &summary.windows {
        windows.row([
            window.number.to_string(),
            window.started.to_string(),
            ending(window),
            printable(&window.selector),
            printable(&window.backend),
            window.containers.to_string(),
            window.new_behaviours.to_string(),
            window.observations.to_string(),
            window.losses.to_string(),
        ]);
    }
    let mut containers = Table::new([
        "WORKLOAD",
        "IMAGE",
        "BEHAVIOURS",
        "EVENTS",
        "FIRST SEEN",
        "LAST SEEN",
        "START",
    ]);
    for seen in &summary.containers {
        let container = &seen.container;
        containers.row([
            container.workload.to_string(),
            printable(&container.image.to_string()),
            seen.behaviours.to_string(),
            seen.observations.to_string(),
            container.started.to_string(),
            container.alive_until.to_string(),
            if container.partial { "not seen" } else { "seen" }.to_owned(),
        ]);
    }
    format!(
        "{head}{windows}{}\n{containers}{}{}",
        uncounted(summary),
        losses(summary),
        latencies(summary)
    )
}

/// Windows that can have missed something that is in no number here.
fn uncounted(summary: &Summary) -> String {
    let lossy = summary.windows.iter().filter_map(|window| {
        let why = window.lossy_from_start.as_ref()?;
        Some(format!(
            "Window {} is lossy from the start, uncounted: {}\n",
            window.number,
            printable(why)
        ))
    });
    lossy.collect()
}

fn losses(summary: &Summary) -> String {
    if summary.losses.is_empty() {
        return "\nLosses: none\n".to_owned();
    }
    let mut table = Table::new(["LOST", "REASON", "WORKLOAD", "FIRST", "LAST"]);
    for loss in &summary.losses {
        let workload = loss.workload.as_ref().map(ToString::to_string);
        table.row([
            loss.count.to_string(),
            loss.reason.to_string(),
            workload.unwrap_or_else(|| loss.cgroup_id.map_or("-".to_owned(), |id| format!("cgroup {id}"))),
            loss.first_seen.to_string(),
            loss.last_seen.to_string(),
        ]);
    }
    format!("\n{table}")
}

fn latencies(summary: &Summary) -> String {
    let mut table = Table::new(["WINDOW", "LATENCY", "COUNT", "P50", "P90", "P99", "MAX"]);
    for window in &summary.windows {
        for latency in &window.latencies {
            let time = |nanos: u64| format!("{:.1?}", Duration::from_nanos(nanos));
            table.row([
                window.number.to_string(),
                printable(&latency.name),
                latency.count.to_string(),
                time(latency.p50),
                time(latency.p90),
                time(latency.p99),
                time(latency.max),
            ]);
        }
    }
    format!("\n{table}")
}

fn ending(window: &WindowSummary) -> String {
    match &window.ended {
        None => "running".to_owned(),
        Some((at, reason)) => format!("{at} ({})", printable(&words(reason))),
    }
}

fn words(reason: &EndReason) -> String {
    match reason {
        EndReason::Completed => "completed".to_owned(),
        EndReason::Interrupted => "interrupted".to_owned(),
        EndReason::CommandExited { code } => format!("command exited with {code}"),
        EndReason::Failed(why) => format!("failed: {why}"),
        EndReason::Crashed => "crashed".to_owned(),
    }
}

/// A recording may come from anywhere: its texts are escaped before they reach a terminal.
fn printable(text: &str) -> String {
    FilePath::canonical(text.as_bytes()).to_text()
}

/// The same for programs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    recording: String,
    revision: u64,
    node: String,
    behaviours: u64,
    windows: Vec<Window>,
    containers: Vec<Container>,
    losses: Vec<Loss>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    number: u64,
    started: String,
    ended: Option<String>,
    end_reason: Option<String>,
    selector: String,
    backend: String,
    kernel: String,
    tool_version: String,
    lossy_from_start: Option<String>,
    containers: u64,
    new_behaviours: u64,
    events: u64,
    lost: u64,
    latencies: Vec<Latency>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Latency {
    name: String,
    count: u64,
    p50_nanoseconds: u64,
    p90_nanoseconds: u64,
    p99_nanoseconds: u64,
    max_nanoseconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    workload: String,
    image: String,
    id: String,
    cgroup: String,
    partial: bool,
    first_seen: String,
    last_seen: String,
    behaviours: u64,
    events: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Loss {
    reason: &'static str,
    count: u64,
    workload: Option<String>,
    cgroup_id: Option<u64>,
    first_seen: String,
    last_seen: String,
}

impl From<&Summary> for Status {
    fn from(summary: &Summary) -> Self {
        Self {
            recording: summary.id.to_string(),
            revision: summary.revision,
            node: summary.host.clone(),
            behaviours: summary.behaviours,
            windows: summary.windows.iter().map(Window::from).collect(),
            containers: summary.containers.iter().map(Container::from).collect(),
            losses: summary.losses.iter().map(Loss::from).collect(),
        }
    }
}

impl From<&WindowSummary> for Window {
    fn from(window: &WindowSummary) -> Self {
        let latencies = window.latencies.iter().map(|latency| Latency {
            name: latency.name.clone(),
            count: latency.count,
            p50_nanoseconds: latency.p50,
            p90_nanoseconds: latency.p90,
            p99_nanoseconds: latency.p99,
            max_nanoseconds: latency.max,
        });
        Self {
            number: window.number,
            started: window.started.to_string(),
            ended: window.ended.as_ref().map(|(at, _)| at.to_string()),
            end_reason: window.ended.as_ref().map(|(_, reason)| words(reason)),
            selector: window.selector.clone(),
            backend: window.backend.clone(),
            kernel: window.kernel.clone(),
            tool_version: window.tool_version.clone(),
            lossy_from_start: window.lossy_from_start.clone(),
            containers: window.containers,
            new_behaviours: window.new_behaviours,
            events: window.observations,
            lost: window.losses,
            latencies: latencies.collect(),
        }
    }
}

impl From<&baselines::recording::ContainerSummary> for Container {
    fn from(seen: &baselines::recording::ContainerSummary) -> Self {
        let container = &seen.container;
        Self {
            workload: container.workload.to_string(),
            image: container.image.to_string(),
            id: container.id.clone(),
            cgroup: FilePath::canonical(container.cgroup_path.as_slice()).to_text(),
            partial: container.partial,
            first_seen: container.started.to_string(),
            last_seen: container.alive_until.to_string(),
            behaviours: seen.behaviours,
            events: seen.observations,
        }
    }
}

impl From<&baselines::recording::LossSummary> for Loss {
    fn from(loss: &baselines::recording::LossSummary) -> Self {
        Self {
            reason: loss.reason.word(),
            count: loss.count,
            workload: loss.workload.as_ref().map(ToString::to_string),
            cgroup_id: loss.cgroup_id,
            first_seen: loss.first_seen.to_string(),
            last_seen: loss.last_seen.to_string(),
        }
    }
}
