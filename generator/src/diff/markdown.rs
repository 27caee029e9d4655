//! A difference in a pull request.
//!
//! Names stand in code spans: nothing is interpreted there, no HTML, no mention of anybody, no reference to an issue (GitHub
//! Flavored Markdown 6.3; nobody is notified for what is in code). A name cannot end its span, as the span's backticks are
//! more than any run of them in the name, and cannot leave its line, as line breaks and all that could move or hide text are
//! written as escapes. There are no tables, in which a `|` would have a meaning also in code.

use super::report::{Chapter, Entry, Line, Part, Report};
use crate::error::printable;

/// GitHub takes comments of up to 65,536 characters. What closes the page comes on top of this.
const CHARACTERS_MAX: usize = 60_000;

/// How many characters of a name are shown.
const NAME_CHARACTERS_MAX: usize = 400;

/// A page that is filled until it is full.
#[derive(Debug, Default)]
struct Page {
    text: String,
    characters: usize,
    left_out: usize,
    cut: usize,
}

/// The whole report, as far as it fits.
pub(super) fn print(report: &Report) -> String {
    let mut page = Page::default();
    page.write(&format!("## What containers do: {}\n", report.summary));
    for chapter in &report.chapters {
        page.chapter(chapter);
    }
    let Page {
        text, left_out, cut, ..
    } = page;
    let closing = [(left_out, "entries did not fit here"), (cut, "names were cut here")];
    let closing = closing.iter().filter(|(count, _)| *count > 0);
    let closing = closing.map(|(count, what)| format!("\n**{count} {what}: `generate diff -o json` has all.**\n"));
    text + &closing.collect::<String>()
}

impl Page {
    /// Adds a block if there is room for it.
    fn write(&mut self, block: &str) -> bool {
        let characters = self.characters + block.chars().count();
        let fits = characters <= CHARACTERS_MAX;
        if fits {
            self.text += block;
            self.characters = characters;
        } else {
            self.left_out += 1;
        }
        fits
    }

    fn chapter(&mut self, chapter: &Chapter) {
        let mut head = format!("\n### {}\n\n", self.line(&chapter.title));
        for fact in &chapter.facts {
            head.extend(["- ", &self.line(fact), "\n"]);
        }
        if !self.write(&head) {
            let entries = chapter.sections.iter().map(|section| section.entries.len());
            self.left_out += entries.sum::<usize>();
            return;
        }
        for section in &chapter.sections {
            let title = format!("{} ({})", section.title, section.entries.len());
            let (open, close) = if section.is_minor {
                (format!("\n<details><summary>{title}</summary>\n\n"), "\n</details>\n")
            } else {
                (format!("\n**{title}**\n\n"), "")
            };
            let mut is_open = false;
            for entry in &section.entries {
                let entry = self.entry(entry);
                // The heading comes with the first entry that fits.
                let block = if is_open { entry } else { format!("{open}{entry}") };
                is_open |= self.write(&block);
            }
            if is_open {
                self.text += close;
            }
        }
    }

    fn entry(&mut self, entry: &Entry) -> String {
        let mut text = format!("- {}\n", self.line(&entry.title));
        for detail in &entry.details {
            text.extend(["  - ", &self.line(detail), "\n"]);
        }
        text
    }

    fn line(&mut self, line: &Line) -> String {
        let parts = line.0.iter().map(|part| match part {
            // `>` would be a quotation at the beginning of a line only.
            Part::Words(words) => words.clone(),
            Part::Name(name) => {
                let (shown, is_cut) = shorten(&printable(name));
                self.cut += usize::from(is_cut);
                code(&shown)
            }
        });
        parts.collect()
    }
}

fn shorten(name: &str) -> (String, bool) {
    match name.char_indices().nth(NAME_CHARACTERS_MAX) {
        Some((end, _)) => (format!("{}...", name.get(..end).unwrap_or_default()), true),
        None => (name.to_owned(), false),
    }
}

/// A code span of one line of printable text.
fn code(text: &str) -> String {
    let runs = text.split(|character| character != '`').map(str::len);
    let fence = "`".repeat(runs.max().unwrap_or_default() + 1);
    // One blank at each end belongs to the fence, unless there is nothing but blanks (CommonMark 6.1).
    let is_padded = text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) || text.is_empty();
    let pad = if is_padded { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::report::Section;
    use super::*;

    #[test]
    fn no_name_leaves_its_span() {
        let cases = [
            ("/etc/hosts", "`/etc/hosts`"),
            ("", "`  `"),
            ("a`b", "``a`b``"),
            ("`", "`` ` ``"),
            ("``a```", "```` ``a``` ````"),
            (" a ", "`  a  `"),
            ("<img src=x> @ada #1 | [x](y)", "`<img src=x> @ada #1 | [x](y)`"),
        ];
        for (name, span) in cases {
            assert_eq!(code(name), span);
        }
    }

    fn chapter(entries: usize, name: &str) -> Chapter {
        let line = || Line(vec![Part::Name(name.to_owned())]);
        let entry = |_| Entry {
            title: line(),
            details: vec![line()],
        };
        Chapter {
            title: line(),
            facts: vec![line()],
            sections: vec![Section {
                title: "gone".to_owned(),
                is_minor: true,
                entries: (0..entries).map(entry).collect(),
            }],
        }
    }

    #[test]
    fn a_page_is_bounded_and_counts_what_did_not_fit() {
        let report = Report {
            summary: "much".to_owned(),
            chapters: (0..20).map(|_| chapter(100, &"x".repeat(1000))).collect(),
        };
        let page = print(&report);
        assert!(page.chars().count() < 65_536, "{}", page.chars().count());
        assert_eq!(page.matches("<details>").count(), page.matches("</details>").count());
        let shown = page
            .lines()
            .filter(|line| line.starts_with("- `x") || line.starts_with("### "))
            .count();
        // Each chapter that fits has a fact that begins like an entry.
        let shown = shown - page.matches("### ").count();
        assert!(
            page.contains(&format!("**{} entries did not fit here", 20 * 101 - shown)),
            "{page}"
        );
    }

    /// Any text at all: `any::<String>()` would leave out control characters.
    fn text() -> impl Strategy<Value = String> {
        let hostile = prop::sample::select(vec!['`', ' ', '\n', '|', '<', '@', '\u{202e}', '\\']);
        proptest::collection::vec(prop_oneof![hostile, any::<char>()], 0..40).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn what_is_in_a_span_comes_back(name in text()) {
            let shown = printable(&name);
            let span = code(&shown);
            // As CommonMark 6.1 reads it: the fence, text without such a fence, the fence.
            let fence: String = span.chars().take_while(|character| *character == '`').collect();
            let inner = span.strip_prefix(&fence).unwrap().strip_suffix(&fence).unwrap();
            prop_assert!(inner.split(|character| character != '`').all(|run| run.len() != fence.len()));
            prop_assert!(!inner.starts_with('`') && !inner.ends_with('`'));
            let is_stripped = inner.starts_with(' ') && inner.ends_with(' ') && !inner.trim_matches(' ').is_empty();
            let read = if is_stripped { &inner[1..inner.len() - 1] } else { inner };
            prop_assert!(read == shown || shown.trim_matches(' ').is_empty());
            let hides = |character: char| character.is_control() || character == '\u{202e}';
            prop_assert!(!span.contains(hides));
        }
    }
}
