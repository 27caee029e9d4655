//! Addresses, and who had them one after the other.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

use baselines::behaviour::Protocol;
use baselines::peer::Peer;
use baselines::time::UtcTime;

use crate::kubernetes::directory::REMEMBERED;

/// An address: at one port, or at all of them.
pub type Place = (IpAddr, Option<(u16, Protocol)>);

/// How many places are known of services, and of this node's pods: more than 5,000 services with ten ports each have.
const PLACES_MAX: usize = 131_072;
/// How many of those who had a place are remembered.
const TENANTS_MAX: usize = 4;

/// Whether an address is one that somebody can have: loopback, unspecified, link-local, multicast and broadcast addresses
/// mean the same wherever they are used, and the API server allows none of them for a service or an endpoint
/// (`ValidateNonSpecialIP`, pkg/apis/core/validation/validation.go in Kubernetes). Among them is 169.254.169.254, where
/// clouds keep their metadata. IPv4-mapped addresses have to be made IPv4 before.
pub fn has_peer(address: IpAddr) -> bool {
    let is_special = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => is_link_local(address),
    };
    !is_special && !address.is_loopback() && !address.is_unspecified() && !address.is_multicast()
}

/// `fe80::/10` (RFC 4291, 2.5.6).
fn is_link_local(address: Ipv6Addr) -> bool {
    let [first, ..] = address.segments();
    first & 0xffc0 == 0xfe80
}

/// When something is heard.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// As observations are dated.
    pub utc: UtcTime,
    /// As time passes.
    pub instant: Instant,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self {
            utc: UtcTime::now(),
            instant: Instant::now(),
        }
    }
}

/// Who had an address, and since when.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    /// In the order in which they came.
    list: Vec<(UtcTime, Peer)>,
    /// When the last one was last known to have it.
    seen: UtcTime,
}

impl Tenants {
    /// Somebody has it now, and had not before `since`. The first one that is known may have had it all the time before,
    /// unless it was not there.
    pub(super) fn take(&mut self, peer: Peer, since: UtcTime) {
        if self.last() == Some(&peer) {
            return;
        }
        let since = match (self.list.is_empty(), &peer) {
            // Nobody came: it has always been like that.
            (true, Peer::External | Peer::Unknown(_)) => UtcTime::default(),
            (true, _) => since,
            // It may be older than the time from when on it has the address.
            (false, _) => since.max(self.seen),
        };
        if self.list.len() >= TENANTS_MAX {
            self.list.remove(0);
        }
        self.list.push((since, peer));
    }

    /// The last one still had it at this moment.
    pub(super) fn seen(&mut self, at: UtcTime) {
        self.seen = self.seen.max(at);
    }

    /// When the last one was last known to have it.
    pub(super) fn seen_at(&self) -> UtcTime {
        self.seen
    }

    /// Who had it at a moment. None if all that are known came later.
    pub(super) fn at(&self, at: UtcTime) -> Option<&Peer> {
        let came = self.list.iter().rev().find(|(since, _)| *since <= at);
        came.map(|(_, peer)| peer)
    }

    /// Who had it last.
    pub(super) fn last(&self) -> Option<&Peer> {
        self.list.last().map(|(_, peer)| peer)
    }
}

/// The places of objects that are watched.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// By the objects' uids.
    places_of: HashMap<String, Vec<Place>>,
    places: HashMap<Place, Watch>,
    /// Places that somebody gave up, in that order.
    given_up: VecDeque<(Instant, Place)>,
}

#[derive(Debug, Default)]
struct Watch {
    tenants: Tenants,
    /// Who has it; nobody at the moment, where None.
    holder: Option<String>,
    /// When it was given up.
    given_up: Option<Instant>,
}

impl Watched {
    /// An object is there, with these places now. False if not all of them could be kept.
    pub(super) fn insert(
        &mut self,
        uid: &str,
        peer: &Peer,
        since: UtcTime,
        places: impl IntoIterator<Item = Place>,
        now: Moment,
    ) -> bool {
        let mut fits = true;
        let mut kept = Vec::new();
        for place in places {
            if self.places.len() >= PLACES_MAX && !self.places.contains_key(&place) {
                fits = false;
                continue;
            }
            let watch = self.places.entry(place).or_default();
            watch.tenants.take(peer.clone(), since);
            watch.holder = Some(uid.to_owned());
            watch.given_up = None;
            kept.push(place);
        }
        let before = self.places_of.remove(uid).unwrap_or_default();
        self.give_up(uid, before.into_iter().filter(|place| !kept.contains(place)), now);
        self.places_of.insert(uid.to_owned(), kept);
        fits
    }

    /// An object is gone.
    pub(super) fn remove(&mut self, uid: &str, now: Moment) {
        let places = self.places_of.remove(uid).unwrap_or_default();
        self.give_up(uid, places, now);
    }

    fn give_up(&mut self, uid: &str, places: impl IntoIterator<Item = Place>, now: Moment) {
        for place in places {
            let Some(watch) = self.places.get_mut(&place) else {
                continue;
            };
            // Somebody else may have taken it.
            if watch.holder.as_deref() == Some(uid) {
                watch.tenants.seen(now.utc);
                (watch.holder, watch.given_up) = (None, Some(now.instant));
                self.given_up.push_back((now.instant, place));
            }
        }
    }

    /// Those who had a place that somebody has now.
    pub(super) fn held(&self, place: &Place) -> Option<&Tenants> {
        let watch = self.places.get(place)?;
        watch.holder.is_some().then_some(&watch.tenants)
    }

    /// Those who had a place that somebody has, or had a while ago.
    pub(super) fn remembered(&self, place: &Place) -> Option<&Tenants> {
        self.places.get(place).map(|watch| &watch.tenants)
    }

    /// Forgets places that were given up too long ago, or that are too many.
    pub(super) fn forget(&mut self, now: Instant) {
        while let Some((at, place)) = self.given_up.front()
            && (now.duration_since(*at) > REMEMBERED || self.given_up.len() > PLACES_MAX)
        {
            // It may have been taken since, and given up again.
            if self.places.get(place).is_some_and(|watch| watch.given_up == Some(*at)) {
                self.places.remove(place);
            }
            self.given_up.pop_front();
        }
    }
}
