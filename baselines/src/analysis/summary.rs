//! What one node tells of an image, so that the coverage of all nodes together can be estimated where none of their recordings
//! is: behaviours as hashes, with how often each was seen in what is no independent evidence among itself.
//!
//! Coverage cannot be averaged: what is rare on each of two nodes may be the same or not. So nodes tell what it takes to find
//! out, and nothing more. An estimate from the summaries of several recordings is the one from these recordings, but for two
//! things, which make evidence less and never more: path templates are mined on each node by itself, so that one name may
//! count twice; and containers that were started together are found on each node first and then among all, so that fewer
//! clusters are told apart. Of nodes beyond what fits into memory ([`Sum::add`]) neither behaviours nor clusters count: whoever
//! asks has to look at [`Covered::left_out`], as what these did may be anything.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::estimate::{Estimated, Watched};
use super::exposure::{Exposure, Sightings, TOGETHER, Units, day};
use super::image::seed;
use crate::coverage::{Cluster, Criteria, Losses};
use crate::document;
use crate::time::UtcTime;

/// How many behaviours of an image are told, generalised. What has more is left out as a whole: half of them would be worth
/// nothing.
pub const BEHAVIOURS_MAX: usize = 4_096;
/// How many groups of containers that were started together, with all their days.
pub const GROUPS_MAX: usize = 4_096;
/// How many entries an image may have, so that one which runs on every node leaves room for others.
const ENTRIES_MAX: usize = 50_000;

/// What one recording holds of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ImageSummary {
    /// Its name.
    pub image: String,
    /// What was lost of it, or may have been.
    pub losses: Losses,
    /// Until when it was watched, s since the epoch, by that node's clock.
    pub until: u64,
    /// When watching went on after it had been interrupted, if it was; s since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<u64>,
    /// Whether all its workloads are jobs.
    pub jobs: bool,
    /// Whether all its containers ended by themselves before they had started up.
    pub short: bool,
    /// Of the workloads that nothing controls, how many have no container that was seen from its start on.
    pub partial_alone: u64,
    /// Containers that were started together.
    pub groups: Vec<Group>,
    /// What was seen.
    pub behaviours: Vec<Seen>,
}

/// Containers that were started together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Group {
    /// The workload, hashed; none for what nothing controls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<u64>,
    /// When the first of them was started, s since the epoch.
    pub started: u64,
    /// How many of them were seen from their start on.
    pub whole: u64,
    /// How many of these also ended by themselves.
    pub over: u64,
    /// How long they were watched after they had started up: the day since the epoch, and units of 5, 10 and 20 minutes.
    pub days: Vec<(i64, [u64; 3])>,
}

/// A behaviour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Seen {
    /// The first 64 bits of what its generalised form hashes to (SHA-256).
    pub key: u64,
    /// While they started: the group's place in the list, and how many of its containers that were seen from their start on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<(usize, u64)>,
    /// After that: the group, the day, and in how many units of 5, 10 and 20 minutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steady: Vec<(usize, i64, [u64; 3])>,
}

impl ImageSummary {
    /// From what was watched, and what was seen of each behaviour, which `keys` hold in the same order. `None` for more than
    /// fits.
    pub(super) fn new(
        image: String,
        exposure: &Exposure,
        behaviours: impl IntoIterator<Item = (u64, Sightings)>,
        runs_on: bool,
        losses: Losses,
    ) -> Option<Self> {
        let groups = exposure.summarised();
        let places: Vec<usize> = groups.places;
        let mut told: BTreeMap<u64, Seen> = BTreeMap::new();
        for (key, sightings) in behaviours {
            let seen = sightings.summarised(key, &places, |container| exposure.is_whole(container));
            // A hash that two have makes one of them.
            match told.entry(key) {
                Entry::Vacant(new) => {
                    new.insert(seen);
                }
                Entry::Occupied(known) => known.into_mut().add(seen),
            }
        }
        (told.len() <= BEHAVIOURS_MAX && groups.list.len() <= GROUPS_MAX).then(|| Self {
            image,
            losses,
            until: seconds(exposure.until()),
            resumed: exposure.resumed().map(seconds),
            jobs: !runs_on,
            short: exposure.is_short(),
            partial_alone: groups.partial_alone,
            groups: groups.list,
            behaviours: told.into_values().collect(),
        })
    }

    /// Whether its parts fit together: what comes from elsewhere may say anything.
    fn is_sound(&self) -> bool {
        let units_of: HashMap<(usize, i64), Units> = self
            .groups
            .iter()
            .enumerate()
            .flat_map(|(place, group)| group.days.iter().map(move |&(day, units)| ((place, day), units)))
            .collect();
        let days: usize = self.groups.iter().map(|group| group.days.len()).sum();
        let start_fits = |&(place, count): &(usize, u64)| {
            count > 0 && self.groups.get(place).is_some_and(|group| count <= group.whole)
        };
        let steady_fits = |&(place, day, units): &(usize, i64, Units)| {
            let all = units_of.get(&(place, day));
            all.is_some_and(|all| units.iter().zip(all).all(|(seen, all)| *seen > 0 && seen <= all))
        };
        days == units_of.len()
            && self.groups.len() <= GROUPS_MAX
            && self.behaviours.len() <= BEHAVIOURS_MAX
            && self.groups.iter().all(|group| group.over <= group.whole)
            && self.behaviours.iter().all(|seen| {
                is_sorted(&seen.starts, |&(place, _)| place)
                    && is_sorted(&seen.steady, |&(place, day, _)| (place, day))
                    && seen.starts.iter().all(start_fits)
                    && seen.steady.iter().all(steady_fits)
            })
    }
}

fn is_sorted<T, K: Ord>(list: &[T], key: impl Fn(&T) -> K) -> bool {
    list.iter()
        .zip(list.iter().skip(1))
        .all(|(one, next)| key(one) < key(next))
}

impl Seen {
    fn add(&mut self, other: Self) {
        // Which units they have in common nobody knows: as few units as possible is as rare as possible.
        let mut all: BTreeMap<usize, u64> = std::mem::take(&mut self.starts).into_iter().collect();
        for (place, count) in other.starts {
            let known = all.entry(place).or_default();
            *known = count.max(*known);
        }
        self.starts = all.into_iter().collect();
        let known = std::mem::take(&mut self.steady).into_iter();
        let mut all: BTreeMap<(usize, i64), Units> = known.map(|(place, day, units)| ((place, day), units)).collect();
        for (place, day, units) in other.steady {
            let known = all.entry((place, day)).or_default();
            for (known, units) in known.iter_mut().zip(units) {
                *known = units.max(*known);
            }
        }
        self.steady = all
            .into_iter()
            .map(|((place, day), units)| (place, day, units))
            .collect();
    }
}

/// What all nodes tell of one image.
#[derive(Clone, Debug)]
pub struct Sum {
    summaries: Vec<ImageSummary>,
    losses: Losses,
    entries: usize,
    nodes: u64,
    left_out: u64,
    unsound: u64,
    partial_alone: u64,
    until: u64,
    resumed: Option<u64>,
    jobs: bool,
    short: bool,
    /// Controlled workloads, and whether one of their containers was seen from its start on.
    whole: BTreeMap<u64, bool>,
}

/// What the nodes' summaries of an image come to.
#[derive(Clone, Debug, PartialEq)]
pub struct Covered {
    /// As a baseline of all their recordings would say.
    pub coverage: document::Coverage,
    /// How many nodes told of it.
    pub nodes: u64,
    /// Of these, of how many no behaviour counted as there was no room.
    pub left_out: u64,
    /// Of these, of how many nothing counted, as what they told cannot be.
    pub unsound: u64,
    /// Whether the lower ends of the intervals of both phases are at the target now.
    pub is_at_target: bool,
}

impl Default for Sum {
    fn default() -> Self {
        Self::new()
    }
}

impl Sum {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            summaries: Vec::new(),
            losses: Losses::RuledOut,
            entries: 0,
            nodes: 0,
            left_out: 0,
            unsound: 0,
            partial_alone: 0,
            until: 0,
            resumed: None,
            jobs: true,
            short: true,
            whole: BTreeMap::new(),
        }
    }

    /// Adds what a node tells. `losses` is what is known of the node beside that. `room` bounds the memory of all images
    /// together: how many entries of groups and behaviours there may be still, of about 50 bytes each.
    pub fn add(&mut self, summary: ImageSummary, losses: Losses, room: &mut usize) {
        self.nodes += 1;
        if !summary.is_sound() {
            self.unsound += 1;
            self.losses = worse(self.losses, Losses::NotRuledOut);
            return;
        }
        self.losses = worse(worse(self.losses, losses), summary.losses);
        self.partial_alone = self.partial_alone.saturating_add(summary.partial_alone);
        self.until = self.until.max(summary.until);
        self.resumed = self.resumed.max(summary.resumed);
        self.jobs &= summary.jobs;
        self.short &= summary.short;
        for group in &summary.groups {
            if let Some(workload) = group.workload {
                *self.whole.entry(workload).or_default() |= group.whole > 0;
            }
        }
        let groups = summary.groups.iter().map(|group| 1 + group.days.len());
        let seen = summary
            .behaviours
            .iter()
            .map(|seen| 1 + seen.starts.len() + seen.steady.len());
        let entries: usize = groups.chain(seen).sum();
        let left = ENTRIES_MAX.saturating_sub(self.entries).min(*room);
        if entries <= left {
            self.entries += entries;
            *room -= entries;
            self.summaries.push(summary);
        } else {
            self.left_out += 1;
        }
    }

    /// Estimates. `now` is when somebody asks, and `since` since when the lower ends of both intervals have been at the target
    /// whenever somebody asked, if they were the last time: nobody looks into the past of a summary.
    pub fn covered(&self, image: &str, criteria: &Criteria, now: UtcTime, since: Option<UtcTime>) -> Covered {
        // From then on nobody has watched it.
        let now = now.min(moment(self.until));
        let groups = self.groups();
        let ends_by_itself = self.jobs || self.short;
        let steady = [0, 1, 2].map(|length| self.steady(&groups, length));
        let watched = Watched {
            has_steady: steady.iter().any(|clusters| !clusters.is_empty()),
            startup: self.startup(&groups),
            steady,
            starts: self.starts(&groups, ends_by_itself),
            partial: self.partial(),
            ends_by_itself,
            now,
        };
        // Nobody knows what it did while nothing watched.
        let held_since = |_| {
            since
                .unwrap_or(now)
                .max(self.resumed.map_or(UtcTime::default(), moment))
        };
        let coverage = Estimated::of(watched, seed(image), criteria, held_since).into_document(self.losses);
        let is_at = |phase: &document::PhaseCoverage| phase.held_since.is_some();
        Covered {
            is_at_target: is_at(&coverage.startup) && coverage.steady.as_ref().is_none_or(is_at),
            coverage,
            nodes: self.nodes,
            left_out: self.left_out,
            unsound: self.unsound,
        }
    }

    /// How many workloads have no container that was seen from its start on.
    fn partial(&self) -> u64 {
        let controlled = self.whole.values().filter(|is_whole| !**is_whole).count();
        self.partial_alone.saturating_add(controlled as u64)
    }

    /// Every group of every node that counts.
    fn all_groups(&self) -> impl Iterator<Item = ((usize, usize), &Group)> {
        self.summaries.iter().enumerate().flat_map(|(node, summary)| {
            let groups = summary.groups.iter().enumerate();
            groups.map(move |(place, group)| ((node, place), group))
        })
    }

    /// For each the number of those that were started together with it, on whatever node.
    fn groups(&self) -> HashMap<(usize, usize), usize> {
        let mut order: Vec<_> = self.all_groups().collect();
        order.sort_by_key(|(_, group)| (group.workload, group.started));
        let mut numbers = HashMap::new();
        let mut first: Option<(usize, &Group)> = None;
        for (index, (which, group)) in order.into_iter().enumerate() {
            let together = first.filter(|(_, first)| {
                first.workload == group.workload && group.started.saturating_sub(first.started) < TOGETHER.as_secs()
            });
            let (number, _) = *first.insert(together.unwrap_or((index, group)));
            numbers.insert(which, number);
        }
        numbers
    }

    fn starts(&self, groups: &HashMap<(usize, usize), usize>, ends_by_itself: bool) -> (u64, u64) {
        let mut begun: BTreeMap<usize, u64> = BTreeMap::new();
        for (which, group) in self.all_groups() {
            let counting = if ends_by_itself { group.over } else { group.whole };
            if counting > 0
                && let Some(&number) = groups.get(&which)
            {
                let started = begun.entry(number).or_insert(group.started);
                *started = group.started.min(*started);
            }
        }
        let mut dates: Vec<i64> = begun.values().map(|&started| day(moment(started))).collect();
        dates.sort_unstable();
        dates.dedup();
        (begun.len() as u64, dates.len() as u64)
    }

    fn startup(&self, groups: &HashMap<(usize, usize), usize>) -> Vec<Cluster<u64>> {
        let mut clusters: BTreeMap<usize, (u64, BTreeMap<u64, u64>)> = BTreeMap::new();
        for (which, group) in self.all_groups().filter(|(_, group)| group.whole > 0) {
            if let Some(&number) = groups.get(&which) {
                let (units, _) = clusters.entry(number).or_default();
                *units = units.saturating_add(group.whole);
            }
        }
        for (node, summary) in self.summaries.iter().enumerate() {
            for seen in &summary.behaviours {
                for &(place, count) in &seen.starts {
                    if let Some((_, all)) = groups.get(&(node, place)).and_then(|number| clusters.get_mut(number)) {
                        let sum = all.entry(seen.key).or_default();
                        *sum = sum.saturating_add(count);
                    }
                }
            }
        }
        listed(clusters)
    }

    fn steady(&self, groups: &HashMap<(usize, usize), usize>, length: usize) -> Vec<Cluster<u64>> {
        let mut clusters: BTreeMap<(usize, i64), (u64, BTreeMap<u64, u64>)> = BTreeMap::new();
        let of_length = |units: Units| units.get(length).copied().unwrap_or(0);
        for (which, group) in self.all_groups() {
            let Some(&number) = groups.get(&which) else { continue };
            for &(day, units) in &group.days {
                let (sum, _) = clusters.entry((number, day)).or_default();
                *sum = sum.saturating_add(of_length(units));
            }
        }
        for (node, summary) in self.summaries.iter().enumerate() {
            for seen in &summary.behaviours {
                for &(place, day, units) in &seen.steady {
                    let number = groups.get(&(node, place));
                    if let Some((_, all)) = number.and_then(|&number| clusters.get_mut(&(number, day))) {
                        let sum = all.entry(seen.key).or_default();
                        *sum = sum.saturating_add(of_length(units));
                    }
                }
            }
        }
        listed(clusters)
    }
}

fn listed<K>(clusters: BTreeMap<K, (u64, BTreeMap<u64, u64>)>) -> Vec<Cluster<u64>> {
    let cluster = |(units, seen): (u64, BTreeMap<u64, u64>)| Cluster {
        units,
        seen: seen.into_iter().collect(),
    };
    clusters.into_values().map(cluster).collect()
}

/// What is worse of two.
fn worse(one: Losses, other: Losses) -> Losses {
    match (one, other) {
        (Losses::Present, _) | (_, Losses::Present) => Losses::Present,
        (Losses::NotRuledOut, _) | (_, Losses::NotRuledOut) => Losses::NotRuledOut,
        (Losses::RuledOut, Losses::RuledOut) => Losses::RuledOut,
    }
}

pub(super) fn seconds(time: UtcTime) -> u64 {
    time.nanos().unsigned_abs() / 1_000_000_000
}

fn moment(seconds: u64) -> UtcTime {
    UtcTime::from_nanos(seconds.saturating_mul(1_000_000_000))
}
