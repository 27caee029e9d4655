//! What a workload did, how often, and how much of it has been seen.

pub mod analysis;
pub mod behaviour;
pub mod document;
pub mod loss;
pub mod path;
pub mod recording;
mod serde_text;
#[cfg(test)]
mod testing;
pub mod time;
pub mod workload;
