//! Who has an address of the cluster's network. Pure: what was told goes in, peers and questions come out.
//!
//! Of services every address is known, because there is one watch of them. Of pods only those of this node are: 5,000 nodes
//! that each watched 150,000 pods would be the cluster's whole load. So whoever else has an address is asked for when a
//! container has reached it, seldom, and remembered:
//!
//! | what has the address | how that is known |
//! |---|---|
//! | a service | watched: its cluster addresses; its external ones at its ports only, because services and nodes share them |
//! | a pod of this node | watched |
//! | a node | asked for: a pod in its node's network has the address, or the list of nodes has it |
//! | another pod | asked for by its address, and every [`GOOD_FOR`] while it is reached whether it is still there |
//! | nothing of these | external, which is asked again ever more seldom ([`NOBODY_FOR`]) |
//!
//! Addresses are used again: a peer is whoever had the address at the moment of the observation. Who had it last has it
//! until somebody else takes it, for [`REMEMBERED`]. Addresses that mean the same everywhere have no peer, see [`has_peer`].

mod addresses;
mod facts;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use baselines::behaviour::Protocol;
use baselines::peer::{Peer, Untold};
use baselines::time::UtcTime;

pub use self::addresses::{Moment, Place, has_peer};
use self::addresses::{Tenants, Watched};
pub use self::facts::{Claim, ServiceFacts, Table, claim, node_addresses};
use super::directory::{PodChange, REMEMBERED};
use super::pods::PodFacts;

/// How long an answer is believed that somebody has an address.
pub const GOOD_FOR: Duration = Duration::from_secs(30);
/// How long it is believed at first that nobody has it. Each time that it is found again, twice as long, up to 16 minutes.
pub const NOBODY_FOR: Duration = Duration::from_mins(1);
const DOUBLINGS_MAX: u32 = 4;
/// How soon to ask again for what could not be told.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How many questions may be asked at once, and then one in how long a time.
const AT_ONCE: u32 = 32;
const ONE_IN: Duration = Duration::from_millis(500);
/// How many addresses may wait for their answers.
const WANTED_MAX: usize = 1_024;
/// How many answers are remembered: some 4 MiB.
const ANSWERS_MAX: usize = 8_192;

/// A pod's name, by which it is found at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Who has this address now?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The address, IPv4 where it was mapped.
    pub address: IpAddr,
    /// Which pod had it last: it probably still has.
    pub pod: Option<PodName>,
}

/// Who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Somebody has.
    Held {
        /// Who.
        peer: Peer,
        /// Not before then.
        since: UtcTime,
        /// If it is a pod: which one.
        pod: Option<PodName>,
    },
    /// Neither a pod nor a node has.
    Nobody,
    /// It could not be found out.
    Untold(Untold),
}

/// What a cluster says about addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A service is there, with these addresses now.
    Service(ServiceFacts),
    /// The service with this uid is gone.
    ServiceGone(String),
    /// Every service that there is has been told of; or why nobody can tell.
    Services(Result<(), Untold>),
    /// The answer to a question.
    Answer(IpAddr, Answer),
}

/// What is known about an address at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// It needs no peer.
    NoPeer,
    /// This one had it.
    Known(Peer),
    /// It may be told later; if not, this is why.
    Awaited(Untold),
}

/// Everything that is known.
#[derive(Debug)]
pub struct Peers {
    services: Watched,
    /// Whether all services are known.
    are_services_known: Result<(), Untold>,
    /// The pods of this node.
    here: Watched,
    /// Whether the cluster's second family of addresses is IPv6, if it has two: nobody can ask for pods by that one.
    second_is_v6: Option<bool>,
    answers: HashMap<IpAddr, Known>,
    /// Addresses to ask for, and whether that has been done.
    pending: HashMap<IpAddr, bool>,
    wanted: VecDeque<IpAddr>,
    /// How many questions may be asked, as of this moment.
    allowed: u32,
    allowed_at: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    tenants: Tenants,
    /// Which pod has it.
    pod: Option<PodName>,
    /// When somebody was last known to have it.
    held: Option<Instant>,
    /// When to ask again.
    good_until: Instant,
    /// How many times in a row nobody had it.
    in_vain: u32,
    /// The last time nobody could tell.
    untold: Option<Untold>,
}

impl Default for Peers {
    fn default() -> Self {
        Self {
            services: Watched::default(),
            are_services_known: Err(Untold::Unanswered),
            here: Watched::default(),
            second_is_v6: None,
            answers: HashMap::new(),
            pending: HashMap::new(),
            wanted: VecDeque::new(),
            allowed: AT_ONCE,
            allowed_at: None,
        }
    }
}

impl Peers {
    /// Who was reached at this address and port at that moment. What is not known is asked for.
    pub fn who(&mut self, address: IpAddr, port: u16, protocol: Protocol, at: UtcTime, now: Instant) -> Who {
        // An IPv4 address and its IPv4-mapped form (RFC 4291, 2.5.5.2) are one peer.
        let address = address.to_canonical();
        if !has_peer(address) {
            return Who::NoPeer;
        }
        let ports = [None, Some((port, protocol))];
        let service = ports
            .iter()
            .find_map(|port| self.services.remembered(&(address, *port)));
        if let Some(tenants) = service.or_else(|| self.here.held(&(address, None))) {
            return had(tenants, at);
        }
        let why = match self.answers.get(&address) {
            Some(known) => match known.untold {
                // An answer that came after it was reached says who it was, however old that is by now.
                None if known.good_until > now || known.tenants.seen_at() >= at => return self.answered(known, at),
                Some(why) if known.good_until > now => return Who::Awaited(why),
                why => why,
            },
            None => None,
        };
        let asked = self.want(address);
        Who::Awaited(why.unwrap_or(asked))
    }

    /// Where services are not all known, whatever nobody else has may be one's.
    fn answered(&self, known: &Known, at: UtcTime) -> Who {
        match (had(&known.tenants, at), self.are_services_known) {
            (Who::Known(Peer::External), Err(why)) => Who::Awaited(why),
            (who, _) => who,
        }
    }

    /// Asks for an address, unless too many are asked for. Why it is not known yet.
    fn want(&mut self, address: IpAddr) -> Untold {
        match self.pending.get(&address) {
            Some(true) => return Untold::Unanswered,
            None if self.pending.len() < WANTED_MAX => {
                self.pending.insert(address, false);
                self.wanted.push_back(address);
            }
            Some(false) | None => {}
        }
        Untold::TooMany
    }

    /// The next question, if it may be asked now.
    pub fn question(&mut self, now: Instant) -> Option<Question> {
        self.allow(now);
        let left = self.allowed.checked_sub(1)?;
        let address = self.wanted.pop_front()?;
        self.allowed = left;
        self.pending.insert(address, true);
        let known = self.answers.get(&address);
        Some(Question {
            address,
            pod: known.and_then(|known| known.pod.clone()),
        })
    }

    fn allow(&mut self, now: Instant) {
        let since = *self.allowed_at.get_or_insert(now);
        let more = now.duration_since(since).as_millis() / ONE_IN.as_millis();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more > 0 {
            self.allowed = self.allowed.saturating_add(more).min(AT_ONCE);
            // The rest of the time counts for the next one.
            self.allowed_at = Some(since + ONE_IN.saturating_mul(more));
        }
    }

    /// Whether an answer may still come soon.
    pub fn is_asking(&self) -> bool {
        !self.pending.is_empty() || self.are_services_known == Err(Untold::Unanswered)
    }

    /// Takes in what a cluster says, at this moment.
    pub fn take(&mut self, told: Told, now: Moment) {
        match told {
            Told::Service(facts) => {
                let fits = self
                    .services
                    .insert(&facts.uid, &facts.peer, facts.since, facts.places, now);
                if !fits || facts.is_cut {
                    self.are_services_known = Err(Untold::TooMany);
                }
            }
            Told::ServiceGone(uid) => self.services.remove(&uid, now),
            // What did not fit is not known because others were told.
            Told::Services(_) if self.are_services_known == Err(Untold::TooMany) => {}
            Told::Services(known) => self.are_services_known = known,
            Told::Answer(address, answer) => self.answer(address, answer, now),
        }
        self.services.forget(now.instant);
    }

    /// Takes in a change of this node's pods.
    pub fn pod_changed(&mut self, change: &PodChange, now: Moment) {
        match change {
            PodChange::Applied(facts) => self.pod_applied(facts, now),
            PodChange::Deleted(uid) => self.here.remove(uid, now),
        }
        self.here.forget(now.instant);
    }

    fn pod_applied(&mut self, facts: &PodFacts, now: Moment) {
        let peer = Peer::Pod {
            namespace: facts.namespace.clone(),
            kind: facts.workload.kind.clone(),
            name: facts.workload.name.clone(),
        };
        let places = facts.addresses.iter().map(|address| (*address, None));
        // What does not fit is asked for, like pods elsewhere.
        self.here.insert(&facts.uid, &peer, facts.created, places, now);
        // The first address is of the first family, by which the API server can be asked (`status.podIP`,
        // pkg/registry/core/pod/strategy.go in Kubernetes).
        if let [first, second, ..] = facts.addresses.as_slice()
            && first.is_ipv4() != second.is_ipv4()
        {
            self.second_is_v6 = Some(second.is_ipv6());
        }
    }

    fn answer(&mut self, address: IpAddr, answer: Answer, now: Moment) {
        if self.pending.remove(&address).is_none() {
            return; // nobody asked
        }
        self.make_room(address, now.instant);
        let was_here = self.here.remembered(&(address, None)).and_then(Tenants::last).cloned();
        let is_second = self.second_is_v6 == Some(address.is_ipv6());
        let nobody = Peer::Unknown(Untold::SecondFamily);
        let nobody = if is_second { nobody } else { Peer::External };
        let known = self.answers.entry(address).or_insert_with(|| Known {
            tenants: Tenants::default(),
            pod: None,
            held: None,
            good_until: now.instant,
            in_vain: 0,
            untold: None,
        });
        known.untold = None;
        let good_for = match answer {
            Answer::Held { peer, since, pod } => {
                known.tenants.take(peer, since);
                known.tenants.seen(now.utc);
                (known.pod, known.held, known.in_vain) = (pod, Some(now.instant), 0);
                GOOD_FOR
            }
            Answer::Nobody => {
                known.nobody_has_it(was_here, nobody, now);
                let doublings = known.in_vain.min(DOUBLINGS_MAX);
                known.in_vain = known.in_vain.saturating_add(1);
                NOBODY_FOR * 2_u32.pow(doublings)
            }
            Answer::Untold(why) => {
                known.untold = Some(why);
                ASK_AGAIN
            }
        };
        known.good_until = now.instant + good_for;
    }

    /// Forgets answers, if there are too many for one about this address.
    fn make_room(&mut self, address: IpAddr, now: Instant) {
        if self.answers.len() < ANSWERS_MAX || self.answers.contains_key(&address) {
            return;
        }
        self.answers.retain(|_, known| known.good_until > now);
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.clear();
        }
    }
}

impl Known {
    /// Who had it last still counts, for a while.
    fn nobody_has_it(&mut self, was_here: Option<Peer>, nobody: Peer, now: Moment) {
        self.pod = None;
        let is_remembered = |held: Instant| now.instant.duration_since(held) <= REMEMBERED;
        match was_here {
            Some(peer) => self.tenants.take(peer, UtcTime::default()),
            None if self.held.is_some_and(is_remembered) => {}
            None => {
                self.tenants.take(nobody, now.utc);
                self.tenants.seen(now.utc);
            }
        }
    }
}

/// Who of them had it at that moment. If all came later, nobody knows who was before.
fn had(tenants: &Tenants, at: UtcTime) -> Who {
    let peer = tenants.at(at).cloned();
    Who::Known(peer.unwrap_or(Peer::Unknown(Untold::Reused)))
}
