//! `profile look-up`: what `profile run` and `profile start` start to look at workloads' files, see [`crate::look_up`].

use std::fs;
use std::io;
use std::os::unix::process::parent_id;
use std::process::ExitCode;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::error::Failure;
use crate::look_up::serve;
use crate::privileges;

/// Answers questions until there are no more, or `parent` has ended.
///
/// # Errors
/// Where something is no question; nobody but the exit code tells it.
pub fn look_up(parent: u32) -> Result<ExitCode, Failure> {
    let unusual = |error: io::Error| Failure::Kernel(format!("a look-up: {error}"));
    // Files of workloads are read here, and nothing else is done.
    privileges::keep_only(privileges::LOOK_UP).map_err(unusual)?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| unusual(error.into()))?;
    // It may have ended before that.
    if parent_id() != parent {
        return Ok(ExitCode::FAILURE);
    }
    // Whoever ends a service signals all of its processes: the profiler ends us, when it has no more questions.
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: no handler is set that would have to keep to any rules.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    close_inherited().map_err(unusual)?;
    // What top(1) shows; it would be `exe`, the name of the link that was executed.
    fs::write("/proc/self/comm", "profile").map_err(unusual)?;
    serve(&mut io::stdin().lock(), &mut io::stdout().lock()).map_err(unusual)?;
    Ok(ExitCode::SUCCESS)
}

/// Our own files are closed by themselves. Those that the profiler was handed on purpose (`3>file`, a job server's pipe)
/// are not, and a process that is left behind would keep somebody waiting for their end.
fn close_inherited() -> io::Result<()> {
    let listed: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for descriptor in listed
        .into_iter()
        .filter(|descriptor| *descriptor > libc::STDERR_FILENO)
    {
        // SAFETY: this process has just begun and opened nothing but the list, which is closed already (EBADF).
        unsafe { libc::close(descriptor) };
    }
    Ok(())
}
