//! From a cgroup's path to the workload that lives there.
//!
//! Pure: everything is read off the path, so no answer here needs the runtime, the cluster or the file system. What a
//! path cannot tell is not made up: a container whose image is not known yet is named `unresolved/<runtime>/<id>`.
//!
//! | cgroup | workload | image |
//! |---|---|---|
//! | `/system.slice/nginx.service` | `host/unit/nginx.service` | `host/nginx.service` |
//! | `/system.slice/system-getty.slice/getty@tty1.service` | `host/unit/getty@tty1.service` | `host/getty@.service` |
//! | `/user.slice/user-0.slice/session-3.scope` | `host/unit/session-3.scope` | `host/session-.scope` |
//! | `/user.slice/.../user@1000.service/app.slice/x.service` | `host/unit/user@1000.service/x.service` | `host/user/x.service` |
//! | `/system.slice/docker-<id>.scope` | `host/container/<short id>` | `unresolved/docker/<short id>` |
//! | `/kubepods/besteffort/pod<uid>/<id>` | `host/pod/<uid>/<short id>` | `unresolved/kubernetes/<short id>` |
//! | `/docker/<outer id>/docker/<id>` | `host/container/<short outer id>/<short id>` | `unresolved/docker/<short outer id>/<short id>` |
//! | `/my/own/group` | `host/cgroup/my/own/group` | `host/cgroup/my/own/group` |
//!
//! - **Sub-cgroups belong to what holds them**: `docker-<id>.scope/init.scope` is the container, `foo.service/worker`
//!   the unit. Of nested containers the innermost wins, and is named with those around it; a unit inside a container (systemd as its first process) is the
//!   container's.
//! - **Units**: instances of a template run the same program, so they share an image (`getty@.service`) and stay apart
//!   as workloads. A scope's trailing number or UUID names one run of it and is dropped from the image, written as
//!   systemd writes the prefix in its drop-in folders (`session-.scope.d`). Units of a user's own manager are another
//!   name space than the system's, hence `host/user/`. Escapes in names (`\x2d`) stay as systemd shows them.
//! - **Slices** and the folders of runtimes group cgroups and are no workloads.
//! - Bytes that are no text are escaped as in [`FilePath::to_text`]; names are bounded by [`PATH_BYTES_MAX`].
//!
//! ```
//! use profiler::containers::{Recognised, recognise};
//!
//! let Recognised::Workload(found) = recognise(b"/system.slice/system-getty.slice/getty@tty1.service/helper") else {
//!     unreachable!("getty is a unit")
//! };
//! assert_eq!(found.workload.to_string(), "host/unit/getty@tty1.service");
//! assert_eq!(found.repository, "host/getty@.service");
//! assert_eq!(found.cgroup, b"/system.slice/system-getty.slice/getty@tty1.service");
//! ```

mod runtimes;
#[cfg(test)]
mod tests;
mod units;

use std::fmt;

use baselines::path::{FilePath, PATH_BYTES_MAX};

pub use self::runtimes::Runtime;
use self::runtimes::{Part, part_at, pod_uid};
use self::units::{is_slice, unit, without_user_manager};
use crate::cgroups::is_of_run;

/// The namespace of everything that no cluster has named.
pub const HOST: &str = "host";

/// What a cgroup's path says about the processes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// They belong to this workload.
    Workload(Found),
    /// They are a container runtime's own, kept beside the container that they look after (conmon, LXC's monitor), or
    /// those of a command that `profile run` learns by itself.
    Helper,
    /// The cgroup groups others: the root, a slice, a pod, a runtime's folder. Nothing should run in it directly; what
    /// does has no workload.
    Group,
}

/// A workload, found by a path in or below its cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose processes these are.
    pub workload: Workload,
    /// The container's full id, or the text of the cgroup's path where there is none.
    pub id: String,
    /// The repository that the image is known by for now: `host/...` or `unresolved/<runtime>/[<outer id>/...]<id>`.
    pub repository: String,
    /// The workload's own cgroup: an ancestor of the path, or the path itself.
    pub cgroup: Vec<u8>,
    /// The runtime, for containers.
    pub runtime: Option<Runtime>,
    /// The full ids of the containers around this one, the outermost first.
    ///
    /// Whoever may create cgroups inside a container may give them any name, another container's too. So an id found
    /// inside a container must not be taken for the container of the same id elsewhere: the names of workload and
    /// repository have those around in front, as far as the runtimes' tools print them.
    pub outer: Vec<String>,
}

impl Found {
    /// The uid of the pod whose cgroup holds the container's.
    pub fn pod(&self) -> Option<&str> {
        let is_in_pod = self.workload.kind == Kind::Pod;
        // Those of containers around are in front, and no uid has a slash.
        self.workload.name.rsplit('/').next().filter(|_| is_in_pod)
    }
}

/// Namespace, kind, name and container, see the vocabulary. Displays as `namespace/kind/name[/container]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// [`HOST`], until a cluster names it.
    pub namespace: String,
    /// What sort of workload it is.
    pub kind: Kind,
    /// The unit, the container's short id or name, the pod's uid, or the cgroup's path without the first `/`. Those of
    /// containers around, the outermost first, are in front, separated by `/`.
    pub name: String,
    /// For pods: the container's short id.
    pub container: Option<String>,
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            namespace,
            kind,
            name,
            container,
        } = self;
        let text = match container {
            Some(container) => format!("{namespace}/{kind}/{name}/{container}"),
            None => format!("{namespace}/{kind}/{name}"),
        };
        formatter.pad(&text)
    }
}

/// What sort of workload a path can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A systemd unit.
    Unit,
    /// A container that no pod holds.
    Container,
    /// A container of a Kubernetes pod.
    Pod,
    /// Any other cgroup.
    Cgroup,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Unit => "unit",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Cgroup => "cgroup",
        })
    }
}

/// Whose cgroup is this?
///
/// The path starts at the hierarchy's root, as in `/proc/PID/cgroup`. Any bytes are accepted; those beyond
/// [`PATH_BYTES_MAX`], which no system call could name, are not looked at.
pub fn recognise(path: &[u8]) -> Recognised {
    let path = path.get(..PATH_BYTES_MAX).unwrap_or(path);
    let components: Vec<&[u8]> = path
        .split(|byte| *byte == b'/')
        .filter(|component| !component.is_empty())
        .collect();

    if let Some((at, _)) = components.iter().enumerate().find(|(_, name)| is_of_run(name))
        && components.get(..at).is_some_and(is_grouped)
    {
        return Recognised::Helper;
    }

    // From the innermost outwards.
    let parts: Vec<(&[&[u8]], Part)> = (1..=components.len())
        .rev()
        .filter_map(|length| components.get(..length))
        .filter_map(|ancestor| Some((ancestor, part_at(ancestor)?)))
        .collect();
    let containers = parts.iter().filter_map(|(ancestor, part)| match part {
        Part::Container(runtime, id) => Some((*ancestor, *runtime, id.as_str())),
        Part::Helper => None,
    });
    let containers: Vec<_> = containers.collect();
    if let Some((innermost, around)) = containers.split_first() {
        return Recognised::Workload(container(*innermost, around));
    }
    if parts.iter().any(|(ancestor, _)| is_helper(ancestor)) {
        return Recognised::Helper;
    }
    unit(&components).unwrap_or_else(|| plain(&components))
}

/// The container that is around all others on this path: the one that a runtime of this machine made, and not somebody
/// inside another container.
///
/// ```
/// let id = "4f3c2b1a0d9e8f7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a";
/// let found = profiler::containers::outermost(format!("/docker/{id}/docker/{id}/x").as_bytes()).unwrap();
/// assert_eq!(found.cgroup, format!("/docker/{id}").as_bytes());
/// assert_eq!(profiler::containers::outermost(b"/system.slice/cron.service"), None);
/// ```
pub fn outermost(path: &[u8]) -> Option<Found> {
    let path = path.get(..PATH_BYTES_MAX).unwrap_or(path);
    let ends = path
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'/')
        .map(|(at, _)| at);
    ends.skip(1)
        .chain([path.len()])
        .find_map(|end| match recognise(path.get(..end)?) {
            Recognised::Workload(found) if found.runtime.is_some() && found.outer.is_empty() => Some(found),
            _ => None,
        })
}

/// A container's own cgroup, its runtime and its id.
type Container<'a> = (&'a [&'a [u8]], Runtime, &'a str);

/// The containers around it are given from the innermost outwards.
fn container((ancestor, runtime, id): Container<'_>, around: &[Container<'_>]) -> Found {
    let outer_length = around.first().map_or(0, |(components, ..)| components.len());
    let pod = ancestor
        .iter()
        .skip(outer_length)
        .rev()
        .find_map(|component| pod_uid(component));
    let outer: Vec<String> = around.iter().rev().map(|(_, _, id)| (*id).to_owned()).collect();
    let short = runtimes::short_id(id).to_owned();
    let within = |name: &str| -> String {
        let outer = outer.iter().map(|id| runtimes::short_id(id));
        outer.chain([name]).collect::<Vec<_>>().join("/")
    };
    let repository = format!("unresolved/{runtime}/{}", within(&short));
    let (kind, name, in_pod) = match pod {
        Some(uid) => (Kind::Pod, within(&uid), Some(short)),
        None => (Kind::Container, within(&short), None),
    };
    Found {
        workload: Workload {
            namespace: HOST.to_owned(),
            kind,
            name,
            container: in_pod,
        },
        id: id.to_owned(),
        repository,
        cgroup: join(ancestor),
        runtime: Some(runtime),
        outer,
    }
}

/// Whether these components only group cgroups, so that nobody's processes are in any of them and no workload could have
/// named what is below.
fn is_grouped(components: &[&[u8]]) -> bool {
    let is_group = |component: &&[u8]| is_slice(component) || runtimes::is_folder(component);
    components.iter().all(is_group)
}

/// Whether a cgroup that is called like a helper's is one: a workload must not be able to hide in a cgroup that it made in
/// its own. Users' managers make slices, too, for podman without root.
fn is_helper(ancestor: &[&[u8]]) -> bool {
    let ([above @ .., b"lxc.monitor", _] | [above @ .., _]) = ancestor else {
        return false;
    };
    is_grouped(without_user_manager(above))
}

/// A cgroup that nothing says more about than its path.
fn plain(components: &[&[u8]]) -> Recognised {
    if is_grouped(components) {
        return Recognised::Group;
    }
    // A command that `profile run` was told to learn from within is a part of it.
    let own = components.split(|name| is_of_run(name)).next().unwrap_or(components);
    let components = if own.is_empty() { components } else { own };
    let cgroup = join(components);
    let id = text(&cgroup);
    let name = id.trim_start_matches('/').to_owned();
    Recognised::Workload(Found {
        id,
        repository: format!("{HOST}/cgroup/{name}"),
        workload: Workload {
            namespace: HOST.to_owned(),
            kind: Kind::Cgroup,
            name,
            container: None,
        },
        cgroup,
        runtime: None,
        outer: Vec::new(),
    })
}

/// The path of these components.
fn join(components: &[&[u8]]) -> Vec<u8> {
    components
        .iter()
        .flat_map(|component| std::iter::once(&b'/').chain(*component))
        .copied()
        .collect()
}

/// Printable text of any bytes.
fn text(bytes: &[u8]) -> String {
    FilePath::canonical(bytes).to_text()
}
