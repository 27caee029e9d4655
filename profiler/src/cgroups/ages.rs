//! How old a cgroup's processes are.

use super::Hierarchy;

impl Hierarchy {
    /// When the oldest process of a cgroup started, boot clock, ns. None where it has none, or is gone.
    pub fn oldest(&self, path: &[u8]) -> Option<u64> {
        oldest(self.processes(path).ok()?)
    }
}

/// When the oldest of these processes started, boot clock, ns. None where none is left.
pub fn oldest(processes: Vec<u32>) -> Option<u64> {
    processes.into_iter().filter_map(start_of).min()
}

/// Field 22 of `/proc/PID/stat`: clock ticks since boot (`proc_pid_stat(5)`). The name in field 2 may hold anything.
fn start_of(process: u32) -> Option<u64> {
    // USER_HZ, which is 100 on every architecture that Linux has eBPF on.
    const NANOS_PER_TICK: u64 = 10_000_000;
    let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    let after_name = stat.rsplit(|byte| *byte == b')').next()?;
    let ticks: u64 = std::str::from_utf8(after_name)
        .ok()?
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()?;
    Some(ticks.saturating_mul(NANOS_PER_TICK).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_start_lies_between_boot_and_now() {
        let start = start_of(std::process::id()).unwrap();
        assert!((1..=crate::clock::boot_ns()).contains(&start), "{start}");
    }
}
