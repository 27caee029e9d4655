//! What the probes' messages describe: files, executables, scripts, cgroups.

use std::collections::HashMap;
use std::time::Duration;

use baselines::loss::Reason;
use baselines::path::{FilePath, Origin};
use profiler_common::{Execution, FileIdentity, Key, PATH_BYTES, Record, ScriptRecord, flags, pod, record};

use super::attribution::Attribution;
use super::resolver::{Answer, Place, Question, Resolver};
use crate::clock::Clock;
use crate::probes::OwnRoot;

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
    /// What the kernel opens with it: the dynamic loader that it names (`PT_INTERP`), if any.
    pub(super) loader: Loader,
    /// The bytes in front of the layer's part of its path, where it is on such an overlay.
    overlay: Option<Vec<u8>>,
    /// Whether its path in the layer could not be found out.
    is_layer_hidden: bool,
}

/// What is known about a program's dynamic loader.
#[derive(Clone, Debug)]
pub(super) enum Loader {
    /// It is being looked for.
    Asked,
    /// This one, or none.
    Known(Option<File>),
    /// It could not be found out.
    Unknown,
}

impl Image {
    /// Whether executing it opens nothing but what is known.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.loader, Loader::Known(_)) && !self.is_layer_hidden
    }
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
    earlier_scripts: HashMap<Key, Vec<File>>,
    /// Scripts that are being looked for, by their names as called.
    as_called: HashMap<Key, Vec<u8>>,
    /// The cgroups of files and scripts that were described incompletely.
    incomplete: Vec<u64>,
    resolver: Resolver,
    own_root: OwnRoot,
}

impl Described {
    pub(super) fn new(own_root: OwnRoot) -> Self {
        Self {
            own_root,
            ..Self::default()
        }
    }

    /// Where the paths of the process begin that a record is about.
    fn place_of(&self, record: &Record) -> Place {
        let root = OwnRoot {
            dentry: record.file.root_dentry,
            mount: record.file.root_mount,
        };
        Place {
            process: record.tgid,
            is_ours: root == self.own_root,
            root_inode: record.root_inode,
        }
    }

    pub(super) fn file(&self, file: &FileIdentity, lineage: u64) -> Option<&File> {
        self.files
            .get(&(*file, lineage))
            .or_else(|| self.earlier.get(&(*file, lineage)))
    }

    pub(super) fn image(&self, id: u64) -> Option<&Image> {
        self.images.get(&id)
    }

    pub(super) fn script(&self, key: &Key) -> Option<&[File]> {
        self.scripts
            .get(key)
            .or_else(|| self.earlier_scripts.get(key))
            .map(Vec::as_slice)
    }

    pub(super) fn next_generation(&mut self) {
        self.earlier = std::mem::take(&mut self.files);
        self.earlier_scripts = std::mem::take(&mut self.scripts);
    }

    /// The cgroup of each file or script that was described incompletely since the last call.
    pub(super) fn take_incomplete(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.incomplete)
    }

    /// Takes a message of the ring buffer.
    pub(super) fn take(&mut self, message: &[u8], attribution: &mut Attribution, clock: Clock) -> Result<(), Reason> {
        let record: Record = pod::read(message).ok_or(Reason::Decode)?;
        match record.kind {
            record::FILE => {
                if has(&record, flags::OVERLAY_PART) {
                    self.incomplete.push(record.key.cgroup);
                }
                self.files.insert((record.file, record.key.lineage), file_of(&record)?);
            }
            record::IMAGE => self.take_image(&record)?,
            record::SCRIPT => self.take_script(&pod::read(message).ok_or(Reason::Decode)?)?,
            record::CGROUP => attribution.appeared(record.id, until_nul(&record.path), clock),
            record::CGROUP_GONE => attribution.gone(record.id),
            _ => return Err(Reason::Decode),
        }
        Ok(())
    }

    /// Takes what has been found out, and waits this long for each thing that has not.
    pub(super) fn settle(&mut self, patience: Duration) {
        while let Some(answer) = self.resolver.answer(patience) {
            match answer {
                Answer::Loader(image, loader) => {
                    if let Some(image) = self.images.get_mut(&image) {
                        // Any program of this machine: a loss only where it is executed in a container.
                        image.loader = loader;
                    }
                }
                Answer::Script(key, Some(files)) => {
                    self.as_called.remove(&key);
                    self.scripts.insert(key, files);
                }
                Answer::Script(key, None) => self.give_up_script(key),
            }
        }
    }

    /// What has not been found out by now stays so.
    pub(super) fn give_up(&mut self) {
        for image in self.images.values_mut() {
            if let Loader::Asked = image.loader {
                image.loader = Loader::Unknown;
            }
        }
        let asked: Vec<Key> = self.as_called.keys().copied().collect();
        for key in asked {
            self.give_up_script(key);
        }
    }

    /// All that is known of a script is its name as called.
    fn give_up_script(&mut self, key: Key) {
        if let Some(name) = self.as_called.remove(&key) {
            self.incomplete.push(key.cgroup);
            self.scripts.insert(
                key,
                vec![File {
                    path: FilePath::new(name, Origin::AsCalled),
                    backing: None,
                }],
            );
        }
    }

    fn take_image(&mut self, record: &Record) -> Result<(), Reason> {
        let file = file_of(record)?;
        let overlay = overlay_of(record, &file.path);
        let asked = self.resolver.ask(Question::Loader {
            image: record.id,
            inode: record.file.inode,
            path: file.path.clone(),
            place: self.place_of(record),
            overlay: overlay.clone(),
        });
        let loader = if asked { Loader::Asked } else { Loader::Unknown };
        self.images.insert(
            record.id,
            Image {
                file,
                loader,
                overlay,
                is_layer_hidden: has(record, flags::OVERLAY_PART),
            },
        );
        Ok(())
    }

    fn take_script(&mut self, script: &ScriptRecord) -> Result<(), Reason> {
        let (key, name) = (script.record.key, until_nul(&script.name));
        let directory = path_of(&script.record)?;
        let execution: Execution = pod::cast(key.object);
        self.as_called.insert(key, name.to_vec());
        // The program's own description came before: the probe sends it first.
        let asked = self.images.get(&execution.image).map(|image| Question::Script {
            key,
            name: name.to_vec(),
            directory,
            program: image.file.path.clone(),
            place: self.place_of(&script.record),
            overlay: image.overlay.clone(),
        });
        if !asked.is_some_and(|question| self.resolver.ask(question)) {
            self.give_up_script(key);
        }
        Ok(())
    }
}

fn file_of(record: &Record) -> Result<File, Reason> {
    let path = path_of(record)?;
    let backing = backing_of(record, &path);
    Ok(File { path, backing })
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
