//! Quantities as people write them: a number and a unit, such as 24h.
//!
//! ```
//! use std::time::Duration;
//!
//! use baselines::quantity::duration;
//!
//! assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
//! assert!(duration("soon").is_err());
//! ```

use std::time::Duration;

/// A duration: a number and one of ms, s, m, h, d. At most a hundred years, which clocks and timers hold.
///
/// # Errors
/// What is wrong with it, for people.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [
        ("ms", 1),
        ("s", 1_000),
        ("m", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
    ];
    match measure(text, &units) {
        None => Err(format!(
            "`{text}` is no duration: write a number and ms, s, m, h or d, such as 90s or 24h"
        )),
        Some(total) if total <= 3_155_760_000_000 => Ok(Duration::from_millis(total)),
        Some(_) => Err("it is too long".to_owned()),
    }
}

/// A number with one of these units, in what the units are counted in; the most that there is for what is more. None for
/// any other text.
pub fn measure(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|character: char| !character.is_ascii_digit())?);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    Some(number.parse::<u64>().ok()?.saturating_mul(*factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let cases = [
            ("0s", 0),
            ("250ms", 250),
            ("90s", 90_000),
            ("10m", 600_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "10",
            "m",
            "-1s",
            "1.5h",
            "10 m",
            "1w",
            "99999999999999999999s",
            "999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
