//! Path templates: which paths are one, but for the names that programs make up.
//!
//! Process ids, temporary files, dates and hashes are other ones each time. [`mine`] finds them by what names look like, in the
//! set of paths itself; [`Corpus`] says what each template would additionally admit; [`Template::operators`] says what is left
//! of it in a policy, which has no wildcards; [`cross_validate`] measures whether templates hold for containers that
//! they were not mined from. Everything is data in, data out.
//!
//! ```
//! use baselines::path::FilePath;
//! use baselines::templates::{Corpus, MaxPrice, Options, mine};
//!
//! let paths = |texts: &[&str]| -> Vec<FilePath> {
//!     texts.iter().map(|text| FilePath::canonical(text.as_bytes())).collect()
//! };
//! let own = paths(&["/var/log/app-2026-11-20.log", "/var/log/app-2026-11-21.log", "/var/log/app-20261122.log", "/etc/hosts"]);
//! let mined = mine(&own, &Options::default());
//! let found = &mined.templates[0];
//! assert_eq!((found.template.to_string().as_str(), found.members.len()), ("/var/log/app-{date}.log", 3));
//! assert_eq!(mined.paths, [&own[3]]);
//! let compiled = found.template.operators();
//! assert_eq!((compiled.operator.to_string().as_str(), compiled.gives_up.as_str()), ("Prefix /var/log/app-", "{date}.log"));
//!
//! let others = paths(&["/var/log/app-tokens.db"]);
//! let priced = Corpus::new(&own, &others).refuse(mined, MaxPrice { admitted: 0, sensitive: 0 });
//! assert_eq!(priced.refused[0].why, "Prefix /var/log/app- admits 1 known paths that the image has not used, and 0 is the maximum");
//! ```
//!
//! The handbook's chapter "Path templates" has the classes, thresholds and guards, and why they are what they are.

mod class;
mod mine;
mod operators;
mod place;
mod price;
mod sensitive;
mod set;
mod siblings;
mod signature;
mod template;
mod temporary;
#[cfg(test)]
mod tests;
mod time;
mod tree;
mod validate;

pub use class::Class;
pub use mine::{Aside, Found, Mined, Options, mine, mine_with};
pub use operators::{Compiled, Operator, POSTFIX_BYTES_MAX, PREFIX_BYTES_MAX};
pub use price::{Admitted, Corpus, MaxPrice, Price, Priced, Refused, SENSITIVE_MAX};
pub use sensitive::{SENSITIVE, Sensitive, sensitive};
pub use set::TemplateSet;
pub use template::{Template, TemplateError, components};
pub use validate::{Validation, cross_validate};
