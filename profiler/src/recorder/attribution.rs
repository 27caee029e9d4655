//! From a cgroup's id to the container that it belongs to.

mod naming;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use baselines::behaviour::Phase;
use baselines::recording::Container;
use baselines::time::UtcTime;
use baselines::workload::{Image, Workload};

use crate::cgroups::Walk;
use crate::clock::{Clock, boot_ns};
use crate::containers::{Kind, Recognised, recognise};
use crate::kubernetes::pods::KubeletCommand;

pub(super) use self::naming::{GivenUp, Standing};
use super::cluster::{Cluster, InPod, Place};
use super::readiness::Readiness;

/// How cgroups become containers in this window.
#[derive(Clone, Debug)]
pub enum Scope {
    /// `profile run`: this cgroup and everything below it is one container.
    Run {
        /// The id of the cgroup made for it.
        cgroup: u64,
        /// That cgroup's path.
        path: Vec<u8>,
        /// What it is called.
        workload: Workload,
        /// What it runs.
        image: Image,
    },
    /// `profile start`: workloads are told by their cgroups' paths.
    Host,
}

/// One cgroup.
struct Home {
    path: Vec<u8>,
    /// The container that it belongs to, by its own cgroup's id, also one that is not asked for. None where nobody's workload
    /// runs in it.
    container: Option<u64>,
}

/// A container, and how sure its name is.
struct Resident {
    container: Container,
    /// Where a cluster has to name it.
    pod: Option<InPod>,
    /// Whether it has the name that it keeps.
    is_named: bool,
    /// Whether it was in a flush, since it was named.
    is_flushed: bool,
    /// Since when its cgroup is gone, while it waits to be named, and to be flushed.
    gone_since: Option<UtcTime>,
    readiness: Readiness,
    /// What the kubelet executes in it, once it is named.
    commands: Vec<KubeletCommand>,
    /// Somebody put it into the running pod, who does not belong to the workload.
    is_ephemeral: bool,
}

/// What is known about each cgroup.
pub struct Attribution {
    scope: Scope,
    /// Who names the containers of pods.
    cluster: Option<Cluster>,
    homes: HashMap<u64, Home>,
    /// Those that live, and those that are gone and wait to be named.
    containers: HashMap<u64, Resident>,
    /// Containers that live and are not asked for, which may change with the labels of their pods.
    unwanted: HashMap<u64, InPod>,
    /// Containers that are not asked for any more; what they did before may still come until the next flush but one.
    left: HashSet<u64>,
    leaving: HashSet<u64>,
    given_up: Vec<GivenUp>,
    /// The first container of each pod, by the pod's uid. Ids of cgroups grow.
    firsts: HashMap<String, u64>,
    by_path: HashMap<Vec<u8>, u64>,
    /// Cgroups that are gone; what was counted in them may still come until the next flush but one.
    gone: HashSet<u64>,
    going: HashSet<u64>,
    /// Not found when they were last looked for.
    missing: HashSet<u64>,
    /// Decided since the probes were last told.
    excluded: Vec<u64>,
    admitted: Vec<u64>,
    dead: Vec<u64>,
    /// Containers of whose readiness something new was told.
    told: HashSet<u64>,
    /// A container came that waits to be named.
    has_come: bool,
}

impl Attribution {
    /// Knows no cgroup yet.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            cluster: None,
            homes: HashMap::new(),
            containers: HashMap::new(),
            unwanted: HashMap::new(),
            left: HashSet::new(),
            leaving: HashSet::new(),
            given_up: Vec::new(),
            firsts: HashMap::new(),
            by_path: HashMap::new(),
            gone: HashSet::new(),
            going: HashSet::new(),
            missing: HashSet::new(),
            excluded: Vec::new(),
            admitted: Vec::new(),
            dead: Vec::new(),
            told: HashSet::new(),
            has_come: false,
        }
    }

    /// Knows no cgroup yet, and lets a cluster name the containers of its pods.
    pub fn in_cluster(cluster: Cluster) -> Self {
        Self {
            cluster: Some(cluster),
            ..Self::new(Scope::Host)
        }
    }

    /// A cgroup that was there before the window.
    ///
    /// `partial`: something runs in it already, so its start was not seen.
    pub fn found(&mut self, id: u64, path: &[u8], clock: Clock, partial: bool) {
        self.place(id, path, clock, partial);
    }

    /// A cgroup that was made now.
    pub fn appeared(&mut self, id: u64, path: &[u8], clock: Clock) {
        self.place(id, path, clock, false);
    }

    fn place(&mut self, id: u64, path: &[u8], clock: Clock, partial: bool) {
        if self.homes.contains_key(&id) {
            return;
        }
        self.by_path.insert(path.to_vec(), id);
        let container = match self.scope.clone() {
            Scope::Run {
                cgroup,
                path: own,
                workload,
                image,
            } => {
                let is_below = path
                    .strip_prefix(own.as_slice())
                    .is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
                is_below.then(|| {
                    self.containers.entry(cgroup).or_insert_with(|| Resident {
                        container: container(cgroup, workload, String::new(), image, &own, clock, partial),
                        pod: None,
                        is_named: true,
                        is_flushed: false,
                        gone_since: None,
                        readiness: Readiness::Untold,
                        commands: Vec::new(),
                        is_ephemeral: false,
                    });
                    cgroup
                })
            }
            Scope::Host => self.recognised(id, path, clock, partial),
        };
        self.homes.insert(
            id,
            Home {
                path: path.to_vec(),
                container,
            },
        );
        // `profile run` records nothing that it was not told to, so that the probes need not know what it excludes.
        if self.container_of(id).is_none() && matches!(self.scope, Scope::Host) {
            self.excluded.push(id);
        }
    }

    fn recognised(&mut self, id: u64, path: &[u8], clock: Clock, partial: bool) -> Option<u64> {
        let Recognised::Workload(found) = recognise(path) else {
            return None;
        };
        // A sub-cgroup belongs to the container above it; if that one's own cgroup was never seen, it stands for it.
        let home = self.by_path.get(&found.cgroup).copied().unwrap_or(id);
        if self.containers.contains_key(&home) || self.unwanted.contains_key(&home) {
            return Some(home);
        }
        if self.cluster.is_some() && self.homes.get(&home).is_some_and(|known| known.container.is_none()) {
            return None; // what it belongs to is excluded
        }
        let pod = match self.cluster.as_ref().map(|cluster| cluster.place(path, &found)) {
            Some(Place::Outside) => return None,
            Some(Place::Pod(pod)) => Some(pod),
            Some(Place::Host) | None => None,
        };
        let workload = Workload {
            namespace: found.workload.namespace,
            kind: found.workload.kind.to_string(),
            name: found.workload.name,
            container: found.workload.container.unwrap_or_else(|| "main".to_owned()),
        };
        let image = Image {
            repository: found.repository,
            tag: None,
            digest: None,
        };
        // With the containers around it: whoever looks an id up must not find another container's.
        let full_id = || {
            found
                .outer
                .iter()
                .chain([&found.id])
                .cloned()
                .collect::<Vec<_>>()
                .join("/")
        };
        if let Some(pod) = &pod {
            self.note_first(pod, home);
        }
        let resident = Resident {
            container: container(home, workload, full_id(), image, &found.cgroup, clock, partial),
            is_named: pod.is_none(),
            is_flushed: false,
            pod,
            gone_since: None,
            readiness: Readiness::Untold,
            commands: Vec::new(),
            is_ephemeral: false,
        };
        self.containers.insert(home, resident);
        self.name(home);
        self.has_come |= self.containers.get(&home).is_some_and(|resident| !resident.is_named);
        Some(home)
    }

    /// A cgroup that is nobody's workload, whatever its path says.
    pub fn exclude(&mut self, id: u64, path: &[u8]) {
        if self
            .homes
            .insert(
                id,
                Home {
                    path: path.to_vec(),
                    container: None,
                },
            )
            .is_none()
        {
            self.excluded.push(id);
        }
    }

    /// A cgroup was removed.
    pub fn gone(&mut self, id: u64) {
        self.going.insert(id);
    }

    /// Compares what is known with the cgroups that are there, for when announcements were lost: new ones appear, and
    /// those that are missing are gone.
    ///
    /// `in_kernel` are the cgroups in the probes' table, some of which nobody may have heard of. `is_gone` tells whether a
    /// cgroup is not at its path any more. Nothing is gone before it is missing twice: a cgroup is announced just before
    /// its directory can be seen (`cgroup_mkdir`, kernel/cgroup/cgroup.c). Call it again while somebody
    /// [`Attribution::is_missing`].
    pub fn reconcile(
        &mut self,
        walk: &Walk,
        in_kernel: impl IntoIterator<Item = u64>,
        is_gone: impl Fn(u64, &[u8]) -> bool,
        clock: Clock,
    ) {
        for cgroup in &walk.cgroups {
            self.appeared(cgroup.id, &cgroup.path, clock);
        }
        let there: HashSet<u64> = walk.cgroups.iter().map(|cgroup| cgroup.id).collect();
        let known = self.homes.keys().copied().chain(in_kernel);
        let missing = known.filter(|id| !there.contains(id) && !self.going.contains(id) && !self.gone.contains(id));
        let missing = missing.filter(|id| match self.homes.get(id) {
            Some(home) => is_gone(*id, &home.path),
            None => walk.complete,
        });
        let missing: HashSet<u64> = missing.collect();
        let (gone, missing) = missing.into_iter().partition(|id| self.missing.contains(id));
        self.missing = missing;
        self.going.extend::<HashSet<u64>>(gone);
    }

    /// Whether a cgroup was not found when all of them were last looked for, and may be gone.
    pub fn is_missing(&self) -> bool {
        !self.missing.is_empty()
    }

    /// The container that a cgroup belongs to, by the id of its own cgroup, if it is asked for.
    pub fn container_of(&self, cgroup: u64) -> Option<u64> {
        let container = self.homes.get(&cgroup)?.container?;
        self.containers.contains_key(&container).then_some(container)
    }

    /// A cgroup's path.
    pub fn path_of(&self, cgroup: u64) -> Option<&[u8]> {
        self.homes.get(&cgroup).map(|home| home.path.as_slice())
    }

    /// Whether whoever comes into a container after its first process belongs there like that one.
    ///
    /// The service manager puts the processes of a unit into its cgroup one by one, also when it restarts. So does whoever
    /// made a cgroup that has no runtime (an administrator, `cgexec`, Slurm, `OpenRC`): to be put there is how processes
    /// start there. Only a container has an inside that somebody enters from outside.
    pub fn takes_all_comers(&self, container: u64) -> bool {
        let kinds = [Kind::Unit, Kind::Cgroup].map(|kind| kind.to_string());
        // A pod's workload may be of any kind, also of one that somebody calls like ours.
        self.containers
            .get(&container)
            .is_some_and(|resident| resident.pod.is_none() && kinds.contains(&resident.container.workload.kind))
    }

    /// Whether a container is a pod's.
    pub(super) fn is_in_pod(&self, container: u64) -> bool {
        let resident = self.containers.get(&container);
        resident.is_some_and(|resident| resident.pod.is_some())
    }

    /// Whether a container is known to be one of `kubectl debug`.
    pub(super) fn is_ephemeral(&self, container: u64) -> bool {
        let resident = self.containers.get(&container);
        resident.is_some_and(|resident| resident.is_ephemeral)
    }

    /// What the kubelet executes in a container. None as long as nobody knows.
    pub(super) fn commands_of(&self, container: u64) -> Option<&[KubeletCommand]> {
        let resident = self.containers.get(&container)?;
        resident.is_named.then_some(resident.commands.as_slice())
    }

    /// Whether whoever enters a cgroup may be the kubelet, as far as is known.
    pub fn may_be_kubelets(&self, cgroup: u64) -> bool {
        self.container_of(cgroup).is_some_and(|container| {
            self.is_in_pod(container) && self.commands_of(container).is_none_or(|commands| !commands.is_empty())
        })
    }

    /// The phase of what a container did last at this time, where the clock says this one.
    pub(super) fn phase(&self, container: u64, last: UtcTime, by_clock: Phase) -> Phase {
        let resident = self.containers.get(&container);
        resident.map_or(by_clock, |resident| resident.readiness.phase(last, by_clock))
    }

    /// Whether anything is known about a cgroup.
    pub fn knows(&self, cgroup: u64) -> bool {
        self.homes.contains_key(&cgroup)
    }

    /// The containers that live, as they go into a flush; those that ended since the last one are among them once more, and
    /// so are those that got their names only afterwards. Whose name may still come waits for ten minutes after its end, as
    /// long as deleted pods are remembered; and not more than [`naming::NAMELESS_MAX`] of them.
    pub fn flush(&mut self, at: UtcTime) -> Vec<Container> {
        let gone = std::mem::take(&mut self.gone);
        for id in &gone {
            match self.containers.get_mut(id) {
                // It may have been named since the last flush.
                Some(resident) if !resident.is_named || !resident.is_flushed => resident.gone_since = Some(at),
                _ => drop(self.containers.remove(id)),
            }
            self.unwanted.remove(id);
            if let Some(home) = self.homes.remove(id)
                && self.by_path.get(&home.path) == Some(id)
            {
                self.by_path.remove(&home.path);
            }
        }
        self.dead.extend(gone);
        for (id, resident) in &mut self.containers {
            let is_leaving = self.leaving.contains(id) || self.left.contains(id);
            if !self.going.contains(id) && !is_leaving && resident.gone_since.is_none() {
                resident.container.alive_until = at;
            }
        }
        self.gone = std::mem::take(&mut self.going);
        self.give_up_nameless(at);
        let selects = self.selects();
        let mut rows = Vec::new();
        let told = self.containers.values_mut();
        for resident in told.filter(|resident| resident.is_named || !selects) {
            resident.is_flushed = true;
            rows.push(resident.container.clone());
        }
        self.containers
            .retain(|_, resident| resident.gone_since.is_none() || !resident.is_named);
        self.set_aside();
        rows
    }

    /// Cgroups that need not be recorded, decided since the last call.
    pub fn take_excluded(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.excluded)
    }

    /// Cgroups that need not be recorded until now, and have to be from now on: decided since the last call.
    pub fn take_admitted(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.admitted)
    }

    /// Whether a container came since the last call that waits to be named.
    pub fn take_has_come(&mut self) -> bool {
        std::mem::take(&mut self.has_come)
    }

    /// Containers whose phases may have changed since the last call.
    pub(super) fn take_told(&mut self) -> HashSet<u64> {
        std::mem::take(&mut self.told)
    }

    /// Cgroups that are gone for good since the last call.
    pub fn take_dead(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dead)
    }

    /// How many containers live.
    pub fn len(&self) -> usize {
        let lives = |resident: &&Resident| resident.gone_since.is_none();
        self.containers.values().filter(lives).count()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn container(
    cgroup_id: u64,
    workload: Workload,
    id: String,
    image: Image,
    path: &[u8],
    clock: Clock,
    partial: bool,
) -> Container {
    let now = clock.utc(boot_ns());
    Container {
        cgroup_id,
        workload,
        id,
        image,
        cgroup_path: path.to_vec(),
        started: now,
        alive_until: now,
        partial,
    }
}
