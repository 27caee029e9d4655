//! Which image each process runs, as the kernel names it, in bounded memory.

use std::collections::{HashMap, VecDeque};

use baselines::behaviour::Provenance;
use baselines::path::FilePath;
use baselines::time::UtcTime;

/// How many processes are remembered at least, where so many live.
const PROCESSES_KEPT: usize = 32_768;
/// How many processes that ended are remembered: events of them may come a little later than their end.
const ENDED_KEPT: usize = 4_096;
/// How many executions may be under way at a time.
const EXECUTIONS_MAX: usize = 4_096;
/// How many files one execution passes through at most: the kernel goes through five interpreters (`exec_binprm`,
/// fs/exec.c) and ends at the sixth file.
const ROUNDS_MAX: usize = 6;
/// How long an execution may take, from the first file that is checked to its end.
const EXECUTION_NANOS_MAX: i64 = 10_000_000_000;
/// Names longer than this are no `exec_id` that an agent makes (Base64 of node, time and process id).
const ID_BYTES_MAX: usize = 1_024;

/// What is remembered of a process.
#[derive(Clone, Debug)]
pub struct Known {
    /// The image that it runs.
    pub image: FilePath,
    /// Of what it was called.
    pub called: u64,
    /// How it came into its container.
    pub provenance: Provenance,
    /// Of the path that it opened last.
    pub last_open: u64,
}

/// Processes by their `exec_id`. When there are too many, those that nothing was asked about for longest are forgotten.
#[derive(Debug, Default)]
pub struct Processes {
    recent: HashMap<Box<str>, Known>,
    older: HashMap<Box<str>, Known>,
    ended: VecDeque<Box<str>>,
}

impl Processes {
    /// Remembers a process.
    pub fn insert(&mut self, exec_id: &str, known: Known) {
        if exec_id.is_empty() || exec_id.len() > ID_BYTES_MAX {
            return;
        }
        if self.recent.len() >= PROCESSES_KEPT {
            self.older = std::mem::take(&mut self.recent);
        }
        self.older.remove(exec_id);
        self.recent.insert(exec_id.into(), known);
    }

    /// What is known of a process.
    pub fn get(&mut self, exec_id: &str) -> Option<&mut Known> {
        if let Some((id, known)) = self.older.remove_entry(exec_id) {
            self.insert(&id, known);
        }
        self.recent.get_mut(exec_id)
    }

    /// A process ended; it is forgotten after a while.
    pub fn ended(&mut self, exec_id: &str) {
        if self.get(exec_id).is_none() {
            return;
        }
        self.ended.push_back(exec_id.into());
        if self.ended.len() > ENDED_KEPT
            && let Some(gone) = self.ended.pop_front()
        {
            self.recent.remove(&gone);
            self.older.remove(&gone);
        }
    }
}

/// The files that the kernel checked for an execution, in order: the program, or a script and its interpreter.
#[derive(Debug)]
pub struct Checked {
    /// The event's kind, for the summary.
    pub kind: &'static str,
    /// The files, at least one.
    pub files: Vec<FilePath>,
    started: UtcTime,
}

impl Checked {
    /// What runs in the end, and the script that was called if it is one.
    pub fn outcome(self) -> Option<(FilePath, Option<FilePath>)> {
        let mut files = self.files.into_iter();
        let first = files.next()?;
        Some(match files.next_back() {
            Some(binary) => (binary, Some(first)),
            None => (first, None),
        })
    }

    /// How many checks these are.
    pub fn rounds(&self) -> u64 {
        self.files.len() as u64
    }
}

/// Executions whose files were checked and which have not succeeded yet, by process.
#[derive(Debug, Default)]
pub struct Executions(HashMap<u32, Checked>);

impl Executions {
    /// A file was checked. Returns executions of which nothing came: they failed.
    pub fn check(&mut self, pid: u32, kind: &'static str, file: FilePath, at: UtcTime) -> Vec<Checked> {
        let mut failed = Vec::new();
        if self.0.len() >= EXECUTIONS_MAX {
            failed.extend(
                self.0
                    .extract_if(|_, checked| is_over(checked.started, at))
                    .map(|(_, it)| it),
            );
        }
        if self.0.len() >= EXECUTIONS_MAX {
            failed.extend(self.0.drain().map(|(_, it)| it));
        }
        let is_another = |checked: &Checked| {
            checked.files.len() >= ROUNDS_MAX || is_over(checked.started, at) || checked.kind != kind
        };
        if self.0.get(&pid).is_some_and(is_another) {
            failed.extend(self.0.remove(&pid));
        }
        self.0
            .entry(pid)
            .or_insert_with(|| Checked {
                kind,
                files: Vec::with_capacity(1),
                started: at,
            })
            .files
            .push(file);
        failed
    }

    /// An execution succeeded. The files that were checked for it, if it was watched.
    pub fn succeeded(&mut self, pid: u32, at: UtcTime) -> Option<Checked> {
        self.0
            .extract_if(|of, checked| *of == pid && checked.started <= at && !is_over(checked.started, at))
            .next()
            .map(|(_, checked)| checked)
    }

    /// Those that have not succeeded until the end.
    pub fn rest(&mut self) -> impl Iterator<Item = Checked> {
        self.0.drain().map(|(_, checked)| checked)
    }
}

fn is_over(started: UtcTime, now: UtcTime) -> bool {
    now.nanos().saturating_sub(started.nanos()) > EXECUTION_NANOS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(path: &str) -> Known {
        Known {
            image: FilePath::canonical(path.as_bytes()),
            called: 0,
            provenance: Provenance::Workload,
            last_open: 0,
        }
    }

    #[test]
    fn who_is_asked_about_is_remembered_and_memory_is_bounded() {
        let mut processes = Processes::default();
        processes.insert("daemon", known("/daemon"));
        processes.insert("quiet", known("/quiet"));
        for number in 0..4 * PROCESSES_KEPT {
            processes.insert(&number.to_string(), known("/short"));
            if number % 1000 == 0 {
                assert!(processes.get("daemon").is_some());
            }
        }
        assert!(processes.get("quiet").is_none());
        assert!(processes.recent.len() + processes.older.len() <= 2 * PROCESSES_KEPT);
    }

    #[test]
    fn the_dead_make_room_and_are_not_forgotten_at_once() {
        let mut processes = Processes::default();
        processes.insert("quiet", known("/quiet"));
        for number in 0..4 * PROCESSES_KEPT {
            let id = number.to_string();
            processes.insert(&id, known("/short"));
            processes.ended(&id);
            assert!(processes.get(&id).is_some());
        }
        assert!(processes.get("quiet").is_some());
        assert!(processes.recent.len() <= ENDED_KEPT + 2);
    }

    #[test]
    fn an_execution_is_what_was_checked_last_and_a_script_what_was_checked_first() {
        let at = |seconds: u64| UtcTime::from_nanos(seconds * 1_000_000_000);
        let path = |path: &str| FilePath::canonical(path.as_bytes());
        let mut executions = Executions::default();
        for (pid, file) in [(1, "/bin/a"), (2, "/script"), (2, "/bin/sh"), (3, "/late")] {
            assert!(executions.check(pid, "hook", path(file), at(1)).is_empty());
        }
        assert_eq!(
            executions.succeeded(1, at(1)).unwrap().outcome(),
            Some((path("/bin/a"), None))
        );
        assert_eq!(
            executions.succeeded(2, at(2)).unwrap().outcome(),
            Some((path("/bin/sh"), Some(path("/script"))))
        );
        assert!(executions.succeeded(2, at(2)).is_none());
        assert!(executions.succeeded(3, at(12)).is_none(), "not of this execution");
        let failed = executions.check(3, "hook", path("/bin/b"), at(12));
        assert_eq!(failed.len(), 1);
        assert_eq!(executions.succeeded(3, at(12)).unwrap().rounds(), 1);
    }

    #[test]
    fn executions_that_never_end_take_bounded_memory() {
        let mut executions = Executions::default();
        let mut failed = 0;
        for pid in 0..20_000 {
            let gone = executions.check(pid, "hook", FilePath::canonical(*b"/a"), UtcTime::from_nanos(7));
            failed += gone.len();
        }
        assert!(executions.0.len() <= EXECUTIONS_MAX);
        assert_eq!(failed + executions.rest().count(), 20_000);
    }
}
