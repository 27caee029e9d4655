//! Moments, in UTC.
//!
//! ```
//! use baselines::time::UtcTime;
//!
//! let time = UtcTime::from_nanos(1_700_000_012_345_678_901);
//! assert_eq!(time.to_string(), "2023-11-14T22:13:32Z");
//! assert_eq!(time.minute().start().to_string(), "2023-11-14T22:13:00Z");
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MINUTE: i64 = 60 * NANOS_PER_SECOND;

/// A moment: nanoseconds since 1970-01-01T00:00:00Z, never before that, and not after 2262-04-11T23:47:16Z, where a
/// signed 64-bit number of them ends.
///
/// Shown and put into documents as RFC 3339 in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UtcTime(i64);

impl UtcTime {
    /// The moment this many nanoseconds after the epoch; the last one there is for more than [`i64::MAX`].
    pub const fn from_nanos(nanos: u64) -> Self {
        if nanos > i64::MAX.cast_unsigned() {
            Self(i64::MAX)
        } else {
            Self(nanos.cast_signed())
        }
    }

    /// The moment this many nanoseconds after the epoch, as stored; `None` if that is negative.
    pub(crate) const fn from_stored(nanos: i64) -> Option<Self> {
        if nanos < 0 { None } else { Some(Self(nanos)) }
    }

    /// Nanoseconds since the epoch, never negative.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// What the system's clock says; the epoch if it says something earlier.
    pub fn now() -> Self {
        let nanos = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_nanos();
        Self::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The moment this long before; the epoch if that is earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(nanos).max(0))
    }

    /// The moment this long after; the last one there is if that is later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        let nanos = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// How long after another moment this is; nothing if it is earlier.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use baselines::time::UtcTime;
    ///
    /// let (early, late) = (UtcTime::from_nanos(10), UtcTime::from_nanos(17));
    /// assert_eq!(late.since(early), Duration::from_nanos(7));
    /// assert_eq!(early.since(late), Duration::ZERO);
    /// ```
    pub fn since(self, earlier: Self) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
    }

    /// The minute that this moment is in.
    pub const fn minute(self) -> Minute {
        Minute(self.0 / NANOS_PER_MINUTE)
    }

    /// This moment, cut to the whole second that documents hold.
    #[must_use]
    pub const fn whole_second(self) -> Self {
        Self(self.0 - self.0 % NANOS_PER_SECOND)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every i64 of seconds made from nanoseconds is within jiff's range of years (-9999 to 9999).
        match jiff::Timestamp::from_second(self.0 / NANOS_PER_SECOND) {
            Ok(timestamp) => formatter.pad(&timestamp.to_string()),
            Err(_) => Err(fmt::Error),
        }
    }
}

/// Text that is no moment, or one that [`UtcTime`] cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no RFC 3339 time between 1970 and 2262: write it like 2026-11-21T09:30:00Z")]
pub struct TimeError(String);

impl std::str::FromStr for UtcTime {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .and_then(|timestamp| i64::try_from(timestamp.as_nanosecond()).ok())
            .and_then(Self::from_stored)
            .ok_or_else(|| TimeError(text.to_owned()))
    }
}

crate::serde_text::as_text!(UtcTime);

/// A minute of UTC: whole minutes since the epoch, the bucket that observations are counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minute(i64);

impl Minute {
    /// Minutes since the epoch, never negative.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// This many minutes after the epoch, as stored; `None` for one that no [`UtcTime`] is in.
    pub(crate) const fn from_stored(number: i64) -> Option<Self> {
        if number < 0 || number > i64::MAX / NANOS_PER_MINUTE {
            None
        } else {
            Some(Self(number))
        }
    }

    /// When it began.
    pub const fn start(self) -> UtcTime {
        UtcTime(self.0 * NANOS_PER_MINUTE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_whole_seconds_and_read_back() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_999_999_999, "1970-01-01T00:00:01Z"),
            (u64::MAX, "2262-04-11T23:47:16Z"),
        ] {
            let time = UtcTime::from_nanos(nanos);
            assert_eq!(time.to_string(), text);
            assert_eq!(text.parse(), Ok(time.whole_second()));
        }
    }

    #[test]
    fn other_zones_are_understood() {
        assert_eq!(
            "2026-11-21T10:30:00+01:00".parse::<UtcTime>().unwrap().to_string(),
            "2026-11-21T09:30:00Z"
        );
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "yesterday",
            "2026-11-21",
            "1969-12-31T23:59:59Z",
            "2300-01-01T00:00:00Z",
            "9999999999999",
        ] {
            assert!(text.parse::<UtcTime>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_minute_is_the_one_the_moment_is_in() {
        let time = UtcTime::from_nanos(119_999_999_999);
        assert_eq!(
            (time.minute().number(), time.minute().start().nanos()),
            (1, 60_000_000_000)
        );
    }
}
