//! How sure coverage is: clusters are resampled, not units.
//!
//! The obvious way, drawing clusters with replacement and computing coverage anew, does not work: a cluster that is drawn
//! twice repeats all that only it did, so a behaviour seen once becomes one seen twice, and coverage is estimated from
//! repeats that never happened, and where clusters differ its lower end lies above the truth in nearly all samples
//! (`tests/bootstrap.rs` shows it). So what is resampled is what each cluster did that no other did: how much would have
//! been missed, had this one not been observed. Its share of all incidences is the Good-Turing estimate of what is unseen
//! with the cluster for a unit, and makes no assumption on how units hang together within a cluster.

use super::clusters::{Clusters, Share};
use super::incidence::{Interval, NoEstimate};
use super::number::{real_len, whole};
use super::random::Random;

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// How often. 200 times are enough for a standard error, and 1,000 to 2,000 for the ends of a percentile interval
    /// (Efron and Tibshirani 1993, "An introduction to the bootstrap"). 0 makes no interval.
    pub replicates: u32,
    /// The same seed makes the same interval.
    pub seed: u64,
    /// At least this share of what a cluster does may be new if anything is, from 0 to 1: see
    /// [`CoverageEstimate::provable`].
    pub surprise: f64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self {
            replicates: 2_000,
            seed: 0,
            surprise: 0.1,
        }
    }
}

/// Coverage, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoverageEstimate {
    /// Of the incidences in a further unit, the share that belongs to behaviours which were seen; units taken to be
    /// independent. See [`Estimator::coverage`](super::Estimator::coverage).
    pub estimate: f64,
    /// Of the incidences in a further cluster, the share that belongs to behaviours which were seen: what each cluster did,
    /// held against all others. `None` for fewer than two active clusters.
    pub between_clusters: Option<f64>,
    /// The 95 % interval. Its lower end is never above `provable`. `None` for fewer than two active clusters: then there is
    /// no lower end either.
    pub interval: Option<Interval>,
    /// How many clusters there were in which something was seen.
    pub clusters: usize,
    /// The share of what a cluster does that was taken to be new, if anything is.
    pub surprise: f64,
}

/// How likely it is at most, at 95 %, that the next cluster does something new, if none of so many did. If it is as likely
/// as p, then none of n does with a likelihood of (1-p)^n; that is 5 % for p = 1 - 0.05^(1/n), about 3/n ("rule of three":
/// Hanley and Lippman-Hand 1983, "If nothing goes wrong, is everything all right?", JAMA 249).
fn novelty_at_most(clusters: f64) -> f64 {
    -(0.05_f64.ln() / clusters).exp_m1()
}

impl CoverageEstimate {
    /// The most that so many clusters can prove (95 %), even if none of them did anything that the others did not.
    ///
    /// How likely the next one does something new is at most 1 - 0.05^(1/n). That is no bound on coverage yet, which
    /// counts incidences: it has to be multiplied with the share of such a cluster that is new. Assumed is: as much of it
    /// as one cluster alone would have missed of another one ([`Clusters::first_surprise`]), and at least
    /// [`Resampling::surprise`], as a few clusters that are alike say nothing about the one that is not. With a surprise
    /// of 1 (all of it may be new) nothing is assumed but independence, and 59 clusters prove 0.95.
    pub fn provable(&self) -> f64 {
        1.0 - self.surprise * novelty_at_most(real_len(self.clusters))
    }

    /// How many more active clusters it takes until a target can be proven at all; `None` if no number of them can, as for
    /// a target of 1.
    pub fn clusters_missing(&self, target: f64) -> Option<u64> {
        let novelty = (1.0 - target) / self.surprise;
        let needed = if novelty >= 1.0 {
            2
        } else {
            whole(0.05_f64.ln() / (-novelty).ln_1p()).max(2)
        };
        (target < 1.0).then(|| needed.saturating_sub(u64::try_from(self.clusters).unwrap_or(u64::MAX)))
    }
}

impl Clusters {
    /// Coverage, and how sure it is.
    ///
    /// # Errors
    /// [`NoEstimate`] for fewer than two units, and where nothing was seen.
    pub fn coverage(&self, resampling: &Resampling) -> Result<CoverageEstimate, NoEstimate> {
        let estimate = self.counts().estimator()?.coverage();
        let several = self.active() >= 2;
        let mut coverage = CoverageEstimate {
            estimate,
            between_clusters: several.then(|| covered(self.shares().iter())),
            interval: None,
            clusters: self.active(),
            surprise: self.first_surprise().max(resampling.surprise).clamp(0.0, 1.0),
        };
        if several {
            coverage.interval = percentiles(self.shares(), resampling).map(|Interval { lower, upper }| Interval {
                lower: lower.min(estimate).min(coverage.provable()),
                upper: upper.max(estimate),
            });
        }
        Ok(coverage)
    }
}

fn covered<'a>(shares: impl Iterator<Item = &'a Share>) -> f64 {
    let (all, only_here) = shares.fold((0.0, 0.0), |(all, only_here), share| {
        (all + share.all, only_here + share.only_here)
    });
    1.0 - only_here / all
}

/// The range that holds 95 % of the replicates.
fn percentiles(shares: &[Share], resampling: &Resampling) -> Option<Interval> {
    let mut random = Random::new(resampling.seed);
    let mut replicates: Vec<f64> = (0..resampling.replicates)
        .map(|_| covered((0..shares.len()).filter_map(|_| random.choose(shares))))
        .collect();
    replicates.sort_by(f64::total_cmp);
    let outside = replicates.len().saturating_add(1) / 40;
    let lower = *replicates.get(outside.saturating_sub(1))?;
    let upper = *replicates.get(replicates.len().checked_sub(outside.max(1))?)?;
    Some(Interval { lower, upper })
}
