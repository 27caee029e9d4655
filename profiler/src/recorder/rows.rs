//! What was counted and is not written yet: until it is known how whoever did it came into its container.

use std::collections::HashMap;

use baselines::behaviour::{Behaviour, Phase, Provenance};
use baselines::loss::Reason;
use baselines::recording::Observation;
use baselines::time::{Minute, UtcTime};
use profiler_common::{CommandRecord, Key, command, pod, provenance};

use super::Recorder;
use super::attribution::Standing;
use super::commands::{Came, Whose};
use super::reached;
use crate::clock::Clock;

/// How many observations may wait until their containers are known to be asked for: some 20 MiB. More are lost at once.
const HELD_MAX: usize = 65_536;

/// What is counted in one row. First, the container's id.
pub(super) type Row = (u64, Behaviour, Came, Phase, Minute);

/// A row as the recording has it.
type Written = (u64, Behaviour, Provenance, Phase, Minute);

#[derive(Clone, Copy)]
pub(super) struct Counted {
    pub(super) count: u64,
    pub(super) first: UtcTime,
    pub(super) last: UtcTime,
}

impl Counted {
    pub(super) fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl Recorder {
    /// Takes in a command that entered a container.
    pub(super) fn take_command(&mut self, message: &[u8], clock: Clock) {
        let Some(record) = pod::read::<CommandRecord>(message) else {
            return self.lose(None, Reason::Decode, 1, clock);
        };
        let container = self.attribution.container_of(record.cgroup);
        let is_told = self.commands.take(container.unwrap_or(record.cgroup), &record);
        if !is_told && self.attribution.may_be_kubelets(record.cgroup) {
            self.lose(Some(record.cgroup), Reason::CommandUntold, 1, clock);
        }
    }

    /// How whoever did this came into its container.
    pub(super) fn came(&self, key: &Key, container: u64) -> Came {
        Came::As(match key.provenance {
            provenance::WORKLOAD => Provenance::Workload,
            provenance::RUNTIME | provenance::ENTERING => Provenance::Runtime,
            // The service manager puts every process of a unit into its cgroup one by one (`ExecStartPre=`, `ExecStart=`,
            // `ExecReload=`), and nobody else does: there, whoever comes later is the unit's own, too.
            _ if self.attribution.takes_all_comers(container) => Provenance::Workload,
            _ if key.command != command::NONE && self.attribution.is_in_pod(container) => {
                return Came::With(key.command);
            }
            _ => Provenance::Entered,
        })
    }

    /// By which provenance somebody did something last at this time who came into a container like this; or what is known
    /// of the command that he entered with.
    fn told(&self, container: u64, behaviour: &Behaviour, came: Came, last: UtcTime) -> Result<Provenance, Whose> {
        let number = match came {
            // All of such a container is somebody who came later.
            Came::As(Provenance::Workload) if self.attribution.is_ephemeral(container) => {
                return Ok(Provenance::Entered);
            }
            Came::As(provenance) => return Ok(provenance),
            Came::With(number) => number,
        };
        let Some(kubelets) = self.attribution.commands_of(container) else {
            return Err(Whose::Awaited);
        };
        let is_new = last >= self.flushed && !self.is_over;
        Err(if number == command::BEGINNING && !kubelets.is_empty() {
            self.commands.whose_beginning(container, behaviour, is_new)
        } else {
            self.commands.whose(container, number, kubelets, is_new)
        })
    }

    /// What is to be written. What waits for its container's name or its command stays, what is nobody's goes.
    pub(super) fn take_observations(&mut self, clock: Clock) -> Vec<Observation> {
        let mut taken: HashMap<Written, Counted> = HashMap::new();
        // Not drained: the room of a busy moment is given back.
        let rows = std::mem::take(&mut self.observations);
        // What was executed tells for whom the kernel opened files before.
        let (beginnings, others): (Vec<_>, Vec<_>) = rows
            .into_iter()
            .partition(|(row, _)| row.2 == Came::With(command::BEGINNING));
        for (row, counted) in others.into_iter().chain(beginnings) {
            let standing = self.attribution.standing(row.0);
            let provenance = match standing {
                Standing::Nobody => continue,
                Standing::Held => None,
                Standing::Written | Standing::Unnamed => self.provenance(&row, counted, clock),
            };
            let has_room = self.observations.len() < HELD_MAX;
            let (container, behaviour, _, phase, minute) = match provenance {
                None if has_room => {
                    self.observations.insert(row, counted);
                    continue;
                }
                None if standing == Standing::Held => {
                    self.lose(Some(row.0), Reason::UnresolvedContainer, counted.count, clock);
                    if let Some(unnamed) = self.unnamed.get_mut(&row.0) {
                        *unnamed = unnamed.saturating_sub(counted.count);
                    }
                    continue;
                }
                None => {
                    self.lose(Some(row.0), Reason::CommandUntold, counted.count, clock);
                    row
                }
                Some(_) => row,
            };
            let provenance = provenance.unwrap_or(Provenance::Entered);
            taken
                .entry((container, behaviour, provenance, phase, minute))
                .and_modify(|known| known.add(counted))
                .or_insert(counted);
        }
        taken
            .into_iter()
            .map(|(row, counted)| observation(row, counted))
            .collect()
    }

    /// The provenance of a row, if it need not wait.
    fn provenance(&mut self, row: &Row, counted: Counted, clock: Clock) -> Option<Provenance> {
        let (container, behaviour, came, ..) = row;
        let whose = match self.told(*container, behaviour, *came, counted.last) {
            Ok(provenance) => return Some(provenance),
            Err(whose) => whose,
        };
        match whose {
            Whose::Awaited => return None,
            Whose::Untold => self.lose(Some(*container), Reason::CommandUntold, counted.count, clock),
            Whose::Kubelets | Whose::Others => self.commands.executed(*container, behaviour, whose),
        }
        Some(provenance_of(whose))
    }

    /// Whom containers reached, as far as it is to be written.
    pub(super) fn take_reached(&mut self, at: UtcTime) -> reached::Told {
        let Some(mut reached) = self.reached.take() else {
            return reached::Told::default();
        };
        let told = reached.take(
            at,
            |container| self.attribution.standing(container),
            |container, behaviour, came, last| match self.told(container, behaviour, came, last) {
                Ok(provenance) => Some(provenance),
                Err(Whose::Awaited) => None,
                Err(whose) => Some(provenance_of(whose)),
            },
        );
        self.reached = Some(reached);
        told
    }
}

/// What cannot be told from the kubelet's work is learned like the workload's: nobody else's is.
fn provenance_of(whose: Whose) -> Provenance {
    match whose {
        Whose::Kubelets => Provenance::Kubelet,
        Whose::Others | Whose::Awaited | Whose::Untold => Provenance::Entered,
    }
}

/// As the recording has it.
fn observation((cgroup_id, behaviour, provenance, phase, minute): Written, counted: Counted) -> Observation {
    let Counted {
        count,
        first: first_seen,
        last: last_seen,
    } = counted;
    Observation {
        cgroup_id,
        behaviour,
        provenance,
        phase,
        minute,
        count,
        first_seen,
        last_seen,
    }
}
