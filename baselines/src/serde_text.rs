//! Types that documents hold as text.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Error, Visitor};

/// Parses text where it is read: a deserializer knows the place of an error only within its visitor.
pub(crate) struct Parse<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Parse<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text (in quotes, if it looks like a number)")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// Serialises as what [`fmt::Display`] writes, deserialises with [`FromStr`].
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::serde_text::Parse(std::marker::PhantomData))
            }
        }
    )*};
}

pub(crate) use as_text;

/// `#[serde(with = "serde_text::escaped")]`: names from outside, as [`crate::path::FilePath::to_text`] writes paths. They
/// stay on one line and show what they would hide.
pub(crate) mod escaped {
    use serde::de::DeserializeOwned;
    use serde::{Deserialize as _, Deserializer, Serialize, Serializer};

    use crate::path;

    /// Text that is escaped where it is written.
    pub(crate) struct Escaped(String);

    impl std::fmt::Display for Escaped {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(&path::escape(self.0.as_bytes()))
        }
    }

    impl std::str::FromStr for Escaped {
        type Err = String;
        fn from_str(text: &str) -> Result<Self, String> {
            let bytes = path::unescape(text).map_err(|error| error.to_string())?;
            String::from_utf8(bytes)
                .map(Self)
                .map_err(|_| format!("`{text}` stands for bytes that are no UTF-8"))
        }
    }

    super::as_text!(Escaped);

    /// The shapes that such text comes in.
    pub(crate) trait Shape: Clone {
        type Escaped: Serialize + DeserializeOwned;
        fn escape(self) -> Self::Escaped;
        fn unescape(escaped: Self::Escaped) -> Self;
    }

    impl Shape for String {
        type Escaped = Escaped;
        fn escape(self) -> Escaped {
            Escaped(self)
        }
        fn unescape(escaped: Escaped) -> Self {
            escaped.0
        }
    }

    impl Shape for Option<String> {
        type Escaped = Option<Escaped>;
        fn escape(self) -> Option<Escaped> {
            self.map(Escaped)
        }
        fn unescape(escaped: Option<Escaped>) -> Self {
            escaped.map(|escaped| escaped.0)
        }
    }

    impl Shape for Vec<String> {
        type Escaped = Vec<Escaped>;
        fn escape(self) -> Vec<Escaped> {
            self.into_iter().map(Escaped).collect()
        }
        fn unescape(escaped: Vec<Escaped>) -> Self {
            escaped.into_iter().map(|escaped| escaped.0).collect()
        }
    }

    pub(crate) fn serialize<T: Shape, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.clone().escape().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Shape, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::Escaped::deserialize(deserializer).map(T::unescape)
    }
}
