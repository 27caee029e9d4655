//! What does it take to be ready?

use std::time::Duration;

use crate::quantity::duration;

/// What it takes to be ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Criteria {
    /// Where the lower end of the interval has to be, between 0 and 1.
    ///
    /// 0.95 unless said otherwise: five independent clusters in each phase can prove it at best (see
    /// [`CoverageEstimate::provable`](super::CoverageEstimate::provable)), a working week of container-days; 0.9 takes two
    /// and is no evidence of much, 0.99 takes 29.
    pub target: f64,
    /// How long it has to have been there.
    pub held: Duration,
    /// How many starts, or completed runs.
    pub starts: u64,
    /// On how many dates.
    pub dates: u64,
}

impl Criteria {
    /// What is asked for where nobody says.
    pub const DEFAULT: Self = Self {
        target: 0.95,
        held: Duration::from_hours(24),
        starts: 3,
        dates: 2,
    };
}

impl Default for Criteria {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A [`Criteria::target`] as people write it. Documents have four decimals of it.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse_target(text: &str) -> Result<f64, String> {
    let target: f64 = text
        .parse()
        .map_err(|_| format!("`{text}` is no number: write a share such as 0.95"))?;
    let is_between = target > 0.0 && target < 1.0;
    // Nor an exponent.
    let is_decimal = |decimals: &str| decimals.len() <= 4 && decimals.bytes().all(|decimal| decimal.is_ascii_digit());
    if is_between && text.split_once('.').is_some_and(|(_, decimals)| is_decimal(decimals)) {
        Ok(target)
    } else {
        Err("write a share above 0 and below 1, of at most four decimals, such as 0.95".to_owned())
    }
}

/// A [`Criteria::held`] as people write it. Documents have whole hours of it.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse_held(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        held if held.as_millis() % Duration::from_hours(1).as_millis() == 0 => Ok(held),
        _ => Err("write whole hours, such as 24h or 2d; 0h for no time at all".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_shares_that_documents_can_hold() {
        for (text, target) in [("0.95", 0.95), (".5", 0.5), ("0.9999", 0.9999), ("0.0001", 0.0001)] {
            assert_eq!(parse_target(text), Ok(target), "{text}");
        }
        let wrong = [
            "", "x", "95", "95%", "0", "0.0", "1", "1.0", "1.5", "-0.5", "nan", "inf", "0.99999", "1e-3", "0.5e-9",
        ];
        for text in wrong {
            assert!(parse_target(text).is_err(), "{text}");
        }
    }

    #[test]
    fn they_are_held_for_whole_hours() {
        let hours = Duration::from_hours;
        for (text, held) in [
            ("24h", hours(24)),
            ("0s", hours(0)),
            ("60m", hours(1)),
            ("2d", hours(48)),
        ] {
            assert_eq!(parse_held(text), Ok(held), "{text}");
        }
        for text in ["", "24", "90m", "1ms", "99999999999d"] {
            assert!(parse_held(text).is_err(), "{text}");
        }
    }
}
