//! The wire types that the probes (`profiler-ebpf`) and the profiler share.
//!
//! Everything here is `repr(C)` without padding that nobody wrote, so that a key compares equal byte for byte in the
//! kernel's hash table, and can be read back from a map or the ring buffer by checking nothing but its length.
//!
//! The kernel side counts ([`Key`] -> [`Value`]) and describes each new key once ([`Record`]); it decides nothing.
//!
//! ```
//! use profiler_common::{Key, Record, pod};
//!
//! let key = Key { cgroup: 7, ..pod::zeroed() };
//! let copy: Key = pod::read(pod::bytes_of(&key)).unwrap();
//! assert_eq!(copy.cgroup, 7);
//! assert!(pod::read::<Record>(&[0; 16]).is_none(), "a short record is refused, not guessed");
//! ```
#![no_std]
#![warn(missing_docs)]

pub mod hash;
mod offsets;
pub mod pod;

pub use offsets::{DENTRY_WINDOW, INLINE_NAME_BYTES, Offsets};

use pod::Pod;

/// Most path components (and mount points) that one walk follows. Measured: 128 load on Linux 5.10, 6.1, 6.12 and 6.18;
/// a longer path is cut and marked [`flags::CUT`].
pub const WALK_STEPS_MAX: usize = 128;
/// Most components between the root of an overlay and the part of it that a task sees, through a bind mount or after
/// `chroot(2)`.
pub const LAYER_STEPS_MAX: usize = 32;
/// Bytes that a path can have (`PATH_MAX`, include/uapi/linux/limits.h).
pub const PATH_BYTES: usize = 4096;
/// Bytes of the longest name (`NAME_MAX`), rounded up to a power of two: the verifier wants a mask.
pub const NAME_BYTES: usize = 256;

/// What a [`Key`] counts.
pub mod kind {
    /// A successful execution. `object`: image id, script name hash, working directory, root.
    pub const EXEC: u8 = 1;
    /// A successful open. `object`: [`super::Place`].
    pub const OPEN: u8 = 2;
    /// A connection attempt. `object`: [`super::Peer`].
    pub const CONNECT: u8 = 3;
    /// A socket that takes connections. `object`: [`super::Peer`], its own end.
    pub const LISTEN: u8 = 4;
    /// A message to an address that it carries itself. `object`: [`super::Peer`].
    pub const SEND: u8 = 5;
    /// A connection or message to a Unix socket that has a path. `object`: [`super::Place`].
    pub const CONNECT_UNIX: u8 = 6;
    /// More privileges than before. `object`: [`super::Raise`].
    pub const RAISE: u8 = 7;
    /// A successful execution of scripts, of which all files are known. `object`: [`super::Scripted`].
    pub const SCRIPTED: u8 = 8;
}

/// The bits of [`Key::access`], the same as in recordings.
pub mod access {
    /// `FMODE_READ`.
    pub const READ: u8 = 1;
    /// `FMODE_WRITE`.
    pub const WRITE: u8 = 2;
    /// `FMODE_CREATED`.
    pub const CREATE: u8 = 4;
    /// Mapped with `PROT_EXEC`.
    pub const MAP: u8 = 8;
}

/// How a process came into its cgroup ([`Key::provenance`]).
pub mod provenance {
    /// It descends from the first process that entered.
    pub const WORKLOAD: u8 = 0;
    /// It descends from a process that entered later.
    pub const ENTERED: u8 = 1;
    /// It is the first process, before it executed the entry point.
    pub const RUNTIME: u8 = 2;
    /// It entered later, and has not executed anything there yet.
    pub const ENTERING: u8 = 3;
    /// The profiler started it to look at files, wherever it is: nobody's workload.
    pub const PROFILER: u8 = 4;
}

/// What a process that entered a container was to do there ([`Key::command`]).
pub mod command {
    /// Nobody knows, or it did not enter.
    pub const NONE: u32 = 0;
    /// It executes its first program in the container at this moment: the kernel opens files for it before the arguments can be
    /// read.
    pub const BEGINNING: u32 = 1;
    /// Set in every other number, which is a part of the hash of the arguments.
    pub const NUMBER: u32 = 2;
}

/// [`Key::phase`].
pub mod phase {
    /// Before [`super::Settings::startup_ns`] have passed since the cgroup's first execution.
    pub const STARTUP: u8 = 0;
    /// After.
    pub const STEADY: u8 = 1;
}

/// The bits of [`Record::flags`].
pub mod flags {
    /// The path has more than [`super::WALK_STEPS_MAX`] components: its head is missing.
    pub const CUT: u32 = 1;
    /// The walk did not end at the task's root.
    pub const UNREACHABLE: u32 = 2;
    /// The file has no name any more; the path ends in ` (deleted)`.
    pub const DELETED: u32 = 4;
    /// The file never had a path (`memfd_create`): its only dentry is its own root. The path is its bare name.
    pub const PATHLESS: u32 = 8;
    /// The file is on an overlay: `security_file_open` runs for its backing file too.
    pub const OVERLAY: u32 = 16;
    /// The path in the overlay's layer has more than [`super::LAYER_STEPS_MAX`] components that the path itself has not:
    /// what [`super::Walk::layer`] says is incomplete.
    pub const OVERLAY_PART: u32 = 32;
    /// The path has more than [`super::PATH_BYTES`] bytes: its head is missing.
    pub const FULL: u32 = 64;
}

/// What a [`Record`] describes ([`Record::kind`]).
pub mod record {
    /// A file that a key of kind [`super::kind::OPEN`] counts; `path` is its path.
    pub const FILE: u32 = 1;
    /// An executable; `id` is its image id, `path` its path.
    pub const IMAGE: u32 = 2;
    /// A script, of a key of kind [`super::kind::EXEC`]; `name` as called, `path` the working directory.
    pub const SCRIPT: u32 = 3;
    /// A cgroup was made; `id` is its id, `path` (from its start) its path.
    pub const CGROUP: u32 = 4;
    /// A cgroup is gone; `id` is its id.
    pub const CGROUP_GONE: u32 = 5;
    /// The arguments of an execution: an [`super::ArgumentsRecord`].
    pub const ARGUMENTS: u32 = 6;
    /// What a process was to do that entered a container: a [`super::CommandRecord`].
    pub const COMMAND: u32 = 7;
}

/// Losses that the kernel side counts, globally or per cgroup: indices of [`CgroupState::lost`] and of the map `LOST`.
pub mod loss {
    /// The table of keys is full.
    pub const MAP_FULL: usize = 0;
    /// The cgroup has used up its share of keys.
    pub const KEY_QUOTA: usize = 1;
    /// The file, socket or address could not be read.
    pub const RACED: usize = 2;
    /// The table of cgroups is full.
    pub const CGROUP_TABLE_FULL: usize = 3;
    /// The table of processes is full, or a process is not in it.
    pub const PROCESS_TABLE_FULL: usize = 4;
    /// The table of executables is full.
    pub const IMAGE_TABLE_FULL: usize = 5;
    /// A call with a 32-bit entry that is not followed.
    pub const FOREIGN_ABI: usize = 6;
    /// The ring buffer was full when a cgroup came or went.
    pub const CGROUP_RECORD: usize = 7;
    /// io_uring: what it opens and connects shows in no system call.
    pub const IO_URING: usize = 8;
    /// A process left the recorded cgroup for one that is not recorded.
    pub const LEFT_CGROUP: usize = 9;
    /// The table of threads inside of `connect(2)` or a send is full.
    pub const CONNECT_TABLE_FULL: usize = 10;
    /// The arguments of an execution could not be read.
    pub const ARGUMENTS_UNREAD: usize = 11;
    /// A `sendmmsg(2)` with more messages than are looked at.
    pub const BATCH_CUT: usize = 12;
    /// A datagram to a Unix socket that it names itself.
    pub const UNIX_DATAGRAM: usize = 13;
    /// A file was opened by a call that is not followed.
    pub const UNSEEN_OPEN: usize = 14;
    /// The command of a process that entered the cgroup could not be read, was too long, or one too many.
    pub const COMMAND_UNTOLD: usize = 15;
    /// How many there are.
    pub const COUNT: usize = 16;
}

/// What tells one path from every other, without walking it: a name in a directory, as a task with a certain root sees it.
///
/// The file itself does not matter, so one that is replaced a thousand times (written beside, then renamed over) is one
/// place. A removed directory may leave its address and inode number to another one, and an ancestor may be renamed: both are
/// found by verifying the lineage after each rename, mount and removed directory.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Place {
    /// Address of the directory's dentry; for a root, its own.
    pub directory: u64,
    /// The directory's inode number: the memory of its dentry may be another one's by now.
    pub directory_inode: u64,
    /// The name's hash in the low half, its length in the high half (`struct qstr.hash_len`).
    pub name: u64,
    /// Hash of the name's first [`PLACE_NAME_BYTES`] bytes: the kernel's own has 32 bits, and two of 16,000 names have the
    /// same one in 3 of 100 cases.
    pub text: u64,
    /// Address of the vfsmount: two bind mounts share everything else.
    pub mount: u64,
    /// The task's root directory: after `chroot(2)` the same file has another path.
    pub root_dentry: u64,
    /// The mount of the task's root directory.
    pub root_mount: u64,
    /// 1 where the name was removed.
    pub deleted: u64,
}

/// How many bytes of a name are in [`Place::text`].
pub const PLACE_NAME_BYTES: usize = 64;

/// What tells one file, under one name, at one place, from every other, without knowing its path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct FileIdentity {
    /// Inode number.
    pub inode: u64,
    /// Address of the dentry: one for each name.
    pub dentry: u64,
    /// Address of the vfsmount: two bind mounts share device, inode, dentry and name.
    pub mount: u64,
    /// The dentry's name: hash in the low half, length in the high half (`struct qstr.hash_len`).
    pub name: u64,
    /// The same of its parent.
    pub parent_name: u64,
    /// The task's root directory: after `chroot(2)` the same file has another path.
    pub root_dentry: u64,
    /// The mount of the task's root directory.
    pub root_mount: u64,
    /// `s_dev` of the superblock (20 bits of minor number).
    pub device: u32,
    /// `i_generation`, shifted left by one; the lowest bit says that the name was removed.
    pub generation: u32,
}

/// One end of a connection: the other one as the program passed it, or its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Peer {
    /// IPv6 address, or an IPv4 address in the first four bytes; network byte order.
    pub address: [u8; 16],
    /// Port, host byte order.
    pub port: u16,
    /// `AF_INET` (2) or `AF_INET6` (10).
    pub family: u16,
    /// IP protocol number of the socket.
    pub protocol: u16,
    /// Always 0.
    pub padding: [u8; 42],
}

/// An execution of a script: the name is all that is left of it when the probe runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Execution {
    /// The image that runs now.
    pub image: u64,
    /// Hash of the arguments, 0 where they are not recorded.
    pub arguments: u64,
    /// Hash of the name as called, 0 where the binary was called directly.
    pub script: u64,
    /// The working directory's dentry (scripts only).
    pub directory_dentry: u64,
    /// The working directory's mount (scripts only).
    pub directory_mount: u64,
    /// The task's root directory (scripts only).
    pub root_dentry: u64,
    /// The mount of the task's root directory (scripts only).
    pub root_mount: u64,
    /// Always 0.
    pub padding: u64,
}

/// How many files the kernel goes through until it finds one that is no script: it follows five interpreters
/// (`exec_binprm`, fs/exec.c).
pub const SCRIPTS_MAX: usize = 6;

/// An execution of a script, with the images of all files that the kernel went through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Scripted {
    /// The image that runs now.
    pub image: u64,
    /// Hash of the arguments, 0 where they are not recorded.
    pub arguments: u64,
    /// The script, and the scripts that interpret it, in this order; then zeros.
    pub scripts: [u64; SCRIPTS_MAX],
}

/// The files that a thread's execution has gone through so far.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Executing {
    /// How many.
    pub count: u64,
    /// Their images, and one that is never used: the verifier wants a power of two.
    pub images: [u64; SCRIPTS_MAX + 2],
}

/// More privileges than before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Raise {
    /// The image that has them.
    pub image: u64,
    /// `cred.cap_permitted`.
    pub capabilities: u64,
    /// `cred.euid`.
    pub user: u32,
    /// See [`raise`].
    pub cause: u32,
    /// Always 0.
    pub padding: [u64; 5],
}

/// [`Raise::cause`].
pub mod raise {
    /// A set-user-id, set-group-id or file-capability program was executed.
    pub const EXECUTION: u32 = 0;
    /// The task is in another user namespace than before.
    pub const USER_NAMESPACE: u32 = 1;
}

/// What is counted: who did what, in which cgroup and phase.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct Key {
    /// kernfs id of the cgroup, in the hierarchy chosen at start.
    pub cgroup: u64,
    /// Image id of the executable that did it; 0 where it is unknown.
    pub subject: u64,
    /// 0, or the lineage of the path where the path of this identity changed (a renamed parent directory, a moved mount).
    pub lineage: u64,
    /// See [`kind`].
    pub kind: u8,
    /// See [`access`].
    pub access: u8,
    /// See [`provenance`].
    pub provenance: u8,
    /// See [`phase`].
    pub phase: u8,
    /// See [`command`].
    pub command: u32,
    /// [`Place`], [`Peer`], [`Execution`], [`Scripted`] or [`Raise`], by `kind`.
    pub object: [u64; 8],
}

/// How often and when.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Value {
    /// How often. Only grows.
    pub count: u64,
    /// Boot clock, ns.
    pub first: u64,
    /// Boot clock, ns.
    pub last: u64,
    /// Fingerprint of the path's components: of the path that is counted here.
    pub lineage: u64,
    /// The same of the path that was found when it was last looked at, where that is another one: a directory above it was
    /// renamed. It is counted under a key with that lineage.
    pub elsewhere: u64,
    /// Which of the two it was, and in which epoch, mixed into one word: two words could not be written at once.
    pub verified: u64,
    /// 1 once the key's record is in the ring buffer.
    pub announced: u64,
}

/// The key of an executable: its identity and the lineage of its path at the time of execution.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct ImageKey {
    /// The file.
    pub file: FileIdentity,
    /// Fingerprint of the path's components.
    pub lineage: u64,
}

/// An executable that ran.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ImageValue {
    /// Its number in keys: unique until the next boot.
    pub id: u64,
    /// 1 once its record is in the ring buffer.
    pub announced: u64,
}

/// A process: what it runs and how it came into its cgroup.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Process {
    /// Image id, 0 where unknown.
    pub image: u64,
    /// The cgroup that `provenance` holds for.
    pub cgroup: u64,
    /// See [`provenance`].
    pub provenance: u32,
    /// See [`command`].
    pub command: u32,
}

/// A command that a process executed which entered a cgroup.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub struct CommandKey {
    /// The cgroup.
    pub cgroup: u64,
    /// Hash of the arguments, with [`Settings::command_key`].
    pub hash: u64,
}

/// How many different commands of one cgroup are told apart.
pub const COMMANDS_MAX: u64 = 64;

/// What is known about a cgroup.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct CgroupState {
    /// 1: recorded. 0: excluded.
    pub recorded: u64,
    /// How many task trees entered. The first one is the workload.
    pub entries: u64,
    /// When its first program was executed, boot clock, ns; 0 before.
    pub started: u64,
    /// How often its tasks began to take connections.
    pub listens: u64,
    /// How many keys were inserted for it in this generation of counters.
    pub keys: u64,
    /// That generation's number.
    pub generation: u64,
    /// How many different commands entered it, see [`COMMANDS_MAX`].
    pub commands: u64,
    /// Losses by [`loss`] index. Only grow.
    pub lost: [u64; loss::COUNT],
}

/// A `connect(2)` or a send between its entry and its exit.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct PendingConnect {
    /// The address as it was at entry; its family is 0 where it was not in memory then.
    pub peer: Peer,
    /// The file descriptor.
    pub descriptor: u64,
}

/// Where a walk stands. It lives in memory that the verifier does not track: with its state in registers, 64 steps
/// exceed the verifier's million instructions.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Walk {
    /// The dentry to look at next.
    pub dentry: u64,
    /// The `struct mount` it is in.
    pub mount: u64,
    /// Where the walk ends.
    pub root_dentry: u64,
    /// The vfsmount in which it ends.
    pub root_mount: u64,
    /// Fingerprint of the components so far.
    pub lineage: u64,
    /// Where in [`Record::path`] the path begins.
    pub position: u64,
    /// Where in [`Record::path`] the part below the first mount point begins; `u64::MAX` where none was crossed.
    pub below_mount: u64,
    /// Files on an overlay: `path[layer..position]` is what the path in the layer has in front of the part that begins at
    /// `below_mount` (or, where that is none, at `position`).
    pub layer: u64,
    /// See [`flags`].
    pub flags: u64,
}

/// One message in the ring buffer. The path is written from the end of its field towards the start.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Record {
    /// See [`record`].
    pub kind: u32,
    /// The process that did it.
    pub tgid: u32,
    /// Image id or cgroup id.
    pub id: u64,
    /// The key that this describes; of an executable, only the cgroup that it ran in.
    pub key: Key,
    /// The identity of an image, or of a script's working directory.
    pub file: FileIdentity,
    /// The inode number of the root directory in `file`.
    pub root_inode: u64,
    /// The number of the root directory's mount, as `statx(2)` tells it.
    pub root_mount: u64,
    /// The walk, at its end.
    pub walk: Walk,
    /// `path[walk.position..PATH_BYTES]` is the path; the rest is room that the verifier wants.
    pub path: [u8; PATH_BYTES + NAME_BYTES],
}

/// A [`Record`] of a script, with its name as called.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ScriptRecord {
    /// `path` is the working directory, where the name is relative; empty otherwise.
    pub record: Record,
    /// The name as called, with its NUL.
    pub name: [u8; PATH_BYTES],
}

/// How many bytes of the arguments of an execution are recorded.
pub const ARGUMENTS_BYTES: usize = 512;

/// A message in the ring buffer: the arguments of an execution.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ArgumentsRecord {
    /// [`record::ARGUMENTS`].
    pub kind: u32,
    /// Bytes of the arguments in all, of which `bytes` has the first ones.
    pub length: u32,
    /// The key that this describes.
    pub key: Key,
    /// The arguments as they are in memory, each with its NUL.
    pub bytes: [u8; ARGUMENTS_BYTES],
}

/// How long a command may not be that is told from others, in bytes of its arguments with their NULs.
pub const COMMAND_BYTES: usize = 4096;

/// A message in the ring buffer: the command of a process that entered a container. It may hold secrets, whatever is recorded.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct CommandRecord {
    /// [`record::COMMAND`].
    pub kind: u32,
    /// As in [`Key::command`].
    pub command: u32,
    /// The cgroup.
    pub cgroup: u64,
    /// How many of `bytes` are the arguments.
    pub length: u64,
    /// The name that was executed, with its NUL, where the kernel replaced it: of a script the interpreter is executed, with the
    /// script's name among the arguments. Empty otherwise.
    pub name: [u8; PATH_BYTES],
    /// The arguments as they are in memory, each with its NUL.
    pub bytes: [u8; COMMAND_BYTES],
}

/// How much of an answer of the domain name system is looked at: what a resolver offers to take by UDP
/// (<https://www.dnsflagday.net/2020/>). Longer ones are cut.
pub const ANSWER_BYTES: usize = 1232;
/// How much of one has room in a [`ShortAnswer`]: most are shorter.
pub const SHORT_ANSWER_BYTES: usize = 256;

/// What is known of an answer of the domain name system beside its bytes.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct AnswerHead {
    /// The cgroup of the socket that received it.
    pub cgroup: u64,
    /// When, boot clock, ns.
    pub time: u64,
    /// How many bytes it has, of which the first are there.
    pub length: u32,
    /// Always 0.
    pub padding: u32,
}

/// A message in the ring buffer of answers: a DNS message of at most [`SHORT_ANSWER_BYTES`].
#[derive(Clone, Copy)]
#[repr(C)]
pub struct ShortAnswer {
    /// What is known of it.
    pub head: AnswerHead,
    /// Its bytes; behind them stands anything.
    pub bytes: [u8; SHORT_ANSWER_BYTES],
}

/// A message in the ring buffer of answers: a longer DNS message.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct LongAnswer {
    /// What is known of it.
    pub head: AnswerHead,
    /// Its bytes; behind them stands anything.
    pub bytes: [u8; ANSWER_BYTES],
}

/// What the probes do about a system call: one byte a number, so that an unrelated call costs one look-up.
pub mod class {
    /// Set in the classes of those that are looked at before the call, too.
    pub const AT_ENTRY: u8 = 0x80;
    /// Nothing.
    pub const NONE: u8 = 0;
    /// Returns a file descriptor of a file that was opened by path.
    pub const OPEN: u8 = 1;
    /// `connect(2)`.
    pub const CONNECT: u8 = AT_ENTRY | 2;
    /// May have renamed or removed a directory, or changed a mount: known paths must be verified again.
    pub const RENAME: u8 = 3;
    /// A call of a 32-bit program that does one of the above in a way that is not followed: counted as a loss.
    pub const FOREIGN: u8 = 4;
    /// Sets up io_uring, or submits work to it.
    pub const URING: u8 = 5;
    /// `unlinkat(2)`, which removes a directory if it is asked to.
    pub const REMOVE: u8 = 6;
    /// `sendto(2)`.
    pub const SEND_TO: u8 = AT_ENTRY | 7;
    /// `sendmsg(2)`.
    pub const SEND_MESSAGE: u8 = AT_ENTRY | 8;
    /// `sendmmsg(2)`.
    pub const SEND_MESSAGES: u8 = 9;
    /// `listen(2)`.
    pub const LISTEN: u8 = 10;
    /// `mmap(2)`.
    pub const MAP: u8 = 11;
    /// `mmap2` of 32-bit programs on x86-64: other registers.
    pub const MAP_32: u8 = 12;
    /// `unshare(2)`, which copies mounts and makes user namespaces.
    pub const UNSHARE: u8 = 13;
    /// `setns(2)`.
    pub const ENTER_NAMESPACE: u8 = 14;
    /// Opens a file in a way that does not show in its result: counted as a loss.
    pub const UNSEEN: u8 = 15;
    /// `ioctl(2)`, of which one command opens a file.
    pub const CONTROL: u8 = 16;
    /// `fanotify_init(2)`: events open files, unless they are to carry ids.
    pub const FANOTIFY: u8 = 17;
}

/// How many system call numbers [`Classes`] covers; `SYS_openat2` is 437.
pub const CLASSES: usize = 512;

/// A [`class`] for each system call number.
pub type Classes = [u8; CLASSES];

/// Room for a walk that writes no path, and for a script's name; one for each thread that needs it right now.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Scratch {
    /// The walk.
    pub walk: Walk,
    /// The first bytes of a script's name, then zeros.
    pub name: [u64; SCRIPT_NAME_WORDS],
}

/// How many bytes of a script's name tell it from another one, in words of eight.
pub const SCRIPT_NAME_WORDS: usize = 64;

/// What the profiler tells the probes before they are loaded.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C)]
pub struct Settings {
    /// Index of the v1 controller in `css_set.subsys` plus one; 0 for the unified hierarchy.
    pub controller: u32,
    /// `cgroup_root.hierarchy_id` of the hierarchy chosen.
    pub hierarchy: u32,
    /// 1: cgroups that nobody decided about are recorded. 0: they are not.
    pub record_unknown: u32,
    /// Process id of the profiler: its own actions are not recorded.
    pub profiler: u32,
    /// 1: the kernel tells the verifier the type of the current task (`bpf_get_current_task_btf`, since 5.11), so what hangs on
    /// it is read without a call.
    pub typed_tasks: u32,
    /// 1: the hooks of security modules are observed, which tell of each file of an execution.
    pub hooks: u32,
    /// 1: arguments of executions are recorded.
    pub arguments: u32,
    /// 1: a process that leaves a core dump has opened a file that no other probe sees.
    pub core_files: u32,
    /// How long a container's startup phase lasts, ns.
    pub startup_ns: u64,
    /// How many keys one cgroup may insert.
    pub key_quota: u64,
    /// With which key commands are hashed; 0 and 0 where nobody asks which ones entered a container.
    pub command_key: [u64; 2],
}

// SAFETY: all of these are `repr(C)`, hold integers only, have no padding (checked below) and any bit pattern is valid.
unsafe impl Pod for FileIdentity {}
// SAFETY: as above.
unsafe impl Pod for Place {}
// SAFETY: as above.
unsafe impl Pod for Peer {}
// SAFETY: as above.
unsafe impl Pod for Execution {}
// SAFETY: as above.
unsafe impl Pod for Scripted {}
// SAFETY: as above.
unsafe impl Pod for Executing {}
// SAFETY: as above.
unsafe impl Pod for Raise {}
// SAFETY: as above.
unsafe impl Pod for ArgumentsRecord {}
// SAFETY: as above.
unsafe impl Pod for CommandRecord {}
// SAFETY: as above.
unsafe impl Pod for CommandKey {}
// SAFETY: as above.
unsafe impl Pod for Key {}
// SAFETY: as above.
unsafe impl Pod for Value {}
// SAFETY: as above.
unsafe impl Pod for ImageKey {}
// SAFETY: as above.
unsafe impl Pod for ImageValue {}
// SAFETY: as above.
unsafe impl Pod for Process {}
// SAFETY: as above.
unsafe impl Pod for CgroupState {}
// SAFETY: as above.
unsafe impl Pod for PendingConnect {}
// SAFETY: as above.
unsafe impl Pod for Walk {}
// SAFETY: as above.
unsafe impl Pod for Record {}
// SAFETY: as above.
unsafe impl Pod for ScriptRecord {}
// SAFETY: as above.
unsafe impl Pod for Scratch {}
// SAFETY: as above.
unsafe impl Pod for Offsets {}
// SAFETY: as above.
unsafe impl Pod for Settings {}
// SAFETY: as above.
unsafe impl Pod for AnswerHead {}
// SAFETY: as above.
unsafe impl Pod for ShortAnswer {}
// SAFETY: as above.
unsafe impl Pod for LongAnswer {}

// No padding anywhere: the sizes are the sums of the fields' sizes.
const _: () = {
    assert!(size_of::<FileIdentity>() == 64);
    assert!(size_of::<Place>() == 64);
    assert!(size_of::<Peer>() == 64);
    assert!(size_of::<Execution>() == 64);
    assert!(size_of::<Scripted>() == 64);
    assert!(size_of::<Executing>() == 72);
    assert!(size_of::<Raise>() == 64);
    assert!(size_of::<ArgumentsRecord>() == 8 + 96 + ARGUMENTS_BYTES);
    assert!(size_of::<Key>() == 32 + 64);
    assert!(size_of::<Value>() == 56);
    assert!(size_of::<ImageKey>() == 72);
    assert!(size_of::<Process>() == 24);
    assert!(size_of::<CommandKey>() == 16);
    assert!(size_of::<CommandRecord>() == 24 + PATH_BYTES + COMMAND_BYTES);
    assert!(size_of::<CgroupState>() == 56 + 8 * loss::COUNT);
    assert!(size_of::<PendingConnect>() == 72);
    assert!(size_of::<Walk>() == 72);
    assert!(size_of::<Record>() == 16 + 96 + 64 + 16 + 72 + PATH_BYTES + NAME_BYTES);
    assert!(size_of::<ScriptRecord>() == size_of::<Record>() + PATH_BYTES);
    assert!(size_of::<Settings>() == 64);
    assert!(size_of::<AnswerHead>() == 24);
    assert!(size_of::<ShortAnswer>() == 24 + SHORT_ANSWER_BYTES);
    assert!(size_of::<LongAnswer>() == 24 + ANSWER_BYTES);
};
