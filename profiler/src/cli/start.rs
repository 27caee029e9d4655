//! The options of `profile start`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser as _, ValueEnum};
use kube::core::Selector;

use super::values::{duration, node_name, window_name};
use super::{Cli, Command, Coverage, Recording};
use crate::containers::HOST;
use crate::kubernetes::cri::endpoint::Endpoint;
use crate::kubernetes::labels;
use crate::kubernetes::selection::ImagePattern;
use crate::learning_policy::namespace;

/// `profile start`.
#[derive(Debug, Args)]
pub struct Start {
    /// Whose workloads: those of a Kubernetes namespace, or `host` for everything on this machine. Several namespaces are
    /// separated by commas, or given one by one.
    #[arg(long = "namespace", short, value_name = "NAME", default_value = HOST, value_delimiter = ',', value_parser = namespace)]
    pub namespaces: Vec<String>,
    /// Those of every pod on this node, and nothing of the host.
    #[arg(long, short = 'A', conflicts_with = "namespaces")]
    pub all_namespaces: bool,
    /// Only pods with these labels, such as `app=web,tier!=db,env in (a,b),!canary`. A pod whose labels change comes or goes.
    #[arg(long, short = 'l', value_name = "LABELS", value_parser = labels::parse)]
    pub selector: Option<Selector>,
    /// Only containers of images that this glob matches, by repository or repository:tag, with the registry or without it;
    /// may be given several times. `*` matches no slash, `**` does.
    #[arg(long = "image", value_name = "GLOB")]
    pub images: Vec<ImagePattern>,
    /// Whether a cluster, or else the container runtime, names the containers of pods.
    #[arg(long, value_enum, default_value_t, help_heading = "Kubernetes")]
    pub kubernetes: Kubernetes,
    /// How to reach the cluster [default: KUBECONFIG, or the service account of the pod that this runs in].
    #[arg(long, value_name = "FILE", help_heading = "Kubernetes")]
    pub kubeconfig: Option<PathBuf>,
    /// Who is asked where there is no cluster.
    #[command(flatten)]
    pub runtime: ContainerRuntime,
    /// What the cluster calls this machine, see `kubectl get nodes` [default: the host name].
    #[arg(long, value_name = "NAME", env = "NODE_NAME", value_parser = node_name, help_heading = "Kubernetes")]
    pub node: Option<String>,
    /// How long: 90s, 10m, 24h, 7d. Without it, until Ctrl-C.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Record here, on this machine, rather than make a learning window for the agents of a cluster. So does --node.
    #[arg(long, help_heading = "Kubernetes")]
    pub local: bool,
    /// The learning window's name in the cluster [default: one is made up].
    #[arg(long, value_name = "NAME", value_parser = window_name, help_heading = "Kubernetes")]
    pub name: Option<String>,
    /// Do not wait until the learning window of the cluster ends.
    #[arg(long, short, help_heading = "Kubernetes")]
    pub detach: bool,
    /// End with this process, which has started us.
    #[arg(long, hide = true)]
    pub parent: Option<u32>,
    /// The cgroup hierarchy to follow: `unified` or a v1 controller such as `memory` [default: the one that most workloads
    /// are in].
    #[arg(long, value_name = "NAME", env = "WARDLINE_HIERARCHY")]
    pub hierarchy: Option<crate::cgroups::Kind>,
    /// How often to look whether enough was seen.
    #[arg(long, hide = true, value_name = "TIME", default_value = "1m", value_parser = duration)]
    pub coverage_looks: Duration,
    /// Where and how to record.
    #[command(flatten)]
    pub recording: Recording,
    /// When enough was seen.
    #[command(flatten)]
    pub coverage: Coverage,
}

/// Which container runtime `profile start` asks, where there is no cluster.
#[derive(Debug, Args)]
#[command(next_help_heading = "Kubernetes")]
pub struct ContainerRuntime {
    /// Without a cluster: the container runtime on this machine that names pods, as crictl has it; with --namespace host,
    /// too [default: that of `CONTAINER_RUNTIME_ENDPOINT`, or the first of the usual ones that answers].
    #[arg(long = "runtime-endpoint", value_name = "unix:///SOCKET", conflicts_with_all = ["none", "kubeconfig"])]
    pub endpoint: Option<Endpoint>,
    /// Without a cluster: ask no container runtime.
    #[arg(long = "no-runtime")]
    pub none: bool,
}

/// When to ask a cluster, or else the container runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kubernetes {
    /// Where another namespace than `host` is asked for.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Always: with the namespace `host`, too, containers of pods get their names.
    Required,
}

impl Start {
    /// Whether this machine is to record, whatever cluster there is.
    pub fn is_local(&self) -> bool {
        self.local || self.node.is_some()
    }

    /// An option that was given and means nothing to the agents of a cluster.
    pub fn only_for_this_machine(&self) -> Option<&'static str> {
        let Ok(Cli {
            command: Command::Start(default),
            ..
        }) = Cli::try_parse_from(["profile", "start"])
        else {
            return None; // never: every option has a default
        };
        let (given, unset) = (&self.recording, &default.recording);
        let options = [
            ("--coverage-looks", self.coverage_looks != default.coverage_looks),
            ("--hierarchy", self.hierarchy != default.hierarchy),
            ("--no-runtime", self.runtime.none),
            ("--recording", given.recording != unset.recording),
            ("--recording-max", given.recording_max != unset.recording_max),
            ("--backend", given.backend != unset.backend),
            ("--flush-interval", given.flush_interval != unset.flush_interval),
            ("--memory", given.memory != unset.memory),
            ("--behaviours-max", given.behaviours_max != unset.behaviours_max),
            (
                "--behaviours-per-container",
                given.behaviours_per_container != unset.behaviours_per_container,
            ),
            ("--executables-max", given.executables_max != unset.executables_max),
            ("--cgroups-max", given.cgroups_max != unset.cgroups_max),
            ("--ring", given.ring != unset.ring),
        ];
        options
            .into_iter()
            .find_map(|(option, is_given)| is_given.then_some(option))
    }
}
