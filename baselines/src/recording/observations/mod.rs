//! Observations as a Parquet file, for notebooks, and read back for analyses. `docs/reference/observations.md` describes the
//! columns.
//!
//! Rows say what a container did, and the metadata has as JSON what is about recordings, windows and containers as a whole. A
//! checksum of all of it is there, too, and is looked at before anything else: a file that was cut, damaged or rewritten
//! by another program is refused as a whole.

mod behaviours;
mod catalogue;
mod columns;
mod digest;
mod pages;
mod rows;
#[cfg(test)]
mod tests;
mod words;
mod write;

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::file::metadata::ParquetMetaDataReader;

pub use write::{Exported, export};

use super::error::{Error, Failure, Result};
use super::file::{self, failed};
use super::read::{Counted, CountedPeer, Read, StoredContainer, StoredLoss};
use super::{RemovedImage, Source, WindowSummary};
use crate::behaviour::{Behaviour, Provenance};
use crate::dns::DnsName;
use crate::time::UtcTime;
use behaviours::{Cells as _, bad};
use catalogue::{Catalogue, Recorded, Span, VERSION};
use columns::Column;
use rows::{Rows, failure};
use words::{PHASES, PROVENANCES};

/// The name of the catalogue in the metadata.
const CATALOGUE: &str = "wardline.observations";

/// A file of observations, open for reading.
#[derive(Debug)]
pub(crate) struct Observations {
    path: PathBuf,
    recordings: Vec<Recorded>,
    /// Where the rows of each container are.
    spans: Vec<Span>,
    rows: RefCell<Rows>,
}

impl Observations {
    /// Opens a file, and checks it as a whole unless it `is_checked`.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Observations`], or what the system says.
    pub(super) fn open(path: &Path, is_checked: bool) -> Result<Self> {
        let resolved = file::resolve(path)?;
        let metadata = resolved.metadata().map_err(failed("open", path))?;
        file::require_regular(path, metadata.file_type())?;
        let mut file = File::open(&resolved).map_err(failed("open", path))?;
        if !is_checked {
            let verdict = digest::verify(&mut file).map_err(failed("read", path))?;
            verdict.map_err(|what| Error::Observations {
                path: path.to_owned(),
                what: what.to_owned(),
            })?;
        }
        let (recordings, rows) = read(file, metadata.len()).map_err(|failure| failure.at("read", path))?;
        Ok(Self {
            path: path.to_owned(),
            spans: recordings.iter().flat_map(Recorded::spans).collect(),
            recordings,
            rows: RefCell::new(rows),
        })
    }

    pub(super) fn error(&self, failure: Failure) -> Error {
        failure.at("read", &self.path)
    }

    pub(super) fn sources(&self) -> Vec<Source> {
        self.recordings
            .iter()
            .zip(0..)
            .map(|(recorded, place)| recorded.source(place))
            .collect()
    }

    /// The recording that a source is of, and the row of its first container: rows count all containers of the file.
    fn recorded(&self, source: &Source) -> Read<(&Recorded, i64)> {
        let mut first = 0;
        for (place, recorded) in self.recordings.iter().enumerate() {
            if i64::try_from(place) == Ok(source.row) {
                return Ok((recorded, first));
            }
            first += i64::try_from(recorded.containers.len()).unwrap_or(0);
        }
        Err(Failure::Observations(format!("it has no recording {}", source.id)))
    }

    pub(super) fn windows(&self, source: &Source) -> Read<Vec<WindowSummary>> {
        self.recorded(source)?.0.windows()
    }

    pub(super) fn removed_images(&self, source: &Source) -> Read<Vec<RemovedImage>> {
        Ok(self.recorded(source)?.0.removed_images())
    }

    pub(super) fn containers(&self, source: &Source) -> Read<Vec<StoredContainer>> {
        let (recorded, first) = self.recorded(source)?;
        recorded.containers(first)
    }

    pub(super) fn presence(&self, source: &Source, window: u64) -> Read<Vec<i64>> {
        let (recorded, first) = self.recorded(source)?;
        recorded.presence(window, first)
    }

    pub(super) fn losses(&self, source: &Source) -> Read<Vec<StoredLoss>> {
        let (recorded, first) = self.recorded(source)?;
        recorded.losses(first)
    }

    /// Everything that a container did.
    pub(super) fn observed(&self, row: i64, mut each: impl FnMut(&Behaviour, Counted) -> Read<()>) -> Read<()> {
        let span = self.span(row)?;
        self.rows
            .borrow_mut()
            .each(span.first_row, span.observations, |behaviour, row| {
                require_container(row, span.cgroup)?;
                let minute = time(row, Column::Minute)?.minute();
                let counted = Counted {
                    minute,
                    phase: row.one_of(Column::Phase, PHASES)?,
                    provenance: provenance(row)?,
                    count: row.ranged(Column::Count)?,
                    first_seen: time(row, Column::FirstSeen)?,
                    last_seen: time(row, Column::LastSeen)?,
                };
                each(behaviour, counted)
            })
    }

    /// Whom a container reached.
    pub(super) fn reached(&self, row: i64, mut each: impl FnMut(&Behaviour, CountedPeer) -> Read<()>) -> Read<()> {
        let span = self.span(row)?;
        let first = span.first_row.saturating_add(span.observations);
        self.rows.borrow_mut().each(first, span.peers, |behaviour, row| {
            require_container(row, span.cgroup)?;
            let dns_name = row.text(Column::DnsName)?.map(str::parse::<DnsName>).transpose();
            let counted = CountedPeer {
                window: row.ranged(Column::Window)?,
                provenance: provenance(row)?,
                peer: row.parsed(Column::Peer)?,
                dns_name: dns_name.map_err(|error| bad(Column::DnsName, &error.to_string()))?,
                count: row.ranged(Column::PeerCount)?,
                first_seen: time(row, Column::FirstSeen)?,
                last_seen: time(row, Column::LastSeen)?,
            };
            each(behaviour, counted)
        })
    }

    fn span(&self, row: i64) -> Read<Span> {
        let span = usize::try_from(row).ok().and_then(|place| self.spans.get(place));
        span.copied()
            .ok_or_else(|| Failure::Observations(format!("it has no container {row}")))
    }
}

/// The catalogue and the rows of a file that is whole.
fn read(file: File, length: u64) -> Read<(Vec<Recorded>, Rows)> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(failure)?;
    let of_file = metadata.file_metadata();
    let mut pairs = of_file.key_value_metadata().into_iter().flatten();
    let catalogue = pairs
        .find(|pair| pair.key == CATALOGUE)
        .and_then(|pair| pair.value.as_ref());
    let catalogue = catalogue.ok_or_else(|| Failure::Observations("it was written by another program".to_owned()))?;
    // Before all else: a later version may have everything another way.
    let version: Version = json(catalogue)?;
    if version.version != VERSION {
        let found = version.version;
        return Err(Failure::Observations(format!(
            "it has version {found} of the schema, this program knows version {VERSION}"
        )));
    }
    let catalogue: Catalogue = json(catalogue)?;
    if *of_file.schema() != *columns::schema().map_err(failure)? {
        return Err(Failure::Observations("it has other columns".to_owned()));
    }
    rows::check(&metadata, length, catalogue.rows)?;
    Ok((catalogue.recordings, Rows::new(file, Arc::new(metadata))))
}

#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

fn json<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Read<T> {
    serde_json::from_str(text).map_err(|error| Failure::Observations(format!("its metadata cannot be read: {error}")))
}

fn time(row: &rows::Group, column: Column) -> Read<UtcTime> {
    let nanos = row.ranged::<i64>(column)?;
    UtcTime::from_stored(nanos).ok_or_else(|| bad(column, "it is before 1970"))
}

fn provenance(row: &rows::Group) -> Read<Provenance> {
    row.one_of(Column::Provenance, PROVENANCES)
}

/// Rows say themselves whose they are.
fn require_container(row: &rows::Group, cgroup: u64) -> Read<()> {
    if row.number(Column::Cgroup) == Some(cgroup.cast_signed()) {
        Ok(())
    } else {
        Err(Failure::Observations(
            "a row is of another container than the metadata says".to_owned(),
        ))
    }
}
