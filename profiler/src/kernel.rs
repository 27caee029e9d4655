//! What the running kernel is like: where it keeps things ([`btf`], [`offsets`]) and what it offers ([`features`]).

pub mod btf;
pub mod features;
pub mod offsets;
