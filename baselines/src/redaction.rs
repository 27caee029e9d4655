//! Hiding what must not be written down: parts of paths, arguments and names.
//!
//! A [`Pattern`] is a glob of path components. Where it matches, the components that its wildcards stand for are replaced by
//! [`MARKER`], so that paths which differ in nothing but the secret become one:
//!
//! ```
//! use baselines::path::FilePath;
//! use baselines::redaction::Redaction;
//!
//! let redaction = Redaction::new(vec!["/home/*".parse()?, "/run/secrets/**".parse()?, "acme-*".parse()?]);
//! let hidden = |path: &str| redaction.path(&FilePath::canonical(path.as_bytes())).unwrap().to_text();
//! assert_eq!(hidden("/home/alice/.ssh/id_rsa"), "/home/[redacted]/.ssh/id_rsa");
//! assert_eq!(hidden("/run/secrets/shop/db/password"), "/run/secrets/[redacted]");
//! assert_eq!(hidden("/srv/acme-prod/data"), "/srv/[redacted]/data");
//! assert!(redaction.path(&FilePath::canonical(*b"/etc/passwd")).is_none());
//! # Ok::<(), baselines::redaction::PatternError>(())
//! ```
//!
//! - A pattern that begins with `/` matches from the beginning of a path; any other one from any component on. What comes
//!   after a match stays as it is.
//! - In a component `*` stands for any bytes, `?` for one, `[a-z]` and `[!a]` for one of some, `{a,b}` for one of several
//!   texts, and `\` takes the meaning of the next. The component `**` stands for any number of components, also none.
//! - A pattern without wildcards is the secret itself: all of it is hidden.
//! - A path whose beginning is not known ([`Origin::Cut`]) is hidden as a whole; and where a pattern begins with `/`, so are
//!   those that do not begin at the root that it means ([`Origin::Unreachable`], or [`Origin::AsCalled`] and relative).
//! - An argument, or another text, is hidden as a whole if a pattern matches anywhere in it, at component boundaries or not;
//!   an argument that was cut short is hidden in any case.
//! - Names (of workloads, images, containers, peers) are hidden like components of paths that no `/` comes before, and
//!   those of containers where they are a part of what was hidden in the cgroup's path. So are DNS names, and each of their
//!   labels.

mod components;
mod pattern;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::behaviour::{Action, Arguments, Behaviour};
use crate::dns::DnsName;
use crate::path::{DELETED, FilePath, Origin};
use crate::peer::Peer;
use crate::recording::Container;
use crate::workload::{Image, Workload};

pub use pattern::{Pattern, PatternError};

/// What stands where something was hidden.
pub const MARKER: &str = "[redacted]";

/// What to hide. Without patterns: nothing.
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    patterns: Vec<Pattern>,
    /// The same for what is in lower case.
    lower: Option<Box<Redaction>>,
}

impl Redaction {
    /// Hides what any of these matches.
    pub fn new(patterns: Vec<Pattern>) -> Self {
        let lower = Self {
            patterns: patterns.iter().map(Pattern::in_lower_case).collect(),
            lower: None,
        };
        Self {
            patterns,
            lower: Some(Box::new(lower)),
        }
    }

    /// The path with its secrets hidden; `None` if it has none.
    pub fn path(&self, path: &FilePath) -> Option<FilePath> {
        if self.patterns.is_empty() {
            return None;
        }
        let bytes = path.as_bytes();
        let hidden = match path.origin() {
            Origin::Unknown | Origin::Redacted => None,
            Origin::Cut => Some(MARKER.into()),
            Origin::Unreachable if self.has_anchored() => Some(MARKER.into()),
            Origin::AsCalled if self.has_anchored() && !bytes.starts_with(b"/") => Some(MARKER.into()),
            // No policy compares it, whatever its name is: it stays what it is.
            origin @ (Origin::Memfd | Origin::Anonymous) => {
                let (kind, name) = bytes.split_at(bytes.iter().position(|byte| *byte == b':').map_or(0, |at| at + 1));
                let hidden = self.components(name)?;
                return Some(FilePath::new([kind, &hidden].concat(), origin));
            }
            Origin::Deleted => {
                let (name, end) = match bytes.strip_suffix(DELETED) {
                    Some(name) => (name, DELETED),
                    None => (bytes, &b""[..]),
                };
                self.components(name).map(|hidden| [&hidden, end].concat())
            }
            Origin::Canonical | Origin::Unreachable | Origin::AsCalled => self.components(bytes),
        };
        hidden.map(|bytes| FilePath::new(bytes, Origin::Redacted))
    }

    /// The behaviour with its secrets hidden; borrowed if it has none.
    pub fn behaviour<'a>(&self, behaviour: &'a Behaviour) -> Cow<'a, Behaviour> {
        if self.patterns.is_empty() {
            return Cow::Borrowed(behaviour);
        }
        let mut hidden = behaviour.clone();
        self.hide(&mut hidden.subject);
        match &mut hidden.action {
            Action::Exec {
                binary,
                script,
                arguments,
            } => {
                self.hide(binary);
                if let Some(script) = script {
                    self.hide(script);
                }
                if let Some(arguments) = arguments {
                    self.hide_arguments(arguments);
                }
            }
            Action::Open { path, backing, .. } => {
                let (seen, layered) = (self.path(path), backing.as_ref().and_then(|backing| self.path(backing)));
                // Each is a part of the other: a pattern for one of them means both.
                let whole = || FilePath::new(MARKER.as_bytes(), Origin::Redacted);
                if seen.is_some() || layered.is_some() {
                    *path = seen.unwrap_or_else(whole);
                    *backing = backing.as_ref().map(|_| layered.unwrap_or_else(whole));
                }
            }
            Action::ConnectUnix { path } | Action::Raise { binary: path, .. } => self.hide(path),
            Action::Connect { .. } | Action::Send { .. } | Action::Listen { .. } => {}
        }
        if hidden == *behaviour {
            Cow::Borrowed(behaviour)
        } else {
            Cow::Owned(hidden)
        }
    }

    /// The container with the secrets in its names hidden; borrowed if there are none.
    pub fn container<'a>(&self, container: &'a Container) -> Cow<'a, Container> {
        if self.patterns.is_empty() {
            return Cow::Borrowed(container);
        }
        let (cgroup_path, secrets) = components::hide(&self.patterns, &container.cgroup_path);
        let name = |text: &str| self.name(text, &secrets);
        let hidden = Container {
            workload: Workload {
                // No cgroup's path has it.
                namespace: self.name(&container.workload.namespace, &[]),
                kind: container.workload.kind.clone(),
                name: name(&container.workload.name),
                container: name(&container.workload.container),
            },
            id: name(&container.id),
            image: Image {
                repository: name(&container.image.repository),
                tag: container.image.tag.as_deref().map(name),
                digest: container.image.digest.as_deref().map(name),
            },
            cgroup_path: cgroup_path.unwrap_or_else(|| container.cgroup_path.clone()),
            ..*container
        };
        if hidden == *container {
            Cow::Borrowed(container)
        } else {
            Cow::Owned(hidden)
        }
    }

    /// The peer with the secrets in its names hidden.
    pub fn peer(&self, peer: &Peer) -> Peer {
        if self.patterns.is_empty() {
            return peer.clone();
        }
        peer.with_names(|name| self.name(name, &[]))
    }

    /// The DNS name with its secrets hidden: as a name, and in each of its labels.
    pub fn dns_name(&self, name: &DnsName) -> DnsName {
        if self.patterns.is_empty() {
            return name.clone();
        }
        // Case means nothing in them (RFC 4343), and they are recorded in lower case.
        let lower = self.lower.as_deref().unwrap_or(self);
        let whole = lower.name(name.as_str(), &[]);
        let labels: Vec<String> = whole.split('.').map(|label| lower.name(label, &[])).collect();
        // Never longer than names can be: a hidden label has the length of the marker.
        let hidden = labels.join(".").parse().or_else(|_| MARKER.parse());
        hidden.unwrap_or_else(|_| name.clone())
    }

    /// A text such as an error's message, hidden as a whole if it has a secret.
    pub fn text<'a>(&self, text: &'a str) -> &'a str {
        if self.is_secret(text.as_bytes()) { MARKER } else { text }
    }

    fn has_anchored(&self) -> bool {
        self.patterns.iter().any(Pattern::is_anchored)
    }

    fn is_secret(&self, text: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_in(text))
    }

    fn components(&self, path: &[u8]) -> Option<Vec<u8>> {
        components::hide(&self.patterns, path).0
    }

    fn hide(&self, path: &mut FilePath) {
        if let Some(hidden) = self.path(path) {
            *path = hidden;
        }
    }

    fn hide_arguments(&self, arguments: &mut Arguments) {
        let bytes = arguments.as_bytes();
        let (whole, cut) = match bytes.iter().rposition(|byte| *byte == 0) {
            Some(end) => bytes.split_at(end + 1),
            None => (&b""[..], bytes),
        };
        let mut hidden = Vec::with_capacity(bytes.len());
        for argument in whole.split_inclusive(|byte| *byte == 0) {
            let text = argument.strip_suffix(b"\0").unwrap_or(argument);
            hidden.extend(if self.is_secret(text) { MARKER.as_bytes() } else { text });
            hidden.push(0);
        }
        if arguments.is_cut() && !cut.is_empty() {
            hidden.extend(MARKER.as_bytes());
        }
        *arguments = Arguments::new(&hidden, arguments.is_cut());
    }

    fn name(&self, text: &str, secrets: &[Vec<u8>]) -> String {
        let hide = |component: &str| {
            let bytes = component.as_bytes();
            let is_part = |secret: &Vec<u8>| secret.windows(bytes.len().max(1)).any(|part| part == bytes);
            match self.components(bytes) {
                _ if secrets.iter().any(is_part) => MARKER.to_owned(),
                // Hidden bytes are the marker's or were a text's.
                Some(hidden) => String::from_utf8(hidden).unwrap_or_else(|_| MARKER.to_owned()),
                None => component.to_owned(),
            }
        };
        // First as a whole: a pattern may have more than one component.
        let whole = self.components(text.as_bytes()).map(String::from_utf8);
        let text = match whole {
            Some(hidden) => hidden.unwrap_or_else(|_| MARKER.to_owned()),
            None => text.to_owned(),
        };
        text.split('/').map(hide).collect::<Vec<_>>().join("/")
    }
}
