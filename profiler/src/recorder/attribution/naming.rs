//! How containers of pods get their names, or are given up.

use std::collections::HashSet;
use std::time::Instant;

use baselines::time::UtcTime;

use super::{Attribution, Resident};
use crate::kubernetes::directory::{PodChange, REMEMBERED};
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

impl Attribution {
    /// Gives a container the name that the cluster knows for it by now. False if it is not asked for, and gone from here.
    pub(super) fn name(&mut self, id: u64) -> bool {
        let (Some(cluster), Some(resident)) = (&self.cluster, self.containers.get_mut(&id)) else {
            return true;
        };
        let Some(pod) = &resident.pod else { return true };
        match cluster.verdict(pod) {
            Verdict::Awaited => {}
            Verdict::Excluded => {
                self.containers.remove(&id);
                return false;
            }
            Verdict::Named {
                workload,
                image,
                is_current,
            } => {
                // What is said of a container that was restarted is about the one that came after it.
                if is_current || !resident.is_named {
                    resident.container.workload = workload;
                    resident.container.image = image.unwrap_or_else(|| resident.container.image.clone());
                    resident.is_named = true;
                }
            }
        }
        true
    }

    /// The cluster says something new: containers get their names, or are excluded.
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
        let excluded: HashSet<u64> = concerned.into_iter().filter(|id| !self.name(*id)).collect();
        if excluded.is_empty() {
            return;
        }
        for (cgroup, home) in &mut self.homes {
            if home.container.is_some_and(|container| excluded.contains(&container)) {
                home.container = None;
                self.excluded.push(*cgroup);
            }
        }
    }

    /// What becomes of what a container did.
    pub(in crate::recorder) fn standing(&self, container: u64) -> Standing {
        let selects = self.cluster.as_ref().is_some_and(Cluster::selects);
        match self.containers.get(&container) {
            None => Standing::Nobody,
            Some(resident) if resident.is_named => Standing::Written,
            Some(_) if selects => Standing::Held,
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

    /// The first container of its pod that was seen, and none that the pod names.
    fn is_sandbox(&self, id: u64, resident: &Resident) -> bool {
        let (Some(cluster), Some(pod)) = (&self.cluster, &resident.pod) else {
            return false;
        };
        cluster.may_be_sandbox(pod) && self.firsts.get(&pod.uid) == Some(&id)
    }

    /// Containers that nobody could name, since the last call.
    pub(in crate::recorder) fn take_given_up(&mut self) -> Vec<GivenUp> {
        std::mem::take(&mut self.given_up)
    }

    /// Of those that are gone, nobody will name who waited for too long, nor more than fit.
    pub(super) fn give_up_nameless(&mut self, at: UtcTime) {
        let nameless = self.containers.iter().filter(|(_, resident)| !resident.is_named);
        let mut nameless: Vec<(UtcTime, u64)> = nameless
            .filter_map(|(id, resident)| Some((resident.gone_since?, *id)))
            .collect();
        nameless.sort_unstable();
        let too_many = nameless.len().saturating_sub(NAMELESS_MAX);
        let is_over =
            |since: UtcTime| i128::from(at.nanos()) - i128::from(since.nanos()) > REMEMBERED.as_nanos().cast_signed();
        let over = nameless
            .iter()
            .enumerate()
            .filter(|(index, (since, _))| *index < too_many || is_over(*since));
        let over: Vec<u64> = over.map(|(_, (_, id))| *id).collect();
        self.give_up(&over);
    }
}
