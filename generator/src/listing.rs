//! What a command did, as a table for people or as data for programs.

use serde::Serialize;

use crate::error::{Error, printable};
use crate::yaml;

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// One JSON array.
    Json,
    /// One YAML sequence.
    Yaml,
}

/// Something with one line in a table.
pub trait Row: Serialize {
    /// The columns' names.
    const COLUMNS: &'static [&'static str];

    /// One cell a column.
    fn cells(&self) -> Vec<String>;
}

/// The whole list as text, ending in a newline.
///
/// # Errors
/// [`Error::Print`] where a row has no form in that format.
pub fn list<R: Row>(rows: &[R], format: Format) -> Result<String, Error> {
    match format {
        Format::Table => Ok(table(rows)),
        Format::Json => match serde_json::to_string_pretty(rows) {
            Ok(text) => Ok(text + "\n"),
            Err(error) => Err(Error::Print(error.into())),
        },
        Format::Yaml => yaml::print(&rows).map_err(|error| Error::Print(error.into())),
    }
}

/// Columns as wide as their widest cell, three blanks between them, as kubectl prints them.
fn table<R: Row>(rows: &[R]) -> String {
    let head = R::COLUMNS.iter().map(|&name| name.to_owned()).collect();
    let body = rows
        .iter()
        .map(|row| row.cells().iter().map(|cell| printable(cell)).collect());
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(body).collect();
    let widths: Vec<usize> = (0..R::COLUMNS.len())
        .map(|column| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|it| it.chars().count())
                .max()
        })
        .map(Option::unwrap_or_default)
        .collect();
    let mut text = String::new();
    for line in lines {
        let padded: Vec<String> = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}", width = *width))
            .collect();
        text.push_str(padded.join("   ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Fruit {
        name: &'static str,
        count: u32,
    }

    impl Row for Fruit {
        const COLUMNS: &'static [&'static str] = &["NAME", "COUNT"];
        fn cells(&self) -> Vec<String> {
            vec![self.name.to_owned(), self.count.to_string()]
        }
    }

    const FRUITS: [Fruit; 2] = [
        Fruit { name: "pear", count: 1 },
        Fruit {
            name: "\u{1b}[31mapple",
            count: 20,
        },
    ];

    #[test]
    fn a_table_is_aligned_and_cannot_steer_the_terminal() {
        let expected = "NAME              COUNT\npear              1\n\\u{1b}[31mapple   20\n";
        assert_eq!(list(&FRUITS, Format::Table).unwrap(), expected);
    }

    #[test]
    fn programs_get_data() {
        assert_eq!(list(&FRUITS[..1], Format::Yaml).unwrap(), "- name: pear\n  count: 1\n");
        let json: serde_json::Value = serde_json::from_str(&list(&FRUITS, Format::Json).unwrap()).unwrap();
        assert_eq!(json[1]["name"], "\u{1b}[31mapple");
    }
}
