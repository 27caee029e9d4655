mod classes;
mod matching;
mod properties;
mod reviewing;

use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::diff::{Diff, ImageDiff, Version, diff};
use crate::document::{self, Baseline, Behaviours, Comparison, Coverage, PathTemplate, PhaseCoverage};
use crate::risks::tests::{evidence, lists};
use crate::testing::seconds;
use crate::workload::Image;

const WORKLOAD: &[Provenance] = &[Provenance::Workload];

fn image(repository: &str, tag: Option<&str>, digest: Option<&str>) -> Image {
    Image {
        repository: repository.to_owned(),
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    }
}

fn baseline(behaviours: Behaviours, not_learned: Behaviours) -> Baseline {
    Baseline {
        api_version: document::ApiVersion,
        kind: document::Kind,
        image: image("shop/web", None, None),
        recordings: Vec::new(),
        containers: Vec::new(),
        losses: Vec::new(),
        uncounted_losses: Vec::new(),
        coverage: None,
        behaviours,
        statistics: None,
        templates: Vec::new(),
        not_learned,
    }
}

/// The workload did these in the steady phase.
fn steady(behaviours: &[Behaviour]) -> Behaviours {
    lists(
        behaviours
            .iter()
            .map(|it| (it, evidence(1, &[Phase::Steady], WORKLOAD))),
    )
}

fn did(behaviours: &[Behaviour]) -> Baseline {
    baseline(steady(behaviours), Behaviours::default())
}

fn template(text: &str, sensitive: u64) -> PathTemplate {
    PathTemplate {
        template: text.parse().unwrap(),
        covers: 1,
        also_admits: 0,
        operator: Comparison::Prefix,
        value: "/var/".to_owned(),
        gives_up: String::new(),
        policy_also_admits: sensitive,
        sensitive,
        sensitive_paths: Vec::new(),
    }
}

fn coverage(state: crate::coverage::State, startup: u64, steady: u64) -> Coverage {
    let number = |value| document::Number::new(value).unwrap();
    Coverage {
        state,
        advice: String::new(),
        criteria: document::Criteria {
            target: number(0.95),
            held_hours: 24,
            starts: 3,
            dates: 2,
        },
        startup: PhaseCoverage {
            units: startup,
            ..PhaseCoverage::default()
        },
        steady: Some(PhaseCoverage {
            units: steady,
            ..PhaseCoverage::default()
        }),
    }
}

/// Without anything known of risks.
fn plain(baseline: &Baseline) -> Version<'_> {
    Version {
        baseline,
        findings: &[],
        decisions: None,
    }
}

fn compare(old: &Baseline, new: &Baseline) -> Diff {
    diff(&[plain(old)], &[plain(new)], seconds(1_000))
}

/// Of two versions of one image.
fn of_image(old: &Baseline, new: &Baseline) -> ImageDiff {
    let mut diff = compare(old, new);
    assert_eq!(diff.images.len(), 1, "{diff:?}");
    diff.images.remove(0)
}
