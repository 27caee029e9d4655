//! Paths inside a task's root, found out from outside.
//!
//! When a script is executed, the kernel only keeps the interpreter's file: the script is known by the name its caller
//! used. To record what policies compare, that name has to be resolved as the kernel did, through the root directory of
//! the task. What lies below that root belongs to the workload, which may be hostile and may change it while we look:
//!
//! - A path is resolved component by component, each with openat2(2) (Linux 5.6) confined to the root, following no
//!   link by itself. So nothing outside of the root is ever reached, and the result is canonical in the root's own
//!   terms, in whatever mount namespace it is.
//! - Everything is opened with `O_PATH` first, which has no side effects. Only regular files are opened for reading, so
//!   no FIFO blocks and no device starts.
//! - Links, components and bytes are bounded.
//! - Links of procfs are refused: `/proc/self` is another process for us than for the task, and `/proc/PID/exe` is a
//!   jump that its text does not describe.
//!
//! A remote or FUSE file system may let any look-up hang, beyond what ends a process: see [`crate::look_up`].
//!
//! ```
//! use profiler::resolve::{Root, script_chain};
//!
//! let root = Root::of_process(std::process::id())?;
//! let canonical = root.canonicalise(b"/proc", b"..//./etc/../dev/null")?;
//! assert_eq!(canonical, b"/dev/null");
//! let error = script_chain(&root, b"/", b"dev/null").unwrap_err();
//! assert_eq!(error.to_string(), "cannot resolve `/dev/null`: it is not a regular file");
//! # Ok::<(), profiler::resolve::ResolveError>(())
//! ```

mod elf;
mod script;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use baselines::path::{FilePath, Origin, PATH_BYTES_MAX};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, fstatfs, openat, openat2, readlinkat};
use rustix::io::Errno;

pub use self::elf::{ElfError, elf_interpreter};
pub(crate) use self::script::SCRIPTS_MAX;
pub use self::script::{Shebang, script_chain, shebang};

/// How many symbolic links one resolution may follow, as in the kernel (`MAXSYMLINKS`, `path_resolution(7)`).
const LINKS_MAX: usize = 40;
/// How many components are looked up at most. Ours: 40 links of 4,096 bytes each could keep us busy for seconds.
const LOOKUPS_MAX: usize = 1024;

/// Why a path could not be resolved.
#[derive(Debug, thiserror::Error)]
#[error("cannot resolve `{path}`: {reason}")]
pub struct ResolveError {
    /// The path, as it was given.
    pub path: FilePath,
    /// Why.
    pub reason: Reason,
}

/// Why a path could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The kernel refused: the file is not there, not a directory, not reachable for us.
    #[error("{0}")]
    System(#[from] io::Error),
    /// Relative, and the working directory is not absolute: it was deleted or is outside of the root.
    #[error("it is relative to a directory without a path")]
    NoDirectory,
    /// The result is longer than [`PATH_BYTES_MAX`].
    #[error("it is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// More than 40 symbolic links.
    #[error("more than {LINKS_MAX} symbolic links")]
    TooManyLinks,
    /// More than 1,024 components, links included.
    #[error("more than {LOOKUPS_MAX} components")]
    TooManyLookups,
    /// A symbolic link of procfs.
    #[error("it leads through a link of procfs, which depends on who reads it")]
    ProcLink,
    /// Something else was to be read than a regular file.
    #[error("it is not a regular file")]
    NotRegular,
    /// Scripts as interpreters of scripts, deeper than the kernel follows.
    #[error("more than {} interpreters", script::SCRIPTS_MAX)]
    TooManyInterpreters,
}

impl From<Errno> for Reason {
    fn from(error: Errno) -> Self {
        Self::System(error.into())
    }
}

impl Reason {
    /// The error for this path.
    fn at(self, path: &[u8]) -> ResolveError {
        ResolveError {
            path: FilePath::new(path, Origin::AsCalled),
            reason: self,
        }
    }
}

/// A directory that paths are resolved in, as its tasks see it.
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// The root of a process: that of its mount namespace, unless it called chroot(2).
    ///
    /// Process ids are reused: that this is still the process meant is for the caller to check, after this returned.
    ///
    /// # Errors
    /// Where the process has ended, or is not ours to look at.
    pub fn of_process(process: u32) -> Result<Self, ResolveError> {
        Self::of_directory(format!("/proc/{process}/root").as_bytes())
    }

    /// The root that we run in ourselves.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn own() -> Result<Self, ResolveError> {
        Self::of_directory(b"/")
    }

    /// This directory of ours as a root.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn of_directory(path: &[u8]) -> Result<Self, ResolveError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat(CWD, path, flags, Mode::empty()) {
            Ok(directory) => Ok(Self { directory }),
            Err(error) => Err(Reason::from(error).at(path)),
        }
    }

    /// The directory's inode number, if it can be asked for.
    pub fn inode(&self) -> Option<u64> {
        fstat(&self.directory).ok().map(|status| status.st_ino)
    }

    /// The canonical path of `name` for a task whose working directory is `cwd`: absolute inside this root, without
    /// `.`, `..`, empty components and symbolic links. The file may be of any type, and has to exist.
    ///
    /// # Errors
    /// [`ResolveError`], with `name` as its path.
    pub fn canonicalise(&self, cwd: &[u8], name: &[u8]) -> Result<Vec<u8>, ResolveError> {
        self.walk(cwd, name).map_err(|reason| reason.at(name))
    }

    fn walk(&self, cwd: &[u8], name: &[u8]) -> Result<Vec<u8>, Reason> {
        if name.is_empty() {
            return Err(Errno::NOENT.into());
        }
        // A stack of components, the next one last.
        let mut pending = Vec::new();
        push_components(&mut pending, name);
        if !name.starts_with(b"/") {
            if !cwd.starts_with(b"/") {
                return Err(Reason::NoDirectory);
            }
            push_components(&mut pending, cwd);
        }
        // Without the root's slash, so that the root is empty here.
        let mut canonical: Vec<u8> = Vec::new();
        let mut is_directory = true;
        let (mut lookups, mut links) = (0_usize, 0_usize);

        while let Some(component) = pending.pop() {
            // Also before `.` and after a final slash: those name a directory's entries too.
            if !is_directory {
                return Err(Errno::NOTDIR.into());
            }
            match component.as_slice() {
                b"" | b"." => continue,
                b".." => {
                    // Canonical, so the text before the last slash is the parent; the root is its own.
                    let parent = canonical.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                    canonical.truncate(parent);
                    continue;
                }
                _ => {}
            }
            lookups = lookups.saturating_add(1);
            if lookups > LOOKUPS_MAX {
                return Err(Reason::TooManyLookups);
            }
            let candidate = [&canonical, b"/".as_slice(), &component].concat();
            if candidate.len() > PATH_BYTES_MAX {
                return Err(Reason::TooLong);
            }
            let file = self.open_path(&candidate)?;
            if file_type(&file)? == FileType::Symlink {
                links = links.saturating_add(1);
                if links > LINKS_MAX {
                    return Err(Reason::TooManyLinks);
                }
                let target = link_target(&file)?;
                if target.starts_with(b"/") {
                    canonical.clear();
                }
                push_components(&mut pending, &target);
            } else {
                is_directory = file_type(&file)? == FileType::Directory;
                canonical = candidate;
            }
        }
        if canonical.is_empty() {
            canonical.push(b'/');
        }
        Ok(canonical)
    }

    /// Opens a regular file for reading. The path is one that [`Root::canonicalise`] returned: no link is followed.
    ///
    /// # Errors
    /// [`Reason::NotRegular`] for any other file, or where the kernel refuses.
    pub fn open_regular(&self, canonical: &[u8]) -> Result<File, ResolveError> {
        let open = || {
            let file = self.open_path(canonical)?;
            if file_type(&file)? != FileType::RegularFile {
                return Err(Reason::NotRegular);
            }
            // The same file again, now for reading, however the path may have changed. O_NONBLOCK: its owner may hold a
            // lease on it, which an open would wait for (fcntl(2), F_SETLEASE).
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            Ok(File::from(openat(
                CWD,
                format!("/proc/self/fd/{}", file.as_raw_fd()),
                flags,
                Mode::empty(),
            )?))
        };
        open().map_err(|reason| reason.at(canonical))
    }

    /// A handle on whatever is at this absolute path, a link included. Opens nothing and follows no links on the way.
    fn open_path(&self, path: &[u8]) -> Result<OwnedFd, Reason> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(openat2(&self.directory, path, flags, Mode::empty(), confined)?)
    }
}

fn file_type(file: &OwnedFd) -> Result<FileType, Reason> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode))
}

fn link_target(link: &OwnedFd) -> Result<Vec<u8>, Reason> {
    if fstatfs(link)?.f_type == libc::PROC_SUPER_MAGIC {
        return Err(Reason::ProcLink);
    }
    let target = readlinkat(link, c"", Vec::new())?.into_bytes();
    // A symbolic link cannot hold more, but what FUSE answers is made up in user space.
    if target.len() > PATH_BYTES_MAX {
        Err(Reason::TooLong)
    } else {
        Ok(target)
    }
}

fn push_components(pending: &mut Vec<Vec<u8>>, path: &[u8]) {
    pending.extend(path.rsplit(|byte| *byte == b'/').map(<[u8]>::to_vec));
}
