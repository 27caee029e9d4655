//! What the probes' messages describe: files, executables, scripts, cgroups.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use baselines::loss::Reason;
use baselines::path::{FilePath, Origin};
use profiler_common::{FileIdentity, Key, PATH_BYTES, Record, ScriptRecord, flags, pod, record};

use super::attribution::Attribution;
use crate::clock::Clock;
use crate::resolve::{ElfError, Root, elf_interpreter, script_chain};

/// A file by its path, and on overlays that are not the task's root by the path in the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: FilePath,
    pub(super) backing: Option<FilePath>,
}

/// An executable.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) file: File,
    /// What the kernel opens with it: the dynamic loader that it names (`PT_INTERP`).
    pub(super) loader: Option<File>,
    /// The bytes in front of the layer's part of its path, where it is on such an overlay.
    overlay: Option<Vec<u8>>,
}

type Files = HashMap<(FileIdentity, u64), File>;

/// Everything described so far.
#[derive(Default)]
pub(super) struct Described {
    /// Files of the current generation of counters, and of the one before, whose last counts may still come.
    files: Files,
    earlier: Files,
    images: HashMap<u64, Image>,
    scripts: HashMap<Key, Vec<File>>,
    losses: Vec<(Option<u64>, Reason)>,
}

impl Described {
    pub(super) fn file(&self, file: &FileIdentity, lineage: u64) -> Option<&File> {
        self.files
            .get(&(*file, lineage))
            .or_else(|| self.earlier.get(&(*file, lineage)))
    }

    pub(super) fn image(&self, id: u64) -> Option<&Image> {
        self.images.get(&id)
    }

    pub(super) fn script(&self, key: &Key) -> Option<&[File]> {
        self.scripts.get(key).map(Vec::as_slice)
    }

    pub(super) fn next_generation(&mut self) {
        self.earlier = std::mem::take(&mut self.files);
    }

    /// Descriptions that are incomplete, and the cgroup that they are of.
    pub(super) fn take_losses(&mut self) -> Vec<(Option<u64>, Reason)> {
        std::mem::take(&mut self.losses)
    }

    /// Takes a message of the ring buffer.
    pub(super) fn take(&mut self, message: &[u8], attribution: &mut Attribution, clock: Clock) -> Result<(), Reason> {
        let record: Record = pod::read(message).ok_or(Reason::Decode)?;
        match record.kind {
            record::FILE => {
                let file = self.file_of(&record, Some(record.key.cgroup))?;
                self.files.insert((record.file, record.key.lineage), file);
            }
            record::IMAGE => self.take_image(&record)?,
            record::SCRIPT => self.take_script(&pod::read(message).ok_or(Reason::Decode)?)?,
            record::CGROUP => attribution.appeared(record.id, until_nul(&record.path), clock),
            record::CGROUP_GONE => attribution.gone(record.id),
            _ => return Err(Reason::Decode),
        }
        Ok(())
    }

    fn file_of(&mut self, record: &Record, cgroup: Option<u64>) -> Result<File, Reason> {
        let path = path_of(record)?;
        let backing = backing_of(record, &path);
        if has(record, flags::OVERLAY_PART) {
            self.losses.push((cgroup, Reason::UnresolvedPath));
        }
        Ok(File { path, backing })
    }

    fn take_image(&mut self, record: &Record) -> Result<(), Reason> {
        let file = self.file_of(record, None)?;
        let overlay = overlay_of(record, &file.path);
        let mut image = Image {
            file,
            loader: None,
            overlay,
        };
        match loader_of(record, &image) {
            Ok(loader) => image.loader = loader,
            Err(Unresolved) => self.losses.push((None, Reason::UnresolvedPath)),
        }
        self.images.insert(record.id, image);
        Ok(())
    }

    fn take_script(&mut self, script: &ScriptRecord) -> Result<(), Reason> {
        let name = until_nul(&script.name);
        let directory = path_of(&script.record)?;
        let execution: profiler_common::Execution = pod::cast(script.record.key.object);
        let image = self.images.get(&execution.image);
        let chain = roots(script.record.tgid).find_map(|root| {
            let mut chain = script_chain(&root, directory.as_bytes(), name).ok()?;
            // The last one is what runs now. If the process has ended, its root may have been another one than ours:
            // what is found there counts only if it leads to the same program.
            let program = FilePath::canonical(chain.pop()?);
            image.is_some_and(|image| image.file.path == program).then_some(chain)
        });
        let files = if let Some(chain) = chain {
            let overlay = image.and_then(|image| image.overlay.as_deref());
            chain.into_iter().map(|path| file_at(path, overlay)).collect()
        } else {
            self.losses
                .push((Some(script.record.key.cgroup), Reason::UnresolvedPath));
            vec![File {
                path: FilePath::new(name, Origin::AsCalled),
                backing: None,
            }]
        };
        self.scripts.insert(script.record.key, files);
        Ok(())
    }
}

/// A file by a canonical path that user space found, near an image on the given overlay.
fn file_at(path: Vec<u8>, overlay: Option<&[u8]>) -> File {
    let backing = overlay
        .and_then(|overlay| path.strip_prefix(overlay))
        .filter(|rest| rest.starts_with(b"/"))
        .map(FilePath::canonical);
    File {
        path: FilePath::canonical(path),
        backing,
    }
}

/// Where a process's paths begin: its own root, and where it has ended, ours.
fn roots(process: u32) -> impl Iterator<Item = Root> {
    [Root::of_process(process), Root::own()].into_iter().flatten()
}

struct Unresolved;

/// The dynamic loader of an executable.
fn loader_of(record: &Record, image: &Image) -> Result<Option<File>, Unresolved> {
    for root in roots(record.tgid) {
        let Some(program) = open_program(record, image, &root) else {
            continue;
        };
        let name = match elf_interpreter(&program) {
            Ok(Some(name)) => name,
            // Statically linked, or run by an interpreter that binfmt_misc knows.
            Ok(None) | Err(ElfError::NotElf) => return Ok(None),
            Err(_) => return Err(Unresolved),
        };
        if let Ok(path) = root.canonicalise(b"/", &name) {
            return Ok(Some(file_at(path, image.overlay.as_deref())));
        }
    }
    Err(Unresolved)
}

/// The executable itself: by the process that runs it, or by its path, if that is still the same file.
fn open_program(record: &Record, image: &Image, root: &Root) -> Option<fs::File> {
    let is_it = |file: &fs::File| file.metadata().is_ok_and(|found| found.ino() == record.file.inode);
    let running = fs::File::open(format!("/proc/{}/exe", record.tgid)).ok().filter(is_it);
    running.or_else(|| root.open_regular(image.file.path.as_bytes()).ok().filter(is_it))
}

fn has(record: &Record, flag: u32) -> bool {
    record.walk.flags & u64::from(flag) != 0
}

/// The path in a record, with what is known about it.
fn path_of(record: &Record) -> Result<FilePath, Reason> {
    let start = usize::try_from(record.walk.position).map_err(|_| Reason::Decode)?;
    let bytes = record.path.get(start..PATH_BYTES).ok_or(Reason::Decode)?;
    Ok(match record.walk.flags {
        _ if has(record, flags::PATHLESS) => FilePath::new(bytes.strip_prefix(b"/").unwrap_or(bytes), Origin::Memfd),
        _ if has(record, flags::CUT) => FilePath::new(bytes, Origin::Cut),
        _ if has(record, flags::UNREACHABLE) => FilePath::new(bytes, Origin::Unreachable),
        _ if has(record, flags::DELETED) => FilePath::new(bytes, Origin::Deleted),
        // The root directory itself has no components.
        _ if bytes.is_empty() => FilePath::canonical(*b"/"),
        _ => FilePath::canonical(bytes),
    })
}

/// The bytes of the path in front of the overlay's mount point.
fn overlay_of(record: &Record, path: &FilePath) -> Option<Vec<u8>> {
    let backing = backing_of(record, path)?;
    path.as_bytes().strip_suffix(backing.as_bytes()).map(<[u8]>::to_vec)
}

/// The path inside the layer, for a file on an overlay that is mounted below the task's root.
fn backing_of(record: &Record, path: &FilePath) -> Option<FilePath> {
    if !has(record, flags::OVERLAY) || has(record, flags::OVERLAY_PART) {
        return None;
    }
    let below = usize::try_from(record.walk.below_mount)
        .ok()
        .filter(|below| *below < PATH_BYTES)?;
    let layer = record.path.get(below..PATH_BYTES)?;
    (layer != path.as_bytes()).then(|| FilePath::new(layer, path.origin()))
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
