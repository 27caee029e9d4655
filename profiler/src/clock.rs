//! From the kernel's boot clock to UTC.

use std::time::Duration;

use baselines::time::UtcTime;

/// How far UTC is ahead of the boot clock. Read anew for each flush, because NTP and people set the clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    boot_in_utc: u64,
}

impl Clock {
    /// Compares the two clocks.
    pub fn now() -> Self {
        Self {
            boot_in_utc: read(libc::CLOCK_REALTIME).saturating_sub(read(libc::CLOCK_BOOTTIME)),
        }
    }

    /// The moment of a boot clock reading in ns.
    pub fn utc(self, boot_ns: u64) -> UtcTime {
        UtcTime::from_nanos(self.boot_in_utc.saturating_add(boot_ns))
    }
}

/// The boot clock: ns since the machine started, sleep included.
pub fn boot_ns() -> u64 {
    read(libc::CLOCK_BOOTTIME)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is writable; both clocks exist on every kernel that runs the probes, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    let time = seconds + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default());
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
