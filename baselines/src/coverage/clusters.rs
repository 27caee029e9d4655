//! What belongs together, and what each did that no other did.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::incidence::{CountError, IncidenceCounts};
use super::number::{real, real_len};

/// Units that are no independent evidence among themselves: those of one container in one day, and of the containers of
/// one workload that were started together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster<B> {
    /// How many units it has, idle ones included.
    pub units: u64,
    /// Each behaviour that was seen in it, and in how many of its units.
    pub seen: Vec<(B, u64)>,
}

/// A cluster that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// It has counts that cannot be.
    #[error("cluster {cluster}: {error}")]
    Count {
        /// Which one, counted from 0.
        cluster: usize,
        /// What is wrong with it.
        error: CountError,
    },
    /// A behaviour is listed more than once.
    #[error("cluster {cluster} lists a behaviour twice: give the number of its units once")]
    Twice {
        /// Which one, counted from 0.
        cluster: usize,
    },
}

/// What a cluster did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    /// Its incidences.
    pub(super) all: f64,
    /// Those of them that belong to behaviours which no other cluster shows.
    pub(super) only_here: f64,
}

/// All clusters, added up. Takes memory for each behaviour and each cluster, not for each pair of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    counts: IncidenceCounts,
    /// Of each cluster in which something was seen, sorted, so that the order in which they came changes nothing.
    active: Vec<Share>,
    first_surprise: f64,
}

#[derive(Clone, Copy)]
struct Tally {
    units: u64,
    clusters: usize,
    last: usize,
}

impl Clusters {
    /// Adds clusters up.
    ///
    /// # Errors
    /// [`ClusterError`] where a behaviour was seen in no unit of a cluster, in more than it has, or is listed twice.
    pub fn new<B: Eq + Hash>(clusters: impl IntoIterator<Item = Cluster<B>>) -> Result<Self, ClusterError> {
        let mut units = 0_u64;
        let mut incidences = Vec::new();
        let mut tallies: HashMap<B, Tally> = HashMap::new();
        for (cluster, Cluster { units: size, seen }) in clusters.into_iter().enumerate() {
            let refused = |error| ClusterError::Count { cluster, error };
            units = units.checked_add(size).ok_or(refused(CountError::TooMany))?;
            let mut sum = 0.0;
            for (behaviour, seen) in seen {
                if seen == 0 {
                    return Err(refused(CountError::NeverSeen));
                }
                if seen > size {
                    return Err(refused(CountError::MoreThanUnits { seen, units: size }));
                }
                sum += real(seen);
                add(tallies.entry(behaviour), cluster, seen)?;
            }
            incidences.push(sum);
        }
        let counts = IncidenceCounts::new(units, tallies.values().map(|tally| tally.units)).map_err(|error| {
            ClusterError::Count {
                cluster: incidences.len(),
                error,
            }
        })?;
        Ok(Self::added_up(counts, &incidences, tallies.into_values()))
    }

    fn added_up(counts: IncidenceCounts, incidences: &[f64], tallies: impl Iterator<Item = Tally>) -> Self {
        let mut shares: Vec<Share> = incidences.iter().map(|&all| Share { all, only_here: 0.0 }).collect();
        let active = incidences.iter().filter(|&&all| all > 0.0).count();
        let mut missed_by_one_other = 0.0;
        let mut all = 0.0;
        for tally in tallies {
            all += real(tally.units);
            missed_by_one_other += real(tally.units) * real_len(active.saturating_sub(tally.clusters));
            if tally.clusters == 1
                && let Some(share) = shares.get_mut(tally.last)
            {
                share.only_here += real(tally.units);
            }
        }
        shares.retain(|share| share.all > 0.0);
        shares.sort_by(|one, other| (one.all.total_cmp(&other.all)).then(one.only_here.total_cmp(&other.only_here)));
        let others = real_len(active.saturating_sub(1).max(1));
        Self {
            counts,
            active: shares,
            first_surprise: if all > 0.0 {
                missed_by_one_other / others / all
            } else {
                0.0
            },
        }
    }

    /// The counts of all units.
    pub const fn counts(&self) -> &IncidenceCounts {
        &self.counts
    }

    /// In how many of them something was seen. The others are no evidence: whoever idles shows nothing new.
    pub const fn active(&self) -> usize {
        self.active.len()
    }

    pub(super) fn shares(&self) -> &[Share] {
        &self.active
    }

    /// How much of what a cluster does one other alone would not have shown: the mean over all pairs of active clusters,
    /// by incidences. 0 for fewer than two.
    pub const fn first_surprise(&self) -> f64 {
        self.first_surprise
    }
}

fn add<B>(entry: Entry<'_, B, Tally>, cluster: usize, seen: u64) -> Result<(), ClusterError> {
    match entry {
        Entry::Vacant(entry) => {
            entry.insert(Tally {
                units: seen,
                clusters: 1,
                last: cluster,
            });
        }
        Entry::Occupied(entry) if entry.get().last == cluster => return Err(ClusterError::Twice { cluster }),
        Entry::Occupied(mut entry) => {
            let tally = entry.get_mut();
            // Not more than all units, whose sum was checked.
            tally.units = tally.units.saturating_add(seen);
            tally.clusters = tally.clusters.saturating_add(1);
            tally.last = cluster;
        }
    }
    Ok(())
}
