//! A policy read back: the shape that this crate writes, and nothing else.
//!
//! Written apart from [`crate::policy::model`] on purpose: what is checked is the text, not what it was made from.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A policy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Document {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) pod_selector: Option<Everything>,
    pub(super) container_selector: Option<ContainerSelector>,
    pub(super) options: Vec<Setting>,
    pub(super) kprobes: Vec<Kprobe>,
}

/// `{}`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Everything {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ContainerSelector {
    pub(super) match_expressions: Vec<Expression>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expression {
    pub(super) key: String,
    pub(super) operator: String,
    pub(super) values: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kprobe {
    pub(super) call: Call,
    pub(super) syscall: bool,
    pub(super) message: String,
    pub(super) tags: Vec<String>,
    pub(super) args: Vec<Argument>,
    pub(super) selectors: Vec<Selector>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Call {
    #[serde(rename = "security_bprm_check")]
    BprmCheck,
    #[serde(rename = "security_file_open")]
    FileOpen,
    #[serde(rename = "security_socket_connect")]
    SocketConnect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Argument {
    pub(super) index: u32,
    #[serde(rename = "type")]
    pub(super) kind: ArgumentType,
    pub(super) resolve: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ArgumentType {
    LinuxBinprm,
    Uint32,
    File,
    Sockaddr,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Selector {
    pub(super) match_args: Vec<Filter>,
    pub(super) match_actions: Vec<Action>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    pub(super) index: Option<u32>,
    pub(super) args: Option<Vec<usize>>,
    pub(super) operator: Operator,
    pub(super) values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Operator {
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

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Action {
    pub(super) action: ActionKind,
    pub(super) arg_error: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum ActionKind {
    NoPost,
    Override,
}

impl Kprobe {
    /// The declared argument that a filter looks at, found as Tetragon does (argIndexType in pkg/selectors/kernel.go):
    /// by place in `args`, else the first one with that index.
    pub(super) fn argument(&self, filter: &Filter) -> Option<&Argument> {
        match (&filter.args, filter.index) {
            (Some(places), None) => places.first().and_then(|place| self.args.get(*place)),
            (None, Some(index)) => self.args.iter().find(|argument| argument.index == index),
            _ => None,
        }
    }
}
