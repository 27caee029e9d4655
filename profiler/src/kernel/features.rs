//! What the running kernel offers to the probes.

use std::fs;
use std::path::Path;

use super::btf::Btf;
use crate::probes::KERNEL_BTF;
use crate::probes::backend::{Backend, Target};

/// What was found out about the kernel. A `None` is what could not be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features {
    /// `uname -r`.
    pub release: Option<String>,
    /// Whether it describes its own types.
    pub btf: bool,
    /// Tracepoints that the probes need and this kernel does not have.
    pub missing_tracepoints: Vec<&'static str>,
    /// The security modules that are active, in their order.
    pub security_modules: Option<Vec<String>>,
    /// `none`, `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// `none`, `voluntary`, `full` or `lazy`.
    pub preemption: Option<String>,
    /// Whether it has kprobes.
    pub kprobes: bool,
}

impl Features {
    /// Asks the kernel.
    pub fn probe() -> Self {
        let btf = fs::read(KERNEL_BTF).ok().and_then(|bytes| Btf::parse(&bytes).ok());
        let missing = |btf: &Btf| {
            Backend::Tracepoint
                .programs()
                .into_iter()
                .filter_map(|program| match program.target {
                    Target::Tracepoint(name) => Some(name),
                    _ => None,
                })
                .filter(|name| !btf.has_tracepoint(name))
                .collect()
        };
        let security = Path::new("/sys/kernel/security");
        Self {
            // Its number is what perf_event_open(2) takes for a kprobe.
            kprobes: Path::new("/sys/bus/event_source/devices/kprobe/type").exists(),
            release: read(Path::new("/proc/sys/kernel/osrelease")),
            missing_tracepoints: btf.as_ref().map(missing).unwrap_or_default(),
            btf: btf.is_some(),
            security_modules: read(&security.join("lsm")).map(|list| list.split(',').map(str::to_owned).collect()),
            lockdown: read(&security.join("lockdown")).and_then(|line| chosen(&line, '[', ']')),
            preemption: read(Path::new("/sys/kernel/debug/sched/preempt"))
                .and_then(|line| chosen(&line, '(', ')'))
                .or_else(|| preemption_in(&read(Path::new("/proc/sys/kernel/version"))?)),
        }
    }
}

/// Whether the running kernel is of this version or a later one. Not where its version is unknown.
pub fn is_at_least(major: u32, minor: u32) -> bool {
    let release = read(Path::new("/proc/sys/kernel/osrelease"));
    release.and_then(|release| version_in(&release)) >= Some((major, minor))
}

/// The first two numbers of a release such as `5.10.0-46-amd64`.
fn version_in(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether core dumps become files, as far as is known: not where the kernel gives them to a program (`|`) or to a socket
/// (`@`, since 6.16; core(5)).
pub fn cores_are_files() -> bool {
    let pattern = read(Path::new("/proc/sys/kernel/core_pattern"));
    !pattern.is_some_and(|pattern| pattern.starts_with(['|', '@']))
}

fn read(path: &Path) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty())
}

/// The word that is marked in a line such as `none [integrity] confidentiality`.
fn chosen(line: &str, open: char, close: char) -> Option<String> {
    let (_, rest) = line.split_once(open)?;
    rest.split_once(close).map(|(word, _)| word.to_owned())
}

/// What the version line of the kernel says: `#1 SMP PREEMPT_DYNAMIC ...` says that it was chosen when it booted, and
/// then only the scheduler's debug file knows.
fn preemption_in(version: &str) -> Option<String> {
    let has = |word: &str| version.split_whitespace().any(|found| found == word);
    if has("PREEMPT_DYNAMIC") {
        None
    } else if has("PREEMPT") || has("PREEMPT_RT") {
        Some("full".to_owned())
    } else {
        Some("none or voluntary".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_words_are_found() {
        assert_eq!(
            chosen("none [integrity] confidentiality", '[', ']').as_deref(),
            Some("integrity")
        );
        assert_eq!(chosen("none voluntary (full) lazy", '(', ')').as_deref(), Some("full"));
        assert_eq!(chosen("none", '[', ']'), None);
    }

    #[test]
    fn versions_are_read_from_releases() {
        for (release, version) in [
            ("5.10.0-46-amd64", Some((5, 10))),
            ("6.18.15+deb13-amd64", Some((6, 18))),
            ("6.1-rc3", Some((6, 1))),
            ("6", None),
            ("", None),
            ("next", None),
        ] {
            assert_eq!(version_in(release), version, "{release}");
        }
        // As the attaching of trampolines asks.
        assert!(version_in("5.9.16") < Some((5, 13)) && version_in("6.1.0") >= Some((5, 13)));
    }

    #[test]
    fn a_kernel_that_chose_at_boot_does_not_say_what() {
        assert_eq!(preemption_in("#1 SMP PREEMPT_DYNAMIC Debian 6.12"), None);
        assert_eq!(preemption_in("#1 SMP PREEMPT Debian").as_deref(), Some("full"));
        assert_eq!(
            preemption_in("#1 SMP Debian 5.10").as_deref(),
            Some("none or voluntary")
        );
    }
}
