//! `profile run`: learns one command in a cgroup of its own.

use std::process::ExitCode;
use std::time::Duration;

use baselines::recording::EndReason;
use baselines::time::UtcTime;
use baselines::workload::Workload;
use profiler_common::{CgroupState, pod};
use rustix::thread::CapabilitySet;

use super::{Learner, Prepared, conclude, drop_privileges, learn, say, start_window, watch_names};
use crate::cgroups::{self, OwnedCgroup};
use crate::cli;
use crate::clock::Clock;
use crate::command::{Child, CommandError, Program, Signals};
use crate::containers::HOST;
use crate::error::Failure;
use crate::learn::Session;
use crate::privileges;
use crate::probes::Wire;
use crate::recorder::Recorder;
use crate::recorder::attribution::{Attribution, Scope};

/// What a command leaves running in the background has this long to end by itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// Runs the command, and ends with its exit code.
///
/// # Errors
/// [`Failure`]; the command was not started then, or recording it failed.
pub fn run(options: &cli::Run, quiet: bool) -> Result<ExitCode, Failure> {
    let (name, arguments) = options.command.split_first().ok_or_else(|| Failure::Usage {
        what: "no command given".to_owned(),
        help: "write it after `--`: profile run --image shop/web:1.4 -- ./server".to_owned(),
    })?;
    let program = Program::find(name, arguments)?;
    let hierarchies = cgroups::mounted()?;
    let hierarchy = match cgroups::unified(&hierarchies) {
        Some(unified) => unified,
        None => cgroups::choose(&hierarchies)?,
    };
    let learner = Learner {
        name: None,
        tells_commands: false,
        record_unknown: false,
    };
    let Prepared {
        mut writer,
        mut probes,
        sizes,
        memory,
    } = Prepared::new(hierarchy, &options.recording, &learner)?;
    // From here on Ctrl-C is the command's to answer, and leaves no cgroup behind.
    let signals = Signals::hold().map_err(|source| CommandError::Signals { source })?;
    let cgroup = hierarchy.create_for_run()?;
    let recorded = CgroupState {
        recorded: 1,
        ..pod::zeroed()
    };
    probes
        .cgroups
        .insert(cgroup.id(), Wire(recorded), 0)
        .map_err(|error| Failure::Kernel(format!("the probes were not told about the command's cgroup: {error}")))?;
    probes.attach()?;
    let (names, answers) = watch_names(&mut probes, hierarchy, &options.recording);
    let window = start_window(
        &mut writer,
        probes.backend,
        format!("run {}", options.image),
        options.recording.flush_interval,
        names,
    )?;
    // With everything that we were given ourselves.
    let spawned = memory.as_before(|| program.spawn(&cgroup, signals));
    let child = spawned.map_err(Failure::Privileges)?.or_else(|error| {
        writer.end_window(window, &EndReason::Failed(error.to_string()), UtcTime::now())?;
        Err(Failure::from(error))
    })?;
    drop_privileges(
        privileges::RECORD | CapabilitySet::KILL | CapabilitySet::DAC_OVERRIDE,
        &options.recording.recording,
        &cgroup.directory().parent().into_iter().collect::<Vec<_>>(),
    )?;
    let own_root = probes.own_root()?;
    let container = container(options, &cgroup, name.as_encoded_bytes());
    let learning = Recorder::new(container, probes.backend, own_root, Some(hierarchy.clone()));
    let session = Session::new(probes, learning, hierarchy.clone(), writer, window, sizes)?;
    let (progress, reason) = learn(
        session.with_answers(answers),
        options.recording.flush_interval,
        quiet,
        ended(child, cgroup, quiet),
        None,
    )?;
    conclude(quiet, &progress, &options.recording.recording);
    Ok(match reason {
        EndReason::CommandExited { code } => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        _ => ExitCode::FAILURE,
    })
}

/// The one container of this window.
fn container(options: &cli::Run, cgroup: &OwnedCgroup, command: &[u8]) -> Attribution {
    let name = command.rsplit(|byte| *byte == b'/').next().unwrap_or(command);
    let mut attribution = Attribution::new(Scope::Run {
        cgroup: cgroup.id(),
        path: cgroup.path().to_vec(),
        workload: Workload {
            namespace: HOST.to_owned(),
            kind: "run".to_owned(),
            name: options.image.repository.clone(),
            container: String::from_utf8_lossy(name).into_owned(),
        },
        image: options.image.clone(),
    });
    attribution.appeared(cgroup.id(), cgroup.path(), Clock::now());
    attribution
}

/// Waits for the command, and for what it left behind.
async fn ended(child: Child, cgroup: OwnedCgroup, quiet: bool) -> EndReason {
    let waited = tokio::task::spawn_blocking(move || {
        let code = child.wait();
        (code, cgroup.remove(PATIENCE))
    });
    match waited.await {
        Ok((Ok(code), removed)) => {
            match removed {
                Ok(removed) if removed.killed > 0 => {
                    say(
                        quiet,
                        &format!("{} processes outlived the command and were killed", removed.killed),
                    );
                }
                Ok(_) => {}
                Err(error) => say(false, &format!("warning: {error}")),
            }
            EndReason::CommandExited { code: code.into() }
        }
        Ok((Err(error), _)) => EndReason::Failed(format!("the command could not be waited for: {error}")),
        Err(error) => EndReason::Failed(format!("the waiting thread ended: {error}")),
    }
}
