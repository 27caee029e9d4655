//! A table of the kernel that is replaced when it fills up.

use std::os::fd::{AsFd as _, OwnedFd};

use aya::maps::{ArrayOfMaps, MapData};

use super::{ProbeError, batch};

/// The only slot of an array of tables, and what is in it now.
pub(super) struct Generations {
    slot: ArrayOfMaps<MapData, MapData>,
    current: MapData,
    /// Its type information.
    types: OwnedFd,
    /// What it holds, for messages.
    what: &'static str,
}

impl Generations {
    /// Puts a first table in place.
    pub(super) fn new(
        slot: ArrayOfMaps<MapData, MapData>,
        first: MapData,
        what: &'static str,
    ) -> Result<Self, ProbeError> {
        let types = batch::types_of(first.fd().as_fd())
            .map_err(|error| ProbeError::refused(format!("the types of a table of {what}"), &error))?;
        let mut generations = Self {
            slot,
            current: first,
            types,
            what,
        };
        generations.publish()?;
        Ok(generations)
    }

    /// The current table.
    pub(super) fn current(&self) -> &MapData {
        &self.current
    }

    /// Puts an empty table in the place of the current one, which is returned. No program runs any more that could still
    /// change it: the kernel's update of the slot waits for them.
    pub(super) fn replace(&mut self) -> Result<MapData, ProbeError> {
        let refused =
            |error: &dyn std::error::Error| ProbeError::refused(format!("a new table of {}", self.what), error);
        let next =
            batch::create_like(self.current.fd().as_fd(), self.types.as_fd()).map_err(|error| refused(&error))?;
        let next = MapData::from_fd(next).map_err(|error| refused(&error))?;
        let old = std::mem::replace(&mut self.current, next);
        self.publish()?;
        Ok(old)
    }

    fn publish(&mut self) -> Result<(), ProbeError> {
        self.slot
            .set(0, &self.current, 0)
            .map_err(|error| ProbeError::refused(format!("a new table of {}", self.what), &error))
    }
}
