use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::risks::{Catalogue, Severity};

#[test]
fn every_entry_does_what_its_examples_say() {
    let catalogue = Catalogue::shipped();
    let failed: Vec<String> = catalogue
        .entries()
        .iter()
        .filter_map(|entry| Some(format!("{}: {}", entry.id, catalogue.failed_example(&entry.id)?)))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_the_catalogue_is_for_is_in_it() {
    let catalogue = Catalogue::shipped();
    assert!(catalogue.entries().len() >= 40);
    let severities: BTreeSet<Severity> = catalogue.entries().iter().map(|entry| entry.severity).collect();
    assert!(severities.contains(&Severity::Low) && severities.contains(&Severity::Critical));
    for entry in catalogue.entries() {
        for reference in entry.references.iter().flat_map(|it| it.iter()) {
            assert!(reference.as_str().starts_with("https://"), "{}: {reference}", entry.id);
        }
        assert!(
            entry.overrides.is_none(),
            "{}: nothing is there to be overridden",
            entry.id
        );
    }
}

/// `docs/reference/risks.md` lists the entries; this makes the list.
fn table() -> String {
    let catalogue = Catalogue::shipped();
    let mut entries: Vec<_> = catalogue.entries().iter().collect();
    entries.sort_by_key(|entry| (std::cmp::Reverse(entry.severity), &entry.id));
    let mut table = String::from("| id | what | severity | ATT&CK | one decision for |\n|---|---|---|---|---|\n");
    for entry in entries {
        let techniques = entry.attack.iter().map(|technique| {
            let name = catalogue.technique(technique).unwrap();
            format!("[{technique}]({}) {name}", technique.address())
        });
        let decide = match entry.decide {
            crate::risks::Grouping::Behaviour => "each behaviour",
            crate::risks::Grouping::Subject => "each program",
            crate::risks::Grouping::Together => "all of it",
        };
        writeln!(
            table,
            "| `{}` | {} | {} | {} | {decide} |",
            entry.id,
            entry.title,
            entry.severity.word(),
            techniques.collect::<Vec<_>>().join(", "),
        )
        .unwrap();
    }
    table
}

#[test]
fn the_handbook_lists_every_entry() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/risks.md");
    let text = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = ("<!-- entries: begin -->\n", "<!-- entries: end -->\n");
    let start = text.find(begin).unwrap() + begin.len();
    let stop = text.find(end).unwrap();
    let (listed, table) = (&text[start..stop], table());
    assert!(
        listed == table,
        "{} is behind the catalogue: put this between its two marks\n\n{table}",
        page.display()
    );
}
