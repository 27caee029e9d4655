//! The files of `/proc` that say what a process takes (`proc(5)`).

/// What comes after a name and a colon, such as `VmHWM:     5 kB`.
pub(crate) fn text<'text>(text: &'text str, name: &str) -> Option<&'text str> {
    let after = |line: &'text str| line.strip_prefix(name)?.trim_start().strip_prefix(':');
    text.lines().find_map(after).map(str::trim)
}

/// The same where it is a number, without its unit.
pub(crate) fn field(lines: &str, name: &str) -> Option<u64> {
    text(lines, name)?.split_whitespace().next()?.parse().ok()
}

/// What `/proc/PID/stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The parent's process id.
    pub(crate) parent: u32,
    /// Processor time of the process and of the children that it has waited for, user and system, in clock ticks.
    pub(crate) ticks: u64,
}

impl Stat {
    /// `None` of anything else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // The name in field 2 may hold anything, also spaces and brackets.
        let (_, after_name) = text.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // Field 3 is the first here. 4: ppid, 14 to 17: utime, stime, cutime, cstime.
        let times = fields.get(11..15)?;
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            ticks: times.iter().map(|time| time.parse::<u64>().ok()).sum::<Option<u64>>()?,
        })
    }
}

/// A BPF object that a process holds, as `/proc/PID/fdinfo/N` describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A program (`bpf_prog_show_fdinfo`, kernel/bpf/syscall.c).
    Program {
        /// Its id.
        id: u64,
        /// How long it ran while `kernel.bpf_stats_enabled` was set, ns.
        run_time: u64,
        /// How often.
        runs: u64,
    },
    /// A map (`bpf_map_show_fdinfo`).
    Map {
        /// Its id.
        id: u64,
        /// The kernel's memory for it, bytes.
        memory: u64,
        /// Of a ring buffer, the bytes that whoever reads it sees in its own memory as well: all of its data, twice
        /// (`ringbuf_map_mmap`, kernel/bpf/ringbuf.c). 0 of others.
        seen: u64,
    },
}

impl Held {
    /// `None` of any other descriptor.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const RING_BUFFER: u64 = 27;
        if let Some(id) = field(text, "map_id") {
            let is_ring = field(text, "map_type")? == RING_BUFFER;
            return Some(Self::Map {
                id,
                memory: field(text, "memlock")?,
                seen: if is_ring { 2 * field(text, "max_entries")? } else { 0 },
            });
        }
        // A link has a prog_id, too, and no run time.
        Some(Self::Program {
            id: field(text, "prog_id")?,
            run_time: field(text, "run_time_ns")?,
            runs: field(text, "run_cnt")?,
        })
    }
}
