//! Names that addresses were asked for by, in the domain name system.
//!
//! A container that connects to `192.0.2.7` has mostly asked for `db.example.com` before. The name outlives the address,
//! and says what the address was meant to be. It is what an answer said that the container received: whoever can send the
//! container answers, or forge them, can choose it. So it stands beside the address and the peer, and replaces neither.

use std::fmt::{self, Write as _};
use std::sync::Arc;

/// The longest text of a name: 127 labels, each of them hidden, with a dot behind each.
const TEXT_MAX: usize = 127 * (crate::redaction::MARKER.len() + 1);

/// A name as it was asked for, in lower case and without the dot at its end.
///
/// Copies share their text: many connections have one name. It is printable ASCII: every other byte, the backslash, and a dot inside of a label are written as `\x2e`.
///
/// ```
/// use baselines::dns::DnsName;
///
/// let name = DnsName::from_labels([&b"DB"[..], b"example", b"com"]).unwrap();
/// assert_eq!(name.to_string(), "db.example.com");
/// assert_eq!("db.example.com".parse(), Ok(name));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(Arc<str>);

impl DnsName {
    /// The name of these labels, the outermost last. None for the root, and for what is longer than names can be.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut text = String::new();
        for label in labels {
            if !text.is_empty() {
                text.push('.');
            }
            for byte in label.to_ascii_lowercase() {
                match byte {
                    b'.' | b'\\' => write!(text, r"\x{byte:02x}").ok()?,
                    _ if byte.is_ascii_graphic() => text.push(byte.into()),
                    _ => write!(text, r"\x{byte:02x}").ok()?,
                }
            }
        }
        text.parse().ok()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

/// Text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no DNS name: it has from 1 to {TEXT_MAX} printable characters of ASCII, and no space", .0.escape_debug())]
pub struct DnsNameError(String);

impl std::str::FromStr for DnsName {
    type Err = DnsNameError;

    fn from_str(text: &str) -> Result<Self, DnsNameError> {
        let is_name = (1..=TEXT_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_name {
            Ok(Self(text.into()))
        } else {
            Err(DnsNameError(text.chars().take(64).collect()))
        }
    }
}

crate::serde_text::as_text!(DnsName);

/// Whether names are seen in a learning window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// They were not asked for.
    #[default]
    Off,
    /// Answers to containers are seen.
    Seen,
    /// They were asked for, and are not seen: why.
    Unseen(String),
}

/// Why a connection can have no name, or a wrong one, although names are seen.
///
/// The words are the recording's vocabulary; they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NameGap {
    /// Answers that found no room in the ring buffer.
    RingFull,
    /// Answers that are longer than what is looked at: names in their ends are missing.
    Cut,
    /// Answers that say that they are not complete: the whole ones come by TCP, which is not looked at.
    Truncated,
    /// Answers that could not be read.
    Malformed,
    /// Names of addresses that were forgotten to make room for others.
    NoRoom,
    /// Observations of an address that had several names: the one that was answered last is recorded.
    Ambiguous,
}

impl NameGap {
    /// Every one, in the order of documents.
    pub const ALL: [Self; 6] = [
        Self::RingFull,
        Self::Cut,
        Self::Truncated,
        Self::Malformed,
        Self::NoRoom,
        Self::Ambiguous,
    ];

    /// The word used in recordings and documents.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::Cut => "cut",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::NoRoom => "no_room",
            Self::Ambiguous => "ambiguous",
        }
    }

    /// The inverse of [`NameGap::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|gap| gap.word() == word)
    }
}

impl fmt::Display for NameGap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::RingFull => "answers that found no room",
            Self::Cut => "answers too long to be read to their ends",
            Self::Truncated => "answers that were truncated for UDP",
            Self::Malformed => "answers that could not be read",
            Self::NoRoom => "names that found no room",
            Self::Ambiguous => "events of addresses with several names",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_written_like_this() {
        let cases: [(&[&[u8]], Option<&str>); 6] = [
            (&[b"DB", b"Example", b"com"], Some("db.example.com")),
            (&[b"a.b", b"c\\"], Some(r"a\x2eb.c\x5c")),
            (&[b"a b\n", b"\xff"], Some(r"a\x20b\x0a.\xff")),
            (&[b"_tcp", b"x"], Some("_tcp.x")),
            (&[], None),
            (&[&[b'a'; 63][..]; 127], None),
        ];
        for (labels, text) in cases {
            let name = DnsName::from_labels(labels.iter().copied());
            assert_eq!(name.as_ref().map(DnsName::as_str), text);
        }
    }

    #[test]
    fn text_that_is_no_name_is_refused() {
        for text in ["", "a b", "a\nb", "ä.example", &"a".repeat(TEXT_MAX + 1)] {
            assert!(text.parse::<DnsName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_gap_has_a_word_of_its_own() {
        for gap in NameGap::ALL {
            assert_eq!(NameGap::from_word(gap.word()), Some(gap));
        }
        assert_eq!(NameGap::from_word("bad_luck"), None);
    }

    proptest! {
        #[test]
        fn names_of_any_bytes_are_one_word(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 1..8)) {
            let name = DnsName::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
            prop_assert!(name.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            prop_assert_eq!(name.as_str().matches('.').count(), labels.len() - 1);
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }
    }
}
