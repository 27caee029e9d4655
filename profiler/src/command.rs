//! The command of `profile run`: started inside its cgroup, signalled, waited for.
//!
//! Seen from the terminal the command should behave as if nobody stood between:
//!
//! - **It is in its cgroup before its first instruction.** The forked child moves itself, then executes. (It could be
//!   forked into the cgroup, with clone3's `CLONE_INTO_CGROUP`, but only on v2 and from Linux 5.7, so that this way would
//!   be needed too; and what happens between fork and exec is ours and belongs into our cgroup.)
//! - **Signals.** It stays in our process group, so the terminal's own (Ctrl-C, Ctrl-\, window size, hang-up) reach it
//!   without our doing. What a process sends to us with `kill` we pass on, once. We survive both, to end the window
//!   cleanly. Ctrl-Z and `fg` act on both of us as on any job: the default actions of SIGTSTP and SIGCONT are kept.
//!   Signals that we were told to ignore (`nohup`, a background job of a shell script) stay ignored, here and there.
//! - **Nothing of ours leaks.** Our files are opened close-on-exec, and files that were handed to us on purpose
//!   (`3<file`, a job server's pipe) reach the command; handlers, the signal mask and Rust's ignored SIGPIPE are
//!   undone.
//! - **Exit codes are the shell's**: 127 not found, 126 found but not executable, 128 + n killed by signal n.
//!
//! ```no_run
//! use profiler::{cgroups, command};
//! use std::time::Duration;
//!
//! let program = command::Program::find("nginx".as_ref(), &["-t".into()])?; // before anything is set up
//! let signals = command::Signals::hold()?; // from here on Ctrl-C leaves no cgroup behind
//! let hierarchies = cgroups::mounted()?;
//! let cgroup = cgroups::choose(&hierarchies)?.create_for_run()?;
//! let code = program.spawn(&cgroup, signals)?.wait()?; // blocks: use spawn_blocking in a runtime
//! cgroup.remove(Duration::from_secs(1))?;
//! std::process::exit(code.into());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod signals;
#[cfg(test)]
mod tests;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::cgroups::{CgroupError, OwnedCgroup};

pub use self::signals::Signals;
pub(crate) use self::signals::is_ignored;

/// Where programs are looked for when `PATH` is not set, as in execvp(3).
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// Marks, in the number of an error, that joining the cgroup failed and not the execution: the standard library hands
/// both from the child to us as one number. Linux's own are below 4,096.
const JOINING: i32 = 1 << 16;

/// Why a command could not be run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CommandError {
    /// No such program.
    #[error("command not found: {}", name.display())]
    #[diagnostic(help("install it, add its folder to PATH (sudo may have replaced it), or give its path"))]
    NotFound {
        /// As it was called.
        name: OsString,
    },

    /// The file is there and cannot be executed.
    #[error("cannot execute {}: {source}", path.display())]
    #[diagnostic(help("it must be an executable file (chmod +x) on a file system that is not mounted noexec"))]
    NotExecutable {
        /// The program.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The file is there, and what should run it is not.
    #[error("cannot execute {}: its interpreter is missing", path.display())]
    #[diagnostic(help("a script names it in its first line (#!...); for a binary `readelf -l` shows it"))]
    NoInterpreter {
        /// The program.
        path: PathBuf,
    },

    /// The cgroup did not take the process.
    #[error("the command could not enter its cgroup: {source}")]
    #[diagnostic(help("run as root; in a container, with the host's cgroup namespace and a writable /sys/fs/cgroup"))]
    Join {
        /// The kernel's answer.
        source: io::Error,
    },

    /// The cgroup could not be opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Cgroup(#[from] CgroupError),

    /// Signals cannot be passed on.
    #[error("cannot pass signals on to the command: {source}")]
    #[diagnostic(help("Linux 5.3 or later is needed, and a sandbox that allows pidfd_open(2)"))]
    Signals {
        /// The kernel's answer.
        source: io::Error,
    },
}

impl CommandError {
    /// The exit code that a shell gives for this.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } | Self::NoInterpreter { .. } => 126,
            Self::Join { .. } | Self::Cgroup(_) | Self::Signals { .. } => 1,
        }
    }
}

/// A program that was found and may be executed, with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// Looks a command up as execvp(3) does: along `PATH`, unless the name has a slash in it.
    ///
    /// # Errors
    /// [`CommandError::NotFound`] and [`CommandError::NotExecutable`].
    pub fn find(name: &OsStr, arguments: &[OsString]) -> Result<Self, CommandError> {
        let folders = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        Self::find_along(&folders, name, arguments)
    }

    fn find_along(folders: &OsStr, name: &OsStr, arguments: &[OsString]) -> Result<Self, CommandError> {
        let candidates: Vec<PathBuf> = match name.as_bytes() {
            [] => Vec::new(),
            bytes if bytes.contains(&b'/') => vec![name.into()],
            // An empty entry is the current folder; the `./` keeps the name from being looked up again.
            _ => env::split_paths(folders)
                .map(|folder| Path::new(".").join(folder).join(name))
                .collect(),
        };
        let mut refused = None;
        for path in candidates {
            match check_executable(&path) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        name: name.to_owned(),
                        arguments: arguments.to_vec(),
                    });
                }
                Err(error) if is_absence(&error) => {}
                Err(source) => refused = refused.or(Some(CommandError::NotExecutable { path, source })),
            }
        }
        Err(refused.unwrap_or_else(|| CommandError::NotFound { name: name.to_owned() }))
    }

    /// The file that will be executed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it in the cgroup, with our standard streams, environment and working directory.
    ///
    /// # Errors
    /// Where it cannot enter the cgroup or cannot be executed after all; nothing is left running then.
    pub fn spawn(&self, cgroup: &OwnedCgroup, signals: Signals) -> Result<Child, CommandError> {
        let entrance = cgroup.entrance()?;
        let mut command = Command::new(&self.path);
        command.arg0(&self.name).args(&self.arguments);

        // Until the child has the default actions again: a signal that our handler took in the child would be lost.
        let blocked = signals.block();
        let in_child = blocked.undo();
        let prepare = move || {
            // SAFETY: one byte of a static string, to a file that the closure owns; write(2) is async-signal-safe.
            if unsafe { libc::write(entrance.as_raw_fd(), c"0".as_ptr().cast(), 1) } != 1 {
                let number = io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
                return Err(io::Error::from_raw_os_error(JOINING | number));
            }
            in_child.apply();
            Ok(())
        };
        // SAFETY: between fork and exec the closure makes nothing but async-signal-safe calls and allocates nothing: an
        // io::Error of a number is that number.
        unsafe { command.pre_exec(prepare) };

        let mut process = command.spawn().map_err(|error| self.not_started(error))?;
        if let Err(source) = signals.pass_on_to(process.id()) {
            // It may just have ended; in any case nothing is to be left.
            let _ = process.kill();
            let _ = process.wait();
            return Err(CommandError::Signals { source });
        }
        drop(blocked);
        Ok(Child {
            process,
            _signals: signals,
        })
    }

    fn not_started(&self, error: io::Error) -> CommandError {
        let path = self.path.clone();
        match error.raw_os_error() {
            Some(number) if number & JOINING != 0 => CommandError::Join {
                source: io::Error::from_raw_os_error(number & !JOINING),
            },
            // For execve(2) a missing interpreter is the same as a missing file.
            Some(libc::ENOENT) if path.exists() => CommandError::NoInterpreter { path },
            Some(libc::ENOENT) => CommandError::NotFound {
                name: self.name.clone(),
            },
            _ => CommandError::NotExecutable { path, source: error },
        }
    }
}

/// Whether the file could be executed, as far as can be told without doing it.
fn check_executable(path: &Path) -> io::Result<()> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::from_raw_os_error(libc::EACCES)); // what execve(2) says
    }
    Ok(accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?)
}

/// Whether there is no such file, or cannot be one: a name with a NUL in it, or too long.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, InvalidInput, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | InvalidInput | InvalidFilename)
}

/// The running command.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    // Passes signals on for as long as it lives.
    _signals: Signals,
}

impl Child {
    /// The process id, valid until [`Child::wait`] returns.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Blocks until the command has ended, and returns its exit code, or 128 + n if signal n killed it.
    ///
    /// Processes that it left in the background are not waited for; they end with the cgroup.
    ///
    /// # Errors
    /// Where it cannot be waited for (another part of the process already has).
    pub fn wait(mut self) -> io::Result<u8> {
        let status = self.process.wait()?;
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
        code.and_then(|code| u8::try_from(code).ok())
            .ok_or_else(|| io::Error::other(format!("unknown status of an ended process: {status}")))
    }
}
