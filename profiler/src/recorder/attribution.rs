//! From a cgroup's id to the container that it belongs to.

use std::collections::{HashMap, HashSet};

use baselines::recording::Container;
use baselines::time::UtcTime;
use baselines::workload::{Image, Workload};

use crate::cgroups::Walk;
use crate::clock::{Clock, boot_ns};
use crate::containers::{Kind, Recognised, recognise};

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
    /// The container that it belongs to, by its own cgroup's id. None where nobody's workload runs in it.
    container: Option<u64>,
}

/// What is known about each cgroup.
pub struct Attribution {
    scope: Scope,
    homes: HashMap<u64, Home>,
    containers: HashMap<u64, Container>,
    by_path: HashMap<Vec<u8>, u64>,
    /// Cgroups that are gone; what was counted in them may still come until the next flush but one.
    gone: HashSet<u64>,
    going: HashSet<u64>,
    /// Not found when they were last looked for.
    missing: HashSet<u64>,
    /// Decided since the probes were last told.
    excluded: Vec<u64>,
    dead: Vec<u64>,
}

impl Attribution {
    /// Knows no cgroup yet.
    pub fn new(scope: Scope) -> Self {
        Self {
            scope,
            homes: HashMap::new(),
            containers: HashMap::new(),
            by_path: HashMap::new(),
            gone: HashSet::new(),
            going: HashSet::new(),
            missing: HashSet::new(),
            excluded: Vec::new(),
            dead: Vec::new(),
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
                    self.containers
                        .entry(cgroup)
                        .or_insert_with(|| container(cgroup, workload, String::new(), image, &own, clock, partial));
                    cgroup
                })
            }
            Scope::Host => self.recognised(id, path, clock, partial),
        };
        // `profile run` records nothing that it was not told to, so that the probes need not know what it excludes.
        if container.is_none() && matches!(self.scope, Scope::Host) {
            self.excluded.push(id);
        }
        self.homes.insert(
            id,
            Home {
                path: path.to_vec(),
                container,
            },
        );
    }

    fn recognised(&mut self, id: u64, path: &[u8], clock: Clock, partial: bool) -> Option<u64> {
        let Recognised::Workload(found) = recognise(path) else {
            return None;
        };
        // A sub-cgroup belongs to the container above it; if that one's own cgroup was never seen, it stands for it.
        let home = self.by_path.get(&found.cgroup).copied().unwrap_or(id);
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
        self.containers
            .entry(home)
            .or_insert_with(|| container(home, workload, full_id(), image, &found.cgroup, clock, partial));
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

    /// The container that a cgroup belongs to, by the id of its own cgroup.
    pub fn container_of(&self, cgroup: u64) -> Option<u64> {
        self.homes.get(&cgroup).and_then(|home| home.container)
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
        self.containers
            .get(&container)
            .is_some_and(|container| kinds.contains(&container.workload.kind))
    }

    /// Whether anything is known about a cgroup.
    pub fn knows(&self, cgroup: u64) -> bool {
        self.homes.contains_key(&cgroup)
    }

    /// The containers that live, as they go into a flush; those that ended since the last one are among them once more.
    pub fn flush(&mut self, at: UtcTime) -> Vec<Container> {
        let gone = std::mem::take(&mut self.gone);
        for id in &gone {
            self.containers.remove(id);
            if let Some(home) = self.homes.remove(id)
                && self.by_path.get(&home.path) == Some(id)
            {
                self.by_path.remove(&home.path);
            }
        }
        self.dead.extend(gone);
        for (id, container) in &mut self.containers {
            if !self.going.contains(id) {
                container.alive_until = at;
            }
        }
        self.gone = std::mem::take(&mut self.going);
        self.containers.values().cloned().collect()
    }

    /// Cgroups that need not be recorded, decided since the last call.
    pub fn take_excluded(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.excluded)
    }

    /// Cgroups that are gone for good since the last call.
    pub fn take_dead(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.dead)
    }

    /// How many containers live.
    pub fn len(&self) -> usize {
        self.containers.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroups::Cgroup;

    fn walk(ids: &[u64], complete: bool) -> Walk {
        let cgroup = |id: &u64| Cgroup {
            path: format!("/system.slice/{id}.service").into_bytes(),
            id: *id,
        };
        Walk {
            cgroups: ids.iter().map(cgroup).collect(),
            complete,
        }
    }

    /// The containers in each of the next flushes, until they stay the same.
    fn flushed(attribution: &mut Attribution) -> [Vec<u64>; 3] {
        std::array::from_fn(|_| {
            let mut ids: Vec<u64> = attribution
                .flush(UtcTime::from_nanos(0))
                .into_iter()
                .map(|container| container.cgroup_id)
                .collect();
            ids.sort_unstable();
            ids
        })
    }

    #[test]
    fn what_came_and_went_unannounced_is_found_by_looking() {
        let clock = Clock::now();
        let mut attribution = Attribution::new(Scope::Host);
        for cgroup in walk(&[1, 2, 3], true).cgroups {
            attribution.appeared(cgroup.id, &cgroup.path, clock);
        }
        // 2 went, 4 came, and 5 came and went.
        let now = walk(&[1, 3, 4], true);
        let look = |attribution: &mut Attribution| {
            attribution.reconcile(
                &now,
                [1, 2, 5],
                |id, path| id == 2 && path.ends_with(b"/2.service"),
                clock,
            );
        };
        look(&mut attribution);
        assert!(attribution.is_missing(), "one look is not enough");
        assert_eq!(flushed(&mut attribution), [[1, 2, 3, 4]; 3].map(Vec::from));
        look(&mut attribution);
        assert!(!attribution.is_missing());
        // What was counted in it may come until the next flush but one.
        let [first, second, third] = flushed(&mut attribution);
        assert_eq!((first, second, third), (vec![1, 2, 3, 4], vec![1, 3, 4], vec![1, 3, 4]));
        let mut dead = attribution.take_dead();
        dead.sort_unstable();
        assert_eq!(dead, [2, 5]);
        assert!(!attribution.knows(2) && attribution.knows(4));
    }

    #[test]
    fn a_container_is_not_charged_with_what_another_one_runs_under_its_id() {
        let [a, b] = ["a", "b"].map(|digit| digit.repeat(64));
        let mut attribution = Attribution::new(Scope::Host);
        let paths = [
            format!("/docker/{a}"),
            format!("/docker/{b}"),
            format!("/docker/{b}/docker/{a}"),
        ];
        for (path, id) in paths.iter().zip(1..) {
            attribution.appeared(id, path.as_bytes(), Clock::now());
        }
        let mut containers = attribution.flush(UtcTime::from_nanos(0));
        containers.sort_by_key(|container| container.cgroup_id);
        let [short_a, short_b] = [&a, &b].map(|id| &id[..12]);
        let told: Vec<_> = containers
            .iter()
            .map(|found| (found.image.repository.as_str(), found.id.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (format!("unresolved/docker/{short_a}").as_str(), a.as_str()),
                (format!("unresolved/docker/{short_b}").as_str(), b.as_str()),
                (
                    format!("unresolved/docker/{short_b}/{short_a}").as_str(),
                    format!("{b}/{a}").as_str()
                ),
            ]
        );
    }

    #[test]
    fn what_cannot_be_seen_is_not_gone() {
        let clock = Clock::now();
        let mut attribution = Attribution::new(Scope::Host);
        attribution.appeared(1, b"/system.slice/1.service", clock);
        for _ in 0..3 {
            // Too many to list, or a mount that shows a part only.
            attribution.reconcile(&walk(&[], false), [1, 2], |_, _| false, clock);
            assert!(!attribution.is_missing());
        }
        assert_eq!(flushed(&mut attribution), [[1]; 3].map(Vec::from));
        assert_eq!(attribution.take_dead(), [] as [u64; 0]);
    }

    #[test]
    fn a_cgroup_that_is_seen_at_the_second_look_has_only_just_been_made() {
        let clock = Clock::now();
        let mut attribution = Attribution::new(Scope::Host);
        attribution.appeared(1, b"/system.slice/1.service", clock);
        for there in [&[][..], &[1], &[]] {
            attribution.reconcile(&walk(there, true), [], |_, _| true, clock);
        }
        assert_eq!(flushed(&mut attribution), [[1]; 3].map(Vec::from));
    }
}
