//! Text that goes into YAML, and the only place that knows which YAML library reads and writes it.
//!
//! Names come from workloads and may be hostile: a file can be called `x\nspec: {}`. Nothing here lets a name end the
//! scalar or the comment that it stands in, or hide itself from a reviewer.
//!
//! ```
//! use generator::yaml;
//!
//! assert_eq!(yaml::quoted("/srv/caf\u{e9}\n\u{202e}"), r#""/srv/café\n\u202e""#);
//! assert_eq!(yaml::comment("by /bin/\u{2028}sh"), r"by /bin/\u{2028}sh");
//! ```

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A document that is not what it should be, with the line and column where that shows.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct YamlError(#[from] serde_yaml::Error);

/// Reads one document.
///
/// # Errors
/// [`YamlError`] where the text is no YAML, or has another shape than `T`.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    Ok(serde_yaml::from_str(text)?)
}

/// Writes one document.
///
/// # Errors
/// [`YamlError`] where `value` has no YAML form, for example a map with a map as key.
pub fn print<T: Serialize>(value: &T) -> Result<String, YamlError> {
    Ok(serde_yaml::to_string(value)?)
}

/// A double-quoted scalar (YAML 1.2, 7.3.1) on one line. Every YAML reader gives back exactly `text`, as a string.
pub fn quoted(text: &str) -> String {
    let mut scalar = String::with_capacity(text.len() + 2);
    scalar.push('"');
    for character in text.chars() {
        // Writing to a String cannot fail.
        let _ = match character {
            '"' | '\\' => write!(scalar, "\\{character}"),
            '\n' => write!(scalar, "\\n"),
            '\r' => write!(scalar, "\\r"),
            '\t' => write!(scalar, "\\t"),
            _ if is_plain(character) => write!(scalar, "{character}"),
            _ => match u32::from(character) {
                code @ 0..=0xff => write!(scalar, "\\x{code:02x}"),
                code @ 0x100..=0xffff => write!(scalar, "\\u{code:04x}"),
                code => write!(scalar, "\\U{code:08x}"),
            },
        };
    }
    scalar.push('"');
    scalar
}

/// Text for a comment: one line, and only characters that a reader of the raw file can see.
pub fn comment(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut line, character| {
            if is_plain(character) {
                line.push(character);
            } else {
                line.extend(character.escape_unicode());
            }
            line
        })
}

/// Whether Tetragon's agent gets back the text that a document holds.
///
/// It reads each file twice: as YAML, and then the JSON made of that, as YAML again (`FromYAML` in its pkg/crdutils). JSON
/// leaves DEL, the C1 controls and two noncharacters as they are. The second reading refuses them, and makes U+0085, a
/// line break of YAML 1.1, a blank (found by trying, 1.6.1 and 1.7.0).
pub fn agent_reads(text: &str) -> bool {
    !text.contains(['\0', '\u{fffe}', '\u{ffff}']) && !text.contains(|it: char| ('\u{7f}'..='\u{9f}').contains(&it))
}

/// Whether a character may stand as it is: printable in the sense of YAML 1.2 (5.1), and neither a control, format
/// (bidirectional, zero-width), separator, private nor unassigned code point, nor one that merges into its neighbour.
fn is_plain(character: char) -> bool {
    // Of all characters outside of ASCII, `escape_debug` leaves exactly the printable ones as they are.
    if character.is_ascii() {
        (' '..='~').contains(&character)
    } else {
        character.escape_debug().len() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_break_out_or_hide_is_escaped() {
        let cases = [
            ("/plain path", r#""/plain path""#),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("a\nb\rc\td", r#""a\nb\rc\td""#),
            ("\u{1}\u{7f}\u{85}", r#""\x01\x7f\x85""#),
            (
                "\u{200b}\u{2028}\u{202e}\u{feff}\u{fffe}",
                r#""\u200b\u2028\u202e\ufeff\ufffe""#,
            ),
            ("\u{e0041}\u{10ffff}", r#""\U000e0041\U0010ffff""#),
            ("é ü 日本 🦀", r#""é ü 日本 🦀""#),
            (
                "# no: comment, &anchor *alias !tag",
                r##""# no: comment, &anchor *alias !tag""##,
            ),
        ];
        for (text, scalar) in cases {
            assert_eq!(quoted(text), scalar);
        }
    }

    /// Any text at all: `any::<String>()` would leave out control characters.
    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn every_text_survives_its_scalar(text in text()) {
            prop_assert_eq!(parse::<String>(&quoted(&text)).unwrap(), text);
        }

        #[test]
        fn no_text_ends_its_comment(text in text()) {
            let document = format!("a: 1 # {}\nb: 2\n", comment(&text));
            let expected: std::collections::BTreeMap<String, u8> = [("a".to_owned(), 1), ("b".to_owned(), 2)].into();
            prop_assert_eq!(parse::<std::collections::BTreeMap<String, u8>>(&document).unwrap(), expected);
        }
    }
}
