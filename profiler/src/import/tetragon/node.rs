//! From events to behaviours: what one node's events say, in the order in which they come.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use baselines::behaviour::{Action, Behaviour, Phase, Protocol, Provenance};
use baselines::loss::Reason;
use baselines::path::{FilePath, Origin};
use baselines::time::UtcTime;

use super::arguments::File;
use super::counters::{Counters, Verdict, Why};
use super::event::{Event, Function, Hook, Process, What};
use super::places::{Place, Places};
use super::processes::{Checked, Executions, Known, Processes};
use super::tally::Tally;
use super::windows::Covered;
use super::words;

/// Programs that set containers up. What they do inside of one before its entry point is executed is not the workload's.
const RUNTIMES: [&str; 6] = ["runc", "crun", "youki", "runsc", "conmon", "containerd-shim-runc-v2"];

/// More events than any agent drops in the minute between two reports: sums of them have room in a recording.
const DROPPED_MAX: u64 = 1 << 40;

/// How events become behaviours.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long a container starts up.
    pub startup: Duration,
    /// Whether arguments of executions are recorded.
    pub record_arguments: bool,
}

/// What is known about one node, and what was counted on it.
#[derive(Debug)]
pub struct Node {
    rules: Rules,
    /// Its containers.
    pub places: Places,
    processes: Processes,
    executions: Executions,
    /// What is to be written.
    pub tally: Tally,
    /// What was imported before.
    pub covered: Covered,
    /// Where the window begins, once some of it is written.
    pub written_from: Option<UtcTime>,
}

/// Who did something, and where that is counted.
struct Doer {
    subject: FilePath,
    provenance: Provenance,
    phase: Phase,
    container: u64,
}

impl Node {
    /// Nothing is known yet.
    pub fn new(name: &str, rules: Rules, covered: Covered) -> Self {
        Self {
            rules,
            places: Places::new(name),
            processes: Processes::default(),
            executions: Executions::default(),
            tally: Tally::default(),
            covered,
            written_from: None,
        }
    }

    /// Takes in one event.
    pub fn take(&mut self, event: &Event<'_>, at: UtcTime, counters: &mut Counters) -> Verdict {
        match &event.what {
            What::Exec { process, parent } => self.executed(process, parent.as_ref(), at, counters),
            What::Exit { process } => {
                self.processes.ended(&process.exec_id);
                Verdict::Used
            }
            What::Hook(hook) => self.called(hook, at, counters),
            What::RateLimit { dropped } => {
                let dropped = (*dropped).min(DROPPED_MAX);
                self.lose(None, Reason::SourceRateLimit, dropped, at);
                Verdict::Used
            }
            // How many executions it keeps back, nobody counts.
            What::Throttle { starts } => {
                self.lose(None, Reason::SourceThrottled, u64::from(*starts), at);
                Verdict::Used
            }
            What::Other { .. } => Verdict::Not(Why::CannotBeMapped),
        }
    }

    /// Decides what was to be decided later.
    pub fn finish(&mut self, counters: &mut Counters) {
        failed(self.executions.rest(), counters);
    }

    /// What is not in the recording, unless an import before this one has told it.
    fn lose(&mut self, container: Option<u64>, reason: Reason, count: u64, at: UtcTime) {
        if !self.covered.has(at) {
            self.tally.lose(container, reason, count, at);
        }
    }

    fn executed(
        &mut self,
        process: &Process<'_>,
        parent: Option<&Process<'_>>,
        at: UtcTime,
        counters: &mut Counters,
    ) -> Verdict {
        let Some(place) = self.places.of(process, at) else {
            return Verdict::Not(Why::TooManyContainers);
        };
        let (phase, container) = (phase(place, at, self.rules.startup), place.container.cgroup_id);
        let provenance = provenance(process, parent.and_then(|it| self.processes.get(&it.exec_id)), counters);
        if process.has_flag("procFS") {
            // The agent read /proc/PID/exe (proc_reader_linux.go), which is what the kernel calls it.
            let image = words::path(&process.binary, "").map_or_else(words::unknown, |(path, _)| path);
            self.remember(process, image, provenance);
            return Verdict::Used;
        }
        let checked = self.executions.succeeded(process.pid, at);
        let rounds = checked.as_ref().map(|it| (it.kind, it.rounds()));
        let (binary, script) = checked.and_then(Checked::outcome).unwrap_or_else(|| {
            counters.as_called += 1;
            (words::as_called(&process.binary), None)
        });
        if let Some((kind, rounds)) = rounds {
            counters.decide(kind, Verdict::Used, rounds);
        }
        let subject = parent.map_or_else(words::unknown, |parent| self.image_of(parent));
        self.remember(process, binary.clone(), provenance);
        let is_unresolved = [Some(&binary), script.as_ref()]
            .into_iter()
            .flatten()
            .any(words::is_unresolved);
        if is_unresolved {
            self.lose(Some(container), Reason::UnresolvedPath, 1, at);
        }
        let arguments = self.rules.record_arguments.then(|| words::arguments(process));
        if arguments.is_some() && process.has_flag("errorArgs") {
            self.lose(Some(container), Reason::ArgumentsUnread, 1, at);
        }
        let doer = Doer {
            subject,
            provenance,
            phase,
            container,
        };
        let action = Action::Exec {
            binary,
            script,
            arguments,
        };
        self.observe(doer, action, at, counters)
    }

    fn called(&mut self, hook: &Hook<'_>, at: UtcTime, counters: &mut Counters) -> Verdict {
        if let Function::Other(_) = hook.function {
            return Verdict::Not(Why::CannotBeMapped);
        }
        let Some(process) = &hook.process else {
            return Verdict::Not(Why::NoProcess);
        };
        if hook.is_denied {
            return Verdict::Not(Why::Denied);
        }
        match hook.function {
            Function::Exec => self.checked(hook, process, at, counters),
            Function::Open => self.opened(hook, process, at, counters),
            Function::Connect | Function::Send => self.connected(hook, process, at, counters),
            Function::Other(_) => Verdict::Not(Why::CannotBeMapped),
        }
    }

    fn checked(&mut self, hook: &Hook<'_>, process: &Process<'_>, at: UtcTime, counters: &mut Counters) -> Verdict {
        let Some(file) = &hook.arguments.program else {
            return Verdict::Not(Why::NoArgument);
        };
        let file = match words::path(&file.path, &file.flags) {
            Some((path, _)) => path,
            None if file.path.is_empty() => FilePath::new(*b"memfd:", Origin::Memfd),
            None => words::as_called(&file.path),
        };
        let kind = match hook.kind() {
            Cow::Borrowed(kind) => kind,
            Cow::Owned(_) => return Verdict::Not(Why::CannotBeMapped),
        };
        failed(self.executions.check(process.pid, kind, file, at), counters);
        Verdict::Later
    }

    fn opened(&mut self, hook: &Hook<'_>, process: &Process<'_>, at: UtcTime, counters: &mut Counters) -> Verdict {
        let Some(File { path: text, flags }) = &hook.arguments.file else {
            return Verdict::Not(Why::NoArgument);
        };
        if text.is_empty() {
            return Verdict::Not(Why::NoPath);
        }
        let mode = hook.arguments.file_mode;
        let Some(doer) = self.doer(process, at, counters) else {
            return Verdict::Not(Why::TooManyContainers);
        };
        let hash = hash(text);
        if let Some(known) = self.processes.get(&process.exec_id) {
            let is_same = std::mem::replace(&mut known.last_open, hash) == hash;
            // An overlay opens the file in its layer right after its own.
            if is_same && mode.is_some_and(words::is_in_layer) {
                return Verdict::Not(Why::LayerOfOpen);
            }
        }
        let Some((path, is_whole)) = words::path(text, flags) else {
            self.lose(Some(doer.container), Reason::UnresolvedPath, 1, at);
            return Verdict::Not(Why::UnreadablePath);
        };
        if !is_whole {
            self.lose(Some(doer.container), Reason::UnresolvedPath, 1, at);
        }
        counters.access_unknown += u64::from(mode.is_none());
        let action = Action::Open {
            path,
            access: mode.map(words::access_in).unwrap_or_default(),
            backing: None,
        };
        self.observe(doer, action, at, counters)
    }

    fn connected(&mut self, hook: &Hook<'_>, process: &Process<'_>, at: UtcTime, counters: &mut Counters) -> Verdict {
        let arguments = &hook.arguments;
        if arguments.address.is_none() && arguments.unix.is_none() {
            return Verdict::Not(Why::NoArgument);
        }
        let protocol = words::protocol(arguments.socket.as_ref());
        let to_address = arguments.address.as_ref().and_then(words::address);
        let action = match (to_address, &arguments.unix) {
            (Some((address, port)), _) => {
                counters.protocol_unknown += u64::from(protocol.is_none());
                // 0, IPPROTO_IP: nobody said.
                let protocol = protocol.unwrap_or(Protocol::Other(0));
                if hook.function == Function::Send {
                    Action::Send {
                        address,
                        port,
                        protocol,
                    }
                } else {
                    Action::Connect {
                        address,
                        port,
                        protocol,
                    }
                }
            }
            (None, Some(unix)) if !unix.path.is_empty() && !unix.path.starts_with('@') => Action::ConnectUnix {
                path: words::as_called(&unix.path),
            },
            _ => return Verdict::Not(Why::NoAddress),
        };
        let Some(doer) = self.doer(process, at, counters) else {
            return Verdict::Not(Why::TooManyContainers);
        };
        self.observe(doer, action, at, counters)
    }

    fn doer(&mut self, process: &Process<'_>, at: UtcTime, counters: &mut Counters) -> Option<Doer> {
        let place = self.places.of(process, at)?;
        let (phase, container) = (phase(place, at, self.rules.startup), place.container.cgroup_id);
        let provenance = provenance(process, self.processes.get(&process.exec_id), counters);
        let subject = self.image_of(process);
        if self.processes.get(&process.exec_id).is_none() {
            self.remember(process, subject.clone(), provenance);
        }
        Some(Doer {
            subject,
            provenance,
            phase,
            container,
        })
    }

    /// The image that a process runs. One that nobody saw being executed is a fork of its parent if it is called the same.
    fn image_of(&mut self, process: &Process<'_>) -> FilePath {
        if let Some(known) = self.processes.get(&process.exec_id) {
            return known.image.clone();
        }
        if process.has_flag("procFS")
            && let Some((image, _)) = words::path(&process.binary, "")
        {
            return image;
        }
        match self.processes.get(&process.parent_exec_id) {
            Some(parent) if parent.called == hash(&process.binary) => parent.image.clone(),
            _ => words::as_called(&process.binary),
        }
    }

    fn remember(&mut self, process: &Process<'_>, image: FilePath, provenance: Provenance) {
        let known = Known {
            image,
            called: hash(&process.binary),
            provenance,
            last_open: 0,
        };
        self.processes.insert(&process.exec_id, known);
    }

    fn observe(&mut self, doer: Doer, action: Action, at: UtcTime, counters: &mut Counters) -> Verdict {
        let Doer {
            subject,
            provenance,
            phase,
            container,
        } = doer;
        counters.subjects_as_called += u64::from(words::is_unresolved(&subject));
        if self.covered.leaves_out(at) {
            return Verdict::Not(Why::AlreadyImported);
        }
        if self.written_from.is_some_and(|from| at < from) {
            self.lose(Some(container), Reason::SourceOverlap, 1, at);
            return Verdict::Not(Why::TooLate);
        }
        self.tally
            .observe(container, Behaviour { subject, action }, provenance, phase, at);
        Verdict::Recorded
    }
}

fn failed(executions: impl IntoIterator<Item = Checked>, counters: &mut Counters) {
    for checked in executions {
        counters.decide(checked.kind, Verdict::Not(Why::NoExecution), checked.rounds());
    }
}

/// Where nobody knows when a container started, it has done so long ago.
fn phase(place: &Place, at: UtcTime, startup: Duration) -> Phase {
    let is_starting = place.start.is_some_and(|start| {
        let since = at.nanos().saturating_sub(start.nanos());
        u128::try_from(since).is_ok_and(|since| since < startup.as_nanos())
    });
    if is_starting { Phase::Startup } else { Phase::Steady }
}

fn provenance(process: &Process<'_>, before: Option<&mut Known>, counters: &mut Counters) -> Provenance {
    let Some(pod) = &process.pod else {
        return Provenance::Workload;
    };
    let file_name = process.binary.rsplit('/').next().unwrap_or_default();
    // runc executes itself inside of the container, from an anonymous copy: `/proc/self/exe init`.
    let is_runc_init =
        process.arguments == "init" && ["/proc/", "/dev/fd/"].iter().any(|it| process.binary.starts_with(it));
    if RUNTIMES.contains(&file_name) || is_runc_init {
        return Provenance::Runtime;
    }
    if process.in_init_tree == Some(true) {
        return Provenance::Workload;
    }
    let is_probe = pod.container.as_ref().is_some_and(|it| it.maybe_exec_probe);
    if is_probe || before.is_some_and(|it| it.provenance == Provenance::Kubelet) {
        return Provenance::Kubelet;
    }
    if process.in_init_tree.is_none() {
        counters.provenance_unknown += 1;
        return Provenance::Workload;
    }
    Provenance::Entered
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
