//! Which hierarchy tells workloads apart. Pure, but for [`Census::take`].

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io;
use std::str::FromStr;

use super::error::{at, is_gone};
use super::mounts::path_in;
use super::{CgroupError, Controller, Hierarchy, Kind, unified};
use crate::containers::{Recognised, recognise};

/// Where the processes of this machine are: what `/proc/PID/cgroup` says of each.
///
/// One file tells a process's cgroups in all hierarchies at once, so that hierarchies are compared by the same processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census(Vec<Vec<u8>>);

/// Processes that following one hierarchy does not see: a workload's in another one, nobody's there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// How many.
    pub processes: usize,
    /// The hierarchies that they are in, as `/proc/PID/cgroup` names them: `memory`, `cpu,cpuacct`, `name=systemd`; the
    /// unified one is `unified`.
    pub hierarchies: BTreeSet<String>,
}

impl Census {
    /// Counts now. Processes that end meanwhile are left out, those that are hidden from us (`hidepid`, without root), and
    /// this one: what we do is nobody's workload.
    ///
    /// # Errors
    /// Where `/proc` cannot be read.
    pub fn take() -> Result<Self, CgroupError> {
        const PROCESSES: &str = "/proc";
        let mut processes = Vec::new();
        for entry in fs::read_dir(PROCESSES).map_err(at("list", PROCESSES))? {
            let name = entry.map_err(at("list", PROCESSES))?.file_name();
            let id = name.to_str().and_then(|name| name.parse::<u32>().ok());
            let Some(id) = id.filter(|id| *id != std::process::id()) else {
                continue;
            };
            let file = format!("{PROCESSES}/{id}/cgroup");
            match fs::read(&file) {
                Ok(text) => processes.push(text),
                Err(error) if is_gone(&error) || error.raw_os_error() == Some(libc::ESRCH) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(at("read", &file)(error)),
            }
        }
        Ok(Self(processes))
    }

    /// How many processes a hierarchy attributes to workloads, and to how many of them.
    fn population(&self, hierarchy: &Hierarchy) -> (usize, usize) {
        let paths = self.0.iter().filter_map(|process| path_in(process, hierarchy.kind));
        let visible = paths.filter(|path| hierarchy.directory_of(path).is_some());
        let workloads: Vec<Vec<u8>> = visible.filter_map(|path| workload_at(&path)).collect();
        let distinct = workloads.iter().collect::<BTreeSet<_>>().len();
        (workloads.len(), distinct)
    }

    /// What following the hierarchy of this kind misses: processes in the root or a folder of it, and in a workload of
    /// another hierarchy.
    pub fn unseen(&self, kind: Kind) -> Unseen {
        let mut unseen = Unseen::default();
        for process in &self.0 {
            let path = path_in(process, kind).unwrap_or_default();
            if recognise(&path) != Recognised::Group {
                continue;
            }
            let elsewhere: Vec<String> = lines(process)
                .filter(|(_, path)| workload_at(path).is_some())
                .map(|(name, _)| name)
                .collect();
            unseen.processes = unseen.processes.saturating_add((!elsewhere.is_empty()).into());
            unseen.hierarchies.extend(elsewhere);
        }
        unseen
    }
}

/// From the texts of `/proc/PID/cgroup`, one a process.
impl<T: Into<Vec<u8>>> FromIterator<T> for Census {
    fn from_iter<I: IntoIterator<Item = T>>(processes: I) -> Self {
        Self(processes.into_iter().map(Into::into).collect())
    }
}

/// Name and path of each line of a `/proc/PID/cgroup`.
fn lines(process: &[u8]) -> impl Iterator<Item = (String, &[u8])> {
    process.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.splitn(3, |byte| *byte == b':').skip(1);
        let (name, path) = (fields.next()?, fields.next()?);
        let name = if name.is_empty() { b"unified" } else { name };
        Some((String::from_utf8_lossy(name).into_owned(), path))
    })
}

/// The own cgroup of the workload that a path belongs to.
fn workload_at(path: &[u8]) -> Option<Vec<u8>> {
    match recognise(path) {
        Recognised::Workload(found) => Some(found.cgroup),
        Recognised::Helper | Recognised::Group => None,
    }
}

/// The hierarchy that tells the workloads of this machine apart, see [`choose_by`].
///
/// # Errors
/// [`CgroupError::NoHierarchy`], or where `/proc` cannot be read.
pub fn choose(hierarchies: &[Hierarchy]) -> Result<&Hierarchy, CgroupError> {
    choose_by(hierarchies, &Census::take()?)
}

/// The hierarchy that attributes the most processes to workloads; of several the one that tells more workloads apart; of
/// several again the unified one, or the first of [`Controller::ALL`].
///
/// Not the first one that anybody is in: where v1 controllers are in use, single processes are in unified cgroups, too
/// (systemd's own, or a command of `profile run`, which does not count), and all others would be overlooked.
///
/// # Errors
/// [`CgroupError::NoHierarchy`].
pub fn choose_by<'a>(hierarchies: &'a [Hierarchy], census: &Census) -> Result<&'a Hierarchy, CgroupError> {
    let v1 = Controller::ALL.into_iter().filter_map(|controller| {
        hierarchies
            .iter()
            .find(|hierarchy| hierarchy.kind == Kind::V1 { controller })
    });
    let by_preference = unified(hierarchies).into_iter().chain(v1);
    // Of equals, the last one is taken.
    by_preference
        .rev()
        .max_by_key(|hierarchy| census.population(hierarchy))
        .ok_or(CgroupError::NoHierarchy)
}

/// The hierarchy of this kind.
///
/// # Errors
/// [`CgroupError::NotMounted`].
pub fn of_kind(hierarchies: &[Hierarchy], kind: Kind) -> Result<&Hierarchy, CgroupError> {
    hierarchies
        .iter()
        .find(|hierarchy| hierarchy.kind == kind)
        .ok_or(CgroupError::NotMounted { kind })
}

/// `unified`, or the name of a controller.
impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::V2 => "unified",
            Self::V1 { controller } => controller.word(),
        })
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let v1 = Controller::ALL.map(|controller| Self::V1 { controller });
        let mut known = std::iter::once(Self::V2).chain(v1);
        known.find(|kind| kind.to_string() == text).ok_or_else(|| {
            let words = Controller::ALL.map(Controller::word).join(", ");
            format!("`{text}` is no cgroup hierarchy: write unified, or one of the v1 controllers {words}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Kind = Kind::V1 {
        controller: Controller::Memory,
    };
    const CPU: Kind = Kind::V1 {
        controller: Controller::Cpu,
    };
    /// A process that no hierarchy puts anywhere.
    const IN_ROOT: &str = "4:memory:/\n3:cpu,cpuacct:/\n0::/\n";
    const IN_UNIFIED: &str = "4:memory:/\n3:cpu,cpuacct:/\n0::/a\n";
    const IN_MEMORY: &str = "4:memory:/b\n3:cpu,cpuacct:/\n0::/\n";
    const IN_CPU: &str = "4:memory:/\n3:cpu,cpuacct:/c\n0::/\n";
    const OF_A_RUN: &str = "4:memory:/\n3:cpu,cpuacct:/\n0::/wardline-run-17-0\n";
    /// As with systemd and a container runtime that uses v1.
    const UNIT: &str =
        "4:memory:/system.slice/a.service\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n";
    const CONTAINER: &str = "4:memory:/lxc/a\n1:name=systemd:/system.slice/a.service\n0::/system.slice/a.service\n";

    fn mounted(kinds: &[Kind]) -> Vec<Hierarchy> {
        let hierarchy = |kind: &Kind| Hierarchy {
            kind: *kind,
            mount_point: "/nowhere".into(),
            root_of_mount: b"/".to_vec(),
        };
        kinds.iter().map(hierarchy).collect()
    }

    #[test]
    fn the_hierarchy_that_most_workloads_are_in_is_chosen() {
        let cases: [(&[Kind], &[&str], Kind); 11] = [
            (&[Kind::V2], &[], Kind::V2),
            (&[CPU], &[IN_ROOT], CPU),
            (&[CPU, MEMORY], &[], MEMORY),
            (&[CPU, MEMORY, Kind::V2], &[IN_ROOT], Kind::V2),
            (&[CPU, MEMORY, Kind::V2], &[IN_MEMORY], MEMORY),
            (&[CPU, MEMORY, Kind::V2], &[IN_CPU], CPU),
            // Somebody is not everybody.
            (&[CPU, MEMORY, Kind::V2], &[IN_UNIFIED, IN_MEMORY, IN_MEMORY], MEMORY),
            (&[CPU, MEMORY, Kind::V2], &[IN_UNIFIED, IN_MEMORY], Kind::V2),
            // The command of a `profile run` is no workload of the machine.
            (&[MEMORY, Kind::V2], &[OF_A_RUN, OF_A_RUN, IN_MEMORY], MEMORY),
            (&[MEMORY, Kind::V2], &[UNIT, UNIT], Kind::V2),
            // The unified hierarchy has the container's processes in a unit.
            (&[MEMORY, Kind::V2], &[UNIT, CONTAINER], MEMORY),
        ];
        for (kinds, processes, chosen) in cases {
            let census = processes.iter().copied().collect();
            assert_eq!(
                choose_by(&mounted(kinds), &census).unwrap().kind,
                chosen,
                "{kinds:?} {processes:?}"
            );
        }
        let nothing = choose_by(&[], &Census::default());
        assert!(matches!(nothing, Err(CgroupError::NoHierarchy)));
    }

    #[test]
    fn processes_beyond_what_the_mount_shows_do_not_count() {
        let mut hierarchies = mounted(&[Kind::V2, MEMORY]);
        hierarchies[0].root_of_mount = b"/docker/x".to_vec();
        let census = [IN_UNIFIED, IN_UNIFIED, IN_MEMORY].into_iter().collect();
        assert_eq!(choose_by(&hierarchies, &census).unwrap().kind, MEMORY);
    }

    #[test]
    fn workloads_of_other_hierarchies_are_counted() {
        let processes = [IN_ROOT, IN_UNIFIED, IN_MEMORY, IN_MEMORY, IN_CPU, OF_A_RUN, UNIT];
        let census: Census = processes.into_iter().collect();
        let unseen = |processes, hierarchies: &[&str]| Unseen {
            processes,
            hierarchies: hierarchies.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(census.unseen(Kind::V2), unseen(3, &["cpu,cpuacct", "memory"]));
        assert_eq!(census.unseen(MEMORY), unseen(2, &["cpu,cpuacct", "unified"]));
        // A hierarchy without a controller cannot be followed, but what is only in it can be told.
        let census: Census = ["4:memory:/\n1:name=systemd:/system.slice/a.service\n"]
            .into_iter()
            .collect();
        assert_eq!(census.unseen(MEMORY), unseen(1, &["name=systemd"]));
    }

    #[test]
    fn hierarchies_are_called_by_their_names() {
        for kind in [Kind::V2, MEMORY, CPU] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for text in ["", "v2", "cpuset", "name=systemd"] {
            assert!(text.parse::<Kind>().unwrap_err().contains("unified"), "{text}");
        }
        let missing = of_kind(&mounted(&[MEMORY]), Kind::V2).unwrap_err();
        assert!(missing.to_string().contains("unified"), "{missing}");
    }

    #[test]
    fn the_processes_of_this_machine_are_counted() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let count = |id: u32| {
            let text = fs::read(format!("/proc/{id}/cgroup")).unwrap();
            Census::take().unwrap().0.iter().filter(|found| **found == text).count()
        };
        assert!(count(child.id()) > 0);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
