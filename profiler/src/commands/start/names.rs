//! Whose workloads are learned, and who names the containers of pods.

use std::collections::BTreeSet;

use crate::cli::{self, Kubernetes};
use crate::commands::{node_name, runtime};
use crate::containers::HOST;
use crate::error::Failure;
use crate::kubernetes::connect::Source;
use crate::kubernetes::cri::endpoint::{self, Found};
use crate::kubernetes::selection::Selection;

/// Who names the containers of pods on this machine.
pub(super) enum Teller {
    /// An API server, which calls this machine `node`.
    ApiServer { source: Source, node: String },
    /// The container runtime.
    Runtime(Found),
}

impl Teller {
    /// Who that is, if somebody is to.
    ///
    /// # Errors
    /// [`Failure`].
    pub(super) fn find(options: &cli::Start, selection: Option<&Selection>) -> Result<Option<Self>, Failure> {
        let without = |why: &str| Failure::Usage {
            what: match selection {
                Some(selection) => format!("pods of {selection} cannot be told on this machine: {why}"),
                None => format!("pods cannot be told on this machine: {why}"),
            },
            help: "write --namespace host for everything on this machine, --kubeconfig FILE (or set KUBECONFIG), or \
                   --runtime-endpoint unix:///PATH for its container runtime"
                .to_owned(),
        };
        match (options.kubernetes, selection) {
            (Kubernetes::Off, Some(_)) => return Err(without("without Kubernetes there is only `host`")),
            (Kubernetes::Off, None) => return Ok(None),
            (Kubernetes::Auto, None) if options.runtime.endpoint.is_none() => return Ok(None),
            (Kubernetes::Auto | Kubernetes::Required, _) => {}
        }
        if let Some(source) = Source::find(options.kubeconfig.as_deref())? {
            // Neither is left out silently.
            if options.runtime.endpoint.is_some() {
                return Err(Failure::Usage {
                    what:
                        "--runtime-endpoint is for a machine without an API server, and there is a configuration of one"
                            .to_owned(),
                    help: "leave that option out; or --kubeconfig, KUBECONFIG and KUBERNETES_SERVICE_HOST".to_owned(),
                });
            }
            let node = node_name(options.node.as_ref())?;
            return Ok(Some(Self::ApiServer { source, node }));
        }
        if options.runtime.none {
            return Err(without(
                "there is only `host`: no cluster was found, and --no-runtime asks no container runtime",
            ));
        }
        let found = runtime()?.block_on(endpoint::find(options.runtime.endpoint.as_ref()));
        let found = found.map_err(|why| without(&format!("there is only `host`: no cluster was found, and {why}")))?;
        Ok(Some(Self::Runtime(found)))
    }

    /// What to tell of it, where DNS names of whom containers reach are seen, or are not.
    pub(super) fn told(teller: Option<&Self>, sees_names: bool) -> String {
        let by = if sees_names {
            "addresses and DNS names"
        } else {
            "addresses alone"
        };
        match teller {
            Some(Self::ApiServer { node, .. }) => {
                format!("the cluster names pods, as those of its node {node}")
            }
            Some(Self::Runtime(Found { endpoint, version })) => {
                let version = version.as_deref().unwrap_or("which does not answer yet");
                format!(
                    "no cluster is asked: the container runtime at {endpoint} ({version}) names pods, their workloads are \
                     inferred from labels and names, exec probes count as entered, and connections are recorded by their {by}, \
                     without peers"
                )
            }
            None => format!(
                "no cluster is asked: containers of pods go by their ids, and connections are recorded by their {by}, without \
                 peers"
            ),
        }
    }
}

/// Which containers of pods are asked for. None: everything on this machine.
///
/// # Errors
/// [`Failure::Usage`] where something is asked for that cannot be combined.
pub(super) fn selection(options: &cli::Start) -> Result<Option<Selection>, Failure> {
    let namespaces: BTreeSet<String> = if options.all_namespaces {
        BTreeSet::new()
    } else {
        options.namespaces.iter().cloned().collect()
    };
    if !namespaces.contains(HOST) {
        return Ok(Some(Selection {
            namespaces,
            labels: options.selector.clone().unwrap_or_default(),
            images: options.images.clone(),
        }));
    }
    let beside = match options {
        _ if namespaces.len() > 1 => "another namespace",
        cli::Start { selector: Some(_), .. } => "--selector",
        cli::Start { images, .. } if !images.is_empty() => "--image",
        _ => return Ok(None),
    };
    Err(Failure::Usage {
        what: format!("{beside} chooses among pods, and `--namespace host` is everything on this machine"),
        help: "write --namespace NAME for the pods of a namespace, or --all-namespaces for those of all".to_owned(),
    })
}

/// Whose workloads are learned, in words.
pub(super) fn whose(selection: Option<&Selection>, teller: Option<&Teller>) -> String {
    let whose = selection.map_or_else(|| HOST.to_owned(), Selection::to_string);
    match (selection, teller) {
        (Some(_), Some(Teller::ApiServer { node, .. })) => format!("{whose} on node {node}"),
        (None, Some(Teller::ApiServer { node, .. })) => format!("{whose}, pods named as on node {node}"),
        (_, Some(Teller::Runtime(found))) => format!("{whose}, pods named by the runtime at {}", found.endpoint),
        (_, None) => whose,
    }
}
