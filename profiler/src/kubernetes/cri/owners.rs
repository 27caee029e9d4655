//! Which workload a pod is of, told by its name and labels: a container runtime knows nothing of controllers.
//!
//! A workload is named only where the labels that its controller writes and the pod's name agree. A pod that says less is a
//! workload of its own: a wrong owner would put its behaviour into somebody else's policy.
//!
//! ```
//! use profiler::kubernetes::cri::owners::{Told, told};
//!
//! let labels = [("pod-template-hash".to_owned(), "7d4b9".to_owned())].into();
//! let Told::Workload(workload) = told("web-7d4b9-x2xw4", &labels, Default::default()) else { unreachable!() };
//! assert_eq!((workload.kind.as_str(), workload.name.as_str()), ("Deployment", "web"));
//! assert_eq!(told("web", &labels, Default::default()), Told::Unclear);
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use baselines::time::UtcTime;

use crate::kubernetes::owners::{Controller, is_name};

/// What follows the generated part of a name (`randomLength`, apiserver, pkg/storage/names/generate.go), and of which
/// characters (`alphanums`, apimachinery, pkg/util/rand/rand.go).
const RANDOM: (usize, &str) = (5, "bcdfghjklmnpqrstvwxz2456789");
/// What comes before it is cut to this many characters (`MaxGeneratedNameLength`, ibid.).
const PREFIX_MAX: usize = 58;
/// Of a Job's name, what every pod's name begins with: the rest may be cut to make room for an index and the random part.
const JOB_PREFIX: usize = 46;
/// How long before its pod a Job of a `CronJob` may have been due, and how wrong clocks may be.
const DUE_BEFORE: Duration = Duration::from_hours(7 * 24);
const CLOCKS: Duration = Duration::from_hours(1);

/// What name and labels say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is of this workload.
    Workload(Controller),
    /// Nothing about a controller: nobody controls it, or somebody who writes no label.
    Nothing,
    /// There is a controller's label, and it does not tell which workload it is.
    Unclear,
}

/// Which workload the pod of this name, with these labels, made at this time, is of.
pub fn told(pod: &str, labels: &BTreeMap<String, String>, created: UtcTime) -> Told {
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let of_set = |kind: &str, hash: &str| {
        let set = generated(pod)?;
        Some(controller(kind, set.strip_suffix(hash)?.strip_suffix('-')?))
    };
    // Each: None without its label; Some(None) where that and the pod's name do not agree.
    let rules = [
        label("pod-template-hash").map(|hash| of_set("Deployment", hash)),
        label("rollouts-pod-template-hash").map(|hash| of_set("Rollout", hash)),
        label("statefulset.kubernetes.io/pod-name").map(|name| stateful_set(pod, name)),
        // Both: others write the first one alone, with another meaning.
        label("controller-revision-hash")
            .and(label("pod-template-generation"))
            .map(|_| generated(pod).map(|name| controller("DaemonSet", name))),
        label("batch.kubernetes.io/job-name")
            .or_else(|| label("controller-uid").and(label("job-name"))) // before 1.27
            .map(|name| job(pod, name, created)),
    ];
    let mut told = rules.into_iter().flatten();
    match (told.next(), told.next()) {
        (None, _) if label("controller-revision-hash").is_some() => Told::Unclear,
        (None, _) => Told::Nothing,
        (Some(Some(workload)), None) if is_name(&workload.name) => Told::Workload(workload),
        _ => Told::Unclear,
    }
}

fn controller(kind: &str, name: &str) -> Controller {
    Controller {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

/// The name that this one was generated from: `<name>-<random>`. None for any other, and for one that may have been cut.
fn generated(name: &str) -> Option<&str> {
    let (length, characters) = RANDOM;
    let (prefix, random) = name.split_at_checked(name.len().checked_sub(length)?)?;
    let is_random = random.bytes().all(|byte| characters.as_bytes().contains(&byte));
    let from = prefix.strip_suffix('-')?;
    (is_random && prefix.len() < PREFIX_MAX).then_some(from)
}

/// `<set>-<ordinal>` (`getPodName`, `pkg/controller/statefulset/stateful_set_utils.go`).
fn stateful_set(pod: &str, named: &str) -> Option<Controller> {
    let (set, ordinal) = pod.rsplit_once('-')?;
    let is_ordinal = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    (named == pod && is_ordinal).then(|| controller("StatefulSet", set))
}

fn job(pod: &str, job: &str, created: UtcTime) -> Option<Controller> {
    let begins = job.get(..job.len().min(JOB_PREFIX))?;
    pod.starts_with(begins).then(|| {
        let of_cron_job = cron_job(job, created).map(|name| controller("CronJob", name));
        of_cron_job.unwrap_or_else(|| controller("Job", job))
    })
}

/// A `CronJob` calls its Jobs `<its name>-<minutes since the epoch>` of when they are due (`getJobName`,
/// pkg/controller/cronjob/utils.go). A number that is no time of late was written by somebody else.
fn cron_job(job: &str, created: UtcTime) -> Option<&str> {
    let (name, minutes) = job.rsplit_once('-')?;
    let is_number = minutes.bytes().all(|byte| byte.is_ascii_digit()) && !minutes.starts_with('0');
    let minutes: u64 = minutes.parse().ok().filter(|_| is_number)?;
    let due = Duration::from_secs(minutes.checked_mul(60)?);
    let created = Duration::from_nanos(created.nanos().try_into().unwrap_or_default());
    let is_of_late = due <= created.saturating_add(CLOCKS) && created <= due.saturating_add(DUE_BEFORE);
    is_of_late.then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A pod's name and labels, and its workload; `?` where that is unclear.
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], Option<&'a str>);

    /// 2026-11-21 09:30 UTC.
    const CREATED: u64 = 1_795_253_400;

    fn tell(pod: &str, labels: &[(&str, &str)]) -> Told {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        told(pod, &labels.collect(), UtcTime::from_nanos(CREATED * 1_000_000_000))
    }

    #[test]
    fn a_workload_is_told_where_name_and_labels_agree() {
        let long = format!("{}-7d4b9-x2xw4", "a".repeat(51));
        let hash = ("pod-template-hash", "7d4b9");
        let revision = ("controller-revision-hash", "6c9f");
        let generation = ("pod-template-generation", "1");
        let job = |name: &'static str| ("batch.kubernetes.io/job-name", name);
        let (minutes, old) = (CREATED / 60, CREATED / 60 - 8 * 24 * 60);
        let named = |minutes: u64| format!("report-{minutes}").leak() as &'static str;
        let cases: &[Case<'_>] = &[
            ("web", &[], None),
            ("web-7d4b9-x2xw4", &[("app", "web")], None),
            // Deployments, and what is like them.
            ("web-7d4b9-x2xw4", &[hash], Some("Deployment web")),
            ("a-b-c-7d4b9-x2xw4", &[hash, ("app", "x")], Some("Deployment a-b-c")),
            (
                "web-7d4b9-x2xw4",
                &[("rollouts-pod-template-hash", "7d4b9")],
                Some("Rollout web"),
            ),
            ("web-7d4b9-x2xwa", &[hash], Some("?")),
            ("web-7d4b9", &[hash], Some("?")),
            ("web-7d4ba-x2xw4", &[hash], Some("?")),
            ("-7d4b9-x2xw4", &[hash], Some("?")),
            ("7d4b9-x2xw4", &[hash], Some("?")),
            (&long, &[hash], Some("?")),
            ("x2xw4", &[hash], Some("?")),
            ("web-7d4b9-x2xw4", &[("pod-template-hash", "")], None),
            // StatefulSets.
            (
                "db-0",
                &[revision, ("statefulset.kubernetes.io/pod-name", "db-0")],
                Some("StatefulSet db"),
            ),
            (
                "db-12",
                &[("statefulset.kubernetes.io/pod-name", "db-12")],
                Some("StatefulSet db"),
            ),
            ("db-x", &[("statefulset.kubernetes.io/pod-name", "db-x")], Some("?")),
            ("db-1", &[("statefulset.kubernetes.io/pod-name", "db-0")], Some("?")),
            // DaemonSets, and others who keep revisions.
            ("log-x2xw4", &[revision, generation], Some("DaemonSet log")),
            ("log-x2xw4", &[revision], Some("?")),
            ("log-1", &[revision, generation], Some("?")),
            // Jobs.
            ("import-x2xw4", &[job("import")], Some("Job import")),
            ("import-3-x2xw4", &[job("import")], Some("Job import")),
            (
                "import-x2xw4",
                &[("job-name", "import"), ("controller-uid", "u")],
                Some("Job import"),
            ),
            ("import-x2xw4", &[("job-name", "import")], None),
            ("import-x2xw4", &[job("export")], Some("?")),
            (
                &format!("report-{minutes}-x2xw4"),
                &[job(named(minutes))],
                Some("CronJob report"),
            ),
            (&format!("report-{old}-x2xw4"), &[job(named(old))], Some("Job old")),
            (
                &format!("report-{}-x2xw4", minutes + 61),
                &[job(named(minutes + 61))],
                Some("Job next"),
            ),
            (
                "report-20261121-x2xw4",
                &[job("report-20261121")],
                Some("Job report-20261121"),
            ),
            ("report--x2xw4", &[job("report-")], Some("Job report-")),
            (
                "report-99999999999999999999-x",
                &[job("report-99999999999999999999")],
                Some("Job huge"),
            ),
            // More than one says that it is theirs.
            ("web-7d4b9-x2xw4", &[hash, job("web")], Some("?")),
        ];
        for (pod, labels, expected) in cases {
            let found = match tell(pod, labels) {
                Told::Nothing => None,
                Told::Unclear => Some("?".to_owned()),
                Told::Workload(Controller { kind, name }) => Some(format!("{kind} {name}")),
            };
            let expected = expected.map(|text| match text {
                "Job old" => format!("Job {}", named(old)),
                "Job next" => format!("Job {}", named(minutes + 61)),
                "Job huge" => "Job report-99999999999999999999".to_owned(),
                text => text.to_owned(),
            });
            assert_eq!(found, expected, "{pod} {labels:?}");
        }
    }

    proptest! {
        /// Whatever a pod is called, its name begins with that of its workload.
        #[test]
        fn no_name_is_too_much(
            pod in "[a-z0-9-]{0,70}|.{0,20}|[ab]{0,3}-[0-9a-f]{0,4}-[a-z0-9]{4,6}",
            key in "pod-template-hash|rollouts-pod-template-hash|statefulset.kubernetes.io/pod-name|batch.kubernetes.io/job-name",
            value in "[a-f0-9]{0,4}|.{0,10}",
            created: u64,
        ) {
            let labels = [(key, value)].into();
            if let Told::Workload(workload) = told(&pod, &labels, UtcTime::from_nanos(created)) {
                prop_assert!(pod.starts_with(&workload.name), "{}", workload.name);
            }
        }
    }
}
