//! Named lists of globs, so that what a shell is stands in one place.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::sequences::OneOf;
use super::values::{Pattern, is_list_name};

/// Lists of globs by name. A file that names a list which is there adds to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lists(BTreeMap<String, Vec<String>>);

impl Lists {
    /// Adds the lists of another file.
    pub(super) fn add(&mut self, other: Self) {
        for (name, globs) in other.0 {
            self.0.entry(name).or_default().extend(globs);
        }
    }

    /// The globs of a list.
    pub(super) fn get(&self, name: &str) -> Option<&[String]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

impl<'de> Deserialize<'de> for Lists {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListsVisitor;
        impl<'de> Visitor<'de> for ListsVisitor {
            type Value = Lists;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("names with a list of globs each")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Lists, A::Error> {
                let mut lists = BTreeMap::new();
                while let Some((name, patterns)) = map.next_entry::<String, OneOf<Pattern>>()? {
                    if !is_list_name(&name) {
                        return Err(A::Error::custom(format!(
                            "`{name}` is no name of a list: letters and digits"
                        )));
                    }
                    let globs = patterns.iter().map(|pattern| match pattern {
                        Pattern::Glob(text) => Ok(text.clone()),
                        Pattern::List(_) => Err(A::Error::custom(format!("list `{name}`: a list holds globs only"))),
                    });
                    let globs = globs.collect::<Result<_, _>>()?;
                    if lists.insert(name.clone(), globs).is_some() {
                        return Err(A::Error::custom(format!("there are two lists `{name}`")));
                    }
                }
                Ok(Lists(lists))
            }
        }
        deserializer.deserialize_map(ListsVisitor)
    }
}
