//! How far an import has come.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::{PLAIN_LINE_EVERY, say};

/// A live line on a terminal, a plain one now and then elsewhere.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    plain: Option<Instant>,
    /// Bytes of the sources that are done.
    before: u64,
    read: u64,
}

impl Display {
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
            before: 0,
            read: 0,
        }
    }

    pub(super) fn show(&mut self, lines: u64, read: u64) {
        self.read = read;
        if let Some(bar) = &self.bar {
            bar.set_position(self.before + read);
            bar.set_message(format!("{lines} events"));
        }
        if let Some(last) = &mut self.plain
            && last.elapsed() >= PLAIN_LINE_EVERY
        {
            *last = Instant::now();
            say(false, &format!("{lines} events"));
        }
    }

    pub(super) fn next(&mut self) {
        self.before += std::mem::take(&mut self.read);
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
