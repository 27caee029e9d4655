//! A learning window, as it goes on: bars on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _};
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use baselines::time::UtcTime;
use futures_util::StreamExt as _;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, ResourceExt as _};
use tokio::time::interval;

use super::super::live::PLAIN_LINE_EVERY;
use super::super::start::ended;
use super::super::{printable, say};
use super::elapsed;
use crate::agent::objects::{LearningWindow, LearningWindowStatus, Phase};
use crate::error::Failure;
use crate::kubernetes::connect::ConnectError;

/// More workloads than these are not shown one by one.
const BARS_MAX: usize = 12;
/// Agents tell of a window sooner than that.
const HEARD_WITHIN: Duration = Duration::from_mins(1);

/// Shows how a window does until it ends, or until Ctrl-C, which leaves it as it is.
pub(super) async fn follow(api: Api<LearningWindow>, made: &LearningWindow, quiet: bool) -> Result<ExitCode, Failure> {
    let name = made.name_any();
    let mut display = Display::new(quiet);
    let mut window = made.clone();
    let mut changes = pin!(watch_object(api, &name).default_backoff());
    let mut interrupted = pin!(ended(None, || {}));
    let (began, mut is_warned) = (Instant::now(), false);
    let mut tick = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = &mut interrupted => {
                display.clear();
                say(quiet, &format!(
                    "the learning window {name} goes on in the cluster: `profile status {name}` says how it does, \
                     `profile stop {name}` ends it"
                ));
                return Ok(ExitCode::SUCCESS);
            }
            change = changes.next() => match change {
                Some(Ok(Some(now))) => window = now,
                Some(Ok(None)) => {
                    display.clear();
                    return Err(ConnectError::NoWindow(name).into());
                }
                Some(Err(error)) => display.warn(&format!("the learning window cannot be watched: {error}")),
                None => {}
            },
            _ = tick.tick() => {}
        }
        let (done, all) = elapsed(&window, UtcTime::now());
        if window.status.is_none() && began.elapsed() > HEARD_WITHIN {
            if !is_warned {
                is_warned = true;
                display.warn("no agent has told of it so far: does `profile agent` run on the nodes?");
            }
            if done == all && began.elapsed() > Duration::from_secs(all) + HEARD_WITHIN {
                display.clear();
                return Err(ConnectError::NobodyLearned(name).into());
            }
        }
        let status = window.status.clone().unwrap_or_default();
        display.show(&window, &status);
        if matches!(status.phase, Phase::Ended | Phase::Refused) {
            display.clear();
            return Ok(conclude(&window, &status, quiet));
        }
    }
}

fn conclude(window: &LearningWindow, status: &LearningWindowStatus, quiet: bool) -> ExitCode {
    let name = window.name_any();
    let message = status.message.as_deref().map(printable);
    if status.phase == Phase::Refused {
        say(
            false,
            &format!(
                "error: the learning window {name} is refused: {}",
                message.unwrap_or_default()
            ),
        );
        return ExitCode::FAILURE;
    }
    say(quiet, &format!("learned: {}", line(status)));
    if status
        .coverage
        .as_ref()
        .is_some_and(|coverage| coverage.covered_at.is_some())
    {
        say(quiet, "enough was seen of every image");
    } else if window.spec.coverage_target.is_some() {
        let coverage = status.coverage.as_ref().map(super::covered).unwrap_or_default();
        say(
            false,
            &format!("warning: it ended before enough was seen\n{}", coverage.trim_end()),
        );
    }
    if let Some(message) = message {
        say(false, &format!("warning: {message}"));
    }
    if status.lost > 0 {
        say(
            false,
            "warning: some observations were lost: `profile status` with the window's name says why",
        );
    }
    ExitCode::SUCCESS
}

fn line(status: &LearningWindowStatus) -> String {
    let covered = status
        .coverage
        .as_ref()
        .map(|coverage| format!("; {} of {} images ready", coverage.ready, coverage.images));
    format!(
        "{} events in {} containers on {} nodes, {} lost{}",
        status.events,
        status.containers,
        status.nodes.reporting,
        status.lost,
        covered.unwrap_or_default()
    )
}

struct Display {
    is_quiet: bool,
    bars: Option<MultiProgress>,
    whole: Option<ProgressBar>,
    workloads: Vec<ProgressBar>,
    /// When the last plain line was written.
    plain: Instant,
    told: Option<String>,
}

impl Display {
    fn new(is_quiet: bool) -> Self {
        let bars = (!is_quiet && io::stderr().is_terminal()).then(MultiProgress::new);
        Self {
            is_quiet,
            bars,
            whole: None,
            workloads: Vec::new(),
            plain: Instant::now(),
            told: None,
        }
    }

    fn show(&mut self, window: &LearningWindow, status: &LearningWindowStatus) {
        if status.message.is_some() && status.message != self.told {
            self.told.clone_from(&status.message);
            self.warn(&status.message.as_deref().map(printable).unwrap_or_default());
        }
        let (done, all) = elapsed(window, UtcTime::now());
        if let Some(bars) = self.bars.clone() {
            self.draw(&bars, done, all, status);
        } else if !self.is_quiet && self.plain.elapsed() >= PLAIN_LINE_EVERY {
            self.plain = Instant::now();
            say(false, &format!("{done} of {all} s: {}", line(status)));
        }
    }

    /// One bar for the window, and one for each workload.
    fn draw(&mut self, bars: &MultiProgress, done: u64, all: u64, status: &LearningWindowStatus) {
        let whole = self.whole.get_or_insert_with(|| bar(bars));
        place(whole, done, all, line(status));
        let shown = status.workloads.iter().take(BARS_MAX);
        for (index, one) in shown.enumerate() {
            if self.workloads.len() <= index {
                self.workloads.push(bar(bars));
            }
            if let Some(bar) = self.workloads.get(index) {
                let text = format!(
                    "{}: {} behaviours, {} events, {} containers",
                    printable(&one.workload),
                    one.behaviours,
                    one.events,
                    one.containers
                );
                place(bar, done, all, text);
            }
        }
    }

    /// A line that stays.
    fn warn(&self, text: &str) {
        let text = format!("warning: {text}");
        match &self.bars {
            // Where it cannot be written, nobody watches.
            Some(bars) => drop(bars.println(&text)),
            None => say(false, &text),
        }
    }

    fn clear(&self) {
        for bar in self.whole.iter().chain(&self.workloads) {
            bar.finish_and_clear();
        }
    }
}

fn bar(bars: &MultiProgress) -> ProgressBar {
    let bar = bars.add(ProgressBar::new(1));
    if let Ok(style) = ProgressStyle::with_template("{bar:20} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn place(bar: &ProgressBar, done: u64, all: u64, text: String) {
    bar.set_length(all.max(1));
    bar.set_position(done);
    bar.set_message(text);
}
