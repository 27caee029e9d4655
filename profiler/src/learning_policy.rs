//! The policy that makes Tetragon's agent post what an import needs, and nothing else.
//!
//! It only observes: each hook has the action Post, and nothing in it can deny. The shape was read in the code of the
//! releases that it is written for (`pkg/sensors/tracing`, `pkg/k8s/apis/cilium.io/v1alpha1`); `docs/how-to/import-tetragon.md`
//! says what was tried.
//!
//! ```
//! use profiler::learning_policy::{Tetragon, policy};
//!
//! let yaml = policy(Tetragon::V1_7, Some("production"));
//! assert!(yaml.contains("kind: TracingPolicyNamespaced"));
//! assert!(yaml.contains("- call: security_bprm_check"));
//! ```

use std::fmt;

use crate::import::tetragon::arguments::FILE_MODE;

/// A release of Tetragon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Tetragon {
    /// Any 1.4 release: cannot post how files are opened
    #[value(name = "1.4")]
    V1_4,
    /// Any 1.5 release
    #[value(name = "1.5")]
    V1_5,
    /// Any 1.6 release
    #[value(name = "1.6")]
    V1_6,
    /// Any 1.7 release
    #[default]
    #[value(name = "1.7")]
    V1_7,
    /// Any 1.8 release
    #[value(name = "1.8")]
    V1_8,
}

impl Tetragon {
    /// Every release that a policy can be written for.
    pub const ALL: [Self; 5] = [Self::V1_4, Self::V1_5, Self::V1_6, Self::V1_7, Self::V1_8];

    /// The release's number.
    pub const fn word(self) -> &'static str {
        match self {
            Self::V1_4 => "1.4",
            Self::V1_5 => "1.5",
            Self::V1_6 => "1.6",
            Self::V1_7 => "1.7",
            Self::V1_8 => "1.8",
        }
    }

    /// 1.4 keeps arguments by their index in the function (`config.Arg[a.Index]`, generickprobe.go), so that a second one
    /// of the same index takes the first one's place. 1.5 keeps them by their place in the list.
    const fn posts_modes(self) -> bool {
        !matches!(self, Self::V1_4)
    }
}

impl fmt::Display for Tetragon {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.word())
    }
}

/// A namespace's name: a DNS label (RFC 1123, 2.1), as Kubernetes has them.
///
/// # Errors
/// What a right one looks like.
pub fn namespace(text: &str) -> Result<String, String> {
    let is_inner = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    let is_label =
        (1..=63).contains(&text.len()) && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-');
    if is_label {
        Ok(text.to_owned())
    } else {
        Err("a namespace is at most 63 of a-z, 0-9 and `-`, which does not begin or end it".to_owned())
    }
}

/// The policy for one namespace's pods, or for everything on a node.
pub fn policy(tetragon: Tetragon, namespace: Option<&str>) -> String {
    let header = header(tetragon, namespace).concat();
    let (kind, place) = match namespace {
        // In quotes: `123` and `null` are namespaces, too.
        Some(name) => ("TracingPolicyNamespaced", format!("  namespace: \"{name}\"\n")),
        None => ("TracingPolicy", String::new()),
    };
    let mode = if tetragon.posts_modes() {
        OPEN_MODE.replace("MODE", FILE_MODE)
    } else {
        String::new()
    };
    let sockets = ["security_socket_connect", "security_socket_sendmsg"].map(|call| {
        let resolve = if call == "security_socket_sendmsg" {
            "      resolve: msg_name\n"
        } else {
            ""
        };
        SOCKET.replace("CALL", call).replace("RESOLVE", resolve)
    });
    format!(
        "{header}apiVersion: cilium.io/v1alpha1\nkind: {kind}\nmetadata:\n  name: wardline-learn\n{place}spec:\n  kprobes:\n\
         {EXEC}{OPEN}{mode}{}",
        sockets.concat()
    )
}

const EXEC: &str = "  # Each file that an execution goes through: a program, or a script and its interpreter.
  - call: security_bprm_check
    syscall: false
    args:
    - index: 0
      type: linux_binprm
";

const OPEN: &str = "  # Each open. `syscall: false` is written everywhere, because the default is true.
  - call: security_file_open
    syscall: false
    args:
    - index: 0
      type: file
";

const OPEN_MODE: &str = "    # How it is opened: to read, to write, to create it.
    - index: 0
      type: uint32
      resolve: f_mode
      label: MODE
";

const SOCKET: &str = "  # To IPv4 and IPv6 addresses. The socket tells the protocol. Without an address (a connected socket) nothing matches.
  - call: CALL
    syscall: false
    args:
    - index: 0
      type: socket
    - index: 1
      type: sockaddr
RESOLVE    selectors:
    - matchArgs:
      - index: 1
        operator: Family
        values:
        - AF_INET
        - AF_INET6
      matchActions:
      - action: Post
";

/// What a reader must know first, one comment each.
fn header(tetragon: Tetragon, namespace: Option<&str>) -> Vec<String> {
    let scope = match namespace {
        Some(name) => format!(
            "Scope: the pods of the namespace {name}. An agent without Kubernetes ignores the namespace and posts events of the \
             whole host."
        ),
        None => "Scope: everything on the node, the host's own processes included: many opens. --namespace narrows it."
            .to_owned(),
    };
    let access = (!tetragon.posts_modes()).then(|| {
        "Missing with Tetragon 1.4: how files are opened. It posts one value an argument, and the path is that one; imports \
         record the access as none. 1.5 and later post both."
            .to_owned()
    });
    let paragraphs = [
        Some(format!(
            "Posts what `profile import tetragon` learns from, and denies nothing. Written by `profile policy-for-learning` {} \
             for Tetragon {tetragon}.",
            env!("CARGO_PKG_VERSION")
        )),
        Some(scope),
        Some(
            "Cost: one event of 1 to 2 KB for each execution, file open, connect and addressed datagram, while it is loaded. \
             Load it for the time of learning only, and see tetragon_bpf_missed_events_total and \
             tetragon_observer_ringbuf_events_lost_total of the agent: what they count is missing, and no event says so."
                .to_owned(),
        ),
        Some(
            "No rate limit: Tetragon compares 40 bytes of each argument for one (KEY_BYTES_PER_ARG), so that files whose \
             paths begin alike would hide each other."
                .to_owned(),
        ),
        Some(
            "Export: the agent keeps 5 files of 10 MB unless told otherwise (exportFileMaxSizeMB, exportFileMaxBackups), and \
             its chart leaves out exec probes, the host and the namespaces cilium and kube-system (exportDenyList). Import \
             before files are removed, and let process_exec, process_exit and process_kprobe through."
                .to_owned(),
        ),
        Some(
            "Missing: what ran before the agent or this policy, executable mappings, listening sockets, Unix sockets, \
             privilege raises. Paths of more than 128 components or 4096 bytes come cut."
                .to_owned(),
        ),
        access,
    ];
    paragraphs.into_iter().flatten().map(|text| comment(&text)).collect()
}

/// A comment of lines of at most 100 characters.
fn comment(text: &str) -> String {
    let mut lines = String::new();
    let mut line = String::from("#");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > 100 {
            lines.push_str(&line);
            lines.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_namespaces_come_into_the_document() {
        for name in ["production", "kube-system", "1", "a-1"] {
            assert_eq!(namespace(name).as_deref(), Ok(name));
        }
        for name in ["", "-a", "a-", "A", "a.b", "a\nspec: {}", "\u{e9}", &"a".repeat(64)] {
            assert!(namespace(name).is_err(), "{name}");
        }
    }
}
