//! Paths as the kernel compares them.
//!
//! A policy compares bytes: the canonical path of a file as seen from the task's own root directory. Linux allows every
//! byte but NUL and `/` in a name, so a path is bytes here too and only becomes text at the edge, reversibly.
//!
//! ```
//! use baselines::path::{FilePath, Origin};
//!
//! let path = FilePath::canonical(b"/srv/caf\xc3\xa9/\xff\n".as_slice());
//! assert_eq!(path.to_text(), r"/srv/café/\xff\n");
//! assert_eq!(FilePath::from_text(r"/srv/café/\xff\n", Origin::Canonical).unwrap(), path);
//! ```

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest path Linux hands out, in bytes, without the terminating NUL (`PATH_MAX` is 4,096 with it).
pub const PATH_BYTES_MAX: usize = 4096;

/// What the kernel appends to the path of a file that has no name any more.
pub(crate) const DELETED: &[u8] = b" (deleted)";

/// Where the bytes of a [`FilePath`] come from, and with that, what a policy may do with them.
///
/// The order is the order in baseline documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Walked by the kernel from the file up to the task's root: exactly what `d_path` and Tetragon see.
    #[default]
    Canonical,
    /// The file had no name any more. The bytes end in ` (deleted)`, as the kernel prints and Tetragon compares them.
    Deleted,
    /// An anonymous file (`memfd_create(2)`). It has no path that a policy could compare; the bytes are `memfd:NAME`.
    Memfd,
    /// A file that never had a path and is no memfd: a pipe, a pidfd, a namespace, reached through `/proc` or made by a system
    /// call. The bytes are its name, if it has one.
    Anonymous,
    /// The walk ended above or beside the task's root: a file opened before `chroot(2)`, or on a detached mount. The
    /// bytes start at the root of that file's mount.
    Unreachable,
    /// A script's name as its caller wrote it, because its canonical path could not be found out; in imports, any program's.
    AsCalled,
    /// More components than the probe can walk, or more than [`PATH_BYTES_MAX`] bytes: only the tail of the path is known.
    Cut,
    /// It could not be told which executable it was; the bytes are empty.
    Unknown,
    /// A part of it was hidden when it was recorded, see [`crate::redaction`]: [`crate::redaction::MARKER`] stands for it.
    Redacted,
}

impl Origin {
    /// Every origin, in the order of baseline documents.
    pub const ALL: [Self; 9] = [
        Self::Canonical,
        Self::Deleted,
        Self::Memfd,
        Self::Anonymous,
        Self::Unreachable,
        Self::AsCalled,
        Self::Cut,
        Self::Unknown,
        Self::Redacted,
    ];

    /// The word used in documents and columns.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Deleted => "deleted",
            Self::Memfd => "memfd",
            Self::Anonymous => "anonymous",
            Self::Unreachable => "unreachable",
            Self::AsCalled => "as_called",
            Self::Cut => "cut",
            Self::Unknown => "unknown",
            Self::Redacted => "redacted",
        }
    }

    /// The inverse of [`Origin::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.word() == word)
    }
}

/// A path, as bytes, with its [`Origin`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath {
    bytes: Box<[u8]>,
    origin: Origin,
}

impl FilePath {
    /// A path that the kernel walked from the task's root.
    pub fn canonical(bytes: impl Into<Box<[u8]>>) -> Self {
        Self::new(bytes, Origin::Canonical)
    }

    /// A path of the given origin.
    pub fn new(bytes: impl Into<Box<[u8]>>, origin: Origin) -> Self {
        Self {
            bytes: bytes.into(),
            origin,
        }
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where the bytes come from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The path as UTF-8, if it is; policies are YAML and can hold nothing else.
    pub fn as_utf8(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// Printable text that [`FilePath::from_text`] turns back into the same bytes: UTF-8 stays, a backslash is doubled,
    /// control characters and invalid bytes become `\n`, `\t`, `\r` or `\xNN`.
    ///
    /// Safe to print on a terminal: names come from workloads and may hold escape sequences, or Unicode controls that
    /// turn the direction of text.
    pub fn to_text(&self) -> String {
        escape(&self.bytes)
    }

    /// The inverse of [`FilePath::to_text`].
    ///
    /// # Errors
    /// [`TextError`] where a backslash starts no known escape.
    pub fn from_text(text: &str, origin: Origin) -> Result<Self, TextError> {
        Ok(Self::new(unescape(text)?, origin))
    }
}

/// See [`FilePath::to_text`].
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut text, character);
        }
        for byte in chunk.invalid() {
            push_hex(&mut text, *byte);
        }
    }
    text
}

/// See [`FilePath::from_text`].
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, TextError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, length) = escaped_byte(escaped).ok_or_else(|| TextError {
            escape: escaped.chars().take(4).collect(),
        })?;
        bytes.push(byte);
        rest = escaped.get(length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// Text that is no path: a backslash in it starts no escape that [`FilePath::to_text`] writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown escape `{escape}`: write \\\\, \\n, \\r, \\t or \\xNN")]
pub struct TextError {
    escape: String,
}

fn push_escaped(text: &mut String, character: char) {
    match character {
        '\\' => text.push_str(r"\\"),
        '\n' => text.push_str(r"\n"),
        '\r' => text.push_str(r"\r"),
        '\t' => text.push_str(r"\t"),
        _ if is_unprintable(character) => {
            for byte in character.encode_utf8(&mut [0; 4]).as_bytes() {
                push_hex(text, *byte);
            }
        }
        _ => text.push(character),
    }
}

/// Whether [`escape`] writes this character as bytes.
pub(crate) fn is_unprintable(character: char) -> bool {
    character.is_control() || changes_layout(character)
}

/// Characters that reorder or hide the text around them (bidirectional controls, CVE-2021-42574; line and paragraph
/// separators; zero-width characters): a reviewer must see them.
fn changes_layout(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push_hex(text: &mut String, byte: u8) {
    use fmt::Write as _;
    // Writing to a String cannot fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// The byte that an escape stands for and the escape's length in bytes.
fn escaped_byte(escape: &str) -> Option<(u8, usize)> {
    match escape.as_bytes() {
        [b'\\', b'\\', ..] => Some((b'\\', 2)),
        [b'\\', b'n', ..] => Some((b'\n', 2)),
        [b'\\', b'r', ..] => Some((b'\r', 2)),
        [b'\\', b't', ..] => Some((b'\t', 2)),
        [b'\\', b'x', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            u8::from_str_radix(escape.get(2..4)?, 16).ok().map(|byte| (byte, 4))
        }
        _ => None,
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.to_text())
    }
}

impl fmt::Debug for FilePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}:{}", self.origin, self.to_text())
    }
}

/// In documents a canonical path is a plain string; any other says what it is: `{path: memfd:x, origin: memfd}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marked {
    path: String,
    origin: Origin,
}

impl Serialize for FilePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.origin {
            Origin::Canonical => serializer.serialize_str(&self.to_text()),
            origin => Marked {
                path: self.to_text(),
                origin,
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FilePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathVisitor)
    }
}

/// By hand and not `#[serde(untagged)]`, whose errors say neither what was expected nor where.
struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = FilePath;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a path in quotes, or `{path: ..., origin: ...}`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<FilePath, E> {
        FilePath::from_text(text, Origin::Canonical).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FilePath, A::Error> {
        let Marked { path, origin } = Marked::deserialize(MapAccessDeserializer::new(map))?;
        FilePath::from_text(&path, origin).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_shows_what_a_terminal_would_hide() {
        let cases: [(&[u8], &str); 6] = [
            (b"/plain name", "/plain name"),
            (b"/back\\slash", r"/back\\slash"),
            (b"/new\nline\ttab\rreturn", r"/new\nline\ttab\rreturn"),
            (b"/esc\x1b[31m", r"/esc\x1b[31m"),
            (b"/bad\xff\xfe", r"/bad\xff\xfe"),
            ("/bidi\u{202e}gpj".as_bytes(), r"/bidi\xe2\x80\xaegpj"),
        ];
        for (bytes, text) in cases {
            assert_eq!(FilePath::canonical(bytes).to_text(), text);
        }
    }

    #[test]
    fn unknown_escapes_are_refused() {
        for text in [r"/a\q", r"/a\x1", r"/a\xzz", "/a\\", r"/a\xé"] {
            assert!(FilePath::from_text(text, Origin::Canonical).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_path_survives_text(bytes in proptest::collection::vec(any::<u8>(), 0..200), origin in 0..Origin::ALL.len()) {
            let path = FilePath::new(bytes, Origin::ALL[origin]);
            prop_assert_eq!(FilePath::from_text(&path.to_text(), path.origin()).unwrap(), path);
        }
    }
}
