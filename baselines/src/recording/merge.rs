//! One file out of several.
//!
//! A file is a set of recordings, its sources, each in one state. Merging takes the union of the sets, and of several copies
//! of one recording the one that is furthest ([`Source::rank`]). A union of maxima: the order of files, how they are put
//! together in steps, and doing it twice change nothing. Parts of a recording ([`super::extract`]) are left out where the
//! whole one is, whatever its revision, and the word that a recording is lost ([`super::write_lost`]) where that one is with at
//! least the revision at which it was lost: rules that no order changes, since a whole one never goes away again.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rusqlite::{Transaction, params};

use super::columns::{Count, from_end_reason, from_names};
use super::error::{Error, Failure, Result};
use super::flush::{self, nanos, signed};
use super::interned::Interned;
use super::new_file::NewFile;
use super::parts;
use super::peers;
use super::read::{Read, Snapshot, Source, StoredContainer};
use super::schema::{self, Content};
use super::{EndReason, Files, Loss, Newest, RecordingId, WindowId, WindowSummary, newest};
use crate::workload::Image;

/// What a merged file is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Its recordings, sorted by id.
    pub sources: Vec<MergedSource>,
    /// How many different behaviours it holds.
    pub behaviours: u64,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// One recording in a merged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedSource {
    /// The recording's name.
    pub id: RecordingId,
    /// Its revision.
    pub revision: u64,
    /// The node's host name.
    pub host: String,
    /// The file that this copy came from.
    pub from: PathBuf,
    /// How many windows it has.
    pub windows: u64,
    /// How many containers it has.
    pub containers: u64,
    /// How many rows of observations it has: one for each behaviour of a container in a minute.
    pub rows: u64,
    /// The copies and parts of it that were left out, by file and revision.
    pub replaced: Vec<(PathBuf, u64)>,
}

/// Merges the recordings in `files` into a new file at `out`, which must not be there unless it `replaces` that. The files
/// may be being recorded into: of each the state at the beginning is taken. `progress` is told how many rows of how many
/// have been written.
///
/// Nobody records into what was merged: a recorder that opens the new file begins a recording of its own beside it.
///
/// # Errors
/// As [`super::Recording::open`] for any of the files, [`Error::Exists`], [`Error::InUse`] where what is to be
/// replaced is being recorded into, [`Error::Full`]. Nothing is left behind then.
pub fn merge(files: &[PathBuf], out: &Path, replaces: bool, progress: impl FnMut(u64, u64)) -> Result<Merged> {
    combine(files, out, replaces, None, progress)
}

/// Merges everything, or what these namespaces' containers did of it.
pub(super) fn combine(
    files: &[PathBuf],
    out: &Path,
    replaces: bool,
    namespaces: Option<&[String]>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Merged> {
    let files = Files::open(files)?;
    let newest = newest(&files);
    let (mut total, mut checked) = (0_u64, HashSet::new());
    for Newest { file, source, .. } in &newest {
        let opened = files.get(*file)?;
        let snapshot = opened.recording(files.path(*file))?.snapshot();
        let mut count = || {
            if checked.insert(*file) {
                schema::check_references(snapshot.connection)?;
            }
            snapshot.rows(source)
        };
        total = total.saturating_add(count().map_err(|failure| snapshot.error(failure))?);
    }
    let file = NewFile::create(out, replaces)?;
    let written = |failure: Failure| failure.at("write", file.target());
    let mut connection = file.connect()?.connection;
    schema::migrate(&mut connection, Content::Nothing).map_err(|error| written(error.into()))?;
    let transaction = connection.transaction().map_err(|error| written(error.into()))?;
    let mut done = 0;
    let mut copier = Copier {
        transaction: &transaction,
        interned: Interned::default(),
        written: &written,
        each_row: &mut || {
            done += 1;
            progress(done, total);
        },
    };
    let mut sources = Vec::new();
    for newest in &newest {
        let opened = files.get(newest.file)?;
        let snapshot = opened.recording(files.path(newest.file))?.snapshot();
        let mut copy = |namespace| {
            let done = copier.copy(&snapshot, &newest.source, namespace);
            let told = |copied: Copied| copied.told(&files, newest);
            done.map(told).map_err(|failure| snapshot.error(failure))
        };
        match namespaces {
            None => sources.push(copy(None)?),
            Some(namespaces) => {
                for namespace in namespaces {
                    sources.push(copy(Some(namespace))?);
                }
            }
        }
    }
    let count = "SELECT count(*) FROM behaviour";
    let behaviours = transaction
        .query_row(count, [], |row| Ok(row.get::<_, Count>(0)?.0))
        .and_then(|behaviours| transaction.commit().map(|()| behaviours))
        .map_err(|error| written(error.into()))?;
    connection.close().map_err(|(_, error)| written(error.into()))?;
    Ok(Merged {
        sources,
        behaviours,
        bytes: file.finish()?,
    })
}

/// Puts a copy of a recording, such as a [`super::backup()`], in the place of one that is lost. This is [`merge`] of one
/// file: what is recorded there from now on is a recording of its own. Were it the old one, another copy of that with more
/// revisions, collected before the loss, would replace it.
///
/// # Errors
/// As [`merge`].
pub fn restore(copy: &Path, target: &Path, replaces: bool, progress: impl FnMut(u64, u64)) -> Result<Merged> {
    merge(&[copy.to_owned()], target, replaces, progress)
}

impl Snapshot<'_> {
    /// How many rows of observations a source has.
    fn rows(&self, source: &Source) -> Read<u64> {
        let Count(rows) = self.connection.query_row(
            "SELECT count(*) FROM boot JOIN container USING (boot) JOIN observation USING (container) \
             WHERE boot.source = ?1",
            [source.row],
            |row| row.get(0),
        )?;
        Ok(rows)
    }
}

/// What was copied of one recording.
struct Copied {
    source: Source,
    windows: u64,
    containers: u64,
    rows: u64,
}

impl Copied {
    fn told(self, files: &Files, newest: &Newest) -> MergedSource {
        let replaced = newest.replaced.iter();
        MergedSource {
            id: self.source.id,
            revision: self.source.revision,
            host: self.source.host,
            from: files.path(newest.file).to_owned(),
            windows: self.windows,
            containers: self.containers,
            rows: self.rows,
            replaced: replaced
                .map(|&(file, revision)| (files.path(file).to_owned(), revision))
                .collect(),
        }
    }
}

/// Copies sources into a new database. What it fails with is about the file that is read, unless it says that it is about
/// the one that is `written`.
struct Copier<'a> {
    transaction: &'a Transaction<'a>,
    interned: Interned,
    written: &'a dyn Fn(Failure) -> Error,
    each_row: &'a mut dyn FnMut(),
}

impl Copier<'_> {
    /// Copies a source; or of it, as a source of its own, what the containers of one namespace did.
    fn copy(&mut self, snapshot: &Snapshot<'_>, source: &Source, namespace: Option<&str>) -> Read<Copied> {
        let mut target = source.clone();
        let mut containers = snapshot.containers(source)?;
        let mut windows = snapshot.windows(source)?;
        if let Some(namespace) = namespace {
            target = parts::part_of(source, namespace)?;
            containers.retain(|stored| stored.container.workload.namespace == namespace);
        }
        let row = self.source(&target)?;
        let boots = self.boots(snapshot, source, row)?;
        let (rows_of_containers, rows) = self.containers(snapshot, &containers, &boots)?;
        if let Some(namespace) = namespace {
            self.write(|transaction| parts::describe(transaction, row, namespace, &mut windows))?;
        }
        let losses = snapshot.losses(source)?.into_iter();
        // What nobody knows whose it is can be anybody's.
        let mut losses = losses
            .filter(|loss| {
                loss.container
                    .is_none_or(|container| rows_of_containers.contains_key(&container))
            })
            .peekable();
        let boots_of_windows: HashMap<u64, String> = snapshot.boots_of_windows(source)?.into_iter().collect();
        let mut ids = HashMap::new();
        for window in &windows {
            let boot = boots_of_windows
                .get(&window.number)
                .and_then(|boot| boots.get(boot))
                .ok_or_else(|| Failure::Damaged(format!("window {} is of no boot", window.number)))?;
            let id = self.window(*boot, window)?;
            ids.insert(window.number, id);
            for container in snapshot.presence(source, window.number)? {
                let container = rows_of_containers.get(&container).copied();
                self.write(|transaction| flush::write_presence(transaction, id, container))?;
            }
            let mut lost = Vec::new();
            while let Some(loss) = losses.next_if(|loss| loss.window == window.number) {
                lost.push(Loss {
                    cgroup_id: Some(loss.cgroup_id).filter(|id| *id != 0),
                    reason: loss.reason,
                    count: loss.count,
                    first_seen: loss.first_seen,
                    last_seen: loss.last_seen,
                });
            }
            self.write(|transaction| {
                flush::write_losses(transaction, id, &lost)?;
                flush::write_latencies(transaction, id, &window.latencies)
            })?;
        }
        for (from, to) in &rows_of_containers {
            self.reached(snapshot, *from, *to, &ids)?;
        }
        let images = namespace.map(|_| {
            containers
                .iter()
                .map(|stored| &stored.container.image)
                .collect::<Vec<_>>()
        });
        self.removed(snapshot, source, row, images.as_deref())?;
        Ok(Copied {
            source: target,
            windows: windows.len() as u64,
            containers: containers.len() as u64,
            rows,
        })
    }

    /// Something that is written.
    fn write<T>(&self, write: impl FnOnce(&Transaction<'_>) -> Read<T>) -> Read<T> {
        write(self.transaction).map_err(|failure| Failure::Other((self.written)(failure)))
    }

    fn source(&self, source: &Source) -> Read<i64> {
        self.write(|transaction| {
            let sql = "INSERT INTO source (id, revision, created, host, machine_id, part_of, namespace, lost) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            let part = source.part.as_ref();
            let whole = source.lost.or(part.map(|part| part.whole));
            Ok(transaction.prepare_cached(sql)?.insert(params![
                source.id.0,
                signed(source.revision)?,
                source.created,
                source.host,
                source.machine_id,
                whole.map(|whole| whole.0),
                part.map(|part| &part.namespace),
                source.lost.is_some(),
            ])?)
        })
    }

    /// The rows of the source's boots, by their ids.
    fn boots(&self, snapshot: &Snapshot<'_>, source: &Source, row: i64) -> Read<HashMap<String, i64>> {
        let insert = "INSERT INTO boot (source, boot_id, kernel) VALUES (?1, ?2, ?3)";
        let copy = |(boot_id, kernel): (String, String)| {
            let boot = self.write(|transaction| {
                let mut statement = transaction.prepare_cached(insert)?;
                Ok(statement.insert(params![row, boot_id, kernel])?)
            })?;
            Ok((boot_id, boot))
        };
        snapshot.boots(source)?.into_iter().map(copy).collect()
    }

    /// Copies containers with what they did. Returns their new rows by the old ones, and how many rows of observations they
    /// have.
    fn containers(
        &mut self,
        snapshot: &Snapshot<'_>,
        containers: &[StoredContainer],
        boots: &HashMap<String, i64>,
    ) -> Read<(HashMap<i64, i64>, u64)> {
        let (mut rows, mut observations) = (HashMap::new(), 0);
        for StoredContainer {
            row,
            boot_id,
            container,
            is_redacted,
        } in containers
        {
            let boot = boots
                .get(boot_id)
                .ok_or_else(|| Failure::Damaged(format!("container {row} is of no boot")))?;
            let copy =
                self.write(|transaction| flush::upsert_container(transaction, *boot, container, *is_redacted))?;
            rows.insert(*row, copy);
            observations += self.observations(snapshot, *row, copy)?;
        }
        Ok((rows, observations))
    }

    fn observations(&mut self, snapshot: &Snapshot<'_>, from: i64, to: i64) -> Read<u64> {
        let Self {
            transaction,
            interned,
            written,
            each_row,
        } = self;
        let mut rows = 0;
        snapshot.observed(from, |behaviour, counted| {
            rows += 1;
            each_row();
            let mut write = || {
                let behaviour = interned.intern(transaction, behaviour)?.row;
                flush::add_observation(transaction, to, behaviour, &counted)
            };
            write().map_err(|failure| Failure::Other(written(failure)))
        })?;
        Ok(rows)
    }

    /// Copies whom a container reached. `windows` are the new ones, by their numbers.
    fn reached(&mut self, snapshot: &Snapshot<'_>, from: i64, to: i64, windows: &HashMap<u64, WindowId>) -> Read<()> {
        let Self {
            transaction,
            interned,
            written,
            ..
        } = self;
        snapshot.reached(from, |behaviour, counted| {
            let window = windows
                .get(&counted.window)
                .ok_or_else(|| Failure::Damaged(format!("window {} is of no boot", counted.window)))?;
            let mut write = || {
                let behaviour = interned.intern(transaction, behaviour)?.row;
                peers::add(transaction, *window, to, behaviour, &counted)
            };
            write().map_err(|failure| Failure::Other(written(failure)))
        })
    }

    fn window(&self, boot: i64, window: &WindowSummary) -> Read<WindowId> {
        // Nobody records into a copy.
        let (ended, reason) = match &window.ended {
            None => (window.last_flush, &EndReason::Copied),
            Some((at, reason)) => (*at, reason),
        };
        let (word, detail) = from_end_reason(reason);
        self.write(|transaction| {
            let sql = "INSERT INTO learning_window (boot, number, started, last_flush, ended, end_reason, end_detail, \
                       selector, backend, tool_version, flush_interval, lossy_from_start, observations, new_behaviours, \
                       redacted, names) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
            let row = WindowId(transaction.prepare_cached(sql)?.insert(params![
                boot,
                signed(window.number)?,
                window.started,
                window.last_flush,
                ended,
                word,
                detail,
                window.selector,
                window.backend,
                window.tool_version,
                nanos(window.flush_interval),
                window.lossy_from_start,
                signed(window.observations)?,
                signed(window.new_behaviours)?,
                signed(window.redacted_observations)?,
                from_names(&window.names),
            ])?);
            let apart = peers::Apart {
                redacted: window.redacted_peers,
                left_out: window.peers_left_out,
            };
            peers::add_apart(transaction, row, apart)?;
            peers::add_name_gaps(transaction, row, window.name_gaps.iter().copied())?;
            Ok(row)
        })
    }

    /// Copies what retention took away; of the images in it only these, if only some are asked for.
    fn removed(&self, snapshot: &Snapshot<'_>, source: &Source, row: i64, images: Option<&[&Image]>) -> Read<()> {
        let mut statement = snapshot.connection.prepare(
            "SELECT number, started, ended, observations, losses FROM removed_window WHERE source = ?1 ORDER BY number",
        )?;
        let mut rows = statement.query([source.row])?;
        while let Some(window) = rows.next()? {
            let [number, started, ended, observations, losses] =
                [0, 1, 2, 3, 4].map(|column| window.get::<_, i64>(column));
            let values = params![row, number?, started?, ended?, observations?, losses?];
            self.write(|transaction| {
                let sql = "INSERT INTO removed_window (source, number, started, ended, observations, losses) \
                           VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                Ok(transaction.prepare_cached(sql)?.execute(values)?)
            })?;
        }
        let is_asked_for = |image: &Image| images.is_none_or(|images| images.contains(&image));
        let removed = snapshot.removed_images(source)?.into_iter();
        for removed in removed.filter(|removed| is_asked_for(&removed.image)) {
            self.write(|transaction| {
                let sql = "INSERT INTO removed_image (source, number, repository, tag, digest) \
                           VALUES (?1, ?2, ?3, ?4, ?5)";
                let Image {
                    repository,
                    tag,
                    digest,
                } = &removed.image;
                let values = params![row, signed(removed.number)?, repository, tag, digest];
                Ok(transaction.prepare_cached(sql)?.execute(values)?)
            })?;
        }
        Ok(())
    }
}
