//! What programs are called with.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::path;

/// The arguments of an execution, the program's name first, as the kernel holds them: bytes, each argument ended by a
/// NUL, and cut after [`Arguments::BYTES_MAX`] of these bytes.
///
/// ```
/// use baselines::behaviour::Arguments;
///
/// let arguments = Arguments::new(b"sh\0-c\0echo \"a\"\0", false);
/// assert_eq!(arguments.to_string(), r#"sh -c "echo \"a\"""#);
/// assert!(Arguments::new(&[b'x'; 600], false).is_cut());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arguments {
    /// Where nothing was cut, nothing or something that ends with a NUL.
    bytes: Box<[u8]>,
    is_cut: bool,
}

impl Arguments {
    /// The most that is kept, in bytes.
    pub const BYTES_MAX: usize = 512;

    /// The arguments in `bytes`, which are not all of them if `is_cut`. What is too long is cut here. The last NUL may be
    /// missing.
    pub fn new(bytes: &[u8], is_cut: bool) -> Self {
        let is_ended = bytes.last().is_none_or(|last| *last == 0);
        let end: &[u8] = if is_cut || is_ended { b"" } else { b"\0" };
        let whole = [bytes, end].concat();
        match whole.get(..Self::BYTES_MAX) {
            Some(kept) => Self {
                bytes: kept.into(),
                is_cut: is_cut || whole.len() > kept.len(),
            },
            None => Self {
                bytes: whole.into(),
                is_cut,
            },
        }
    }

    /// The raw bytes, each argument ended by a NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether there was more.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The arguments. Of those that are cut the last one is a part of an argument, perhaps an empty one.
    fn list(&self) -> impl Iterator<Item = &[u8]> {
        let listed = if self.is_cut {
            Some(&*self.bytes)
        } else {
            self.bytes.strip_suffix(b"\0")
        };
        listed.into_iter().flat_map(|bytes| bytes.split(|byte| *byte == 0))
    }

    /// The inverse of [`Arguments::list`].
    fn from_list(list: &[Argument], is_cut: bool) -> Result<Self, ListError> {
        if list.iter().any(|argument| argument.0.contains(&0)) {
            return Err(ListError::Nul);
        }
        let mut bytes = list
            .iter()
            .flat_map(|argument| [&*argument.0, b"\0"])
            .collect::<Vec<_>>()
            .concat();
        if is_cut && bytes.pop().is_none() {
            return Err(ListError::Empty);
        }
        if bytes.len() > Self::BYTES_MAX {
            return Err(ListError::Long);
        }
        Ok(Self {
            bytes: bytes.into(),
            is_cut,
        })
    }
}

/// Arguments that no execution can be recorded with.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("an argument holds no \\x00")]
    Nul,
    #[error(
        "these are more than {} bytes, with one for the end of each argument",
        Arguments::BYTES_MAX
    )]
    Long,
    #[error("of arguments that were cut there is at least one, which may be empty")]
    Empty,
}

/// Separated by blanks, escaped as paths are ([`path::FilePath::to_text`]) and quoted where something else could be meant;
/// `...` at the end if they are cut. No two read the same.
impl fmt::Display for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.list().map(quoted_if_needed).collect();
        formatter.write_str(&words.join(" "))?;
        formatter.write_str(if self.is_cut { "..." } else { "" })
    }
}

fn quoted_if_needed(argument: &[u8]) -> String {
    let text = path::escape(argument);
    let is_plain =
        !text.is_empty() && !text.ends_with("...") && !text.contains(|it: char| it.is_whitespace() || it == '"');
    if is_plain {
        text
    } else {
        format!("\"{}\"", text.replace('"', "\\\""))
    }
}

impl fmt::Debug for Arguments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{self}]")
    }
}

/// One argument, as documents hold it: escaped like a path.
struct Argument(Vec<u8>);

impl fmt::Display for Argument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&path::escape(&self.0))
    }
}

impl std::str::FromStr for Argument {
    type Err = path::TextError;
    fn from_str(text: &str) -> Result<Self, path::TextError> {
        path::unescape(text).map(Self)
    }
}

crate::serde_text::as_text!(Argument);

/// In documents arguments are a list; one that is cut says so: `{cut: [...]}`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Marked {
    cut: Vec<Argument>,
}

impl Serialize for Arguments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let list: Vec<Argument> = self.list().map(|argument| Argument(argument.to_owned())).collect();
        if self.is_cut {
            Marked { cut: list }.serialize(serializer)
        } else {
            list.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Arguments {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ArgumentsVisitor)
    }
}

struct ArgumentsVisitor;

impl<'de> Visitor<'de> for ArgumentsVisitor {
    type Value = Arguments;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of arguments, or `cut:` and the list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Arguments, A::Error> {
        let mut list = Vec::new();
        while let Some(argument) = sequence.next_element()? {
            list.push(argument);
        }
        Arguments::from_list(&list, false).map_err(A::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Arguments, A::Error> {
        let Marked { cut } = Marked::deserialize(MapAccessDeserializer::new(map))?;
        Arguments::from_list(&cut, true).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn arguments_read_as_a_command_line() {
        let cases: [(&[u8], bool, &str); 12] = [
            (b"", false, ""),
            (b"\0", false, r#""""#),
            (b"ls\0", false, "ls"),
            (b"ls", false, "ls"),
            (b"ls\0-l\0it's\0", false, "ls -l it's"),
            (b"sh\0-c\0echo \"$a\"\\\0", false, r#"sh -c "echo \"$a\"\\""#),
            (b"a\xff\x1b\n\0", false, r"a\xff\x1b\n"),
            ("no\u{a0}break\0".as_bytes(), false, "\"no\u{a0}break\""),
            (b"wait...\0", false, r#""wait...""#),
            (b"", true, r#"""..."#),
            (b"a\0", true, r#"a ""..."#),
            (b"a\0b", true, "a b..."),
        ];
        for (bytes, is_cut, text) in cases {
            assert_eq!(Arguments::new(bytes, is_cut).to_string(), text);
        }
    }

    #[test]
    fn no_more_than_the_limit_is_kept() {
        let max = Arguments::BYTES_MAX;
        let ended = |bytes: usize| [&vec![b'x'; bytes - 1], &b"\0"[..]].concat();
        let cases = [
            (ended(max), false, max, false),
            (ended(max + 1), false, max, true),
            // The NUL that is missing does not fit.
            (vec![b'x'; max], false, max, true),
            (vec![b'x'; max - 1], false, max, false),
            (vec![b'x'; max], true, max, true),
            (vec![b'x'; 3 * max], true, max, true),
            (vec![b'x'; 3], true, 3, true),
        ];
        for (bytes, was_cut, length, is_cut) in cases {
            let arguments = Arguments::new(&bytes, was_cut);
            assert_eq!((arguments.as_bytes().len(), arguments.is_cut()), (length, is_cut));
            let again = Arguments::new(arguments.as_bytes(), is_cut);
            assert_eq!(again, arguments);
        }
    }

    /// Everything that is short and made of what a command line could be misread by.
    #[test]
    fn no_two_read_the_same_in_text_or_in_documents() {
        let mut all = vec![Vec::new()];
        let mut texts = BTreeMap::new();
        for _ in 0..=5 {
            for (bytes, is_cut) in all.iter().flat_map(|bytes| [(bytes, false), (bytes, true)]) {
                let arguments = Arguments::new(bytes, is_cut);
                let document = serde_yaml::to_string(&arguments).unwrap();
                assert_eq!(
                    serde_yaml::from_str::<Arguments>(&document).unwrap(),
                    arguments,
                    "{document}"
                );
                let known = texts.entry(arguments.to_string()).or_insert_with(|| arguments.clone());
                assert_eq!(*known, arguments, "{arguments}");
            }
            let longer =
                |bytes: &Vec<u8>| [0, b' ', b'"', b'.', b'\\', b'a'].map(|byte| [&bytes[..], &[byte]].concat());
            all = all.iter().flat_map(longer).collect();
        }
    }

    #[test]
    fn lists_that_cannot_have_been_recorded_are_refused() {
        let long = format!(r#"["{}"]"#, "x".repeat(Arguments::BYTES_MAX));
        let cases = [
            (r#"["a\\x00b"]"#, "no \\x00"),
            (r#"{"cut": []}"#, "at least one"),
            (&long, "more than 512 bytes"),
            (r#"["\\q"]"#, "unknown escape"),
            (r#""ls -l""#, "expected a list of arguments"),
            (r#"{"cut": ["a"], "more": 1}"#, "unknown field"),
            ("[[a]]", "expected text"),
        ];
        for (text, expected) in cases {
            let message = serde_yaml::from_str::<Arguments>(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
