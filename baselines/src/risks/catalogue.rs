//! All entries that behaviours are held against: those that are shipped, and what files add to them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::entry::{Disabled, Document, Entry, Example};
use super::error::{FileError, Form};
use super::lists::Lists;
use super::matcher::Matcher;
use super::sequences::OneOf;
use super::values::{EntryId, Technique, Text};
use crate::document::Fault;

/// The catalogue that is shipped, by topic.
const SHIPPED: [(&str, &str); 6] = [
    ("lists.yaml", include_str!("catalogue/lists.yaml")),
    ("execution.yaml", include_str!("catalogue/execution.yaml")),
    ("network.yaml", include_str!("catalogue/network.yaml")),
    ("credentials.yaml", include_str!("catalogue/credentials.yaml")),
    ("escape.yaml", include_str!("catalogue/escape.yaml")),
    ("persistence.yaml", include_str!("catalogue/persistence.yaml")),
];

/// The most entries of a catalogue.
const ENTRIES_MAX: usize = 2_000;

const FORM: Form = Form {
    noun: "the catalogue",
    size_max: 1 << 20,
};

/// A file of a catalogue: entries, lists that they share, names of techniques, and the ids of entries that are not wanted.
#[derive(Clone, Debug)]
pub struct CatalogueFile {
    document: Document,
    file: Option<PathBuf>,
    /// The line of each entry, and of each that is disabled.
    lines: BTreeMap<EntryId, usize>,
}

impl CatalogueFile {
    /// The file with this text.
    ///
    /// # Errors
    /// [`FileError::Invalid`] with line and column, [`FileError::TooLarge`] beyond 1 MiB.
    pub fn from_yaml(text: &str) -> Result<Self, FileError> {
        Self::parse(text, None)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`CatalogueFile::from_yaml`], and [`FileError::File`].
    pub fn read(file: &Path) -> Result<Self, FileError> {
        Self::parse(&FORM.read(file)?, Some(file))
    }

    fn parse(text: &str, file: Option<&Path>) -> Result<Self, FileError> {
        let document: Document = FORM.parse(text, file)?;
        let id_of = |line: &str| {
            let line = line.trim_start();
            let id = line.strip_prefix("- ").unwrap_or(line).strip_prefix("id: ")?;
            id.trim().parse().ok()
        };
        let numbered = text.lines().enumerate();
        let lines = numbered
            .filter_map(|(index, line)| Some((id_of(line)?, index + 1)))
            .collect();
        Ok(Self {
            document,
            file: file.map(Path::to_owned),
            lines,
        })
    }

    /// What is wrong with one of its entries, together with others.
    fn invalid(&self, id: &EntryId, why: &str) -> FileError {
        let fault = Fault {
            line: self.lines.get(id).copied().unwrap_or(0),
            column: 1,
            what: format!("entry `{id}`: {why}"),
        };
        FORM.invalid(fault, self.file.as_deref())
    }
}

/// Entries, ready to be held against what images do.
#[derive(Clone, Debug)]
pub struct Catalogue {
    files: Vec<CatalogueFile>,
    entries: Vec<Entry>,
    disabled: Vec<Disabled>,
    techniques: BTreeMap<Technique, Text>,
    pub(super) matcher: Matcher,
    /// Of each entry, the numbers of those that it yields to.
    pub(super) yields_to: Vec<Vec<usize>>,
}

impl Catalogue {
    /// The catalogue that comes with Wardline.
    ///
    /// # Panics
    /// Never: it is the same each time, and a test reads it.
    pub fn shipped() -> Self {
        let files = SHIPPED.map(|(name, text)| CatalogueFile::parse(text, Some(Path::new(name))));
        #[expect(clippy::expect_used, reason = "see above")]
        let files = files
            .into_iter()
            .collect::<Result<_, _>>()
            .expect("each file is a catalogue");
        #[expect(clippy::expect_used, reason = "see above")]
        Self::of(files).expect("the files fit together")
    }

    /// This one with more files, later ones after earlier ones. An entry with a reason in `overrides` takes the place of the
    /// one of its id; `disable` takes one away. Each new entry is tried with its examples.
    ///
    /// # Errors
    /// [`FileError::Invalid`] where files do not fit together, or an entry does not do what its examples say.
    pub fn with(self, extra: Vec<CatalogueFile>) -> Result<Self, FileError> {
        let known = self.files.len();
        let catalogue = Self::of(self.files.into_iter().chain(extra).collect())?;
        for file in catalogue.files.iter().skip(known) {
            for entry in &file.document.entries {
                if let Some(why) = catalogue.failed_example(&entry.id) {
                    return Err(file.invalid(&entry.id, &why));
                }
            }
        }
        Ok(catalogue)
    }

    /// Its entries, by id.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of this id, if there is one that is not disabled.
    pub fn entry(&self, id: &EntryId) -> Option<&Entry> {
        self.index_of(id).and_then(|index| self.entries.get(index))
    }

    /// The entries that were taken away, and why.
    pub fn disabled(&self) -> &[Disabled] {
        &self.disabled
    }

    /// A technique's name.
    pub fn technique(&self, technique: &Technique) -> Option<&Text> {
        self.techniques.get(technique)
    }

    /// The first of an entry's examples that the entry does not match as it should, if there is one.
    pub fn failed_example(&self, id: &EntryId) -> Option<String> {
        let index = self.index_of(id)?;
        let entry = self.entries.get(index)?;
        let failed = |examples: &OneOf<Example>, should: bool| {
            let mut examples = examples.iter();
            examples
                .find(|example| self.does_match(index, example) != should)
                .cloned()
        };
        let matches = failed(&entry.examples.matches, true)
            .map(|example| format!("it does not match its example: {}", example.behaviour()));
        matches.or_else(|| {
            failed(&entry.examples.does_not_match, false)
                .map(|example| format!("it matches what it should not: {}", example.behaviour()))
        })
    }

    fn index_of(&self, id: &EntryId) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.id.cmp(id)).ok()
    }

    fn of(files: Vec<CatalogueFile>) -> Result<Self, FileError> {
        let mut lists = Lists::default();
        let mut techniques = BTreeMap::new();
        // With the file that each came from, for errors.
        let mut entries: BTreeMap<EntryId, (&CatalogueFile, Entry)> = BTreeMap::new();
        let mut disabled = BTreeMap::new();
        for file in &files {
            lists.add(file.document.lists.clone());
            let named = file.document.techniques.iter();
            techniques.extend(named.map(|technique| (technique.id.clone(), technique.name.clone())));
            for entry in &file.document.entries {
                let id = &entry.id;
                match (entries.contains_key(id) || disabled.contains_key(id), &entry.overrides) {
                    (true, None) => {
                        let why = "there is an entry of this id: say in `overrides` why this one takes its place";
                        return Err(file.invalid(id, why));
                    }
                    (false, Some(_)) => return Err(file.invalid(id, "there is no entry that it could override")),
                    _ => {}
                }
                disabled.remove(id);
                entries.insert(id.clone(), (file, entry.clone()));
            }
            for entry in &file.document.disable {
                if entries.remove(&entry.id).is_none() {
                    return Err(file.invalid(&entry.id, "there is no entry that could be disabled"));
                }
                disabled.insert(entry.id.clone(), entry.clone());
            }
        }
        let disabled: Vec<Disabled> = disabled.into_values().collect();
        let yields_to = yields_to(&entries, &disabled)?;
        let (sources, entries): (Vec<&CatalogueFile>, Vec<Entry>) = entries.into_values().unzip();
        let unnamed = |entry: &Entry| entry.attack.iter().find(|it| !techniques.contains_key(*it)).cloned();
        let named = sources
            .iter()
            .zip(&entries)
            .find_map(|(file, entry)| Some((file, entry, unnamed(entry)?)));
        if let Some((file, entry, technique)) = named {
            let why = format!("technique {technique} has no name: add it to `techniques`, or correct it");
            return Err(file.invalid(&entry.id, &why));
        }
        let all_of_them = |what: String| {
            let (line, column) = (0, 0);
            FORM.invalid(Fault { line, column, what }, None)
        };
        if entries.len() > ENTRIES_MAX {
            return Err(all_of_them(format!("there are more than {ENTRIES_MAX} entries")));
        }
        let matcher = Matcher::new(&lists, entries.iter().map(|entry| &entry.condition));
        let matcher = matcher.map_err(|(index, why)| {
            let entry = index.and_then(|index| Some((sources.get(index)?, entries.get(index)?)));
            match entry {
                Some((file, entry)) => file.invalid(&entry.id, &why),
                None => all_of_them(why),
            }
        })?;
        Ok(Self {
            files,
            entries,
            disabled,
            techniques,
            matcher,
            yields_to,
        })
    }
}

/// Of each entry, the numbers of those that it yields to. An entry that is disabled takes nothing from others.
fn yields_to(
    entries: &BTreeMap<EntryId, (&CatalogueFile, Entry)>,
    disabled: &[Disabled],
) -> Result<Vec<Vec<usize>>, FileError> {
    let numbers: BTreeMap<&EntryId, usize> = entries.keys().zip(0..).collect();
    let mut all = Vec::new();
    for (file, entry) in entries.values() {
        let mut numbers_of_it = Vec::new();
        for id in entry.yields_to.iter().flat_map(OneOf::iter) {
            match numbers.get(id) {
                Some(number) => numbers_of_it.push(*number),
                None if disabled.iter().any(|it| it.id == *id) => {}
                None => return Err(file.invalid(&entry.id, &format!("it yields to `{id}`, which is no entry"))),
            }
        }
        all.push(numbers_of_it);
    }
    // In a circle each would leave a behaviour to the next, and nobody would tell of it.
    let mut settled: BTreeSet<usize> = BTreeSet::new();
    loop {
        let before = settled.len();
        let is_settled = |yields_to: &&Vec<usize>| yields_to.iter().all(|number| settled.contains(number));
        let more: Vec<usize> = (0..)
            .zip(&all)
            .filter(|(_, it)| is_settled(it))
            .map(|(number, _)| number)
            .collect();
        settled.extend(more);
        if settled.len() == before {
            break;
        }
    }
    let circle = (0..)
        .zip(entries.values())
        .find(|(number, _)| !settled.contains(number));
    match circle {
        Some((_, (file, entry))) => Err(file.invalid(&entry.id, "entries yield to each other in a circle")),
        None => Ok(all),
    }
}
