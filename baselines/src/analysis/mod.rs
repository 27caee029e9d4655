//! Recordings in, baselines out.
//!
//! Of several copies of one recording only the one that is furthest counts (the highest revision); different ids add up. The
//! order in which they are given changes nothing, nor how a recorder cut its observations into flushes, nor whether
//! recordings were merged into one file before.

mod error;
mod estimate;
mod exposure;
pub(crate) mod generalised;
mod image;
mod sources;
mod statistics;
mod summary;
mod tally;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

pub use error::Error;
pub use summary::{BEHAVIOURS_MAX, Covered, GROUPS_MAX, Group, ImageSummary, Seen as SeenBehaviour, Sum};

use crate::coverage::Criteria;
use crate::document::Baseline;
use crate::recording::{EndReason, Files};
use crate::templates::{Corpus, Price, Template};
use crate::workload::Image;
use image::ImageEvidence;
use sources::{Seen, Source, Watched};
use tally::Tallies;

/// How many days of containers an analysis may have to look at: more than five years of a thousand containers.
const CONTAINER_DAYS_MAX: u64 = 2_000_000;

/// One baseline for each image that a container of the recordings ran, sorted by image.
///
/// Containers are the same if their boot id and cgroup id are, even when several recordings have seen them. An image
/// whose containers did nothing has a baseline without behaviours. Which of them are ready is said by [`Criteria::default`].
///
/// # Errors
/// [`Error::Recording`] where one of them cannot be read, [`Error::Nothing`] where none of them holds a behaviour.
pub fn baselines(recordings: &[PathBuf]) -> Result<Vec<Baseline>, Error> {
    baselines_by(recordings, &Criteria::default())
}

/// The same, where an image is ready by these criteria.
///
/// # Errors
/// As [`baselines`].
pub fn baselines_by(recordings: &[PathBuf], criteria: &Criteria) -> Result<Vec<Baseline>, Error> {
    let estimate = |image: &Image, evidence: &mut ImageEvidence| evidence.estimate(image, criteria);
    analyse(recordings, Empty::IsAnError, estimate, |mut images, sources| {
        price(&mut images);
        let baselines = images
            .into_iter()
            .map(|(image, evidence)| evidence.into_baseline(image, sources));
        let mut baselines: Vec<Baseline> = baselines.collect::<Result<_, _>>()?;
        baselines.sort_by(|one, other| one.image.cmp(&other.image));
        Ok(baselines)
    })
}

/// What recordings hold of each image, for an estimate elsewhere together with others: see [`ImageSummary`]. And the images of
/// which that is more than [`BEHAVIOURS_MAX`] or [`GROUPS_MAX`] tell.
///
/// # Errors
/// As [`baselines`], but recordings without behaviours are none: that a container did nothing is told, too.
pub fn summaries(recordings: &[PathBuf]) -> Result<(Vec<ImageSummary>, Vec<Image>), Error> {
    analyse(
        recordings,
        Empty::IsFine,
        |_, _| {},
        |images, _| {
            let (mut summaries, mut left_out) = (Vec::new(), Vec::new());
            for (image, evidence) in images {
                match evidence.into_summary(&image) {
                    Some(summary) => summaries.push(summary),
                    None => left_out.push(image),
                }
            }
            Ok((summaries, left_out))
        },
    )
}

/// What recordings are in which no container did anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Empty {
    IsAnError,
    IsFine,
}

/// Gathers the evidence of each image, does something with it as long as nothing else takes memory, and makes something of all.
fn analyse<T>(
    recordings: &[PathBuf],
    empty: Empty,
    each: impl Fn(&Image, &mut ImageEvidence),
    finish: impl FnOnce(BTreeMap<Image, ImageEvidence>, &[Source<'_>]) -> Result<T, Error>,
) -> Result<T, Error> {
    let files = Files::open(recordings)?;
    let sources = sources::newest(&files)?;
    let containers = sources::containers(&sources)?;
    let watched = sources::watched(&sources)?;
    let days = containers
        .iter()
        .map(|seen| exposure::days(&seen.container, &watched.of(seen)))
        .fold(0, u64::saturating_add);
    if days > CONTAINER_DAYS_MAX {
        return Err(Error::TooLong { days });
    }
    let mut of_images: BTreeMap<Image, Vec<&Seen>> = BTreeMap::new();
    for seen in &containers {
        of_images
            .entry(image_key(&seen.container.image))
            .or_default()
            .push(seen);
    }
    let mut images: BTreeMap<Image, ImageEvidence> = BTreeMap::new();
    for (image, containers) in of_images {
        let mut evidence = ImageEvidence::default();
        for seen in containers {
            evidence.add(seen, observed(&sources, seen)?, &watched.of(seen));
        }
        each(&image, &mut evidence);
        images.insert(image, evidence);
    }
    if empty == Empty::IsAnError && images.values().all(ImageEvidence::has_no_behaviour) {
        return Err(error::nothing(&sources, containers.len()));
    }
    add_losses(&sources, &containers, &watched, &mut images)?;
    add_removed(&sources, &mut images);
    finish(images, &sources)
}

/// Finds out what the images' templates admit of the paths of all images.
fn price(images: &mut BTreeMap<Image, ImageEvidence>) {
    let prices: Vec<_> = {
        let corpus = Corpus::new([], images.values().flat_map(ImageEvidence::paths));
        let templates: BTreeSet<&Template> = images.values().flat_map(ImageEvidence::templates).collect();
        let templates: Vec<Template> = templates.into_iter().cloned().collect();
        let all: BTreeMap<&Template, Price<'_>> = templates.iter().zip(corpus.prices(&templates)).collect();
        images.values().map(|image| image.prices(&all)).collect()
    };
    for (image, prices) in images.values_mut().zip(prices) {
        image.take_prices(prices);
    }
}

/// A baseline is about one digest, whatever tags it has; where no digest is known, about one tag.
fn image_key(image: &Image) -> Image {
    let tag = if image.digest.is_some() {
        None
    } else {
        image.tag.clone()
    };
    Image { tag, ..image.clone() }
}

/// What a container did, according to every recording that saw it.
fn observed(sources: &[Source<'_>], seen: &Seen) -> Result<Tallies, Error> {
    let mut tallies = Tallies::default();
    for part in &seen.parts {
        let Some(source) = sources.get(part.source) else {
            continue;
        };
        let opened = source.opened()?;
        opened.observed(part.row, |behaviour, counted| {
            tallies.add(behaviour, counted);
            Ok(())
        })?;
        opened.reached(part.row, |behaviour, counted| {
            tallies.add_peer(behaviour, counted);
            Ok(())
        })?;
    }
    Ok(tallies)
}

/// Charges each loss to the image of its container. One whose container is not known could concern every image that its
/// window saw, and so could what a window missed without counting it; what one missed that failed before it saw anybody could
/// concern every image.
fn add_losses(
    sources: &[Source<'_>],
    containers: &[Seen],
    watched: &Watched,
    images: &mut BTreeMap<Image, ImageEvidence>,
) -> Result<(), Error> {
    let owners: HashMap<_, _> = containers
        .iter()
        .flat_map(|seen| seen.parts.iter().map(move |part| (*part, seen)))
        .collect();
    let mut of_parts = HashSet::new();
    for (index, source) in sources.iter().enumerate() {
        let owner = |row| owners.get(&sources::Part { source: index, row }).copied();
        let mut present: HashMap<u64, BTreeSet<Image>> = HashMap::new();
        for window in &source.windows {
            let seen = watched
                .by(index, window.number)
                .iter()
                .copied()
                .filter_map(owner)
                .map(|seen| image_key(&seen.container.image))
                .collect();
            present.insert(window.number, seen);
        }
        add_uncounted(source, &present, images);
        for loss in source.opened()?.losses(&source.identity)? {
            let (concerned, id) = match loss.container.and_then(owner) {
                Some(seen) => (&BTreeSet::from([image_key(&seen.container.image)]), Some(seen.id())),
                None => (present.entry(loss.window).or_default() as &_, None),
            };
            for image in concerned {
                // Each part of a recording has what nobody knows whose it is.
                let part = source.identity.part.as_ref().filter(|_| id.is_none());
                let is_told = part.is_some_and(|part| {
                    let whose = (part.whole, loss.window, loss.cgroup_id, loss.reason, image.clone());
                    !of_parts.insert(whose)
                });
                if !is_told && let Some(evidence) = images.get_mut(image) {
                    evidence.lost(loss.reason, id.clone(), loss.count)?;
                }
            }
        }
    }
    Ok(())
}

/// Tells images what their windows can have missed.
fn add_uncounted(
    source: &Source<'_>,
    present: &HashMap<u64, BTreeSet<Image>>,
    images: &mut BTreeMap<Image, ImageEvidence>,
) {
    for window in &source.windows {
        let Some(why) = window.uncounted_losses() else { continue };
        let why = format!("window {} of recording {}: {why}", window.number, source.identity.id);
        let seen = present.get(&window.number).filter(|seen| !seen.is_empty());
        let is_anybodys = match &window.ended {
            // A recording that is lost, say: nobody knows whom it had seen.
            Some((_, EndReason::Failed(_) | EndReason::Crashed)) => seen.is_none(),
            _ => false,
        };
        for (image, evidence) in images.iter_mut() {
            if is_anybodys || seen.is_some_and(|seen| seen.contains(image)) {
                evidence.missed(why.clone());
            }
        }
    }
}

/// Tells each image in how many windows it was seen that are no more.
fn add_removed(sources: &[Source<'_>], images: &mut BTreeMap<Image, ImageEvidence>) {
    for (index, source) in sources.iter().enumerate() {
        // Several tags of one digest are one image.
        let seen: BTreeSet<_> = source
            .removed
            .iter()
            .map(|removed| {
                (
                    removed.number,
                    image_key(&removed.image),
                    removed.started,
                    removed.ended,
                )
            })
            .collect();
        for (_, image, started, ended) in seen {
            if let Some(evidence) = images.get_mut(&image) {
                evidence.was_removed(index, started, ended);
            }
        }
    }
}
