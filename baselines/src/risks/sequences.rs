//! Lists in documents, whose errors have the place of the item that is wrong.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The most values in one list.
const VALUES_MAX: usize = 5_000;

/// At least one value, any of which will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOf<T>(Vec<T>);

impl<T> OneOf<T> {
    /// The values.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<'a, T> IntoIterator for &'a OneOf<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOf<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = OneOf<T>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list with at least one value")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<OneOf<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = sequence.next_element()? {
                    if values.len() == VALUES_MAX {
                        return Err(A::Error::custom(format!("there are more than {VALUES_MAX} values")));
                    }
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(A::Error::custom(
                        "the list is empty: name a value, or leave the field out",
                    ));
                }
                Ok(OneOf(values))
            }
        }
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

/// An item of a list that is checked where it is read, knowing those before it.
pub(super) trait Item: DeserializeOwned {
    /// What is known of the items before.
    type Before: Default;

    /// What is wrong with it, if something is.
    fn check(&self, before: &mut Self::Before) -> Result<(), String>;
}

/// `#[serde(deserialize_with = "items")]`: errors of [`Item::check`] have the item's line and column, and not the list's.
pub(super) fn items<'de, D: Deserializer<'de>, T: Item>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_seq(ItemsVisitor(PhantomData))
}

struct ItemsVisitor<T>(PhantomData<T>);

impl<'de, T: Item> Visitor<'de> for ItemsVisitor<T> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut before = T::Before::default();
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element_seed(Checked::<T>(&mut before))? {
            items.push(item);
        }
        Ok(items)
    }
}

/// Reads an item within a visitor: only there does a deserializer know the place of an error.
struct Checked<'a, T: Item>(&'a mut T::Before);

impl<'de, T: Item> DeserializeSeed<'de> for Checked<'_, T> {
    type Value = T;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Item> Visitor<'de> for Checked<'_, T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an item with fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let item = T::deserialize(MapAccessDeserializer::new(map))?;
        item.check(self.0).map_err(A::Error::custom)?;
        Ok(item)
    }
}
