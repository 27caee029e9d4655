//! Medians, spreads, and how something grows.

use std::fmt;
use std::time::Duration;

/// What lies in the middle of figures, and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The figure in the middle.
    pub(crate) median: f64,
    /// Half the distance between the first and the third quartile.
    pub(crate) deviation: f64,
}

impl Spread {
    /// `None` of no figures.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = figures.into_iter().filter(|figure| figure.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let quartile = |number: usize| sorted.get(sorted.len().saturating_sub(1) * number / 4).copied();
        Some(Self {
            median: sorted.get(sorted.len() / 2).copied()?,
            deviation: (quartile(3)? - quartile(1)?) / 2.0,
        })
    }
}

impl fmt::Display for Spread {
    /// `1026 ±15`; `{:+}` gives the median its sign.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.sign_plus() {
            write!(f, "{:+.0} ±{:.0}", self.median, self.deviation)
        } else {
            write!(f, "{:.0} ±{:.0}", self.median, self.deviation)
        }
    }
}

/// How a figure went on once everything was known: the second half of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Settled {
    /// At its beginning.
    pub(crate) first: f64,
    /// At its end.
    pub(crate) last: f64,
    /// The largest.
    pub(crate) max: f64,
    /// From first to last, a minute.
    pub(crate) per_minute: f64,
}

impl Settled {
    /// Of figures and the seconds when they were read. `None` of fewer than two in the second half of the time.
    pub(crate) fn of(series: &[(f64, f64)]) -> Option<Self> {
        let end = series.last()?.0;
        let half: Vec<_> = series.iter().filter(|(seconds, _)| *seconds >= end / 2.0).collect();
        let (&&(from, first), &&(to, last)) = (half.first()?, half.last()?);
        (to > from).then(|| Self {
            first,
            last,
            max: half.iter().map(|(_, figure)| *figure).fold(first, f64::max),
            per_minute: (last - first) / (to - from) * 60.0,
        })
    }
}

/// How many events to make now, so that there are `rate` a second on average.
pub(crate) fn due(rate: u64, elapsed: Duration, done: u64) -> u64 {
    let wanted = u128::from(rate) * elapsed.as_micros() / 1_000_000;
    u64::try_from(wanted).unwrap_or(u64::MAX).saturating_sub(done)
}

/// A duration as people write it: 90s, 10m, 1h.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let parse = || {
        let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let seconds = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return None,
        };
        number
            .parse::<u32>()
            .ok()?
            .checked_mul(seconds)
            .filter(|seconds| *seconds > 0)
    };
    let seconds =
        parse().ok_or_else(|| format!("`{text}` is no duration: write a number and s, m or h, such as 10m"))?;
    Ok(Duration::from_secs(seconds.into()))
}
