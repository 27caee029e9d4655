//! The agent of a cluster's node: it follows the cluster's learning windows, has a recorder for each, and tells how they do.
//!
//! | module | question it answers |
//! |---|---|
//! | [`objects`] | What are agents told, and what do they tell? |
//! | [`plan`] | What does a window ask of a node? |
//! | [`recorder`] | How does a recorder begin and end? |
//! | `followed` | What is to be done about a window just now? |
//! | `files` | Which recordings are kept? |
//! | [`report`] | What is told of a recording? |
//! | [`aggregate`] | What do all nodes together tell? |
//! | [`lease`] | Which agent adds that up? |
//! | [`lead`] | How? |
//! | `coverage` | When was enough seen, on all nodes together? |
//! | [`serve`] | How do recordings get to a workstation? |
//! | [`asked`] | How is one asked for? |
//! | [`authorise`] | Who may have it? |
//! | [`exports`] | Which file is given away? |
//!
//! `plan`, `report`, `aggregate` and `asked` are pure. Windows end by the API server's clock: an agent finds out how much its own is
//! ahead by the time that the API server gives to an object that it is asked to make and not to keep (a dry run).

pub mod aggregate;
pub mod asked;
pub mod authorise;
mod coverage;
pub mod exports;
mod files;
mod followed;
pub mod lead;
pub mod lease;
pub mod objects;
pub mod plan;
pub mod recorder;
pub mod report;
pub mod serve;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use baselines::recording::Retention;
use baselines::time::UtcTime;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::files::{is_uid, tidy};
use self::followed::Followed;
use self::lead::Lead;
use self::lease::Election;
use self::objects::{AgentFacts, LearningWindow, NodeWindow, NodeWindowSpec, NodeWindowStatus, Phase, WINDOW_LABEL};
use self::plan::{Plan, plan};
use self::serve::{Server, Windows};
use crate::kubernetes::connect::what_went_wrong;
use crate::kubernetes::times::{by_server, utc};
use crate::kubernetes::watching::watching;

/// Who writes what a node tells, in its `managedFields`.
const MANAGER: &str = "wardline-agent";
/// How often windows are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the API server may take for an answer: recorders are looked after meanwhile, but not forever.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A clock that is ahead by less is right: the API server writes whole seconds, and an answer takes time.
const CLOCK_TOLERANCE_SECONDS: i64 = 2;
/// How often the clocks are compared.
const COMPARE_CLOCKS_EVERY: Duration = Duration::from_mins(10);
/// How often old recordings are looked for.
const TIDY_EVERY: Duration = Duration::from_mins(10);
/// How long recorders may take to end, when the agent does. A pod has 30 s by default.
const END_WITHIN: Duration = Duration::from_secs(15);

/// How an agent works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the cluster calls this node.
    pub node: String,
    /// Where recordings are.
    pub directory: PathBuf,
    /// How often to tell how a window does.
    pub report_interval: Duration,
    /// How often to tell how much was seen of each image, in windows that end by coverage.
    pub coverage_interval: Duration,
    /// How many windows are followed at a time.
    pub windows_max: usize,
    /// Which recordings are kept when their windows are over, or their objects are gone.
    pub keep: Retention,
    /// Options of all recorders.
    pub recorder_options: Vec<OsString>,
    /// Where the agents' lease is.
    pub lease_namespace: String,
    /// The pod that this runs in.
    pub pod: Option<AgentFacts>,
}

/// An agent at work.
pub struct Agent {
    settings: Settings,
    client: Client,
    election: Election,
    lead: Option<Lead>,
    /// By uid.
    windows: BTreeMap<String, Followed>,
    /// What may be asked for.
    collectable: Windows,
    /// Those in the list that is being read.
    listed: HashSet<String>,
    /// All that there are have been read once.
    is_complete: bool,
    /// How much our clock is ahead of the API server's, s. Until that is known nothing is begun or ended.
    clock_ahead: Option<i64>,
    compare_clocks_at: Instant,
    lead_at: Instant,
    tidy_at: Instant,
}

impl Agent {
    /// One that has not begun yet.
    pub fn new(client: Client, settings: Settings) -> Self {
        Self {
            election: Election::new(client.clone(), &settings.lease_namespace, &settings.node),
            settings,
            client,
            lead: None,
            windows: BTreeMap::new(),
            collectable: Windows::default(),
            listed: HashSet::new(),
            is_complete: false,
            clock_ahead: None,
            compare_clocks_at: Instant::now(),
            lead_at: Instant::now(),
            tidy_at: Instant::now(),
        }
    }

    /// Follows windows until `end`; then ends its recorders, whose windows go on when an agent is there again.
    pub async fn run(mut self, end: impl Future<Output = ()>) {
        let server = self.serve().await;
        tokio::pin!(end);
        let all = Api::<DeserializeGuard<LearningWindow>>::all(self.client.clone());
        let mut events = watching(all, watcher::Config::default());
        let mut tick = interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut end => break,
                event = events.next() => match event {
                    Some(Ok(event)) => self.hear(event).await,
                    Some(Err(error)) => tracing::warn!("learning windows cannot be heard of: {error}"),
                    // A watcher has no end.
                    None => break,
                },
                () = async { match &mut self.lead { Some(lead) => lead.listen().await, None => std::future::pending().await } } => {}
                // An API server that does not answer must not keep anybody from ending us.
                _ = tick.tick() => tokio::select! {
                    () = &mut end => break,
                    () = self.look() => {}
                },
            }
        }
        self.end().await;
        if let Some(server) = server {
            server.abort();
        }
    }

    /// Gives recordings away, where it is known in which pod, and tells at which port.
    async fn serve(&mut self) -> Option<JoinHandle<()>> {
        let pod = self.settings.pod.as_mut()?;
        let listener = Server::listen().await;
        let bound = listener.and_then(|listener| Ok((listener.local_addr()?.port(), listener)));
        match bound {
            Ok((port, listener)) => {
                pod.port = port;
                let windows = self.collectable.clone();
                let server = Server::new(self.client.clone(), &self.settings.directory, windows);
                Some(tokio::spawn(server.run(listener)))
            }
            Err(error) => {
                tracing::warn!(
                    "recordings cannot be collected from here: nobody can listen on the loopback address: {error}"
                );
                None
            }
        }
    }

    async fn hear(&mut self, event: Event<DeserializeGuard<LearningWindow>>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(window) => {
                self.listed.extend(window.uid());
                self.apply(window);
            }
            Event::Apply(window) => self.apply(window),
            Event::InitDone => {
                let gone = self.windows.keys().filter(|uid| !self.listed.contains(*uid));
                for uid in gone.cloned().collect::<Vec<_>>() {
                    self.forget(&uid).await;
                }
                self.is_complete = true;
            }
            Event::Delete(window) => self.forget(&window.uid().unwrap_or_default()).await,
        }
    }

    fn apply(&mut self, window: DeserializeGuard<LearningWindow>) {
        let (name, uid) = (window.name_any(), window.uid().unwrap_or_default());
        let window = match window.0 {
            Ok(window) => window,
            Err(error) => {
                return tracing::warn!("the learning window {name} cannot be read, it is not followed: {error}");
            }
        };
        // It names a file.
        if !is_uid(&uid) {
            return tracing::warn!("the learning window {name} has an unusual uid: it is not followed");
        }
        self.collectable.insert(&uid, &window);
        let file = self.settings.directory.join(format!("{uid}.db"));
        // Agents that all tell at once would do so each time.
        let tell_at = Instant::now() + lease::jitter(&self.settings.node, self.settings.report_interval / 3);
        match self.windows.get_mut(&uid) {
            Some(followed) => followed.window = window,
            None => {
                self.windows.insert(uid, Followed::new(window, file, tell_at));
            }
        }
    }

    /// Its object is gone. The recording stays for a while.
    async fn forget(&mut self, uid: &str) {
        self.collectable.remove(uid);
        if let Some(mut followed) = self.windows.remove(uid) {
            followed.stop_recorder();
            if timeout(END_WITHIN, followed.ended()).await.is_err() {
                followed.kill();
            }
        }
    }

    /// Asks the API server what time it is. An answer that takes long says nothing.
    async fn compare_clocks(&mut self) {
        if self.windows.is_empty() || (self.clock_ahead.is_some() && Instant::now() < self.compare_clocks_at) {
            return;
        }
        let spec = NodeWindowSpec {
            window: "clock".to_owned(),
            window_uid: "0".to_owned(),
            node: self.settings.node.clone(),
        };
        let asked = NodeWindow::new(&name_of("clock", "0", &self.settings.node), spec);
        let options = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let (before, started) = (UtcTime::now(), Instant::now());
        let api = Api::<NodeWindow>::all(self.client.clone());
        let server = match timeout(ANSWER_WITHIN, api.create(&options, &asked)).await {
            Ok(Ok(made)) => made.metadata.creation_timestamp.as_ref().map(utc),
            Ok(Err(error)) => {
                return tracing::warn!("clocks cannot be compared: {}", told_by("make NodeWindows", &error));
            }
            Err(_) => return tracing::warn!("clocks cannot be compared: the API server does not answer"),
        };
        if let Some(server) = server
            && started.elapsed() < Duration::from_secs(2)
        {
            let ahead = before.nanos().saturating_sub(server.nanos()) / 1_000_000_000;
            self.clock_ahead = Some(if ahead.abs() > CLOCK_TOLERANCE_SECONDS {
                ahead
            } else {
                0
            });
            self.compare_clocks_at = Instant::now() + COMPARE_CLOCKS_EVERY;
        }
    }

    async fn look(&mut self) {
        self.compare_clocks().await;
        let Some(now) = self.server_now() else { return };
        let mut recording = self.windows.values().filter(|followed| followed.is_recording()).count();
        for followed in self.windows.values_mut() {
            let before = usize::from(followed.is_recording());
            let has_room = recording < self.settings.windows_max;
            followed.follow(now, has_room, &self.settings.recorder_options).await;
            recording = recording + usize::from(followed.is_recording()) - before;
        }
        self.tell_all().await;
        self.tell_coverage().await;
        self.lead().await;
        if self.is_complete && Instant::now() >= self.tidy_at {
            self.tidy_at = Instant::now() + TIDY_EVERY;
            tidy(&self.settings.directory, &self.in_use(), self.settings.keep);
        }
    }

    /// The API server's clock.
    fn server_now(&self) -> Option<UtcTime> {
        Some(by_server(UtcTime::now(), self.clock_ahead?))
    }

    async fn tell_all(&mut self) {
        let due = self.windows.iter().filter(|(_, followed)| {
            followed.tell_at.is_some_and(|at| Instant::now() >= at) && followed.has_something_to_tell()
        });
        let due: Vec<String> = due.map(|(uid, _)| uid.clone()).collect();
        for uid in due {
            let Some(followed) = self.windows.get(&uid) else {
                continue;
            };
            let told = timeout(ANSWER_WITHIN, self.tell(followed)).await;
            let next = Instant::now() + self.settings.report_interval;
            let Some(followed) = self.windows.get_mut(&uid) else {
                continue;
            };
            let why = match told {
                Ok(Ok(status)) => {
                    followed.tell_at = (status.phase != Phase::Ended).then_some(next);
                    followed.told = status;
                    continue;
                }
                // Somebody deleted it: it is made anew.
                Ok(Err(kube::Error::Api(status))) if status.code == 404 && followed.told.heard.take().is_some() => {
                    followed.tell_at = Some(Instant::now());
                    continue;
                }
                Ok(Err(error)) => told_by("write NodeWindows", &error),
                Err(_) => "the API server does not answer".to_owned(),
            };
            tracing::warn!("{}: nobody can be told: {why}", followed.window.name_any());
            followed.tell_at = Some(next);
        }
    }

    /// Begins to tell how much was seen where that is due, and hears how that ended.
    async fn tell_coverage(&mut self) {
        let (interval, ahead) = (self.settings.coverage_interval, self.clock_ahead.unwrap_or(0));
        // One at a time.
        let mut is_telling = self.windows.values().any(Followed::is_telling);
        for followed in self.windows.values_mut() {
            let telling = |followed: &Followed| {
                tokio::spawn(coverage::tell(
                    self.client.clone(),
                    followed.window.clone(),
                    followed.file.clone(),
                    self.settings.node.clone(),
                    ahead,
                ))
            };
            followed.tell_coverage(interval, !is_telling, telling).await;
            is_telling |= followed.is_telling();
        }
    }

    /// Writes the node's object of a window; what it says.
    async fn tell(&self, followed: &Followed) -> Result<NodeWindowStatus, kube::Error> {
        let api = Api::<NodeWindow>::all(self.client.clone());
        let options = PatchParams::apply(MANAGER).force();
        let (window, uid) = (followed.window.name_any(), followed.window.uid().unwrap_or_default());
        let name = name_of(&window, &uid, &self.settings.node);
        let (version, kind) = (NodeWindow::api_version(&()), NodeWindow::kind(&()));
        let mut before = None;
        // For the first time, or a new agent's, which does not know what the one before has told.
        if followed.told.heard.is_none() {
            let metadata = json!({
                "name": name, "labels": {WINDOW_LABEL: window}, "ownerReferences": [followed.window.owner_ref(&())],
            });
            let spec = NodeWindowSpec {
                window,
                window_uid: uid,
                node: self.settings.node.clone(),
            };
            let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
            before = api.patch(&name, &options, &Patch::Apply(object)).await?.status;
        }
        let before = before.as_ref().unwrap_or(&followed.told);
        let mut status = followed
            .status(before, UtcTime::now(), self.clock_ahead.unwrap_or(0))
            .await;
        status.agent.clone_from(&self.settings.pod);
        let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name}, "status": status});
        api.patch_status(&name, &options, &Patch::Apply(object)).await?;
        Ok(status)
    }

    /// Whoever holds the lease adds up what all tell. Without windows there is nothing to hold it for.
    async fn lead(&mut self) {
        if self.windows.is_empty() || !self.is_complete {
            return;
        }
        // More often than sums are written: a lease has to be renewed in time. It asks nobody before that is due.
        match timeout(ANSWER_WITHIN, self.election.is_holder()).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                self.lead = None;
                return;
            }
            Ok(Err(error)) => return tracing::warn!("{}", told_by("read and write Leases", &error)),
            Err(_) => return tracing::warn!("the agents' lease cannot be read: the API server does not answer"),
        }
        let Some(now) = self.server_now().filter(|_| Instant::now() >= self.lead_at) else {
            return;
        };
        let client = &self.client;
        let interval = self.settings.coverage_interval;
        let lead = self.lead.get_or_insert_with(|| Lead::new(client.clone(), interval));
        lead.keep_only(&self.windows.keys().map(String::as_str).collect::<BTreeSet<_>>());
        for followed in self.windows.values() {
            if !self.election.holds() {
                return;
            }
            let written = timeout(ANSWER_WITHIN, lead.write(&followed.window, now)).await;
            let why = match written {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => told_by("write the status of LearningWindows", &error),
                Err(_) => "the API server does not answer".to_owned(),
            };
            tracing::warn!("{}: the sums cannot be written: {why}", followed.window.name_any());
        }
        // Soon at first: somebody waits for the first sums.
        self.lead_at = Instant::now()
            + if lead.is_complete() {
                self.settings.report_interval
            } else {
                LOOK_EVERY
            };
    }

    /// Recordings of windows that go on.
    fn in_use(&self) -> HashSet<PathBuf> {
        let now = self.server_now().unwrap_or_default();
        let going_on = self
            .windows
            .values()
            .filter(|followed| followed.is_recording() || matches!(plan(&followed.window, now), Plan::Record { .. }));
        going_on.map(|followed| followed.file.clone()).collect()
    }

    async fn end(&mut self) {
        for followed in self.windows.values_mut() {
            followed.stop_recorder();
        }
        let all = join_all(self.windows.values_mut().map(Followed::ended));
        if timeout(END_WITHIN, all).await.is_err() {
            self.windows.values_mut().for_each(Followed::kill);
        }
        for followed in self
            .windows
            .values_mut()
            .filter(|followed| followed.has_something_to_tell())
        {
            followed.tell_at = followed.tell_at.map(|_| Instant::now());
        }
        let last_words = async {
            self.tell_all().await;
            if let Err(error) = self.election.give_up().await {
                tracing::warn!("{}", told_by("give up the Lease of the agents", &error));
            }
        };
        if timeout(ANSWER_WITHIN, last_words).await.is_err() {
            tracing::warn!("nobody can be told that this agent ends: the API server does not answer");
        }
    }
}

/// What to log, with the rule that may be missing.
fn told_by(doing: &str, error: &kube::Error) -> String {
    what_went_wrong(doing, "of docs/how-to/learn-a-cluster.md", error)
}

/// The name of a node's object: at most 253 characters (RFC 1123's subdomains). A window that is made again under its name
/// has other objects.
fn name_of(window: &str, uid: &str, node: &str) -> String {
    let uid = uid.split('-').next().unwrap_or_default();
    let name = format!("{window}.{uid}.{node}");
    if name.len() <= 253 {
        return name;
    }
    let hash = Sha256::digest(node.as_bytes());
    // Of 5,000 nodes no two share 64 bits of it.
    let hash = hash
        .iter()
        .take(8)
        .fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    format!("{window}.{uid}.{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_node_has_its_own_object_of_each_window() {
        let uid = "1f0d5e1c-0000-4000-8000-000000000001";
        assert_eq!(name_of("shop", uid, "node-7"), "shop.1f0d5e1c.node-7");
        let long = |last: char| format!("{}{last}", "n".repeat(252));
        let names = ['a', 'b'].map(|last| name_of("shop", uid, &long(last)));
        assert!(
            names
                .iter()
                .all(|name| name.len() <= 253 && name.starts_with("shop.1f0d5e1c."))
        );
        assert_ne!(names[0], names[1]);
    }
}
