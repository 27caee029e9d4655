//! Finds out what is behind a program's loader or a script's name, beside everything else.
//!
//! A look-up may never return, so processes make them, see [`crate::look_up`], and a thread waits for each of those. What
//! one does not answer in time stays unresolved, which is counted, and the window ends in time whatever hangs. So does
//! the profiler itself: a process that cannot be ended now is left behind, and ends when the kernel lets go of it.

mod worker;

use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use baselines::path::FilePath;
use profiler_common::Key;

use self::worker::Worker;
use super::described::{File, Loader, Overlay};
use super::held::Held;
use crate::look_up::{self, Found};

/// How many look-ups may hang before the others have to wait until one of them is given up.
const WORKERS: usize = 4;
/// How many questions may wait. More than that are not asked.
const QUESTIONS_MAX: usize = 4096;
/// How long one look-up may take: a disk that has to spin up and a busy network file system answer within that time.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How many processes are started in all. Each that hangs stays until its file system lets go of it, and a workload can
/// make as many hang as it likes.
const STARTS_MAX: usize = 32;

/// What to find out.
pub(super) struct Question {
    /// What it is about.
    pub(super) about: About,
    /// What keeps open the paths that it is about.
    pub(super) held: Held,
    /// The overlay that the program is on.
    pub(super) overlay: Option<Overlay>,
    /// What the files have to tell.
    pub(super) look_up: look_up::Question,
}

/// What a question is about.
#[derive(Clone, Copy)]
pub(super) enum About {
    /// A program, by its number.
    Image(u64),
    /// What is counted of a script.
    Script(Key),
}

/// What was found out.
pub(super) enum Answer {
    /// A program's number, and its loader.
    Loader(u64, Loader),
    /// The script and the scripts that interpret it; None where they could not be found out.
    Script(Key, Option<Vec<File>>),
}

/// How processes are started, and how long they may take.
#[derive(Clone, Copy)]
pub(super) struct Workers {
    /// What to start; it answers on its standard output what its standard input asks.
    pub(super) command: fn() -> Command,
    /// How long an answer may take, the start of the process included.
    pub(super) patience: Duration,
    /// How many may be started in all.
    pub(super) starts: usize,
}

impl Default for Workers {
    fn default() -> Self {
        Self {
            command: look_up::command,
            patience: PATIENCE,
            starts: STARTS_MAX,
        }
    }
}

/// The threads, what they were asked and what they answered.
pub(super) struct Resolver {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    /// Questions without an answer so far.
    outstanding: usize,
}

impl Resolver {
    pub(super) fn new(workers: Workers) -> Self {
        let (questions, asked) = sync_channel(QUESTIONS_MAX);
        let (answered, answers) = channel();
        let asked = Arc::new(Mutex::new(asked));
        let starts = Arc::new(AtomicUsize::new(workers.starts));
        for _ in 0..WORKERS {
            let worker = Worker::new(workers, Arc::clone(&starts));
            let (asked, answered) = (Arc::clone(&asked), answered.clone());
            let work = move || work(worker, &asked, &answered);
            if let Err(error) = thread::Builder::new().name("look-up".to_owned()).spawn(work) {
                // Where there is none at all, nothing can be asked, which is counted.
                tracing::warn!("one process less can look at workloads' files: no thread can wait for it: {error}");
            }
        }
        Self {
            questions,
            answers,
            outstanding: 0,
        }
    }

    /// Questions without an answer so far.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Asks. False where too many questions wait already.
    pub(super) fn ask(&mut self, question: Question) -> bool {
        let asked = self.questions.try_send(question).is_ok();
        self.outstanding += usize::from(asked);
        asked
    }

    /// The next answer, for which it waits until then.
    pub(super) fn answer(&mut self, deadline: Instant) -> Option<Answer> {
        if self.outstanding == 0 {
            return None;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = self.answers.recv_timeout(left).ok()?;
        self.outstanding -= 1;
        Some(answer)
    }
}

/// What each thread does until the recorder is gone.
fn work(mut worker: Worker, asked: &Mutex<Receiver<Question>>, answered: &Sender<Answer>) {
    loop {
        // One thread waits for a question, the others for that one; the lock is free while a question is looked at.
        let question = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Question {
            about,
            held: _held,
            overlay,
            look_up,
        }) = question
        else {
            return;
        };
        let file = |path: FilePath| Overlay::file(overlay.as_ref(), path.as_bytes().to_vec());
        let answer = match (about, worker.ask(&look_up)) {
            (About::Image(image), Found::Loader(path)) => Answer::Loader(image, Loader::Known(path.map(file))),
            (About::Image(image), _) => Answer::Loader(image, Loader::Unknown),
            (About::Script(key), Found::Scripts(paths)) => {
                Answer::Script(key, Some(paths.into_iter().map(file).collect()))
            }
            (About::Script(key), _) => Answer::Script(key, None),
        };
        if answered.send(answer).is_err() {
            return;
        }
    }
}
