//! A difference at a terminal.

use super::report::{Chapter, Line, Part, Report};
use crate::error::printable;

/// The whole report.
pub(super) fn print(report: &Report) -> String {
    let mut lines = vec![report.summary.clone()];
    for chapter in &report.chapters {
        add(chapter, &mut lines);
    }
    lines.join("\n") + "\n"
}

fn add(chapter: &Chapter, lines: &mut Vec<String>) {
    lines.extend([String::new(), line(&chapter.title)]);
    lines.extend(chapter.facts.iter().map(|fact| format!("  {}", line(fact))));
    for section in &chapter.sections {
        lines.push(format!("  {} ({}):", section.title, section.entries.len()));
        for entry in &section.entries {
            lines.push(format!("    {}", line(&entry.title)));
            let details = entry.details.iter();
            lines.extend(details.map(|detail| format!("        {}", line(detail))));
        }
    }
}

fn line(line: &Line) -> String {
    let parts = line.0.iter().map(|part| match part {
        Part::Words(words) => words.clone(),
        Part::Name(name) => printable(name),
    });
    parts.collect()
}
