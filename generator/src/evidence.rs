//! Why a value is in a policy, in one line for the reviewer.

use std::collections::{BTreeMap, BTreeSet};

use baselines::behaviour::{Phase, Provenance};
use baselines::document::Evidence;
use baselines::path::{FilePath, Origin};

/// How many names of programs, or ways of use, a line spells out before it counts the rest.
const NAMES_MAX: usize = 3;

/// How many characters of one name a line shows.
const NAME_CHARACTERS_MAX: usize = 120;

/// One behaviour that needs a value.
#[derive(Clone, Debug)]
pub(crate) struct Use<'a> {
    /// How the value was used where the hook alone does not say it, for example `read,write`; else empty.
    pub(crate) how: String,
    /// The program that did it.
    pub(crate) subject: &'a FilePath,
    /// How well known it is.
    pub(crate) evidence: &'a Evidence,
}

/// `120x in 3 of 3 containers, startup+steady, by /usr/sbin/nginx (read)`.
///
/// Several behaviours can need one value. Counts add up; containers do not, because the same container may have shown
/// several of them, so the largest number is given, as a lower bound.
pub(crate) fn describe(uses: &[Use<'_>], containers: usize) -> String {
    let count = uses
        .iter()
        .fold(0_u64, |sum, used| sum.saturating_add(used.evidence.count));
    let seen_in = uses
        .iter()
        .map(|used| used.evidence.containers)
        .max()
        .unwrap_or_default();
    let is_bound = uses.len() > 1 && usize::try_from(seen_in).is_ok_and(|seen_in| seen_in < containers);
    let phases: BTreeSet<Phase> = uses
        .iter()
        .flat_map(|used| used.evidence.phases.iter().copied())
        .collect();
    let phases: Vec<&str> = phases.into_iter().map(phase_word).collect();
    let hows: BTreeSet<&str> = uses
        .iter()
        .map(|used| used.how.as_str())
        .filter(|how| !how.is_empty())
        .collect();
    format!(
        "{count}x in {}{seen_in} of {}, {}, by {}{}",
        if is_bound { "at least " } else { "" },
        counted(containers, "container"),
        if phases.is_empty() {
            "in no phase".to_owned()
        } else {
            phases.join("+")
        },
        enumerate(busiest(uses).iter()),
        if hows.is_empty() {
            String::new()
        } else {
            format!(" ({})", enumerate(hows.iter()))
        },
    )
}

/// The programs, the busiest first.
fn busiest(uses: &[Use<'_>]) -> Vec<String> {
    let mut counts = BTreeMap::<&FilePath, u64>::new();
    for used in uses {
        let count = counts.entry(used.subject).or_default();
        *count = count.saturating_add(used.evidence.count);
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|(left, left_count), (right, right_count)| right_count.cmp(left_count).then(left.cmp(right)));
    counts
        .into_iter()
        .map(|(subject, _)| match subject.origin() {
            Origin::Unknown => "an unknown program".to_owned(),
            _ => shorten(&subject.to_text()),
        })
        .collect()
}

/// `a, b, c and 4 more`.
pub(crate) fn enumerate(names: impl ExactSizeIterator<Item: AsRef<str>>) -> String {
    let more = names.len().saturating_sub(NAMES_MAX);
    let shown: Vec<String> = names.take(NAMES_MAX).map(|name| name.as_ref().to_owned()).collect();
    if more == 0 {
        shown.join(", ")
    } else {
        format!("{} and {more} more", shown.join(", "))
    }
}

/// `1 container`, `2 containers`.
pub(crate) fn counted(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// The beginning of a long name.
pub(crate) fn shorten(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

pub(crate) const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Startup => "startup",
        Phase::Steady => "steady",
    }
}

pub(crate) const fn provenance_word(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::Workload => "workload",
        Provenance::Kubelet => "kubelet",
        Provenance::Entered => "entered",
        Provenance::Runtime => "runtime",
    }
}
