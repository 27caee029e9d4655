//! What changes on this node, as its API server tells it. The only part that talks to one.
//!
//! One list and one watch of the node's pods (`spec.nodeName`), nothing is asked for again and again. Whatever fails is
//! tried again, less and less often (0.8 s to 30 s, as client-go's reflector does): an API server that is down for minutes
//! costs those minutes, one that has forgotten where we were (410) a new list. A pod that went away meanwhile is told as
//! deleted after that list.
//!
//! Whoever runs this needs the rules of [`POD_RULE`] and, to tell Deployments and CronJobs, of [`OWNER_RULES`].

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::time::Duration;

use baselines::time::UtcTime;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::connect::{Source, what_went_wrong};
use super::directory::PodChange;
use super::owners::Owner;
use super::parents::{Asked, Parents};
use super::pods::{Odd, PodFacts};
use super::watching::watching;

/// What a `ClusterRole` has to allow, at least.
pub const POD_RULE: &str = r#"{apiGroups: [""], resources: [pods], verbs: [list, watch]}"#;
/// What it should allow, too.
pub const OWNER_RULES: &str = "{apiGroups: [apps], resources: [replicasets], verbs: [get]} and {apiGroups: [batch], resources: [jobs], verbs: [get]}";

/// How many pods are listed at a time. Each may take 100 KiB while it is read: `managedFields` are kept as they come.
const PAGE: u32 = 50;
/// How many changes may wait to be taken; the watch waits then.
pub(super) const CHANGES_MAX: usize = 1024;
/// How soon to ask again for owners that nobody could tell.
const ASK_AGAIN: Duration = Duration::from_secs(15);
/// Without another failure for that long it is over: the longest time between two attempts is 30 s.
pub(super) const OVER_AFTER: Duration = Duration::from_secs(65);

/// How the watch is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Since when every pod of the node is known. None before the first list, and while nothing can be heard.
    pub connected_since: Option<UtcTime>,
    /// Why nothing can be heard, or the last time that it could not.
    pub last_error: Option<String>,
    /// Why some workloads are named by what is between: ReplicaSets and Jobs. From a container runtime: a pod whose labels
    /// tell of a controller, and not of which.
    pub owners_unknown: Option<String>,
    /// How many pods of this node there are.
    pub pods: usize,
    /// How many descriptions of pods were refused, and how many texts in others left out. From a container runtime: at
    /// present.
    pub odd: u64,
}

/// What comes out of the watch.
#[derive(Debug)]
pub struct Feed {
    /// Every change, in order.
    pub changes: mpsc::Receiver<PodChange>,
    /// How it is doing.
    pub health: watch::Receiver<Health>,
}

/// Follows the pods of a node, once the future is polled. It ends when the feed is dropped.
pub fn follow(source: Source, node: &str) -> (Feed, impl Future<Output = ()> + Send + 'static + use<>) {
    let (changes, receiver) = mpsc::channel(CHANGES_MAX);
    let (sender, health) = watch::channel(Health::default());
    let feed = Feed {
        changes: receiver,
        health,
    };
    let selector = format!("spec.nodeName={node}");
    let task = async move {
        let client = connect(&source, |why| {
            sender.send_modify(|health| health.last_error = Some(why));
        })
        .await;
        let follower = Follower {
            parents: Parents::new(client.clone()),
            changes,
            health: sender,
            known: HashSet::new(),
            listed: HashSet::new(),
            without_owner: HashMap::new(),
        };
        // On the heap: it holds whole pods while it waits.
        Box::pin(follower.run(client, &selector)).await;
    };
    (feed, task)
}

/// Only a configuration that is wrong fails here; it may be mended, too. `failed` is told why.
pub(super) async fn connect(source: &Source, failed: impl Fn(String)) -> Client {
    loop {
        match source.client().await {
            Ok(client) => return client,
            Err(error) => {
                failed(error.to_string());
                sleep(Duration::from_secs(30)).await;
            }
        }
    }
}

struct Follower {
    parents: Parents,
    changes: mpsc::Sender<PodChange>,
    health: watch::Sender<Health>,
    /// The uids of the pods that were told of and are not deleted.
    known: HashSet<String>,
    /// Those in the list that is being read.
    listed: HashSet<String>,
    /// Pods that were told of before anybody could tell who is above their controllers.
    without_owner: HashMap<String, Pod>,
}

/// Nobody listens any more.
struct Over;

impl Follower {
    async fn run(mut self, client: Client, selector: &str) {
        let config = watcher::Config::default().fields(selector).page_size(PAGE);
        let mut events = watching(Api::<Pod>::all(client), config);
        let mut ask_again = Instant::now() + ASK_AGAIN;
        let mut over_at = Instant::now() + OVER_AFTER;
        loop {
            let is_failing = self.health.borrow().last_error.is_some();
            let done = tokio::select! {
                () = self.changes.closed() => Err(Over),
                event = events.next() => match event {
                    Some(Ok(event)) => self.take(event).await,
                    Some(Err(error)) => {
                        over_at = Instant::now() + OVER_AFTER;
                        self.failed(&error);
                        Ok(())
                    }
                    None => Err(Over),
                },
                () = sleep_until(ask_again), if !self.without_owner.is_empty() => {
                    ask_again = Instant::now() + ASK_AGAIN;
                    self.ask_again().await
                }
                // A watch that goes on where it was interrupted has nothing to say until something changes.
                () = sleep_until(over_at), if is_failing && !self.known.is_empty() => {
                    self.succeeded();
                    Ok(())
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn take(&mut self, event: Event<Pod>) -> Result<(), Over> {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.uid());
                self.apply(&pod).await?;
            }
            Event::InitDone => {
                let gone: Vec<String> = self.known.difference(&self.listed).cloned().collect();
                for uid in gone {
                    self.delete(uid).await?;
                }
                self.listed.clear();
                self.succeeded();
            }
            Event::Apply(pod) => {
                self.apply(&pod).await?;
                self.succeeded();
            }
            Event::Delete(pod) => {
                // What it says last may be what nobody has seen yet.
                self.apply(&pod).await?;
                if let Some(uid) = pod.uid() {
                    self.delete(uid).await?;
                }
                self.succeeded();
            }
        }
        Ok(())
    }

    async fn apply(&mut self, pod: &Pod) -> Result<(), Over> {
        let (above, asked) = match Owner::controlling(&pod.metadata) {
            Some(owner) if owner.is_between() => {
                let namespace = pod.namespace().unwrap_or_default();
                self.parents.above(&namespace, &owner).await
            }
            _ => (super::owners::Above::Nobody, Asked::Answered),
        };
        if let Asked::Failed(why) = &asked {
            self.health
                .send_if_modified(|health| health.owners_unknown.replace(why.clone()).as_ref() != Some(why));
        }
        match PodFacts::of(pod, &above) {
            Ok(facts) => {
                match asked {
                    Asked::Answered => self.without_owner.remove(&facts.uid),
                    Asked::Failed(_) => self.without_owner.insert(facts.uid.clone(), slim(pod)),
                };
                self.note_odd(&facts);
                self.known.insert(facts.uid.clone());
                self.tell(PodChange::Applied(Box::new(facts))).await
            }
            Err(refused) => {
                tracing::debug!(%refused, "the description of a pod is of no use");
                self.health
                    .send_modify(|health| health.odd = health.odd.saturating_add(1));
                Ok(())
            }
        }
    }

    fn note_odd(&self, facts: &PodFacts) {
        let count: usize = facts.odd.values().sum();
        if count > 0 {
            let what: Vec<(&Odd, &usize)> = facts.odd.iter().collect();
            tracing::debug!(
                pod = facts.name,
                namespace = facts.namespace,
                ?what,
                "left out of a pod's description"
            );
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.health
                .send_modify(|health| health.odd = health.odd.saturating_add(count));
        }
    }

    async fn delete(&mut self, uid: String) -> Result<(), Over> {
        self.without_owner.remove(&uid);
        if self.known.remove(&uid) {
            self.tell(PodChange::Deleted(uid)).await?;
        }
        Ok(())
    }

    async fn tell(&self, change: PodChange) -> Result<(), Over> {
        self.changes.send(change).await.map_err(|_| Over)
    }

    /// Until one is not answered: then the others would not be, either.
    async fn ask_again(&mut self) -> Result<(), Over> {
        let pods: Vec<Pod> = self.without_owner.values().cloned().collect();
        for pod in pods {
            self.apply(&pod).await?;
            if pod.uid().is_some_and(|uid| self.without_owner.contains_key(&uid)) {
                return Ok(());
            }
        }
        self.health.send_modify(|health| health.owners_unknown = None);
        Ok(())
    }

    fn succeeded(&self) {
        let pods = self.known.len();
        self.health.send_if_modified(|health| {
            let now = Health {
                connected_since: health.connected_since.or_else(|| Some(UtcTime::now())),
                last_error: None,
                pods,
                ..health.clone()
            };
            let is_new = *health != now;
            *health = now;
            is_new
        });
    }

    fn failed(&self, error: &watcher::Error) {
        let why = match error {
            // It was away for too long; the list that follows brings everything.
            watcher::Error::WatchError(status) | watcher::Error::WatchStartFailed(kube::Error::Api(status))
                if status.code == 410 =>
            {
                tracing::debug!(%error, "the watch of pods starts anew");
                return;
            }
            watcher::Error::WatchError(status) => format!("the API server ended the watch of pods: {}", status.message),
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => what_went_wrong("list and watch pods", POD_RULE, error),
            watcher::Error::NoResourceVersion => error.to_string(),
        };
        self.health.send_if_modified(|health| {
            let is_new = health.last_error.as_ref() != Some(&why) || health.connected_since.is_some();
            health.connected_since = None;
            health.last_error = Some(why);
            is_new
        });
    }
}

/// Without what is large and of no use to [`PodFacts`].
fn slim(pod: &Pod) -> Pod {
    let mut pod = pod.clone();
    pod.metadata.managed_fields = None;
    if let Some(spec) = &mut pod.spec {
        spec.volumes = None;
    }
    pod
}
