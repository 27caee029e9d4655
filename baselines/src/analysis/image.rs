//! Everything about one image, on its way into a baseline.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use super::Error;
use super::estimate::Estimated;
use super::exposure::{Exposure, Sightings};
use super::generalised;
use super::sources::{Seen, Source};
use super::statistics::{self, Watching};
use super::summary::ImageSummary;
use super::tally::{Tallies, Tally, Total};
use crate::behaviour::Behaviour;
use crate::coverage::{Criteria, Losses};
use crate::document::{
    ApiVersion, Baseline, Behaviours, Container, Kind, Loss, PathTemplate, Removed, Source as Origin, Statistics,
};
use crate::loss::Reason;
use crate::path::FilePath;
use crate::templates::{self, Corpus, Price, Template};
use crate::time::UtcTime;
use crate::workload::Image;

/// What the recordings hold about one image.
#[derive(Debug, Default)]
pub(super) struct ImageEvidence {
    tags: BTreeSet<String>,
    sources: BTreeSet<usize>,
    containers: Vec<Container>,
    losses: BTreeMap<(Reason, Option<String>), u64>,
    uncounted_losses: BTreeSet<String>,
    removed: BTreeMap<usize, Removed>,
    learned: HashMap<Behaviour, Total>,
    not_learned: HashMap<Behaviour, Total>,
    exposure: Exposure,
    watching: Watching,
    /// Some of its workloads do not end by themselves.
    runs_on: bool,
    estimated: Option<Estimated>,
    statistics: Option<Statistics>,
    /// What paths were generalised to.
    templates: Vec<Template>,
    priced: Vec<PathTemplate>,
}

impl ImageEvidence {
    /// Adds a container, what it did, and when windows watched it.
    pub(super) fn add(&mut self, seen: &Seen, tallies: Tallies, watched: &[(UtcTime, UtcTime)]) {
        let (startup_until, steady) = tallies.watched();
        let container = self.exposure.add(&seen.container, startup_until, steady, watched);
        self.watching.add(&seen.container, &tallies.active(), watched);
        self.runs_on |= !matches!(seen.container.workload.kind.as_str(), "Job" | "CronJob");
        self.tags.extend(seen.container.image.tag.clone());
        self.sources.extend(seen.parts.iter().map(|part| part.source));
        self.containers.push(Container {
            workload: seen.container.workload.clone(),
            id: seen.id(),
            node: seen.host.clone(),
            first_seen: seen.container.started.whole_second(),
            last_seen: seen.container.alive_until.whole_second(),
            partial: seen.container.partial,
            startup_until: startup_until.map(UtcTime::whole_second),
        });
        let merge = |totals: &mut HashMap<Behaviour, Total>, tallies: HashMap<Behaviour, Tally>| {
            for (behaviour, tally) in tallies {
                totals.entry(behaviour).or_default().add(tally, seen.node, container);
            }
        };
        merge(&mut self.learned, tallies.learned);
        merge(&mut self.not_learned, tallies.not_learned);
    }

    /// Estimates how much has been seen, once all containers are there, and forgets what only that needs.
    pub(super) fn estimate(&mut self, image: &Image, criteria: &Criteria) {
        let (sightings, _) = self.generalise();
        let (exposure, watching) = (std::mem::take(&mut self.exposure), std::mem::take(&mut self.watching));
        let estimated = Estimated::new(&exposure, &sightings, seed(&image.to_string()), !self.runs_on, criteria);
        let counted = self.learned.iter().map(|(behaviour, total)| (behaviour, total.count()));
        self.statistics = Some(statistics::of_image(counted, &exposure, &watching, estimated.curves()));
        self.estimated = Some(estimated);
    }

    /// What has been seen, for an estimate elsewhere; see [`ImageSummary`].
    pub(super) fn into_summary(mut self, image: &Image) -> Option<ImageSummary> {
        let losses = self.all_losses();
        let (sightings, keys) = self.generalise();
        let behaviours = keys.into_iter().zip(sightings);
        ImageSummary::new(image.to_string(), &self.exposure, behaviours, self.runs_on, losses)
    }

    /// Where each generalised behaviour was seen, and what its form hashes to; forgets that of the behaviours themselves.
    fn generalise(&mut self) -> (Vec<Sightings>, Vec<u64>) {
        let mut behaviours: Vec<(&Behaviour, &Total)> = self.learned.iter().collect();
        behaviours.sort_unstable_by_key(|(behaviour, _)| *behaviour);
        let paths = behaviours
            .iter()
            .flat_map(|(behaviour, _)| generalised::paths(behaviour));
        let mined = templates::mine(paths, &templates::Options::default());
        let reached = behaviours.iter().map(|(behaviour, total)| (*behaviour, total.whom()));
        let (numbers, forms) = generalised::numbers(reached, &mined);
        let keys = forms.iter().map(|form| generalised::key(form, &mined)).collect();
        let mut sightings = vec![Sightings::default(); forms.len()];
        for ((_, total), number) in behaviours.iter().zip(numbers) {
            if let Some(sightings) = sightings.get_mut(number) {
                sightings.append(&total.sightings);
            }
        }
        for sightings in &mut sightings {
            sightings.settle();
        }
        self.templates = mined.templates.into_iter().map(|found| found.template).collect();
        for total in self.learned.values_mut().chain(self.not_learned.values_mut()) {
            total.settle(&self.watching);
        }
        (sightings, keys)
    }

    /// What was lost, or may have been.
    fn all_losses(&self) -> Losses {
        match (self.losses.is_empty(), self.uncounted_losses.is_empty()) {
            (true, true) => Losses::RuledOut,
            (true, false) => Losses::NotRuledOut,
            (false, _) => Losses::Present,
        }
    }

    /// What its paths were generalised to.
    pub(super) fn templates(&self) -> impl Iterator<Item = &Template> {
        self.templates.iter()
    }

    /// Every path that its containers' behaviours name, once or more.
    pub(super) fn paths(&self) -> impl Iterator<Item = &FilePath> {
        let behaviours = self.learned.keys().chain(self.not_learned.keys());
        behaviours.flat_map(generalised::paths)
    }

    /// What its templates cost, given what they admit of the paths of all images: its own ones are no price.
    pub(super) fn prices(&self, all: &BTreeMap<&Template, Price<'_>>) -> Vec<PathTemplate> {
        if self.templates.is_empty() {
            return Vec::new();
        }
        let own: BTreeSet<&FilePath> = self.learned.keys().flat_map(generalised::paths).collect();
        let corpus = Corpus::new([], own.iter().copied());
        let templates = self.templates.iter().zip(corpus.prices(&self.templates));
        let priced = templates.filter_map(|(template, of_own)| {
            let price = all.get(template)?;
            let own_by_policy = corpus.admitted(&price.compiled.operator);
            let sensitive = price.policy.sensitive.iter().filter(|path| !own.contains(**path));
            let mut priced = PathTemplate::new(template.clone(), price);
            priced.covers = of_own.template.admitted;
            priced.also_admits = priced.also_admits.saturating_sub(of_own.template.admitted);
            priced.policy_also_admits = priced.policy_also_admits.saturating_sub(own_by_policy.admitted);
            priced.sensitive = priced.sensitive.saturating_sub(own_by_policy.sensitive_count);
            priced.sensitive_paths = sensitive.copied().cloned().collect();
            Some(priced)
        });
        priced.collect()
    }

    /// Takes what its templates cost.
    pub(super) fn take_prices(&mut self, priced: Vec<PathTemplate>) {
        self.priced = priced;
    }

    /// Adds what a container lost, or a window.
    ///
    /// # Errors
    /// [`Error::CountTooLarge`] beyond 64 bits.
    pub(super) fn lost(&mut self, reason: Reason, container: Option<String>, count: u64) -> Result<(), Error> {
        let sum = self.losses.entry((reason, container)).or_default();
        *sum = sum.checked_add(count).ok_or(Error::CountTooLarge)?;
        Ok(())
    }

    /// Adds why something can be missing without being counted.
    pub(super) fn missed(&mut self, why: String) {
        self.uncounted_losses.insert(why);
    }

    /// Adds a window of a source that had seen the image and was removed.
    pub(super) fn was_removed(&mut self, source: usize, from: UtcTime, until: UtcTime) {
        self.sources.insert(source);
        let (from, until) = (from.whole_second(), until.whole_second());
        let removed = self.removed.entry(source).or_insert(Removed {
            windows: 0,
            from,
            until,
        });
        removed.windows += 1;
        removed.from = removed.from.min(from);
        removed.until = removed.until.max(until);
    }

    /// Whether none of its containers did anything.
    pub(super) fn has_no_behaviour(&self) -> bool {
        self.learned.is_empty() && self.not_learned.is_empty()
    }

    /// The document.
    ///
    /// # Errors
    /// [`Error::CountTooLarge`] beyond 64 bits.
    pub(super) fn into_baseline(mut self, image: Image, sources: &[Source<'_>]) -> Result<Baseline, Error> {
        self.containers.sort();
        let losses = self.all_losses();
        Ok(Baseline {
            api_version: ApiVersion,
            kind: Kind,
            image: Image {
                tag: image.tag.or(self.tags.pop_first()),
                ..image
            },
            recordings: self
                .sources
                .into_iter()
                .filter_map(|index| Some((index, sources.get(index)?)))
                .map(|(index, source)| Origin {
                    recording: source.identity.id,
                    revision: source.identity.revision,
                    node: source.identity.host.clone(),
                    backends: source.backends(),
                    removed: self.removed.remove(&index),
                })
                .collect(),
            containers: self.containers,
            losses: self
                .losses
                .into_iter()
                .map(|((reason, container), count)| Loss {
                    reason,
                    count,
                    container,
                })
                .collect(),
            uncounted_losses: self.uncounted_losses.into_iter().collect(),
            coverage: self.estimated.map(|estimated| estimated.into_document(losses)),
            templates: self.priced,
            behaviours: behaviours(self.learned)?,
            not_learned: behaviours(self.not_learned)?,
            statistics: self.statistics,
        })
    }
}

/// What resampling begins with: the same for the same image.
pub(super) fn seed(image: &str) -> u64 {
    let digest = Sha256::digest(image);
    digest.iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte))
}

/// Sorts behaviours by kind and field.
fn behaviours(totals: HashMap<Behaviour, Total>) -> Result<Behaviours, Error> {
    let mut sorted: Vec<(Behaviour, Total)> = totals.into_iter().collect();
    // No two are equal.
    sorted.sort_unstable_by(|(a, _), (b, _)| (&a.action, &a.subject).cmp(&(&b.action, &b.subject)));
    let mut lists = Behaviours::default();
    for (behaviour, mut total) in sorted {
        let reached = total.reached()?;
        lists.push_reached(behaviour, reached, total.into_evidence()?);
    }
    Ok(lists)
}
