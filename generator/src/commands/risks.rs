//! `generate risks` and `generate decide`.

use std::collections::BTreeMap;
use std::ffi::OsString;

use baselines::coverage::Criteria;
use baselines::risks::{Catalogue, CatalogueFile, Decided, Decision, Target, Verdict};
use baselines::time::UtcTime;
use serde::Serialize;

use super::{Told, inputs, tell};
use crate::cli;
use crate::error::Error;
use crate::files::{self, Output, decisions_name};
use crate::listing::Row;
use crate::risks::Risks;

/// The shipped catalogue, with files of the user's own.
///
/// # Errors
/// [`Error::Risks`] where one of them cannot be used.
pub(super) fn catalogue(arguments: &cli::Catalogue) -> Result<Catalogue, Error> {
    let files = arguments.catalogue.iter().map(|file| CatalogueFile::read(file));
    Ok(Catalogue::shipped().with(files.collect::<Result<_, _>>()?)?)
}

/// What is not so where no folder of baselines is given.
pub(super) const NOT_READ: &str = "decisions were not read: they are kept beside baselines, see --baselines";

/// Runs `generate risks`. `variable` is the value of [`cli::RECORDING_VARIABLE`].
///
/// # Errors
/// [`Error`] where something cannot be read; with `--check`, [`Error::Undecided`] where a decision is missing.
pub fn risks(arguments: &cli::Risks, variable: Option<OsString>) -> Result<Told, Error> {
    let catalogue = catalogue(&arguments.catalogue)?;
    let now = UtcTime::now();
    let (mut rows, mut warnings, mut open) = (Vec::new(), Vec::new(), 0);
    if arguments.baselines.is_none() {
        warnings.push(NOT_READ.to_owned());
    }
    let inputs = inputs(
        arguments.baselines.as_deref(),
        &arguments.recordings,
        variable,
        &Criteria::default(),
    )?;
    for input in inputs {
        let (image, containers) = (input.baseline.image.to_string(), input.baseline.containers.len());
        let risks = Risks::of(&input.baseline, &catalogue, input.decisions);
        for decided in risks.decided(&input.baseline, now) {
            open += usize::from(decided.needs_decision());
            rows.push(RiskRow::new(&image, containers, &decided, &catalogue));
        }
        let unmatched = risks.unmatched(&input.baseline, now);
        if unmatched > 0 {
            warnings.push(format!(
                "{image}: {unmatched} of its decisions fit nothing that was seen; they are kept"
            ));
        }
    }
    if arguments.check && open > 0 {
        return Err(Error::Undecided { open });
    }
    tell(&rows, &arguments.listing, warnings)
}

/// Runs `generate decide`.
///
/// # Errors
/// [`Error`] where something cannot be read or written, or where no baseline has such a finding.
pub fn decide(arguments: &cli::Decide) -> Result<Told, Error> {
    let catalogue = catalogue(&arguments.catalogue)?;
    let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut is_known = vec![false; arguments.findings.len()];
    for input in files::read_baselines(&arguments.baselines)? {
        let mut risks = Risks::of(&input.baseline, &catalogue, input.decisions);
        let mut decided = 0;
        for (key, is_known) in arguments.findings.iter().zip(&mut is_known) {
            let Some(finding) = risks.findings.iter().find(|finding| finding.key == *key) else {
                continue;
            };
            let decision = Decision {
                verdict: if arguments.deny {
                    Verdict::Deny
                } else {
                    Verdict::Allow { until: arguments.until }
                },
                reason: arguments.reason.clone(),
                who: arguments.who.clone(),
                when: UtcTime::now().whole_second(),
                inherited_from: None,
                about: Some(finding.sentence()),
            };
            if arguments.deny {
                // Findings put behaviours together otherwise when there are more of them. What is denied stays denied.
                for sighting in &finding.sightings {
                    let about = Some(sighting.behaviour.to_string());
                    let of_behaviour = Decision {
                        about,
                        ..decision.clone()
                    };
                    risks
                        .decisions
                        .decide(Target::behaviour(&sighting.behaviour), of_behaviour);
                }
            }
            risks.decisions.decide(Target::finding(key.clone()), decision);
            (*is_known, decided) = (true, decided + 1);
        }
        if decided > 0 {
            found.insert(
                decisions_name(&input.baseline.image),
                (risks.decisions.to_yaml(), decided),
            );
        }
    }
    if let Some((key, _)) = arguments.findings.iter().zip(is_known).find(|(_, is_known)| !is_known) {
        return Err(Error::NoFinding {
            key: key.to_string(),
            folder: arguments.baselines.clone(),
        });
    }
    let outputs: Vec<Output<'_>> = found
        .iter()
        .map(|(name, (content, _))| Output {
            name: name.clone(),
            content,
        })
        .collect();
    files::write_all(&arguments.baselines, &outputs)?;
    let lines = found.iter().map(|(name, (_, decided))| {
        let file = arguments.baselines.join(name);
        let findings = if *decided == 1 { "finding" } else { "findings" };
        format!(
            "{decided} {findings} decided in {}\n",
            crate::printable(&file.display().to_string())
        )
    });
    Ok(Told {
        listing: if arguments.quiet {
            String::new()
        } else {
            lines.collect()
        },
        ..Told::default()
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RiskRow {
    image: String,
    severity: &'static str,
    state: &'static str,
    /// The catalogue's entry, and what it says.
    risk: String,
    title: String,
    attack: Vec<String>,
    why: String,
    advice: String,
    /// What was seen: every behaviour, and how often.
    seen: Vec<SeenRow>,
    /// How many containers did it: the most that did one of these, of all that ran the image. Programs read `seen`.
    #[serde(skip)]
    containers: String,
    /// One sentence of that.
    what: String,
    key: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeenRow {
    behaviour: String,
    count: u64,
    containers: u64,
    /// How many ran the image.
    of_containers: usize,
}

impl RiskRow {
    /// `containers` is how many ran the image.
    fn new(image: &str, containers: usize, decided: &Decided<'_>, catalogue: &Catalogue) -> Self {
        let finding = decided.finding;
        let entry = catalogue.entry(finding.key.entry());
        let text = |of: &dyn Fn(&baselines::risks::Entry) -> String| entry.map(of).unwrap_or_default();
        let techniques = entry.into_iter().flat_map(|entry| entry.attack.iter());
        let most = finding
            .sightings
            .iter()
            .map(|sighting| sighting.evidence.containers)
            .max();
        let seen = finding.sightings.iter().map(|sighting| SeenRow {
            behaviour: sighting.behaviour.to_string(),
            count: sighting.evidence.count,
            containers: sighting.evidence.containers,
            of_containers: containers,
        });
        Self {
            image: image.to_owned(),
            severity: finding.severity.word(),
            state: decided.word(),
            risk: finding.key.entry().as_str().to_owned(),
            title: text(&|entry| entry.title.to_string()),
            attack: techniques.map(ToString::to_string).collect(),
            why: text(&|entry| entry.why.to_string()),
            advice: text(&|entry| entry.advice.to_string()),
            seen: seen.collect(),
            containers: format!("{} of {containers}", most.unwrap_or_default()),
            what: finding.sentence(),
            key: finding.key.to_string(),
        }
    }
}

impl Row for RiskRow {
    const COLUMNS: &'static [&'static str] = &["IMAGE", "SEVERITY", "STATE", "CONTAINERS", "WHAT", "KEY"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.image.clone(),
            self.severity.to_owned(),
            self.state.to_owned(),
            self.containers.clone(),
            self.what.clone(),
            self.key.clone(),
        ]
    }
}
