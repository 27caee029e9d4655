//! `profile start`: learns the workloads of this machine.

mod names;

use std::collections::HashMap;
use std::io;
use std::os::unix::process::parent_id;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use baselines::recording::EndReason;
use profiler_common::{CgroupState, pod};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::signal::unix::{SignalKind, signal};

use self::names::{Teller, selection, whose};
use super::{Learner, Prepared, conclude, drop_privileges, learn, say, start_window, watch_names, windows};
use crate::cgroups::{self, Census, Hierarchy, Kind, Unseen, oldest};
use crate::cli;
use crate::clock::Clock;
use crate::command::is_ignored;
use crate::coverage::{Looks, News};
use crate::error::Failure;
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
    let teller = Teller::find(options, selection.as_ref())?;
    if let Some(Teller::ApiServer { source, .. }) = &teller
        && selection.is_some()
        && !options.is_local()
    {
        return windows::start(source, options, quiet);
    }
    let whose = whose(selection.as_ref(), teller.as_ref());
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
    } = Prepared::new(hierarchy, &options.recording, &learner(options, teller.as_ref()))?;
    let is_host = selection.is_none();
    let mut attribution = match &teller {
        Some(_) => Attribution::in_cluster(Cluster::new(selection)),
        None => Attribution::new(Scope::Host),
    };
    // What is there already, before anything is recorded; then what came while the probes were attached.
    find_cgroups(hierarchy, &mut attribution, Some(&mut probes))?;
    probes.attach()?;
    find_cgroups(hierarchy, &mut attribution, None)?;
    let (names, answers) = watch_names(&mut probes, hierarchy, &options.recording);
    drop_privileges(
        privileges::RECORD,
        &options.recording.recording,
        &written(teller.as_ref()),
    )?;
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
    say(quiet, &Teller::told(teller.as_ref(), answers.is_some()));
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
    let session = session.with_answers(answers);
    let session = match teller {
        Some(Teller::ApiServer { source, node }) => session.with_pods_of(source, &node),
        Some(Teller::Runtime(found)) => session.with_pods_in(&found.endpoint),
        None => session,
    };
    let (covered, news) = covered(options);
    let ended = ended(options.duration, || say(quiet, &learning));
    let end = async {
        tokio::select! {
            reason = ended => reason,
            () = covered => EndReason::Covered,
        }
    };
    let (progress, reason) = learn(session, options.recording.flush_interval, quiet, end, Some(news))?;
    if reason == EndReason::Covered {
        say(quiet, "enough was seen of every image: the window is over");
    }
    conclude(quiet, &progress, &options.recording.recording);
    Ok(if matches!(reason, EndReason::Failed(_)) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// What this machine is called in the recording, and what can be told about its containers.
fn learner<'a>(options: &'a cli::Start, teller: Option<&'a Teller>) -> Learner<'a> {
    let (name, tells_commands) = match teller {
        Some(Teller::ApiServer { node, .. }) => (Some(node), true),
        Some(Teller::Runtime(_)) => (options.node.as_ref(), false),
        None => (None, false),
    };
    Learner {
        name: name.map(String::as_str),
        tells_commands,
        record_unknown: true,
    }
}

/// What is written to beside the recording: whoever connects to a socket has to be allowed to write to it.
fn written(teller: Option<&Teller>) -> Vec<&Path> {
    let socket = match teller {
        Some(Teller::Runtime(found)) => Some(found.endpoint.socket()),
        Some(Teller::ApiServer { .. }) | None => None,
    };
    // Of one that is not there yet nobody can tell whose it will be: root's, as a rule.
    socket.filter(|socket| socket.exists()).into_iter().collect()
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

/// Enough was seen, if that is to be the end, and what there is to say of it meanwhile.
fn covered(options: &cli::Start) -> (impl Future<Output = ()> + use<>, Receiver<News>) {
    let (tell, news) = channel();
    let looks = options.coverage.target.map(|_| Looks {
        recording: options.recording.recording.clone(),
        criteria: options.coverage.criteria(),
        every: options.coverage_looks,
    });
    let covered = async move {
        match looks {
            // Who does not listen any more is ending the window.
            Some(looks) => looks.until_ready(|news| drop(tell.send(news))).await,
            None => std::future::pending().await,
        }
    };
    (covered, news)
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
            selector("host", Kind::V2, &unseen),
            "host (unified cgroup hierarchy, 12 processes not in it)"
        );
        let warning = warning(Kind::V2, &unseen).unwrap();
        assert!(
            warning.contains("12 processes") && warning.contains("only memory; name=systemd does"),
            "{warning}"
        );
        let nobody = Unseen::default();
        assert_eq!(selector("host", Kind::V2, &nobody), "host (unified cgroup hierarchy)");
        assert_eq!(super::warning(Kind::V2, &nobody), None);
    }
}
