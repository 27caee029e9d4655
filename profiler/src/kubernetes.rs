//! What a cluster says about the containers of its node.
//!
//! | module | question it answers |
//! |---|---|
//! | [`images`] | Which image is it, whatever the runtime writes? |
//! | [`owners`] | Which workload is a pod of? |
//! | [`pods`] | What does a pod's description say of its containers? |
//! | [`directory`] | Whose container is this cgroup? |
//!
//! All of them are pure: descriptions in, facts out.

pub mod directory;
pub mod images;
pub mod owners;
pub mod pods;
