//! `profile agent`: what runs on each node of a cluster.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::process::ExitCode;
use std::time::Duration;

use baselines::recording::Retention;

use super::start::ended;
use super::{node_name, require_privileges, runtime, say};
use crate::agent::objects::AgentFacts;
use crate::agent::{Agent, Settings};
use crate::cli;
use crate::error::Failure;
use crate::kubernetes::connect::{ConnectError, Source};

/// How long copies of recordings may take that are in the making when the agent ends.
const LAST_COPIES: Duration = Duration::from_secs(2);

/// Follows the cluster's learning windows until somebody says stop.
///
/// # Errors
/// [`Failure`].
pub fn agent(options: &cli::Agent, quiet: bool) -> Result<ExitCode, Failure> {
    // Now, and not when somebody wants to learn something.
    require_privileges()?;
    let source = Source::find(options.kubeconfig.as_deref())?.ok_or(ConnectError::NotFound)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&options.directory)
        .map_err(|error| Failure::Usage {
            what: format!("there can be no recordings in {}: {error}", options.directory.display()),
            help: "choose another folder: --directory".to_owned(),
        })?;
    let settings = settings(options)?;
    let text = format!(
        "following the learning windows of the cluster, on node {}",
        settings.node
    );
    let runtime = runtime()?;
    let done = runtime.block_on(async {
        let client = source.client().await?;
        let end = async {
            ended(None, || say(quiet, &text)).await;
        };
        Agent::new(client, settings).run(end).await;
        Ok(ExitCode::SUCCESS)
    });
    // Somebody's copy may be in the making, on a slow disk: it is not waited for, and has no name.
    runtime.shutdown_timeout(LAST_COPIES);
    done
}

fn settings(options: &cli::Agent) -> Result<Settings, Failure> {
    let node = node_name(options.node.as_ref())?;
    let mut recorder_options: Vec<OsString> = ["--kubernetes=required".to_owned(), format!("--node={node}")]
        .into_iter()
        .chain(options.backend.map(|backend| format!("--backend={backend}")))
        .chain(Some(format!(
            "--recording-max={}KiB",
            options.recording_max.div_ceil(1024)
        )))
        .chain(Some(format!("--memory={}", options.memory)))
        .chain(options.no_dns.then(|| "--no-dns".to_owned()))
        .map(OsString::from)
        .collect();
    if let Some(file) = &options.kubeconfig {
        let mut option = OsString::from("--kubeconfig=");
        option.push(file);
        recorder_options.push(option);
    }
    let pod = options.pod.clone().map(|pod| AgentFacts {
        namespace: options.namespace.clone(),
        pod,
        port: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    Ok(Settings {
        node,
        directory: options.directory.clone(),
        report_interval: options.report_interval,
        coverage_interval: options.coverage_interval,
        windows_max: options.windows_max.into(),
        keep: Retention {
            keep: Some(options.keep),
            size_max: Some(options.directory_max),
        },
        recorder_options,
        lease_namespace: options.namespace.clone(),
        pod,
    })
}
