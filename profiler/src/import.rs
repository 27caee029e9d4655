//! Recordings from what other programs have seen.

pub mod error;
pub mod tetragon;
