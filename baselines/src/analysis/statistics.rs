//! How long containers were watched, when, and how often they did what they did in that time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::exposure::{Days, Exposure};
use crate::behaviour::{Access, Action, Behaviour};
use crate::document::{
    Accumulation, Activity, Calendar, Counts, Number, Quantiles, RankCount, Rate, StartsOfDay, Statistics,
};
use crate::recording::Container;
use crate::time::{Minute, UtcTime};

/// For at least so long was a container watched that anything is known of: observations tell their minute. In nanoseconds.
const WATCHED_MIN: u64 = 60 * 1_000_000_000;
const NANOS_PER_HOUR: u128 = 3_600 * 1_000_000_000;
/// How many dates a calendar names.
const DAYS_MAX: usize = 31;

/// How long an image's containers were watched, and when.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Watching {
    /// Each of them, by its number in the image's exposure, in nanoseconds.
    containers: Vec<u64>,
    /// Days, counted from the epoch: the hours in which any was watched, and those in which any did something, a bit each.
    hours: BTreeMap<i64, (u32, u32)>,
}

impl Watching {
    /// Adds the next container: when it did something, and when windows watched it.
    pub(super) fn add(&mut self, container: &Container, active: &Days, watched: &[(UtcTime, UtcTime)]) {
        let mut seen = active.clone();
        let mut nanos: u64 = 0;
        for (from, until) in apart(container, watched) {
            seen.insert_span(from, until);
            let span = u64::try_from(until.since(from).as_nanos()).unwrap_or(u64::MAX);
            nanos = nanos.saturating_add(span);
        }
        self.containers.push(nanos.max(WATCHED_MIN));
        for (day, slots) in seen.iter() {
            self.hours.entry(day).or_default().0 |= slots.hours();
        }
        for (day, slots) in active.iter() {
            self.hours.entry(day).or_default().1 |= slots.hours();
        }
    }

    /// All of them together, in nanoseconds.
    fn all(&self) -> u128 {
        self.containers.iter().copied().map(u128::from).sum()
    }

    /// How often in an hour of a container; 0 where there is none.
    fn per_hour(&self, count: u128) -> Number {
        per_hour(at_most_64_bits(count), self.all())
    }

    /// How often the containers did something, of which these did it so often.
    pub(super) fn rate(&self, of_containers: &[(usize, u64)]) -> Rate {
        let count = of_containers.iter().map(|&(_, count)| u128::from(count)).sum();
        Rate {
            mean: self.per_hour(count),
            over_containers: (self.containers.len() > 1).then(|| self.quantiles(of_containers)),
        }
    }

    /// By the nearest rank: each is the rate of a container.
    fn quantiles(&self, of_containers: &[(usize, u64)]) -> Quantiles {
        let mut rates: Vec<(u64, u64)> = of_containers
            .iter()
            .filter_map(|&(container, count)| Some((count, *self.containers.get(container)?)))
            .collect();
        // Compared as fractions: their products fit, and nothing is rounded.
        let cross = |(count, _): (u64, u64), (_, nanos): (u64, u64)| u128::from(count) * u128::from(nanos);
        rates.sort_unstable_by(|&one, &other| cross(one, other).cmp(&cross(other, one)));
        let without = self.containers.len() - rates.len().min(self.containers.len());
        let at = |percent: usize| {
            let rank = self.containers.len().saturating_mul(percent).div_ceil(100);
            let shown = rank.checked_sub(without + 1).and_then(|index| rates.get(index));
            shown.map_or_else(Number::default, |&(count, nanos)| per_hour(count, nanos.into()))
        };
        Quantiles {
            p10: at(10),
            p50: at(50),
            p90: at(90),
        }
    }

    fn calendar(&self, exposure: &Exposure) -> Calendar {
        let mut calendar = Calendar::default();
        for (&day, &(watched, active)) in &self.hours {
            add_hours(&mut calendar.watched_by_hour, watched);
            add_hours(&mut calendar.active_by_hour, active);
            add_weekday(&mut calendar.watched_by_weekday, day, watched);
            add_weekday(&mut calendar.active_by_weekday, day, active);
        }
        let mut starts: BTreeMap<i64, u64> = BTreeMap::new();
        for day in exposure.days_of_starts() {
            *starts.entry(day).or_default() += 1;
        }
        let earlier = starts.len().saturating_sub(DAYS_MAX);
        calendar.earlier_starts = starts.values().take(earlier).sum();
        calendar.starts = starts
            .into_iter()
            .skip(earlier)
            .filter_map(|(day, starts)| {
                Some(StartsOfDay {
                    day: midnight(day)?,
                    starts,
                })
            })
            .collect();
        calendar
    }
}

/// The statistics of an image, of which so much was learned, each so often.
pub(super) fn of_image<'a>(
    learned: impl Iterator<Item = (&'a Behaviour, u128)>,
    exposure: &Exposure,
    watching: &Watching,
    accumulation: Accumulation,
) -> Statistics {
    let (mut execs, mut opens, mut connects) = (0, 0, 0);
    let mut counts = Vec::new();
    for (behaviour, count) in learned {
        match &behaviour.action {
            Action::Exec { .. } => execs += count,
            Action::Open { access, .. } if *access != Access::MAP => opens += count,
            Action::Connect { .. } => connects += count,
            _ => {}
        }
        counts.push(at_most_64_bits(count));
    }
    Statistics {
        container_hours: Number::quotient(watching.all(), NANOS_PER_HOUR).unwrap_or_default(),
        activity: Activity {
            execs: watching.per_hour(execs),
            opens: watching.per_hour(opens),
            connects: watching.per_hour(connects),
        },
        rank_frequency: rank_frequency(counts),
        accumulation,
        calendar: watching.calendar(exposure),
    }
}

/// The counts at the ranks 1, 2, 5, 10, 20, 50 and so on, evenly spaced on a logarithmic axis, and at the last one.
fn rank_frequency(mut counts: Vec<u64>) -> Vec<RankCount> {
    counts.sort_unstable_by_key(|&count| Reverse(count));
    let powers = std::iter::successors(Some(1_usize), |power| power.checked_mul(10));
    let ranks = powers.flat_map(|power| [1, 2, 5].map(|step| power.saturating_mul(step)));
    let ranks = ranks.take_while(|&rank| rank < counts.len());
    ranks
        .chain((!counts.is_empty()).then_some(counts.len()))
        .filter_map(|rank| {
            Some(RankCount {
                rank: rank as u64,
                count: *counts.get(rank - 1)?,
            })
        })
        .collect()
}

/// When windows watched a container, each moment once, sorted.
fn apart(container: &Container, watched: &[(UtcTime, UtcTime)]) -> Vec<(UtcTime, UtcTime)> {
    let mut spans: Vec<(UtcTime, UtcTime)> = watched
        .iter()
        .map(|&(from, until)| (from.max(container.started), until.min(container.alive_until)))
        .filter(|(from, until)| from <= until)
        .collect();
    spans.sort_unstable();
    spans.dedup_by(|(from, until), (_, known_until)| {
        let is_joined = *from <= *known_until;
        if is_joined {
            *known_until = (*known_until).max(*until);
        }
        is_joined
    });
    spans
}

/// The product fits.
fn per_hour(count: u64, nanos: u128) -> Number {
    Number::quotient(u128::from(count) * NANOS_PER_HOUR, nanos).unwrap_or_default()
}

/// There is no document of a behaviour that was seen more often.
fn at_most_64_bits(count: u128) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

fn add_hours(counts: &mut Counts<24>, hours: u32) {
    for (hour, count) in counts.0.iter_mut().enumerate() {
        *count += u64::from(hours >> hour & 1);
    }
}

/// The day of the epoch was a Thursday.
fn add_weekday(counts: &mut Counts<7>, day: i64, hours: u32) {
    let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(0);
    if let Some(count) = counts.0.get_mut(weekday).filter(|_| hours != 0) {
        *count += 1;
    }
}

fn midnight(day: i64) -> Option<UtcTime> {
    Some(Minute::from_stored(day.checked_mul(24 * 60)?)?.start())
}
