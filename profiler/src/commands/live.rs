//! How far something has come: a live line on a terminal, a plain one now and then elsewhere.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::say;

/// Where plain progress lines go when nobody watches: one each time.
pub(super) const PLAIN_LINE_EVERY: Duration = Duration::from_secs(10);

/// The line.
pub(super) struct Live {
    bar: Option<ProgressBar>,
    /// When the last plain line was written.
    plain: Option<Instant>,
}

impl Live {
    /// Of something that takes as long as it takes, unless `bytes` says how many there are to go through; no line at all if
    /// `quiet`.
    pub(super) fn new(quiet: bool, bytes: u64) -> Self {
        let live = !quiet && io::stderr().is_terminal();
        let bar = live.then(|| {
            let (bar, template) = if bytes > 0 {
                (ProgressBar::new(bytes), "{bar:40} {bytes}/{total_bytes} {eta}  {msg}")
            } else {
                (ProgressBar::new_spinner(), "{spinner} {elapsed_precise}  {msg}")
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self {
            bar,
            plain: (!quiet && !live).then(Instant::now),
        }
    }

    /// Shows how far it is: `done` bytes, and a text.
    pub(super) fn show(&mut self, done: u64, text: impl Fn() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(text());
        }
        if let Some(last) = &mut self.plain
            && last.elapsed() >= PLAIN_LINE_EVERY
        {
            *last = Instant::now();
            say(false, &text());
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            // Above the live line.
            Some(bar) => bar.println(text),
            None => say(false, text),
        }
    }

    /// The same, only for people who want to see how far it is.
    pub(super) fn note(&self, text: &str) {
        if self.bar.is_some() || self.plain.is_some() {
            self.say(text);
        }
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
