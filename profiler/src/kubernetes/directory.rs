//! The pods of this node, and whose container a cgroup is.
//!
//! The kubelet names a pod's cgroup by the pod's uid, and a container's cgroup in it by the container's id. Both have to
//! match: an id alone could be another pod's, by mistake or because somebody wrote it into a status.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::pods::{ContainerFacts, PodFacts};

/// More pods than any node has: the kubelet's own limit is 110 unless told otherwise, and clusters of 5,000 nodes have
/// 150,000.
const LIVE_MAX: usize = 16_384;
/// How long a pod that was deleted is remembered: the last that its containers did may be read later.
pub const REMEMBERED: Duration = Duration::from_mins(10);
/// How many of these at most.
const DELETED_MAX: usize = 4_096;

/// What changed on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodChange {
    /// A pod is there, with these facts now.
    Applied(Box<PodFacts>),
    /// The pod with this uid is gone.
    Deleted(String),
}

/// Every pod of the node that is there, and those that were there a while ago.
#[derive(Debug, Default)]
pub struct Directory {
    /// By their names in cgroups.
    pods: HashMap<String, Known>,
    /// Uids to names in cgroups, of those that are there.
    live: HashMap<String, String>,
    /// In the order of their deletion.
    deleted: VecDeque<(Instant, String)>,
    refused: u64,
}

#[derive(Debug)]
struct Known {
    /// On the heap: a table has room for twice as many as it holds.
    facts: Box<PodFacts>,
    is_deleted: bool,
}

/// What the directory says about a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// No such pod is known.
    NoPod,
    /// The pod is known; none of its containers is known by this id, or not yet.
    NoContainer(&'a PodFacts),
    /// The sandbox of a pod, as a container runtime tells it: nothing of the pod's runs in it.
    Sandbox(&'a PodFacts),
    /// A container of a pod.
    Container {
        /// The pod.
        pod: &'a PodFacts,
        /// The container.
        container: &'a ContainerFacts,
        /// Whether it is the last one that a runtime made of it, see [`super::pods::Run`].
        is_current: bool,
    },
}

impl Directory {
    /// Takes in a change. The name in cgroups of the pod that it is about, if it changes anything.
    pub fn apply(&mut self, change: PodChange, now: Instant) -> Option<String> {
        match change {
            PodChange::Applied(facts) => self.insert(facts),
            PodChange::Deleted(uid) => {
                let name = self.live.remove(&uid)?;
                if let Some(known) = self.pods.get_mut(&name) {
                    known.is_deleted = true;
                }
                self.deleted.push_back((now, name.clone()));
                Some(name)
            }
        }
    }

    fn insert(&mut self, mut facts: Box<PodFacts>) -> Option<String> {
        let name = facts.cgroup_uid.clone();
        if let Some(known) = self.pods.get(&name).filter(|known| known.facts.uid == facts.uid) {
            keep_images(&known.facts, &mut facts);
        }
        // Two mirrors of one static pod: the second one is not believed while the first one is there.
        let is_taken = self
            .pods
            .get(&name)
            .is_some_and(|known| !known.is_deleted && known.facts.uid != facts.uid);
        let is_full = self.live.len() >= LIVE_MAX && !self.live.contains_key(&facts.uid);
        if is_taken || is_full {
            self.refused = self.refused.saturating_add(1);
            return None;
        }
        // The annotation of a mirror that was changed: the uid is known by another name from now on.
        if let Some(before) = self.live.insert(facts.uid.clone(), name.clone())
            && before != name
        {
            self.pods.remove(&before);
        }
        self.pods.insert(
            name.clone(),
            Known {
                facts,
                is_deleted: false,
            },
        );
        Some(name)
    }

    /// Forgets pods that were deleted too long ago, or that are too many.
    pub fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.deleted.front()
            && (now.duration_since(*at) > REMEMBERED || self.deleted.len() > DELETED_MAX)
        {
            if let Some((_, name)) = self.deleted.pop_front()
                // A static pod may have come back, with another uid and the same name.
                && self.pods.get(&name).is_some_and(|known| known.is_deleted)
            {
                self.pods.remove(&name);
            }
        }
    }

    /// Whose container is the cgroup `<pod>/<container>`?
    pub fn find(&self, pod: &str, container: &str) -> Answer<'_> {
        let Some(known) = self.pods.get(pod) else {
            return Answer::NoPod;
        };
        let named = known.facts.containers.iter().find_map(|facts| {
            let run = facts.runs.iter().find(|run| run.id == container)?;
            Some((facts, run.is_current))
        });
        match named {
            Some((container, is_current)) => Answer::Container {
                pod: &known.facts,
                container,
                is_current,
            },
            None if known.facts.sandboxes.iter().any(|id| id == container) => Answer::Sandbox(&known.facts),
            None => Answer::NoContainer(&known.facts),
        }
    }

    /// How many pods are there.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// How many changes were not believed, or found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

/// What a container runs does not change while it runs. A pod's spec may say already what the next one will run, while the
/// status is still about this one.
fn keep_images(before: &PodFacts, now: &mut PodFacts) {
    for container in &mut now.containers {
        let Some(run) = container.runs.iter().find(|run| run.is_current) else {
            continue;
        };
        let is_same = |known: &&ContainerFacts| {
            known.name == container.name && known.runs.iter().any(|known| known.is_current && known.id == run.id)
        };
        // Before the status tells it, the digest of what runs is not known.
        let image = before
            .containers
            .iter()
            .find(is_same)
            .and_then(|known| known.image.clone());
        if let Some(image) = image.filter(|image| image.digest.is_some()) {
            container.image = Some(image);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::owners::Above;

    /// The facts of a bare pod whose containers have these names and ids.
    pub(crate) fn pod(namespace: &str, name: &str, uid: &str, containers: &[(&str, &str)]) -> Box<PodFacts> {
        let spec = |(name, _): &(&str, &str)| json!({"name": name, "image": format!("shop/{name}:1")});
        let status = |(name, id): &(&str, &str)| {
            json!({
                "name": name, "containerID": format!("containerd://{id}"), "image": "",
                "imageID": format!("docker.io/shop/{name}@sha256:{}", "d".repeat(64)),
            })
        };
        let object = json!({
            "metadata": {"namespace": namespace, "name": name, "uid": uid},
            "spec": {"containers": containers.iter().map(spec).collect::<Vec<Value>>()},
            "status": {"containerStatuses": containers.iter().map(status).collect::<Vec<Value>>()},
        });
        Box::new(PodFacts::of(&serde_json::from_value(object).unwrap(), &Above::Unknown).unwrap())
    }

    fn name_of(answer: Answer<'_>) -> Option<(String, String)> {
        match answer {
            Answer::Container { pod, container, .. } => Some((pod.name.clone(), container.name.clone())),
            _ => None,
        }
    }

    #[test]
    fn a_container_is_found_by_the_pods_uid_and_its_own_id_together() {
        let mut directory = Directory::default();
        let now = Instant::now();
        // Another pod claims the same container.
        for (name, uid) in [("web", "u1"), ("thief", "u2")] {
            directory.apply(
                PodChange::Applied(pod("production", name, uid, &[("server", "a1")])),
                now,
            );
        }
        let found = |pod, id| name_of(directory.find(pod, id));
        let named = |pod: &str| Some((pod.to_owned(), "server".to_owned()));
        assert_eq!(found("u1", "a1"), named("web"));
        assert_eq!(found("u2", "a1"), named("thief"));
        assert!(matches!(directory.find("u1", "b1"), Answer::NoContainer(pod) if pod.name == "web"));
        assert_eq!(directory.find("u3", "a1"), Answer::NoPod);
    }

    #[test]
    fn what_a_container_runs_does_not_change_while_it_runs() {
        let mut directory = Directory::default();
        let now = Instant::now();
        let image = |directory: &Directory, id: &str| match directory.find("u1", id) {
            Answer::Container { container, .. } => container.image.as_ref().unwrap().recorded().to_string(),
            answer => panic!("{answer:?}"),
        };
        let first = pod("production", "web", "u1", &[("server", "a1")]);
        let mut changed = first.clone();
        // The spec has the next image, and the status is about the last one.
        changed.containers[0].image = pod("production", "web", "u1", &[("other", "a1")]).containers[0]
            .image
            .clone();
        let mut restarted = changed.clone();
        restarted.containers[0].runs[0].id = "b1".to_owned();
        directory.apply(PodChange::Applied(first), now);
        let runs = image(&directory, "a1");
        directory.apply(PodChange::Applied(changed), now);
        assert_eq!(image(&directory, "a1"), runs);
        directory.apply(PodChange::Applied(restarted), now);
        assert_ne!(image(&directory, "b1"), runs);
    }

    #[test]
    fn a_deleted_pod_is_remembered_for_a_while() {
        let mut directory = Directory::default();
        let start = Instant::now();
        directory.apply(
            PodChange::Applied(pod("production", "web", "u1", &[("server", "a1")])),
            start,
        );
        assert_eq!(
            directory.apply(PodChange::Deleted("u1".to_owned()), start),
            Some("u1".to_owned())
        );
        assert_eq!(directory.apply(PodChange::Deleted("u1".to_owned()), start), None);
        assert_eq!(directory.len(), 0);
        directory.forget(start + REMEMBERED);
        assert!(name_of(directory.find("u1", "a1")).is_some());
        directory.forget(start + REMEMBERED + Duration::from_secs(1));
        assert_eq!(directory.find("u1", "a1"), Answer::NoPod);
    }

    #[test]
    fn memory_is_bounded() {
        let mut directory = Directory::default();
        let now = Instant::now();
        for number in 0..=LIVE_MAX {
            let facts = pod("a", "b", &format!("u{number}"), &[]);
            directory.apply(PodChange::Applied(facts), now);
        }
        assert_eq!((directory.len(), directory.refused()), (LIVE_MAX, 1));
        for number in 0..=DELETED_MAX {
            directory.apply(PodChange::Deleted(format!("u{number}")), now);
        }
        directory.forget(now);
        assert_eq!(directory.find("u0", ""), Answer::NoPod);
        assert!(matches!(directory.find("u1", ""), Answer::NoContainer(_)));
    }

    #[test]
    fn the_mirror_of_a_static_pod_is_believed_once() {
        let mut directory = Directory::default();
        let now = Instant::now();
        let mirror = |name: &str, uid: &str| {
            let mut facts = pod("kube-system", name, uid, &[("etcd", "a1")]);
            facts.cgroup_uid = "0123456789abcdef0123456789abcdef".to_owned();
            facts
        };
        let find = |directory: &Directory| name_of(directory.find("0123456789abcdef0123456789abcdef", "a1"));
        let etcd = Some(("etcd".to_owned(), "etcd".to_owned()));
        directory.apply(PodChange::Applied(mirror("etcd", "u1")), now);
        assert_eq!(directory.apply(PodChange::Applied(mirror("thief", "u2")), now), None);
        assert_eq!((find(&directory), directory.refused()), (etcd.clone(), 1));
        // Made anew, with another uid.
        directory.apply(PodChange::Deleted("u1".to_owned()), now);
        directory.apply(PodChange::Applied(mirror("etcd", "u3")), now);
        directory.forget(now + REMEMBERED * 2);
        assert_eq!(find(&directory), etcd);
    }
}
