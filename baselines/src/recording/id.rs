//! Recordings' names.

/// A recording's random, unchanging name: 128 bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId(pub(super) [u8; 16]);

impl std::fmt::Display for RecordingId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.pad(&format!("{:032x}", u128::from_be_bytes(self.0)))
    }
}

/// Text that is no recording's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no recording's id: it has 32 hexadecimal digits")]
pub struct RecordingIdError(String);

impl std::str::FromStr for RecordingId {
    type Err = RecordingIdError;
    fn from_str(text: &str) -> Result<Self, RecordingIdError> {
        let lower = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
        match u128::from_str_radix(text, 16) {
            Ok(number) if text.len() == 32 && text.bytes().all(lower) => Ok(Self(number.to_be_bytes())),
            _ => Err(RecordingIdError(text.to_owned())),
        }
    }
}

crate::serde_text::as_text!(RecordingId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = RecordingId([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
        assert_eq!(id.to_string(), "00010203040506070809aabbccddeeff");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "1234",
            "+0010203040506070809aabbccddeeff",
            "00010203040506070809AABBCCDDEEFF",
        ] {
            assert!(text.parse::<RecordingId>().is_err(), "{text}");
        }
    }
}
