//! How much of an image's behaviour has been seen, as a baseline holds it.

use serde::{Deserialize, Deserializer, Serialize};

use crate::coverage::State;
use crate::serde_text;
use crate::time::UtcTime;

/// How much has been seen, and whether that is enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Coverage {
    /// What to think of it.
    pub state: State,
    /// The one thing that would help most.
    #[serde(with = "serde_text::escaped")]
    pub advice: String,
    /// What it took to be ready.
    pub criteria: Criteria,
    /// What starts show. The unit is one container start, seen from its beginning.
    pub startup: PhaseCoverage,
    /// What containers show from then on. The unit is ten minutes of one container. Left out where none ran that long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steady: Option<PhaseCoverage>,
}

/// What it takes to be ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Criteria {
    /// Where the lower end of each phase's interval has to be.
    pub target: Number,
    /// For how many hours.
    pub held_hours: u64,
    /// How many starts, or completed runs.
    pub starts: u64,
    /// On how many dates.
    pub dates: u64,
}

/// How much of one phase has been seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PhaseCoverage {
    /// How many units were watched, idle ones among them.
    pub units: u64,
    /// In how many independent pieces something was seen: containers that were started together are one, each day.
    pub clusters: u64,
    /// How many different behaviours, generalised, were seen.
    pub behaviours: u64,
    /// How many of them in one unit only.
    pub seen_once: u64,
    /// How many of them in two.
    pub seen_twice: u64,
    /// The share of what a further unit does that has been seen. Left out where nothing can be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Number>,
    /// The 95 % interval of that. Left out for fewer than two clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// How many behaviours there are at least, seen or not (Chao2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behaviours_at_least: Option<Number>,
    /// The 95 % interval of that, if units were independent of each other. Left out where nothing rare says anything of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behaviours_at_least_interval: Option<Interval>,
    /// How many new behaviours the next unit is expected to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_in_next_unit: Option<Number>,
    /// How many the next day of one container is: 144 units. Of the steady phase only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_in_next_container_day: Option<Number>,
    /// How many more units it takes to the target, by the estimate alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_needed: Option<UnitsNeeded>,
    /// Whether units of another length say the same. Of the steady phase only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliability: Option<Reliability>,
    /// Since when the lower end has been at the target, looked at four times within `heldHours`; if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<UtcTime>,
}

/// A range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Interval {
    /// Its lower end.
    pub lower: Number,
    /// Its upper end.
    pub upper: Number,
}

/// How many more units it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct UnitsNeeded {
    /// So many, or
    pub units: u64,
    /// more than that: further than twice what was watched nothing can be foretold.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub or_more: bool,
}

/// Whether an estimate holds when units are halved and doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reliability {
    /// It does.
    Reliable,
    /// It does not.
    Unreliable,
    /// Nobody can tell.
    Unknown,
}

/// A number that is not negative and not infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize)]
pub struct Number(f64);

impl Number {
    /// A number, to four decimals; `None` for one that is none, negative or infinite.
    pub fn new(value: f64) -> Option<Self> {
        let rounded = (value * 1e4).round() / 1e4;
        // Adding zero makes zero of -0, which would be written as such.
        (rounded.is_finite() && rounded >= 0.0).then_some(Self(rounded + 0.0))
    }

    /// Not above a bound: four decimals, cut off.
    pub fn at_least(value: f64) -> Option<Self> {
        Self::new((value * 1e4).floor() / 1e4)
    }

    /// A quotient, to six decimals, half a step rounded up: so that what happens once in a hundred years of a container is no
    /// nothing. `None` for a divisor of 0, and beyond 128 bits.
    #[expect(
        clippy::cast_precision_loss,
        reason = "what is below 2^53 steps is exact, and the rest has more digits than that"
    )]
    pub fn quotient(dividend: u128, divisor: u128) -> Option<Self> {
        const STEPS: u128 = 1_000_000;
        let steps = dividend
            .checked_mul(STEPS)?
            .checked_add(divisor / 2)?
            .checked_div(divisor)?;
        Some(Self(steps as f64 / STEPS as f64))
    }

    /// The number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        if value.is_finite() && value >= 0.0 {
            Ok(Self(value))
        } else {
            Err(serde::de::Error::custom(format!(
                "{value} cannot be: a number from 0 on is meant"
            )))
        }
    }
}
