//! What the probes' messages describe: files, executables, scripts, cgroups.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use baselines::behaviour::Arguments;
use baselines::loss::Reason;
use baselines::path::{FilePath, Origin};
use profiler_common::{ArgumentsRecord, Execution, Key, PATH_BYTES, Record, ScriptRecord, flags, pod, record};

use super::attribution::Attribution;
use super::held::Held;
use super::resolver::{About, Answer, Question, Resolver};
use crate::cgroups::Hierarchy;
use crate::clock::Clock;
use crate::look_up::{self, Place};
use crate::probes::OwnRoot;

/// A file by its path, and on overlays that are not the task's root by the path in the layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: FilePath,
    pub(super) backing: Option<FilePath>,
}

/// An overlay, as a task sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Overlay {
    /// Where it is mounted; empty at the task's root.
    mounted: Vec<u8>,
    /// What the paths in the layer begin with instead: empty, unless only a part of it is mounted there or the task's
    /// root is somewhere inside.
    layer: Vec<u8>,
}

impl Overlay {
    /// A file by its canonical path. It is on this overlay if its path says so; what is mounted on the overlay is not told
    /// from it.
    pub(super) fn file(overlay: Option<&Self>, path: Vec<u8>) -> File {
        let backing = overlay
            .and_then(|overlay| Some([&overlay.layer, path.strip_prefix(overlay.mounted.as_slice())?].concat()))
            .filter(|backing| backing.starts_with(b"/") && *backing != path);
        File {
            path: FilePath::canonical(path),
            backing: backing.map(FilePath::canonical),
        }
    }
}

/// An executable.
#[derive(Clone, Debug)]
pub(super) struct Image {
    pub(super) file: File,
    /// What the kernel opens with it: the dynamic loader that it names (`PT_INTERP`), if any.
    pub(super) loader: Loader,
    /// The overlay that it is on.
    overlay: Option<Overlay>,
    /// Whether its path in the layer is not known.
    is_layer_hidden: bool,
    /// Whether it was described before the probes last gave new numbers.
    is_old: bool,
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
    /// Its open, and that of the program, is told of by itself.
    Told,
}

impl Image {
    /// Whether executing it opens nothing but what is known.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.loader, Loader::Known(_) | Loader::Told) && !self.is_layer_hidden
    }
}

/// For how many questions files are held open: two each, and 1,024 is all that a process may have by default.
const HELD_MAX: usize = 256;

/// By whole keys: one that is described after a rename may share everything but its subject with one from before.
type Files = HashMap<Key, File>;

/// Everything described so far.
pub(super) struct Described {
    /// Files of the current generation of counters, and of the one before, whose last counts may still come.
    files: Files,
    earlier: Files,
    images: HashMap<u64, Image>,
    new_images: usize,
    scripts: HashMap<Key, Vec<File>>,
    earlier_scripts: HashMap<Key, Vec<File>>,
    arguments: HashMap<Key, Arguments>,
    earlier_arguments: HashMap<Key, Arguments>,
    /// Whether every open that an execution makes is told of by itself.
    are_opens_told: bool,
    /// Scripts that are being looked for, by their names as called.
    as_called: HashMap<Key, Vec<u8>>,
    /// The cgroups of files and scripts that were described incompletely.
    incomplete: Vec<u64>,
    resolver: Resolver,
    own_root: OwnRoot,
    /// Where the cgroups are that containers live in.
    cgroups: Option<Hierarchy>,
}

impl Described {
    pub(super) fn new(own_root: OwnRoot, cgroups: Option<Hierarchy>, resolver: Resolver) -> Self {
        Self {
            files: HashMap::new(),
            earlier: HashMap::new(),
            images: HashMap::new(),
            new_images: 0,
            scripts: HashMap::new(),
            earlier_scripts: HashMap::new(),
            arguments: HashMap::new(),
            earlier_arguments: HashMap::new(),
            are_opens_told: false,
            as_called: HashMap::new(),
            incomplete: Vec::new(),
            resolver,
            own_root,
            cgroups,
        }
    }

    /// Whether the probes tell of every open that an execution makes, so that nobody has to find them out.
    pub(super) fn opens_are_told(&mut self, are_opens_told: bool) {
        self.are_opens_told = are_opens_told;
    }

    /// Where the process is that a record is about, and what keeps that open.
    fn place_of(&self, record: &Record, attribution: &Attribution) -> (Place, Held) {
        let root = OwnRoot {
            dentry: record.file.root_dentry,
            mount: record.file.root_mount,
        };
        let is_ours = root == self.own_root;
        let cgroup = attribution.path_of(record.key.cgroup);
        let folder = || self.cgroups.as_ref()?.directory_of(cgroup?);
        let held = if self.resolver.outstanding() >= HELD_MAX {
            Held::default()
        } else if is_ours {
            Held::program_of(record.tgid)
        } else {
            Held::program_of(record.tgid).with_root(record.tgid, record.root_mount, folder().as_deref())
        };
        let place = Place {
            // The one that we run in is there even when the process is not.
            root: match held.root() {
                _ if is_ours => "/".to_owned(),
                Some(root) => root,
                None => format!("/proc/{}/root", record.tgid),
            },
            root_inode: (!is_ours).then_some(record.root_inode),
            program: held.program(),
        };
        (place, held)
    }

    pub(super) fn file(&self, key: &Key) -> Option<&File> {
        self.files.get(key).or_else(|| self.earlier.get(key))
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

    pub(super) fn arguments(&self, key: &Key) -> Option<&Arguments> {
        self.arguments.get(key).or_else(|| self.earlier_arguments.get(key))
    }

    pub(super) fn next_generation(&mut self) {
        self.earlier_arguments = std::mem::take(&mut self.arguments);
        self.earlier = std::mem::take(&mut self.files);
        self.earlier_scripts = std::mem::take(&mut self.scripts);
    }

    /// Forgets the generation before, whose last counts were read when the current one began: once none of them waits.
    pub(super) fn forget_earlier(&mut self) {
        self.earlier = HashMap::new();
        self.earlier_scripts = HashMap::new();
        self.earlier_arguments = HashMap::new();
    }

    pub(super) fn new_images(&self) -> usize {
        self.new_images
    }

    /// Forgets the executables that are old and not among `needed`; those that are left are old from now on.
    pub(super) fn forget_images(&mut self, needed: &HashSet<u64>) {
        self.images.retain(|id, image| !image.is_old || needed.contains(id));
        self.images.values_mut().for_each(|image| image.is_old = true);
        self.new_images = 0;
    }

    /// The cgroup of each file or script that was described incompletely since the last call.
    pub(super) fn take_incomplete(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.incomplete)
    }

    /// Takes a message of the ring buffer.
    pub(super) fn take(&mut self, message: &[u8], attribution: &mut Attribution, clock: Clock) -> Result<(), Reason> {
        if pod::read::<u32>(message) == Some(record::ARGUMENTS) {
            return self.take_arguments(&pod::read(message).ok_or(Reason::Decode)?);
        }
        let record: Record = pod::read(message).ok_or(Reason::Decode)?;
        match record.kind {
            record::FILE => {
                if has(&record, flags::OVERLAY_PART | flags::CUT | flags::FULL) {
                    self.incomplete.push(record.key.cgroup);
                }
                self.files.insert(record.key, file_of(&record)?);
            }
            record::IMAGE => self.take_image(&record, attribution)?,
            record::SCRIPT => self.take_script(&pod::read(message).ok_or(Reason::Decode)?, attribution)?,
            record::CGROUP => attribution.appeared(record.id, until_nul(&record.path), clock),
            record::CGROUP_GONE => attribution.gone(record.id),
            _ => return Err(Reason::Decode),
        }
        Ok(())
    }

    fn take_arguments(&mut self, record: &ArgumentsRecord) -> Result<(), Reason> {
        let length = usize::try_from(record.length).map_err(|_| Reason::Decode)?;
        let bytes = record.bytes.get(..length).unwrap_or(&record.bytes);
        let arguments = Arguments::new(bytes, length > record.bytes.len());
        self.arguments.insert(record.key, arguments);
        Ok(())
    }

    /// Takes what has been found out, and waits this long for what has not.
    pub(super) fn settle(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while let Some(answer) = self.resolver.answer(deadline) {
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

    fn take_image(&mut self, record: &Record, attribution: &Attribution) -> Result<(), Reason> {
        let file = file_of(record)?;
        let overlay = overlay_of(record);
        if self.are_opens_told {
            let image = Image {
                file,
                loader: Loader::Told,
                overlay,
                is_layer_hidden: false,
                is_old: false,
            };
            self.images.insert(record.id, image);
            self.new_images += 1;
            return Ok(());
        }
        let (place, held) = self.place_of(record, attribution);
        let asked = self.resolver.ask(Question {
            about: About::Image(record.id),
            held,
            overlay: overlay.clone(),
            look_up: look_up::Question::Loader {
                inode: record.file.inode,
                path: file.path.clone(),
                place,
            },
        });
        let loader = if asked { Loader::Asked } else { Loader::Unknown };
        self.images.insert(
            record.id,
            Image {
                file,
                loader,
                overlay,
                is_layer_hidden: has(record, flags::OVERLAY_PART),
                is_old: false,
            },
        );
        self.new_images += 1;
        Ok(())
    }

    fn take_script(&mut self, script: &ScriptRecord, attribution: &Attribution) -> Result<(), Reason> {
        let (key, name) = (script.record.key, until_nul(&script.name));
        let directory = path_of(&script.record)?;
        let execution: Execution = pod::cast(key.object);
        self.as_called.insert(key, name.to_vec());
        // The program's own description came before: the probe sends it first.
        let (place, held) = self.place_of(&script.record, attribution);
        let asked = self.images.get(&execution.image).map(|image| Question {
            about: About::Script(key),
            held,
            overlay: image.overlay.clone(),
            look_up: look_up::Question::Scripts {
                name: FilePath::new(name, Origin::AsCalled),
                directory,
                program: image.file.path.clone(),
                place,
            },
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
        _ if has(record, flags::PATHLESS) => {
            let name = bytes.strip_prefix(b"/").unwrap_or(bytes);
            // MFD_NAME_PREFIX (mm/memfd.c).
            let is_memfd = name.starts_with(b"memfd:");
            FilePath::new(name, if is_memfd { Origin::Memfd } else { Origin::Anonymous })
        }
        _ if has(record, flags::CUT | flags::FULL) => FilePath::new(bytes, Origin::Cut),
        _ if has(record, flags::UNREACHABLE) => FilePath::new(bytes, Origin::Unreachable),
        _ if has(record, flags::DELETED) => FilePath::new(bytes, Origin::Deleted),
        // The root directory itself has no components.
        _ if bytes.is_empty() => FilePath::canonical(*b"/"),
        _ => FilePath::canonical(bytes),
    })
}

/// The overlay that a file is on.
fn overlay_of(record: &Record) -> Option<Overlay> {
    if !has(record, flags::OVERLAY) || has(record, flags::OVERLAY_PART) {
        return None;
    }
    let (mounted, _) = around_mount(record)?;
    let start = usize::try_from(record.walk.layer).ok()?;
    let layer = record.path.get(start..usize::try_from(record.walk.position).ok()?)?;
    Some(Overlay {
        mounted: mounted.to_vec(),
        layer: layer.to_vec(),
    })
}

/// A path up to where the file's own mount begins, and the rest.
fn around_mount(record: &Record) -> Option<(&[u8], &[u8])> {
    let start = usize::try_from(record.walk.position).ok()?;
    let below = match record.walk.below_mount {
        u64::MAX => start,
        below => usize::try_from(below).ok()?,
    };
    Some((record.path.get(start..below)?, record.path.get(below..PATH_BYTES)?))
}

/// The path inside the layer, where it is not the same.
fn backing_of(record: &Record, path: &FilePath) -> Option<FilePath> {
    let overlay = overlay_of(record)?;
    let (_, below) = around_mount(record)?;
    let backing = match [&overlay.layer, below].concat() {
        root if root.is_empty() => b"/".to_vec(),
        backing => backing,
    };
    (backing != path.as_bytes()).then(|| FilePath::new(backing, path.origin()))
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
