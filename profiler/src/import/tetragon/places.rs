//! Which container a process belongs to.

use std::collections::{HashMap, HashSet};

use baselines::recording::Container;
use baselines::time::UtcTime;
use baselines::workload::{Image, Workload};
use sha2::{Digest as _, Sha256};

use super::event::{Pod, Process};
use crate::containers::HOST;
use crate::kubernetes::images::PodImage;

/// How many containers one import follows on one node.
const CONTAINERS_MAX: usize = 65_536;
/// The longest name that is kept, in bytes: Kubernetes allows 253 (RFC 1123), registries 255.
const NAME_BYTES_MAX: usize = 512;
/// How much of the container's id Tetragon gives in `docker`.
const SHORT_ID: usize = 31;

/// A container, and what its processes told about it.
#[derive(Debug)]
pub struct Place {
    /// As it goes into the recording.
    pub container: Container,
    /// The pod's owner has been told.
    is_named: bool,
    /// Some process descends from its first one.
    pub has_init_tree: bool,
    /// When it started, where that is known, and not only when it was first heard of.
    pub start: Option<UtcTime>,
}

/// The containers of one node.
#[derive(Debug)]
pub struct Places {
    node: String,
    by_key: HashMap<Box<str>, Place>,
}

impl Places {
    /// None yet.
    pub fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            by_key: HashMap::new(),
        }
    }

    /// The container of a process that did something at this time. None where there are too many.
    pub fn of(&mut self, process: &Process<'_>, at: UtcTime) -> Option<&mut Place> {
        let pod_key;
        let container = process.pod.as_ref().and_then(|pod| pod.container.as_ref());
        let full_id = container.map(|it| bare_id(&it.id)).unwrap_or_default();
        let key = match &process.pod {
            _ if !process.docker.is_empty() => cut(&process.docker, SHORT_ID),
            _ if !full_id.is_empty() => cut(full_id, SHORT_ID),
            None => "",
            Some(pod) => {
                let name = container.map(|it| &*it.name).unwrap_or_default();
                pod_key = [&*pod.namespace, &*pod.name, name]
                    .map(|it| cut(it, NAME_BYTES_MAX))
                    .join("/");
                &pod_key
            }
        };
        // Looked up first, because most events are of one that is there.
        if !self.by_key.contains_key(key) {
            if self.by_key.len() >= CONTAINERS_MAX {
                return None;
            }
            self.by_key.insert(key.into(), new_place(&self.node, key, at));
        }
        let place = self.by_key.get_mut(key)?;
        place.learn(process, at);
        Some(place)
    }

    /// Those with these ids.
    pub fn with_ids(&self, ids: &HashSet<u64>) -> Vec<Container> {
        let containers = self.by_key.values().map(|place| &place.container);
        containers
            .filter(|container| ids.contains(&container.cgroup_id))
            .cloned()
            .collect()
    }

    /// Containers of which something was seen, but never a process that descends from the first one.
    pub fn without_init_tree(&self) -> usize {
        let places = self
            .by_key
            .iter()
            .filter(|(key, place)| !key.is_empty() && !place.has_init_tree);
        places.count()
    }
}

impl Place {
    /// Takes in what an event says of it.
    fn learn(&mut self, process: &Process<'_>, at: UtcTime) {
        self.has_init_tree |= process.in_init_tree != Some(false);
        let container = &mut self.container;
        container.started = container.started.min(at);
        container.alive_until = container.alive_until.max(at);
        let Some(pod) = &process.pod else { return };
        let told = pod.container.as_ref();
        if container.partial && told.is_some_and(|it| it.pid == 1) && process.has_flag("execve") {
            container.partial = false;
            self.start = Some(container.started);
        }
        if self.start.is_none()
            && let Some(started) = told.and_then(|it| it.start_time)
        {
            container.started = container.started.min(started);
            self.start = Some(container.started);
        }
        if !self.is_named && told.is_some_and(|it| !it.image.id.is_empty() || !it.image.name.is_empty()) {
            container.workload = workload(pod);
            container.id = told.map(|it| name(bare_id(&it.id))).unwrap_or_default();
            // Named as a window of the cluster names it: what the author wrote is in no event.
            let image = told.and_then(|it| PodImage::of("", &it.image.name, &it.image.id));
            container.image = image.map_or_else(|| container.image.clone(), |image| image.recorded());
            self.is_named = true;
        }
    }
}

fn new_place(node: &str, key: &str, at: UtcTime) -> Place {
    let is_host = key.is_empty();
    // Of a container that no event names, the short id is all there is.
    let short = cut(key, 12);
    let (kind, name, container) = if is_host {
        ("node", node, "main")
    } else {
        ("container", short, "main")
    };
    let repository = if is_host {
        format!("{HOST}/{node}")
    } else {
        format!("unresolved/tetragon/{}", short.replace('/', "-"))
    };
    Place {
        container: Container {
            cgroup_id: id_of(key),
            workload: Workload {
                namespace: HOST.to_owned(),
                kind: kind.to_owned(),
                name: name.to_owned(),
                container: container.to_owned(),
            },
            id: key.to_owned(),
            image: Image {
                repository,
                tag: None,
                digest: None,
            },
            cgroup_path: if is_host { b"/".to_vec() } else { Vec::new() },
            started: at,
            alive_until: at,
            partial: true,
        },
        is_named: is_host,
        has_init_tree: false,
        start: None,
    }
}

/// Tetragon does not say which cgroup it is: a number that is the same in each import takes the place of its id.
fn id_of(key: &str) -> u64 {
    hash(key).max(1)
}

/// The first 8 bytes of SHA-256: the same on each machine.
pub(super) fn hash(name: &str) -> u64 {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let (head, _) = hash.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*head)
}

fn workload(pod: &Pod<'_>) -> Workload {
    let kind = if pod.workload_kind.is_empty() {
        "Pod"
    } else {
        &pod.workload_kind
    };
    let owner = if pod.workload.is_empty() {
        &pod.name
    } else {
        &pod.workload
    };
    let container = pod.container.as_ref().map(|it| &*it.name).unwrap_or_default();
    Workload {
        namespace: name(&pod.namespace),
        kind: name(kind),
        name: name(owner),
        container: name(container),
    }
}

/// What follows `containerd://` and the like.
fn bare_id(id: &str) -> &str {
    id.split_once("://").map_or(id, |(_, id)| id)
}

fn name(text: &str) -> String {
    cut(text, NAME_BYTES_MAX).to_owned()
}

/// At most so many bytes, whole characters.
fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tetragon::event::{Event, What};

    fn place(json: &str) -> Place {
        let line = format!(r#"{{"process_exec":{{"process":{json}}}}}"#);
        let What::Exec { process, .. } = Event::parse(line.as_bytes()).unwrap().what else {
            panic!()
        };
        let mut places = Places::new("worker-1");
        places.of(&process, UtcTime::from_nanos(1_000_000_000_000_000_000));
        places.by_key.into_values().next().unwrap()
    }

    #[test]
    fn images_have_the_names_that_windows_of_a_cluster_give_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let web = "docker.io/shop/web";
        let cases = [
            (
                format!("{web}@{digest}"),
                "docker.io/shop/web:1.4",
                format!("{web}:1.4@{digest}"),
            ),
            (
                format!("docker-pullable://shop/web@{digest}"),
                "shop/web:1.4",
                format!("{web}:1.4@{digest}"),
            ),
            // The digest of a configuration is none of a registry.
            (digest.clone(), "shop/web:1.4", format!("{web}:1.4")),
            (format!("docker://{digest}"), "shop/web", format!("{web}:latest")),
            (String::new(), "nginx:1.27", "docker.io/library/nginx:1.27".to_owned()),
            (
                format!("quay.io/shop/web@{digest}"),
                &digest,
                format!("quay.io/shop/web@{digest}"),
            ),
            // Neither says which image it is.
            (digest.clone(), "", "unresolved/tetragon/551e161c47d8".to_owned()),
            ("\n".to_owned(), "A B", "unresolved/tetragon/551e161c47d8".to_owned()),
        ];
        for (id, name, expected) in cases {
            let image = serde_json::json!({"id": id, "name": name});
            let container = serde_json::json!({"id": "containerd://551e161c47d8ff0eb", "name": "main", "image": image});
            let pod = serde_json::json!({"namespace": "shop", "name": "web-1", "container": container});
            let seen = place(&serde_json::json!({"pod": pod}).to_string());
            assert_eq!(seen.container.image.to_string(), expected, "{id} {name}");
        }
    }

    #[test]
    fn a_process_belongs_to_its_pods_container_or_to_the_node() {
        let pod = r#"{"docker":"551e161c47d8ff0eb665438a7bcd5b4", "flags":"execve", "pod":{"namespace":"shop","name":"web-1",
            "workload":"web","workload_kind":"Deployment","container":{"id":"containerd://551e161c47d8ff0eb665438a7bcd5b4e3",
            "name":"main","image":{"name":"shop/web:1.4"},"start_time":"2023-10-06T21:52:41Z","pid":1}}}"#;
        let seen = place(pod);
        assert_eq!(seen.container.workload.to_string(), "shop/Deployment/web/main");
        assert_eq!(seen.container.id, "551e161c47d8ff0eb665438a7bcd5b4e3");
        assert!(!seen.container.partial);
        let node = place("{}");
        assert_eq!(node.container.workload.to_string(), "host/node/worker-1/main");
        assert_eq!(node.container.image.to_string(), "host/worker-1");
        assert!(node.container.partial);
        let unnamed = place(r#"{"docker":"551e161c47d8ff0eb665438a7bcd5b4"}"#);
        assert_eq!(
            unnamed.container.workload.to_string(),
            "host/container/551e161c47d8/main"
        );
        assert_eq!(unnamed.container.image.to_string(), "unresolved/tetragon/551e161c47d8");
        assert_eq!(unnamed.container.cgroup_id, seen.container.cgroup_id);
        let alone = place(r#"{"pod":{"namespace":"shop","name":"web-1"}}"#);
        assert_ne!(alone.container.cgroup_id, node.container.cgroup_id);
    }

    #[test]
    fn long_names_are_cut_where_a_character_ends() {
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(cut("abc", 9), "abc");
    }
}
