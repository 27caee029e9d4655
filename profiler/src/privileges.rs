//! What this process may do.

/// The capabilities that recording needs, with their numbers (include/uapi/linux/capability.h).
const NEEDED: [(u32, &str); 3] = [(38, "CAP_PERFMON"), (39, "CAP_BPF"), (2, "CAP_DAC_READ_SEARCH")];
/// Before 5.8 this one stood for all of them, and it still implies the first two.
const CAP_SYS_ADMIN: u32 = 21;

/// Whether this process sees other process ids than the kernel's own: a container without the host's PID namespace.
pub fn in_pid_namespace() -> bool {
    // PROC_PID_INIT_INO (include/linux/proc_ns.h)
    std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() != "pid:[4026531836]")
}

/// The first capability that recording needs and this process lacks.
pub fn first_missing() -> Option<&'static str> {
    // Without /proc nothing else would work either: the kernel's own answer is the better message then.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let effective = effective(&status)?;
    let has = |number: u32| effective >> number & 1 == 1;
    NEEDED
        .into_iter()
        .find(|(number, name)| !has(*number) && (*name == "CAP_DAC_READ_SEARCH" || !has(CAP_SYS_ADMIN)))
        .map(|(_, name)| name)
}

/// `CapEff` in `/proc/PID/status`: hexadecimal.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_set_is_read() {
        assert_eq!(
            effective("Name:\tx\nCapEff:\t000001ffffffffff\n"),
            Some(0x1ff_ffff_ffff)
        );
        assert_eq!(effective("Name:\tx\n"), None);
    }
}
