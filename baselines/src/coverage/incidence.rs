//! In how many units each behaviour was seen, and what follows from that alone.

use std::collections::BTreeMap;

use super::number::{real, real_sum, whole};

/// The normal distribution's 97.5 % point, which leaves 5 % outside on both sides together.
pub(super) const NORMAL_95: f64 = 1.959_963_984_540_054;

/// How many behaviours were seen in exactly so many of the units: all that the estimators need to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidenceCounts {
    units: u64,
    frequencies: BTreeMap<u64, u64>,
    behaviours: u64,
    incidences: u128,
}

/// Counts that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// A behaviour that was seen in no unit is none that was seen.
    #[error("a behaviour is said to have been seen in 0 units: leave it out")]
    NeverSeen,
    /// More than there are units.
    #[error("a behaviour is said to have been seen in {seen} units of {units}")]
    MoreThanUnits {
        /// In how many units it is said to have been seen.
        seen: u64,
        /// How many there are.
        units: u64,
    },
    /// More behaviours, or more units, than a 64-bit number counts.
    #[error("there are more behaviours or units than 64 bits can count")]
    TooMany,
}

/// Why nothing can be estimated. None of these is a coverage of 0, and none is one of 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoEstimate {
    /// No unit was observed.
    #[error("nothing was observed")]
    NoUnit,
    /// Each behaviour of one unit is as rare as any other: there is nothing to compare it with.
    #[error("only one unit was observed, and nothing to compare it with")]
    OneUnit,
    /// Units were observed, and in none of them anything was done.
    #[error("nothing was done in any unit that was observed")]
    NothingSeen,
}

/// A range that holds the truth in 95 of 100 such samples, if what the estimate assumes holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
}

/// How many behaviours there are in all, seen or not: at least so many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Richness {
    /// The estimate, never below the number of behaviours that were seen.
    pub estimate: f64,
    /// How sure it is. `None` where the estimate is what was seen: then the data have nothing to say about it.
    pub spread: Option<Spread>,
}

/// How sure an estimate is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The estimated standard error.
    pub standard_error: f64,
    /// The 95 % interval.
    pub interval: Interval,
}

/// How many more units it takes until coverage is estimated to reach a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitsNeeded {
    /// None: it is there.
    Reached,
    /// So many.
    More(u64),
    /// More than so many, as many as there were: further than that nothing can be foretold (Chao et al. 2014).
    MoreThan(u64),
}

impl IncidenceCounts {
    /// From the number of units each behaviour was seen in, of so many units; idle units count among these.
    ///
    /// # Errors
    /// [`CountError`] where a behaviour was seen in no unit, or in more than there are.
    pub fn new(units: u64, seen_in: impl IntoIterator<Item = u64>) -> Result<Self, CountError> {
        Self::from_frequencies(units, seen_in.into_iter().map(|seen| (seen, 1)))
    }

    /// From pairs of a number of units and how many behaviours were seen in exactly so many. Pairs for the same number add
    /// up, so the tables of disjoint sets of behaviours may simply be chained.
    ///
    /// # Errors
    /// As [`IncidenceCounts::new`].
    pub fn from_frequencies(units: u64, pairs: impl IntoIterator<Item = (u64, u64)>) -> Result<Self, CountError> {
        let mut counts = Self {
            units,
            frequencies: BTreeMap::new(),
            behaviours: 0,
            incidences: 0,
        };
        for (seen, behaviours) in pairs {
            match seen {
                _ if behaviours == 0 => continue,
                0 => return Err(CountError::NeverSeen),
                _ if seen > units => return Err(CountError::MoreThanUnits { seen, units }),
                _ => {}
            }
            counts.behaviours = counts.behaviours.checked_add(behaviours).ok_or(CountError::TooMany)?;
            // At most 2^64 behaviours in 2^64 units: neither this nor the sum of incidences overflows.
            *counts.frequencies.entry(seen).or_default() += behaviours;
            counts.incidences += u128::from(seen) * u128::from(behaviours);
        }
        Ok(counts)
    }

    /// T: how many units were observed.
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// `S_obs`: how many behaviours were seen.
    pub const fn behaviours(&self) -> u64 {
        self.behaviours
    }

    /// U: the sum, over behaviours, of the units each was seen in.
    pub const fn incidences(&self) -> u128 {
        self.incidences
    }

    /// Qk: how many behaviours were seen in exactly so many units.
    pub fn seen_in(&self, units: u64) -> u64 {
        self.frequencies.get(&units).copied().unwrap_or(0)
    }

    /// The table: a number of units, and how many behaviours were seen in exactly so many, by rising number of units.
    pub fn frequencies(&self) -> impl Iterator<Item = (u64, u64)> {
        self.frequencies.iter().map(|(&seen, &behaviours)| (seen, behaviours))
    }

    /// Whether nothing was seen in only one or two units. The estimators then say that everything was seen; that is what
    /// they say of a container that idles, too, and no evidence by itself.
    pub fn has_nothing_rare(&self) -> bool {
        self.seen_in(1) == 0 && self.seen_in(2) == 0
    }

    /// What can be estimated from these counts.
    ///
    /// # Errors
    /// [`NoEstimate`] for fewer than two units, and where nothing was seen.
    pub const fn estimator(&self) -> Result<Estimator<'_>, NoEstimate> {
        match (self.units, self.incidences) {
            (0, _) => Err(NoEstimate::NoUnit),
            (_, 0) => Err(NoEstimate::NothingSeen),
            (1, _) => Err(NoEstimate::OneUnit),
            _ => Ok(Estimator(self)),
        }
    }
}

/// Counts of two units or more in which something was seen: for these every estimate exists.
///
/// All of it assumes that units are alike and independent. They are not quite, so an [`Interval`] for coverage comes from
/// [`Clusters`](super::Clusters).
#[derive(Clone, Copy, Debug)]
pub struct Estimator<'a>(pub(super) &'a IncidenceCounts);

impl Estimator<'_> {
    pub(super) fn units(self) -> f64 {
        real(self.0.units)
    }

    fn uniques(self) -> f64 {
        real(self.0.seen_in(1))
    }

    fn duplicates(self) -> f64 {
        real(self.0.seen_in(2))
    }

    pub(super) fn incidences(self) -> f64 {
        real_sum(self.0.incidences)
    }

    /// (T - 1) / T, for small samples.
    fn correction(self) -> f64 {
        1.0 - 1.0 / self.units()
    }

    /// Chao's estimate of how many behaviours were not seen: (T-1)/T Q1²/(2 Q2), and (T-1)/T Q1 (Q1-1)/2 where Q2 = 0.
    pub(super) fn undetected(self) -> f64 {
        let (uniques, duplicates) = (self.uniques(), self.duplicates());
        let pairs = if duplicates > 0.0 {
            uniques * uniques / (2.0 * duplicates)
        } else {
            uniques * (uniques - 1.0) / 2.0
        };
        self.correction() * pairs
    }

    /// How many behaviours there are at least, seen or not. Chao 1987, "Estimating the population size for capture-recapture
    /// data with unequal catchability", Biometrics 43; variance and log-normal interval as in Chao and Chiu 2016, "Species
    /// richness: estimation and comparison", Wiley `StatsRef`.
    pub fn chao2(self) -> Richness {
        let seen = real(self.0.behaviours);
        let undetected = self.undetected();
        let estimate = seen + undetected;
        let spread = (undetected > 0.0).then(|| {
            let variance = self.variance(estimate);
            // The logarithm of the number of unseen behaviours is taken to be normal, so that the interval starts above
            // what was seen.
            let factor = (NORMAL_95 * (variance / undetected / undetected).ln_1p().sqrt()).exp();
            Spread {
                standard_error: variance.sqrt(),
                interval: Interval {
                    lower: seen + undetected / factor,
                    upper: seen + undetected * factor,
                },
            }
        });
        Richness { estimate, spread }
    }

    fn variance(self, estimate: f64) -> f64 {
        let (uniques, duplicates, correction) = (self.uniques(), self.duplicates(), self.correction());
        if duplicates > 0.0 {
            let ratio = uniques / duplicates;
            duplicates * (correction * ratio.powi(2) / 2.0 + correction.powi(2) * (ratio.powi(3) + ratio.powi(4) / 4.0))
        } else {
            correction * uniques * (uniques - 1.0) / 2.0
                + correction.powi(2)
                    * (uniques * (2.0 * uniques - 1.0).powi(2) / 4.0 - uniques.powi(4) / (4.0 * estimate))
        }
    }

    /// Sample coverage: of the incidences in a further unit, the share that belongs to behaviours which were seen.
    ///
    /// 1 - Q1/U · (T-1) Q1 / ((T-1) Q1 + 2 Q2): Chao and Jost 2012, "Coverage-based rarefaction and extrapolation", Ecology
    /// 93. Where Q2 = 0, the last factor is (T-1)(Q1-1) / ((T-1)(Q1-1) + 2), as there and in the R package `iNEXT` (Hsieh,
    /// Ma and Chao 2016, Methods in Ecology and Evolution 7). So a single behaviour seen once, and none seen twice, makes
    /// a coverage of 1: see [`IncidenceCounts::has_nothing_rare`] for why that proves little.
    pub fn coverage(self) -> f64 {
        self.coverage_beyond(0.0)
    }

    /// Expected number of new behaviours in the next unit, Q1/T: the Good-Turing estimate (Good 1953, "The population
    /// frequencies of species", Biometrika 40). For more units than one see [`Estimator::new_within`].
    pub fn new_in_next_unit(self) -> f64 {
        self.uniques() / self.units()
    }

    /// Expected number of new behaviours in so many further units: Chao et al. 2014, "Rarefaction and extrapolation with
    /// Hill numbers", Ecological Monographs 84. For one unit this is slightly below Q1/T, as it allows for the
    /// fact that the sample knows of the behaviours seen twice. To be trusted as far as there were units.
    pub fn new_within(self, units: u64) -> f64 {
        self.new_beyond(real(units))
    }

    /// The chance that a behaviour which was not seen shows in one more unit, as estimated.
    fn detection(self) -> f64 {
        self.uniques() / (self.units() * self.undetected() + self.uniques())
    }

    /// The share of what is unseen that so many more units leave unseen: (1 - detection)^units.
    fn still_unseen(self, units: f64) -> f64 {
        (units * (-self.detection()).ln_1p()).exp()
    }

    pub(super) fn new_beyond(self, units: f64) -> f64 {
        let undetected = self.undetected();
        if undetected > 0.0 {
            undetected * (1.0 - self.still_unseen(units))
        } else {
            0.0
        }
    }

    /// Coverage after so many more units: Chao et al. 2014.
    pub(super) fn coverage_beyond(self, units: f64) -> f64 {
        if self.undetected() > 0.0 {
            1.0 - self.uniques() / self.incidences() * self.still_unseen(units + 1.0)
        } else {
            1.0
        }
    }

    /// How many more units it takes until coverage is estimated to reach a target between 0 and 1.
    pub fn units_needed(self, target: f64) -> UnitsNeeded {
        if self.coverage() >= target {
            return UnitsNeeded::Reached;
        }
        let needed = whole(self.units_to(target)).max(1);
        // A target of 1 or more is never reached; one that is not a number makes a number of units that is none.
        if target < 1.0 && needed <= self.0.units {
            UnitsNeeded::More(needed)
        } else {
            UnitsNeeded::MoreThan(self.0.units)
        }
    }

    /// [`Estimator::coverage_beyond`], solved for the units.
    pub(super) fn units_to(self, target: f64) -> f64 {
        let left = (1.0 - target) * self.incidences() / self.uniques();
        left.ln() / (-self.detection()).ln_1p() - 1.0
    }
}
