//! Passing signals on.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering, fence};
use std::sync::{Arc, OnceLock};

use libc::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH, c_int, siginfo_t, sigset_t};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use signal_hook_registry::{SigId, register_sigaction, unregister};

/// The signals that are passed on, and survived by us.
const PASSED_ON: [(c_int, Signal); 7] = [
    (SIGHUP, Signal::HUP),
    (SIGINT, Signal::INT),
    (SIGQUIT, Signal::QUIT),
    (SIGTERM, Signal::TERM),
    (SIGUSR1, Signal::USR1),
    (SIGUSR2, Signal::USR2),
    (SIGWINCH, Signal::WINCH),
];

/// Holds signals back, and once there is a command, passes them on to it.
///
/// Signals that arrive before that are passed on when it starts. After this is dropped they have no effect at all.
pub struct Signals {
    relay: Arc<Relay>,
    held: Vec<(c_int, SigId)>,
}

impl Signals {
    /// Takes over every signal that is not ignored. This holds for the whole process, whichever thread calls.
    ///
    /// # Errors
    /// Where the kernel refuses a handler.
    pub fn hold() -> io::Result<Self> {
        let mut signals = Self {
            relay: Arc::default(),
            held: Vec::new(),
        };
        for (number, signal) in PASSED_ON {
            if is_ignored(number)? {
                continue;
            }
            let relay = Arc::clone(&signals.relay);
            // SAFETY: the action only uses atomics and pidfd_send_signal(2), made as a bare system call. It takes no
            // lock, allocates nothing and cannot panic.
            let id = unsafe { register_sigaction(number, move |information| relay.receive(signal, information)) }?;
            signals.held.push((number, id));
        }
        Ok(signals)
    }

    /// Passes on what comes and what came so far.
    pub(super) fn pass_on_to(&self, process: u32) -> io::Result<()> {
        let pid = i32::try_from(process)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let target = Target {
            pid,
            handle: pidfd_open(pid, PidfdFlags::empty())?,
        };
        self.relay
            .target
            .set(target)
            .map_err(|_| io::ErrorKind::AlreadyExists)?;
        self.relay.deliver();
        Ok(())
    }

    /// Prepares for forking the command: from here on the terminal's signals are its own, and the held signals are
    /// blocked in this thread until the result is dropped.
    pub(super) fn block(&self) -> Blocked {
        self.relay.is_starting.store(true, Ordering::SeqCst);
        let mut held = MaybeUninit::<sigset_t>::uninit();
        let mut previous = MaybeUninit::<sigset_t>::uninit();
        // SAFETY: sigemptyset initialises `held` before it is used, pthread_sigmask then fills in `previous`. They fail
        // only for numbers that are no signals, and these are.
        let previous = unsafe {
            libc::sigemptyset(held.as_mut_ptr());
            for (number, _) in &self.held {
                libc::sigaddset(held.as_mut_ptr(), *number);
            }
            libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), previous.as_mut_ptr());
            previous.assume_init()
        };
        Blocked {
            numbers: self.held.iter().map(|(number, _)| *number).collect(),
            previous,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (_, id) in self.held.drain(..) {
            unregister(id);
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signals")
            .field("target", &self.relay.target.get())
            .finish_non_exhaustive()
    }
}

/// Signals are blocked while this lives.
pub(super) struct Blocked {
    numbers: Vec<c_int>,
    previous: sigset_t,
}

impl Blocked {
    /// What a forked child does instead of dropping this.
    pub(super) fn undo(&self) -> Undo {
        Undo {
            numbers: self.numbers.clone(),
            previous: self.previous,
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        restore_mask(&self.previous);
    }
}

/// Gives a forked child the signal actions and the mask that we were started with.
pub(super) struct Undo {
    numbers: Vec<c_int>,
    previous: sigset_t,
}

impl Undo {
    /// Makes async-signal-safe calls only.
    pub(super) fn apply(&self) {
        for number in &self.numbers {
            // SAFETY: a valid signal number and the default action; this replaces our handler, in the child alone.
            unsafe { libc::signal(*number, libc::SIG_DFL) };
        }
        restore_mask(&self.previous);
    }
}

fn restore_mask(mask: &sigset_t) {
    // SAFETY: `mask` was filled in by pthread_sigmask; the old mask is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// What the handlers share with the thread that starts the command.
#[derive(Default)]
struct Relay {
    /// Set just before the command is forked: from then on the terminal's signals reach it without us.
    is_starting: AtomicBool,
    target: OnceLock<Target>,
    /// For each of [`PASSED_ON`] who has sent it, while it waits to be passed on.
    senders: [AtomicI32; PASSED_ON.len()],
}

/// In [`Relay::senders`]: the signal does not wait.
const NOBODY: i32 = 0;
/// In [`Relay::senders`]: the kernel, or a process that our PID namespace does not know.
const SOMEBODY: i32 = -1;

#[derive(Debug)]
struct Target {
    pid: Pid,
    handle: OwnedFd,
}

impl Relay {
    /// Runs in a signal handler.
    fn receive(&self, signal: Signal, information: &siginfo_t) {
        // sigaction(2): codes up to 0 are those of signals sent by processes. The terminal's have SI_KERNEL, 0x80.
        let is_from_terminal = information.si_code > 0;
        if is_from_terminal && self.is_starting.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: the kernel fills in si_pid for every signal that a process sent, and writes 0 for its own.
        let sender = match unsafe { information.si_pid() } {
            0 => SOMEBODY,
            sender => sender,
        };
        if let Some((_, place)) = self.places().find(|(known, _)| *known == signal) {
            place.store(sender, Ordering::SeqCst);
        }
        self.deliver();
    }

    fn deliver(&self) {
        // Either the handler sees the target here, or the thread that has just set it sees what the handler stored.
        fence(Ordering::SeqCst);
        let Some(target) = self.target.get() else { return };
        for (signal, place) in self.places() {
            let sender = place.swap(NOBODY, Ordering::SeqCst);
            // What the command sends to its own group (`kill 0` in a script) must not come back to it.
            if sender != NOBODY && sender != target.pid.as_raw_nonzero().get() {
                // Fails only where the command has ended, and then the signal has no meaning any more. The handle
                // cannot mean another process, as an id could.
                let _ = pidfd_send_signal(&target.handle, signal);
            }
        }
    }

    fn places(&self) -> impl Iterator<Item = (Signal, &AtomicI32)> {
        PASSED_ON.iter().map(|(_, signal)| *signal).zip(&self.senders)
    }
}

/// Whether the signal is ignored, as nohup(1) and shells without job control make it for background jobs.
pub(crate) fn is_ignored(number: c_int) -> io::Result<bool> {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only fills in the current one.
    let action = unsafe {
        if libc::sigaction(number, ptr::null(), current.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        current.assume_init()
    };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_the_terminal_sends_is_not_passed_on_once_the_command_is_being_started() {
        // SAFETY: a structure of integers; all zeros is a valid value.
        let mut information: siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
        let mut command = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&command);
        let handle = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let relay = Relay::default();
        let waits = |signal| {
            relay
                .places()
                .any(|(known, place)| known == signal && place.load(Ordering::SeqCst) != NOBODY)
        };

        information.si_code = libc::SI_KERNEL;
        relay.receive(Signal::WINCH, &information);
        assert!(waits(Signal::WINCH)); // for a command that could not have got it
        relay.is_starting.store(true, Ordering::SeqCst);
        relay.receive(Signal::INT, &information);
        assert!(!waits(Signal::INT));
        relay.target.set(Target { pid, handle }).unwrap();
        // Would end it.
        relay.receive(Signal::INT, &information);

        information.si_code = libc::SI_USER;
        relay.receive(Signal::TERM, &information);
        assert_eq!(command.wait().unwrap().signal(), Some(SIGTERM));
    }
}
