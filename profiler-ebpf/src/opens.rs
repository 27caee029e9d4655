//! Opens and executable mappings.

use profiler_common::{CgroupState, Key, Process, access, kind, pod};

use crate::count::file;
use crate::kernel::{
    Address, FMODE_CREATED, FMODE_EXEC, FMODE_NOACCOUNT, FMODE_PATH, FMODE_READ, FMODE_WRITE, Path, S_IFDIR, S_IFMT,
    field, file_of, ids, is_out_of_reach, locate, mount_namespace, now, phase, root,
};
use crate::process::{beginning, executing, find, in_recorded};
use crate::sockets::{other_end, path_of, sock_of};

/// `MNT_NS_INTERNAL` (fs/mount.h): `ERR_PTR(-EINVAL)`.
const MNT_NS_INTERNAL: u64 = -22_i64 as u64;

/// A key for what the current task does.
#[inline(always)]
pub fn key_for(state: *mut CgroupState, cgroup: u64, kind: u8, access: u8, object: [u64; 8], now: u64) -> Key {
    let process = find(ids().0);
    let mut key = key_of(state, cgroup, &process, kind, object, now);
    key.access = access;
    key
}

/// A key for what a process does.
#[inline(always)]
pub fn key_of(state: *mut CgroupState, cgroup: u64, process: &Process, kind: u8, object: [u64; 8], now: u64) -> Key {
    Key {
        cgroup,
        subject: process.image,
        lineage: 0,
        kind,
        access: 0,
        provenance: process.provenance as u8,
        // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
        phase: phase(unsafe { &*state }, now),
        command: process.command,
        object,
    }
}

/// What a system call did with the file or socket behind a descriptor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It was opened.
    Opened,
    /// It was mapped executable.
    Mapped,
    /// It was connected to a Unix socket.
    Connected,
}

/// Counts what was done with a file. All of it here, because the verifier looks at the walks anew for each place that they
/// are called from. Not inlined: kernels up to 6.12 allow 512 bytes of stack for a program and all that it calls
/// (`MAX_BPF_STACK`), so what never runs together must not add up.
#[inline(never)]
pub fn done(deed: Deed, descriptor: u64) {
    in_recorded(|state, cgroup| count_deed(state, cgroup, deed, descriptor));
}

#[inline(always)]
fn count_deed(state: *mut CgroupState, cgroup: u64, deed: Deed, descriptor: u64) -> Result<(), i32> {
    let (mut kind, mut access) = (kind::OPEN, access::MAP);
    let path = if deed == Deed::Connected {
        kind = kind::CONNECT_UNIX;
        access = 0;
        // It may have hung up already.
        match other_end(sock_of(descriptor)?)? {
            0 => return Err(-1),
            other => path_of(other)?,
        }
    } else {
        let file = file_of(descriptor)?;
        if deed == Deed::Opened {
            let mode = field!(file, file_mode => u32)?;
            if mode & FMODE_PATH != 0 {
                // O_PATH opens nothing: security_file_open does not run.
                return Ok(());
            }
            access = access_in(mode);
        }
        field!(file, file_path => Path)?
    };
    if path.dentry == 0 {
        return Ok(()); // a Unix socket without a path
    }
    count_path(state, cgroup, kind, access, &path, false)
}

/// At the security hooks of opens and executable mappings: the access, or 0 for opening.
#[inline(never)]
pub fn hook_file(file: Address, access: u8) {
    in_recorded(|state, cgroup| count_file(state, cgroup, file, access));
}

#[inline(always)]
fn count_file(state: *mut CgroupState, cgroup: u64, file: Address, access: u8) -> Result<(), i32> {
    let mode = field!(file, file_mode => u32)?;
    let path = field!(file, file_path => Path)?;
    if is_backing(file, mode)? || is_layers_directory(file, &path)? {
        return Ok(());
    }
    let access = if access == 0 { access_in(mode) } else { access };
    // The kernel opens and maps the program for whoever executes it: to learn that is to learn the execution.
    let is_execution = field!(file, file_flags => u32)? & FMODE_EXEC != 0;
    count_path(state, cgroup, kind::OPEN, access, &path, is_execution)
}

/// Whether this is the file in a layer that an overlay opens for one of its own (`backing_file_open`, fs/open.c, since 6.5;
/// `open_with_fake_path` before). One without a name is no such file, but what it is copied to when it is first changed.
#[inline(always)]
fn is_backing(file: Address, mode: u32) -> Result<bool, i32> {
    if mode & FMODE_NOACCOUNT == 0 {
        return Ok(false);
    }
    let inode = field!(file, file_inode => u64)?;
    Ok(field!(inode, inode_links => u32)? != 0)
}

/// Whether this is the directory in a layer that an overlay opens for one of its own (`ovl_dir_open_realfile`,
/// fs/overlayfs/readdir.c): in a mount of the overlay's own (`clone_private_mount`, fs/namespace.c).
#[inline(always)]
fn is_layers_directory(file: Address, path: &Path) -> Result<bool, i32> {
    let inode = field!(file, file_inode => u64)?;
    if field!(inode, inode_mode => u16)? & S_IFMT != S_IFDIR {
        return Ok(false);
    }
    Ok(mount_namespace(path)? == MNT_NS_INTERNAL)
}

/// How a file with this `f_mode` was opened.
#[inline(always)]
fn access_in(mode: u32) -> u8 {
    flag(mode, FMODE_READ, access::READ)
        | flag(mode, FMODE_WRITE, access::WRITE)
        | flag(mode, FMODE_CREATED, access::CREATE)
}

#[inline(always)]
fn flag(mode: u32, bit: u32, access: u8) -> u8 {
    if mode & bit == 0 { 0 } else { access }
}

/// Counts what is done with what has a path, perhaps as a part of an execution.
#[inline(always)]
pub fn count_path(
    state: *mut CgroupState,
    cgroup: u64,
    kind: u8,
    access: u8,
    path: &Path,
    is_execution: bool,
) -> Result<(), i32> {
    let now = now();
    let place = locate(path, &root()?)?;
    let mut key = key_for(state, cgroup, kind, access, pod::cast(place), now);
    if is_execution {
        let before = key.provenance;
        key.provenance = executing(before as u32, is_out_of_reach(path)?);
        key.command |= beginning(before, key.provenance);
    }
    file(state, &mut key, path, now);
    Ok(())
}
