//! The options of `profile collect`.

use std::path::PathBuf;

use clap::Args;

use super::Output;
use super::values::{node_name, recording_size, service_account};
use crate::learning_policy::namespace;

/// `profile collect`.
#[derive(Debug, Args)]
pub struct Collect {
    /// The learning window, see `profile list`.
    #[arg(long, short, value_name = "NAME")]
    pub window: String,
    /// The file to make.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Only what containers of these namespaces did [default: all that the window learns].
    #[arg(long = "namespace", short, value_name = "NAME", value_delimiter = ',', value_parser = namespace)]
    pub namespaces: Vec<String>,
    /// Ask in the name of this service account, by a token that is good for nothing else. Needed where the kubeconfig's user
    /// has a certificate and no token.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = service_account)]
    pub service_account: Option<(String, String)>,
    /// Give up a node that cannot be reached: the recording says that it is missing.
    #[arg(long, value_name = "NODE", value_delimiter = ',', value_parser = node_name)]
    pub without: Vec<String>,
    /// The most that one node may send.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = recording_size)]
    pub recording_max: u64,
    /// Replace the file if it is there.
    #[arg(long)]
    pub force: bool,
    /// How to reach the cluster [default: KUBECONFIG, or the service account of the pod that this runs in].
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// How to print what was collected.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}
