//! What a container runtime says about the pods of its node: the source of names where there is no API server.
//!
//! | module | question it answers |
//! |---|---|
//! | [`endpoint`] | Which runtime is it, and where? |
//! | [`messages`] | What does it send? |
//! | [`client`] | How is it asked? |
//! | [`facts`] | What does that say of pods? |
//! | [`owners`] | Which workload is a pod of? |
//!
//! The Container Runtime Interface has no watch that every runtime knows (`GetContainerEvents` is optional), so that the lists
//! are asked for again and again: every second while a container came that is not named yet, every ten seconds otherwise.
//! The kubelet itself asks for them every second (`genericPlegRelistPeriod`, pkg/kubelet/kubelet.go).

pub mod client;
pub mod endpoint;
pub mod facts;
pub mod messages;
pub mod owners;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use baselines::time::UtcTime;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::client::Runtime;
use self::endpoint::Endpoint;
use self::facts::{Listed, asked_image, listed};
use self::messages::{Container, Image};
use super::directory::PodChange;
use super::pods::PodFacts;
use super::watch::{CHANGES_MAX, Feed, Health};

/// How often to ask.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// While somebody waits for it.
    soon: Duration,
    /// Otherwise.
    later: Duration,
    /// How long somebody waits: who is not named by then may never be.
    waits: Duration,
}

const PACE: Pace = Pace {
    soon: Duration::from_secs(1),
    later: Duration::from_secs(10),
    waits: Duration::from_secs(15),
};
/// How long to leave a runtime alone that does not answer, at most.
const FAILING_MAX: Duration = Duration::from_secs(30);

/// Follows the pods of a node, once the future is polled. It ends when the feed is dropped. The third one is told whenever
/// somebody waits for a name.
pub fn follow(endpoint: &Endpoint) -> (Feed, impl Future<Output = ()> + Send + 'static + use<>, Arc<Notify>) {
    follow_at(PACE, Runtime::new(endpoint.clone()))
}

fn follow_at(pace: Pace, runtime: Runtime) -> (Feed, impl Future<Output = ()> + Send + 'static, Arc<Notify>) {
    let (changes, receiver) = mpsc::channel(CHANGES_MAX);
    let (sender, health) = watch::channel(Health::default());
    let feed = Feed {
        changes: receiver,
        health,
    };
    let awaited = Arc::new(Notify::new());
    let follower = Follower {
        pace,
        runtime,
        changes,
        health: sender,
        awaited: Arc::clone(&awaited),
        known: BTreeMap::new(),
        images: BTreeMap::new(),
        odd: 0,
    };
    (feed, follower.run(), awaited)
}

impl Pace {
    /// How long to wait after so many failures in a row.
    fn pause(self, failures: u32, is_awaited: bool) -> Duration {
        match (failures, is_awaited) {
            (0, true) => self.soon,
            (0, false) => self.later,
            _ => {
                let longer = 2_u32.saturating_pow(failures.saturating_sub(1));
                self.soon.saturating_mul(longer).min(FAILING_MAX)
            }
        }
    }
}

struct Follower {
    pace: Pace,
    runtime: Runtime,
    changes: mpsc::Sender<PodChange>,
    health: watch::Sender<Health>,
    awaited: Arc<Notify>,
    /// What was told of the pods that are there, by their uids.
    known: BTreeMap<String, PodFacts>,
    /// Images that were asked for, None for those that are gone; by what they were asked for by.
    images: BTreeMap<String, Option<Image>>,
    /// What was of no use in the last lists.
    odd: u64,
}

/// Nobody listens any more.
struct Over;

impl Follower {
    async fn run(mut self) {
        let mut failures = 0_u32;
        let mut soon_until = Instant::now() + self.pace.waits;
        loop {
            match self.look().await {
                Ok(Ok(())) => failures = 0,
                Ok(Err(Over)) => return,
                Err(why) => {
                    failures = failures.saturating_add(1);
                    self.failed(why);
                }
            }
            let looked = Instant::now();
            let mut next = looked + self.pace.pause(failures, looked < soon_until);
            loop {
                tokio::select! {
                    () = self.changes.closed() => return,
                    () = self.awaited.notified() => {
                        soon_until = Instant::now() + self.pace.waits;
                        next = next.min(looked + self.pace.pause(failures, true));
                    }
                    () = sleep_until(next) => break,
                }
            }
        }
    }

    /// Asks for everything, and tells what is new of it. The outer error is the runtime's.
    async fn look(&mut self) -> Result<Result<(), Over>, String> {
        // In this order: a container that is listed has had its sandbox then.
        let (containers, sandboxes) = self.runtime.lists().await?;
        let trouble = self.look_at_images(&containers).await.err();
        let found = listed(&sandboxes, &containers, &self.images);
        self.note(&found, trouble);
        Ok(self.tell(found.pods).await)
    }

    /// Asks for the images that are new. Those that nothing runs any more are forgotten.
    async fn look_at_images(&mut self, containers: &[Container]) -> Result<(), String> {
        let mut before = std::mem::take(&mut self.images);
        let (mut trouble, mut is_hanging) = (None, false);
        for name in containers.iter().filter_map(asked_image) {
            if self.images.contains_key(name) {
                continue;
            }
            if let Some(known) = before.remove(name) {
                self.images.insert(name.to_owned(), known);
            } else if !is_hanging {
                let asked = Instant::now();
                match self.runtime.image(name).await {
                    Ok(status) => drop(self.images.insert(name.to_owned(), status)),
                    Err(why) => trouble = Some(why),
                }
                // Who is as slow as that would keep all pods waiting, once for each image.
                is_hanging = asked.elapsed() > self.pace.soon;
            }
        }
        trouble.map_or(Ok(()), Err)
    }

    async fn tell(&mut self, pods: BTreeMap<String, PodFacts>) -> Result<(), Over> {
        for (uid, facts) in &pods {
            if self.known.get(uid) != Some(facts) {
                self.send(PodChange::Applied(Box::new(facts.clone()))).await?;
            }
        }
        let before = std::mem::replace(&mut self.known, pods);
        for uid in before
            .into_keys()
            .filter(|uid| !self.known.contains_key(uid))
            .collect::<Vec<_>>()
        {
            self.send(PodChange::Deleted(uid)).await?;
        }
        Ok(())
    }

    async fn send(&self, change: PodChange) -> Result<(), Over> {
        self.changes.send(change).await.map_err(|_| Over)
    }

    fn note(&mut self, found: &Listed, trouble: Option<String>) {
        // Whatever comes or goes between two lists is of no use for a moment.
        let odd = found.odd.min(std::mem::replace(&mut self.odd, found.odd));
        self.health.send_if_modified(|health| {
            let now = Health {
                connected_since: health.connected_since.or_else(|| Some(UtcTime::now())),
                last_error: trouble,
                owners_unknown: health.owners_unknown.clone().or_else(|| found.unclear.clone()),
                pods: found.pods.len(),
                odd,
            };
            let is_new = *health != now;
            *health = now;
            is_new
        });
    }

    fn failed(&self, why: String) {
        self.health.send_modify(|health| {
            health.connected_since = None;
            health.last_error = Some(why);
        });
    }
}
