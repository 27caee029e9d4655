//! The commands: read, compute, write, tell. All decisions are in the pure modules.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use baselines::analysis::baselines_by;
use baselines::coverage::{Criteria, State};
use baselines::document::{self, Baseline, Behaviours};
use baselines::time::UtcTime;
use serde::Serialize;

use crate::cli;
use crate::error::Error;
use crate::files::{self, Output};
use crate::listing::{self, Row};
use crate::policy::{self, Compiled, Input};
use crate::risks::Risks;

mod diff;
mod report;
mod risks;

pub use diff::diff;
pub use report::report;
pub use risks::{decide, risks};

/// What a command has to say when its work is done.
#[derive(Debug, Default)]
pub struct Told {
    /// For standard output.
    pub listing: String,
    /// For standard error, one line each.
    pub warnings: Vec<String>,
    /// Whether it was asked for differences, and there are some.
    pub differs: bool,
}

/// Runs `generate baselines`. `variable` is the value of [`cli::RECORDING_VARIABLE`].
///
/// # Errors
/// [`Error`] where recordings cannot be read or documents not written.
pub fn baselines(arguments: &cli::Baselines, variable: Option<OsString>) -> Result<Told, Error> {
    let (catalogue, now) = (risks::catalogue(&arguments.catalogue)?, UtcTime::now());
    let recordings = arguments.recordings.paths(variable)?;
    let baselines = baselines_by(&recordings, &arguments.coverage.criteria())?;
    let documents: Vec<String> = baselines.iter().map(document::to_yaml).collect();
    let outputs: Vec<Output<'_>> = baselines
        .iter()
        .zip(&documents)
        .map(|(baseline, content)| Output {
            name: format!("{}.yaml", document::file_name(&baseline.image)),
            content,
        })
        .collect();
    // Before anything is written: decisions that cannot be read are an error.
    let kept = files::decisions(&arguments.out, baselines.iter().map(|baseline| &baseline.image))?;
    files::write_all(&arguments.out, &outputs)?;
    let rows: Vec<BaselineRow> = baselines
        .iter()
        .zip(kept)
        .zip(&outputs)
        .map(|((baseline, kept), output)| {
            let open = Risks::of(baseline, &catalogue, kept).open(baseline, now);
            BaselineRow::new(baseline, open, &arguments.out, &output.name)
        })
        .collect();
    tell(&rows, &arguments.listing, Vec::new())
}

/// Runs `generate policies`. `variable` is the value of [`cli::RECORDING_VARIABLE`].
///
/// # Errors
/// [`Error`] where baselines cannot be read, a policy does not pass its own check, or cannot be written.
pub fn policies(arguments: &cli::Policies, variable: Option<OsString>) -> Result<Told, Error> {
    let (catalogue, now) = (risks::catalogue(&arguments.catalogue)?, UtcTime::now());
    let criteria = arguments.coverage.criteria();
    let mut inputs = inputs(
        arguments.baselines.as_deref(),
        &arguments.recordings,
        variable,
        &criteria,
    )?;
    for input in &mut inputs {
        let risks = Risks::of(&input.baseline, &catalogue, input.decisions.take());
        input.undecided = Some(risks.open(&input.baseline, now));
        input.forbidden = risks.forbidden(&input.baseline, now);
        input.max_price = arguments.max_price;
        input.denied = risks.remove_denied(&mut input.baseline);
    }
    // A policy of nothing would report everything that the image's containers do.
    let (inputs, idle): (Vec<Input>, Vec<Input>) = inputs
        .into_iter()
        .partition(|input| input.baseline.behaviours != Behaviours::default());
    if inputs.is_empty() {
        return Err(Error::NothingLearned);
    }
    let policies = compile_all(&inputs, arguments.tetragon)?;
    let outputs: Vec<Output<'_>> = policies
        .iter()
        .map(|policy| Output {
            name: format!("{}.yaml", policy.name),
            content: &policy.yaml,
        })
        .collect();
    files::write_all(&arguments.out, &outputs)?;
    let rows: Vec<PolicyRow> = inputs
        .iter()
        .zip(&policies)
        .map(|(input, policy)| PolicyRow::new(&input.baseline, policy, &arguments.out))
        .collect();
    let no_policy = idle.iter().map(|input| {
        format!(
            "{}: nothing was learned, so there is no policy of it",
            input.baseline.image
        )
    });
    let is_unread = arguments.baselines.is_none() && inputs.iter().any(|input| input.undecided > Some(0));
    let unread = is_unread.then(|| risks::NOT_READ.to_owned());
    let warnings = rows
        .iter()
        .flat_map(|row| row.warnings.iter().map(|warning| format!("{}: {warning}", row.image)))
        .chain(no_policy)
        .chain(unread)
        .collect();
    tell(&rows, &arguments.listing, warnings)
}

/// The baselines of a folder with the decisions beside them, or of recordings.
fn inputs(
    folder: Option<&Path>,
    recordings: &cli::Recordings,
    variable: Option<OsString>,
    criteria: &Criteria,
) -> Result<Vec<Input>, Error> {
    if let Some(folder) = folder {
        return files::read_baselines(folder);
    }
    of_recordings(&recordings.paths(variable)?, criteria)
}

/// The baselines of recordings.
fn of_recordings(recordings: &[PathBuf], criteria: &Criteria) -> Result<Vec<Input>, Error> {
    let baselines = baselines_by(recordings, criteria)?;
    let input = |baseline| {
        let document = document::to_yaml(&baseline);
        Input::new(baseline, document.as_bytes())
    };
    Ok(baselines.into_iter().map(input).collect())
}

/// All policies, or the first reason why not.
fn compile_all(inputs: &[Input], tetragon: policy::Tetragon) -> Result<Vec<Compiled>, Error> {
    let mut policies = inputs
        .iter()
        .map(|input| policy::compile(input, tetragon))
        .collect::<Result<Vec<_>, _>>()?;
    let mut images = BTreeMap::<&str, &Input>::new();
    for (policy, input) in policies.iter().zip(inputs) {
        if images.insert(&policy.name, input).is_some() {
            return Err(Error::Duplicate {
                image: input.baseline.image.to_string(),
            });
        }
    }
    let mut repositories = BTreeMap::<&str, Vec<String>>::new();
    for input in inputs {
        let image = &input.baseline.image;
        repositories
            .entry(&image.repository)
            .or_default()
            .push(image.to_string());
    }
    for (policy, input) in policies.iter_mut().zip(inputs) {
        let image = input.baseline.image.to_string();
        let versions = repositories
            .get(input.baseline.image.repository.as_str())
            .into_iter()
            .flatten();
        let others: Vec<&str> = versions.map(String::as_str).filter(|other| *other != image).collect();
        if !others.is_empty() {
            policy.warnings.push(format!(
                "selects the containers of {} too, because Tetragon selects by repository: it reports what only they do",
                crate::evidence::enumerate(others.iter())
            ));
        }
    }
    Ok(policies)
}

fn tell<R: Row>(rows: &[R], how: &cli::Listing, warnings: Vec<String>) -> Result<Told, Error> {
    let listing = if how.quiet {
        String::new()
    } else {
        listing::list(rows, how.output)?
    };
    Ok(Told {
        listing,
        warnings,
        differs: false,
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BaselineRow {
    image: String,
    containers: usize,
    execs: usize,
    opens: usize,
    maps: usize,
    connects: usize,
    unix_sockets: usize,
    sends: usize,
    listens: usize,
    raises: usize,
    /// Observations that were lost. What was not even counted is in the document.
    losses: u64,
    /// Risks that need a decision.
    risks: usize,
    /// Whether enough was seen.
    state: State,
    /// What would help most.
    advice: String,
    file: String,
}

impl BaselineRow {
    fn new(baseline: &Baseline, risks: usize, folder: &Path, name: &str) -> Self {
        let behaviours = &baseline.behaviours;
        let opens = behaviours.opens().count();
        let coverage = baseline.coverage.as_ref();
        Self {
            image: baseline.image.to_string(),
            containers: baseline.containers.len(),
            execs: behaviours.exec.len(),
            opens,
            maps: behaviours.open.len() - opens,
            connects: behaviours.connect.len(),
            unix_sockets: behaviours.connect_unix.len(),
            sends: behaviours.send.len(),
            listens: behaviours.listen.len(),
            raises: behaviours.raise.len(),
            losses: baseline
                .losses
                .iter()
                .fold(0, |sum, loss| sum.saturating_add(loss.count)),
            risks,
            state: coverage.map_or(State::Unknown, |coverage| coverage.state),
            advice: coverage.map_or_else(String::new, |coverage| coverage.advice.clone()),
            file: folder.join(name).display().to_string(),
        }
    }
}

impl Row for BaselineRow {
    const COLUMNS: &'static [&'static str] = &[
        "IMAGE",
        "CONTAINERS",
        "EXECS",
        "OPENS",
        "MAPS",
        "CONNECTS",
        "UNIX",
        "SENDS",
        "LISTENS",
        "RAISES",
        "LOSSES",
        "RISKS",
        "STATE",
        "FILE",
    ];

    fn cells(&self) -> Vec<String> {
        let counts = [
            self.containers,
            self.execs,
            self.opens,
            self.maps,
            self.connects,
            self.unix_sockets,
            self.sends,
            self.listens,
            self.raises,
        ];
        let mut cells = vec![self.image.clone()];
        cells.extend(counts.map(|count| count.to_string()));
        cells.extend([self.losses.to_string(), self.risks.to_string()]);
        cells.extend([self.state.to_string(), self.file.clone()]);
        cells
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PolicyRow {
    image: String,
    policy: String,
    containers: usize,
    execs: usize,
    opens: usize,
    connects: usize,
    warnings: Vec<String>,
    file: String,
}

impl PolicyRow {
    fn new(baseline: &Baseline, policy: &Compiled, folder: &Path) -> Self {
        Self {
            image: baseline.image.to_string(),
            policy: policy.name.clone(),
            containers: baseline.containers.len(),
            execs: baseline.behaviours.exec.len(),
            opens: baseline.behaviours.opens().count(),
            connects: baseline.behaviours.connect.len(),
            warnings: policy.warnings.clone(),
            file: folder.join(format!("{}.yaml", policy.name)).display().to_string(),
        }
    }
}

impl Row for PolicyRow {
    const COLUMNS: &'static [&'static str] = &["IMAGE", "CONTAINERS", "EXECS", "OPENS", "CONNECTS", "WARNINGS", "FILE"];

    fn cells(&self) -> Vec<String> {
        let counts = [
            self.containers,
            self.execs,
            self.opens,
            self.connects,
            self.warnings.len(),
        ];
        let [containers, execs, opens, connects, warnings] = counts.map(|count| count.to_string());
        vec![
            self.image.clone(),
            containers,
            execs,
            opens,
            connects,
            warnings,
            self.file.clone(),
        ]
    }
}
