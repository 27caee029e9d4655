//! How often, how much and when, as a baseline holds it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Interval, Number};
use crate::time::UtcTime;

/// What an image's containers did, counted over all that was learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Statistics {
    /// How long its containers were watched, added up, in hours; each a minute at least.
    pub container_hours: Number,
    /// What they did in an hour of that.
    pub activity: Activity,
    /// How often the most frequent behaviour was seen, and how often others: the first, second, fifth, tenth, twentieth and so
    /// on, and the last one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rank_frequency: Vec<RankCount>,
    /// How many behaviours fewer units show, and how many more of them would.
    pub accumulation: Accumulation,
    /// When they were watched, and when they did anything.
    pub calendar: Calendar,
}

/// How busy containers are: how often in an hour of one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Activity {
    /// Executions.
    pub execs: Number,
    /// Opens, executable mappings left out.
    pub opens: Number,
    /// Connections.
    pub connects: Number,
}

/// How often one behaviour was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RankCount {
    /// Its place, from 1, where the most frequent ones come first.
    pub rank: u64,
    /// How many times.
    pub count: u64,
}

/// Curves of behaviours, generalised, over units; empty where nothing could be estimated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Accumulation {
    /// Over container starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub startup: Vec<CurvePoint>,
    /// Over ten minutes of one container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steady: Vec<CurvePoint>,
}

/// One point of such a curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct CurvePoint {
    /// How many units.
    pub units: u64,
    /// How many behaviours they show, on average over all orders to take them in; as estimated beyond what was watched.
    pub behaviours: Number,
    /// The 95 % band around that. Left out beyond what was watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<Interval>,
}

/// When containers were watched, and when they did anything that was learned. All in UTC.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Calendar {
    /// On how many dates any of them was watched in each hour of the day, from the one at midnight on.
    pub watched_by_hour: Counts<24>,
    /// On how many dates any of them did something in each hour of the day.
    pub active_by_hour: Counts<24>,
    /// On how many Mondays any of them was watched, on how many Tuesdays, and so on.
    pub watched_by_weekday: Counts<7>,
    /// On how many of these any of them did something.
    pub active_by_weekday: Counts<7>,
    /// How many starts were seen on the last dates that had any, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub starts: Vec<StartsOfDay>,
    /// How many starts were seen before those.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub earlier_starts: u64,
}

/// How many containers were seen to start on one date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StartsOfDay {
    /// When it began.
    pub day: UtcTime,
    /// How many.
    pub starts: u64,
}

/// How often one behaviour was seen in an hour of a container. What the containers were watched for is counted, whether they
/// showed it or not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rate {
    /// Over all containers of the image together.
    pub mean: Number,
    /// Of its containers. Left out where there is one only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_containers: Option<Quantiles>,
}

/// The rates that this many of a hundred containers do not exceed. Containers without the behaviour are among them, with 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Quantiles {
    /// Ten.
    pub p10: Number,
    /// Fifty.
    pub p50: Number,
    /// Ninety.
    pub p90: Number,
}

/// So many counts, in one line: `0 0 3 1 0 0 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts<const N: usize>(pub [u64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> fmt::Display for Counts<N> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.0.map(|count| count.to_string());
        formatter.pad(&counts.join(" "))
    }
}

/// Text that is not so many counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} whole numbers are meant, with one blank between them")]
pub struct CountsError(usize);

impl<const N: usize> FromStr for Counts<N> {
    type Err = CountsError;
    fn from_str(text: &str) -> Result<Self, CountsError> {
        let counts: Option<Vec<u64>> = text.split(' ').map(|count| count.parse().ok()).collect();
        let counts = counts.and_then(|counts| counts.try_into().ok());
        counts.map(Self).ok_or(CountsError(N))
    }
}

crate::serde_text::as_text!(Counts<24>, Counts<7>);

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
