//! The part of Tetragon's policy language that this crate writes, with room for the reasons of a reviewer.
//!
//! What cannot be said here cannot be written: no hook without `syscall: false`, no action but the two that are needed,
//! no policy in another mode than monitor.

/// A policy before it becomes text.
#[derive(Debug)]
pub(crate) struct Policy {
    /// What a reader must know first, one paragraph an entry.
    pub(crate) header: Vec<String>,
    /// The object's name.
    pub(crate) name: String,
    /// Keys below `wardline.dev/`, sorted.
    pub(crate) annotations: Vec<(&'static str, String)>,
    /// Which processes it is about.
    pub(crate) scope: Scope,
    /// What is watched.
    pub(crate) hooks: Vec<Hook>,
    /// What is not watched, and why.
    pub(crate) not_watched: Vec<String>,
}

/// Which processes a policy is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Every process of the node.
    Node,
    /// The containers whose image has one of these repositories.
    Containers {
        /// Sorted, never empty, no empty name: Tetragon gives that one to containers whose image it could not find out.
        repositories: Vec<String>,
    },
}

/// The kernel function that a hook watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `security_bprm_check`: once for a script, and once for its interpreter.
    Exec,
    /// `security_file_open`.
    Open,
    /// `security_socket_connect`.
    Connect,
}

/// A watched kernel function and what is reported there.
#[derive(Debug)]
pub(crate) struct Hook {
    /// The function.
    pub(crate) call: Call,
    /// What a reviewer must know about the whole hook.
    pub(crate) comments: Vec<String>,
    /// Tried in this order; the first that matches decides.
    pub(crate) selectors: Vec<Selector>,
}

/// Filters that must all match, and what is done then.
#[derive(Debug)]
pub(crate) struct Selector {
    /// What it is for.
    pub(crate) comments: Vec<String>,
    /// All of them must match.
    pub(crate) filters: Vec<Filter>,
    /// What is done.
    pub(crate) action: Action,
}

/// A condition on one argument of the function.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Which one.
    pub(crate) argument: Argument,
    /// How it is compared.
    pub(crate) operator: Operator,
    /// With what, sorted. Never empty: Tetragon drops or misreads empty lists.
    pub(crate) values: Vec<Value>,
}

/// The arguments that the hooks declare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument {
    /// The file: what is executed, or opened.
    File,
    /// How many names the executed file has; 0 for an anonymous or deleted one.
    LinkCount,
    /// The address that is connected to.
    Address,
}

/// Tetragon's word for a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    NotPrefix,
    NotPostfix,
    Family,
    SAddr,
    NotSAddr,
    SPort,
    NotSPort,
}

/// One value of a list.
#[derive(Debug)]
pub(crate) struct Value {
    /// What is compared.
    pub(crate) text: String,
    /// Why it is there; may be empty.
    pub(crate) evidence: String,
}

/// What happens when a selector matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing: the behaviour is in the baseline.
    NoPost,
    /// The behaviour is reported; in enforce mode the call would fail with this errno.
    Override(Errno),
}

/// What a denied call would return, see errno(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    /// 1.
    Eperm,
    /// 13.
    Eacces,
}

impl Value {
    /// A value that needs no evidence.
    pub(crate) fn constant(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            evidence: String::new(),
        }
    }
}

impl Call {
    /// The kernel function.
    pub(crate) const fn function(self) -> &'static str {
        match self {
            Self::Exec => "security_bprm_check",
            Self::Open => "security_file_open",
            Self::Connect => "security_socket_connect",
        }
    }
}
