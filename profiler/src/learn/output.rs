//! The recording as a window writes it, through times in which that cannot be done: a disk that is full for a while, a
//! file that another program has locked.

use std::thread;
use std::time::{Duration, Instant};

use baselines::recording::{EndReason, Error, Flush, WindowId, Writer};
use baselines::time::UtcTime;
use hdrhistogram::Histogram;
use tokio::task::{JoinError, JoinHandle};

use super::record;
use crate::error::Failure;

/// How soon to try again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// When to give up: late enough for somebody to make room on a disk, and soon enough for a supervisor to notice.
const PATIENCE: Duration = Duration::from_mins(10);
/// The same once the window is over, when somebody waits for its end.
const LAST_PATIENCE: Duration = Duration::from_secs(15);
/// The most that is kept until then, in bytes. It grows with what is new and with each minute, not with every event.
const MEMORY_MAX: usize = 64 << 20;

/// What is written to, and what could not be written yet.
pub(super) struct Output {
    /// In another thread while a flush is being written.
    writer: Option<Writer>,
    window: WindowId,
    unwritten: Option<Unwritten>,
    /// Observations that found no room in the recording so far.
    no_room: u64,
    /// How long flushes took.
    pub(super) latency: Histogram<u64>,
}

/// What could not be written. It goes with the next flush.
struct Unwritten {
    flush: Flush,
    why: String,
    since: Instant,
}

/// A flush that has been written, or not.
pub(super) struct Saved {
    writer: Writer,
    flush: Flush,
    started: Instant,
    ended: Instant,
    /// How many observations found no room.
    result: Result<u64, Error>,
}

impl Output {
    pub(super) fn new(writer: Writer, window: WindowId, latency: Histogram<u64>) -> Self {
        Self {
            writer: Some(writer),
            window,
            unwritten: None,
            no_room: 0,
            latency,
        }
    }

    /// Writes a flush, and what could not be written before, in another thread.
    pub(super) fn write(&mut self, flush: Flush) -> Option<JoinHandle<Saved>> {
        let flush = self.with_unwritten(flush);
        let window = self.window;
        self.writer.take().map(|mut writer| {
            tokio::task::spawn_blocking(move || {
                let started = Instant::now();
                let result = writer.flush(window, &flush);
                Saved {
                    writer,
                    flush,
                    started,
                    ended: Instant::now(),
                    result,
                }
            })
        })
    }

    fn with_unwritten(&mut self, flush: Flush) -> Flush {
        match &mut self.unwritten {
            None => flush,
            Some(unwritten) => {
                unwritten.flush.merge(flush);
                std::mem::take(&mut unwritten.flush)
            }
        }
    }

    /// Takes back the writer, and the flush if it could not be written.
    ///
    /// # Errors
    /// What will not go away, or has not for too long.
    pub(super) fn saved(&mut self, saved: Result<Saved, JoinError>) -> Result<(), Failure> {
        let Saved {
            writer,
            flush,
            started,
            ended,
            result,
        } = saved.map_err(|error| Failure::Kernel(format!("the writing thread ended: {error}")))?;
        self.writer = Some(writer);
        record(&mut self.latency, ended - started);
        let since = self.unwritten.take().map_or(started, |unwritten| unwritten.since);
        let error = match result {
            Ok(no_room) => {
                self.no_room = self.no_room.saturating_add(no_room);
                return Ok(());
            }
            Err(error) => error,
        };
        if since.elapsed() > PATIENCE || flush.memory() > MEMORY_MAX {
            return Err(Failure::unwritten(error, since));
        }
        let why = reason_to_wait(&error).ok_or(error)?;
        self.unwritten = Some(Unwritten { flush, why, since });
        Ok(())
    }

    /// Why what was learned cannot be written just now, if so.
    pub(super) fn trouble(&self) -> Option<&str> {
        self.unwritten.as_ref().map(|unwritten| unwritten.why.as_str())
    }

    /// How many observations found no room so far, because the recording may not become larger.
    pub(super) fn no_room(&self) -> u64 {
        self.no_room
    }

    /// Writes the last flush and the end of the window. Blocks until that is done, or has failed for too long; `show` is
    /// told the trouble.
    ///
    /// # Errors
    /// As [`Output::saved`].
    pub(super) fn finish(
        &mut self,
        flush: Flush,
        reason: &EndReason,
        mut show: impl FnMut(Option<&str>),
    ) -> Result<(), Failure> {
        let (flush, window, at) = (self.with_unwritten(flush), self.window, UtcTime::now());
        let Some(writer) = &mut self.writer else {
            return Err(Failure::Kernel("the writing thread is still at work".to_owned()));
        };
        let last = Instant::now();
        let since = self.unwritten.take().map_or(last, |unwritten| unwritten.since);
        let mut persist = |step: &mut dyn FnMut(&mut Writer) -> Result<(), Error>| {
            while let Err(error) = step(writer) {
                if last.elapsed() > LAST_PATIENCE {
                    return Err(Failure::unwritten(error, since));
                }
                show(Some(&reason_to_wait(&error).ok_or(error)?));
                thread::sleep(RETRY_AFTER);
            }
            show(None);
            Ok(())
        };
        let no_room = &mut self.no_room;
        persist(&mut |writer| {
            *no_room = no_room.saturating_add(writer.flush(window, &flush)?);
            Ok(())
        })?;
        persist(&mut |writer| writer.end_window(window, reason, at))
    }

    /// The window ends because recording failed. Where that cannot be written either, it stays open, and is found so when
    /// the recording is opened the next time: the failure is the error to show.
    pub(super) fn fail(&mut self, failure: &Failure) {
        if let Some(writer) = &mut self.writer {
            let reason = EndReason::Failed(failure.to_string());
            if let Err(error) = writer.end_window(self.window, &reason, UtcTime::now()) {
                tracing::debug!(%error, "the end of the window could not be written");
            }
        }
    }
}

/// What to say while waiting for this to pass. None where it will not.
fn reason_to_wait(error: &Error) -> Option<String> {
    error.is_temporary().then(|| error.to_string())
}

#[cfg(test)]
mod tests {
    use baselines::behaviour::{Access, Action, Behaviour, Phase, Provenance};
    use baselines::path::FilePath;
    use baselines::recording::{Observation, Recording};

    use super::*;
    use crate::testing::{node, window};

    /// A flush with this many behaviours, which take about 4 KiB each.
    fn flush(behaviours: usize) -> Flush {
        let at = UtcTime::from_nanos(0);
        let observation = |number: usize| Observation {
            cgroup_id: 1,
            behaviour: Behaviour {
                subject: FilePath::canonical(*b"/bin/a"),
                action: Action::Open {
                    path: FilePath::canonical(format!("/{number:04095}").into_bytes()),
                    access: Access::READ,
                    backing: None,
                },
            },
            provenance: Provenance::Workload,
            phase: Phase::Steady,
            minute: at.minute(),
            count: 1,
            first_seen: at,
            last_seen: at,
        };
        Flush {
            at,
            observations: (0..behaviours).map(observation).collect(),
            ..Flush::default()
        }
    }

    #[test]
    fn what_cannot_be_written_is_kept_up_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recording.db");
        let mut writer = Recording::open_or_create(&path, &node()).unwrap();
        let window = writer.start_window(&window(UtcTime::from_nanos(0))).unwrap();
        let mut output = Output::new(writer, window, Histogram::new(3).unwrap());
        let mut fail = |behaviours, age| {
            let now = Instant::now();
            let saved = Saved {
                writer: output.writer.take().unwrap(),
                flush: output.with_unwritten(flush(behaviours)),
                started: now.checked_sub(age).unwrap(),
                ended: now,
                result: Err(Error::Full { path: path.clone() }),
            };
            let result = output.saved(Ok(saved)).map_err(|failure| failure.to_string());
            (result, output.trouble().is_some())
        };
        let young = Duration::ZERO;
        assert_eq!(fail(1000, young), (Ok(()), true));
        // The same again takes no more room.
        for _ in 0..20 {
            assert_eq!(fail(1000, young), (Ok(()), true));
        }
        let (given_up, _) = fail(20_000, young);
        assert!(given_up.unwrap_err().contains("the disk is full (or over quota), for "));
        let (given_up, _) = fail(1, PATIENCE + Duration::from_secs(1));
        assert!(
            given_up
                .unwrap_err()
                .contains("the disk is full (or over quota), for 601 s")
        );
    }
}
