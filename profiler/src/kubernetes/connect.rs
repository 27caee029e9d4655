//! Where the API server is, and what to say when it cannot be reached.

use std::path::{Path, PathBuf};

use baselines::path::FilePath;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// Longer messages of a server are cut.
const MESSAGE_MAX: usize = 400;

/// How to reach the API server.
#[derive(Clone, Debug)]
pub enum Source {
    /// By the current context of a kubeconfig.
    Kubeconfig(Box<Kubeconfig>),
    /// By the service account of the pod that we run in.
    InCluster,
}

/// Why there is no way to an API server.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ConnectError {
    /// A file that was named cannot be used.
    #[error("the kubeconfig {} cannot be used: {source}", path.display())]
    #[diagnostic(help("`kubectl --kubeconfig FILE config view` shows what is in it"))]
    Kubeconfig {
        /// The file, or those of `KUBECONFIG`.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// Where this runs, there is none.
    #[error(
        "no cluster was found: neither --kubeconfig nor KUBECONFIG names a file, and this is no pod with a service account"
    )]
    #[diagnostic(help("write --kubeconfig FILE, or set KUBECONFIG"))]
    NotFound,
    /// The configuration says something that does not work.
    #[error("the cluster's configuration cannot be used: {0}")]
    #[diagnostic(help("try it with kubectl"))]
    Unusable(String),
    /// The API server did not do what it was asked to.
    #[error("{0}")]
    #[diagnostic(help(
        "`kubectl auth can-i --list` says what your user may do; `kubectl cluster-info` whether the server is there"
    ))]
    Refused(String),
    /// Nobody has installed the definitions of the objects.
    #[error("the cluster knows no learning windows")]
    #[diagnostic(help(
        "install Wardline there: `kubectl apply --server-side -f deploy/chart/crds/`, or the chart in deploy/chart"
    ))]
    NotInstalled,
    /// Nobody has said anything of a window.
    #[error("no agent has told of the learning window `{0}`, and its time is over: nothing was learned")]
    #[diagnostic(help("run `profile agent` on the nodes, see docs/how-to/learn-a-cluster.md"))]
    NobodyLearned(String),
    /// Agents are to know who asks, and a certificate does not tell them.
    #[error("the kubeconfig has no token for its user, and nothing else tells agents who asks for recordings")]
    #[diagnostic(help(
        "let a service account ask: --service-account NAMESPACE/NAME, with a role such as `edit` in the namespaces that are \
         learned; see docs/how-to/collect.md"
    ))]
    NoToken,
    /// Who asks may not have it.
    #[error("{0}")]
    #[diagnostic(help(
        "`--namespace` collects only what you may have; docs/how-to/collect.md says which rule a role needs for it"
    ))]
    NotYours(String),
    /// Two collect into one file.
    #[error("somebody else is collecting into {} just now", .0.display())]
    #[diagnostic(help("wait for them, or choose another file: --out"))]
    Collecting(PathBuf),
    /// Somebody pretends to be another one.
    #[error("{0}")]
    #[diagnostic(help("find out which, and give it up: --without NODE"))]
    Dishonest(String),
    /// Some recordings could not be had.
    #[error("{} of {all} recordings could not be collected:\n  {}", failed.len(), failed.join("\n  "))]
    #[diagnostic(help(
        "run the same command again: what came is kept in {} until then. --without NODE gives a node up: the recording then \
         says that it is missing",
        kept.display()
    ))]
    Uncollected {
        /// How many were asked for.
        all: usize,
        /// The nodes, and why.
        failed: Vec<String>,
        /// Where the others are.
        kept: PathBuf,
    },
    /// There is no such object.
    #[error("there is no learning window `{0}`")]
    #[diagnostic(help("`profile list` shows those that there are"))]
    NoWindow(String),
}

impl ConnectError {
    /// What to say of an error of the API server, for what a role needs this rule.
    pub fn of(doing: &str, rule: &str, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 404 => {
                // Of a kind that it does not know, the API server names no object.
                let name = status
                    .details
                    .as_ref()
                    .map(|details| details.name.clone())
                    .filter(|name| !name.is_empty());
                name.map_or(Self::NotInstalled, |name| Self::NoWindow(printable(&name)))
            }
            _ => Self::Refused(what_went_wrong(doing, rule, error)),
        }
    }
}

impl Source {
    /// Finds it: the file that is named, those of `KUBECONFIG`, the service account of the pod that we run in. None where
    /// there is nothing of these. Reads files and connects to nobody.
    ///
    /// # Errors
    /// [`ConnectError::Kubeconfig`].
    pub fn find(file: Option<&Path>) -> Result<Option<Self>, ConnectError> {
        let named = std::env::var_os("KUBECONFIG").filter(|files| !files.is_empty());
        let read = match (file, &named) {
            (Some(file), _) => Kubeconfig::read_from(file).map(Some),
            // It may name several, which are put together as kubectl does.
            (None, Some(_)) => Kubeconfig::from_env(),
            (None, None) => Ok(None),
        };
        let path = || file.map_or_else(|| PathBuf::from(named.clone().unwrap_or_default()), Path::to_owned);
        let read = read.map_err(|error| ConnectError::Kubeconfig {
            path: path(),
            source: Box::new(error),
        })?;
        let in_cluster = || Config::incluster().is_ok().then_some(Self::InCluster);
        Ok(read
            .map(|kubeconfig| Self::Kubeconfig(Box::new(kubeconfig)))
            .or_else(in_cluster))
    }

    /// A client, which connects when it is used.
    ///
    /// # Errors
    /// [`ConnectError::Unusable`].
    pub async fn client(&self) -> Result<Client, ConnectError> {
        Client::try_from(self.config().await?).map_err(|error| unusable(&error))
    }

    /// What the client is made of.
    ///
    /// # Errors
    /// [`ConnectError::Unusable`].
    pub(crate) async fn config(&self) -> Result<Config, ConnectError> {
        match self {
            Self::Kubeconfig(kubeconfig) => {
                let options = KubeConfigOptions::default();
                let config = Config::from_custom_kubeconfig((**kubeconfig).clone(), &options).await;
                config.map_err(|error| unusable(&error))
            }
            Self::InCluster => Config::incluster().map_err(|error| unusable(&error)),
        }
    }
}

pub(super) fn unusable(error: &dyn std::error::Error) -> ConnectError {
    ConnectError::Unusable(with_causes(error))
}

/// What to tell when the API server could not be asked to do this, for which a role needs this rule.
pub(crate) fn what_went_wrong(doing: &str, rule: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!(
            "the API server refuses to {doing} ({}): a ClusterRole of its user needs the rule {rule}",
            printable(&status.message)
        ),
        kube::Error::Api(status) if status.code == 401 => format!(
            "the API server does not accept the credentials, to {doing} ({}): they may have expired",
            printable(&status.message)
        ),
        error => format!("the API server cannot be asked to {doing}: {}", with_causes(error)),
    }
}

/// An error and those behind it, which say what really happened: `connection refused`.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Most say what their cause says, too.
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    printable(&text)
}

/// A server's text, fit for a terminal.
pub(crate) fn printable(text: &str) -> String {
    let cut: String = text.chars().take(MESSAGE_MAX).collect();
    FilePath::canonical(cut.as_bytes()).to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_named_has_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for content in [None, Some("}"), Some("[]")] {
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let error = Source::find(Some(&path)).unwrap_err().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_refusal_names_the_rule_that_is_missing() {
        let status = |code: u16, message: &str| {
            let mut status = kube::core::Status::failure(message, "");
            status.code = code;
            kube::Error::Api(Box::new(status))
        };
        let said = |error| what_went_wrong("list pods", "{verbs: [list]}", &error);
        let refused = said(status(403, "pods is forbidden: \u{1b}[2J"));
        assert!(refused.contains("needs the rule {verbs: [list]}"), "{refused}");
        assert!(!refused.contains('\u{1b}'), "{refused}");
        assert!(said(status(401, "Unauthorized")).contains("credentials"));
        assert!(said(status(500, &"x".repeat(10_000))).len() < 1000);
    }
}
