//! What the agent that holds the lease does: it adds up what all nodes tell of each window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use baselines::time::UtcTime;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource as _, ResourceExt};
use serde_json::json;
use tokio::task::JoinHandle;

use super::aggregate::aggregate;
use super::coverage::{Nodes, Question, add_up};
use super::objects::{CoverageStatus, LearningWindow, NodeWindow, Phase};
use super::plan::{Plan, criteria, ends_at, plan};
use crate::kubernetes::pages;
use crate::kubernetes::watching::{Events, watching};

/// Who writes a learning window's status, in its `managedFields`.
const MANAGER: &str = "wardline-aggregate";
/// How often the nodes are listed, to find those without an agent.
const LIST_NODES_EVERY: Duration = Duration::from_mins(2);

/// Everything that the nodes tell, while this agent leads.
pub struct Lead {
    client: Client,
    events: Events<DeserializeGuard<NodeWindow>>,
    /// By the learning window's uid and the object's name.
    told: BTreeMap<String, BTreeMap<String, NodeWindow>>,
    /// Whether everything that was there has been read.
    is_complete: bool,
    nodes: Option<BTreeSet<String>>,
    list_nodes: Instant,
    /// How long nodes wait between two times that they tell how much was seen.
    coverage_interval: Duration,
    /// How much was seen, by the learning window's uid.
    coverage: BTreeMap<String, Coverage>,
}

/// How much was seen, as far as that was added up.
struct Coverage {
    adding: Option<JoinHandle<Result<CoverageStatus, String>>>,
    at: Instant,
    /// What was found last: it may not be in the object yet that we know.
    found: Option<CoverageStatus>,
}

impl Drop for Coverage {
    fn drop(&mut self) {
        if let Some(adding) = &self.adding {
            adding.abort();
        }
    }
}

impl Lead {
    /// Begins to listen, when [`Lead::listen`] is polled.
    ///
    /// `coverage_interval` is how long nodes wait between two times that they tell how much was seen.
    pub fn new(client: Client, coverage_interval: Duration) -> Self {
        let all = Api::<DeserializeGuard<NodeWindow>>::all(client.clone());
        Self {
            client,
            events: watching(all, watcher::Config::default()),
            told: BTreeMap::new(),
            is_complete: false,
            nodes: None,
            list_nodes: Instant::now(),
            coverage_interval,
            coverage: BTreeMap::new(),
        }
    }

    /// Takes in the next thing that a node tells.
    pub async fn listen(&mut self) {
        match self.events.next().await {
            Some(Ok(Event::Init)) => {
                self.told.clear();
                self.is_complete = false;
            }
            Some(Ok(Event::InitDone)) => self.is_complete = true,
            Some(Ok(Event::InitApply(node) | Event::Apply(node))) => self.insert(node),
            Some(Ok(Event::Delete(node))) => {
                let name = node.name_any();
                for nodes in self.told.values_mut() {
                    nodes.remove(&name);
                }
            }
            Some(Err(error)) => tracing::warn!("what the nodes tell cannot be heard: {error}"),
            // A watcher has no end.
            None => std::future::pending().await,
        }
    }

    fn insert(&mut self, node: DeserializeGuard<NodeWindow>) {
        let name = node.name_any();
        let mut node = match node.0 {
            Ok(node) => node,
            Err(error) => return tracing::warn!("what {name} tells cannot be read, it is not added up: {error}"),
        };
        // Nothing else of it is read here, and there may be thousands.
        node.metadata.managed_fields = None;
        node.metadata.owner_references = None;
        let nodes = self.told.entry(node.spec.window_uid.clone()).or_default();
        nodes.insert(name, node);
    }

    /// Writes the sums of a window, if they have changed. `now` is by the API server's clock.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn write(&mut self, window: &LearningWindow, now: UtcTime) -> Result<(), kube::Error> {
        if !self.is_complete {
            return Ok(());
        }
        self.list_nodes().await;
        let uid = window.uid().unwrap_or_default();
        let told = self.told.get(&uid).into_iter().flat_map(BTreeMap::values);
        let planned = plan(window, now);
        let ends_at = ends_at(window).unwrap_or(now);
        let mut status = aggregate(told, self.nodes.as_ref(), ends_at, planned == Plan::End, now);
        status.coverage = self.coverage(window, now).await;
        if let Plan::Refuse(why) = planned {
            status.phase = Phase::Refused;
            status.message = Some(why);
        }
        if let Some(before) = &window.status {
            // Nodes that came after its end had nothing to do with it.
            if before.phase == Phase::Ended && status.phase == Phase::Ended {
                status.nodes.without_agent = before.nodes.without_agent;
                status
                    .nodes
                    .without_agent_names
                    .clone_from(&before.nodes.without_agent_names);
                status.message.clone_from(&before.message);
            }
            // As it is there, not as we wrote it: another one may have held the lease meanwhile.
            if *before == status {
                return Ok(());
            }
        }
        // That enough was seen, which somebody may have written who led before us, is not to be undone; sums may be.
        let mut metadata = json!({"name": window.name_any()});
        if let Some(version) = window
            .metadata
            .resource_version
            .as_ref()
            .filter(|_| window.spec.coverage_target.is_some())
        {
            metadata = json!({"name": window.name_any(), "resourceVersion": version});
        }
        let patch = json!({
            "apiVersion": LearningWindow::api_version(&()), "kind": LearningWindow::kind(&()), "metadata": metadata,
            "status": status,
        });
        let windows = Api::<LearningWindow>::all(self.client.clone());
        let options = PatchParams::apply(MANAGER).force();
        let patched = windows
            .patch_status(&window.name_any(), &options, &Patch::Apply(patch))
            .await;
        match patched {
            // It has changed, and is heard of soon.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            patched => patched.map(|_| ()),
        }
    }

    /// How much was seen, by what was added up last. Begins to add up anew where that is due.
    async fn coverage(&mut self, window: &LearningWindow, now: UtcTime) -> Option<CoverageStatus> {
        let criteria = criteria(&window.spec).ok().flatten()?;
        let before = window.status.as_ref().and_then(|status| status.coverage.clone());
        if plan(window, now) == Plan::End {
            return before;
        }
        let uid = window.uid().unwrap_or_default();
        let coverage = self.coverage.entry(uid.clone()).or_insert_with(|| Coverage {
            adding: None,
            at: Instant::now(),
            found: None,
        });
        if let Some(adding) = coverage.adding.take_if(|adding| adding.is_finished()) {
            coverage.at = Instant::now() + self.coverage_interval;
            let why = match adding.await {
                Ok(Ok(found)) => {
                    coverage.found = Some(found);
                    None
                }
                Ok(Err(why)) => Some(why),
                Err(error) => Some(error.to_string()),
            };
            if let Some(why) = why {
                tracing::warn!("{}: how much was seen cannot be added up: {why}", window.name_any());
            }
        }
        let looked_at =
            |coverage: &Option<CoverageStatus>| coverage.as_ref().and_then(|coverage| coverage.looked_at.clone());
        let latest = if looked_at(&coverage.found) > looked_at(&before) {
            coverage.found.clone()
        } else {
            before
        };
        if coverage.adding.is_none() && Instant::now() >= coverage.at {
            let told = self.told.get(&uid).into_iter().flat_map(BTreeMap::values);
            let question = Question {
                window: (window.name_any(), uid),
                criteria,
                now,
                interval: self.coverage_interval,
                nodes: Nodes::of(told, now),
                before: latest.clone().unwrap_or_default(),
            };
            coverage.adding = Some(tokio::spawn(add_up(self.client.clone(), question)));
        }
        latest
    }

    /// Whether everything that the nodes told has been heard.
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Forgets windows that are no more.
    pub fn keep_only(&mut self, uids: &BTreeSet<&str>) {
        self.told.retain(|uid, _| uids.contains(uid.as_str()));
        self.coverage.retain(|uid, _| uids.contains(uid.as_str()));
    }

    /// Only their names, and seldom: nodes have large descriptions that change all the time.
    async fn list_nodes(&mut self) {
        if Instant::now() < self.list_nodes {
            return;
        }
        self.list_nodes = Instant::now() + LIST_NODES_EVERY;
        self.nodes = match self.node_names().await {
            Ok(names) => Some(names),
            Err(error) => {
                tracing::warn!("nodes without an agent cannot be told, since nodes cannot be listed: {error}");
                None
            }
        };
    }

    async fn node_names(&self) -> Result<BTreeSet<String>, kube::Error> {
        let nodes = Api::<Node>::all(self.client.clone());
        let mut names = BTreeSet::new();
        let list = async |page: &ListParams| nodes.list_metadata(page).await;
        pages::for_each(ListParams::default(), list, |node| {
            names.insert(node.name_any());
        })
        .await?;
        Ok(names)
    }
}
