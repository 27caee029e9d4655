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

mod access;
mod arguments;
mod protocol;
mod raise;

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::path::FilePath;

pub use access::Access;
pub use arguments::Arguments;
pub use protocol::Protocol;
pub use raise::{Capabilities, RaiseCause};

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
        /// What the program was called with. Only recorded when asked for, because secrets are passed in arguments.
        arguments: Option<Arguments>,
    },
    /// A file or directory was opened, or, where the access is [`Access::MAP`], mapped into memory to be executed.
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
    /// A Unix socket that has a path was connected to, or sent to.
    ConnectUnix {
        /// The socket's path.
        path: FilePath,
    },
    /// A datagram was sent to an address by a socket that is not connected: `sendto(2)`, `sendmsg(2)`, `sendmmsg(2)`.
    Send {
        /// The address as the program passed it.
        address: IpAddr,
        /// The port, host byte order.
        port: u16,
        /// The transport protocol.
        protocol: Protocol,
    },
    /// A socket began to wait for connections, `listen(2)`.
    Listen {
        /// The address that the socket is bound to; unspecified (`0.0.0.0`, `::`) for every address.
        address: IpAddr,
        /// The port, host byte order; 0 where the kernel chose one when `listen(2)` was called.
        port: u16,
        /// The transport protocol.
        protocol: Protocol,
    },
    /// A process came by privileges that it had not before.
    Raise {
        /// The program that was executed; for [`RaiseCause::UserNamespace`] the one that runs, which is the subject.
        binary: FilePath,
        /// How.
        cause: RaiseCause,
        /// The effective user id after it.
        user: u32,
        /// The permitted capabilities after it.
        capabilities: Capabilities,
    },
}

impl Action {
    /// The kind's word in columns and options.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Exec { .. } => "exec",
            Self::Open { .. } => "open",
            Self::Connect { .. } => "connect",
            Self::ConnectUnix { .. } => "connect_unix",
            Self::Send { .. } => "send",
            Self::Listen { .. } => "listen",
            Self::Raise { .. } => "raise",
        }
    }
}

/// One sentence: the subject and what it did.
impl fmt::Display for Behaviour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ", self.subject)?;
        match &self.action {
            Action::Exec {
                binary,
                script,
                arguments,
            } => {
                match script {
                    Some(script) => write!(formatter, "executes {script} with {binary}")?,
                    None => write!(formatter, "executes {binary}")?,
                }
                match arguments {
                    Some(arguments) => write!(formatter, " ({arguments})"),
                    None => Ok(()),
                }
            }
            Action::Open { path, access, .. } if *access == Access::MAP => write!(formatter, "maps {path}"),
            Action::Open { path, access, .. } => write!(formatter, "opens {path} ({access})"),
            Action::Connect {
                address,
                port,
                protocol,
            } => write!(
                formatter,
                "connects to {} ({protocol})",
                SocketAddr::new(*address, *port)
            ),
            Action::ConnectUnix { path } => write!(formatter, "connects to {path} (unix)"),
            Action::Send {
                address,
                port,
                protocol,
            } => write!(formatter, "sends to {} ({protocol})", SocketAddr::new(*address, *port)),
            Action::Listen {
                address,
                port,
                protocol,
            } => write!(
                formatter,
                "listens on {} ({protocol})",
                SocketAddr::new(*address, *port)
            ),
            Action::Raise {
                binary,
                cause,
                user,
                capabilities,
            } => {
                match cause {
                    RaiseCause::Execution => write!(formatter, "raises its privileges by executing {binary}")?,
                    RaiseCause::UserNamespace => formatter.write_str("raises its privileges in a user namespace")?,
                }
                write!(formatter, " (user {user}, {capabilities})")
            }
        }
    }
}

/// A word that is none of those expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not one of {expected}")]
pub struct WordError {
    word: String,
    expected: &'static str,
}

impl WordError {
    fn new(word: &str, expected: &'static str) -> Self {
        Self {
            word: word.to_owned(),
            expected,
        }
    }
}

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
    fn behaviours_read_as_sentences() {
        let path = |path: &str| FilePath::canonical(path.as_bytes());
        let exec = |script: Option<&str>, arguments: Option<&[u8]>| Action::Exec {
            binary: path("/bin/sh"),
            script: script.map(path),
            arguments: arguments.map(|arguments| Arguments::new(arguments, false)),
        };
        let open = |access| Action::Open {
            path: path("/lib/x.so"),
            access,
            backing: None,
        };
        let raise = |cause, user, capabilities: &str| Action::Raise {
            binary: path("/bin/su"),
            cause,
            user,
            capabilities: capabilities.parse().unwrap(),
        };
        let (address, port, protocol) = (IpAddr::from([10, 0, 0, 1]), 53, Protocol::Udp);
        let connect = Action::Connect {
            address,
            port,
            protocol,
        };
        let send = Action::Send {
            address,
            port,
            protocol,
        };
        let listen = Action::Listen {
            address,
            port,
            protocol,
        };
        let cases = [
            (exec(None, None), "executes /bin/sh"),
            (exec(Some("/a b"), None), "executes /a b with /bin/sh"),
            (exec(None, Some(b"sh\0-c\0a b\0")), r#"executes /bin/sh (sh -c "a b")"#),
            (open(Access::READ | Access::MAP), "opens /lib/x.so (read,map)"),
            (open(Access::MAP), "maps /lib/x.so"),
            (connect, "connects to 10.0.0.1:53 (udp)"),
            (Action::ConnectUnix { path: path("/s") }, "connects to /s (unix)"),
            (send, "sends to 10.0.0.1:53 (udp)"),
            (listen, "listens on 10.0.0.1:53 (udp)"),
            (
                raise(RaiseCause::Execution, 0, "all"),
                "raises its privileges by executing /bin/su (user 0, all)",
            ),
            (
                raise(RaiseCause::UserNamespace, 1000, "cap_chown,cap_63"),
                "raises its privileges in a user namespace (user 1000, cap_chown,cap_63)",
            ),
        ];
        let kinds: Vec<&str> = cases.iter().map(|(action, _)| action.kind()).collect();
        assert_eq!(
            kinds.chunk_by(|a, b| a == b).map(|same| same[0]).collect::<Vec<_>>(),
            ["exec", "open", "connect", "connect_unix", "send", "listen", "raise"]
        );
        for (action, sentence) in cases {
            let subject = path("/bin/a");
            assert_eq!(Behaviour { subject, action }.to_string(), format!("/bin/a {sentence}"));
        }
    }
}
