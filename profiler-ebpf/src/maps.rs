//! Every map and every global of the probes. Sizes are defaults; the profiler sets them before loading.

use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, RingBuf};
use aya_ebpf::macros::btf_map;
use profiler_common::{
    CLASSES, CgroupState, Classes, CommandKey, Executing, ImageKey, ImageValue, Key, LongAnswer, Offsets,
    PendingConnect, Process, Scratch, Settings, Value, loss,
};

/// One generation of counters. Preallocated, never LRU: an LRU table drops counts without a word.
pub type Keys = HashMap<Key, Value, 65_536>;

/// The current generation. User space replaces it when it fills up: the update waits for running programs
/// (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c), so the old one is complete when it is read for the last time.
#[btf_map]
pub static KEYS: ArrayOfMaps<Keys, 1> = ArrayOfMaps::new();

/// The first generation, and the model of all others: kernels from 5.16 to 6.2 let two tables take each other's place only
/// if both were made with the same type information (`bpf_map_meta_equal` compares `timer_off`, kernel/bpf/map_in_map.c).
#[btf_map]
pub static FIRST: Keys = HashMap::new();

/// What is known about each cgroup.
#[btf_map]
pub static CGROUPS: HashMap<u64, CgroupState, 16_384> = HashMap::new();

/// Every process, by its id.
#[btf_map]
pub static PROCESSES: HashMap<u32, Process, 65_536> = HashMap::new();

/// One generation of executables that ran.
pub type Images = HashMap<ImageKey, ImageValue, 16_384>;

/// The current one. A program that was looked up in an older one keeps its number.
#[btf_map]
pub static IMAGES: ArrayOfMaps<Images, 1> = ArrayOfMaps::new();

/// The first one, as [`FIRST`] is.
#[btf_map]
pub static FIRST_IMAGES: Images = HashMap::new();

/// Threads between the first file that their execution goes through and the end of the execution, or the next one.
#[btf_map]
pub static EXECUTING: HashMap<u32, Executing, 8_192> = HashMap::new();

/// Threads between the entry and the exit of `connect(2)` or a send.
#[btf_map]
pub static CONNECTS: HashMap<u32, PendingConnect, 8_192> = HashMap::new();

/// Commands that entered a cgroup, and whether they are described. The profiler sets how many there is room for: what does not
/// fit is a loss.
#[btf_map]
pub static COMMANDS: HashMap<CommandKey, u64, 4_096> = HashMap::new();

/// Threads that walk a path without writing it down. Keyed by thread, because a per-CPU slot is not ours alone where a
/// program can be preempted.
#[btf_map]
pub static SCRATCH: HashMap<u32, Scratch, 1_024> = HashMap::new();

/// Losses that belong to no cgroup, by [`loss`] index.
#[btf_map]
pub static LOST: Array<u64, { loss::COUNT }> = Array::new();

/// The number of the current generation of counters: each cgroup's share of keys starts anew with it.
#[btf_map]
pub static GENERATION: Array<u64, 1> = Array::new();

/// The profiler's own root directory: dentry and mount. Paths of tasks with the same one are paths of ours.
#[btf_map]
pub static OWN_ROOT: Array<u64, 2> = Array::new();

/// Descriptions of what is new.
#[btf_map]
pub static RING: RingBuf<Ring, { 8 << 20 }> = RingBuf::new();

/// What the ring buffer holds is told by its length and first field.
pub type Ring = profiler_common::Record;

/// Answers of the domain name system. A ring of their own: however many come, what is described elsewhere finds its room.
#[btf_map]
pub static ANSWERS: RingBuf<LongAnswer, { 512 << 10 }> = RingBuf::new();

/// How many answers found no room there.
#[btf_map]
pub static ANSWERS_LOST: Array<u64, 1> = Array::new();

/// Counts renames and mounts: a path that was verified in an older epoch must be verified again.
#[unsafe(no_mangle)]
pub static mut EPOCH: u64 = 1;

/// Where this kernel keeps things.
#[unsafe(no_mangle)]
pub static OFFSETS: Offsets = zeroed();

/// What the profiler wants.
#[unsafe(no_mangle)]
pub static SETTINGS: Settings = zeroed();

/// System calls of this machine's own programs.
#[unsafe(no_mangle)]
pub static NATIVE: Classes = [0; CLASSES];

/// System calls of 32-bit programs.
#[unsafe(no_mangle)]
pub static COMPAT: Classes = [0; CLASSES];

const fn zeroed<T: profiler_common::pod::Pod>() -> T {
    profiler_common::pod::zeroed()
}
