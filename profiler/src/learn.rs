//! A learning window: from the probes to the recording, until it ends.

mod cluster;
mod output;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::hash::{BuildHasher as _, RandomState};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use baselines::loss::Reason;
use baselines::recording::{EndReason, Flush, Latency, WindowId, Writer};
use hdrhistogram::Histogram;
use profiler_common::{Settings, ShortAnswer, loss};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use self::cluster::Listener;
use self::output::{Output, RETRY_AFTER, Saved};
use crate::cgroups::{Hierarchy, Kind};
use crate::clock::{Clock, MINUTE_NS, boot_ns};
use crate::error::Failure;
use crate::kubernetes::connect::Source;
use crate::kubernetes::cri::endpoint::Endpoint;
use crate::probes::answers::Answers;
use crate::probes::{ProbeError, Probes, Sizes, Wire, kernel_btf};
use crate::recorder::{Nameless, Recorder};

/// How many answers are heard at a time: the ring buffer has room for no more.
const ANSWERS_AT_A_TIME: usize = (512 << 10) / size_of::<ShortAnswer>();

/// What a live line shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How often behaviours were observed so far: what goes into the recording, and what `profile status` shows. An
    /// execution is observed with the opens that it makes, and what happens in nobody's workload is not.
    pub events: u64,
    /// Different behaviours seen so far.
    pub behaviours: usize,
    /// Of these, new in the last minute.
    pub new_behaviours: usize,
    /// Containers that live.
    pub containers: usize,
    /// Containers that were seen so far.
    pub containers_seen: usize,
    /// Observations lost so far, all reasons together.
    pub lost: u64,
    /// Of these, how many because the recording may not become larger.
    pub no_room: u64,
    /// Why what was learned cannot be written just now, if so. It is kept, and tried again.
    pub unwritten: Option<String>,
    /// What keeps the cluster from naming containers, as far as it is known.
    pub cluster: Vec<String>,
    /// Containers of pods that wait to be named.
    pub unnamed: usize,
    /// Containers of pods that nobody could name.
    pub nameless: Nameless,
}

/// One window, from the first flush to the last.
pub struct Session {
    probes: Probes,
    recorder: Recorder,
    hierarchy: Hierarchy,
    output: Output,
    /// Who names the containers of pods.
    cluster: Option<Listener>,
    /// What containers are answered to DNS queries.
    answers: Option<Answers>,
    /// The cgroup ids' losses, as last read.
    lost_in: HashMap<u64, [u64; loss::COUNT]>,
    lost: [u64; loss::COUNT],
    missed: u64,
    lost_so_far: u64,
    /// Events observed so far.
    events: u64,
    /// When the counters were last read, boot clock, ns.
    last_read: u64,
    /// The containers that were in a flush, by the ids of their cgroups.
    containers_seen: HashSet<u64>,
    /// Cgroups that came or went unannounced so far.
    unannounced: u64,
    sizes: Sizes,
    /// Whether a cgroup has used up half of its share of the table of counters.
    is_share_running_out: bool,
    /// Behaviours at the last flush.
    known: usize,
    /// How many behaviours were new at each flush of the last minute.
    novelty: std::collections::VecDeque<(Instant, usize)>,
    descriptions: Histogram<u64>,
    drains: Histogram<u64>,
}

/// The probes' settings for a hierarchy.
///
/// # Errors
/// Where the kernel's numbers for a v1 controller cannot be found.
pub fn settings(
    hierarchy: &Hierarchy,
    record_unknown: bool,
    record_arguments: bool,
    keys_per_cgroup: u64,
) -> Result<Settings, Failure> {
    let mut settings = Settings {
        record_unknown: record_unknown.into(),
        arguments: record_arguments.into(),
        profiler: std::process::id(),
        startup_ns: STARTUP_SECONDS * 1_000_000_000,
        key_quota: keys_per_cgroup,
        ..Settings::default()
    };
    if let Kind::V1 { controller } = hierarchy.kind {
        let index = kernel_btf()?.enumerator("cgroup_subsys_id", controller.enumerator());
        settings.controller = index.map_err(ProbeError::btf)?.saturating_add(1);
        let table = std::fs::read_to_string("/proc/cgroups")
            .map_err(|error| Failure::Kernel(format!("/proc/cgroups: {error}")))?;
        settings.hierarchy = hierarchy_id(&table, controller.word())
            .ok_or_else(|| Failure::Kernel(format!("/proc/cgroups does not list {}", controller.word())))?;
    }
    Ok(settings)
}

/// A key for [`Settings::command_key`] that nobody else knows.
pub fn command_key() -> [u64; 2] {
    let word = || RandomState::new().hash_one(());
    // Not zeros, which say that nobody asks.
    [word() | 1, word()]
}

/// Where nothing tells when a container is ready, its start-up phase lasts this long.
const STARTUP_SECONDS: u64 = 60;

/// The second column of `/proc/cgroups`.
fn hierarchy_id(table: &str, controller: &str) -> Option<u32> {
    let mut columns = table
        .lines()
        .map(str::split_whitespace)
        .find(|columns| columns.clone().next() == Some(controller))?;
    columns.nth(1)?.parse().ok()
}

impl Session {
    /// Puts the parts together. The probes may be attached already: what they counted is read first thing.
    ///
    /// # Errors
    /// Where no histogram can be made (never, with these bounds).
    pub fn new(
        probes: Probes,
        recorder: Recorder,
        hierarchy: Hierarchy,
        writer: Writer,
        window: WindowId,
        sizes: Sizes,
    ) -> Result<Self, Failure> {
        // Up to a minute, in ns, to three digits.
        let histogram =
            || Histogram::new_with_max(60_000_000_000, 3).map_err(|error| Failure::Kernel(error.to_string()));
        Ok(Self {
            probes,
            recorder,
            hierarchy,
            output: Output::new(writer, window, histogram()?),
            cluster: None,
            answers: None,
            lost_in: HashMap::new(),
            lost: [0; loss::COUNT],
            missed: 0,
            lost_so_far: 0,
            events: 0,
            last_read: boot_ns(),
            containers_seen: HashSet::new(),
            unannounced: 0,
            sizes,
            is_share_running_out: false,
            known: 0,
            novelty: std::collections::VecDeque::new(),
            descriptions: histogram()?,
            drains: histogram()?,
        })
    }

    /// Lets the pods of this node name containers, and a cluster whom they reach. The attribution has to be that of a cluster.
    #[must_use]
    pub fn with_pods_of(mut self, source: Source, node: &str) -> Self {
        self.cluster = Some(Listener::to_cluster(source, node));
        self.recorder.record_peers();
        self
    }

    /// Lets the container runtime of this node name containers. The attribution has to be that of a cluster.
    #[must_use]
    pub fn with_pods_in(mut self, runtime: &Endpoint) -> Self {
        self.cluster = Some(Listener::to_runtime(runtime));
        self
    }

    /// Lets answers to DNS queries name whom containers reach, where they are seen.
    #[must_use]
    pub fn with_answers(mut self, answers: Option<Answers>) -> Self {
        if answers.is_some() {
            self.recorder.record_names();
        }
        self.answers = answers;
        self
    }

    /// Records until `end` is there, flushing every `interval` and at the end of each minute, and ends the window.
    ///
    /// What cannot be written just now (a full disk, a locked file) is kept and tried again, within limits.
    ///
    /// # Errors
    /// Where the probes cannot be read or the recording cannot be written; the window then ends as failed, if that can
    /// still be written.
    pub async fn learn(
        mut self,
        interval: Duration,
        end: impl Future<Output = EndReason>,
        mut show: impl FnMut(&Progress),
    ) -> Result<(Progress, EndReason), Failure> {
        let result = self.record_until(interval, end, &mut show).await;
        if let Err(failure) = &result {
            // Now, because `profile run` ends only when its command does.
            tracing::warn!("nothing is recorded any more: {failure}");
            self.output.fail(failure);
        }
        Ok((self.progress(), result?))
    }

    async fn record_until(
        &mut self,
        interval: Duration,
        end: impl Future<Output = EndReason>,
        show: &mut impl FnMut(&Progress),
    ) -> Result<EndReason, Failure> {
        tokio::pin!(end);
        let waiting = |error: std::io::Error| Failure::Kernel(format!("waiting for the ring buffer: {error}"));
        let descriptor = self.probes.ring.as_fd().try_clone_to_owned().map_err(waiting)?;
        // SAFETY: an `OwnedFd` stays open and the same until it is dropped, and `AsyncFd` does not give it away.
        let ready = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }
            .map_err(|error| waiting(error.into()))?;
        let answered = match &self.answers {
            Some(answers) => {
                let descriptor = answers.ring.as_fd().try_clone_to_owned().map_err(waiting)?;
                // SAFETY: as above.
                let answered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
                Some(answered.map_err(|error| waiting(error.into()))?)
            }
            None => None,
        };
        let mut saving: Option<JoinHandle<Saved>> = None;
        let mut next = Instant::now() + interval;
        // Not computed anew in each turn of the loop: just after the minute that would be the end of the next one.
        let mut minute = end_of_minute();
        if let Some(cluster) = &mut self.cluster {
            cluster.start();
        }
        loop {
            tokio::select! {
                reason = &mut end => {
                    if let Some(saving) = saving {
                        self.output.saved(saving.await)?;
                    }
                    self.await_peers().await?;
                    self.finish(&reason, show)?;
                    return Ok(reason);
                }
                news = cluster::news(&mut self.cluster) => self.take_news(news),
                guard = ready.readable() => {
                    guard.map_err(waiting)?.clear_ready();
                    self.read_ring();
                }
                guard = async { match &answered { Some(ready) => ready.readable().await, None => std::future::pending().await } } => {
                    let mut guard = guard.map_err(waiting)?;
                    // Which cgroups there are is told there.
                    self.read_ring();
                    // Where there is more, it is as good as if it came now.
                    if self.read_answers() {
                        guard.clear_ready();
                    }
                }
                saved = async { match &mut saving { Some(saving) => saving.await, None => std::future::pending().await } } => {
                    saving = None;
                    self.output.saved(saved)?;
                    show(&self.progress());
                    if self.output.trouble().is_some() {
                        next = next.min(Instant::now() + RETRY_AFTER);
                    }
                }
                () = tokio::time::sleep_until(minute.into()) => {
                    // Read, whatever is being written: what was counted until now belongs to the minute that ends.
                    self.drain()?;
                    minute = end_of_minute();
                }
                () = tokio::time::sleep_until(next.into()), if saving.is_none() => {
                    next = Instant::now() + interval;
                    let flush = self.collect()?;
                    saving = self.output.write(flush);
                    self.ask();
                    show(&self.progress());
                }
            }
        }
    }

    fn read_ring(&mut self) {
        let clock = Clock::now();
        while let Some(message) = self.probes.ring.next() {
            let started = Instant::now();
            self.recorder.describe(&message, clock);
            record(&mut self.descriptions, started.elapsed());
        }
        self.tell_choices();
        if self.recorder.attribution.take_has_come()
            && let Some(cluster) = &self.cluster
        {
            cluster.awaits_names();
        }
    }

    /// Hears what containers were answered, as much of it as the ring buffer has room for: whoever sends them more than that
    /// keeps nothing else waiting. Whether that was all.
    fn read_answers(&mut self) -> bool {
        let Some(answers) = &mut self.answers else { return true };
        for _ in 0..ANSWERS_AT_A_TIME {
            match answers.ring.next() {
                Some(answer) => self.recorder.hear(&answer),
                None => return true,
            }
        }
        false
    }

    /// Tells the probes which cgroups need not be recorded, and which have to be after all.
    fn tell_choices(&mut self) {
        let excluded: HashSet<u64> = self.recorder.attribution.take_excluded().into_iter().collect();
        for id in &excluded {
            self.choose(*id, false);
        }
        // What entered them is forgotten here: should they be asked for again, it has to be described again.
        if !excluded.is_empty()
            && self.cluster.is_some()
            && let Err(error) = self.probes.forget_commands(&excluded)
        {
            tracing::warn!("the probes could not be told to forget commands: {error}");
        }
        for id in self.recorder.attribution.take_admitted() {
            self.choose(id, true);
        }
    }

    fn choose(&mut self, id: u64, is_recorded: bool) {
        // What the probes note about it between the two calls is forgotten, once or twice in a cgroup's life.
        let known = self.probes.cgroups.get(&id, 0);
        let mut state = known.map_or_else(|_| profiler_common::pod::zeroed(), |Wire(state)| state);
        state.recorded = is_recorded.into();
        if !is_recorded {
            state.commands = 0;
        }
        let path = self.recorder.attribution.path_of(id);
        if is_recorded && let Some(oldest) = path.and_then(|path| self.hierarchy.oldest(path)) {
            // Whoever comes now enters a running container.
            state.entries = state.entries.max(1);
            state.started = if state.started == 0 { oldest } else { state.started };
        }
        if let Err(error) = self.probes.cgroups.insert(id, Wire(state), 0) {
            tracing::warn!(cgroup = id, is_recorded, %error, "the probes could not be told whether to record a cgroup");
            // One that should be excluded is thrown away here: slower, and nothing else.
            let lost = u64::from(is_recorded);
            self.recorder
                .lose(Some(id), Reason::CgroupTableFull, lost, Clock::now());
        }
    }

    /// Reads everything that was counted since the last time.
    fn drain(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        let (clock, now) = (Clock::now(), boot_ns());
        let minute = clock.minute_between(std::mem::replace(&mut self.last_read, now), now);
        let recorder = &mut self.recorder;
        self.probes
            .counters
            .read(|delta| recorder.count(delta.before(minute), clock))?;
        self.read_ring();
        let are_images_filling_up = self.recorder.new_images() >= self.sizes.images as usize / 2;
        if self.probes.counters.is_filling_up() || self.is_share_running_out || are_images_filling_up {
            self.recorder.next_generation();
            let recorder = &mut self.recorder;
            self.probes
                .counters
                .replace(|delta| recorder.count(delta.before(minute), clock))?;
            self.read_ring();
            self.probes.renew_quotas()?;
        }
        // After the counters: what they held of executables that are forgotten now has been told.
        if are_images_filling_up {
            self.probes.renew_images()?;
            self.recorder.forget_images(&self.probes.running_images()?);
        }
        let unknown = self.recorder.unknown_images();
        // Of a process that is gone, nobody can tell any more: then there is no use in looking, again and again.
        if !unknown.is_empty() && !unknown.is_disjoint(&self.probes.running_images()?) {
            self.probes.look_at_processes()?;
            self.read_ring();
        }
        // After the counters: every answer that came before what they count.
        self.read_answers();
        if let Some(answers) = &mut self.answers {
            self.recorder.lose_answers(answers.take_lost()?);
        }
        self.reconcile(clock)?;
        self.read_losses(clock)?;
        record(&mut self.drains, started.elapsed());
        Ok(())
    }

    /// Looks for cgroups that came or went while the ring buffer had no room to announce it. Where that can be found out,
    /// nothing is lost: what was counted in a cgroup that nobody finds is a loss by itself, at the end.
    fn reconcile(&mut self, clock: Clock) -> Result<(), Failure> {
        let unannounced = self.probes.lost(loss::CGROUP_RECORD)?;
        let attribution = &mut self.recorder.attribution;
        if unannounced == self.unannounced && !attribution.is_missing() && !self.recorder.has_unplaced() {
            return Ok(());
        }
        let walk = match self.hierarchy.walk() {
            Ok(walk) => walk,
            Err(error) => {
                tracing::warn!(%error, "cgroups could not be listed");
                self.unannounced_unseen(unannounced, clock);
                return Ok(());
            }
        };
        let mut in_kernel = Vec::new();
        self.probes.each_cgroup(|id, _| in_kernel.push(id))?;
        let hierarchy = &self.hierarchy;
        self.recorder
            .attribution
            .reconcile(&walk, in_kernel, |id, path| hierarchy.is_gone(id, path), clock);
        tracing::debug!(unannounced, "looked for cgroups that came or went unannounced");
        if walk.complete {
            self.unannounced = unannounced;
        } else {
            self.unannounced_unseen(unannounced, clock);
        }
        Ok(())
    }

    /// Announcements were lost, and what they said cannot be found out.
    fn unannounced_unseen(&mut self, unannounced: u64, clock: Clock) {
        let count = unannounced.saturating_sub(std::mem::replace(&mut self.unannounced, unannounced));
        self.recorder.lose(None, Reason::UnresolvedCgroup, count, clock);
    }

    fn read_losses(&mut self, clock: Clock) -> Result<(), Failure> {
        let mut grown = Vec::new();
        let seen = &mut self.lost_in;
        let (generation, share_running_out) = (self.probes.generation(), self.sizes.keys_per_cgroup / 2);
        let mut is_share_running_out = false;
        self.probes.each_cgroup(|id, state| {
            is_share_running_out |= state.generation == generation && state.keys >= share_running_out;
            if state.lost != [0; loss::COUNT] {
                let before = seen.insert(id, state.lost).unwrap_or_default();
                grown.push((Some(id), difference(state.lost, before)));
            }
        })?;
        self.is_share_running_out = is_share_running_out;
        let mut lost = [0; loss::COUNT];
        for (index, slot) in lost.iter_mut().enumerate() {
            *slot = self.probes.lost(index)?;
        }
        grown.push((None, difference(lost, std::mem::replace(&mut self.lost, lost))));
        for (cgroup, counts) in grown {
            for (index, count) in counts.into_iter().enumerate() {
                let Some(reason) = reason_of(index) else { continue };
                // Where the kubelet executes nothing, whoever enters is somebody else.
                let attribution = &self.recorder.attribution;
                let is_told = reason == Reason::CommandUntold
                    && !cgroup.is_some_and(|cgroup| attribution.may_be_kubelets(cgroup));
                if !is_told {
                    self.recorder.lose(cgroup, reason, count, clock);
                }
            }
        }
        let missed = self.probes.missed_runs()?;
        if missed > self.missed {
            // Perhaps one of those that notice renames: every path is looked at once more.
            self.probes.look_at_processes()?;
        }
        self.recorder
            .lose(None, Reason::ProbeMissed, missed.saturating_sub(self.missed), clock);
        self.missed = missed;
        let dead: HashSet<u64> = self.recorder.attribution.take_dead().into_iter().collect();
        for id in &dead {
            self.lost_in.remove(id);
            // Gone already if nothing was recorded of it.
            let _ = self.probes.cgroups.remove(id);
        }
        if dead.is_empty() || self.cluster.is_none() {
            return Ok(());
        }
        self.probes.forget_commands(&dead).map_err(Failure::from)
    }

    /// Drains, and makes a flush of what came.
    fn collect(&mut self) -> Result<Flush, Failure> {
        // What is counted while the counters are read may be in the next flush only.
        let complete_until = Clock::now().utc(boot_ns());
        self.drain()?;
        let mut flush = self.recorder.flush(Clock::now());
        flush.at = complete_until;
        self.containers_seen
            .extend(flush.containers.iter().map(|container| container.cgroup_id));
        self.note_novelty();
        let add = |sum: u64, count: u64| sum.saturating_add(count);
        let counts = flush.observations.iter().map(|observation| observation.count);
        self.events = counts.fold(self.events, add);
        let counts = flush.losses.iter().map(|loss| loss.count);
        self.lost_so_far = counts.fold(self.lost_so_far, add);
        flush.latencies = vec![
            latency("describe", &self.descriptions),
            latency("drain", &self.drains),
            latency("flush", &self.output.latency),
        ];
        Ok(flush)
    }

    /// The last readings: what is in flight gets a moment, what is still undescribed becomes a loss.
    fn finish(&mut self, reason: &EndReason, show: &mut impl FnMut(&Progress)) -> Result<(), Failure> {
        self.drain()?;
        self.drain()?;
        self.recorder.give_up_waiting(Clock::now());
        let flush = self.collect()?;
        let progress = self.progress();
        self.output.finish(flush, reason, |trouble| {
            show(&Progress {
                unwritten: trouble.map(str::to_owned),
                ..progress.clone()
            });
        })
    }

    fn note_novelty(&mut self) {
        let fresh = self.recorder.behaviours().saturating_sub(self.known);
        self.known = self.recorder.behaviours();
        let now = Instant::now();
        self.novelty.push_back((now, fresh));
        while self
            .novelty
            .front()
            .is_some_and(|(at, _)| now.duration_since(*at) > Duration::from_mins(1))
        {
            self.novelty.pop_front();
        }
    }

    fn progress(&self) -> Progress {
        let unnamed = self.recorder.attribution.unnamed();
        Progress {
            events: self.events,
            behaviours: self.recorder.behaviours(),
            new_behaviours: self.novelty.iter().map(|(_, fresh)| fresh).sum(),
            containers: self.recorder.attribution.len(),
            containers_seen: self.containers_seen.len(),
            lost: self.lost_so_far.saturating_add(self.output.no_room()),
            no_room: self.output.no_room(),
            unwritten: self.output.trouble().map(str::to_owned),
            cluster: self
                .cluster
                .as_ref()
                .map(|cluster| cluster.troubles(unnamed))
                .unwrap_or_default(),
            unnamed,
            nameless: self.recorder.nameless().clone(),
        }
    }
}

/// A value beyond the histogram's bounds counts as the largest.
fn record(histogram: &mut Histogram<u64>, took: Duration) {
    histogram.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
}

fn latency(name: &str, histogram: &Histogram<u64>) -> Latency {
    Latency {
        name: name.to_owned(),
        count: histogram.len(),
        p50: histogram.value_at_quantile(0.5),
        p90: histogram.value_at_quantile(0.9),
        p99: histogram.value_at_quantile(0.99),
        max: histogram.max(),
    }
}

fn difference(now: [u64; loss::COUNT], before: [u64; loss::COUNT]) -> [u64; loss::COUNT] {
    let mut difference = now;
    difference
        .iter_mut()
        .zip(before)
        .for_each(|(now, before)| *now = now.saturating_sub(before));
    difference
}

/// What a probe's loss is called in recordings. None for what [`Session::reconcile`] makes up for.
fn reason_of(index: usize) -> Option<Reason> {
    Some(match index {
        loss::MAP_FULL => Reason::MapFull,
        loss::KEY_QUOTA => Reason::KeyQuota,
        loss::RACED => Reason::Raced,
        loss::CGROUP_TABLE_FULL => Reason::CgroupTableFull,
        loss::PROCESS_TABLE_FULL => Reason::ProcessTableFull,
        loss::IMAGE_TABLE_FULL => Reason::ImageTableFull,
        loss::FOREIGN_ABI => Reason::ForeignAbi,
        loss::IO_URING => Reason::IoUring,
        loss::LEFT_CGROUP => Reason::LeftCgroup,
        loss::CONNECT_TABLE_FULL => Reason::ConnectTableFull,
        loss::ARGUMENTS_UNREAD => Reason::ArgumentsUnread,
        loss::COMMAND_UNTOLD => Reason::CommandUntold,
        loss::BATCH_CUT => Reason::BatchCut,
        loss::UNIX_DATAGRAM => Reason::UnixDatagram,
        loss::UNSEEN_OPEN => Reason::UnseenOpen,
        loss::CGROUP_RECORD => return None,
        _ => Reason::Decode,
    })
}

/// When the next minute of UTC begins.
fn end_of_minute() -> Instant {
    let left = MINUTE_NS - Clock::now().into_minute(boot_ns());
    Instant::now() + Duration::from_nanos(left)
}
