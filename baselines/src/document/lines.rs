//! What a document may look like, line by line, before the YAML library sees it.
//!
//! The library keeps every token of a document in memory and takes time that grows with the square of how deep brackets
//! are nested: 120 kB of `{a: ` take seconds, and 64 MiB of short lines 5 GB. Baselines need neither, so that hostile ones
//! are told by their lines: one key or item a line, one-line text, flat brackets, no anchors, no tags.

use crate::path;

/// More than 64 MiB of lines such as baselines have: their average length is about 20 bytes.
const LINES_MAX: usize = 4_000_000;

/// Items within items on one line.
const ITEMS_MAX: usize = 3;

/// Items between one pair of brackets.
const BRACKETED_MAX: usize = 16;

/// The first line that a baseline cannot have: its number from 1, and why.
pub(super) fn first_bad_line(text: &str) -> Option<(usize, &'static str)> {
    text.lines().enumerate().find_map(|(index, line)| {
        let why = if index >= LINES_MAX {
            Some("there are more lines than in any document of ours")
        } else {
            why_bad(line)
        };
        why.map(|why| (index + 1, why))
    })
}

fn why_bad(line: &str) -> Option<&'static str> {
    // Among them every character but `\n` that ends a line in YAML.
    if line.chars().any(path::is_unprintable) {
        return Some("it contains a character that hides or moves text: write it as \\xNN, byte by byte");
    }
    if line.starts_with("---") || line.starts_with("...") {
        return (line.trim_end() != "---").then_some("there is one document in a file");
    }
    let mut rest = line.trim_start_matches(' ');
    for _ in 0..ITEMS_MAX {
        rest = rest
            .strip_prefix("- ")
            .map_or(rest, |item| item.trim_start_matches(' '));
    }
    if let Some((key, value)) = rest.split_once(':')
        && !key.is_empty()
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && (value.is_empty() || value.starts_with(' '))
    {
        rest = value;
    }
    let rest = rest.trim_matches(' ');
    (rest != "-" && !is_simple(rest))
        .then_some("documents are written with one key or item a line, text on one line and no anchors or tags")
}

/// Whether this is nothing, a comment, text that ends on this line, or a flat list or map that does.
fn is_simple(value: &str) -> bool {
    match value.as_bytes() {
        [] | [b'#', ..] => true,
        [b'\'', ..] => between(value, '\'').is_some_and(is_single_quoted),
        [b'"', ..] => between(value, '"').is_some_and(is_double_quoted),
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => {
            !inner.iter().any(|byte| b"[]{}\"'&*!|>#".contains(byte))
                && inner.split(|byte| *byte == b',').nth(BRACKETED_MAX).is_none()
        }
        [b'-' | b'?' | b':'] | [b'-' | b'?' | b':', b' ', ..] => false,
        [first, ..] if b"[]{},&*!|>%@`".contains(first) => false,
        _ => !value.contains(": ") && !value.ends_with(':'),
    }
}

/// What is between a quote at the beginning and another one at the end.
fn between(value: &str, quote: char) -> Option<&str> {
    value.strip_prefix(quote)?.strip_suffix(quote)
}

/// Within single quotes a quote is written twice.
fn is_single_quoted(inner: &str) -> bool {
    !inner.replace("''", "").contains('\'')
}

/// Within double quotes a quote is written after a backslash.
fn is_double_quoted(inner: &str) -> bool {
    let mut escaped = false;
    for byte in inner.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            _ => {}
        }
    }
    !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_and_tools_write_is_allowed() {
        let lines = [
            "",
            "# a comment",
            "---",
            "apiVersion: wardline.dev/v1",
            "behaviours:",
            "  - path: /srv/a b",
            "  -",
            "- - x",
            "  continued, [text]",
            "tag: '1.4'",
            "node: 'it''s'",
            r#"tag: "a \"quoted\" word""#,
            "phases: [startup, steady]",
            "losses: []",
            "parent: {path: memfd:x, origin: memfd}",
            "notLearned: {}",
            "address: ::ffff:10.0.0.1",
            "port: 443 # https",
            "path: /proc/[x] {y}",
            "a: -x",
            "id: ''",
        ];
        for line in lines {
            assert_eq!(why_bad(line), None, "{line}");
        }
    }

    #[test]
    fn what_costs_more_than_its_length_is_refused() {
        let lines = [
            "[[",
            "a: [",
            "- [",
            "a: {",
            "{a: {b",
            "a: [[]]",
            "a: ['[']",
            "'a': [",
            "\"a\": [",
            "a b: [",
            "a-b: [",
            "a-b:",
            "? [",
            "? a",
            ": [",
            "a: ? [",
            "a: &a [x]",
            "a: &a",
            "a: *a",
            "a: !!map {",
            "a: |",
            "a: >-",
            "a: 'x",
            "a: x: y",
            "x'\": [",
            "a: \"x",
            "a: \"x\\\"",
            "a: 'x' [",
            "a: \"x\" [",
            "- - - - x",
            "--- [",
            "...",
            "%YAML 1.1",
            "@",
            "`",
            "a:\t[",
            "a: x\u{2028}b: [",
            "a: x\u{85}b: [",
            "a: x\rb: [",
            "\u{feff}a: [",
            "a: \u{1b}[31m",
            "a: \u{202e}x",
            "a: [,,,,,,,,,,,,,,,,,]",
            "a: '''",
            "a: '",
        ];
        for line in lines {
            assert!(why_bad(line).is_some(), "{line}");
        }
        assert_eq!(first_bad_line("a: b\r\nc: [").map(|(line, _)| line), Some(2));
        assert!(first_bad_line(&"\n".repeat(LINES_MAX)).is_none());
        assert!(first_bad_line(&"\n".repeat(LINES_MAX + 1)).is_some());
    }
}
