//! Values as people write them.

use std::time::Duration;

use baselines::quantity::{self, measure};

/// A number of KiB that is a power of two, in KiB.
pub(super) fn ring_kib(text: &str) -> Result<u32, String> {
    let kib: u32 = text
        .parse()
        .map_err(|_| "write a number of KiB, such as 8192".to_owned())?;
    if kib.is_power_of_two() && (16..=1 << 20).contains(&kib) {
        Ok(kib)
    } else {
        Err("it must be a power of two between 16 and 1048576".to_owned())
    }
}

/// A duration as people write it, of some length.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    match quantity::duration(text)? {
        Duration::ZERO => Err("it must be longer than nothing".to_owned()),
        time => Ok(time),
    }
}

/// How often an agent tells how it does. Five minutes of silence mean that it is gone.
pub(super) fn report_interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time <= Duration::from_mins(1) => Ok(time),
        _ => Err("an agent that tells less often seems to be gone: write at most 60s".to_owned()),
    }
}

/// The size of a recording: its tables alone take some 84 KiB.
pub(super) fn recording_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes @ RECORDING_SIZE_MIN.. => Ok(bytes),
        _ => Err("no recording is as small as that: write at least 256KiB".to_owned()),
    }
}

/// The smallest bound that leaves room for something to be recorded, in bytes.
const RECORDING_SIZE_MIN: u64 = 256 << 10;

/// A size as people write it, in bytes: a number and one of KiB, MiB, GiB, TiB.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size: write a number and KiB, MiB, GiB or TiB, such as 500MiB");
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];
    match measure(text, &units).ok_or_else(wrong)? {
        0 => Err("it must be more than nothing".to_owned()),
        // The most that a file can have.
        total if i64::try_from(total).is_ok() => Ok(total),
        _ => Err("it is too much".to_owned()),
    }
}

/// A node's name is a DNS name (RFC 1123), and goes into a selector of the API server.
pub(crate) fn node_name(text: &str) -> Result<String, String> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if (1..=253).contains(&text.len()) && text.bytes().all(is_part) {
        Ok(text.to_owned())
    } else {
        Err("a node's name consists of a-z, 0-9, `-` and `.`".to_owned())
    }
}

/// The names that `LearningWindow` objects can have: a DNS name's (RFC 1123), and short enough for a label's value.
pub(super) fn window_name(text: &str) -> Result<String, String> {
    match node_name(text) {
        Ok(name) if name.len() <= 63 => Ok(name),
        _ => Err("a learning window's name consists of at most 63 of a-z, 0-9, `-` and `.`".to_owned()),
    }
}

/// A service account as the API server names it: NAMESPACE/NAME.
pub(super) fn service_account(text: &str) -> Result<(String, String), String> {
    let parts = text
        .split_once('/')
        .map(|(namespace, name)| Some((node_name(namespace).ok()?, node_name(name).ok()?)));
    parts
        .flatten()
        .ok_or_else(|| "write NAMESPACE/NAME, such as ci/wardline".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("64KiB", 65_536),
            ("500MiB", 524_288_000),
            ("2GiB", 2_147_483_648),
            ("1TiB", 1_099_511_627_776),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "500",
            "MiB",
            "-1MiB",
            "1.5GiB",
            "5 MiB",
            "0KiB",
            "5MB",
            "9999999TiB",
            "99999999TiB",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(recording_size("255KiB").is_err());
        assert_eq!(recording_size("256KiB"), Ok(RECORDING_SIZE_MIN));
    }

    #[test]
    fn no_time_at_all_is_no_duration() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for text in ["0s", "", "1w"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
