//! Where and when something was measured.

use std::fs;

use crate::figures::procfs;

/// A sentence: day, kernel, processors.
pub(crate) fn description() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let information = read("/proc/cpuinfo");
    let model = procfs::text(&information, "model name").unwrap_or("processors of unknown model");
    format!(
        "{}, Linux {} ({}), {processors} processors ({model}), release build",
        today(),
        read("/proc/sys/kernel/osrelease").trim(),
        std::env::consts::ARCH,
    )
}

/// The mean number of processes that ran or wanted to, over the last 1, 5 and 15 minutes.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// The day, UTC.
fn today() -> String {
    let now = baselines::time::UtcTime::now().to_string();
    now.split('T').next().unwrap_or_default().to_owned()
}
