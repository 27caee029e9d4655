//! What has come already: a folder beside the file that is to be made.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use baselines::recording::{Recording, RecordingId, failed};

use super::plan::{Had, Part, Wanted};
use crate::agent::asked::{checksum_in, tag_of};
use crate::cli::values::node_name;
use crate::error::Failure;
use crate::kubernetes::connect::ConnectError;

/// The folder, which one process at a time works in.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Given back when this ends, however it ends.
    _lock: File,
}

/// The beginning of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The checksum that the whole is to have.
    pub checksum: String,
    /// Where it is.
    pub path: PathBuf,
    /// How much of it is there.
    pub bytes: u64,
}

impl Folder {
    /// Beside `out`: the same name, with `.collecting`.
    ///
    /// # Errors
    /// [`Failure::Usage`] while somebody else works in it; what the system says.
    pub fn open(out: &Path) -> Result<Self, Failure> {
        let Some(name) = out.file_name() else {
            return Err(Failure::Usage {
                what: format!("{} is no file's name", out.display()),
                help: "name the file to make: --out FILE".to_owned(),
            });
        };
        let mut name = name.to_owned();
        name.push(".collecting");
        let path = out.with_file_name(name);
        let unmade = |source| Failure::from(failed("make", &path)(source));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(unmade)?;
        require_own(&path)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path.join("lock"))
            .map_err(unmade)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ConnectError::Collecting(out.to_owned()).into()),
            Err(TryLockError::Error(error)) => Err(unmade(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything is in its place: nothing of it is needed any more.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(self) -> Result<(), Failure> {
        fs::remove_dir_all(&self.path).map_err(|error| failed("remove", &self.path)(error).into())
    }

    /// A node's file. Names of nodes are long and a file's is not.
    pub fn file(&self, wanted: &Wanted) -> PathBuf {
        self.path.join(format!("{}.db", stem(wanted)))
    }

    /// What is written in its place when it is lost; one for each part.
    pub fn lost(&self, wanted: &Wanted, number: usize) -> PathBuf {
        self.path.join(format!("{}-lost-{number}.db", stem(wanted)))
    }

    /// A node's file that came earlier, if nothing was written to the recording since.
    pub fn has(&self, wanted: &Wanted, part: &Part<'_>) -> Option<Had> {
        let (_, told) = wanted.recording().filter(|_| wanted.is_over())?;
        let path = self.file(wanted);
        let summary = Recording::open(&path).and_then(|recording| recording.summary()).ok()?;
        let is_newest = summary.sources.iter().all(|source| source.revision >= told.revision);
        let ids = part.check(wanted, &summary).ok().filter(|_| is_newest)?;
        let bytes = path.metadata().ok()?.len();
        Some(Had::Recording { path, bytes, ids })
    }

    /// Makes room for the one part of a node's file that is on its way: what came of others is of no use any more.
    ///
    /// # Errors
    /// What the system says.
    pub fn keep_only(&self, wanted: &Wanted, part: &Path) -> io::Result<()> {
        while let Some(other) = self.beginning_but(wanted, Some(part))? {
            fs::remove_file(other.path)?;
        }
        Ok(())
    }

    /// Where a node's file is while it comes.
    pub fn part(&self, wanted: &Wanted, checksum: &str) -> PathBuf {
        self.path.join(format!("{}.{checksum}.part", stem(wanted)))
    }

    /// What came of a node's file before the transfer was broken off.
    ///
    /// # Errors
    /// What the system says.
    pub fn beginning(&self, wanted: &Wanted) -> io::Result<Option<Beginning>> {
        self.beginning_but(wanted, None)
    }

    fn beginning_but(&self, wanted: &Wanted, but: Option<&Path>) -> io::Result<Option<Beginning>> {
        let stem = format!("{}.", stem(wanted));
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if but == Some(&entry.path()) {
                continue;
            }
            let name = entry.file_name();
            let checksum = name
                .to_str()
                .and_then(|name| name.strip_prefix(&stem)?.strip_suffix(".part"));
            let Some(checksum) = checksum.filter(|text| checksum_in(&tag_of(text)).is_some()) else {
                continue;
            };
            return Ok(Some(Beginning {
                checksum: checksum.to_owned(),
                path: entry.path(),
                bytes: entry.metadata()?.len(),
            }));
        }
        Ok(None)
    }
}

/// It begins with the node's name, so that an error about the file tells whose it is; of what is no such name nothing is used.
fn stem(wanted: &Wanted) -> String {
    let id = RecordingId::derived(&["node", &wanted.node]).to_string();
    let name = node_name(&wanted.node).unwrap_or_default();
    format!("{name:.100}-{id}")
}

/// Nobody else may put anything into it, or lead us elsewhere.
fn require_own(path: &Path) -> Result<(), Failure> {
    let folder = path.symlink_metadata().map_err(failed("read", path))?;
    let is_ours = folder.uid() == rustix::process::geteuid().as_raw() && folder.permissions().mode() & 0o777 == 0o700;
    if folder.is_dir() && is_ours {
        return Ok(());
    }
    Err(Failure::Usage {
        what: format!("{} is there, and is no folder that is yours alone", path.display()),
        help: "what was collected so far is kept in there: remove it, or choose another file: --out".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::wanted;
    use super::*;

    #[test]
    fn one_at_a_time_collects_into_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("shop.db");
        let folder = Folder::open(&out).unwrap();
        assert!(matches!(
            Folder::open(&out),
            Err(Failure::Cluster(ConnectError::Collecting(_)))
        ));
        folder.remove().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        drop(Folder::open(&out).unwrap());
        Folder::open(&out).unwrap();
    }

    #[test]
    fn a_folder_that_others_can_get_at_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let (out, path) = (
            directory.path().join("shop.db"),
            directory.path().join("shop.db.collecting"),
        );
        let elsewhere = directory.path().join("elsewhere");
        DirBuilder::new().mode(0o700).create(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert!(matches!(Folder::open(&out), Err(Failure::Usage { .. })));
        fs::remove_file(&path).unwrap();
        DirBuilder::new().mode(0o700).create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(Folder::open(&out), Err(Failure::Usage { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(elsewhere.join("lock"), path.join("lock")).unwrap();
        assert!(Folder::open(&out).is_err());
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    }

    #[test]
    fn files_are_called_after_nodes_and_stay_in_the_folder() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(&directory.path().join("shop.db")).unwrap();
        let named = |node: &str| {
            folder
                .file(&wanted(node))
                .strip_prefix(folder.path())
                .unwrap()
                .display()
                .to_string()
        };
        assert!(named("node-7.example").starts_with("node-7.example-"));
        for node in ["../../etc/passwd", "a/b", "", "\u{1b}[2J"] {
            assert!(
                named(node).starts_with('-') && !named(node).contains('/'),
                "{}",
                named(node)
            );
        }
        let long = |last: char| named(&format!("{}{last}", "n".repeat(252)));
        assert!(long('a') != long('b') && long('a').len() < 150);
        // With a checksum it is a name that file systems take.
        assert!(
            folder
                .part(&wanted(&"n".repeat(253)), &"0".repeat(64))
                .file_name()
                .unwrap()
                .len()
                < 255
        );
    }

    #[test]
    fn the_beginning_of_a_node_s_file_is_found_again_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::open(&directory.path().join("shop.db")).unwrap();
        let checksum = "0a".repeat(32);
        fs::write(folder.part(&wanted("a"), &checksum), "beginning").unwrap();
        fs::write(folder.part(&wanted("b"), "short"), "").unwrap();
        let found = folder.beginning(&wanted("a")).unwrap().unwrap();
        assert_eq!((found.checksum, found.bytes), (checksum, 9));
        for other in ["b", "c"] {
            assert_eq!(folder.beginning(&wanted(other)).unwrap(), None);
        }
        // One at a time is kept.
        let other = folder.part(&wanted("a"), &"0b".repeat(32));
        fs::write(&other, "").unwrap();
        folder.keep_only(&wanted("a"), &other).unwrap();
        assert_eq!(folder.beginning(&wanted("a")).unwrap().unwrap().path, other);
    }
}
