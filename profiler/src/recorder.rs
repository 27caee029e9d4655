//! From what the probes count to what a recording holds.
//!
//! The probes say *that* something happened, as numbers ([`Delta`]), and once for each new thing *what* it was
//! ([`profiler_common::Record`]). The two arrive on different ways and in any order, so a count whose description is
//! still missing waits. What is never described is a loss with a number, not silence.

pub mod attribution;
pub mod cluster;
mod commands;
mod described;
mod held;
mod reached;
mod readiness;
mod resolver;
mod rows;
#[cfg(test)]
mod tests;
mod told;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use baselines::behaviour::{Behaviour, Phase};
use baselines::dns::NameGap;
use baselines::loss::Reason;
use baselines::recording::{Flush, Loss};
use baselines::time::UtcTime;
use profiler_common::{Key, phase, pod, provenance, record};

use crate::cgroups::Hierarchy;
use crate::clock::Clock;
use crate::kubernetes::directory::PodChange;
use crate::kubernetes::peers::{self, Moment, Peers, Question};
use crate::probes::OwnRoot;
use crate::probes::backend::Backend;
use crate::probes::counters::Delta;
use attribution::{Attribution, Standing};
use commands::Commands;
use described::Described;
use reached::Reached;
use resolver::{Resolver, Workers};
use rows::{Counted, Row};
use told::{Told, images_of};

/// How many counts may wait for their descriptions; more are lost at once.
const WAITING_MAX: usize = 65_536;

/// How many containers that nobody could name are listed.
const NAMELESS_LISTED: usize = 20;

/// Containers of pods that nobody could name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nameless {
    /// How many there were.
    pub count: usize,
    /// The first of them: the cgroup's path, and how often something was observed in it.
    pub first: Vec<(Vec<u8>, u64)>,
}

/// Collects what belongs into the next flush.
pub struct Recorder {
    /// Which cgroup belongs to which container.
    pub attribution: Attribution,
    described: Described,
    /// Counted, and not described yet.
    waiting: HashMap<Key, Delta>,
    observations: HashMap<Row, Counted>,
    /// Whom they reached, where there is a cluster to tell, or DNS names do.
    reached: Option<Reached>,
    losses: HashMap<(Option<u64>, Reason), Counted>,
    /// What entered containers.
    commands: Commands,
    /// When everything before was flushed.
    flushed: UtcTime,
    /// How often something was observed in containers that are not named yet.
    unnamed: HashMap<u64, u64>,
    nameless: Nameless,
    /// The next flush is the last one.
    is_over: bool,
    /// Fingerprints of the behaviours seen so far: eight bytes each, whatever their paths.
    known: HashSet<u64>,
}

impl Recorder {
    /// A recorder that has seen nothing.
    ///
    /// `backend` is who counts: those at hooks tell of every open that an execution makes.
    /// `own_root` is the root directory that we run in, see [`crate::probes::Probes::own_root`].
    /// `cgroups` is where the containers' cgroups are: a process that is gone may have left another one with its root there.
    pub fn new(attribution: Attribution, backend: Backend, own_root: OwnRoot, cgroups: Option<Hierarchy>) -> Self {
        let resolver = Resolver::new(Workers::default());
        let mut described = Described::new(own_root, cgroups, resolver);
        described.opens_are_told(backend.is_at_hooks());
        Self::with(attribution, described)
    }

    fn with(attribution: Attribution, described: Described) -> Self {
        Self {
            attribution,
            described,
            waiting: HashMap::new(),
            observations: HashMap::new(),
            reached: None,
            losses: HashMap::new(),
            commands: Commands::default(),
            flushed: UtcTime::default(),
            unnamed: HashMap::new(),
            nameless: Nameless::default(),
            is_over: false,
            known: HashSet::new(),
        }
    }

    /// Records whom containers reach, too: a cluster will tell.
    pub fn record_peers(&mut self) {
        self.reached.get_or_insert_default().ask_cluster();
    }

    /// Records the DNS names of whom containers reach, too: answers will be [heard](Recorder::hear).
    pub fn record_names(&mut self) {
        self.reached.get_or_insert_default();
    }

    /// Takes an answer to a DNS query. Its bytes are anybody's.
    pub fn hear(&mut self, answer: &[u8]) {
        if let Some(reached) = &mut self.reached {
            let attribution = &self.attribution;
            let container_of = |cgroup| attribution.container_of(cgroup).unwrap_or(cgroup);
            reached.names().take(answer, container_of);
        }
    }

    /// Answers to DNS queries found no room.
    pub fn lose_answers(&mut self, count: u64) {
        if let Some(reached) = &mut self.reached {
            reached.names().lack(NameGap::RingFull, count);
        }
    }

    /// Takes a message of the ring buffer. Its bytes were written by the probes, but names in them by workloads.
    pub fn describe(&mut self, message: &[u8], clock: Clock) {
        if pod::read::<u32>(message) == Some(record::COMMAND) {
            return self.take_command(message, clock);
        }
        if let Err(reason) = self.described.take(message, &mut self.attribution, clock) {
            self.lose(None, reason, 1, clock);
        }
    }

    /// The probes start a new generation of counters, and describe everything in it again.
    pub fn next_generation(&mut self) {
        self.described.next_generation();
    }

    /// Takes what was counted since the last reading.
    pub fn count(&mut self, delta: Delta, clock: Clock) {
        self.tell(delta, clock);
    }

    fn tell(&mut self, delta: Delta, clock: Clock) {
        let cgroup = delta.key.cgroup;
        if self.attribution.knows(cgroup) && self.attribution.container_of(cgroup).is_none() {
            return; // decided: nobody's workload
        }
        if delta.key.provenance == provenance::PROFILER {
            return;
        }
        match self.behaviours_of(&delta.key) {
            Told::Behaviours(behaviours) => {
                for behaviour in behaviours {
                    self.observe(&delta, behaviour, clock);
                }
                if !told::is_complete(&delta.key, &self.described) {
                    self.lose(Some(cgroup), Reason::UnresolvedPath, delta.count, clock);
                }
            }
            Told::NotYet if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&delta.key) => {
                self.lose(Some(cgroup), Reason::Undescribed, delta.count, clock);
            }
            Told::NotYet => {
                let waiting = self.waiting.entry(delta.key).or_insert(Delta { count: 0, ..delta });
                waiting.count = waiting.count.saturating_add(delta.count);
                waiting.last = waiting.last.max(delta.last);
                waiting.seen = waiting.seen.max(delta.seen);
            }
        }
    }

    fn observe(&mut self, delta: &Delta, behaviour: Behaviour, clock: Clock) {
        let (first, last) = (clock.utc(delta.first), clock.utc(delta.last));
        self.known
            .insert(BuildHasherDefault::<DefaultHasher>::default().hash_one(&behaviour));
        let Some(container) = self.attribution.container_of(delta.key.cgroup) else {
            return;
        };
        if matches!(self.attribution.standing(container), Standing::Held | Standing::Unnamed) {
            let unnamed = self.unnamed.entry(container).or_default();
            *unnamed = unnamed.saturating_add(delta.count);
        }
        // A count is read every few seconds, and at the end of a minute, so its last time tells the minute of all.
        let minute = last.minute();
        let came = self.came(&delta.key, container);
        // `first` is that of the key's first count, which may be long ago.
        let counted = Counted {
            count: delta.count,
            first: first.max(minute.start()).min(last),
            last,
        };
        if let Some(reached) = &mut self.reached {
            reached.observe(container, &behaviour, came, counted, delta.seen);
        }
        let phase = self.attribution.phase(container, last, phase_of(&delta.key));
        self.add((container, behaviour, came, phase, minute), counted);
    }

    fn add(&mut self, key: Row, counted: Counted) {
        self.observations
            .entry(key)
            .and_modify(|known| known.add(counted))
            .or_insert(counted);
    }

    /// Notes a loss.
    pub fn lose(&mut self, cgroup: Option<u64>, reason: Reason, count: u64, clock: Clock) {
        if count == 0 {
            return;
        }
        let now = clock.utc(crate::clock::boot_ns());
        // Losses of a cgroup inside a container are the container's.
        let cgroup = cgroup.map(|cgroup| self.attribution.container_of(cgroup).unwrap_or(cgroup));
        let counted = Counted {
            count,
            first: now,
            last: now,
        };
        self.losses
            .entry((cgroup, reason))
            .and_modify(|known| known.add(counted))
            .or_insert(counted);
    }

    /// Everything since the last flush, and whatever has been described in the meantime.
    pub fn flush(&mut self, clock: Clock) -> Flush {
        self.described.settle(Duration::ZERO);
        for delta in std::mem::take(&mut self.waiting).into_values() {
            self.tell(delta, clock);
        }
        if self.waiting.is_empty() {
            self.described.forget_earlier();
        }
        for cgroup in self.described.take_incomplete() {
            self.lose(Some(cgroup), Reason::UnresolvedPath, 1, clock);
        }
        if self.is_over {
            self.attribution.give_up_naming();
        }
        let at = clock.utc(crate::clock::boot_ns());
        // Before: what waited for their names need not wait any more.
        self.attribution.give_up_nameless(at);
        let observations = self.take_observations(clock);
        self.look_up_peers();
        let reached::Told {
            reached,
            left_out,
            name_gaps,
        } = self.take_reached(at);
        self.flushed = at;
        let attribution = &self.attribution;
        self.commands
            .retain(|container| attribution.standing(container) != Standing::Nobody);
        let containers = self.attribution.flush(at);
        self.lose_nameless(clock);
        let losses = self.losses.drain().map(
            |(
                (cgroup_id, reason),
                Counted {
                    count,
                    first: first_seen,
                    last: last_seen,
                },
            )| {
                Loss {
                    cgroup_id,
                    reason,
                    count,
                    first_seen,
                    last_seen,
                }
            },
        );
        let losses = losses.collect();
        Flush {
            at,
            containers,
            observations,
            reached,
            reached_left_out: left_out,
            name_gaps,
            losses,
            latencies: Vec::new(),
        }
    }

    /// The pods of this node change: containers get their names, and addresses their holders.
    pub fn pods_changed(&mut self, changes: Vec<PodChange>) {
        if let Some(peers) = self.peers() {
            let now = Moment::now();
            for change in &changes {
                peers.pod_changed(change, now);
            }
        }
        self.attribution.pods_changed(changes);
        // What has not been written yet may be of another phase, then.
        let told = self.attribution.take_told();
        if told.is_empty() {
            return;
        }
        for (mut key, counted) in std::mem::take(&mut self.observations) {
            if told.contains(&key.0) {
                key.3 = self.attribution.phase(key.0, counted.last, key.3);
            }
            self.add(key, counted);
        }
    }

    /// The cluster says something about addresses.
    pub fn peers_told(&mut self, told: Vec<peers::Told>) {
        if let Some(peers) = self.peers() {
            let now = Moment::now();
            for told in told {
                peers.take(told, now);
            }
        }
    }

    /// What a cluster says of addresses, where there is one.
    fn peers(&mut self) -> Option<&mut Peers> {
        self.reached.as_mut()?.peers()
    }

    /// Looks up whom containers reached. Who is not known becomes a [`Recorder::question`].
    pub fn look_up_peers(&mut self) {
        if let Some(reached) = &mut self.reached {
            reached.settle(Instant::now(), self.is_over);
        }
    }

    /// What to ask the cluster next, if something may be asked now.
    pub fn question(&mut self) -> Option<Question> {
        self.peers()?.question(Instant::now())
    }

    /// Whether an answer is awaited that may come soon.
    pub fn awaits_peers(&self) -> bool {
        self.reached.as_ref().is_some_and(Reached::is_waiting)
    }

    /// Containers that nobody will name are losses; those that were named are none.
    fn lose_nameless(&mut self, clock: Clock) {
        for given_up in self.attribution.take_given_up() {
            let observed = self.unnamed.remove(&given_up.id).unwrap_or_default();
            if given_up.is_sandbox || observed == 0 {
                continue;
            }
            self.lose(Some(given_up.id), Reason::UnresolvedContainer, observed, clock);
            self.nameless.count = self.nameless.count.saturating_add(1);
            if self.nameless.first.len() < NAMELESS_LISTED {
                self.nameless.first.push((given_up.path, observed));
            }
        }
        let attribution = &self.attribution;
        self.unnamed
            .retain(|id, _| matches!(attribution.standing(*id), Standing::Held | Standing::Unnamed));
    }

    /// Containers of pods that nobody could name so far.
    pub fn nameless(&self) -> &Nameless {
        &self.nameless
    }

    /// The window is over: what is still undescribed stays so, once what is being looked for in the file system has had
    /// the time that any look-up has.
    pub fn give_up_waiting(&mut self, clock: Clock) {
        self.described.settle(resolver::PATIENCE);
        self.described.give_up();
        for delta in std::mem::take(&mut self.waiting).into_values() {
            let cgroup = delta.key.cgroup;
            if !self.attribution.knows(cgroup) {
                self.lose(Some(cgroup), Reason::UnresolvedCgroup, delta.count, clock);
            } else if let Told::NotYet = self.behaviours_of(&delta.key) {
                self.lose(Some(cgroup), Reason::Undescribed, delta.count, clock);
            } else {
                self.tell(delta, clock);
            }
        }
        self.is_over = true;
    }

    /// Whether something was counted in a cgroup that nothing is known about.
    pub fn has_unplaced(&self) -> bool {
        self.waiting.keys().any(|key| !self.attribution.knows(key.cgroup))
    }

    /// The numbers of the executables that something was counted of and nothing is known about.
    pub fn unknown_images(&self) -> HashSet<u64> {
        let images = self.waiting.keys().flat_map(images_of);
        images.filter(|image| self.described.image(*image).is_none()).collect()
    }

    /// How many executables were described since the last call of [`Recorder::forget_images`].
    pub fn new_images(&self) -> usize {
        self.described.new_images()
    }

    /// The probes give new numbers to executables. Forgets those that were described before the last such time and that
    /// nobody runs any more.
    pub fn forget_images(&mut self, running: &HashSet<u64>) {
        let waiting = self.waiting.keys().flat_map(images_of);
        self.described
            .forget_images(&waiting.chain(running.iter().copied()).collect());
    }

    /// How many different behaviours were seen so far.
    pub fn behaviours(&self) -> usize {
        self.known.len()
    }

    fn behaviours_of(&self, key: &Key) -> Told {
        if self.attribution.knows(key.cgroup) {
            told::behaviours_of(key, &self.described)
        } else {
            Told::NotYet
        }
    }
}

fn phase_of(key: &Key) -> Phase {
    if key.phase == phase::STARTUP {
        Phase::Startup
    } else {
        Phase::Steady
    }
}
