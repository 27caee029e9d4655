//! The counters: read in batches, replaced when they fill up.

use std::collections::HashMap;
use std::os::fd::AsFd as _;

use aya::maps::MapData;
use profiler_common::{Key, Value};

use super::generations::Generations;
use super::{ProbeError, batch};

/// The table is replaced once it is this full, in percent: what comes meanwhile needs room.
const REPLACE_AT_PERCENT: usize = 60;

/// What was counted since the last reading.
#[derive(Clone, Copy, Debug)]
pub struct Delta {
    /// Who did what.
    pub key: Key,
    /// How many times more than at the last reading.
    pub count: u64,
    /// When it was first counted, boot clock, ns.
    pub first: u64,
    /// When it was last counted, boot clock, ns.
    pub last: u64,
    /// The same, whichever minute it is counted in.
    pub seen: u64,
}

impl Delta {
    /// The same, as of before a moment (boot clock, ns), unless all of it happened after that.
    #[must_use]
    pub fn before(self, moment: Option<u64>) -> Self {
        let last = match moment {
            Some(moment) if self.first < moment => self.last.min(moment.saturating_sub(1)),
            _ => self.last,
        };
        Self { last, ..self }
    }
}

/// The current generation of counters, and what was last read of it.
pub struct Counters {
    tables: Generations,
    capacity: u32,
    seen: HashMap<Key, u64>,
}

impl Counters {
    pub(super) fn new(tables: Generations, capacity: u32) -> Self {
        Self {
            tables,
            capacity,
            seen: HashMap::new(),
        }
    }

    /// Calls `each` for every key whose count has grown since the last reading.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn read(&mut self, mut each: impl FnMut(Delta)) -> Result<(), ProbeError> {
        read(self.tables.current(), &mut self.seen, &mut each)
    }

    /// Whether it is time for [`Counters::replace`].
    pub fn is_filling_up(&self) -> bool {
        self.seen.len() * 100 >= self.capacity as usize * REPLACE_AT_PERCENT
    }

    /// Puts an empty table in the place of the current one, and reads that for the last time.
    ///
    /// # Errors
    /// [`ProbeError::Refused`].
    pub fn replace(&mut self, mut each: impl FnMut(Delta)) -> Result<(), ProbeError> {
        let old = self.tables.replace()?;
        read(&old, &mut self.seen, &mut each)?;
        self.seen.clear();
        Ok(())
    }

    /// How many keys the current generation holds.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

fn read(from: &MapData, seen: &mut HashMap<Key, u64>, each: &mut impl FnMut(Delta)) -> Result<(), ProbeError> {
    batch::for_each(from.fd().as_fd(), |key: Key, value: Value| {
        let before = seen.insert(key, value.count).unwrap_or_default();
        // Another processor may add between two readings, never subtract.
        let count = value.count.saturating_sub(before);
        if count > 0 {
            each(Delta {
                key,
                count,
                first: value.first,
                last: value.last,
                seen: value.last,
            });
        }
    })
    .map_err(|error| ProbeError::refused("reading the counters", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_until_a_moment_is_not_moved_behind_it() {
        // First and last count, the moment; what becomes of the last.
        let cases = [
            (10, 20, None, 20),
            (10, 20, Some(30), 20),
            (10, 20, Some(15), 14),
            (10, 20, Some(10), 20),
            (10, 20, Some(5), 20),
        ];
        for (first, last, moment, expected) in cases {
            let key = profiler_common::pod::zeroed();
            let delta = Delta {
                key,
                count: 1,
                first,
                last,
                seen: last,
            };
            assert_eq!(delta.before(moment).last, expected, "{first} to {last}, {moment:?}");
        }
    }
}
