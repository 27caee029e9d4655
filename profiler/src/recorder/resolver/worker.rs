//! A process that looks things up, and the next one where it hangs.

use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::Workers;
use crate::look_up::{Found, Question, read_line, write_line};

/// Asks one process at a time, which is started when it is needed.
///
/// It belongs to one thread: a process ends with the thread that started it (`PR_SET_PDEATHSIG`, prctl(2)).
pub(super) struct Worker {
    workers: Workers,
    /// How many may still be started, by all threads together.
    starts: Arc<AtomicUsize>,
    running: Option<Process>,
    /// Killed, and perhaps not gone yet: nobody waits for them.
    killed: Vec<Child>,
}

struct Process {
    child: Child,
    /// Its standard input and output.
    stream: UnixStream,
}

impl Worker {
    pub(super) fn new(workers: Workers, starts: Arc<AtomicUsize>) -> Self {
        Self {
            workers,
            starts,
            running: None,
            killed: Vec::new(),
        }
    }

    /// What the process answers. One that does not, or not in time, or not what it should, is not asked again.
    pub(super) fn ask(&mut self, question: &Question) -> Found {
        self.killed.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let deadline = Instant::now() + self.workers.patience;
        let answer = match self.running() {
            Ok(Some(process)) => process.ask(question, deadline),
            // Said when the last one was given up.
            Ok(None) => return Found::Nothing,
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| {
            let left = self.starts.load(Ordering::Relaxed);
            tracing::warn!(
                "a look-up at a workload's file was given up: {error}; {left} processes more may be started"
            );
            self.give_up();
            Found::Nothing
        })
    }

    /// The process, or a new one, if another may be started.
    fn running(&mut self) -> io::Result<Option<&mut Process>> {
        let take = |left: usize| left.checked_sub(1);
        if self.running.is_none()
            && self
                .starts
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
                .is_ok()
        {
            self.running = Some(Process::start(self.workers)?);
        }
        Ok(self.running.as_mut())
    }

    fn give_up(&mut self) {
        if let Some(mut process) = self.running.take() {
            // Fails only where it has ended. One that hangs ends when the kernel lets go of it.
            let _ = process.child.kill();
            self.killed.push(process.child);
        }
    }
}

impl Process {
    fn start(workers: Workers) -> io::Result<Self> {
        // Not two pipes: a socket can be waited for with a time limit.
        let (stream, theirs) = UnixStream::pair()?;
        let theirs = OwnedFd::from(theirs);
        // What the command holds of it is closed on return, so that the process's end is the stream's.
        let mut command = (workers.command)();
        let child = command.stdin(theirs.try_clone()?).stdout(theirs).spawn()?;
        Ok(Self { child, stream })
    }

    fn ask(&self, question: &Question, deadline: Instant) -> io::Result<Found> {
        let mut stream = Limited {
            stream: &self.stream,
            deadline,
        };
        write_line(&mut stream, question)?;
        read_line(&mut BufReader::new(stream))?
            .filter(|found: &Found| found.is_answer_to(question))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no answer"))
    }
}

/// A stream that is read and written until a deadline, however slowly.
struct Limited<'a> {
    stream: &'a UnixStream,
    deadline: Instant,
}

impl Limited<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Limited<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(bytes).map_err(in_time)
    }
}

impl Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes).map_err(in_time)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the kernel says when a socket's time limit is over (socket(7), `SO_RCVTIMEO`) is about something else elsewhere.
fn in_time(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use baselines::path::FilePath;

    use super::*;
    use crate::look_up::Place;

    /// Says its process id as a path, unless the question is about something else.
    fn shell() -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(
            r#"while read -r line; do
                case $line in
                    *killed*) kill -9 $$ ;;
                    *ended*) exit 0 ;;
                    *late*) sleep 0.3; echo '{"Loader":"/late"}' ;;
                    *silent*) exec sleep 600 ;;
                    *dripping*) while printf ' '; do sleep 0.01; done ;;
                    *endless*) exec cat /dev/zero ;;
                    *nonsense*) echo nonsense ;;
                    *other*) echo '{"Scripts":[]}' ;;
                    *foreign*) echo '{"Loader":"../relative"}' ;;
                    *) echo "{\"Loader\":\"/proc/$$\"}" ;;
                esac
            done"#,
        );
        command
    }

    fn worker(command: fn() -> Command, starts: usize) -> Worker {
        let workers = Workers {
            command,
            patience: Duration::from_millis(200),
            starts,
        };
        Worker::new(workers, Arc::new(AtomicUsize::new(starts)))
    }

    fn question(path: &str) -> Question {
        Question::Loader {
            inode: 1,
            path: FilePath::canonical(path.as_bytes()),
            place: Place {
                root: "/".to_owned(),
                root_inode: None,
                program: None,
            },
        }
    }

    /// Which process answers. The first answer of a shell may take longer on a busy machine than what it is tested with.
    fn who(worker: &mut Worker) -> PathBuf {
        worker.workers.patience = Duration::from_mins(1);
        let answer = worker.ask(&question("/program"));
        worker.workers.patience = Duration::from_millis(200);
        let Found::Loader(Some(path)) = answer else {
            panic!("{answer:?}")
        };
        path.as_utf8().unwrap().into()
    }

    #[test]
    fn whoever_does_not_answer_in_time_or_to_the_point_is_killed_and_replaced() {
        let mut worker = worker(shell, usize::MAX);
        let first = who(&mut worker);
        assert_eq!(who(&mut worker), first, "one that answers stays");
        let cases = [
            "/killed",
            "/ended",
            "/late",
            "/silent",
            "/dripping",
            "/endless",
            "/nonsense",
            "/other",
            "/foreign",
        ];
        for path in cases {
            let before = who(&mut worker);
            let started = Instant::now();
            assert_eq!(worker.ask(&question(path)), Found::Nothing, "{path}");
            assert!(started.elapsed() < Duration::from_secs(30), "{path}");
            assert_ne!(who(&mut worker), before, "{path}");
            // It is reaped when another question is asked.
            while !worker.killed.is_empty() {
                assert!(started.elapsed() < Duration::from_secs(30), "{path}");
                who(&mut worker);
            }
            assert!(!before.exists(), "{path}");
        }
    }

    #[test]
    fn there_are_not_more_than_so_many() {
        let mut worker = worker(shell, 2);
        for _ in 0..2 {
            who(&mut worker);
            assert_eq!(worker.ask(&question("/nonsense")), Found::Nothing);
        }
        assert_eq!(worker.ask(&question("/program")), Found::Nothing);
        assert!(worker.running.is_none());
    }

    #[test]
    fn one_that_cannot_be_started_finds_nothing() {
        let mut worker = worker(|| Command::new("/no/such/program"), 2);
        for _ in 0..3 {
            assert_eq!(worker.ask(&question("/program")), Found::Nothing);
        }
    }

    #[test]
    fn a_process_ends_when_it_is_asked_no_more() {
        let mut worker = worker(shell, 1);
        let process = who(&mut worker);
        let mut child = {
            let Process { child, stream: _ } = worker.running.take().unwrap();
            child
        };
        assert!(child.wait().unwrap().success(), "{}", process.display());
    }
}
