//! What a policy says about itself: the paragraphs at its top, and its annotations.

use std::collections::{BTreeMap, BTreeSet};

use baselines::behaviour::Provenance;
use baselines::document::{Baseline, Behaviours, Evidence, PhaseCoverage};
use baselines::loss::Reason;

use super::model::Scope;
use super::{Input, Report, Tetragon, scope};
use crate::error::printable;
use crate::evidence::{counted, enumerate};

/// How many annotation bytes the list of recordings may take; beyond, it is given as a hash. Kubernetes allows 256 KiB
/// for all annotations together.
const RECORDINGS_BYTES_MAX: usize = 16 << 10;

/// What a reader must know before the first line. `scope` is what there is to say about that.
pub(super) fn header(input: &Input, tetragon: Tetragon, scope: Vec<String>, report: &mut Report<'_>) -> Vec<String> {
    let baseline = &input.baseline;
    let behaviours = &baseline.behaviours;
    let partial = baseline.containers.iter().filter(|container| container.partial).count();
    let mut header = vec![
        format!(
            "What {} was seen doing is allowed, everything else is reported. Monitor mode: nothing is denied.",
            baseline.image
        ),
        format!(
            "Written by `generate policies` {} for Tetragon {} from {}, {} and {} in {}. The comment beside a value is its \
             evidence.",
            env!("CARGO_PKG_VERSION"),
            tetragon.word(),
            counted(behaviours.exec.len(), "exec"),
            counted(behaviours.opens().count(), "open"),
            counted(behaviours.connect.len(), "connect"),
            counted(baseline.containers.len(), "container"),
        ),
    ];
    header.extend(scope);
    header.extend(not_enforced(behaviours));
    header.push(backends(baseline));
    header.extend(coverage(baseline));
    header.extend(report.templates.take());
    header.extend(risks(input, report));
    if partial > 0 {
        let containers = counted(baseline.containers.len(), "container");
        header.push(format!(
            "Of {containers}, {partial} ran before the recording began: what starting does was not seen."
        ));
    }
    let not_learned = watched(&baseline.not_learned).count();
    if not_learned > 0 {
        header.push(format!(
            "Seen but not learned, so reported: {} of debug sessions or of the container runtime.",
            counted(not_learned, "behaviour")
        ));
    }
    if let Some(warning) = runtime(&baseline.not_learned) {
        header.push(format!("WARNING: {warning}."));
        report.warnings.push(warning);
    }
    if let Some(losses) = losses(baseline) {
        header.push(format!(
            "WARNING: the baseline is lossy ({losses}). What is missing in it will be reported."
        ));
        report.warnings.push(format!(
            "the baseline is lossy ({losses}): what is missing in it will be reported"
        ));
    }
    if report.needs_kernel_5_11 {
        header
            .push("A path here is longer than 510 bytes: this policy loads on kernel 5.11 and later only.".to_owned());
    }
    header
}

/// The evidence of those behaviours that a hook can be asked about.
fn watched(behaviours: &Behaviours) -> impl Iterator<Item = &Evidence> {
    (behaviours.exec.iter().map(|it| &it.evidence))
        .chain(behaviours.opens().map(|it| &it.evidence))
        .chain(behaviours.connect.iter().map(|it| &it.evidence))
}

/// What of it is risky and waits for a decision, and what was denied.
fn risks(input: &Input, report: &mut Report<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if input.denied > 0 {
        lines.push(format!(
            "Left out because somebody has denied it: {}.",
            counted(input.denied, "behaviour")
        ));
    }
    if let Some(open @ 1..) = input.undecided {
        let warning = format!(
            "{} for a decision: `generate risks` lists what, `generate decide` decides",
            if open == 1 {
                "1 risk in it waits".to_owned()
            } else {
                format!("{open} risks in it wait")
            }
        );
        lines.push(format!("WARNING: {warning}."));
        report.warnings.push(warning);
    }
    lines
}

/// How much of the behaviour has been seen, phase by phase, and whether that is enough.
fn coverage(baseline: &Baseline) -> Option<String> {
    let coverage = baseline.coverage.as_ref()?;
    let startup = seen(&coverage.startup, "start", "starts");
    let steady = coverage.steady.as_ref().map_or_else(String::new, |steady| {
        format!(
            "; running, {}",
            seen(steady, "unit of 10 minutes", "units of 10 minutes")
        )
    });
    Some(format!(
        "Observation coverage (no promise): starting, {startup}{steady}. State: {}; what would help most: {}.",
        coverage.state,
        printable(&coverage.advice)
    ))
}

fn seen(phase: &PhaseCoverage, unit: &str, units: &str) -> String {
    let watched = format!("{} {}", phase.units, if phase.units == 1 { unit } else { units });
    match (phase.estimate, &phase.interval) {
        (Some(estimate), Some(interval)) => format!(
            "{:.4} (95 %: {:.4} to {:.4}) from {watched}",
            estimate.get(),
            interval.lower.get(),
            interval.upper.get()
        ),
        (Some(estimate), None) => format!(
            "{:.4} from {watched}, too few apart from each other to say how sure that is",
            estimate.get()
        ),
        (None, _) => format!("unknown from {watched}"),
    }
}

/// What was learned and is in no list of the policy. Executable mappings are not missing there: what is mapped was opened.
fn not_enforced(behaviours: &Behaviours) -> Option<String> {
    let kinds = [
        (behaviours.send.len(), "send"),
        (behaviours.connect_unix.len(), "unix socket"),
        (behaviours.listen.len(), "listen"),
        (behaviours.raise.len(), "privilege raise"),
    ];
    let counts: Vec<String> = kinds
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, kind)| counted(number, kind))
        .collect();
    (!counts.is_empty()).then(|| format!("Learned and not enforced by this policy: {}.", counts.join(", ")))
}

/// What the container runtime does inside of the container, if it was seen there (runc reads /proc/self/cgroup and opens its
/// exec.fifo). Not the image's, but a policy cannot tell: it goes by the cgroup.
fn runtime(not_learned: &Behaviours) -> Option<String> {
    let seen = watched(not_learned)
        .filter(|it| it.provenance.contains(&Provenance::Runtime))
        .count();
    (seen > 0).then(|| {
        format!(
            "{} of the container runtime, seen and not learned, will be reported at each start of a container, and would \
             stop the start if the policy were enforced",
            counted(seen, "behaviour")
        )
    })
}

/// Who recorded, and what that one cannot see while the policy's hooks do.
fn backends(baseline: &Baseline) -> String {
    let backends: BTreeSet<&String> = baseline.recordings.iter().flat_map(|it| &it.backends).collect();
    if backends.is_empty() {
        return "The baseline does not say with which backend it was recorded: what that one cannot see will be reported."
            .to_owned();
    }
    let recorded = format!("Recorded with the backend {}.", enumerate(backends.iter()));
    if backends.iter().all(|backend| *backend == "tetragon") {
        return "Imported from Tetragon's events: what its agent lost, left out of its export or was not told to post will be \
            reported."
            .to_owned();
    }
    if !backends.iter().any(|backend| *backend == "tracepoint") {
        return format!("{recorded} `profile doctor` lists what that one does not see.");
    }
    // The hooks come earlier than the end of the call that is recorded, and are passed by opens that are no call.
    format!(
        "{recorded} What tracepoint does not see can be normal and is reported all the same: calls that fail after the \
         hook (executing a text without #!, which is ENOEXEC; opening a FIFO that nobody reads), and opens without an \
         open call (overlay copy-up, core dumps, mq_open, openpty). `profile doctor` lists all of it."
    )
}

/// Whether a policy can lack something for this reason: none holds arguments, or datagrams sent without connect.
const fn concerns_policies(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::ArgumentsUnread | Reason::BatchCut | Reason::UnixDatagram
    )
}

/// What is missing in the baseline that a policy could hold, if anything is: sums by reason. The baseline itself says more.
fn losses(baseline: &Baseline) -> Option<String> {
    let mut counts = BTreeMap::<Reason, u64>::new();
    for loss in baseline.losses.iter().filter(|loss| concerns_policies(loss.reason)) {
        let count = counts.entry(loss.reason).or_default();
        *count = count.saturating_add(loss.count);
    }
    let counted = counts.iter().map(|(reason, count)| format!("{count} {reason}"));
    let uncounted = Some(&baseline.uncounted_losses).filter(|reasons| !reasons.is_empty());
    let losses: Vec<String> = counted
        .chain(uncounted.map(|reasons| enumerate(reasons.iter())))
        .collect();
    (!losses.is_empty()).then(|| losses.join(", "))
}

/// The keys below `wardline.dev/`, sorted.
pub(super) fn annotations(input: &Input, tetragon: Tetragon, scope: &Scope) -> Vec<(&'static str, String)> {
    let recordings: BTreeSet<String> = input
        .baseline
        .recordings
        .iter()
        .map(|it| format!("{}@{}", it.recording, it.revision))
        .collect();
    let count = recordings.len();
    let recordings = recordings.into_iter().collect::<Vec<_>>().join(",");
    let recordings = if recordings.len() <= RECORDINGS_BYTES_MAX {
        recordings
    } else {
        format!("{count} recordings, sha256:{}", scope::sha256(recordings.as_bytes()))
    };
    vec![
        ("baseline", input.hash.clone()),
        ("generator", env!("CARGO_PKG_VERSION").to_owned()),
        ("image", printable(&input.baseline.image.to_string())),
        ("recordings", recordings),
        ("scope", if *scope == Scope::Node { "node" } else { "image" }.to_owned()),
        ("tetragon", tetragon.word().to_owned()),
    ]
}
