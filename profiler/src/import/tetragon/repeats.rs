//! Events that are in a source twice: in overlapping files, or because whoever ships logs tried again.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};

use baselines::time::UtcTime;

use super::event::{Event, What};

/// How many events back a repetition is recognised: some 6 MiB.
const REMEMBERED: usize = 1 << 18;

/// Remembers the last events.
#[derive(Debug, Default)]
pub struct Repeats {
    state: RandomState,
    known: HashSet<u64>,
    order: VecDeque<u64>,
}

impl Repeats {
    /// Whether this event was there before. It is known by its time, in nanoseconds, its process and what it is about.
    pub fn has(&mut self, event: &Event<'_>, at: UtcTime) -> bool {
        let mut hasher = self.state.build_hasher();
        at.hash(&mut hasher);
        event.node.hash(&mut hasher);
        event.kind().hash(&mut hasher);
        if let Some(process) = event.process() {
            (&process.exec_id, process.pid, &process.binary).hash(&mut hasher);
        }
        if let What::Hook(hook) = &event.what {
            let arguments = &hook.arguments;
            let file = arguments.program.as_ref().or(arguments.file.as_ref());
            (file.map(|it| &it.path), arguments.file_mode).hash(&mut hasher);
            let address = arguments.address.as_ref();
            address.map(|it| (&it.addr, it.port)).hash(&mut hasher);
        }
        let hash = hasher.finish();
        if !self.known.insert(hash) {
            return true;
        }
        self.order.push_back(hash);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        false
    }
}
