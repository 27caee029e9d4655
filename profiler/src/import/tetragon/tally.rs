//! What was counted and is not written yet.

use std::collections::{BTreeMap, HashMap};

use baselines::behaviour::{Behaviour, Phase, Provenance};
use baselines::loss::Reason;
use baselines::recording::{Loss, Observation};
use baselines::time::{Minute, UtcTime};

/// Where a behaviour is counted.
type Row = (u64, Minute, Phase, Provenance);

/// How often, and when.
#[derive(Clone, Copy, Debug)]
struct Counted {
    count: u64,
    first: UtcTime,
    last: UtcTime,
}

impl Counted {
    fn add(&mut self, count: u64, at: UtcTime) {
        self.count = self.count.saturating_add(count);
        self.first = self.first.min(at);
        self.last = self.last.max(at);
    }

    fn new(at: UtcTime) -> Self {
        Self {
            count: 0,
            first: at,
            last: at,
        }
    }
}

/// Counts behaviours and losses.
#[derive(Debug, Default)]
pub struct Tally {
    behaviours: HashMap<Behaviour, BTreeMap<Row, Counted>>,
    losses: BTreeMap<(Option<u64>, Reason), Counted>,
    rows: usize,
    span: Option<(UtcTime, UtcTime)>,
}

impl Tally {
    /// Something was done once.
    pub fn observe(&mut self, container: u64, behaviour: Behaviour, provenance: Provenance, phase: Phase, at: UtcTime) {
        self.widen(at);
        let rows = self.behaviours.entry(behaviour).or_default();
        let before = rows.len();
        rows.entry((container, at.minute(), phase, provenance))
            .or_insert_with(|| Counted::new(at))
            .add(1, at);
        self.rows += rows.len() - before;
    }

    /// Something was lost.
    pub fn lose(&mut self, container: Option<u64>, reason: Reason, count: u64, at: UtcTime) {
        self.widen(at);
        self.losses
            .entry((container, reason))
            .or_insert_with(|| Counted::new(at))
            .add(count, at);
    }

    /// The time of an event that belongs to the window, whatever became of it.
    pub fn widen(&mut self, at: UtcTime) {
        let (first, last) = self.span.get_or_insert((at, at));
        *first = at.min(*first);
        *last = at.max(*last);
    }

    /// From the first to the last event.
    pub fn span(&self) -> Option<(UtcTime, UtcTime)> {
        self.span
    }

    /// How many rows are kept.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Everything that was counted since the last time.
    pub fn take(&mut self) -> (Vec<Observation>, Vec<Loss>) {
        self.rows = 0;
        let mut observations: Vec<Observation> = std::mem::take(&mut self.behaviours)
            .into_iter()
            .flat_map(|(behaviour, rows)| {
                rows.into_iter()
                    .map(move |((cgroup_id, minute, phase, provenance), counted)| Observation {
                        cgroup_id,
                        behaviour: behaviour.clone(),
                        provenance,
                        phase,
                        minute,
                        count: counted.count,
                        first_seen: counted.first,
                        last_seen: counted.last,
                    })
            })
            .collect();
        // The same events make the same recording, and rows are written in the order of their table.
        observations.sort_unstable_by(|one, other| {
            (one.cgroup_id, &one.behaviour, one.minute).cmp(&(other.cgroup_id, &other.behaviour, other.minute))
        });
        let losses = std::mem::take(&mut self.losses).into_iter();
        let losses = losses.map(|((cgroup_id, reason), counted)| Loss {
            cgroup_id,
            reason,
            count: counted.count,
            first_seen: counted.first,
            last_seen: counted.last,
        });
        (observations, losses.collect())
    }
}
