//! How container runtimes name their cgroups.

use std::fmt;

use baselines::path::{FilePath, Origin};

use super::text;

/// A container runtime, as far as a cgroup's path tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Runtime {
    /// Docker's engine.
    Docker,
    /// Podman, with root or without.
    Podman,
    /// containerd: through the CRI, nerdctl or ctr.
    Containerd,
    /// CRI-O.
    CriO,
    /// A build step of `BuildKit`.
    Buildkit,
    /// The kubelet's cgroupfs driver: the path names the pod, and not the runtime below.
    Kubernetes,
    /// LXC, LXD, Incus, Proxmox.
    Lxc,
    /// systemd-nspawn, or whatever else registered with systemd-machined.
    Nspawn,
    /// A name that only a container has, below a folder that says nothing.
    Unknown,
}

impl fmt::Display for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Buildkit => "buildkit",
            Self::Kubernetes => "kubernetes",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
            Self::Unknown => "container",
        })
    }
}

/// What one component of a path is to the runtimes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A container's own cgroup, with its full id.
    Container(Runtime, String),
    /// A runtime's own processes beside a container.
    Helper,
}

/// `<prefix>-<id>` and `<prefix>-<id>.scope`, or `<slice>:<prefix>:<id>`, which runc makes where it is told a systemd
/// path and to use cgroupfs.
const PREFIXES: [(&[u8], Runtime); 6] = [
    (b"docker", Runtime::Docker),
    (b"libpod", Runtime::Podman),
    (b"libpod-payload", Runtime::Podman), // --cgroups=split, as Quadlet does
    (b"cri-containerd", Runtime::Containerd),
    (b"nerdctl", Runtime::Containerd),
    (b"crio", Runtime::CriO),
];

const HELPER_PREFIXES: [&[u8]; 2] = [b"libpod-conmon", b"crio-conmon"];

/// Folders that hold others' cgroups and no processes, as a rule.
const FOLDERS: [&[u8]; 8] = [
    b"docker",
    b"buildkit",
    b"kubepods",
    b"burstable",
    b"besteffort",
    b"lxc",
    b"lxc.payload",
    b"libpod_parent",
];

/// What the last component of `ancestor` is.
pub(super) fn part_at(ancestor: &[&[u8]]) -> Option<Part> {
    let (name, above) = ancestor.split_last()?;
    let parent = above.last().copied().unwrap_or_default();

    if let Some((prefix, id)) = split_name(name) {
        if HELPER_PREFIXES.contains(&prefix) {
            return Some(Part::Helper);
        }
        if let Some((_, runtime)) = PREFIXES.iter().find(|(known, _)| *known == prefix) {
            return Some(Part::Container(*runtime, id.to_owned()));
        }
    }
    match (parent, *name) {
        (b"libpod_parent", b"conmon") | (b"lxc.monitor", _) => return Some(Part::Helper),
        (b"libpod_parent", _) => return None, // a podman pod: a folder with an id for a name
        (b"lxc" | b"lxc.payload", _) => return Some(Part::Container(Runtime::Lxc, text(name))),
        (b"buildkit", _) => return Some(Part::Container(Runtime::Buildkit, text(name))),
        // containerd's own namespaces, where `ctr run` and plain clients put containers under any name.
        (b"default" | b"k8s.io", _) if above.len() == 1 => {
            return Some(Part::Container(Runtime::Containerd, text(name)));
        }
        (b"docker", _) if is_id(name) => return Some(Part::Container(Runtime::Docker, text(name))),
        (_, _) if is_id(name) => {
            let runtime = if pod_uid(parent).is_some() {
                Runtime::Kubernetes
            } else {
                Runtime::Unknown
            };
            return Some(Part::Container(runtime, text(name)));
        }
        _ => {}
    }
    if name.starts_with(b"lxc.monitor.") {
        return Some(Part::Helper);
    }
    if let Some(name) = name.strip_prefix(b"lxc.payload.") {
        return Some(Part::Container(Runtime::Lxc, text(name)));
    }
    machine(name).map(|machine| Part::Container(Runtime::Nspawn, machine))
}

/// Prefix and id of a name that ends in a container's id.
fn split_name(name: &[u8]) -> Option<(&[u8], &str)> {
    let stem = name.strip_suffix(b".scope").unwrap_or(name);
    let (rest, id) = stem.split_at_checked(stem.len().checked_sub(ID_LENGTH)?)?;
    let id = is_id(id).then_some(id).and_then(|id| str::from_utf8(id).ok())?;
    let prefix = match rest.split_last()? {
        (b'-', prefix) => prefix,
        (b':', slice_and_prefix) => slice_and_prefix.rsplit(|byte| *byte == b':').next()?,
        _ => return None,
    };
    Some((prefix, id))
}

/// The name of a machine: `machine-<name>.scope` or `systemd-nspawn@<name>.service`, unescaped. Virtual machines of
/// libvirt register too; what runs in such a scope is qemu, so they are left to be units.
fn machine(name: &[u8]) -> Option<String> {
    let scope = || name.strip_prefix(b"machine-")?.strip_suffix(b".scope");
    let service = || name.strip_prefix(b"systemd-nspawn@")?.strip_suffix(b".service");
    let escaped = str::from_utf8(scope().or_else(service)?).ok()?;
    if escaped.is_empty() || escaped.starts_with(r"qemu\x2d") {
        return None;
    }
    // systemd writes the bytes that a unit's name cannot hold as \xNN, as FilePath does.
    Some(
        FilePath::from_text(escaped, Origin::Canonical)
            .map_or_else(|_| text(escaped.as_bytes()), |name| name.to_text()),
    )
}

/// The uid of the pod whose cgroup this is: `pod<uid>` (cgroupfs driver), `kubepods-burstable-pod<uid>.slice` with `_`
/// for `-` (systemd driver), or the latter as the slice of `<slice>:<prefix>:<id>`.
pub(super) fn pod_uid(component: &[u8]) -> Option<String> {
    let name = component.split(|byte| *byte == b':').next()?;
    let uid = match str::from_utf8(name).ok()?.strip_suffix(".slice") {
        Some(slice) => slice
            .rsplit_once("-pod")
            .filter(|(parent, _)| parent.contains("kubepods"))?
            .1
            .replace('_', "-"),
        None => str::from_utf8(name).ok()?.strip_prefix("pod")?.to_owned(),
    };
    // The uid of a static pod is the MD5 of its manifest.
    let is_md5 = uid.len() == 32 && uid.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_md5 || is_uuid(&uid)).then_some(uid)
}

/// Whether this folder of a runtime or of the kubelet only groups others.
pub(super) fn is_folder(component: &[u8]) -> bool {
    FOLDERS.contains(&component) || pod_uid(component).is_some()
}

const ID_LENGTH: usize = 64;

/// Container ids of docker, podman, the CRI runtimes and nerdctl: 256 bits in lower case hexadecimal.
fn is_id(name: &[u8]) -> bool {
    name.len() == ID_LENGTH && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The first 12 digits of an id, as the runtimes' own tools print it; a name stays whole.
pub(super) fn short_id(id: &str) -> &str {
    if is_id(id.as_bytes()) {
        id.get(..12).unwrap_or(id)
    } else {
        id
    }
}

/// Whether this is a UUID, as RFC 9562 writes them.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
