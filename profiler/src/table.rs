//! Lists, for people and for programs.
//!
//! ```
//! use profiler::table::Table;
//!
//! let mut table = Table::new(["NAME", "COUNT"]);
//! table.row(["nginx".to_owned(), "3".to_owned()]);
//! assert_eq!(table.to_string(), "NAME    COUNT\nnginx   3\n");
//! ```

use std::fmt;

use serde::Serialize;

use crate::cli::Output;
use crate::error::Failure;

/// Columns of text, as wide as their widest cell and three spaces apart, as kubectl prints them.
#[derive(Debug)]
pub struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table with these headings.
    pub fn new(headings: [&str; COLUMNS]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned)],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: &String| cell.chars().count();
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (cell, widest) in row.iter().zip(widths) {
                line.extend([cell, " ".repeat(widest - width(cell) + 3).as_str()]);
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// JSON or YAML, with a line break at the end.
///
/// # Errors
/// [`Failure::Kernel`] where a value cannot be written in that language, which no value of ours is.
pub fn serialise(value: &impl Serialize, output: Output) -> Result<String, Failure> {
    let text = match output {
        Output::Yaml => serde_yaml::to_string(value).map_err(|error| error.to_string()),
        Output::Json | Output::Table => serde_json::to_string_pretty(value)
            .map(|text| text + "\n")
            .map_err(|error| error.to_string()),
    };
    text.map_err(|error| Failure::Kernel(format!("cannot be written as text: {error}")))
}
