//! What each command of `profile` does, and what they share.

pub mod agent;
pub mod backup;
pub mod collect;
pub mod doctor;
pub mod export;
pub mod import;
mod live;
pub mod look_at_coverage;
pub mod look_up;
pub mod merge;
pub mod prune;
pub mod run;
pub mod start;
pub mod status;
pub mod windows;

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use baselines::dns::Names;
use baselines::path::FilePath;
use baselines::recording::{EndReason, Node, Recording, WindowId, WindowStart, Writer};
use baselines::redaction::Redaction;
use baselines::time::UtcTime;
use profiler_common::Settings;
use rustix::thread::CapabilitySet;

use self::live::Live;
use crate::cgroups::Hierarchy;
use crate::coverage::News;
use crate::error::Failure;
use crate::learn::{Progress, Session, command_key, settings};
use crate::learning_policy::Tetragon;
use crate::privileges::MemoryLimit;
use crate::probes::answers::Answers;
use crate::probes::backend::Backend;
use crate::probes::{ProbeError, Probes, Sizes};
use crate::recorder::Nameless;
use crate::{cli, privileges};

/// Prints a completion script.
///
/// # Errors
/// [`Failure::Output`].
pub fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Failure> {
    // Not straight to standard output: clap_complete panics where that cannot be written.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::Cli::for_people(), "profile", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the policy that an import needs.
///
/// # Errors
/// [`Failure::Output`].
pub fn policy_for_learning(tetragon: Tetragon, namespace: Option<&str>) -> Result<ExitCode, Failure> {
    print(crate::learning_policy::policy(tetragon, namespace).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// To standard output. A reader that has seen enough (`profile status | head`) is no failure.
fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A recording may come from anywhere: its texts are escaped before they reach a terminal.
fn printable(text: &str) -> String {
    FilePath::canonical(text.as_bytes()).to_text()
}

/// The machine that this runs on.
///
/// # Errors
/// Where `/proc` does not say.
pub fn node() -> Result<Node, Failure> {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map(|text| text.trim().to_owned())
            .map_err(|error| Failure::Kernel(format!("cannot read {path}: {error}")))
    };
    Ok(Node {
        host: read("/proc/sys/kernel/hostname")?,
        boot_id: read("/proc/sys/kernel/random/boot_id")?,
        kernel: read("/proc/sys/kernel/osrelease")?,
        machine_id: read("/etc/machine-id").ok().filter(|id| !id.is_empty()),
    })
}

/// Everything that recording needs, checked and set up; nothing is recorded yet.
struct Prepared {
    writer: Writer,
    probes: Probes,
    sizes: Sizes,
    memory: MemoryLimit,
}

/// Who records, and how much of this machine.
struct Learner<'a> {
    /// What the cluster calls this machine, whose host name is the pod's for an agent in one.
    name: Option<&'a str>,
    /// Whether somebody can tell which commands in containers are the kubelet's.
    tells_commands: bool,
    /// Whether cgroups are recorded that nobody has decided about yet.
    record_unknown: bool,
}

impl Prepared {
    /// The recording last: no file is made for a command that cannot succeed.
    fn new(hierarchy: &Hierarchy, options: &cli::Recording, learner: &Learner<'_>) -> Result<Self, Failure> {
        require_privileges()?;
        let there = if learner.record_unknown {
            hierarchy.walk()?.cgroups.len()
        } else {
            0 // one cgroup is learned, and it is not made yet
        };
        let sizes = options.sizes(there);
        if u32::try_from(there).is_ok_and(|there| there > sizes.cgroups) {
            return Err(Failure::Usage {
                what: format!(
                    "there are {there} cgroups on this machine, and --cgroups-max leaves room for {}",
                    sizes.cgroups
                ),
                help: "leave that option out: there is room for twice as many as there are, then".to_owned(),
            });
        }
        let mut node = node()?;
        if let Some(name) = learner.name {
            name.clone_into(&mut node.host);
        }
        let memory = MemoryLimit::raise(&node.kernel)?;
        let settings = Settings {
            // At most a hundred years.
            startup_ns: u64::try_from(options.startup.as_nanos()).unwrap_or(u64::MAX),
            command_key: if learner.tells_commands { command_key() } else { [0; 2] },
            ..settings(
                hierarchy,
                learner.record_unknown,
                options.record_args,
                sizes.keys_per_cgroup,
            )?
        };
        let (probes, rejected) = Probes::load_best(settings, sizes, options.backend)?;
        for (backend, why) in rejected {
            tracing::debug!(%backend, why, "a better backend does not work here");
        }
        let mut writer = Recording::open_or_create(&options.recording, &node)?;
        // From here on nothing is written but through these.
        writer.redact(Redaction::new(options.redact.clone()));
        if let Some(size_max) = options.recording_max {
            writer.limit(size_max);
        }
        Ok(Self {
            writer,
            probes,
            sizes,
            memory,
        })
    }
}

/// What recording takes, before anything is set up.
fn require_privileges() -> Result<(), Failure> {
    if let Some(capability) = privileges::first_missing() {
        return Err(ProbeError::NotPermitted { capability }.into());
    }
    if privileges::in_pid_namespace() {
        return Err(ProbeError::PidNamespace.into());
    }
    Ok(())
}

/// What the cluster calls this machine, unless somebody says so: as the kubelet does (`GetHostname`, pkg/util/node/node.go).
fn node_name(given: Option<&String>) -> Result<String, Failure> {
    match given {
        Some(name) => Ok(name.clone()),
        None => Ok(node()?.host.to_lowercase()),
    }
}

/// Gives up what recording does not need, before there is a second thread: see [`privileges`]. `written` is what will be
/// written to beside the recording.
fn drop_privileges(needed: CapabilitySet, recording: &Path, written: &[&Path]) -> Result<(), Failure> {
    let folder = match recording.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    privileges::needed_to_write(&[&[folder, recording], written].concat())
        .and_then(|writing| privileges::keep_only(needed | writing))
        .map_err(Failure::Privileges)
}

fn start_window(
    writer: &mut Writer,
    backend: Backend,
    selector: String,
    interval: Duration,
    names: Names,
) -> Result<WindowId, Failure> {
    Ok(writer.start_window(&WindowStart {
        started: UtcTime::now(),
        selector,
        backend: backend.word().to_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        flush_interval: interval,
        lossy_from_start: backend.lossy_from_start().map(str::to_owned),
        names,
    })?)
}

/// Lets the probes see what containers are answered to DNS queries, if that is wanted. Where it cannot be, recording goes on
/// without.
fn watch_names(probes: &mut Probes, hierarchy: &Hierarchy, options: &cli::Recording) -> (Names, Option<Answers>) {
    if options.no_dns {
        return (Names::Off, None);
    }
    match probes.watch_answers(hierarchy) {
        Ok(answers) => (Names::Seen, Some(answers)),
        Err(why) => {
            say(
                false,
                &format!("warning: DNS names of whom containers reach are not seen: {why} (--no-dns does without)"),
            );
            (Names::Unseen(why), None)
        }
    }
}

/// Runs a session to its end on a runtime of its own, with progress on standard error, and what is new about coverage.
fn learn(
    session: Session,
    interval: Duration,
    quiet: bool,
    end: impl Future<Output = EndReason>,
    news: Option<Receiver<News>>,
) -> Result<(Progress, EndReason), Failure> {
    let mut display = Display::new(quiet, news);
    let result = runtime()?.block_on(session.learn(interval, end, |progress| display.show(progress)));
    // What became clear with the last writing has not been told yet.
    if let Ok((progress, _)) = &result {
        display.show(progress);
    }
    display.live.clear();
    result
}

/// The runtime that a window runs in: one thread for the probes, others for the disk.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Kernel(format!("cannot start: {error}")))
}

/// What is told while a window goes on.
struct Display {
    live: Live,
    /// Somebody was told that nothing can be written.
    has_warned: bool,
    /// Somebody was told that the recording is full.
    has_told_of_size: bool,
    /// What was said of the cluster so far.
    told: Vec<String>,
    /// What looks at coverage bring.
    news: Option<Receiver<News>>,
    /// How many images are ready, and of how many, as far as it was looked at.
    ready: Option<(usize, usize)>,
}

/// More different troubles than these are not told of: an API server chooses their texts.
const TROUBLES_MAX: usize = 32;

impl Display {
    fn new(quiet: bool, news: Option<Receiver<News>>) -> Self {
        Self {
            live: Live::new(quiet, 0),
            has_warned: false,
            has_told_of_size: false,
            told: Vec::new(),
            news,
            ready: None,
        }
    }

    fn show(&mut self, progress: &Progress) {
        self.warn(progress.unwritten.as_deref());
        if progress.no_room > 0 && !self.has_told_of_size {
            self.has_told_of_size = true;
            self.live.say(
                "warning: the recording is as large as it may be (--recording-max): what is new is counted as lost",
            );
        }
        for trouble in &progress.cluster {
            if !self.told.contains(trouble) && self.told.len() < TROUBLES_MAX {
                self.live.say(&format!("warning: {trouble}"));
                self.told.push(trouble.clone());
            }
        }
        self.tell_coverage();
        let ready = match self.ready {
            Some((ready, images)) => format!(", {ready} of {images} images ready"),
            None => String::new(),
        };
        self.live.show(0, || line(progress) + &ready);
    }

    /// What the looks since the last call have brought.
    fn tell_coverage(&mut self) {
        for news in self.news.iter().flat_map(Receiver::try_iter) {
            self.ready = news.ready.or(self.ready);
            for text in news.lines {
                self.live.note(&printable(&text));
            }
            if let Some(warning) = news.warning {
                self.live.say(&printable(&warning));
            }
        }
    }

    /// Once when writing begins to fail, and once when it is over.
    fn warn(&mut self, unwritten: Option<&str>) {
        let text = match unwritten {
            Some(why) if !self.has_warned => format!("warning: {why}; what is learned is kept, and tried again"),
            None if self.has_warned => "what was learned is written again: nothing was lost".to_owned(),
            _ => return,
        };
        self.has_warned = unwritten.is_some();
        self.live.say(&text);
    }
}

fn line(progress: &Progress) -> String {
    let Progress {
        events,
        behaviours,
        new_behaviours,
        containers,
        lost,
        unnamed,
        containers_seen: _,
        no_room: _,
        unwritten: _,
        cluster: _,
        nameless: _,
    } = progress;
    let unnamed = match unnamed {
        0 => String::new(),
        unnamed => format!(" ({unnamed} not named yet)"),
    };
    format!(
        "{events} events, {behaviours} behaviours ({new_behaviours} new in the last minute), {containers} containers{unnamed}, \
         {lost} lost"
    )
}

/// A line for people, on standard error: standard output is the command's, or a list's.
fn say(quiet: bool, text: &str) {
    if !quiet {
        // Nobody is left to be told that standard error is gone.
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// How a window ended, in one line, and what to do next.
fn conclude(quiet: bool, progress: &Progress, recording: &Path) {
    // Most, or all, live no more when it ends.
    let ended = Progress {
        containers: progress.containers_seen,
        ..progress.clone()
    };
    say(
        quiet,
        &format!("learned: {}; recording: {}", line(&ended), recording.display()),
    );
    if let Some(text) = nameless(&progress.nameless) {
        say(false, &text);
    }
    if progress.lost > 0 {
        say(
            false,
            "warning: some observations were lost: `profile status` says which and why",
        );
    }
}

/// The containers that nobody could name, with their cgroups' paths.
fn nameless(nameless: &Nameless) -> Option<String> {
    let Nameless { count, first } = nameless;
    if *count == 0 {
        return None;
    }
    let lines = first.iter().map(|(path, observed)| {
        let path = FilePath::canonical(path.as_slice()).to_text();
        format!("\n  {path} ({observed} events)")
    });
    let more = match count.saturating_sub(first.len()) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    Some(format!(
        "warning: {count} containers of pods could not be named, what they did belongs to no image:{}{more}",
        lines.collect::<String>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_without_a_name_are_listed_by_their_cgroups() {
        assert_eq!(nameless(&Nameless::default()), None);
        let some = Nameless {
            count: 3,
            first: vec![
                (b"/kubepods/pod1/a\x1b".to_vec(), 12),
                (b"/kubepods/pod1/b".to_vec(), 1),
            ],
        };
        assert_eq!(
            nameless(&some).unwrap(),
            "warning: 3 containers of pods could not be named, what they did belongs to no image:\n  \
             /kubepods/pod1/a\\x1b (12 events)\n  /kubepods/pod1/b (1 events)\n  and 1 more"
        );
    }
}
