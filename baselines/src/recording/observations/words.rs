//! Words for what recordings hold as numbers: they never change.

use crate::behaviour::{Phase, Provenance, RaiseCause};

pub(super) const PHASES: &[(&str, Phase)] = &[("startup", Phase::Startup), ("steady", Phase::Steady)];
pub(super) const PROVENANCES: &[(&str, Provenance)] = &[
    ("workload", Provenance::Workload),
    ("kubelet", Provenance::Kubelet),
    ("entered", Provenance::Entered),
    ("runtime", Provenance::Runtime),
];
pub(super) const CAUSES: &[(&str, RaiseCause)] = &[
    ("execution", RaiseCause::Execution),
    ("user_namespace", RaiseCause::UserNamespace),
];

/// The word for a value; every value has one.
pub(super) fn word<T: PartialEq>(words: &[(&'static str, T)], value: &T) -> &'static str {
    words
        .iter()
        .find(|(_, known)| known == value)
        .map_or("", |(word, _)| word)
}

/// The inverse of [`word`].
pub(super) fn value<T: Copy>(words: &[(&'static str, T)], word: &str) -> Option<T> {
    words.iter().find(|(known, _)| *known == word).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_word_of_its_own() {
        for phase in [Phase::Startup, Phase::Steady] {
            assert_eq!(value(PHASES, word(PHASES, &phase)), Some(phase));
        }
        for provenance in [
            Provenance::Workload,
            Provenance::Kubelet,
            Provenance::Entered,
            Provenance::Runtime,
        ] {
            assert_eq!(value(PROVENANCES, word(PROVENANCES, &provenance)), Some(provenance));
        }
        for cause in [RaiseCause::Execution, RaiseCause::UserNamespace] {
            assert_eq!(value(CAUSES, word(CAUSES, &cause)), Some(cause));
        }
        assert_eq!(value(PHASES, "later"), None);
    }
}
