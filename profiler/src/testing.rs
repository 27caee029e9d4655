//! Values for tests.

use std::time::Duration;

use baselines::recording::{Node, WindowStart};
use baselines::time::UtcTime;

/// A machine.
pub(crate) fn node() -> Node {
    Node {
        host: "node-7".to_owned(),
        boot_id: "1".to_owned(),
        kernel: "6.12".to_owned(),
        machine_id: None,
    }
}

/// A window that began then.
pub(crate) fn window(started: UtcTime) -> WindowStart {
    WindowStart {
        started,
        selector: "host".to_owned(),
        backend: "lsm".to_owned(),
        tool_version: "0".to_owned(),
        flush_interval: Duration::from_secs(2),
        lossy_from_start: None,
        names: baselines::dns::Names::Off,
    }
}
