//! Reading rows, one after the other. A container's rows are together, and containers are in the order in which analyses ask
//! for them, so that a file is mostly read once from its beginning to its end.

use std::fs::File;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::super::error::Failure;
use super::super::read::Read;
use super::behaviours::{self, Cells, bad};
use super::columns::{BEHAVIOUR, COLUMNS, Column, FIRST_READ};
use super::pages::Checked;
use super::write::GROUP_ROWS;
use crate::behaviour::Behaviour;

/// How many rows are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// What the library says of a file.
#[expect(clippy::needless_pass_by_value, reason = "it is for map_err")]
pub(super) fn failure(error: ParquetError) -> Failure {
    Failure::Observations(format!("it cannot be decoded: {error}"))
}

/// The rows of a file.
pub(super) struct Rows {
    file: Arc<File>,
    metadata: Arc<ParquetMetaData>,
    /// The number of the next row.
    next: u64,
    group: Option<Group>,
    behaviour: Option<Behaviour>,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Rows")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl Rows {
    pub(super) fn new(file: File, metadata: Arc<ParquetMetaData>) -> Self {
        Self {
            file: Arc::new(file),
            metadata,
            next: 0,
            group: None,
            behaviour: None,
        }
    }

    /// Tells the behaviour and the other cells of each row of a span.
    pub(super) fn each(
        &mut self,
        first: u64,
        count: u64,
        mut tell: impl FnMut(&Behaviour, &Group) -> Read<()>,
    ) -> Read<()> {
        if count == 0 {
            return Ok(());
        }
        if first < self.next || first / GROUP_ROWS != self.next / GROUP_ROWS {
            self.next = first - first % GROUP_ROWS;
            self.group = None;
        }
        while self.next < first {
            self.step()?;
        }
        // What was skipped may be another one.
        self.behaviour = None;
        for _ in 0..count {
            let group = self.step()?;
            let is_new = group.is_other_behaviour();
            let known = self.behaviour.take().filter(|_| !is_new);
            let behaviour = match (known, &self.group) {
                (Some(behaviour), _) => behaviour,
                (None, Some(group)) => behaviours::get(group)?,
                (None, None) => return Err(Failure::Observations("it ends too early".to_owned())),
            };
            if let Some(group) = &self.group {
                tell(&behaviour, group)?;
            }
            self.behaviour = Some(behaviour);
        }
        Ok(())
    }

    /// Reads the next row.
    fn step(&mut self) -> Read<&Group> {
        if self.next.is_multiple_of(GROUP_ROWS) {
            self.group = None;
        }
        if self.group.is_none() {
            let number = usize::try_from(self.next / GROUP_ROWS).unwrap_or(usize::MAX);
            self.group = Some(Group::open(&self.file, &self.metadata, number)?);
        }
        self.next += 1;
        let group = self
            .group
            .as_mut()
            .ok_or_else(|| Failure::Observations(String::new()))?;
        group.step()?;
        Ok(group)
    }
}

/// The rows of one row group.
pub(super) struct Group {
    columns: Vec<Cursor>,
    /// How many rows there are.
    rows: usize,
    /// The place of the row in the batch that was read, and the batch's length.
    place: usize,
    batch: usize,
    read: usize,
    is_other: bool,
}

/// One column, a batch at a time.
struct Cursor {
    values: Values,
    is_optional: bool,
    levels: Vec<i16>,
    /// The place of the next value.
    value: usize,
    /// Whether the row has one.
    is_set: bool,
}

enum Values {
    Text(Box<ColumnReaderImpl<ByteArrayType>>, Vec<ByteArray>),
    Number(Box<ColumnReaderImpl<Int64Type>>, Vec<i64>),
}

/// Whether the parts of a file's metadata can be true: what is read relies on it.
pub(super) fn check(metadata: &ParquetMetaData, length: u64, rows: u64) -> Read<()> {
    let wrong = |what: &str| {
        Err(Failure::Observations(format!(
            "its metadata contradicts itself: {what}"
        )))
    };
    let mut left = rows;
    for group in metadata.row_groups() {
        let expected = left.min(GROUP_ROWS);
        left -= expected;
        if expected == 0 || u64::try_from(group.num_rows()) != Ok(expected) {
            return wrong("the rows of a row group");
        }
        for column in group.columns() {
            if u64::try_from(column.num_values()) != Ok(expected) || column.compression() != Compression::UNCOMPRESSED {
                return wrong("the values of a column");
            }
            if !is_within(column, length) {
                return wrong("where a column is");
            }
        }
    }
    if left > 0 {
        return wrong("the rows");
    }
    Ok(())
}

fn is_within(column: &ColumnChunkMetaData, length: u64) -> bool {
    let begin = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let end = begin.checked_add(column.compressed_size());
    let is_positive = begin >= 0 && column.compressed_size() >= 0 && column.data_page_offset() >= 0;
    is_positive && end.is_some_and(|end| u64::try_from(end).is_ok_and(|end| end <= length))
}

impl Group {
    fn open(file: &Arc<File>, metadata: &ParquetMetaData, number: usize) -> Read<Self> {
        let missing = || Failure::Observations("it ends too early".to_owned());
        let group = metadata.row_groups().get(number).ok_or_else(missing)?;
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let mut columns = Vec::new();
        for (place, &(_, _, kind, is_optional)) in COLUMNS.iter().enumerate().skip(FIRST_READ) {
            let column = group.columns().get(place).ok_or_else(missing)?;
            let pages = SerializedPageReader::new(Arc::clone(file), column, rows, None).map_err(failure)?;
            let pages = Checked::new(Box::new(pages), kind, rows);
            let values = match get_column_reader(column.column_descr_ptr(), Box::new(pages)) {
                ColumnReader::ByteArrayColumnReader(reader) => Values::Text(Box::new(reader), Vec::new()),
                ColumnReader::Int64ColumnReader(reader) => Values::Number(Box::new(reader), Vec::new()),
                _ => return Err(Failure::Observations("a column is of another type".to_owned())),
            };
            columns.push(Cursor {
                values,
                is_optional,
                levels: Vec::new(),
                value: 0,
                is_set: false,
            });
        }
        Ok(Self {
            columns,
            rows,
            place: 0,
            batch: 0,
            read: 0,
            is_other: true,
        })
    }

    /// Goes to the next row.
    fn step(&mut self) -> Read<()> {
        self.is_other = self.place == self.batch;
        if self.place == self.batch {
            self.place = 0;
            self.batch = BATCH_ROWS.min(self.rows - self.read);
            if self.batch == 0 {
                return Err(Failure::Observations("it ends too early".to_owned()));
            }
            self.read += self.batch;
            for column in &mut self.columns {
                column.fill(self.batch)?;
            }
        }
        let (place, behaviour) = (self.place, BEHAVIOUR.start - FIRST_READ..BEHAVIOUR.end - FIRST_READ);
        for (number, column) in self.columns.iter_mut().enumerate() {
            let is_other = column.step(place, behaviour.contains(&number));
            self.is_other |= is_other;
        }
        self.place += 1;
        Ok(())
    }

    /// Whether the row is of another behaviour than the one before, as far as that was looked at.
    fn is_other_behaviour(&self) -> bool {
        self.is_other
    }

    fn cursor(&self, column: Column) -> Option<&Cursor> {
        self.columns
            .get((column as usize).checked_sub(FIRST_READ)?)
            .filter(|cursor| cursor.is_set)
    }
}

impl Cells for Group {
    fn text(&self, column: Column) -> Read<Option<&str>> {
        let Some(cursor) = self.cursor(column) else {
            return Ok(None);
        };
        let Values::Text(_, values) = &cursor.values else {
            return Ok(None);
        };
        let text = values.get(cursor.value).map(ByteArray::data).map(std::str::from_utf8);
        text.transpose().map_err(|error| bad(column, &error.to_string()))
    }

    fn number(&self, column: Column) -> Option<i64> {
        let cursor = self.cursor(column)?;
        let Values::Number(_, values) = &cursor.values else {
            return None;
        };
        values.get(cursor.value).copied()
    }
}

impl Cursor {
    /// Decodes the next rows.
    fn fill(&mut self, rows: usize) -> Read<()> {
        self.levels.clear();
        self.value = 0;
        self.is_set = false;
        let levels = self.is_optional.then_some(&mut self.levels);
        let (records, _, _) = match &mut self.values {
            Values::Text(reader, values) => {
                values.clear();
                reader.read_records(rows, levels, None, values)
            }
            Values::Number(reader, values) => {
                values.clear();
                reader.read_records(rows, levels, None, values)
            }
        }
        .map_err(failure)?;
        if records != rows {
            return Err(Failure::Observations("a column ends too early".to_owned()));
        }
        Ok(())
    }

    /// Goes to the row at this place of the batch; whether its value is another one, if that is asked for.
    fn step(&mut self, place: usize, compares: bool) -> bool {
        let was_set = self.is_set;
        self.value += usize::from(was_set);
        self.is_set = !self.is_optional || self.levels.get(place) == Some(&1);
        if !compares {
            return false;
        }
        match (was_set, self.is_set) {
            (false, false) => false,
            (true, true) => !self.is_same_as_before(),
            _ => true,
        }
    }

    fn is_same_as_before(&self) -> bool {
        let before = self.value.wrapping_sub(1);
        match &self.values {
            Values::Text(_, values) => match (values.get(before), values.get(self.value)) {
                (Some(one), Some(other)) => {
                    let (one, other) = (one.data(), other.data());
                    // Mostly both are the dictionary's.
                    std::ptr::eq(one, other) || one == other
                }
                _ => false,
            },
            Values::Number(_, values) => values.get(before) == values.get(self.value),
        }
    }
}
