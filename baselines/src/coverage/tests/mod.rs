mod bootstrap;
mod closed_forms;
mod properties;
mod published;
mod readiness;
mod traps;
mod unit_lengths;
