//! What decisions leave to look at.

use super::*;
use crate::behaviour::Access;
use crate::diff::{Class, Kept, Review};
use crate::risks::tests::{exec, open};
use crate::risks::{Catalogue, Decision, Decisions, Finding, Seen, Target, Verdict};

const DIGESTS: [&str; 2] = ["sha256:a", "sha256:b"];

/// Two versions of one image.
fn versions(old: &[Behaviour], new: &[Behaviour]) -> [Baseline; 2] {
    let [mut before, mut after] = [did(old), did(new)];
    before.image.digest = Some(DIGESTS[0].to_owned());
    after.image.digest = Some(DIGESTS[1].to_owned());
    [before, after]
}

fn assess(baseline: &Baseline) -> Vec<Finding> {
    Catalogue::shipped().assess(&Seen::from(baseline))
}

/// About the version of that digest: a verdict on each finding, or on this behaviour.
fn decisions(digest: &str, verdict: Verdict, findings: &[Finding], behaviour: Option<&Behaviour>) -> Decisions {
    let mut decisions = Decisions::new(image("shop/web", None, Some(digest)));
    let decision = Decision {
        verdict,
        reason: "why".parse().unwrap(),
        who: "ada".parse().unwrap(),
        when: seconds(10),
        inherited_from: None,
        about: None,
    };
    let targets = findings.iter().map(|it| Target::finding(it.key.clone()));
    for target in targets.chain(behaviour.map(Target::behaviour)) {
        decisions.decide(target, decision.clone());
    }
    decisions
}

fn compare_decided(baselines: &[Baseline; 2], [old, new]: [Option<&Decisions>; 2]) -> ImageDiff {
    let [before, after] = baselines;
    let (old_findings, new_findings) = (assess(before), assess(after));
    let old = Version {
        baseline: before,
        findings: &old_findings,
        decisions: old,
    };
    let new = Version {
        baseline: after,
        findings: &new_findings,
        decisions: new,
    };
    diff(&[old], &[new], seconds(1_000)).images.remove(0)
}

const ALLOW: Verdict = Verdict::Allow { until: None };

#[test]
fn only_what_is_new_is_up_for_review() {
    let shadow = || open("/app/server", "/etc/shadow", Access::READ);
    let baselines = versions(
        &[shadow()],
        &[shadow(), open("/app/server", "/etc/hosts", Access::READ)],
    );
    let findings = assess(&baselines[0]);
    assert_eq!(findings.len(), 1);
    let of_old = decisions(DIGESTS[0], ALLOW, &findings, None);

    let undecided = compare_decided(&baselines, [None, None]);
    assert_eq!((undecided.to_review.changes, undecided.to_review.risks), (1, 1));
    assert_eq!(undecided.decisions.kept, Kept::Nowhere);

    let inherited = compare_decided(&baselines, [Some(&of_old), None]);
    assert_eq!((inherited.to_review.changes, inherited.to_review.risks), (1, 0));
    assert_eq!(inherited.decisions.kept, Kept::Old);
    assert_eq!(
        inherited.decisions.inherited[0].inherited_from.as_deref(),
        Some("shop/web@sha256:a")
    );
    // The risk is the same, and what was decided about it, too.
    assert!(inherited.risks.is_empty() && inherited.changes.len() == 1);

    // Whoever keeps decisions beside the newer version and not this one has withdrawn it.
    let of_new = decisions(DIGESTS[1], ALLOW, &[], Some(&exec("/app/server", "/bin/other")));
    let withdrawn = compare_decided(&baselines, [Some(&of_old), Some(&of_new)]);
    assert_eq!((withdrawn.to_review.risks, withdrawn.decisions.kept), (1, Kept::New));
    assert_eq!(
        (withdrawn.decisions.withdrawn.len(), withdrawn.decisions.added.len()),
        (1, 1)
    );
    assert_eq!(
        (withdrawn.risks[0].old, withdrawn.risks[0].new),
        (Some("allowed"), Some("undecided"))
    );
    assert!(!withdrawn.is_empty() && withdrawn.decisions.unmatched == 1);
}

#[test]
fn what_was_denied_is_remembered_when_it_comes_back() {
    let shell = || exec("/app/server", "/bin/sh");
    // Denied in an earlier version, not seen of the last one, and seen again.
    let baselines = versions(&[], &[shell()]);
    let of_old = decisions(DIGESTS[0], Verdict::Deny, &[], Some(&shell()));
    let back = compare_decided(&baselines, [Some(&of_old), None]);
    assert_eq!(
        (back.changes[0].class, back.changes[0].review),
        (Class::Added, Review::Denied)
    );
    let review = back.to_review;
    assert_eq!((review.changes, review.risks, review.denied), (0, 0, 1));
}

#[test]
fn an_allowed_risk_that_is_new_is_settled_and_one_more_behaviour_is_not() {
    let shadow = || open("/app/server", "/etc/shadow", Access::READ);
    let baselines = versions(&[], &[shadow()]);
    let of_new = decisions(DIGESTS[1], ALLOW, &assess(&baselines[1]), None);
    let decided = compare_decided(&baselines, [None, Some(&of_new)]);
    assert_eq!(
        (decided.changes[0].class, decided.changes[0].review),
        (Class::Added, Review::Allowed)
    );
    assert_eq!(decided.changes[0].risks.len(), 1);
    assert_eq!((decided.to_review.changes, decided.to_review.risks), (0, 0));
    assert_eq!((decided.risks[0].old, decided.risks[0].new), (None, Some("allowed")));

    let until = Some(seconds(999));
    let over = decisions(DIGESTS[1], Verdict::Allow { until }, &assess(&baselines[1]), None);
    let expired = compare_decided(&baselines, [None, Some(&over)]);
    assert_eq!(expired.changes[0].review, Review::Due);
    assert_eq!((expired.risks[0].new, expired.to_review.risks), (Some("expired"), 1));
}

#[test]
fn a_risk_that_is_not_seen_any_more_is_told() {
    let baselines = versions(&[open("/app/server", "/etc/shadow", Access::READ)], &[]);
    let gone = compare_decided(&baselines, [None, None]);
    assert_eq!((gone.risks[0].old, gone.risks[0].new), (Some("undecided"), None));
    assert_eq!((gone.risks[0].needs_decision, gone.to_review.risks), (false, 0));
    assert_eq!(gone.changes[0].risks, [gone.risks[0].key.clone()]);
}
