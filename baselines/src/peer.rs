//! Who was reached: what an address stood for at that moment.
//!
//! Addresses of pods and load balancers rotate, so that a baseline of bare addresses is wrong the next day. A [`Peer`] says
//! what a cluster knew the address as. It stands beside the behaviour, which keeps the address as the program passed it.
//!
//! ```
//! use baselines::peer::Peer;
//!
//! let peer: Peer = "pod/production/Deployment/web".parse()?;
//! assert_eq!(peer, Peer::Pod {
//!     namespace: "production".to_owned(),
//!     kind: "Deployment".to_owned(),
//!     name: "web".to_owned(),
//! });
//! # Ok::<(), baselines::peer::PeerError>(())
//! ```

use std::fmt;

use crate::path;

/// Whom a connection or a datagram was for. The order is the order in baseline documents.
///
/// As text it is `service/NAMESPACE/NAME`, `pod/NAMESPACE/KIND/NAME`, `node/NAME`, `external` or `unknown/REASON`, escaped
/// as a [`crate::workload::Workload`] is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// A service of the cluster, by its cluster address or another one that it has.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A pod, by the workload that it is of: pods come and go.
    Pod {
        /// Its namespace.
        namespace: String,
        /// The workload's kind: `Deployment`, ...; `Pod` for one that nobody controls.
        kind: String,
        /// The workload's name.
        name: String,
    },
    /// A node of the cluster, or a pod in its node's network.
    Node {
        /// Its name.
        name: String,
    },
    /// Nothing in the cluster has the address.
    External,
    /// It could not be told.
    Unknown(Untold),
}

/// Why nobody could tell who a peer is.
///
/// The words are the recording's and the documents' vocabulary; they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Untold {
    /// The API server refuses to tell.
    Refused,
    /// The API server did not answer in time.
    Unanswered,
    /// There were more addresses to ask for than may be asked for.
    TooMany,
    /// Whoever has the address now came later.
    Reused,
    /// The cluster gives pods addresses of two families, and this is of the one that it cannot be asked for.
    SecondFamily,
    /// No cluster was asked. Such a peer is recorded for its DNS name.
    NoCluster,
}

impl Untold {
    /// Every reason, in the order of documents.
    pub const ALL: [Self; 6] = [
        Self::Refused,
        Self::Unanswered,
        Self::TooMany,
        Self::Reused,
        Self::SecondFamily,
        Self::NoCluster,
    ];

    /// The word used in recordings, documents and columns.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::TooMany => "too_many",
            Self::Reused => "reused",
            Self::SecondFamily => "second_family",
            Self::NoCluster => "no_cluster",
        }
    }

    /// The inverse of [`Untold::word`].
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.word() == word)
    }
}

impl Peer {
    /// Its kind and its names, in the order in which they are written.
    pub(crate) fn parts(&self) -> (&'static str, Vec<&str>) {
        match self {
            Self::Service { namespace, name } => ("service", vec![namespace, name]),
            Self::Pod { namespace, kind, name } => ("pod", vec![namespace, kind, name]),
            Self::Node { name } => ("node", vec![name]),
            Self::External => ("external", vec![]),
            Self::Unknown(why) => ("unknown", vec![why.word()]),
        }
    }

    /// The inverse of [`Peer::parts`].
    pub(crate) fn from_parts(kind: &str, names: Vec<String>) -> Option<Self> {
        Some(match (kind, names.len()) {
            ("service", 2) => {
                let [namespace, name] = names.try_into().ok()?;
                Self::Service { namespace, name }
            }
            ("pod", 3) => {
                let [namespace, kind, name] = names.try_into().ok()?;
                Self::Pod { namespace, kind, name }
            }
            ("node", 1) => Self::Node {
                name: names.into_iter().next()?,
            },
            ("external", 0) => Self::External,
            ("unknown", 1) => Self::Unknown(Untold::from_word(names.first()?)?),
            _ => return None,
        })
    }

    /// With each of its names as `change` makes it.
    #[must_use]
    pub(crate) fn with_names(&self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Service { namespace, name } => Self::Service {
                namespace: change(namespace),
                name: change(name),
            },
            Self::Pod { namespace, kind, name } => Self::Pod {
                namespace: change(namespace),
                kind: kind.clone(),
                name: change(name),
            },
            Self::Node { name } => Self::Node { name: change(name) },
            Self::External | Self::Unknown(_) => self.clone(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, names) = self.parts();
        let names = names
            .into_iter()
            .map(|name| path::escape(name.as_bytes()).replace('/', r"\x2f"));
        let parts: Vec<String> = [kind.to_owned()].into_iter().chain(names).collect();
        formatter.pad(&parts.join("/"))
    }
}

/// Text that names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no peer: write service/NAMESPACE/NAME, pod/NAMESPACE/KIND/NAME, node/NAME, external or unknown/REASON"
)]
pub struct PeerError(String);

impl std::str::FromStr for Peer {
    type Err = PeerError;
    fn from_str(text: &str) -> Result<Self, PeerError> {
        let name = |text: &str| {
            let bytes = path::unescape(text).ok()?;
            String::from_utf8(bytes).ok()
        };
        let mut parts = text.split('/');
        let kind = parts.next().unwrap_or_default();
        parts
            .map(name)
            .collect::<Option<Vec<String>>>()
            .and_then(|names| Self::from_parts(kind, names))
            .ok_or_else(|| PeerError(text.to_owned()))
    }
}

crate::serde_text::as_text!(Peer);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::peers;
    use proptest::prelude::*;

    #[test]
    fn peers_are_written_like_this() {
        let pod = Peer::Pod {
            namespace: "production".to_owned(),
            kind: "Deployment".to_owned(),
            name: "a/b".to_owned(),
        };
        let cases = [
            (
                Peer::Service {
                    namespace: "shop".to_owned(),
                    name: "api".to_owned(),
                },
                "service/shop/api",
            ),
            (pod, r"pod/production/Deployment/a\x2fb"),
            (
                Peer::Node {
                    name: "worker-1".to_owned(),
                },
                "node/worker-1",
            ),
            (Peer::External, "external"),
            (Peer::Unknown(Untold::Refused), "unknown/refused"),
        ];
        for (peer, text) in cases {
            assert_eq!(peer.to_string(), text);
            assert_eq!(text.parse(), Ok(peer));
        }
    }

    #[test]
    fn text_that_names_no_peer_is_refused() {
        for text in [
            "",
            "service",
            "service/a",
            "service/a/b/c",
            "pod/a/b",
            "node/",
            "node/a/b",
            "external/a",
            "unknown",
            "unknown/bad_luck",
            "host/a",
            r"node/\q",
            r"node/\xff",
        ] {
            let is_refused = text.parse::<Peer>().is_err();
            // An empty name is one: what was hidden may be anything.
            assert_eq!(is_refused, text != "node/", "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_peer_survives_text(peer in peers()) {
            prop_assert_eq!(peer.to_string().parse(), Ok(peer));
        }
    }
}
