//! Label selectors as `kubectl -l` takes them: `app=web,tier!=db,env in (a,b),!canary`.
//!
//! The grammar is that of `labels.Parse` (apimachinery, pkg/labels/selector.go), and so is what matches. Its comparisons of
//! numbers (`>`, `<`), which no object of Kubernetes knows either, are refused.
//!
//! ```
//! use kube::core::SelectorExt as _;
//! use profiler::kubernetes::labels::parse;
//!
//! let selector = parse("app=web, env in (a,b), !canary").unwrap();
//! let labels = |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
//! assert!(selector.matches(&labels(&[("app", "web"), ("env", "a")])));
//! assert!(!selector.matches(&labels(&[("app", "web"), ("env", "a"), ("canary", "")])));
//! assert_eq!(parse("app=web,env in a").unwrap_err().to_string(), "at character 16: `(` is expected");
//! ```

use std::collections::BTreeSet;

use kube::core::{Expression, Selector};

use super::pods::LABEL_VALUE_MAX;

/// A key's prefix is a DNS name (RFC 1123).
const PREFIX_MAX: usize = 253;

/// Text that is no label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {what}")]
pub struct SelectorError {
    /// The character where it is noticed, from 1.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

/// Reads a selector. An empty text selects everything.
///
/// # Errors
/// [`SelectorError`].
pub fn parse(text: &str) -> Result<Selector, SelectorError> {
    let mut parser = Parser { text, at: 0 };
    let mut expressions = Vec::new();
    if parser.peek() == Token::End {
        return Ok(Selector::default());
    }
    loop {
        expressions.push(parser.expression()?);
        match parser.peek() {
            Token::End => return Ok(expressions.into_iter().collect()),
            Token::Comma => parser.skip(),
            _ => return Err(parser.expected("`,`, or the end,")),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Comma,
    Open,
    Close,
    Not,
    Equals,
    NotEquals,
    Compares,
    End,
}

struct Parser<'a> {
    text: &'a str,
    /// Where in the text, in bytes.
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next token, and its length. It begins here: spaces are skipped.
    fn token(&mut self) -> (Token<'a>, usize) {
        const IS_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
        self.at += self.rest().len() - self.rest().trim_start_matches(IS_SPACE).len();
        let rest = self.rest();
        let signs = [
            ("!=", Token::NotEquals),
            ("==", Token::Equals),
            ("=", Token::Equals),
            ("!", Token::Not),
            (",", Token::Comma),
            ("(", Token::Open),
            (")", Token::Close),
            (">", Token::Compares),
            ("<", Token::Compares),
        ];
        if let Some((sign, token)) = signs.iter().find(|(sign, _)| rest.starts_with(sign)) {
            return (*token, sign.len());
        }
        let ends = |character| IS_SPACE.contains(&character) || "=!(),<>".contains(character);
        match rest.split(ends).next().unwrap_or_default() {
            "" => (Token::End, 0),
            word => (Token::Word(word), word.len()),
        }
    }

    fn peek(&mut self) -> Token<'a> {
        self.token().0
    }

    fn skip(&mut self) {
        self.at += self.token().1;
    }

    fn error(&self, what: String) -> SelectorError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        SelectorError {
            at: before.chars().count().saturating_add(1),
            what,
        }
    }

    fn expected(&self, what: &str) -> SelectorError {
        self.error(format!("{what} is expected"))
    }

    fn expression(&mut self) -> Result<Expression, SelectorError> {
        if self.peek() == Token::Not {
            self.skip();
            return Ok(Expression::DoesNotExist(self.key()?));
        }
        let key = self.key()?;
        let token = self.peek();
        Ok(match token {
            Token::End | Token::Comma => Expression::Exists(key),
            Token::Equals => {
                self.skip();
                Expression::Equal(key, self.value()?)
            }
            Token::NotEquals => {
                self.skip();
                Expression::NotEqual(key, self.value()?)
            }
            Token::Word("in") => {
                self.skip();
                among(key, self.values()?, Expression::Equal, Expression::In)
            }
            Token::Word("notin") => {
                self.skip();
                among(key, self.values()?, Expression::NotEqual, Expression::NotIn)
            }
            Token::Compares => {
                return Err(
                    self.error("labels cannot be compared as numbers here: write =, !=, in or notin".to_owned())
                );
            }
            _ => return Err(self.expected("`=`, `!=`, `in`, `notin`, `,` or the end")),
        })
    }

    fn key(&mut self) -> Result<String, SelectorError> {
        let Token::Word(key) = self.peek() else {
            return Err(self.expected("the key of a label"));
        };
        let (prefix, name) = key
            .split_once('/')
            .map_or((None, key), |(prefix, name)| (Some(prefix), name));
        if name.is_empty() || !is_value(name) || !prefix.is_none_or(is_prefix) {
            return Err(self.error(format!("`{}` cannot be the key of a label", key.escape_debug())));
        }
        self.skip();
        Ok(key.to_owned())
    }

    /// A value, which may be empty.
    fn value(&mut self) -> Result<String, SelectorError> {
        let Token::Word(value) = self.peek() else {
            return Ok(String::new());
        };
        if !is_value(value) {
            return Err(self.error(format!("`{}` cannot be the value of a label", value.escape_debug())));
        }
        self.skip();
        Ok(value.to_owned())
    }

    /// `(a,b)`. Any of them may be empty, but not all that there is.
    fn values(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        if self.peek() != Token::Open {
            return Err(self.expected("`(`"));
        }
        self.skip();
        if self.peek() == Token::Close {
            return Err(self.expected("a value"));
        }
        let mut values = BTreeSet::new();
        loop {
            values.insert(self.value()?);
            match self.peek() {
                Token::Comma => self.skip(),
                Token::Close => {
                    self.skip();
                    return Ok(values);
                }
                _ => return Err(self.expected("`,` or `)`")),
            }
        }
    }
}

/// `in` and `notin` with one value say the same as `=` and `!=`, which can be written down where that is empty, too.
fn among(
    key: String,
    mut values: BTreeSet<String>,
    one: fn(String, String) -> Expression,
    many: fn(String, BTreeSet<String>) -> Expression,
) -> Expression {
    match values.pop_first() {
        Some(value) if values.is_empty() => one(key, value),
        first => {
            values.extend(first);
            many(key, values)
        }
    }
}

/// `IsValidLabelValue` (apimachinery, pkg/util/validation): names in keys have the same form, but are not empty.
fn is_value(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= LABEL_VALUE_MAX
        && text.bytes().all(is_inner)
        && is_end(text.bytes().next())
        && is_end(text.bytes().last())
}

fn is_prefix(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    (1..=PREFIX_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use kube::core::SelectorExt as _;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn selectors_select_what_kubectl_would() {
        let labels: BTreeMap<String, String> = [
            ("app", "web"),
            ("tier", "front"),
            ("in", ""),
            ("shop.example/team", "a-b"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let cases = [
            ("", true),
            (" \t", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=front", true),
            ("app=db", false),
            ("app=", false),
            ("in=", true),
            ("in", true),
            ("in in (,x)", true),
            ("in in (x,)", true),
            ("in in (,)", true),
            ("in notin (,x)", false),
            ("app=in", false),
            ("app!=web", false),
            ("app!=", true),
            ("none!=web", true),
            ("none=", false),
            ("app", true),
            ("none", false),
            ("!none", true),
            ("! app", false),
            ("app in (db,web)", true),
            ("app in(db)", false),
            ("app notin (db, cache)", true),
            ("none notin (db)", true),
            ("shop.example/team=a-b", true),
            ("app=web,tier!=db,tier in (front,back),!canary", true),
            ("app=web,canary", false),
        ];
        for (text, expected) in cases {
            let selector = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(selector.matches(&labels), expected, "{text}");
            // As the recording has it.
            let again = parse(&selector.to_string()).unwrap();
            assert_eq!(again.matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_the_place() {
        let long = "x".repeat(64);
        let cases = [
            (",", 1, "the key of a label is expected"),
            ("app=web,", 9, "the key of a label is expected"),
            ("app=web,,tier", 9, "the key of a label is expected"),
            ("app web", 5, "`=`, `!=`, `in`"),
            ("app=a b", 7, "`,`, or the end, is expected"),
            ("!app=web", 5, "`,`, or the end, is expected"),
            ("app in a", 8, "`(` is expected"),
            ("app in (a", 10, "`,` or `)` is expected"),
            ("app in (a b)", 11, "`,` or `)` is expected"),
            ("app in ()", 9, "a value is expected"),
            ("app in (a))", 11, "`,`, or the end, is expected"),
            ("replicas>3", 9, "compared as numbers"),
            ("app=-web", 5, "cannot be the value"),
            ("app=w\u{1b}", 5, "`w\\u{1b}` cannot be the value"),
            ("äpp=web", 1, "cannot be the key"),
            ("app=web,ä", 9, "cannot be the key"),
            ("/app", 1, "cannot be the key"),
            ("a/b/c", 1, "cannot be the key"),
            ("Shop/app", 1, "cannot be the key"),
            (&long, 1, "cannot be the key"),
        ];
        for (text, at, what) in cases {
            let error = parse(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.what.contains(what), "{text}: {error}");
        }
    }

    proptest! {
        /// Any text: a selector that says the same when it is written down, or an error within the text.
        #[test]
        fn no_text_is_too_much(text in "[a-c!=(), ä<\\n]{0,24}|.{0,40}|(a|in|notin| |\\(|\\)|,|=){0,12}") {
            match parse(&text) {
                Ok(selector) => prop_assert_eq!(parse(&selector.to_string()), Ok(selector)),
                Err(error) => prop_assert!(error.at <= text.chars().count() + 1),
            }
        }
    }
}
