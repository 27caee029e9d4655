//! Counting: first what one container did, then what all containers of an image did.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Error;
use super::exposure::{Days, Sightings, UnitLength};
use super::generalised;
use super::statistics::Watching;
use crate::behaviour::{Behaviour, Phase, Provenance};
use crate::dns::DnsName;
use crate::document::{Evidence, Rate, Reached};
use crate::peer::Peer;
use crate::recording::{Counted, CountedPeer};
use crate::time::UtcTime;

/// What one container did.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    pub(super) learned: HashMap<Behaviour, Tally>,
    pub(super) not_learned: HashMap<Behaviour, Tally>,
}

impl Tallies {
    pub(super) fn add(&mut self, behaviour: &Behaviour, counted: Counted) {
        let tallies = if counted.provenance.is_learned() {
            &mut self.learned
        } else {
            &mut self.not_learned
        };
        // Looked up first, because most rows are of a behaviour that is there, and need no copy of it.
        match tallies.get_mut(behaviour) {
            Some(tally) => tally.add(counted),
            None => tallies.entry(behaviour.clone()).or_default().add(counted),
        }
    }

    /// When it was last seen to start up, if it was; and everything that it was seen to do from then on.
    pub(super) fn watched(&self) -> (Option<UtcTime>, Days) {
        let mut startup_until = None;
        let mut steady = Days::default();
        for tally in self.learned.values().chain(self.not_learned.values()) {
            startup_until = startup_until.max(tally.startup_until);
            steady.extend(&tally.steady);
        }
        (startup_until, steady)
    }

    /// When it was seen to do what is learned.
    pub(super) fn active(&self) -> Days {
        let mut active = Days::default();
        for tally in self.learned.values() {
            active.extend(&tally.startup);
            active.extend(&tally.steady);
        }
        active
    }

    /// Adds whom a behaviour reached. Of one whose observations retention took away, nothing is known any more.
    pub(super) fn add_peer(&mut self, behaviour: &Behaviour, counted: CountedPeer) {
        let tallies = if counted.provenance.is_learned() {
            &mut self.learned
        } else {
            &mut self.not_learned
        };
        if let Some(tally) = tallies.get_mut(behaviour) {
            let peer = tally.peers.entry((counted.peer, counted.dns_name)).or_default();
            peer.count += u128::from(counted.count);
            widen(&mut peer.seen, (counted.first_seen, counted.last_seen));
        }
    }
}

/// A peer, by the name that it was asked for by.
type Whom = (Peer, Option<DnsName>);

/// How often a peer was reached.
#[derive(Debug, Default)]
struct PeerTally {
    count: u128,
    /// In how many containers.
    containers: u64,
    seen: Option<(UtcTime, UtcTime)>,
}

/// How often one container showed one behaviour.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// At most 2^64 rows of 2^63 each.
    count: u128,
    seen: Option<(UtcTime, UtcTime)>,
    phases: BTreeSet<Phase>,
    provenance: BTreeSet<Provenance>,
    startup_until: Option<UtcTime>,
    startup: Days,
    steady: Days,
    peers: BTreeMap<Whom, PeerTally>,
}

impl Tally {
    fn add(&mut self, counted: Counted) {
        self.count += u128::from(counted.count);
        widen(&mut self.seen, (counted.first_seen, counted.last_seen));
        self.phases.insert(counted.phase);
        self.provenance.insert(counted.provenance);
        match counted.phase {
            Phase::Startup => {
                self.startup_until = self.startup_until.max(Some(counted.last_seen));
                self.startup.insert(counted.minute);
            }
            Phase::Steady => self.steady.insert(counted.minute),
        }
    }
}

/// How often all containers of an image showed one behaviour.
#[derive(Debug, Default)]
pub(super) struct Total {
    count: u128,
    units: u64,
    containers: u64,
    nodes: u64,
    last_node: Option<usize>,
    seen: Option<(UtcTime, UtcTime)>,
    phases: BTreeSet<Phase>,
    provenance: BTreeSet<Provenance>,
    peers: BTreeMap<Whom, PeerTally>,
    /// The days it was seen on, counted from the epoch, sorted.
    days: Vec<i64>,
    /// The containers that showed it, by their numbers in the image's exposure, and how often each did.
    of_containers: Vec<(usize, u64)>,
    rate: Option<Rate>,
    pub(super) sightings: Sightings,
}

impl Total {
    /// Adds one container, by its number in the image's exposure. Those of one node come one after the other.
    pub(super) fn add(&mut self, tally: Tally, node: usize, container: usize) {
        self.count += tally.count;
        // A container's start is one unit.
        let in_startup = tally.phases.contains(&Phase::Startup);
        self.units += u64::from(in_startup) + tally.steady.units(UnitLength::Whole);
        for (day, _) in tally.startup.iter().chain(tally.steady.iter()) {
            if let Err(place) = self.days.binary_search(&day) {
                self.days.insert(place, day);
            }
        }
        // Beyond 64 bits there will be no document.
        let count = u64::try_from(tally.count).unwrap_or(u64::MAX);
        self.of_containers.push((container, count));
        self.sightings.add(container, in_startup, tally.steady);
        self.containers += 1;
        self.nodes += u64::from(self.last_node != Some(node));
        self.last_node = Some(node);
        if let Some(seen) = tally.seen {
            widen(&mut self.seen, seen);
        }
        self.phases.extend(tally.phases);
        self.provenance.extend(tally.provenance);
        for (peer, reached) in tally.peers {
            let total = self.peers.entry(peer).or_default();
            total.count += reached.count;
            total.containers += 1;
            if let Some(seen) = reached.seen {
                widen(&mut total.seen, seen);
            }
        }
    }

    /// How often it was seen.
    pub(super) const fn count(&self) -> u128 {
        self.count
    }

    /// Takes its rate, once all containers are there, and forgets what only that and the estimates need.
    pub(super) fn settle(&mut self, watching: &Watching) {
        self.rate = Some(watching.rate(&std::mem::take(&mut self.of_containers)));
        self.sightings = Sightings::default();
    }

    /// Whom it reached, where that says more than an address.
    pub(super) fn whom(&self) -> Option<generalised::Reached<'_>> {
        generalised::whom(self.peers.keys().map(|(peer, name)| (peer, name.as_ref())))
    }

    /// Whom it reached, sorted.
    ///
    /// # Errors
    /// [`Error::CountTooLarge`] beyond 64 bits.
    pub(super) fn reached(&mut self) -> Result<Vec<Reached>, Error> {
        let reached = std::mem::take(&mut self.peers)
            .into_iter()
            .map(|((peer, dns_name), tally)| {
                let (first_seen, last_seen) = tally.seen.unwrap_or_default();
                Ok(Reached {
                    peer,
                    dns_name,
                    count: u64::try_from(tally.count).map_err(|_| Error::CountTooLarge)?,
                    containers: tally.containers,
                    first_seen: first_seen.whole_second(),
                    last_seen: last_seen.whole_second(),
                })
            });
        reached.collect()
    }

    /// # Errors
    /// [`Error::CountTooLarge`] beyond 64 bits.
    pub(super) fn into_evidence(self) -> Result<Evidence, Error> {
        let (first_seen, last_seen) = self.seen.unwrap_or_default();
        Ok(Evidence {
            count: u64::try_from(self.count).map_err(|_| Error::CountTooLarge)?,
            units: self.units,
            containers: self.containers,
            nodes: self.nodes,
            days: Some(self.days.len() as u64),
            first_seen: first_seen.whole_second(),
            last_seen: last_seen.whole_second(),
            phases: self.phases.into_iter().collect(),
            provenance: self.provenance.into_iter().collect(),
            rate: self.rate,
        })
    }
}

/// Makes a span hold another.
fn widen(span: &mut Option<(UtcTime, UtcTime)>, (first, last): (UtcTime, UtcTime)) {
    let (earliest, latest) = span.get_or_insert((first, last));
    *earliest = first.min(*earliest);
    *latest = last.max(*latest);
}
