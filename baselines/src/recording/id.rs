//! Recordings' names.

use sha2::{Digest as _, Sha256};

/// A recording's random, unchanging name: 128 bits, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId(pub(super) [u8; 16]);

impl RecordingId {
    /// The name that follows from these texts: always the same, and of no other ones.
    pub fn derived(texts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let (mut id, hash) = ([0; 16], hash.finalize());
        for (byte, hashed) in id.iter_mut().zip(hash) {
            *byte = hashed;
        }
        Self(id)
    }

    /// The name of what a namespace's containers are of this recording.
    #[must_use]
    pub fn part(self, namespace: &str) -> Self {
        Self::derived(&["part", &self.to_string(), namespace])
    }
}

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
    fn parts_have_names_that_follow_from_the_whole_and_the_namespace() {
        let id = RecordingId([7; 16]);
        assert_eq!(id.part("shop"), id.part("shop"));
        let others = [id, id.part("shops"), id.part(""), RecordingId([8; 16]).part("shop")];
        assert!(!others.contains(&id.part("shop")));
        assert_ne!(RecordingId::derived(&["a", "bc"]), RecordingId::derived(&["ab", "c"]));
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
