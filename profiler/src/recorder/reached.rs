//! Whom containers reached: beside the observations, and later than those where somebody has to be asked.
//!
//! Who it was says a cluster, where there is one. By which DNS name it was asked for say the answers that the container was
//! seen to receive, where these are looked at. Without a cluster, only what has a name is recorded.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use baselines::behaviour::{Action, Behaviour, Provenance};
use baselines::dns::{DnsName, NameGap};
use baselines::peer::{Peer, Untold};
use baselines::recording;
use baselines::time::UtcTime;

use super::attribution::Standing;
use super::commands::Came;
use super::rows::Counted;
use crate::kubernetes::peers::{Peers, Who, has_peer};
use crate::names::Names;

/// How long to wait for an answer: the API server may be away for a moment.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);
/// How many connections may wait for their peers or for their containers' names: some 10 MiB. The peers of more are left
/// out.
const WAITING_MAX: usize = 32_768;

/// A container, what it did, and how the process came into it.
type Doing = (u64, Behaviour, Came);

/// What was done, and the name of whom it reached.
type Named = (Doing, Option<DnsName>);

/// Whom containers reached since the last flush, or before, if that was not known then.
#[derive(Default)]
pub(super) struct Reached {
    /// What a cluster says.
    peers: Option<Peers>,
    names: Names,
    /// Not looked up yet: first come the counts, then the answers that came before what they count.
    fresh: HashMap<Doing, Fresh>,
    /// Not known yet.
    waiting: HashMap<Named, Waiting>,
    known: HashMap<(Named, Peer), Held>,
    left_out: u64,
    /// When everything before was flushed.
    since: UtcTime,
}

struct Fresh {
    counted: Counted,
    /// The last time, boot clock, ns.
    seen: u64,
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
    /// What names lack.
    pub(super) name_gaps: BTreeMap<NameGap, u64>,
}

impl Reached {
    /// There is a cluster to tell who has an address.
    pub(super) fn ask_cluster(&mut self) {
        self.peers.get_or_insert_default();
    }

    pub(super) fn peers(&mut self) -> Option<&mut Peers> {
        self.peers.as_mut()
    }

    pub(super) fn names(&mut self) -> &mut Names {
        &mut self.names
    }

    /// A container did something this often, the last time at the moment `seen` (boot clock, ns).
    pub(super) fn observe(&mut self, container: u64, behaviour: &Behaviour, came: Came, counted: Counted, seen: u64) {
        if place(behaviour).is_none_or(|(address, ..)| !has_peer(address.to_canonical())) {
            return;
        }
        let doing = (container, behaviour.clone(), came);
        if self.fresh.len() + self.waiting.len() >= WAITING_MAX && !self.fresh.contains_key(&doing) {
            match self.peers {
                Some(_) => self.left_out = self.left_out.saturating_add(counted.count),
                None => self.names.lack(NameGap::NoRoom, counted.count),
            }
            return;
        }
        // What was counted before has been flushed; the count's first time may be that of its minute.
        let counted = Counted {
            first: counted.first.max(self.since).min(counted.last),
            ..counted
        };
        self.fresh
            .entry(doing)
            .and_modify(|fresh| {
                fresh.counted.add(counted);
                fresh.seen = fresh.seen.max(seen);
            })
            .or_insert(Fresh { counted, seen });
    }

    /// Gives names to what was counted: every answer that came before has been heard by now.
    fn name_fresh(&mut self) {
        for (doing, Fresh { counted, seen }) in std::mem::take(&mut self.fresh) {
            let place = place(&doing.1);
            let name = place.and_then(|(address, ..)| self.names.name_of(doing.0, address, seen, counted.count));
            self.waiting
                .entry((doing, name))
                .and_modify(|waiting| waiting.counted.add(counted))
                .or_insert(Waiting {
                    counted,
                    from: Instant::now(),
                    is_written: false,
                });
        }
    }

    /// Looks up who was reached, as of the first time. Who is not known is asked for; what has waited for too long, or what
    /// waits when it `is_over`, stays unknown.
    pub(super) fn settle(&mut self, now: Instant, is_over: bool) {
        self.name_fresh();
        for (named, waiting) in std::mem::take(&mut self.waiting) {
            let ((_, behaviour, _), name) = &named;
            let Some((address, port, protocol)) = place(behaviour) else {
                continue;
            };
            let who = match &mut self.peers {
                Some(peers) => peers.who(address, port, protocol, waiting.counted.first, now),
                None if name.is_some() => Who::Known(Peer::Unknown(Untold::NoCluster)),
                None => Who::NoPeer,
            };
            let peer = match who {
                Who::NoPeer => continue,
                Who::Known(peer) => peer,
                Who::Awaited(why) if is_over || now.duration_since(waiting.from) > PATIENCE => Peer::Unknown(why),
                Who::Awaited(_) => {
                    self.waiting.insert(named, waiting);
                    continue;
                }
            };
            let Waiting {
                counted, is_written, ..
            } = waiting;
            self.known
                .entry((named, peer))
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
        let settled = |((container, behaviour, came), name): Named, last| {
            let came = match provenance(container, &behaviour, came, last) {
                Some(provenance) => Came::As(provenance),
                None if standing(container) == Standing::Nobody => Came::As(Provenance::Entered),
                None => came,
            };
            ((container, behaviour, came), name)
        };
        if self.waiting.keys().any(|((.., came), _)| matches!(came, Came::With(_))) {
            for (named, waiting) in std::mem::take(&mut self.waiting) {
                let named = settled(named, waiting.counted.last);
                self.waiting
                    .entry(named)
                    .and_modify(|known| known.add(&waiting))
                    .or_insert(waiting);
            }
        }
        let is_in = |container| matches!(standing(container), Standing::Written | Standing::Unnamed);
        self.waiting.retain(|((container, ..), _), waiting| {
            waiting.is_written |= is_in(*container);
            waiting.is_written || standing(*container) == Standing::Held
        });
        let mut told = Told {
            reached: Vec::new(),
            left_out: std::mem::take(&mut self.left_out),
            name_gaps: self.names.take_gaps(),
        };
        // Not drained: the room of a busy moment is given back.
        for ((named, peer), held) in std::mem::take(&mut self.known) {
            let named = settled(named, held.counted.last);
            let container = named.0.0;
            if let Came::As(provenance) = named.0.2
                && (held.is_written || is_in(container))
            {
                told.reached.push(row(named, provenance, peer, held.counted));
            } else if standing(container) != Standing::Nobody {
                if self.known.len() < WAITING_MAX {
                    self.known.insert((named, peer), held);
                } else {
                    told.left_out = told.left_out.saturating_add(held.counted.count);
                }
            }
        }
        told
    }

    /// Whether something waits for an answer that may come soon.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() && self.peers.as_ref().is_some_and(Peers::is_asking)
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
    ((cgroup_id, behaviour, _), dns_name): Named,
    provenance: Provenance,
    peer: Peer,
    counted: Counted,
) -> recording::Reached {
    recording::Reached {
        cgroup_id,
        behaviour,
        provenance,
        peer,
        dns_name,
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

    use super::*;
    use crate::kubernetes::peers::{Answer, Moment, Told as Said};

    const ADDRESS: [u8; 4] = [192, 0, 2, 1];
    /// Boot clock, ns.
    const SEEN: u64 = 1000;

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
        let mut reached = Reached::default();
        reached.ask_cluster();
        let peers = reached.peers().unwrap();
        peers.take(Said::Services(Ok(())), Moment::now());
        reached
    }

    /// Nobody has the addresses that are asked for.
    fn answer(reached: &mut Reached) {
        let peers = reached.peers().unwrap();
        while let Some(question) = peers.question(Instant::now()) {
            let said = Said::Answer(question.address, Answer::Nobody);
            peers.take(said, Moment::now());
        }
    }

    fn as_it_came(_: u64, _: &Behaviour, came: Came, _: UtcTime) -> Option<Provenance> {
        match came {
            Came::As(provenance) => Some(provenance),
            Came::With(_) => None,
        }
    }

    const WORKLOAD: Came = Came::As(Provenance::Workload);

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
        reached.observe(1, &connect(), WORKLOAD, counted(2, 10, 11), SEEN);
        assert_eq!(flush(&mut reached, 12, Standing::Written), []);
        assert!(reached.is_waiting());
        // The count's first time is long ago: what was before was flushed.
        reached.observe(1, &connect(), WORKLOAD, counted(3, 10, 13), SEEN);
        answer(&mut reached);
        assert_eq!(
            flush(&mut reached, 14, Standing::Nobody),
            [(5, "external".to_owned(), 10)]
        );
        reached.observe(1, &connect(), WORKLOAD, counted(1, 10, 15), SEEN);
        assert_eq!(
            flush(&mut reached, 16, Standing::Written),
            [(1, "external".to_owned(), 14)]
        );
        assert!(!reached.is_waiting());
    }

    #[test]
    fn what_waits_for_its_containers_name_is_held_and_what_is_nobodys_goes() {
        let mut reached = reached();
        reached.observe(1, &connect(), WORKLOAD, counted(2, 10, 11), SEEN);
        assert_eq!(flush(&mut reached, 12, Standing::Held), []);
        answer(&mut reached);
        assert_eq!(flush(&mut reached, 13, Standing::Held), []);
        assert_eq!(flush(&mut reached, 14, Standing::Written).len(), 1);
        for _ in 0..2 {
            reached.observe(1, &connect(), WORKLOAD, counted(2, 20, 21), SEEN);
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
        reached.observe(1, &listen, WORKLOAD, counted(1, 10, 10), SEEN);
        let send = behaviour(|address, port, protocol| Action::Send {
            address,
            port,
            protocol,
        });
        reached.observe(1, &send, WORKLOAD, counted(1, 10, 10), SEEN);
        let here = behaviour(|_, port, protocol| Action::Connect {
            address: [127, 0, 0, 1].into(),
            port,
            protocol,
        });
        reached.observe(1, &here, WORKLOAD, counted(1, 10, 10), SEEN);
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
            reached.observe(1, &connect(), WORKLOAD, counted(1, 10, 10), SEEN);
            reached.settle(now, is_over);
            let told = reached.take(at(11), |_| Standing::Written, as_it_came).reached;
            told.into_iter().map(|row| row.peer).collect::<Vec<_>>()
        };
        let now = Instant::now();
        assert_eq!(unknown(&mut reached, now, false), []);
        assert!(reached.peers().unwrap().question(now).is_some());
        let late = now + PATIENCE + Duration::from_secs(1);
        assert_eq!(unknown(&mut reached, late, false), [Peer::Unknown(Untold::Unanswered)]);
        assert_eq!(unknown(&mut reached, now, true), [Peer::Unknown(Untold::Unanswered)]);
    }

    #[test]
    fn whom_somebody_reached_who_entered_waits_until_it_is_known_who_that_was() {
        let mut reached = reached();
        reached.observe(1, &connect(), Came::With(7), counted(2, 10, 11), SEEN);
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
            reached.observe(container, &connect(), WORKLOAD, counted(2, 10, 10), SEEN);
        }
        assert_eq!(reached.take(at(11), |_| Standing::Held, as_it_came).left_out, 10);
        reached.settle(Instant::now(), true);
        let told = reached.take(at(12), |_| Standing::Written, as_it_came);
        assert_eq!((told.reached.len(), told.left_out), (WAITING_MAX, 0));
    }

    /// What is written: count, peer, name.
    fn named(reached: &mut Reached) -> Vec<(u64, String, Option<String>)> {
        reached.settle(Instant::now(), false);
        let told = reached
            .take(at(12), |_| Standing::Written, as_it_came)
            .reached
            .into_iter();
        let mut rows: Vec<_> = told
            .map(|row| {
                (
                    row.count,
                    row.peer.to_string(),
                    row.dns_name.map(|name| name.to_string()),
                )
            })
            .collect();
        rows.sort();
        rows
    }

    #[test]
    fn the_name_is_the_one_that_was_answered_before_whoever_is_asked_about_the_address() {
        for has_cluster in [true, false] {
            let mut reached = if has_cluster { reached() } else { Reached::default() };
            let peer = if has_cluster { "external" } else { "unknown/no_cluster" };
            let row = |count, name: &str| (count, peer.to_owned(), Some(name.to_owned()));
            // It is read after the count, and came before what was counted; the next one came later.
            reached.observe(1, &connect(), WORKLOAD, counted(2, 10, 11), SEEN);
            reached.observe(2, &connect(), WORKLOAD, counted(4, 10, 11), SEEN);
            for (name, time) in [("a.example", SEEN - 1), ("b.example", SEEN + 1)] {
                reached.names().hear(1, &name.parse().unwrap(), ADDRESS.into(), time);
            }
            assert_eq!(named(&mut reached).len(), usize::from(!has_cluster));
            reached.observe(1, &connect(), WORKLOAD, counted(3, 12, 13), SEEN + 2);
            if has_cluster {
                answer(&mut reached);
                let nameless = (4, peer.to_owned(), None);
                assert_eq!(
                    named(&mut reached),
                    [row(2, "a.example"), row(3, "b.example"), nameless]
                );
            } else {
                assert_eq!(named(&mut reached), [row(3, "b.example")]);
            }
            assert_eq!(reached.names().take_gaps(), BTreeMap::new(), "written already");
        }
    }
}
