//! Would longer or shorter units say something else?

use super::incidence::IncidenceCounts;

/// How far the number of behaviours in all may move, as a share of it, when units are halved or doubled; a single behaviour
/// is always allowed.
///
/// Which behaviours there are does not depend on how time is cut, so neither should the estimate (Liyanage et al. 2025,
/// "Assessing reliability of statistical maximum coverage estimators in fuzzing", arXiv 2507.17093, use this where the truth
/// is not known). Where to draw the line is no more than a rule of thumb. In one simulation, with behaviours that come
/// independently, 50 to 500 of them in 50 to 2,000 units, it moved by less than 0.05 in 95 of 100 samples unless most
/// behaviours were unseen; in another, 50 to 100 behaviours that were mostly unseen moved it by 0.11 to 0.41 although they
/// came independently. Where each comes in runs about as long as a unit, it moves by anything from 0 to 0.4: with many units,
/// such runs can pass.
pub const TOLERANCE: f64 = 0.1;

/// Whether the estimates hold when units are halved and doubled.
///
/// What comes in runs of many units looks complete at all three lengths: this check cannot see that, but an interval that
/// resamples clusters can.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reliability {
    /// They do.
    Reliable,
    /// They do not: the number of behaviours in all, as estimated with each length.
    Unreliable {
        /// With units half as long.
        halved: f64,
        /// With the units that are used.
        estimate: f64,
        /// With units twice as long.
        doubled: f64,
    },
    /// One of them does not exist.
    Unknown,
}

/// Holds the estimates of the same observations, cut into units of half the length and of twice the length, against the one
/// that is used.
///
/// Compared is [Chao2](super::Estimator::chao2). Coverage is not: it counts incidences, and a behaviour that is seen all
/// the time has half as many of them in units twice as long.
pub fn reliability(halved: &IncidenceCounts, counts: &IncidenceCounts, doubled: &IncidenceCounts) -> Reliability {
    let richness = |counts: &IncidenceCounts| Some(counts.estimator().ok()?.chao2().estimate);
    let (Some(halved), Some(estimate), Some(doubled)) = (richness(halved), richness(counts), richness(doubled)) else {
        return Reliability::Unknown;
    };
    let allowed = (TOLERANCE * estimate).max(1.0);
    if [halved, doubled]
        .iter()
        .all(|other| (other - estimate).abs() <= allowed)
    {
        Reliability::Reliable
    } else {
        Reliability::Unreliable {
            halved,
            estimate,
            doubled,
        }
    }
}
