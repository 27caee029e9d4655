//! How long an image was watched, cut into sampling units, and in which of them each behaviour was seen.
//!
//! Units are aligned to UTC: five minutes are the shortest that the estimators ask for, and ten and twenty are made of them.
//! Units in which nothing happened count, as without them everything would seem to be seen all the time.
//!
//! Containers of one workload that were started within ten minutes (a rollout, a node that came back) show the same at the same
//! time: they are one cluster of each day, and one start is a cluster whatever number of them it has. Of pods and containers
//! that nothing controls, those of one image are.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::summary::{Group, Seen};
use crate::coverage::Cluster;
use crate::recording::Container;
use crate::time::{Minute, UtcTime};
use crate::workload::Workload;

/// How long a slot is.
const SLOT_MINUTES: i64 = 5;
const DAY_MINUTES: i64 = 24 * 60;
const SLOTS_PER_DAY: usize = 288;
const SLOTS_PER_HOUR: usize = 12;
/// Containers that start within this time were started together. Where nothing watches for longer, watching was interrupted.
pub(super) const TOGETHER: Duration = Duration::from_mins(10);
/// Where nothing says when a container has started up, see [`crate::behaviour::Phase`].
const STARTUP: Duration = Duration::from_mins(1);
/// Who is not alive any more for this long before its window ends has ended.
const IS_OVER: Duration = Duration::from_secs(30);
/// A window that begins together with a container may be noted a moment later than it.
const AT_ONCE: Duration = Duration::from_secs(5);

/// How long a unit of the steady phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnitLength {
    /// 5 minutes.
    Halved,
    /// 10 minutes: what documents count.
    Whole,
    /// 20 minutes.
    Doubled,
}

/// How many units of 5, of 10 and of 20 minutes.
pub(super) type Units = [u64; 3];

/// Some of a day's slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots([u64; SLOTS_PER_DAY.div_ceil(64)]);

impl Slots {
    fn with(&mut self, slot: usize) {
        if let Some(word) = self.0.get_mut(slot / 64) {
            *word |= 1 << (slot % 64);
        }
    }

    fn and(&mut self, other: Self) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
    }

    /// Those from one to before another.
    fn between(begin: usize, end: usize) -> Self {
        let mut all = Self([u64::MAX; SLOTS_PER_DAY.div_ceil(64)]).before(end);
        let before = Self([u64::MAX; SLOTS_PER_DAY.div_ceil(64)]).before(begin);
        for (word, before) in all.0.iter_mut().zip(before.0) {
            *word &= !before;
        }
        all
    }

    /// The last of them.
    fn last(self) -> Option<usize> {
        let words = self.0.iter().enumerate().rev();
        let mut last = words.filter_map(|(index, word)| Some(index * 64 + word.checked_ilog2()? as usize));
        last.next()
    }

    /// Those before a slot.
    fn before(self, slot: usize) -> Self {
        let mut kept = Self::default();
        for (index, (kept, word)) in kept.0.iter_mut().zip(self.0).enumerate() {
            let bits = slot.saturating_sub(index * 64).min(64);
            *kept = match bits {
                64 => word,
                _ => word & ((1 << bits) - 1),
            };
        }
        kept
    }

    fn all_units(self) -> Units {
        [UnitLength::Halved, UnitLength::Whole, UnitLength::Doubled].map(|length| self.units(length))
    }

    /// Which hours of the day have one of them, a bit each.
    pub(super) fn hours(self) -> u32 {
        let hour = |hour: usize| Self::between(hour * SLOTS_PER_HOUR, (hour + 1) * SLOTS_PER_HOUR);
        let has = |hour: Self| self.0.iter().zip(hour.0).any(|(word, hour)| word & hour != 0);
        (0..24).filter(|&it| has(hour(it))).fold(0, |hours, it| hours | 1 << it)
    }

    /// How many units have one of them. A unit of two or four slots lies within one word.
    pub(super) fn units(self, length: UnitLength) -> u64 {
        let units = self.0.iter().map(|&word| match length {
            UnitLength::Halved => word.count_ones(),
            UnitLength::Whole => ((word | word >> 1) & 0x5555_5555_5555_5555).count_ones(),
            UnitLength::Doubled => {
                let pairs = word | word >> 1;
                ((pairs | pairs >> 2) & 0x1111_1111_1111_1111).count_ones()
            }
        });
        units.map(u64::from).sum()
    }
}

/// Slots by the day, counted from the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Days(BTreeMap<i64, Slots>);

/// The day and the slot of a minute.
fn place(minute: i64) -> (i64, usize) {
    let slot = minute.rem_euclid(DAY_MINUTES) / SLOT_MINUTES;
    // Below 288.
    (minute.div_euclid(DAY_MINUTES), usize::try_from(slot).unwrap_or(0))
}

impl Days {
    pub(super) fn insert(&mut self, minute: Minute) {
        let (day, slot) = place(minute.number());
        self.0.entry(day).or_default().with(slot);
    }

    /// Adds every slot from one moment to another.
    pub(super) fn insert_span(&mut self, from: UtcTime, until: UtcTime) {
        let (first_day, first) = place(from.minute().number());
        let (last_day, last) = place(until.minute().number());
        for day in first_day..=last_day {
            let begin = if day == first_day { first } else { 0 };
            let end = if day == last_day { last + 1 } else { SLOTS_PER_DAY };
            self.0.entry(day).or_default().and(Slots::between(begin, end));
        }
    }

    /// When the last of them began.
    fn last(&self) -> Option<UtcTime> {
        let (day, slots) = self.0.last_key_value()?;
        let slot = slots.last()?;
        let minute = day * DAY_MINUTES + i64::try_from(slot).ok()? * SLOT_MINUTES;
        Some(Minute::from_stored(minute)?.start())
    }

    /// Adds all of others.
    pub(super) fn extend(&mut self, other: &Self) {
        for (&day, &slots) in &other.0 {
            self.0.entry(day).or_default().and(slots);
        }
    }

    pub(super) fn units(&self, length: UnitLength) -> u64 {
        self.0.values().map(|slots| slots.units(length)).sum()
    }

    /// The days, counted from the epoch, and which of their slots.
    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, Slots)> {
        self.0.iter().map(|(&day, &slots)| (day, slots))
    }

    pub(super) fn into_days(self) -> impl Iterator<Item = (i64, Slots)> {
        self.0.into_iter()
    }
}

/// In which of an image's containers, and when, a behaviour was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Sightings {
    /// The containers that showed it while they started.
    starts: Vec<usize>,
    /// Containers, and slots of one day of each, of the steady phase.
    steady: Vec<(usize, i64, Slots)>,
}

impl Sightings {
    pub(super) fn add(&mut self, container: usize, in_startup: bool, steady: Days) {
        if in_startup {
            self.starts.push(container);
        }
        self.steady
            .extend(steady.into_days().map(|(day, slots)| (container, day, slots)));
    }

    /// Adds those of another behaviour that generalises to the same one.
    pub(super) fn append(&mut self, other: &Self) {
        self.starts.extend(&other.starts);
        self.steady.extend(&other.steady);
    }

    /// Each container and day once.
    pub(super) fn settle(&mut self) {
        self.starts.sort_unstable();
        self.starts.dedup();
        self.steady
            .sort_unstable_by_key(|&(container, day, _)| (container, day));
        self.steady
            .dedup_by(|(container, day, slots), (kept, kept_day, kept_slots)| {
                let is_same = (container, day) == (kept, kept_day);
                if is_same {
                    kept_slots.and(*slots);
                }
                is_same
            });
    }
}

impl Sightings {
    /// By groups of containers, whose places are those of its containers: in how many of their starts, of those that count, and
    /// on which days in how many units.
    pub(super) fn summarised(&self, key: u64, places: &[usize], counts: impl Fn(usize) -> bool) -> Seen {
        let mut starts: BTreeMap<usize, u64> = BTreeMap::new();
        for &container in self.starts.iter().filter(|container| counts(**container)) {
            if let Some(&place) = places.get(container) {
                *starts.entry(place).or_default() += 1;
            }
        }
        let mut steady: BTreeMap<(usize, i64), Units> = BTreeMap::new();
        for &(container, day, slots) in &self.steady {
            if let Some(&place) = places.get(container) {
                add(steady.entry((place, day)).or_default(), slots);
            }
        }
        let steady = steady.into_iter().map(|((place, day), units)| (place, day, units));
        Seen {
            key,
            starts: starts.into_iter().collect(),
            steady: steady.collect(),
        }
    }
}

fn add(sum: &mut Units, slots: Slots) {
    for (sum, units) in sum.iter_mut().zip(slots.all_units()) {
        *sum += units;
    }
}

/// Containers by their groups.
pub(super) struct Groups {
    pub(super) list: Vec<Group>,
    /// Of each container the place of its group in that list.
    pub(super) places: Vec<usize>,
    /// Of the workloads that nothing controls, how many have no container that was seen from its start on.
    pub(super) partial_alone: u64,
}

/// How many days a container was watched, those counted that were watched in part; if windows overlap, more.
pub(super) fn days(container: &Container, watched: &[(UtcTime, UtcTime)]) -> u64 {
    let spans = watched
        .iter()
        .map(|&(from, until)| (from.max(container.started), until.min(container.alive_until)));
    let days = spans.map(|(from, until)| u64::try_from(day(until) - day(from) + 1).unwrap_or(0));
    days.fold(0, u64::saturating_add)
}

/// One container, as far as it was watched.
#[derive(Debug)]
struct Watched {
    workload: Workload,
    /// Which containers may have been started together with it: all with the same one.
    together: Option<Workload>,
    started: UtcTime,
    /// Whether its start was seen.
    is_whole: bool,
    /// Whether it ended by itself while it was watched.
    is_over: bool,
    /// When it was watched after it had started up.
    steady: Days,
}

/// All containers of an image.
#[derive(Debug, Default)]
pub(super) struct Exposure {
    containers: Vec<Watched>,
    /// From when until when windows watched any of them.
    windows: Vec<(UtcTime, UtcTime)>,
    until: UtcTime,
}

/// What containers have in common that are started together. Replicas that nothing controls have names of their own: what they
/// have in common is the image.
fn together(workload: &Workload) -> Option<Workload> {
    let is_controlled = !matches!(workload.kind.as_str(), "Pod" | "container" | "cgroup");
    is_controlled.then(|| workload.clone())
}

impl Exposure {
    /// Adds a container, which windows watched in these spans; the number by which sightings name it.
    ///
    /// It counts as started up from its last observation of that phase on, or, if that is later, a minute after its start.
    /// When it was `seen` to do something it was watched, whatever the windows say.
    pub(super) fn add(
        &mut self,
        container: &Container,
        startup_until: Option<UtcTime>,
        seen: Days,
        watched: &[(UtcTime, UtcTime)],
    ) -> usize {
        // Retention takes windows away, and not the containers that later ones saw, too.
        let began_watched = |&(from, until): &(UtcTime, UtcTime)| {
            from <= container.started.after(AT_ONCE) && container.started <= until
        };
        let is_whole = !container.partial && watched.iter().any(began_watched);
        let mut steady_from = container.started;
        if is_whole {
            steady_from = steady_from.after(STARTUP).max(startup_until.unwrap_or_default());
        }
        let mut steady = seen;
        for &(from, until) in watched {
            let (from, until) = (from.max(container.started), until.min(container.alive_until));
            let from = from.max(steady_from);
            if from <= until {
                steady.insert_span(from, until);
            }
        }
        self.windows.extend(watched);
        let last_window = watched.iter().map(|&(_, until)| until).max();
        let alive_until = container.alive_until.min(last_window.unwrap_or(container.alive_until));
        self.until = self.until.max(alive_until).max(steady.last().unwrap_or_default());
        // A window that ends while the container runs notes that it is alive, up to a flush before its end.
        let is_over = last_window.is_some_and(|until| until.since(container.alive_until) > IS_OVER);
        self.containers.push(Watched {
            workload: container.workload.clone(),
            together: together(&container.workload),
            started: container.started,
            is_whole,
            is_over,
            steady,
        });
        self.containers.len() - 1
    }

    /// When the last of them was watched last.
    pub(super) fn until(&self) -> UtcTime {
        self.until
    }

    /// The starts that were seen, or of what ends by itself the runs from start to end: how many, and on how many dates.
    /// Those that were started together are one.
    pub(super) fn starts(&self, ends_by_itself: bool) -> (u64, u64) {
        let counts = |watched: &Watched| watched.is_whole && (watched.is_over || !ends_by_itself);
        let mut groups: Vec<usize> = self
            .containers
            .iter()
            .zip(self.groups())
            .filter_map(|(watched, group)| counts(watched).then_some(group))
            .collect();
        groups.sort_unstable();
        groups.dedup();
        let mut dates: Vec<i64> = groups
            .iter()
            .filter_map(|&group| Some(day(self.containers.get(group)?.started)))
            .collect();
        dates.sort_unstable();
        dates.dedup();
        (groups.len() as u64, dates.len() as u64)
    }

    /// The day of each start that was seen, counted from the epoch.
    pub(super) fn days_of_starts(&self) -> impl Iterator<Item = i64> {
        let seen = self.containers.iter().filter(|watched| watched.is_whole);
        seen.map(|watched| day(watched.started))
    }

    /// Since when windows have watched without a break, at the end.
    pub(super) fn watched_since(&self) -> UtcTime {
        let mut windows = self.windows.clone();
        windows.sort_unstable_by_key(|&(_, until)| Reverse(until));
        let mut since = self.until;
        for (from, until) in windows {
            if since.since(until) > TOGETHER {
                break;
            }
            since = since.min(from);
        }
        since
    }

    /// When watching went on after the last break, if there was one.
    pub(super) fn resumed(&self) -> Option<UtcTime> {
        let since = self.watched_since();
        self.windows.iter().any(|&(from, _)| from < since).then_some(since)
    }

    /// Whether a container was seen from its start on.
    pub(super) fn is_whole(&self, container: usize) -> bool {
        self.containers.get(container).is_some_and(|watched| watched.is_whole)
    }

    /// What is told of those that were started together, without their names.
    pub(super) fn summarised(&self) -> Groups {
        let mut list: Vec<Group> = Vec::new();
        let mut by_first: BTreeMap<usize, (usize, BTreeMap<i64, Units>)> = BTreeMap::new();
        let mut places = Vec::new();
        let mut alone: BTreeMap<&Workload, bool> = BTreeMap::new();
        for (watched, first) in self.containers.iter().zip(self.groups()) {
            let (place, days) = by_first.entry(first).or_insert_with(|| {
                list.push(Group {
                    workload: watched.together.as_ref().map(|workload| key_of([workload.to_string()])),
                    started: self
                        .containers
                        .get(first)
                        .map_or(watched.started, |first| first.started)
                        .nanos()
                        .unsigned_abs()
                        / 1_000_000_000,
                    whole: 0,
                    over: 0,
                    days: Vec::new(),
                });
                (list.len() - 1, BTreeMap::new())
            });
            places.push(*place);
            for (&day, &slots) in &watched.steady.0 {
                add(days.entry(day).or_default(), slots);
            }
            if let Some(group) = list.get_mut(*place) {
                group.whole += u64::from(watched.is_whole);
                group.over += u64::from(watched.is_whole && watched.is_over);
            }
            if watched.together.is_none() {
                *alone.entry(&watched.workload).or_default() |= watched.is_whole;
            }
        }
        for (place, days) in by_first.into_values() {
            if let Some(group) = list.get_mut(place) {
                group.days = days.into_iter().collect();
            }
        }
        Groups {
            list,
            places,
            partial_alone: alone.values().filter(|is_whole| !**is_whole).count() as u64,
        }
    }

    /// How many workloads have no container that was seen from its start on.
    pub(super) fn partial(&self) -> u64 {
        let mut is_whole: BTreeMap<&Workload, bool> = BTreeMap::new();
        for watched in &self.containers {
            *is_whole.entry(&watched.workload).or_default() |= watched.is_whole;
        }
        is_whole.values().filter(|is_whole| !**is_whole).count() as u64
    }

    /// Whether each of its containers ended by itself before it had started up: init containers, helpers.
    pub(super) fn is_short(&self) -> bool {
        !self.has_steady() && self.containers.iter().all(|watched| watched.is_over)
    }

    /// Whether anything was watched after it had started up.
    pub(super) fn has_steady(&self) -> bool {
        self.containers.iter().any(|watched| !watched.steady.0.is_empty())
    }

    /// For each container the one that stands for all that were started with it: the first one of ten minutes.
    fn groups(&self) -> Vec<usize> {
        let mut order: Vec<(usize, &Watched)> = self.containers.iter().enumerate().collect();
        order.sort_by_key(|(_, watched)| (&watched.together, watched.started));
        let mut groups = vec![0; self.containers.len()];
        let mut first: Option<(usize, &Watched)> = None;
        for (index, watched) in order {
            let together = first.filter(|(_, first)| {
                first.together == watched.together && watched.started.since(first.started) < TOGETHER
            });
            let (group, _) = *first.insert(together.unwrap_or((index, watched)));
            if let Some(entry) = groups.get_mut(index) {
                *entry = group;
            }
        }
        groups
    }

    /// Starts as units: those until a moment, and what was seen in them.
    pub(super) fn startup(&self, behaviours: &[Sightings], until: UtcTime) -> Vec<Cluster<usize>> {
        let groups = self.groups();
        let counts = |container: usize| {
            let watched = self.containers.get(container)?;
            (watched.is_whole && watched.started <= until).then_some(())?;
            groups.get(container).copied()
        };
        let mut clusters = Clusters::default();
        for group in (0..self.containers.len()).filter_map(counts) {
            clusters.of(group).units += 1;
        }
        for (behaviour, sightings) in behaviours.iter().enumerate() {
            for group in sightings.starts.iter().copied().filter_map(counts) {
                clusters.see(group, behaviour, 1);
            }
        }
        clusters.into_list()
    }

    /// Containers in pieces of time as units: those until a moment, and what was seen in them.
    pub(super) fn steady(&self, behaviours: &[Sightings], length: UnitLength, until: UtcTime) -> Vec<Cluster<usize>> {
        let (last_day, last_slot) = place(until.minute().number());
        let units = |day: i64, slots: Slots| match day.cmp(&last_day) {
            std::cmp::Ordering::Less => slots.units(length),
            std::cmp::Ordering::Equal => slots.before(last_slot + 1).units(length),
            std::cmp::Ordering::Greater => 0,
        };
        let groups = self.groups();
        let mut clusters = Clusters::default();
        for (watched, group) in self.containers.iter().zip(&groups) {
            for (&day, &slots) in &watched.steady.0 {
                let units = units(day, slots);
                if units > 0 {
                    clusters.of((*group, day)).units += units;
                }
            }
        }
        for (behaviour, sightings) in behaviours.iter().enumerate() {
            for &(container, day, slots) in &sightings.steady {
                if let Some(&group) = groups.get(container) {
                    clusters.see((group, day), behaviour, units(day, slots));
                }
            }
        }
        clusters.into_list()
    }
}

/// Clusters by their key, in its order: the same whatever the order of the containers was.
struct Clusters<K>(BTreeMap<K, Cluster<usize>>);

impl<K> Default for Clusters<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Clusters<K> {
    fn of(&mut self, key: K) -> &mut Cluster<usize> {
        match self.0.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Cluster {
                units: 0,
                seen: Vec::new(),
            }),
        }
    }

    /// Behaviours come one after the other, so that the last one of a cluster is this one if it has been seen there before.
    fn see(&mut self, key: K, behaviour: usize, units: u64) {
        if units == 0 {
            return;
        }
        let seen = &mut self.of(key).seen;
        match seen.last_mut() {
            Some((last, sum)) if *last == behaviour => *sum += units,
            _ => seen.push((behaviour, units)),
        }
    }

    fn into_list(self) -> Vec<Cluster<usize>> {
        self.0.into_values().collect()
    }
}

/// The first 64 bits of what texts hash to (SHA-256), each with its end: the same on every node.
pub(super) fn key_of(texts: impl IntoIterator<Item = String>) -> u64 {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    let hash = hash.finalize();
    hash.iter().take(8).fold(0, |key, &byte| key << 8 | u64::from(byte))
}

pub(super) fn day(time: UtcTime) -> i64 {
    time.minute().number().div_euclid(DAY_MINUTES)
}
