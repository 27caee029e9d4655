//! Risks: behaviour that learning must not make a habit of.
//!
//! A [`Catalogue`] of entries says what is risky, why, and what to do about it. It is data (YAML, one file a topic, in
//! `catalogue/`), and files of one's own add to it. Held against an image's behaviours it gives [`Finding`]s. What is
//! [quarantined](Standing::Quarantined) needs a decision of a person before a policy of the image can be approved;
//! [`Decisions`] keep these, next to the baseline.
//!
//! ```
//! use baselines::behaviour::{Access, Action, Behaviour, Phase, Provenance};
//! use baselines::document::{Behaviours, Evidence};
//! use baselines::path::FilePath;
//! use baselines::risks::{Catalogue, Decision, Decisions, Seen, Standing, Target, Verdict};
//! use baselines::time::UtcTime;
//! use baselines::workload::Image;
//!
//! let evidence = Evidence {
//!     count: 1,
//!     units: 1,
//!     containers: 1,
//!     nodes: 1,
//!     days: None,
//!     rate: None,
//!     first_seen: UtcTime::now(),
//!     last_seen: UtcTime::now(),
//!     phases: vec![Phase::Steady],
//!     provenance: vec![Provenance::Workload],
//! };
//! let path = FilePath::canonical(*b"/etc/shadow");
//! let action = Action::Open { path, access: Access::READ, backing: None };
//! let mut learned = Behaviours::default();
//! learned.push(Behaviour { subject: FilePath::canonical(*b"/app/auth"), action }, evidence);
//! let seen = Seen { learned: &learned, not_learned: &Behaviours::default(), containers: 1 };
//!
//! let findings = Catalogue::shipped().assess(&seen);
//! assert_eq!(findings[0].key.entry().as_str(), "password-hashes-read");
//! assert_eq!(findings[0].standing, Standing::Quarantined);
//!
//! let image = Image { repository: "shop/auth".to_owned(), tag: None, digest: None };
//! let mut decisions = Decisions::new(image);
//! assert!(decisions.apply(&findings, &seen, UtcTime::now()).findings[0].needs_decision());
//! let decision = Decision {
//!     verdict: Verdict::Allow { until: None },
//!     reason: "it checks passwords at start-up, see SHOP-12".parse()?,
//!     who: "ada@shop.example".parse()?,
//!     when: UtcTime::now().whole_second(),
//!     inherited_from: None,
//!     about: Some(findings[0].sentence()),
//! };
//! decisions.decide(Target::finding(findings[0].key.clone()), decision);
//! assert!(!decisions.apply(&findings, &seen, UtcTime::now()).findings[0].needs_decision());
//! assert_eq!(Decisions::from_yaml(&decisions.to_yaml())?, decisions);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The entry point's chain
//!
//! A script that starts the server is one decision, and not one for each of its steps. Which steps these are is told from the
//! executions alone: they are a graph from the calling image to the program, which is followed from what the container
//! runtime executed, through programs that only execute others (shells, init processes, those that switch users).
//!
//! - What a server executes is never a part of it, at start-up or later; nor is anything that was also seen later, or that
//!   the kubelet did, too.
//! - The calling image of what a script executes is its interpreter. Where something else executes the same interpreter at
//!   start-up, nobody can tell whose children are whose, and none of them is a part of the chain.
//! - Only entries that say so (`yieldsTo`) give way to it: shells, interpreters. A download or a program in `/tmp` is a
//!   finding of its own wherever it comes from.
//! - What it cannot tell: another script of the same interpreter that the chain itself started, from the entry point's script.
//!   Both are the image's own.
//!
//! `docs/reference/risks.md` describes the formats and lists the entries.

mod assess;
mod catalogue;
mod chain;
mod condition;
mod decisions;
mod entry;
mod error;
mod facts;
mod globs;
mod key;
mod lists;
mod matcher;
mod sequences;
mod values;
mod written;

pub use assess::{CONTAINERS_MANY, Finding, Flagged, Seen, Sighting, Standing};
pub use catalogue::{Catalogue, CatalogueFile};
pub use condition::{Condition, Fact};
pub use decisions::{Applied, Decided, Decision, Decisions, InheritError, Split, State, Target, Verdict};
pub use entry::{Disabled, Entry, Example, Examples, Grouping, Severity};
pub use error::FileError;
pub use key::FindingKey;
pub(crate) use key::core;
pub use sequences::OneOf;
pub use values::{ActionKind, DnsSuffix, EntryId, Network, Pattern, Ports, Scope, Technique, Text, ValueError};
pub(crate) use written::Written;

#[cfg(test)]
pub(crate) mod tests;
