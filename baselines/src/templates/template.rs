//! One template: what it matches, and its text.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::class::Class;
use crate::path::{self, FilePath, Origin, PATH_BYTES_MAX};

/// A pattern of canonical paths, for example `/proc/{pid}/status`.
///
/// As text it is a path in the form of [`FilePath::to_text`], in which `{CLASS}` stands for what a [`Class`] stands for, and a
/// brace is written `\x7b` or `\x7d`. There are no other wildcards: `*` is a `*`.
///
/// ```
/// use baselines::path::FilePath;
/// use baselines::templates::Template;
///
/// let template: Template = "/var/log/app-{date}.log".parse()?;
/// assert!(template.matches(&FilePath::canonical(*b"/var/log/app-2026-11-22.log")));
/// assert!(!template.matches(&FilePath::canonical(*b"/var/log/app-main.log")));
/// assert!(template.covers(&"/var/log/app-2026-11-22.log".parse()?));
/// assert_eq!(template.to_string(), "/var/log/app-{date}.log");
/// # Ok::<(), baselines::templates::TemplateError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    components: Vec<Component>,
}

/// A name, or a pattern of names. Never empty; literal texts are never empty and never side by side.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Component(Vec<Token>);

/// A part of a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Token {
    Text(Box<[u8]>),
    Any(Class),
}

impl Template {
    /// The template that matches nothing but this path. `None` for paths that no policy could compare, see
    /// [`components`].
    pub fn of_path(path: &FilePath) -> Option<Self> {
        let components = components(path)?.map(Component::of_name).collect();
        Some(Self { components })
    }

    pub(super) fn new(components: Vec<Component>) -> Self {
        Self { components }
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether it has no wildcard.
    pub fn is_literal(&self) -> bool {
        self.components.iter().all(|component| component.name().is_some())
    }

    /// Whether the path is one of those that it stands for. Only [canonical](Origin::Canonical) ones are.
    pub fn matches(&self, path: &FilePath) -> bool {
        let Some(names) = components(path) else { return false };
        let mut patterns = self.components.iter();
        let fits = names
            .into_iter()
            .all(|name| patterns.next().is_some_and(|pattern| pattern.matches(name)));
        fits && patterns.next().is_none()
    }

    /// Whether it is known to match everything that `other` matches. Where a run of digits and text would have to be taken
    /// apart to tell, the answer is no.
    pub fn covers(&self, other: &Self) -> bool {
        let pairs = self.components.iter().zip(&other.components);
        self.components.len() == other.components.len() && pairs.into_iter().all(|(ours, theirs)| ours.covers(theirs))
    }

    /// The literal text before the first wildcard, and behind the last one. Nothing is behind where there is no wildcard.
    pub(super) fn ends(&self) -> (Vec<u8>, Vec<u8>) {
        let mut tokens = self.tokens().peekable();
        let mut begin = Vec::new();
        while let Some(Part::Text(text)) = tokens.peek() {
            begin.extend_from_slice(text);
            tokens.next();
        }
        let mut end = Vec::new();
        for token in tokens {
            match token {
                Part::Text(text) => end.extend_from_slice(text),
                Part::Any(_) => end.clear(),
            }
        }
        (begin, end)
    }

    /// Everything from left to right, separators included.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Part<'_>> {
        let components = self.components.iter().flat_map(|component| {
            let tokens = component.0.iter().map(|token| match token {
                Token::Text(text) => Part::Text(text),
                Token::Any(class) => Part::Any(*class),
            });
            [Part::Text(b"/")].into_iter().chain(tokens)
        });
        let root = self.components.is_empty().then_some(Part::Text(b"/"));
        components.chain(root)
    }
}

/// A part of a path.
pub(super) enum Part<'a> {
    Text(&'a [u8]),
    Any(Class),
}

impl Part<'_> {
    /// As templates write it.
    pub(super) fn write(&self, text: &mut String) {
        match self {
            Self::Text(bytes) => text.push_str(&escape(bytes)),
            Self::Any(class) => {
                // Writing to a String cannot fail.
                let _ = write!(text, "{{{class}}}");
            }
        }
    }
}

/// The names that a path is made of, in order; none for the root.
///
/// `None` if it is no path as the kernel walks them: of another [`Origin`], relative, longer than [`PATH_BYTES_MAX`], or with
/// an empty name, `.`, `..` or NUL. A policy must not compare it: what the workload really reached is not known, or has no
/// name, or the bytes come from somewhere else.
pub fn components(path: &FilePath) -> Option<impl Iterator<Item = &[u8]>> {
    is_walked(path).then(|| names(path.as_bytes()))
}

/// Whether [`components`] has an answer.
pub(super) fn is_walked(path: &FilePath) -> bool {
    let bytes = path.as_bytes();
    if path.origin() != Origin::Canonical || bytes.len() > PATH_BYTES_MAX {
        return false;
    }
    let is_name = |name: Option<&[u8]>| !matches!(name, None | Some(b"" | b"." | b".."));
    let Some((b'/', rest)) = bytes.split_first() else {
        return false;
    };
    // Once over all bytes: this is done for each path.
    let mut start = 0;
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            0 => return false,
            b'/' if !is_name(rest.get(start..at)) => return false,
            b'/' => start = at + 1,
            _ => {}
        }
    }
    rest.is_empty() || is_name(rest.get(start..))
}

/// The names in a path that is canonical.
pub(super) fn names(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    // Nothing is before the first slash, and in the root nothing is behind it.
    bytes
        .split(|byte| *byte == b'/')
        .skip(if bytes.len() == 1 { 2 } else { 1 })
}

impl Component {
    pub(super) fn of_name(name: &[u8]) -> Self {
        Self(vec![Token::Text(name.into())])
    }

    /// Of tokens in order; literal texts that are empty or side by side are joined.
    pub(super) fn of_tokens(tokens: impl IntoIterator<Item = Token>) -> Self {
        let mut joined: Vec<Token> = Vec::new();
        for token in tokens {
            match (joined.last_mut(), token) {
                (_, Token::Text(text)) if text.is_empty() => {}
                (Some(Token::Text(before)), Token::Text(text)) => *before = [&**before, &*text].concat().into(),
                (_, token) => joined.push(token),
            }
        }
        Self(joined)
    }

    /// The name, if it is one and no pattern.
    pub(super) fn name(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [Token::Text(name)] => Some(name),
            _ => None,
        }
    }

    pub(super) fn tokens(&self) -> &[Token] {
        &self.0
    }

    /// Whether it stands for this name.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        // The places in the name that the tokens so far can end at. Names are short, and so are wildcards: this is bounded.
        let mut places = vec![0];
        for token in &self.0 {
            let mut next = Vec::new();
            for place in places {
                let rest = name.get(place..).unwrap_or_default();
                match token {
                    Token::Text(text) if rest.starts_with(text) => next.push(place + text.len()),
                    Token::Text(_) => {}
                    Token::Any(class) => next.extend(class.lengths(rest).map(|length| place + length)),
                }
            }
            next.sort_unstable();
            next.dedup();
            places = next;
        }
        places.last() == Some(&name.len())
    }

    /// Whether it is known to match everything that `other` matches.
    fn covers(&self, other: &Self) -> bool {
        // The same, but the places are in the tokens of the other one: which, and how far into its text.
        let mut places = vec![(0, 0)];
        for token in &self.0 {
            let mut next = Vec::new();
            for (index, offset) in places {
                match (token, other.0.get(index)) {
                    (Token::Any(class), Some(Token::Any(theirs))) if class.covers(*theirs) => next.push((index + 1, 0)),
                    (token, Some(Token::Text(text))) => {
                        let rest = text.get(offset..).unwrap_or_default();
                        let to = |length: usize| match offset + length {
                            end if end == text.len() => (index + 1, 0),
                            end => (index, end),
                        };
                        match token {
                            Token::Text(ours) if rest.starts_with(ours) => next.push(to(ours.len())),
                            Token::Text(_) => {}
                            Token::Any(class) => next.extend(class.lengths(rest).map(to)),
                        }
                    }
                    _ => {}
                }
            }
            next.sort_unstable();
            next.dedup();
            places = next;
        }
        places.contains(&(other.0.len(), 0))
    }
}

/// As [`FilePath::to_text`], and braces as `\x7b` and `\x7d`.
fn escape(bytes: &[u8]) -> String {
    path::escape(bytes).replace('{', r"\x7b").replace('}', r"\x7d")
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        for token in self.tokens() {
            token.write(&mut text);
        }
        formatter.pad(&text)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// Text that is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no template of paths: {why}", .text.escape_debug())]
pub struct TemplateError {
    text: String,
    why: String,
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        parse(text).map_err(|why| TemplateError {
            text: text.chars().take(200).collect(),
            why,
        })
    }
}

fn parse(text: &str) -> Result<Template, String> {
    let names = text.strip_prefix('/').ok_or("it does not begin with /")?;
    // A wildcard is longer as text than what it stands for can be short: this bounds what is matched.
    if text.len() > 4 * PATH_BYTES_MAX {
        return Err(format!("it is longer than {} bytes", 4 * PATH_BYTES_MAX));
    }
    if names.is_empty() {
        return Ok(Template::new(Vec::new()));
    }
    names
        .split('/')
        .map(parse_component)
        .collect::<Result<_, _>>()
        .map(Template::new)
}

fn parse_component(text: &str) -> Result<Component, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (class, behind) = after
            .split_once('}')
            .ok_or(r"a brace is not closed (the character itself is written \x7b)")?;
        tokens.push(parse_text(before)?);
        let class = class.parse().map_err(|()| {
            format!("`{{{class}}}` is none of {{number}}, {{pid}}, {{version}}, {{date}}, {{timestamp}}, {{uuid}}, {{hex:N}}, {{pod-hash}}, {{pod-suffix}}, {{random:N}}")
        })?;
        tokens.push(Token::Any(class));
        rest = behind;
    }
    tokens.push(parse_text(rest)?);
    let component = Component::of_tokens(tokens);
    match component.name() {
        _ if component.0.is_empty() => Err("it has an empty name".to_owned()),
        Some(b"." | b"..") => Err("it has the name . or .., which no canonical path has".to_owned()),
        _ => Ok(component),
    }
}

fn parse_text(text: &str) -> Result<Token, String> {
    if text.contains('}') {
        return Err(r"a brace closes nothing (the character itself is written \x7d)".to_owned());
    }
    let bytes = path::unescape(text).map_err(|error| error.to_string())?;
    if bytes.contains(&0) || bytes.contains(&b'/') {
        return Err("it has a NUL or a slash in a name".to_owned());
    }
    Ok(Token::Text(bytes.into()))
}

crate::serde_text::as_text!(Template);
