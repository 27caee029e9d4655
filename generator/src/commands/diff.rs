//! `generate diff`.

use std::path::Path;

use baselines::coverage::Criteria;
use baselines::diff::{Version, diff as compare};
use baselines::document::Baseline;
use baselines::risks::Catalogue;
use baselines::time::UtcTime;

use super::{Told, of_recordings, risks};
use crate::cli;
use crate::diff::print;
use crate::error::Error;
use crate::files;
use crate::policy::Input;
use crate::risks::Risks;

/// A baseline with its risks.
struct Assessed {
    baseline: Baseline,
    risks: Risks,
    has_decisions: bool,
}

impl Assessed {
    fn version(&self) -> Version<'_> {
        Version {
            baseline: &self.baseline,
            findings: &self.risks.findings,
            decisions: self.has_decisions.then_some(&self.risks.decisions),
        }
    }
}

/// Runs `generate diff`.
///
/// # Errors
/// [`Error`] where something cannot be read.
pub fn diff(arguments: &cli::Diff) -> Result<Told, Error> {
    let catalogue = risks::catalogue(&arguments.catalogue)?;
    let mut warnings = Vec::new();
    let old = side(&arguments.old, &catalogue, &mut warnings)?;
    let new = side(&arguments.new, &catalogue, &mut warnings)?;
    let old: Vec<Version<'_>> = old.iter().map(Assessed::version).collect();
    let new: Vec<Version<'_>> = new.iter().map(Assessed::version).collect();
    let diff = compare(&old, &new, UtcTime::now());
    let listing = if arguments.quiet {
        String::new()
    } else {
        print(&diff, arguments.output)?
    };
    Ok(Told {
        listing,
        warnings,
        differs: arguments.exit_code && !diff.is_empty(),
    })
}

/// The baselines of a folder, of one document, or of a recording.
fn side(path: &Path, catalogue: &Catalogue, warnings: &mut Vec<String>) -> Result<Vec<Assessed>, Error> {
    let inputs = if path.is_dir() {
        files::read_baselines(path)?
    } else if files::is_recording(path)? {
        warnings.push(format!(
            "{}: a recording has no decisions beside it, so none were read",
            path.display()
        ));
        of_recordings(&[path.to_owned()], &Criteria::default())?
    } else {
        vec![files::read_one_baseline(path)?]
    };
    let assess = |mut input: Input| {
        let decisions = input.decisions.take();
        Assessed {
            has_decisions: decisions.is_some(),
            risks: Risks::of(&input.baseline, catalogue, decisions),
            baseline: input.baseline,
        }
    };
    Ok(inputs.into_iter().map(assess).collect())
}
