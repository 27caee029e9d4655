//! Path templates.
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
