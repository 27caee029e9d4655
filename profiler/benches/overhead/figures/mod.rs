//! What the benchmark computes from what it reads: data in, data out.
//!
//! The tests are in `tests.rs`.

pub(crate) mod output;
pub(crate) mod procfs;
pub(crate) mod statistics;
