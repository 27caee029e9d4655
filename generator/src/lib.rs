//! Turns what a workload was seen doing into baselines to read and Tetragon policies to review.
//!
//! The core is pure: [`policy::compile`] makes a policy of a baseline, and [`selfcheck`] proves on the finished text
//! that it reports nothing of that baseline. The binary `generate` reads and writes files around it.
//!
//! | module | question it answers |
//! |---|---|
//! | [`policy`] | Which policy allows exactly what was observed? |
//! | [`risks`] | What in it waits for a person's decision? |
//! | [`report`] | What does all of that look like on one page? |
//! | [`diff`] | What has changed since, and how is that told? |
//! | [`selfcheck`] | Would it load, and does it report anything of its own baseline? |
//! | [`yaml`] | How does a hostile name stay inside its scalar or comment? |
//! | [`files`] | How do documents come in and go out whole? |
//! | [`listing`] | How is it told? |
//! | [`cli`], [`commands`] | What can be asked? |
//!
//! ```
//! use baselines::document;
//! use generator::policy::{self, Input, Tetragon};
//!
//! let text = "\
//! apiVersion: wardline.dev/v1
//! kind: Baseline
//! image:
//!   repository: shop/web
//!   tag: '1.4'
//! recordings: []
//! containers: []
//! losses: []
//! behaviours: {}
//! notLearned: {}
//! ";
//! let input = Input::new(document::from_yaml(text).unwrap(), text.as_bytes());
//! let policy = policy::compile(&input, Tetragon::V1_7).unwrap();
//! assert!(policy.yaml.contains("No connection was observed"));
//! ```

pub mod cli;
pub mod commands;
pub mod diff;
mod error;
mod evidence;
pub mod files;
pub mod listing;
pub mod policy;
pub mod report;
pub mod risks;
pub mod selfcheck;
pub mod yaml;

pub use error::{Error, explain, printable};
