//! From a cgroup's id to the container that it belongs to.

use std::collections::{HashMap, HashSet};

use baselines::recording::Container;
use baselines::time::UtcTime;
use baselines::workload::{Image, Workload};

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
    gone: Vec<u64>,
    going: Vec<u64>,
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
            gone: Vec::new(),
            going: Vec::new(),
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
        if container.is_none() {
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
        self.containers
            .entry(home)
            .or_insert_with(|| container(home, workload, found.id, image, &found.cgroup, clock, partial));
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
        self.going.push(id);
    }

    /// The container that a cgroup belongs to, by the id of its own cgroup.
    pub fn container_of(&self, cgroup: u64) -> Option<u64> {
        self.homes.get(&cgroup).and_then(|home| home.container)
    }

    /// Whether a container is a unit of the service manager.
    pub fn is_unit(&self, container: u64) -> bool {
        self.containers
            .get(&container)
            .is_some_and(|container| container.workload.kind == Kind::Unit.to_string())
    }

    /// Whether anything is known about a cgroup.
    pub fn knows(&self, cgroup: u64) -> bool {
        self.homes.contains_key(&cgroup)
    }

    /// The containers that live, as they go into a flush; those that ended since the last one are among them once more.
    pub fn flush(&mut self, at: UtcTime) -> Vec<Container> {
        let gone: HashSet<u64> = self.gone.drain(..).collect();
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
