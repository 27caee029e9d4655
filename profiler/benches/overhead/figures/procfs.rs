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

/// Bytes of a process by its `/proc/PID/smaps`: memory that it shares with others counts in parts (`Pss`). The ring buffer,
/// which it sees in its own memory as well, is a table of the kernel, and counted there.
pub(crate) fn own_memory(smaps: &str) -> u64 {
    let mut is_table = false;
    let mut kib = 0;
    for line in smaps.lines() {
        match line.strip_prefix("Pss:") {
            Some(_) if is_table => {}
            Some(_) => kib += field(line, "Pss").unwrap_or_default(),
            // A mapping begins with its addresses; what is told of it, with a name and a colon.
            None if line.split(' ').next().is_some_and(|word| !word.ends_with(':')) => {
                is_table = line.ends_with("anon_inode:bpf-map");
            }
            None => {}
        }
    }
    kib * 1024
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
    },
}

impl Held {
    /// `None` of any other descriptor.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(id) = field(text, "map_id") {
            return Some(Self::Map {
                id,
                memory: field(text, "memlock")?,
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
