//! From the kernel's boot clock to UTC.

use std::time::Duration;

use baselines::time::UtcTime;

/// A minute in ns.
pub const MINUTE_NS: u64 = 60_000_000_000;

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

    /// How long ago the minute of UTC began that a boot clock reading is in, ns.
    pub fn into_minute(self, boot_ns: u64) -> u64 {
        self.boot_in_utc.saturating_add(boot_ns) % MINUTE_NS
    }

    /// When the minute of UTC began that `until` is in, boot clock, ns, if that is where most of the time from `since` to
    /// `until` ends: nobody can tell at which side of it the events counted in that time were, so all of them go to the
    /// longer one.
    ///
    /// ```
    /// use profiler::clock::{Clock, MINUTE_NS, boot_ns};
    ///
    /// let (clock, now) = (Clock::now(), boot_ns());
    /// let minute = now + MINUTE_NS - clock.into_minute(now);
    /// assert_eq!(clock.minute_between(minute - 2_000, minute + 1_000), Some(minute));
    /// assert_eq!(clock.minute_between(minute - 1_000, minute + 2_000), None);
    /// assert_eq!(clock.minute_between(minute, minute + 2_000), None);
    /// ```
    pub fn minute_between(self, since: u64, until: u64) -> Option<u64> {
        let after = self.into_minute(until);
        let minute = until.saturating_sub(after);
        (minute.saturating_sub(since) > after).then_some(minute)
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
