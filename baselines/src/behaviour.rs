//! What a workload did, without who and when.
//!
//! A [`Behaviour`] is the unit that is counted, generalised and turned into a line of a policy. Two containers that read
//! the same file through the same program share one behaviour; how often, where and when is evidence, kept beside it.
//!
//! ```
//! use baselines::behaviour::{Access, Action, Behaviour};
//! use baselines::path::FilePath;
//!
//! let behaviour = Behaviour {
//!     subject: FilePath::canonical(*b"/usr/sbin/nginx"),
//!     action: Action::Open {
//!         path: FilePath::canonical(*b"/etc/nginx/nginx.conf"),
//!         access: Access::READ,
//!         backing: None,
//!     },
//! };
//! assert_eq!(behaviour.to_string(), "/usr/sbin/nginx opens /etc/nginx/nginx.conf (read)");
//! ```

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::path::FilePath;

/// Something that a program did.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Behaviour {
    /// The executable that did it. For [`Action::Exec`] this is the calling image, the `parent` of the documents.
    pub subject: FilePath,
    /// What it did.
    pub action: Action,
}

/// What was done. The order of the variants is their order in baseline documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A program was executed and the execution succeeded.
    Exec {
        /// The image that runs now: for a script, its interpreter.
        binary: FilePath,
        /// The script, where the kernel was asked to execute one.
        script: Option<FilePath>,
    },
    /// A file or directory was opened.
    Open {
        /// What was opened.
        path: FilePath,
        /// How.
        access: Access,
        /// Files on an overlay that is not mounted at the task's root are checked a second time by the kernel, with the
        /// path inside the layer (`security_file_open` runs for the backing file too). A policy must list both.
        backing: Option<FilePath>,
    },
    /// A connection was attempted, and the network or the peer decided how it went. Includes "connected" UDP.
    Connect {
        /// The address as the program passed it, before any service mesh or load balancer rewrote it.
        address: IpAddr,
        /// The port, host byte order.
        port: u16,
        /// The transport protocol.
        protocol: Protocol,
    },
}

impl Action {
    /// The kind's word in documents, columns and options.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Open { .. } => "open",
            Self::Connect { .. } => "connect",
        }
    }
}

impl fmt::Display for Behaviour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = &self.subject;
        match &self.action {
            Action::Exec { binary, script: None } => write!(formatter, "{subject} executes {binary}"),
            Action::Exec {
                binary,
                script: Some(script),
            } => {
                write!(formatter, "{subject} executes {script} with {binary}")
            }
            Action::Open { path, access, .. } => write!(formatter, "{subject} opens {path} ({access})"),
            Action::Connect {
                address,
                port,
                protocol,
            } => {
                write!(
                    formatter,
                    "{subject} connects to {} ({protocol})",
                    std::net::SocketAddr::new(*address, *port)
                )
            }
        }
    }
}

/// How a file was opened: a set of rights, as the kernel granted them (`f_mode`), not as the flags asked.
///
/// ```
/// use baselines::behaviour::Access;
///
/// let access = Access::READ | Access::WRITE;
/// assert_eq!(access.to_string(), "read,write");
/// assert_eq!("read,write".parse::<Access>().unwrap(), access);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access(u8);

impl Access {
    /// Opened for reading; directories too.
    pub const READ: Self = Self(1);
    /// Opened for writing.
    pub const WRITE: Self = Self(2);
    /// The open created the file.
    pub const CREATE: Self = Self(4);

    const WORDS: [(Self, &'static str); 3] = [(Self::READ, "read"), (Self::WRITE, "write"), (Self::CREATE, "create")];

    /// The set with these bits (1 read, 2 write, 4 create), as stored in recordings.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        if bits <= 7 { Some(Self(bits)) } else { None }
    }

    /// The bits of this set, see [`Access::from_bits`].
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every right of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for Access {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<&str> = Self::WORDS
            .iter()
            .filter(|(right, _)| self.contains(*right))
            .map(|(_, word)| *word)
            .collect();
        formatter.pad(&if words.is_empty() {
            "none".to_owned()
        } else {
            words.join(",")
        })
    }
}

/// A word that names no right, or no protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {expected}")]
pub struct WordError {
    word: String,
    expected: &'static str,
}

impl std::str::FromStr for Access {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        if text == "none" {
            return Ok(Self::default());
        }
        text.split(',').try_fold(Self::default(), |set, word| {
            Self::WORDS
                .iter()
                .find(|(_, known)| *known == word)
                .map(|(right, _)| set | *right)
                .ok_or_else(|| WordError {
                    word: word.to_owned(),
                    expected: "read, write, create, none",
                })
        })
    }
}

/// The transport protocol of a connection: the socket's IP protocol number (RFC 5237's registry).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// 6.
    Tcp,
    /// 17.
    Udp,
    /// Any other IP protocol, by its number (for example 132, SCTP).
    Other(u8),
}

impl Protocol {
    /// The protocol with this IP protocol number.
    pub const fn from_number(number: u8) -> Self {
        match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            other => Self::Other(other),
        }
    }

    /// The IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => formatter.pad("tcp"),
            Self::Udp => formatter.pad("udp"),
            Self::Other(number) => formatter.pad(&number.to_string()),
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            number => number.parse().map(Self::from_number).map_err(|_| WordError {
                word: number.to_owned(),
                expected: "tcp, udp, an IP protocol number",
            }),
        }
    }
}

crate::serde_text::as_text!(Access, Protocol);

/// When in a container's life something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Until the container is ready; where nothing says when that is, the 60 s after its first execution.
    Startup,
    /// From then on.
    Steady,
}

/// How the process that did something came into the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// It descends from the container's first process. Learned.
    Workload,
    /// The kubelet started it: an exec probe, postStart, preStop. Learned.
    Kubelet,
    /// Somebody entered the running container: `kubectl exec`, `nsenter`, a debug session. Kept and shown, not learned.
    Entered,
    /// The container runtime setting the container up (runc, crun). Kept and shown, not learned.
    Runtime,
}

impl Provenance {
    /// Whether this belongs into a baseline.
    pub const fn is_learned(self) -> bool {
        matches!(self, Self::Workload | Self::Kubelet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_access_survives_its_words() {
        for bits in 0..=7 {
            let access = Access::from_bits(bits).unwrap();
            assert_eq!(access.to_string().parse(), Ok(access));
        }
        assert_eq!(Access::from_bits(8), None);
        assert!("read,fly".parse::<Access>().is_err());
    }

    #[test]
    fn every_protocol_survives_its_word() {
        for number in 0..=255 {
            let protocol = Protocol::from_number(number);
            assert_eq!(protocol.number(), number);
            assert_eq!(protocol.to_string().parse(), Ok(protocol));
        }
        assert!("sctp!".parse::<Protocol>().is_err());
    }
}
