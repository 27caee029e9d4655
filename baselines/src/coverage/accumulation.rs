//! How many behaviours fewer or more units show.

use super::incidence::{Estimator, IncidenceCounts, Interval, NORMAL_95};
use super::number::real;

/// The curve of behaviours over units.
#[derive(Clone, Debug, PartialEq)]
pub struct Accumulation {
    /// From one unit to all that were observed: what so many of them, taken at random, show on average.
    pub observed: Vec<CurvePoint>,
    /// From there to twice as many, as estimated.
    pub extrapolated: Vec<CurvePoint>,
}

/// One point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// How many units.
    pub units: u64,
    /// How many behaviours they show.
    pub behaviours: f64,
    /// The 95 % band around that; `None` beyond the units that were observed.
    pub band: Option<Interval>,
    /// How much of what a further unit does they cover.
    pub coverage: f64,
}

impl Estimator<'_> {
    /// How many behaviours so many units show: on average over all ways to choose them from those that were observed, or
    /// as estimated where there are more (Colwell et al. 2012, "Models and estimators linking individual-based and
    /// sample-based rarefaction, extrapolation and comparison of assemblages", Journal of Plant Ecology 5). To be trusted
    /// up to twice the units.
    pub fn behaviours_at(self, units: u64) -> f64 {
        let counts = self.0;
        match units.checked_sub(counts.units()) {
            Some(more) => real(counts.behaviours()) + self.new_within(more),
            None => each(counts, |seen, behaviours| {
                behaviours * (1.0 - missed(counts.units(), seen, units))
            }),
        }
    }

    /// Coverage with so many units: Chao et al. 2014, for fewer than were observed and for more.
    pub fn coverage_at(self, units: u64) -> f64 {
        let counts = self.0;
        if let Some(more) = units.checked_sub(counts.units()) {
            return self.coverage_beyond(real(more));
        }
        let unseen = each(counts, |seen, behaviours| {
            // Units are at least two, and every behaviour was seen at least once.
            let missed = missed(counts.units().saturating_sub(1), seen.saturating_sub(1), units);
            behaviours * real(seen) / self.incidences() * missed
        });
        (1.0 - unseen).clamp(0.0, 1.0)
    }

    /// The curve, with at most so many points up to the observed units and as many beyond them, evenly spaced.
    pub fn accumulation(self, points: usize) -> Accumulation {
        let units = self.0.units();
        Accumulation {
            observed: evenly(1, units, points)
                .map(|units| self.point(units, Some(self.band_at(units))))
                .collect(),
            extrapolated: evenly(units.saturating_add(1), units.saturating_mul(2), points)
                .map(|units| self.point(units, None))
                .collect(),
        }
    }

    fn point(self, units: u64, band: Option<Interval>) -> CurvePoint {
        CurvePoint {
            units,
            behaviours: self.behaviours_at(units),
            band,
            coverage: self.coverage_at(units),
        }
    }

    /// Two standard errors around the mean, of which the variance is the unconditional one: had other units been observed,
    /// the curve would be another one. Colwell et al. 2012: Σ (1 - α)² Qk - S(t)²/S, S being Chao2.
    fn band_at(self, units: u64) -> Interval {
        let counts = self.0;
        let mean = self.behaviours_at(units);
        let squares = each(counts, |seen, behaviours| {
            behaviours * (1.0 - missed(counts.units(), seen, units)).powi(2)
        });
        let variance = squares - mean * mean / self.chao2().estimate;
        let half = NORMAL_95 * variance.max(0.0).sqrt();
        Interval {
            lower: (mean - half).max(0.0),
            upper: mean + half,
        }
    }
}

fn each(counts: &IncidenceCounts, term: impl Fn(u64, f64) -> f64) -> f64 {
    counts
        .frequencies()
        .map(|(seen, behaviours)| term(seen, real(behaviours)))
        .sum()
}

/// At most so many whole numbers from one to another, both included, evenly spaced.
fn evenly(from: u64, to: u64, points: usize) -> impl Iterator<Item = u64> {
    let span = u128::from(to.saturating_sub(from));
    let points = if to < from {
        0
    } else {
        u128::try_from(points).unwrap_or(u128::MAX).min(span.saturating_add(1))
    };
    // Of one point the last.
    let gaps = points.saturating_sub(1).max(1);
    (0..points).map(move |point| {
        let back = span.saturating_mul(points - 1 - point) / gaps;
        to.saturating_sub(u64::try_from(back).unwrap_or(u64::MAX))
    })
}

/// The chance that units drawn without replacement miss all those that are marked: C(all-marked, drawn) / C(all, drawn).
///
/// Logarithms of factorials would lose all digits for large numbers, as they cancel. The quotient is a product of as many
/// factors as the smaller of both numbers has, the larger one's share removed from each; its logarithm is a sum of small
/// numbers of one sign. Long sums are taken in blocks at their middle: wrong by less than one part in 10^9 where it is not
/// nothing, as the terms hardly change within a block there.
pub(super) fn missed(all: u64, marked: u64, drawn: u64) -> f64 {
    const BLOCKS: u64 = 4096;
    let (few, many) = (marked.min(drawn), marked.max(drawn));
    if few == 0 {
        return 1.0;
    }
    if all.saturating_sub(many) < few {
        return 0.0;
    }
    let (all, many_real, few_real) = (real(all), real(many), real(few));
    // e^-50 of all behaviours that there can be is less than the last digit of their number.
    if few_real * many_real / all > 50.0 {
        return 0.0;
    }
    let blocks = few.min(BLOCKS);
    let length = few_real / real(blocks);
    let logarithm: f64 = (0..blocks)
        .map(|block| {
            let middle = (real(block) + 0.5) * length - 0.5;
            length * (-(many_real / (all - middle))).ln_1p()
        })
        .sum();
    logarithm.exp()
}
