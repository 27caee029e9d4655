//! `/proc/self/mountinfo` and `/proc/PID/cgroup`, see `proc_pid_mountinfo(5)` and cgroups(7). Pure.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use super::{Controller, Hierarchy, Kind};

/// The mounts of cgroup hierarchies in a mountinfo.
pub(super) fn hierarchies(mountinfo: &[u8]) -> Vec<Hierarchy> {
    mountinfo.split(|byte| *byte == b'\n').flat_map(mount).collect()
}

/// Each hierarchy once: where it is mounted several times, the mount that shows most of it (the one with the shortest
/// root), and of those the first.
pub(super) fn distinct(mut hierarchies: Vec<Hierarchy>) -> Vec<Hierarchy> {
    hierarchies.sort_by_key(|hierarchy| hierarchy.root_of_mount.len());
    let mut seen = Vec::new();
    hierarchies.retain(|hierarchy| {
        let is_new = !seen.contains(&hierarchy.kind);
        seen.push(hierarchy.kind);
        is_new
    });
    hierarchies
}

/// The hierarchies of one line. Those of other file systems have none, and one v1 mount may carry several controllers.
///
/// `41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw`
fn mount(line: &[u8]) -> Vec<Hierarchy> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (Some(root), Some(mount_point)) = (fields.nth(3), fields.next()) else {
        return Vec::new();
    };
    let mut fields = fields.skip_while(|field| *field != b"-").skip(1);
    let (Some(file_system), Some(_source), Some(options)) = (fields.next(), fields.next(), fields.next()) else {
        return Vec::new();
    };
    let kinds = match file_system {
        b"cgroup2" => vec![Kind::V2],
        b"cgroup" => controllers(options).map(|controller| Kind::V1 { controller }).collect(),
        _ => Vec::new(),
    };
    kinds
        .into_iter()
        .map(|kind| Hierarchy {
            kind,
            mount_point: OsString::from_vec(unescape(mount_point)).into(),
            root_of_mount: unescape(root),
        })
        .collect()
}

/// The known controllers in a list separated by commas.
fn controllers(list: &[u8]) -> impl Iterator<Item = Controller> {
    Controller::ALL.into_iter().filter(|controller| {
        list.split(|byte| *byte == b',')
            .any(|word| word == controller.word().as_bytes())
    })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(mut field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    loop {
        field = match field {
            [] => return bytes,
            [
                b'\\',
                high @ b'0'..=b'3',
                middle @ b'0'..=b'7',
                low @ b'0'..=b'7',
                after @ ..,
            ] => {
                bytes.push((high & 3) << 6 | (middle & 7) << 3 | low & 7);
                after
            }
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        };
    }
}

/// The path in the hierarchy of this kind, from a `/proc/PID/cgroup`: lines of `hierarchy-id:controllers:path`, where
/// the unified hierarchy has the id 0 and no controllers.
pub(super) fn path_in(cgroups: &[u8], kind: Kind) -> Option<Vec<u8>> {
    cgroups.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':');
        let (id, list, path) = (fields.next()?, fields.next()?, fields.next()?);
        let matches = match kind {
            Kind::V2 => id == b"0" && list.is_empty(),
            Kind::V1 { controller } => controllers(list).any(|listed| listed == controller),
        };
        // The mark of a v2 cgroup that was removed while a process in it was ending.
        matches.then(|| path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec())
    })
}
