//! The options of `profile agent`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::MEMORY_MIB;
use super::values::{duration, node_name, recording_size, report_interval};

/// `profile agent`.
#[derive(Debug, Args)]
pub struct Agent {
    /// What the cluster calls this machine, see `kubectl get nodes` [default: the host name].
    #[arg(long, value_name = "NAME", env = "NODE_NAME", value_parser = node_name)]
    pub node: Option<String>,
    /// How to reach the cluster [default: KUBECONFIG, or the service account of the pod that this runs in].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The namespace that the agents are in, for their lease.
    #[arg(long, short, value_name = "NAME", env = "POD_NAMESPACE", default_value = "wardline")]
    pub namespace: String,
    /// The pod that this runs in, where recordings can be collected from.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub pod: Option<String>,
    /// Where the recordings are kept, one for each window.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/wardline/windows")]
    pub directory: PathBuf,
    /// How long a recording is kept when its window is over.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    pub keep: Duration,
    /// The most that all recordings may take on the disk: then those of the oldest windows that are over go, whatever --keep says.
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = recording_size)]
    pub directory_max: u64,
    /// The most that one recording may take on the disk: what would make it larger is counted as lost.
    #[arg(long, value_name = "SIZE", default_value = "512MiB", value_parser = recording_size)]
    pub recording_max: u64,
    /// Memory that one window may take on a busy machine, in MiB, see `profile start`.
    #[arg(long, value_name = "MIB", default_value_t = MEMORY_MIB, value_parser = clap::value_parser!(u32).range(40..=4096))]
    pub memory: u32,
    /// How many windows are followed at a time; others wait.
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    pub windows_max: u8,
    /// How often to tell the cluster how a window does: at most 60 s, or the agent seems to be gone.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = report_interval)]
    pub report_interval: Duration,
    /// How often to tell the cluster how much was seen of each image, in windows that end by coverage.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration)]
    pub coverage_interval: Duration,
    /// Do not look at what containers are answered to DNS queries, whatever windows ask for.
    #[arg(long)]
    pub no_dns: bool,
    /// Where the probes watch [default: the best that works, see `profile doctor`].
    #[arg(long, value_name = "NAME", env = "WARDLINE_BACKEND")]
    pub backend: Option<crate::probes::backend::Backend>,
}
