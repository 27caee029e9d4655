//! What a document must say of itself. As types these can say nothing else, and reading anything else is an error.

use std::fmt;
use std::str::FromStr;

use super::{API_VERSION, KIND};

/// A document of another version or kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not `{expected}`: {advice}")]
pub struct HeaderError {
    found: String,
    expected: &'static str,
    advice: &'static str,
}

/// [`API_VERSION`], and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApiVersion;

/// [`KIND`], and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind;

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(API_VERSION)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(KIND)
    }
}

impl FromStr for ApiVersion {
    type Err = HeaderError;
    fn from_str(found: &str) -> Result<Self, HeaderError> {
        let advice = "use the version of Wardline that wrote this document, or make it anew with `generate baselines`";
        expect(found, API_VERSION, advice).map(|()| Self)
    }
}

impl FromStr for Kind {
    type Err = HeaderError;
    fn from_str(found: &str) -> Result<Self, HeaderError> {
        let advice = "this is another kind of document; baselines are made with `generate baselines`";
        expect(found, KIND, advice).map(|()| Self)
    }
}

fn expect(found: &str, expected: &'static str, advice: &'static str) -> Result<(), HeaderError> {
    if found == expected {
        Ok(())
    } else {
        Err(HeaderError {
            found: found.to_owned(),
            expected,
            advice,
        })
    }
}

crate::serde_text::as_text!(ApiVersion, Kind);
