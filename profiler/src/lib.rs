//! Learns what workloads do: loads the probes, attributes what they count to containers, writes recordings.
//!
//! | module | question it answers |
//! |---|---|
//! | [`kernel`] | Where does this kernel keep things? |
//! | [`probes`] | What has been counted, and what is new? |
//! | [`cgroups`], [`containers`] | Which cgroup is it, and which workload lives there? |
//! | [`kubernetes`] | What does a cluster say about the containers of its node? |
//! | [`resolve`] | Which file is behind a script's name, or a program's loader? |
//! | [`look_up`] | Who finds that out, where a file system may never answer? |
//! | [`recorder`] | What does that make of a recording? |
//! | [`coverage`] | Has a window that goes on seen enough? |
//! | [`learn`] | How does a window go from its start to its end? |
//! | [`command`] | How does `profile run` run its command? |
//! | [`import`] | What have other programs seen? |
//! | [`learning_policy`] | What must they be told to look at? |
//! | [`grpc`] | How is somebody asked behind a Unix socket? |
//! | [`agent`] | What goes on on each node of a cluster? |
//! | [`collect`] | How does what was learned there come to one machine? |
//! | [`commands`], [`cli`] | What does the program `profile` do? |

pub mod agent;
pub mod cgroups;
pub mod checksum;
pub mod cli;
pub mod clock;
pub mod collect;
pub mod command;
pub mod commands;
pub mod containers;
pub mod coverage;
pub mod error;
pub mod grpc;
pub mod image;
pub mod import;
pub mod kernel;
pub mod kubernetes;
pub mod learn;
pub mod learning_policy;
pub mod look_up;
pub mod names;
pub mod privileges;
pub mod probes;
pub mod recorder;
pub mod resolve;
pub mod table;
#[cfg(test)]
mod testing;
