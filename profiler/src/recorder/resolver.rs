//! Looks at workloads' files for the recorder, in threads of its own.
//!
//! A file may lie on a file system that its workload serves itself (FUSE), or on a network that is gone, and then a
//! look-up never returns. It must not keep the ring buffer from being read: a thread that hangs is left behind, and what
//! it was asked stays unresolved, which is counted. The window ends in time; the process itself ends when the kernel lets
//! the thread go, which for a FUSE server that took the request and stays silent is when that server ends
//! (`request_wait_answer`, fs/fuse/dev.c: not even SIGKILL ends that wait).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use baselines::path::FilePath;
use profiler_common::Key;

use super::described::{File, Loader, Overlay};
use crate::resolve::{ElfError, Root, elf_interpreter, script_chain};

/// How many threads may hang before nothing can be resolved any more.
const THREADS: usize = 4;
/// How many questions may wait. More than that are not asked.
const QUESTIONS_MAX: usize = 4096;

/// The process that did something, and the root directory that it had then.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The process.
    pub(super) process: u32,
    /// The root directory is the one that we run in: it is there even when the process is not.
    pub(super) is_ours: bool,
    /// Its inode number.
    pub(super) root_inode: u64,
}

/// What to find out.
pub(super) enum Question {
    /// Which dynamic loader a program names.
    Loader {
        /// The program's number.
        image: u64,
        /// Its inode number.
        inode: u64,
        /// Its path.
        path: FilePath,
        /// Where its paths begin.
        place: Place,
        /// The overlay that it is on.
        overlay: Option<Overlay>,
    },
    /// Which scripts lead from a name to a program.
    Script {
        /// What is counted.
        key: Key,
        /// The script's name as called.
        name: Vec<u8>,
        /// The directory that a relative name starts from.
        directory: FilePath,
        /// The program that runs in the end.
        program: FilePath,
        /// Where its paths begin.
        place: Place,
        /// The overlay that the program is on.
        overlay: Option<Overlay>,
    },
}

/// What was found out.
pub(super) enum Answer {
    /// A program's number, and its loader.
    Loader(u64, Loader),
    /// The script and the scripts that interpret it; None where they could not be found out.
    Script(Key, Option<Vec<File>>),
}

/// The threads, what they were asked and what they answered.
pub(super) struct Resolver {
    questions: SyncSender<Question>,
    answers: Receiver<Answer>,
    /// Questions without an answer so far.
    outstanding: usize,
}

impl Default for Resolver {
    fn default() -> Self {
        let (questions, asked) = sync_channel(QUESTIONS_MAX);
        let (answered, answers) = channel();
        let asked = Arc::new(Mutex::new(asked));
        for _ in 0..THREADS {
            let (asked, answered) = (Arc::clone(&asked), answered.clone());
            thread::spawn(move || work(&asked, &answered));
        }
        Self {
            questions,
            answers,
            outstanding: 0,
        }
    }
}

impl Resolver {
    /// Asks. False where too many questions wait already.
    pub(super) fn ask(&mut self, question: Question) -> bool {
        let asked = self.questions.try_send(question).is_ok();
        self.outstanding += usize::from(asked);
        asked
    }

    /// The next answer, for which it waits at most this long.
    pub(super) fn answer(&mut self, patience: Duration) -> Option<Answer> {
        if self.outstanding == 0 {
            return None;
        }
        let deadline = Instant::now() + patience;
        let answer = self
            .answers
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .ok()?;
        self.outstanding -= 1;
        Some(answer)
    }
}

/// What each thread does until the recorder is gone.
fn work(asked: &Mutex<Receiver<Question>>, answered: &Sender<Answer>) {
    loop {
        // One thread waits for a question, the others for that one; the lock is free while a question is looked at.
        let question = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let answer = match question {
            Ok(Question::Loader {
                image,
                inode,
                path,
                place,
                overlay,
            }) => Answer::Loader(image, loader(place, inode, &path, overlay.as_ref())),
            Ok(Question::Script {
                key,
                name,
                directory,
                program,
                place,
                overlay,
            }) => Answer::Script(key, scripts(place, &directory, &name, &program, overlay.as_ref())),
            Err(_) => return,
        };
        if answered.send(answer).is_err() {
            return;
        }
    }
}

impl Place {
    /// The root directory, if it is still the one that the probe saw.
    fn root(&self) -> Option<Root> {
        if self.is_ours {
            return Root::own().ok();
        }
        // Another process may have taken over the number, or the same one another root.
        Root::of_process(self.process)
            .ok()
            .filter(|root| root.inode() == Some(self.root_inode))
    }
}

fn loader(place: Place, inode: u64, path: &FilePath, overlay: Option<&Overlay>) -> Loader {
    let Some(root) = place.root() else {
        return Loader::Unknown;
    };
    let Some(program) = open_program(place, inode, path, &root) else {
        return Loader::Unknown;
    };
    let name = match elf_interpreter(&program) {
        Ok(Some(name)) => name,
        // Statically linked, or run by an interpreter that binfmt_misc knows.
        Ok(None) | Err(ElfError::NotElf) => return Loader::Known(None),
        Err(_) => return Loader::Unknown,
    };
    match root.canonicalise(b"/", &name) {
        Ok(path) => Loader::Known(Some(Overlay::file(overlay, path))),
        Err(_) => Loader::Unknown,
    }
}

/// The executable itself: by the process that runs it, or by its path, if that is still the same file.
fn open_program(place: Place, inode: u64, path: &FilePath, root: &Root) -> Option<fs::File> {
    let is_it = |file: &fs::File| file.metadata().is_ok_and(|found| found.ino() == inode);
    let by_path = root.open_regular(path.as_bytes()).ok().filter(is_it);
    by_path.or_else(|| {
        fs::File::open(format!("/proc/{}/exe", place.process))
            .ok()
            .filter(is_it)
    })
}

fn scripts(
    place: Place,
    directory: &FilePath,
    name: &[u8],
    program: &FilePath,
    overlay: Option<&Overlay>,
) -> Option<Vec<File>> {
    let mut chain = script_chain(&place.root()?, directory.as_bytes(), name).ok()?;
    // The last one is what runs now. Where the name leads to another program, it has been changed since.
    (FilePath::canonical(chain.pop()?) == *program)
        .then(|| chain.into_iter().map(|path| Overlay::file(overlay, path)).collect())
}
