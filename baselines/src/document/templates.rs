//! Path templates and their price, as a baseline holds them.

use serde::{Deserialize, Serialize};

use crate::path::FilePath;
use crate::serde_text;
use crate::templates::{Operator, Price, Template};

/// What a set of paths was generalised to, and what that costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PathTemplate {
    /// The template.
    pub template: Template,
    /// How many of the image's paths it stands for.
    pub covers: u64,
    /// How many paths it would admit beside those, among all that were recorded of any image.
    pub also_admits: u64,
    /// How a policy compares paths with it.
    pub operator: Comparison,
    /// With which text.
    #[serde(with = "serde_text::escaped")]
    pub value: String,
    /// What that does not compare any more, in words; empty where it compares everything.
    #[serde(default, skip_serializing_if = "String::is_empty", with = "serde_text::escaped")]
    pub gives_up: String,
    /// How many paths the policy would admit beside those that the template stands for.
    pub policy_also_admits: u64,
    /// How many of these are sensitive.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sensitive: u64,
    /// The first of those, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sensitive_paths: Vec<FilePath>,
}

impl PathTemplate {
    /// A template that was mined, with its price.
    pub(crate) fn new(template: Template, price: &Price<'_>) -> Self {
        let operator = &price.compiled.operator;
        Self {
            template,
            covers: price.covered,
            also_admits: price.template.admitted,
            operator: match operator {
                Operator::Equal(_) => Comparison::Equal,
                Operator::Prefix(_) => Comparison::Prefix,
                Operator::Postfix(_) => Comparison::Postfix,
            },
            value: operator.value().to_owned(),
            gives_up: price.compiled.gives_up.clone(),
            policy_also_admits: price.policy.admitted,
            sensitive: price.policy.sensitive_count,
            sensitive_paths: price.policy.sensitive.iter().copied().cloned().collect(),
        }
    }

    /// What a policy compares.
    pub fn operator(&self) -> Operator {
        let value = self.value.clone();
        match self.operator {
            Comparison::Equal => Operator::Equal(value),
            Comparison::Prefix => Operator::Prefix(value),
            Comparison::Postfix => Operator::Postfix(value),
        }
    }
}

/// How a policy compares a path with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    /// It is the text.
    Equal,
    /// It begins with it.
    Prefix,
    /// It ends with it.
    Postfix,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
