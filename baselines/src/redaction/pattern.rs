//! One pattern, from text.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

/// A glob of path components, see the [module](super).
#[derive(Clone, Debug)]
pub struct Pattern {
    /// As it was written.
    text: String,
    is_anchored: bool,
    is_literal: bool,
    components: Vec<Component>,
    /// Matches a text that has the pattern anywhere in it.
    anywhere: GlobMatcher,
}

/// A component of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Component {
    /// `**`: any number of components.
    Any,
    /// One component, and whether it is a secret: it has a wildcard, or nothing in the pattern has one.
    One { glob: GlobMatcher, is_secret: bool },
}

/// Text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no pattern: {why}")]
pub struct PatternError {
    text: String,
    why: String,
}

impl Pattern {
    /// The same pattern, in lower case.
    pub(super) fn in_lower_case(&self) -> Self {
        // What is a pattern is one in lower case, too.
        self.text.to_ascii_lowercase().parse().unwrap_or_else(|_| self.clone())
    }

    /// Whether it matches from the beginning of a path only.
    pub(super) fn is_anchored(&self) -> bool {
        self.is_anchored
    }

    /// Whether it has no wildcards: all of it is a secret, which one marker stands for.
    pub(super) fn is_literal(&self) -> bool {
        self.is_literal
    }

    pub(super) fn components(&self) -> &[Component] {
        &self.components
    }

    /// Whether it matches anywhere in a text, whatever is around it.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        self.anywhere.is_match(as_path(text))
    }
}

impl Component {
    pub(super) fn matches(&self, component: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::One { glob, .. } => glob.is_match(as_path(component)),
        }
    }
}

/// Globs match the bytes of paths as they are.
fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let error = |why: String| PatternError {
            text: text.to_owned(),
            why,
        };
        let (is_anchored, rest) = match text.strip_prefix('/') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let parts: Vec<&str> = rest.strip_suffix('/').unwrap_or(rest).split('/').collect();
        if parts.contains(&"") {
            return Err(error(
                "a component is empty; write names between slashes, such as /home/*".to_owned(),
            ));
        }
        let is_everything = |part: &&str| part.bytes().all(|byte| byte == b'*');
        if parts.iter().all(is_everything) && (!is_anchored || parts.contains(&"**")) {
            return Err(error(
                "it would hide everything; name something beside the wildcards".to_owned(),
            ));
        }
        let is_literal = !text.contains(['*', '?', '[', '{']);
        let component = |part: &&str| match *part {
            "**" => Ok(Component::Any),
            part if part.contains("**") => Err(error(
                "`**` stands alone between slashes; within a name write `*`".to_owned(),
            )),
            part => Ok(Component::One {
                glob: glob(part).map_err(error)?,
                is_secret: is_literal || part.contains(['*', '?', '[', '{']),
            }),
        };
        let components = parts.iter().map(component).collect::<Result<_, _>>()?;
        // Here `*` matches slashes, too.
        let text_anywhere = text
            .strip_suffix('/')
            .unwrap_or(text)
            .replace("/**", "*")
            .replace("**/", "*");
        Ok(Self {
            text: text.to_owned(),
            is_anchored,
            is_literal,
            components,
            anywhere: glob(&format!("*{text_anywhere}*")).map_err(error)?,
        })
    }
}

/// As it was written.
impl fmt::Display for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

fn glob(text: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(text).backslash_escape(true).build();
    glob.map(|glob| glob.compile_matcher())
        .map_err(|error| error.kind().to_string())
}
