//! Whom containers reached: beside the observations, and later than those where somebody has to be asked.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use baselines::behaviour::{Action, Behaviour, Provenance};
use baselines::peer::Peer;
use baselines::recording;
use baselines::time::UtcTime;

use super::attribution::Standing;
use super::commands::Came;
use super::rows::Counted;
use crate::kubernetes::peers::{Peers, Who};

/// How long to wait for an answer: the API server may be away for a moment.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// How many connections may wait for their peers or for their containers' names: some 10 MiB. The peers of more are left
/// out.
const WAITING_MAX: usize = 32_768;

/// A container, what it did, and how the process came into it.
type Doing = (u64, Behaviour, Came);

/// Whom containers reached since the last flush, or before, if that was not known then.
pub(super) struct Reached {
    peers: Peers,
    /// Not known yet.
    waiting: HashMap<Doing, Waiting>,
    known: HashMap<(Doing, Peer), Held>,
    left_out: u64,
    /// When everything before was flushed.
    since: UtcTime,
}

struct Waiting {
    counted: Counted,
    from: Instant,
    is_written: bool,
}

impl Waiting {
    fn add(&mut self, other: &Self) {
        self.counted.add(other.counted);
        self.from = self.from.min(other.from);
        self.is_written |= other.is_written;
    }
}

struct Held {
    counted: Counted,
    /// The container is in the recording, even if it is not known any more.
    is_written: bool,
}

/// What there is to write.
#[derive(Default)]
pub(super) struct Told {
    pub(super) reached: Vec<recording::Reached>,
    /// How many observations have no peer because too many were waiting.
    pub(super) left_out: u64,
}

impl Reached {
    pub(super) fn new(peers: Peers) -> Self {
        Self {
            peers,
            waiting: HashMap::new(),
            known: HashMap::new(),
            left_out: 0,
            since: UtcTime::default(),
        }
    }

    pub(super) fn peers(&mut self) -> &mut Peers {
        &mut self.peers
    }

    /// A container did something this often.
    pub(super) fn observe(&mut self, container: u64, behaviour: &Behaviour, came: Came, counted: Counted) {
        if place(behaviour).is_none() {
            return;
        }
        let doing = (container, behaviour.clone(), came);
        if self.waiting.len() >= WAITING_MAX && !self.waiting.contains_key(&doing) {
            self.left_out = self.left_out.saturating_add(counted.count);
            return;
        }
        // What was counted before has been flushed; the count's first time may be that of its minute.
        let counted = Counted {
            first: counted.first.max(self.since).min(counted.last),
            ..counted
        };
        self.waiting
            .entry(doing)
            .and_modify(|waiting| waiting.counted.add(counted))
            .or_insert(Waiting {
                counted,
                from: Instant::now(),
                is_written: false,
            });
    }

    /// Looks up who was reached, as of the first time. Who is not known is asked for; what has waited for too long, or what
    /// waits when it `is_over`, stays unknown.
    pub(super) fn settle(&mut self, now: Instant, is_over: bool) {
        for (doing, waiting) in std::mem::take(&mut self.waiting) {
            let Some((address, port, protocol)) = place(&doing.1) else {
                continue;
            };
            let peer = match self.peers.who(address, port, protocol, waiting.counted.first, now) {
                Who::NoPeer => continue,
                Who::Known(peer) => peer,
                Who::Awaited(why) if is_over || now.duration_since(waiting.from) > PATIENCE => Peer::Unknown(why),
                Who::Awaited(_) => {
                    self.waiting.insert(doing, waiting);
                    continue;
                }
            };
            let Waiting {
                counted, is_written, ..
            } = waiting;
            self.known
                .entry((doing, peer))
                .and_modify(|held| {
                    held.counted.add(counted);
                    held.is_written |= is_written;
                })
                .or_insert(Held { counted, is_written });
        }
    }

    /// What is to be written at this flush, `at` its time. What waits for its container's name stays, what is nobody's goes.
    ///
    /// `provenance` is that of whoever came into a container like this and did something last at that time; None where it is
    /// not known yet.
    pub(super) fn take(
        &mut self,
        at: UtcTime,
        standing: impl Fn(u64) -> Standing,
        provenance: impl Fn(u64, &Behaviour, Came, UtcTime) -> Option<Provenance>,
    ) -> Told {
        self.since = at;
        // As long as the container is known: its peers may be told later.
        let settled = |(container, behaviour, came): Doing, last| {
            let came = match provenance(container, &behaviour, came, last) {
                Some(provenance) => Came::As(provenance),
                None if standing(container) == Standing::Nobody => Came::As(Provenance::Entered),
                None => came,
            };
            (container, behaviour, came)
        };
        if self.waiting.keys().any(|(.., came)| matches!(came, Came::With(_))) {
            for (doing, waiting) in std::mem::take(&mut self.waiting) {
                let doing = settled(doing, waiting.counted.last);
                self.waiting
                    .entry(doing)
                    .and_modify(|known| known.add(&waiting))
                    .or_insert(waiting);
            }
        }
        let is_in = |container| matches!(standing(container), Standing::Written | Standing::Unnamed);
        self.waiting.retain(|(container, ..), waiting| {
            waiting.is_written |= is_in(*container);
            waiting.is_written || standing(*container) == Standing::Held
        });
        let mut told = Told {
            reached: Vec::new(),
            left_out: std::mem::take(&mut self.left_out),
        };
        // Not drained: the room of a busy moment is given back.
        for ((doing, peer), held) in std::mem::take(&mut self.known) {
            let doing = settled(doing, held.counted.last);
            let container = doing.0;
            if let Came::As(provenance) = doing.2
                && (held.is_written || is_in(container))
            {
                told.reached
                    .push(row(container, doing.1, provenance, peer, held.counted));
            } else if standing(container) != Standing::Nobody {
                if self.known.len() < WAITING_MAX {
                    self.known.insert((doing, peer), held);
                } else {
                    told.left_out = told.left_out.saturating_add(held.counted.count);
                }
            }
        }
        told
    }

    /// Whether something waits for an answer that may come soon.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.peers.is_asking()
    }
}

/// The address, port and protocol of what can have a peer.
fn place(behaviour: &Behaviour) -> Option<(std::net::IpAddr, u16, baselines::behaviour::Protocol)> {
    match behaviour.action {
        Action::Connect {
            address,
            port,
            protocol,
        }
        | Action::Send {
            address,
            port,
            protocol,
        } => Some((address, port, protocol)),
        _ => None,
    }
}

fn row(
    cgroup_id: u64,
    behaviour: Behaviour,
    provenance: Provenance,
    peer: Peer,
    counted: Counted,
) -> recording::Reached {
    recording::Reached {
        cgroup_id,
        behaviour,
        provenance,
        peer,
        count: counted.count,
        first_seen: counted.first,
        last_seen: counted.last,
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use baselines::behaviour::Protocol;
    use baselines::path::FilePath;
    use baselines::peer::Untold;

    use super::*;
    use crate::kubernetes::peers::{Answer, Moment, Told as Said};

    const ADDRESS: [u8; 4] = [192, 0, 2, 1];

    fn behaviour(action: fn(IpAddr, u16, Protocol) -> Action) -> Behaviour {
        Behaviour {
            subject: FilePath::canonical(*b"/bin/a"),
            action: action(ADDRESS.into(), 443, Protocol::Tcp),
        }
    }

    fn connect() -> Behaviour {
        behaviour(|address, port, protocol| Action::Connect {
            address,
            port,
            protocol,
        })
    }

    fn at(second: u64) -> UtcTime {
        UtcTime::from_nanos(second * 1_000_000_000)
    }

    fn counted(count: u64, first: u64, last: u64) -> Counted {
        Counted {
            count,
            first: at(first),
            last: at(last),
        }
    }

    fn reached() -> Reached {
        let mut reached = Reached::new(Peers::default());
        reached.peers().take(Said::Services(Ok(())), Moment::now());
        reached
    }

    /// Nobody has the addresses that are asked for.
    fn answer(reached: &mut Reached) {
        while let Some(question) = reached.peers().question(Instant::now()) {
            let said = Said::Answer(question.address, Answer::Nobody);
            reached.peers().take(said, Moment::now());
        }
    }

    fn as_it_came(_: u64, _: &Behaviour, came: Came, _: UtcTime) -> Option<Provenance> {
        match came {
            Came::As(provenance) => Some(provenance),
            Came::With(_) => None,
        }
    }

    /// What is written: count, peer, first time in seconds.
    fn flush(reached: &mut Reached, second: u64, standing: Standing) -> Vec<(u64, String, i64)> {
        reached.settle(Instant::now(), false);
        let told = reached.take(at(second), |_| standing, as_it_came);
        let rows = told.reached.into_iter();
        rows.map(|row| (row.count, row.peer.to_string(), row.first_seen.nanos() / 1_000_000_000))
            .collect()
    }

    #[test]
    fn a_peer_is_written_once_it_is_known_even_if_the_container_is_not_any_more() {
        let mut reached = reached();
        reached.observe(1, &connect(), Came::As(Provenance::Workload), counted(2, 10, 11));
        assert_eq!(flush(&mut reached, 12, Standing::Written), []);
        assert!(reached.is_waiting());
        // The count's first time is long ago: what was before was flushed.
        reached.observe(1, &connect(), Came::As(Provenance::Workload), counted(3, 10, 13));
        answer(&mut reached);
        assert_eq!(
            flush(&mut reached, 14, Standing::Nobody),
            [(5, "external".to_owned(), 10)]
        );
        reached.observe(1, &connect(), Came::As(Provenance::Workload), counted(1, 10, 15));
        assert_eq!(
            flush(&mut reached, 16, Standing::Written),
            [(1, "external".to_owned(), 14)]
        );
        assert!(!reached.is_waiting());
    }

    #[test]
    fn what_waits_for_its_containers_name_is_held_and_what_is_nobodys_goes() {
        let mut reached = reached();
        reached.observe(1, &connect(), Came::As(Provenance::Workload), counted(2, 10, 11));
        assert_eq!(flush(&mut reached, 12, Standing::Held), []);
        answer(&mut reached);
        assert_eq!(flush(&mut reached, 13, Standing::Held), []);
        assert_eq!(flush(&mut reached, 14, Standing::Written).len(), 1);
        for _ in 0..2 {
            reached.observe(1, &connect(), Came::As(Provenance::Workload), counted(2, 20, 21));
            assert_eq!(flush(&mut reached, 22, Standing::Nobody), []);
        }
        assert_eq!(flush(&mut reached, 23, Standing::Written), []);
    }

    #[test]
    fn only_connections_and_datagrams_reach_somebody() {
        let mut reached = reached();
        let listen = behaviour(|address, port, protocol| Action::Listen {
            address,
            port,
            protocol,
        });
        reached.observe(1, &listen, Came::As(Provenance::Workload), counted(1, 10, 10));
        let send = behaviour(|address, port, protocol| Action::Send {
            address,
            port,
            protocol,
        });
        reached.observe(1, &send, Came::As(Provenance::Workload), counted(1, 10, 10));
        let here = behaviour(|_, port, protocol| Action::Connect {
            address: [127, 0, 0, 1].into(),
            port,
            protocol,
        });
        reached.observe(1, &here, Came::As(Provenance::Workload), counted(1, 10, 10));
        flush(&mut reached, 11, Standing::Written);
        answer(&mut reached);
        assert_eq!(
            flush(&mut reached, 12, Standing::Written),
            [(1, "external".to_owned(), 10)]
        );
    }

    #[test]
    fn what_nobody_answers_is_unknown_in_the_end() {
        let mut reached = reached();
        let unknown = |reached: &mut Reached, now, is_over| {
            reached.observe(1, &connect(), Came::As(Provenance::Workload), counted(1, 10, 10));
            reached.settle(now, is_over);
            let told = reached.take(at(11), |_| Standing::Written, as_it_came).reached;
            told.into_iter().map(|row| row.peer).collect::<Vec<_>>()
        };
        let now = Instant::now();
        assert_eq!(unknown(&mut reached, now, false), []);
        assert!(reached.peers().question(now).is_some());
        let late = now + PATIENCE + Duration::from_secs(1);
        assert_eq!(unknown(&mut reached, late, false), [Peer::Unknown(Untold::Unanswered)]);
        assert_eq!(unknown(&mut reached, now, true), [Peer::Unknown(Untold::Unanswered)]);
    }

    #[test]
    fn whom_somebody_reached_who_entered_waits_until_it_is_known_who_that_was() {
        let mut reached = reached();
        reached.observe(1, &connect(), Came::With(7), counted(2, 10, 11));
        flush(&mut reached, 12, Standing::Written);
        answer(&mut reached);
        assert_eq!(flush(&mut reached, 13, Standing::Written), []);
        let told = reached.take(
            at(14),
            |_| Standing::Written,
            |_, _, came, _| (came == Came::With(7)).then_some(Provenance::Kubelet),
        );
        let provenances: Vec<_> = told.reached.iter().map(|row| (row.provenance, row.count)).collect();
        assert_eq!(provenances, [(Provenance::Kubelet, 2)]);
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut reached = reached();
        for container in 0..WAITING_MAX as u64 + 5 {
            reached.observe(
                container,
                &connect(),
                Came::As(Provenance::Workload),
                counted(2, 10, 10),
            );
        }
        assert_eq!(reached.take(at(11), |_| Standing::Held, as_it_came).left_out, 10);
        reached.settle(Instant::now(), true);
        let told = reached.take(at(12), |_| Standing::Written, as_it_came);
        assert_eq!((told.reached.len(), told.left_out), (WAITING_MAX, 0));
    }
}
