//! How far an import has come.

use crate::commands::live::Live;

/// The line about it.
pub(super) struct Display {
    live: Live,
    /// Bytes of the sources that are done.
    before: u64,
    read: u64,
}

impl Display {
    pub(super) fn new(quiet: bool, bytes: u64) -> Self {
        Self {
            live: Live::new(quiet, bytes),
            before: 0,
            read: 0,
        }
    }

    pub(super) fn show(&mut self, lines: u64, read: u64) {
        self.read = read;
        self.live.show(self.before + read, || format!("{lines} events"));
    }

    pub(super) fn next(&mut self) {
        self.before += std::mem::take(&mut self.read);
    }

    pub(super) fn clear(&self) {
        self.live.clear();
    }
}
