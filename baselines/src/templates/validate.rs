//! Cross-validation: do templates that some containers were mined for hold for another one?
//!
//! A threshold that is too high leaves names of tomorrow out (the policy breaks the workload), one that is too low lets
//! anything in. Both can be measured on what was recorded: containers are dealt out to folds, templates are mined from all
//! folds but one, and tried on that one.

use super::mine::{Options, mine};
use super::price::Corpus;
use super::set::TemplateSet;
use super::template::Template;
use crate::path::FilePath;

/// What one setting came to, summed over all folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validation {
    /// The setting.
    pub options: Options,
    /// How many folds were tried: never more than there are containers.
    pub folds: u64,
    /// Paths of containers that were kept back, once for each container.
    pub held_out: u64,
    /// How many of those the other containers had, to the byte: what a policy without templates would have allowed.
    pub known: u64,
    /// How many of them the others had or their templates match.
    pub matched: u64,
    /// Templates that were mined.
    pub templates: u64,
    /// Paths of the corpus that those match and no container of the image has: the surface that they add.
    pub admitted: u64,
    /// The same for what a policy can compare.
    pub admitted_by_policy: u64,
}

impl Validation {
    /// The share of held-out paths that were matched, from 0 to 1. `None` if there were none.
    pub fn recall(&self) -> Option<f64> {
        share(self.matched, self.held_out)
    }

    /// The share that would have been matched without templates.
    pub fn recall_without_templates(&self) -> Option<f64> {
        share(self.known, self.held_out)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more digits than an f64 has")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Tries settings on the containers of one image, each given by the paths that it used. `corpus` has every path that is known,
/// of other images too. Containers are dealt out in their order, so that the same input gives the same result.
///
/// With one container there is nothing to try it on, and no fold.
///
/// ```
/// use baselines::path::FilePath;
/// use baselines::templates::{Options, cross_validate};
///
/// let container = |pid: u32| vec![FilePath::canonical(format!("/proc/{pid}/stat").into_bytes())];
/// let containers: Vec<Vec<FilePath>> = [101, 202, 303].map(container).into();
/// let results = cross_validate(&containers, &[], 3, &[Options::default()]);
/// assert_eq!(results[0].recall_without_templates(), Some(0.0));
/// assert_eq!(results[0].recall(), Some(1.0));
/// ```
pub fn cross_validate(
    containers: &[Vec<FilePath>],
    corpus: &[FilePath],
    folds: usize,
    settings: &[Options],
) -> Vec<Validation> {
    let folds = folds.min(containers.len());
    let folds = if folds < 2 { 0 } else { folds };
    let corpus = Corpus::new(containers.iter().flatten(), corpus);
    let validate = |options: &Options| {
        let none = Validation {
            options: *options,
            folds: folds as u64,
            held_out: 0,
            known: 0,
            matched: 0,
            templates: 0,
            admitted: 0,
            admitted_by_policy: 0,
        };
        (0..folds).fold(none, |sum, fold| sum.with_fold(containers, &corpus, (fold, folds)))
    };
    settings.iter().map(validate).collect()
}

impl Validation {
    /// Adds what comes of keeping back one of so many folds.
    fn with_fold(self, containers: &[Vec<FilePath>], corpus: &Corpus, (fold, folds): (usize, usize)) -> Self {
        let parts = |is_held: bool| {
            let containers = containers.iter().enumerate();
            containers
                .filter(move |(index, _)| (index % folds == fold) == is_held)
                .map(|(_, paths)| paths)
        };
        let mined = mine(parts(false).flatten(), &self.options);
        let templates: Vec<Template> = mined.templates.iter().map(|found| found.template.clone()).collect();
        let set = TemplateSet::new(&templates);
        let mut known: Vec<&FilePath> = mined.paths;
        known.extend(mined.templates.iter().flat_map(|found| &found.members));
        known.sort_unstable();

        let mut sum = self;
        for paths in parts(true) {
            let mut paths: Vec<&FilePath> = paths.iter().collect();
            paths.sort_unstable();
            paths.dedup();
            for path in paths {
                let is_known = known.binary_search(&path).is_ok();
                sum.held_out += 1;
                sum.known += u64::from(is_known);
                sum.matched += u64::from(is_known || !set.matching(path).is_empty());
            }
        }
        sum.templates += templates.len() as u64;
        for price in corpus.prices(&templates) {
            sum.admitted += price.template.admitted;
            sum.admitted_by_policy += price.policy.admitted;
        }
        sum
    }
}
