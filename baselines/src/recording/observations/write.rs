//! Writing: a row group at a time, so that memory does not grow with the recordings.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;

use super::super::error::{Error, Failure, Result};
use super::super::files::{Files, Opened};
use super::super::inputs::{self, Format};
use super::super::new_file::NewFile;
use super::super::read::StoredContainer;
use super::super::{Newest, RecordingId, Source, file::failed, newest};
use super::behaviours;
use super::catalogue::{Catalogue, Parts, Recorded, VERSION};
use super::columns::{COLUMNS, Column, Row, Value, schema};
use super::words::{PHASES, PROVENANCES, word};
use super::{CATALOGUE, digest};
use crate::path;
use crate::time::UtcTime;
use crate::workload::Image;

/// How many rows a row group has; the last one may have fewer.
pub(super) const GROUP_ROWS: u64 = 32_768;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The recordings, sorted by id, and their revisions.
    pub recordings: Vec<(RecordingId, u64)>,
    /// How many containers they have.
    pub containers: u64,
    /// How many rows were written: one for each behaviour of a container in a minute, and one for each peer.
    pub rows: u64,
    /// The size of the file, in bytes.
    pub bytes: u64,
}

/// Writes what was observed in these recordings into one Parquet file at `out`, which must not be there unless it `replaces`
/// that. Of several copies of one recording the one that is furthest counts. `progress` is told how many containers of how many
/// have been written.
///
/// # Errors
/// As [`super::super::Recording::open`] for any of the files, [`Error::Exists`], [`Error::Full`]. Nothing is left behind then.
///
/// ```
/// use baselines::recording::{Node, Recording, export};
///
/// let folder = tempfile::tempdir()?;
/// let (path, out) = (folder.path().join("recording.db"), folder.path().join("observations.parquet"));
/// let node = Node { host: "worker-1".into(), boot_id: "1".into(), kernel: "6.18".into(), machine_id: None };
/// drop(Recording::open_or_create(&path, &node)?);
/// assert_eq!(export(&[path], &out, false, |_, _| {})?.rows, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn export(files: &[PathBuf], out: &Path, replaces: bool, mut progress: impl FnMut(u64, u64)) -> Result<Exported> {
    let files = Files::open(files)?;
    let newest = newest(&files);
    let mut sources = Vec::new();
    for newest in &newest {
        sources.push(files.get(newest.file)?.containers(&newest.source)?);
    }
    let mut catalogue = Catalogue {
        version: VERSION,
        ..Catalogue::default()
    };
    for (newest, containers) in newest.iter().zip(&sources) {
        catalogue.recordings.push(recorded(&files, newest, containers)?);
    }
    // A recording holds more than its export.
    if replaces && out.exists() && inputs::format(out)? != Some(Format::Parquet) {
        return Err(Error::Foreign {
            path: out.to_owned(),
            what: "an export may take the place of an export only".to_owned(),
        });
    }
    let file = NewFile::create(out, replaces)?;
    let written = |error: ParquetError| written(error, file.target());
    let mut writer = Groups::new(file.as_file()).map_err(written)?;
    let order = order(&newest, &sources);
    for (done, &(source, container)) in order.iter().enumerate() {
        let (Some(newest), Some(stored)) = (
            newest.get(source),
            sources.get(source).and_then(|containers| containers.get(container)),
        ) else {
            continue;
        };
        let opened = files.get(newest.file)?;
        let [observations, peers] = write_container(&mut writer, &opened, &newest.source, stored, file.target())?;
        let recorded = catalogue.recordings.get_mut(source);
        if let Some(kept) = recorded.and_then(|recorded| recorded.containers.get_mut(container)) {
            (kept.first_row, kept.observations, kept.peers) = (catalogue.rows, observations, peers);
        }
        catalogue.rows += observations + peers;
        progress(done as u64 + 1, order.len() as u64);
    }
    writer.finish(&catalogue).map_err(written)?;
    digest::seal(&mut file.reopen()?).map_err(failed("write", file.target()))?;
    Ok(Exported {
        recordings: newest
            .iter()
            .map(|newest| (newest.source.id, newest.source.revision))
            .collect(),
        containers: order.len() as u64,
        rows: catalogue.rows,
        bytes: file.finish()?,
    })
}

/// What the catalogue has of a recording.
fn recorded(files: &Files, newest: &Newest, containers: &[StoredContainer]) -> Result<Recorded> {
    let (opened, source) = (files.get(newest.file)?, &newest.source);
    let windows = opened.windows(source)?;
    let presence = windows.iter().map(|window| opened.presence(source, window.number));
    Ok(Recorded::new(Parts {
        source,
        presence: presence.collect::<Result<_>>()?,
        windows,
        containers,
        removed: opened.removed_images(source)?,
        losses: opened.losses(source)?,
    }))
}

/// The containers, by recording and place, in the order in which an analysis asks for them: by image, and those of a node
/// together.
fn order(newest: &[Newest], sources: &[Vec<StoredContainer>]) -> Vec<(usize, usize)> {
    let of_source = |(source, (newest, containers)): (usize, (&Newest, _))| {
        let containers: &Vec<StoredContainer> = containers;
        let node = newest
            .source
            .machine_id
            .clone()
            .unwrap_or_else(|| newest.source.host.clone());
        let containers = containers.iter().enumerate();
        let keys = containers.map(move |(place, stored)| {
            let image = &stored.container.image;
            let image = Image {
                tag: image.tag.clone().filter(|_| image.digest.is_none()),
                ..image.clone()
            };
            let key = (image, node.clone(), stored.boot_id.clone(), stored.container.cgroup_id);
            (key, (source, place))
        });
        keys.collect::<Vec<_>>()
    };
    let mut keys: Vec<_> = newest.iter().zip(sources).enumerate().flat_map(of_source).collect();
    keys.sort();
    keys.into_iter().map(|(_, place)| place).collect()
}

/// Writes the rows of a container; how many of observations and of peers there were.
fn write_container(
    writer: &mut Groups<'_>,
    opened: &Opened,
    source: &Source,
    stored: &StoredContainer,
    target: &Path,
) -> Result<[u64; 2]> {
    let of_container = container_row(source, stored);
    let (mut observations, mut peers) = (0, 0);
    let failed = |error| Failure::Other(written(error, target));
    let (mut current, mut row) = (None, Row::new());
    opened.observed(stored.row, |behaviour, counted| {
        if current.as_ref() != Some(behaviour) {
            row = of_container.clone();
            behaviours::set(&mut row, behaviour);
            current = Some(behaviour.clone());
        }
        seen(&mut row, counted.first_seen, counted.last_seen);
        row.set(Column::Provenance, word(PROVENANCES, &counted.provenance).to_owned());
        row.set(Column::Phase, word(PHASES, &counted.phase).to_owned());
        row.number(Column::Minute, counted.minute.start().nanos());
        row.number(Column::Count, signed(counted.count)?);
        observations += 1;
        writer.write(&row).map_err(failed)
    })?;
    opened.reached(stored.row, |behaviour, counted| {
        let mut row = of_container.clone();
        behaviours::set(&mut row, behaviour);
        seen(&mut row, counted.first_seen, counted.last_seen);
        row.set(Column::Provenance, word(PROVENANCES, &counted.provenance).to_owned());
        row.set(Column::Peer, counted.peer.to_string());
        if let Some(name) = &counted.dns_name {
            row.set(Column::DnsName, name.to_string());
        }
        row.number(Column::Window, signed(counted.window)?);
        row.number(Column::PeerCount, signed(counted.count)?);
        peers += 1;
        writer.write(&row).map_err(failed)
    })?;
    Ok([observations, peers])
}

fn signed(count: u64) -> std::result::Result<i64, Failure> {
    i64::try_from(count).map_err(|_| Failure::CountTooLarge)
}

fn seen(row: &mut Row, first: UtcTime, last: UtcTime) {
    row.number(Column::FirstSeen, first.nanos());
    row.number(Column::LastSeen, last.nanos());
}

/// What is the same in all rows of a container.
fn container_row(source: &Source, stored: &StoredContainer) -> Row {
    let mut row = Row::new();
    let container = &stored.container;
    let mut text = |column, text: &str| row.set(column, path::escape(text.as_bytes()));
    text(Column::Recording, &source.id.to_string());
    text(Column::Node, &source.host);
    text(Column::Boot, &stored.boot_id);
    text(Column::Repository, &container.image.repository);
    container.image.tag.iter().for_each(|tag| text(Column::Tag, tag));
    container
        .image
        .digest
        .iter()
        .for_each(|digest| text(Column::Digest, digest));
    text(Column::Namespace, &container.workload.namespace);
    text(Column::WorkloadKind, &container.workload.kind);
    text(Column::Workload, &container.workload.name);
    text(Column::ContainerName, &container.workload.container);
    text(Column::ContainerId, &container.id);
    row.number(Column::Revision, i64::try_from(source.revision).unwrap_or(i64::MAX));
    row.number(Column::Cgroup, container.cgroup_id.cast_signed());
    row
}

/// An error of the library: mostly it is the system's.
fn written(error: ParquetError, path: &Path) -> Error {
    let error = match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(error) => *error,
            Err(inner) => std::io::Error::other(inner),
        },
        other => std::io::Error::other(other),
    };
    failed("write", path)(error)
}

/// Row groups, of which one is in memory.
struct Groups<'a> {
    writer: SerializedFileWriter<BufWriter<&'a File>>,
    columns: Vec<Buffer>,
    rows: u64,
}

/// The values of one column.
struct Buffer {
    is_optional: bool,
    levels: Vec<i16>,
    texts: Vec<ByteArray>,
    numbers: Vec<i64>,
}

impl<'a> Groups<'a> {
    fn new(file: &'a File) -> ParquetResult<Self> {
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("wardline ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            // The dictionary of a row group has every text of it, see pages.rs.
            .set_dictionary_page_size_limit(usize::MAX);
        // Moments are hardly ever the same.
        for column in ["first_seen", "last_seen"] {
            properties = properties.set_column_dictionary_enabled(column.into(), false);
        }
        let writer = SerializedFileWriter::new(BufWriter::new(file), schema()?, Arc::new(properties.build()))?;
        let buffer = |&(_, _, _, is_optional): &(_, _, _, bool)| Buffer {
            is_optional,
            levels: Vec::new(),
            texts: Vec::new(),
            numbers: Vec::new(),
        };
        Ok(Self {
            writer,
            columns: COLUMNS.iter().map(buffer).collect(),
            rows: 0,
        })
    }

    fn write(&mut self, row: &Row) -> ParquetResult<()> {
        for (column, value) in self.columns.iter_mut().zip(row.values()) {
            if column.is_optional {
                column.levels.push((*value != Value::Nothing).into());
            }
            match value {
                Value::Nothing => {}
                Value::Text(text) => column.texts.push(text.clone()),
                Value::Number(number) => column.numbers.push(*number),
            }
        }
        self.rows += 1;
        if self.rows == GROUP_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> ParquetResult<()> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            let Some(mut writer) = group.next_column()? else { break };
            let levels = column.is_optional.then_some(column.levels.as_slice());
            match writer.untyped() {
                ColumnWriter::ByteArrayColumnWriter(writer) => writer.write_batch(&column.texts, levels, None)?,
                ColumnWriter::Int64ColumnWriter(writer) => writer.write_batch(&column.numbers, levels, None)?,
                _ => return Err(ParquetError::General("a column of another type".to_owned())),
            };
            writer.close()?;
            column.levels.clear();
            column.texts.clear();
            column.numbers.clear();
        }
        group.close()?;
        self.rows = 0;
        Ok(())
    }

    fn finish(mut self, catalogue: &Catalogue) -> ParquetResult<()> {
        if self.rows > 0 {
            self.flush()?;
        }
        let text = serde_json::to_string(catalogue).map_err(|error| ParquetError::External(Box::new(error)))?;
        let pairs = [(CATALOGUE, text), (digest::KEY, digest::PLACEHOLDER.to_owned())];
        for (key, value) in pairs {
            let pair = KeyValue::new(key.to_owned(), value);
            self.writer.append_key_value_metadata(pair);
        }
        self.writer.close().map(|_| ())
    }
}
