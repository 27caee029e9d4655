//! `profile start`: learns the workloads of this machine.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::unix::process::parent_id;
use std::process::ExitCode;
use std::time::Duration;

use baselines::recording::EndReason;
use profiler_common::{CgroupState, pod};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use super::{Prepared, conclude, drop_privileges, learn, node_name, say, start_window, watch_names, windows};
use crate::cgroups::{self, Census, Hierarchy, Kind, Unseen, oldest};
use crate::cli::{self, Kubernetes};
use crate::clock::Clock;
use crate::command::is_ignored;
use crate::containers::HOST;
use crate::error::Failure;
use crate::kubernetes::connect::{ConnectError, Source};
use crate::kubernetes::selection::Selection;
use crate::learn::Session;
use crate::privileges;
use crate::probes::{Probes, Wire};
use crate::recorder::Recorder;
use crate::recorder::attribution::{Attribution, Scope};
use crate::recorder::cluster::Cluster;

/// Records until the time is over or somebody says stop.
///
/// # Errors
/// [`Failure`].
pub fn start(options: &cli::Start, quiet: bool) -> Result<ExitCode, Failure> {
    if let Some(parent) = options.parent {
        end_with(parent)?;
    }
    let selection = selection(options)?;
    let cluster = cluster(options, selection.as_ref())?;
    if let Some((source, _)) = &cluster
        && selection.is_some()
        && !options.is_local()
    {
        return windows::start(source, options, quiet);
    }
    let whose = whose(selection.as_ref(), cluster.as_ref());
    let hierarchies = cgroups::mounted()?;
    let census = Census::take()?;
    let hierarchy = match options.hierarchy {
        Some(kind) => cgroups::of_kind(&hierarchies, kind)?,
        None => cgroups::choose_by(&hierarchies, &census)?,
    };
    let unseen = census.unseen(hierarchy.kind);
    let Prepared {
        mut writer,
        mut probes,
        sizes,
        memory: _,
    } = Prepared::new(hierarchy, &options.recording, name_of(cluster.as_ref()), true)?;
    let is_host = selection.is_none();
    let mut attribution = match &cluster {
        Some(_) => Attribution::in_cluster(Cluster::new(selection)),
        None => Attribution::new(Scope::Host),
    };
    // What is there already, before anything is recorded; then what came while the probes were attached.
    find_cgroups(hierarchy, &mut attribution, Some(&mut probes))?;
    probes.attach()?;
    find_cgroups(hierarchy, &mut attribution, None)?;
    let (names, answers) = watch_names(&mut probes, hierarchy, &options.recording);
    drop_privileges(privileges::RECORD, &options.recording.recording, &[])?;
    let own_root = probes.own_root()?;
    let window = start_window(
        &mut writer,
        probes.backend,
        selector(&whose, hierarchy.kind, &unseen),
        options.recording.flush_interval,
        names,
    )?;
    if let Some(warning) = warning(hierarchy.kind, &unseen) {
        say(quiet, &warning);
    }
    if cluster.is_none() {
        say(
            quiet,
            match &answers {
                Some(_) => {
                    "no cluster is asked: connections are recorded by their addresses and DNS names, without peers"
                }
                None => "no cluster is asked: connections are recorded by their addresses alone, without peers",
            },
        );
    }
    let learning = format!(
        "learning {}, told apart by the {} cgroup hierarchy{}; Ctrl-C ends the window",
        if is_host {
            format!("{} containers and units of this machine", attribution.len())
        } else {
            whose
        },
        hierarchy.kind,
        options
            .duration
            .map(|time| format!(" for {} s", time.as_secs()))
            .unwrap_or_default(),
    );
    let recorder = Recorder::new(attribution, probes.backend, own_root, Some(hierarchy.clone()));
    let session = Session::new(probes, recorder, hierarchy.clone(), writer, window, sizes)?;
    let mut session = session.with_answers(answers);
    if let Some((source, node)) = cluster {
        session = session.with_pods_of(source, &node);
    }
    let (progress, reason) = learn(
        session,
        options.recording.flush_interval,
        quiet,
        ended(options.duration, || say(quiet, &learning)),
    )?;
    conclude(quiet, &progress, &options.recording.recording);
    Ok(if matches!(reason, EndReason::Failed(_)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Which containers of pods are asked for. None: everything on this machine.
fn selection(options: &cli::Start) -> Result<Option<Selection>, Failure> {
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

/// The cluster that names containers, if one is to, and what it calls this machine.
fn cluster(options: &cli::Start, selection: Option<&Selection>) -> Result<Option<(Source, String)>, Failure> {
    let without = |why: &str| Failure::Usage {
        what: match selection {
            Some(selection) => format!("pods of {selection} cannot be told on this machine: {why}"),
            None => why.to_owned(),
        },
        help: "write --namespace host for everything on this machine, or --kubeconfig FILE (or set KUBECONFIG)"
            .to_owned(),
    };
    match (options.kubernetes, selection) {
        (Kubernetes::Off, Some(_)) => return Err(without("without Kubernetes there is only `host`")),
        (Kubernetes::Auto | Kubernetes::Off, None) => return Ok(None),
        (Kubernetes::Auto, Some(_)) | (Kubernetes::Required, _) => {}
    }
    let source = Source::find(options.kubeconfig.as_deref())?;
    let source = match source {
        Some(source) => source,
        None if options.kubernetes == Kubernetes::Required => return Err(ConnectError::NotFound.into()),
        None => {
            return Err(without(
                "without Kubernetes there is only `host`, and no cluster was found",
            ));
        }
    };
    let node = node_name(options.node.as_ref())?;
    Ok(Some((source, node)))
}

/// What the cluster calls this machine.
fn name_of(cluster: Option<&(Source, String)>) -> Option<&str> {
    cluster.map(|(_, node)| node.as_str())
}

/// Whose workloads are learned, in words.
fn whose(selection: Option<&Selection>, cluster: Option<&(Source, String)>) -> String {
    match (selection, cluster) {
        (Some(selection), Some((_, node))) => format!("{selection} on node {node}"),
        (Some(selection), None) => selection.to_string(),
        (None, Some((_, node))) => format!("{HOST}, pods named as on node {node}"),
        (None, None) => HOST.to_owned(),
    }
}

/// What a window says of itself: what it follows, and how much that left out from the start.
fn selector(whose: &str, kind: Kind, unseen: &Unseen) -> String {
    match unseen.processes {
        0 => format!("{whose} ({kind} cgroup hierarchy)"),
        processes => format!("{whose} ({kind} cgroup hierarchy, {processes} processes not in it)"),
    }
}

/// What to say where workloads are overlooked.
fn warning(kind: Kind, unseen: &Unseen) -> Option<String> {
    let elsewhere = unseen.hierarchies.iter().map(String::as_str).collect::<Vec<_>>();
    (unseen.processes > 0).then(|| {
        format!(
            "warning: {} processes of workloads are not seen: the {kind} cgroup hierarchy does not tell them apart, only {} \
             does (--hierarchy NAME chooses another one)",
            unseen.processes,
            elsewhere.join("; "),
        )
    })
}

/// Tells the attribution, and the probes before they are attached, about every cgroup there is.
fn find_cgroups(
    hierarchy: &Hierarchy,
    attribution: &mut Attribution,
    probes: Option<&mut Probes>,
) -> Result<(), Failure> {
    let clock = Clock::now();
    let walk = hierarchy.walk()?;
    if !walk.complete {
        tracing::warn!(
            "there are more than {} cgroups: those furthest from the root are found when they do something",
            cgroups::CGROUPS_MAX
        );
    }
    // What we do ourselves is nobody's workload. By our id: in a cgroup namespace nothing tells the way from the true root.
    let (mut own, mut started) = (None, HashMap::new());
    for cgroup in &walk.cgroups {
        // None in one that is gone by now.
        let processes = hierarchy.processes(&cgroup.path).unwrap_or_default();
        if processes.contains(&std::process::id()) {
            own = Some(cgroup.id);
        }
        // Its start-up phase may be over.
        started.extend(oldest(processes).map(|start| (cgroup.id, start)));
    }
    for cgroup in &walk.cgroups {
        if Some(cgroup.id) == own {
            attribution.exclude(cgroup.id, &cgroup.path);
        } else {
            // A cgroup without processes has not started yet: its start will be seen.
            attribution.found(cgroup.id, &cgroup.path, clock, started.contains_key(&cgroup.id));
        }
    }
    let Some(probes) = probes else { return Ok(()) };
    for cgroup in &walk.cgroups {
        let state = CgroupState {
            recorded: attribution.container_of(cgroup.id).is_some().into(),
            // Its first process has entered already: whoever comes now enters a running container.
            entries: started.contains_key(&cgroup.id).into(),
            started: started.get(&cgroup.id).copied().unwrap_or_default(),
            ..pod::zeroed()
        };
        probes
            .cgroups
            .insert(cgroup.id, Wire(state), 0)
            .map_err(|error| Failure::Kernel(format!("the probes' table of cgroups: {error}")))?;
    }
    attribution.take_excluded();
    Ok(())
}

/// From here on we are told to stop when this process ends, which has started us: an agent. Whoever it is started anew by
/// starts us anew, too.
fn end_with(parent: u32) -> Result<(), Failure> {
    let failed = |why: String| Failure::Kernel(format!("cannot end with the process {parent}: {why}"));
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| failed(error.to_string()))?;
    // It may have ended before that.
    if parent_id() != parent {
        return Err(failed("it is not the one that started us, or has ended".to_owned()));
    }
    Ok(())
}

/// The time is over, or a signal came. `ready` is called once a signal ends the window cleanly.
pub(super) async fn ended(duration: Option<Duration>, ready: impl FnOnce()) -> EndReason {
    let over = async {
        match duration {
            Some(duration) => tokio::time::sleep(duration).await,
            None => std::future::pending().await,
        }
    };
    let ready = async {
        ready();
        std::future::pending().await
    };
    let stopped = tokio::select! {
        // In this order: the handlers are set when they are first waited for.
        biased;
        () = over => return EndReason::Completed,
        stopped = received(SignalKind::interrupt()) => stopped,
        stopped = received(SignalKind::terminate()) => stopped,
        // The terminal goes away: an hour of learning is not to end as a crash.
        stopped = received(SignalKind::hangup()) => stopped,
        stopped = ready => stopped,
    };
    match stopped {
        Ok(()) => EndReason::Interrupted,
        Err(error) => EndReason::Failed(format!("signals cannot be received: {error}")),
    }
}

/// Waits for a signal: for ever if we were started to ignore it, since a handler would undo that.
async fn received(kind: SignalKind) -> io::Result<()> {
    if is_ignored(kind.as_raw_value())? {
        return std::future::pending().await;
    }
    signal(kind)?.recv().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_that_are_overlooked_are_told_of() {
        let unseen = Unseen {
            processes: 12,
            hierarchies: ["memory".to_owned(), "name=systemd".to_owned()].into(),
        };
        assert_eq!(
            selector(HOST, Kind::V2, &unseen),
            "host (unified cgroup hierarchy, 12 processes not in it)"
        );
        let warning = warning(Kind::V2, &unseen).unwrap();
        assert!(
            warning.contains("12 processes") && warning.contains("only memory; name=systemd does"),
            "{warning}"
        );
        let nobody = Unseen::default();
        assert_eq!(selector(HOST, Kind::V2, &nobody), "host (unified cgroup hierarchy)");
        assert_eq!(super::warning(Kind::V2, &nobody), None);
    }
}
