//! How containers of pods get their names, or are given up.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use baselines::time::UtcTime;

use super::{Attribution, Home, Resident};
use crate::clock::Clock;
use crate::kubernetes::directory::{PodChange, REMEMBERED};
use crate::kubernetes::pods::Ready;
use crate::recorder::cluster::{Cluster, InPod, Verdict};

/// How many containers that are gone may wait to be named, see [`Attribution::flush`].
pub(super) const NAMELESS_MAX: usize = 4_096;
/// Of how many pods the first container is remembered, before those without a container are forgotten.
const FIRSTS_MAX: usize = 16_384;

/// What becomes of what a container did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recorder) enum Standing {
    /// It is written under the container's name.
    Written,
    /// It is written under the container's name, which is not the last one.
    Unnamed,
    /// It waits until somebody says which namespace the container is of.
    Held,
    /// It is nobody's.
    Nobody,
}

/// A container that nobody could name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::recorder) struct GivenUp {
    /// The id of its cgroup.
    pub(in crate::recorder) id: u64,
    /// The cgroup's path.
    pub(in crate::recorder) path: Vec<u8>,
    /// It seems to be a pod's sandbox, which nobody names.
    pub(in crate::recorder) is_sandbox: bool,
}

/// The cgroups of these containers.
fn cgroups_of(homes: &HashMap<u64, Home>, containers: &HashSet<u64>) -> Vec<u64> {
    if containers.is_empty() {
        return Vec::new();
    }
    let is_of_them = |home: &Home| home.container.is_some_and(|container| containers.contains(&container));
    let cgroups = homes.iter().filter(|(_, home)| is_of_them(home));
    cgroups.map(|(cgroup, _)| *cgroup).collect()
}

impl Attribution {
    /// Gives a container the name that the cluster knows for it by now. False if it is not asked for.
    pub(super) fn name(&mut self, id: u64) -> bool {
        let (Some(cluster), Some(resident)) = (&self.cluster, self.containers.get_mut(&id)) else {
            return true;
        };
        let Some(pod) = &resident.pod else { return true };
        match cluster.verdict(pod) {
            Verdict::Awaited => {}
            // What it did so far was asked for.
            Verdict::Excluded if resident.is_named => {
                resident.container.alive_until = UtcTime::now();
                if !self.left.contains(&id) {
                    self.leaving.insert(id);
                }
                return false;
            }
            Verdict::Excluded => {
                self.turn_away(id);
                return false;
            }
            Verdict::Named {
                workload,
                image,
                is_current,
                ready,
            } => {
                resident.commands = cluster.commands_of(pod);
                resident.is_ephemeral = cluster.is_ephemeral(pod);
                // One that was found running and is not ready now may have been so for days.
                let may_be_told = |ready: &Ready| !resident.container.partial || *ready != Ready::No;
                if let Some(ready) = ready.filter(may_be_told) {
                    let is_found = resident.container.partial;
                    let readiness = resident.readiness.told(ready, UtcTime::now(), is_found);
                    if std::mem::replace(&mut resident.readiness, readiness) != readiness {
                        self.told.insert(id);
                    }
                }
                // What is said of a container that was restarted is about the one that came after it.
                if is_current || !resident.is_named {
                    resident.container.workload = workload;
                    resident.container.image = image.unwrap_or_else(|| resident.container.image.clone());
                    // Under its last name.
                    resident.is_flushed &= resident.is_named;
                    resident.is_named = true;
                }
            }
        }
        true
    }

    /// The cluster says something new: containers get their names, or are excluded, or are asked for after all.
    pub fn pods_changed(&mut self, changes: impl IntoIterator<Item = PodChange>) {
        let Some(cluster) = &mut self.cluster else { return };
        let now = Instant::now();
        let pods: HashSet<String> = changes
            .into_iter()
            .filter_map(|change| cluster.apply(change, now))
            .collect();
        cluster.forget(now);
        let concerned = self.containers.iter().filter(|(_, resident)| {
            let pod = resident.pod.as_ref();
            pod.is_some_and(|pod| pods.contains(&pod.uid))
        });
        let concerned: Vec<u64> = concerned.map(|(id, _)| *id).collect();
        let unwanted = self.unwanted.iter().filter(|(_, pod)| pods.contains(&pod.uid));
        let unwanted: Vec<u64> = unwanted.map(|(id, _)| *id).collect();
        let mut admitted: HashSet<u64> = unwanted.into_iter().filter(|id| self.admit(*id)).collect();
        let mut excluded = HashSet::new();
        for id in concerned {
            if !self.name(id) {
                excluded.insert(id);
            } else if self.leaving.remove(&id) || self.left.remove(&id) {
                admitted.insert(id);
            }
        }
        self.exclude_all_of(&excluded);
        let cgroups = cgroups_of(&self.homes, &admitted);
        self.admitted.extend(cgroups);
    }

    /// A container that was not asked for so far is from now on, if the cluster says so.
    fn admit(&mut self, id: u64) -> bool {
        let (Some(cluster), Some(pod), Some(home)) = (&self.cluster, self.unwanted.get(&id), self.homes.get(&id))
        else {
            return false;
        };
        let is_wanted = match cluster.verdict(pod) {
            // What nobody has named yet is held, as in any pod that is asked for.
            Verdict::Named { .. } | Verdict::Awaited => true,
            Verdict::Excluded => false,
        };
        if is_wanted {
            let path = home.path.clone();
            self.unwanted.remove(&id);
            // As one that was found running.
            self.recognised(id, &path, Clock::now(), true);
        }
        is_wanted
    }

    /// A container is not asked for.
    fn turn_away(&mut self, id: u64) {
        if let Some(Resident {
            pod: Some(pod),
            gone_since: None,
            ..
        }) = self.containers.remove(&id)
        {
            self.unwanted.insert(id, pod);
        }
    }

    /// Nothing comes any more of those that were told to leave before the last flush.
    pub(super) fn set_aside(&mut self) {
        let left = std::mem::replace(&mut self.left, std::mem::take(&mut self.leaving));
        for id in &left {
            self.turn_away(*id);
        }
        // Those that came into it since then, too.
        self.exclude_all_of(&left);
    }

    fn exclude_all_of(&mut self, containers: &HashSet<u64>) {
        let cgroups = cgroups_of(&self.homes, containers);
        self.excluded.extend(cgroups);
    }

    /// Whether what is not known to be asked for must not be written.
    pub(super) fn selects(&self) -> bool {
        self.cluster.as_ref().is_some_and(Cluster::selects)
    }

    /// What becomes of what a container did.
    pub(in crate::recorder) fn standing(&self, container: u64) -> Standing {
        match self.containers.get(&container) {
            None => Standing::Nobody,
            Some(resident) if resident.is_named => Standing::Written,
            Some(_) if self.selects() => Standing::Held,
            Some(_) => Standing::Unnamed,
        }
    }

    /// How many containers wait to be named.
    pub fn unnamed(&self) -> usize {
        self.containers.values().filter(|resident| !resident.is_named).count()
    }

    /// The window is over: nobody will name any container any more.
    pub fn give_up_naming(&mut self) {
        let unnamed = self.containers.iter().filter(|(_, resident)| !resident.is_named);
        let unnamed: Vec<u64> = unnamed.map(|(id, _)| *id).collect();
        self.give_up(&unnamed);
    }

    /// Nobody will name these.
    fn give_up(&mut self, ids: &[u64]) {
        let given_up: Vec<GivenUp> = ids
            .iter()
            .filter_map(|id| {
                let resident = self.containers.get(id)?;
                Some(GivenUp {
                    id: *id,
                    path: resident.container.cgroup_path.clone(),
                    is_sandbox: self.is_sandbox(*id, resident),
                })
            })
            .collect();
        self.given_up.extend(given_up);
        for id in ids {
            if self.standing(*id) == Standing::Held {
                self.containers.remove(id);
            } else if let Some(resident) = self.containers.get_mut(id) {
                // It keeps the name that it was written under.
                resident.is_named = true;
            }
        }
    }

    pub(super) fn note_first(&mut self, pod: &InPod, id: u64) {
        if self.firsts.len() >= FIRSTS_MAX {
            let pods: HashSet<&str> = self
                .containers
                .values()
                .filter_map(|other| Some(other.pod.as_ref()?.uid.as_str()))
                .collect();
            self.firsts.retain(|uid, _| pods.contains(uid.as_str()));
        }
        let first = self.firsts.entry(pod.uid.clone()).or_insert(id);
        *first = id.min(*first);
    }

    /// Whether it is its pod's sandbox, which nobody names.
    fn is_sandbox(&self, id: u64, resident: &Resident) -> bool {
        let (Some(cluster), Some(pod)) = (&self.cluster, &resident.pod) else {
            return false;
        };
        cluster.is_sandbox(pod, self.firsts.get(&pod.uid) == Some(&id))
    }

    /// Containers that nobody could name, since the last call.
    pub(in crate::recorder) fn take_given_up(&mut self) -> Vec<GivenUp> {
        std::mem::take(&mut self.given_up)
    }

    /// Of those that are gone, nobody will name who waited for too long, nor more than fit.
    pub(in crate::recorder) fn give_up_nameless(&mut self, at: UtcTime) {
        let nameless = self.containers.iter().filter(|(_, resident)| !resident.is_named);
        let mut nameless: Vec<(UtcTime, u64)> = nameless
            .filter_map(|(id, resident)| Some((resident.gone_since?, *id)))
            .collect();
        nameless.sort_unstable();
        let too_many = nameless.len().saturating_sub(NAMELESS_MAX);
        let over = nameless
            .iter()
            .enumerate()
            .filter(|(index, (since, _))| *index < too_many || at.since(*since) > REMEMBERED);
        let over: Vec<u64> = over.map(|(_, (_, id))| *id).collect();
        self.give_up(&over);
    }
}
