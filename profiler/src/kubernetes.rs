//! What a cluster says about the containers of its node.
//!
//! | module | question it answers |
//! |---|---|
//! | [`images`] | Which image is it, whatever the runtime writes? |
//! | [`owners`] | Which workload is a pod of? |
//! | [`pods`] | What does a pod's description say of its containers? |
//! | [`labels`], [`selection`] | Which containers are asked for? |
//! | [`directory`] | Whose container is this cgroup? |
//! | [`peers`] | Who has this address? |
//! | [`connect`] | Where is the API server? |
//! | [`watch`] | What changes on this node? |
//! | [`peer_watch`] | What does the API server say about addresses? |
//! | [`cri`] | And where there is no API server? |
//! | [`token`] | What tells who we are? |
//! | [`pages`] | How are long lists read? |
//!
//! All but the last six are pure: descriptions in, facts out.

pub mod connect;
pub mod cri;
pub mod directory;
mod expansion;
pub mod images;
pub mod labels;
pub mod owners;
pub mod pages;
mod parents;
pub mod peer_watch;
pub mod peers;
pub mod pods;
pub mod selection;
pub mod times;
pub mod token;
pub mod watch;
pub mod watching;
