//! Asks the API server who has an address: follows the services, and answers questions one after the other.
//!
//! What the API server gives is what its own cache holds (`resourceVersion=0`), so that it need not ask its database. A pod
//! that had the address before is asked for by its name, which costs the API server one look-up; otherwise it looks through
//! the pods in its cache for `status.podIP`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use baselines::peer::{Peer, Untold};
use baselines::time::UtcTime;
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::ListParams;
use kube::core::Request;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::connect::{Source, what_went_wrong};
use super::owners::{Above, Owner};
use super::parents::Parents;
use super::peers::{Answer, Claim, PodName, Question, ServiceFacts, Table, Told, claim, node_addresses};
use super::pods::{PodFacts, created};
use super::watch::{OVER_AFTER, connect};
use super::watching::watching;

/// What a `ClusterRole` has to allow for services to be told.
pub const SERVICE_RULE: &str = r#"{apiGroups: [""], resources: [services], verbs: [list, watch]}"#;
/// The same for nodes.
pub const NODE_RULE: &str = r#"{apiGroups: [""], resources: [nodes], verbs: [list]}"#;
/// The same for pods of other nodes.
pub const OTHER_POD_RULE: &str = r#"{apiGroups: [""], resources: [pods], verbs: [list]}"#;

/// How much may wait to be taken; the watch waits then.
const TOLD_MAX: usize = 1_024;
/// How many questions may wait to be answered.
const QUESTIONS_MAX: usize = 32;
/// How long one list may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How old the list of nodes may be when an address is asked for that it does not have.
const NODES_GOOD_FOR: Duration = Duration::from_mins(10);
/// How many addresses of nodes are kept: of more nodes than Kubernetes supports (5,000).
const NODES_MAX: usize = 65_536;

/// What could not be asked for, and why: by what was asked for.
pub type Troubles = BTreeMap<&'static str, String>;

/// What comes out of the watch, and what goes in.
#[derive(Debug)]
pub struct PeerFeed {
    /// What the API server says.
    pub told: mpsc::Receiver<Told>,
    /// What it is asked.
    pub questions: mpsc::Sender<Question>,
    /// What cannot be asked for at the moment.
    pub troubles: watch::Receiver<Troubles>,
}

/// Follows the services of a cluster and answers questions, once the future is polled. It ends when the feed is dropped.
pub fn follow(source: Source) -> (PeerFeed, impl Future<Output = ()> + Send + 'static) {
    let (told, told_receiver) = mpsc::channel(TOLD_MAX);
    let (questions, asked) = mpsc::channel(QUESTIONS_MAX);
    let (troubles, troubles_receiver) = watch::channel(Troubles::new());
    let feed = PeerFeed {
        told: told_receiver,
        questions,
        troubles: troubles_receiver,
    };
    let task = async move {
        // The watch of pods says why it cannot connect.
        let client = connect(&source, |_| {}).await;
        let services = follow_services(client.clone(), &told, &troubles);
        let answers = Asker {
            parents: Parents::new(client.clone()),
            client,
            nodes: None,
            troubles: &troubles,
        };
        let over = told.closed();
        // On the heap: they hold whole lists while they wait.
        tokio::select! {
            () = over => {}
            () = Box::pin(services) => {}
            () = Box::pin(answers.run(asked, &told)) => {}
        }
    };
    (feed, task)
}

fn trouble(troubles: &watch::Sender<Troubles>, what: &'static str, why: Option<String>) {
    troubles.send_if_modified(|troubles| match why {
        Some(why) => troubles.insert(what, why.clone()).as_ref() != Some(&why),
        None => troubles.remove(what).is_some(),
    });
}

/// Why an error means that nobody can tell.
fn untold(error: &kube::Error) -> Untold {
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => Untold::Refused,
        kube::Error::Api(status) if status.code == 429 => Untold::TooMany,
        _ => Untold::Unanswered,
    }
}

async fn follow_services(client: Client, told: &mpsc::Sender<Told>, troubles: &watch::Sender<Troubles>) {
    const WHAT: &str = "services";
    let config = watcher::Config::default().any_semantic();
    let mut events = watching(Api::<Service>::all(client), config);
    let (mut known, mut listed) = (HashSet::new(), HashSet::new());
    let mut is_complete = false;
    // When a watch that goes on where it was interrupted, and has nothing to say, is well again.
    let mut over_at: Option<Instant> = None;
    loop {
        let event = tokio::select! {
            event = events.next() => match event {
                Some(event) => Some(event),
                None => return,
            },
            () = sleep_until(over_at.unwrap_or_else(Instant::now)), if over_at.is_some() => None,
        };
        let mut news = Vec::new();
        // Nothing more was wrong for a while, or there is news again.
        let is_well = matches!(event, None | Some(Ok(Event::Apply(_) | Event::Delete(_))));
        if is_well && over_at.take().is_some() {
            trouble(troubles, WHAT, None);
            news.push(Told::Services(Ok(())));
        }
        match event {
            Some(Ok(Event::Init)) => {
                listed.clear();
                (is_complete, over_at) = (false, None);
            }
            Some(Ok(Event::InitApply(service))) => {
                if let Some(facts) = ServiceFacts::of(&service) {
                    listed.insert(facts.uid.clone());
                    news.push(Told::Service(facts));
                }
            }
            Some(Ok(Event::InitDone)) => {
                let before = std::mem::replace(&mut known, std::mem::take(&mut listed));
                let gone: Vec<String> = before.difference(&known).cloned().collect();
                news.extend(gone.into_iter().map(Told::ServiceGone));
                news.push(Told::Services(Ok(())));
                trouble(troubles, WHAT, None);
                (is_complete, over_at) = (true, None);
            }
            Some(Ok(Event::Apply(service))) => {
                if let Some(facts) = ServiceFacts::of(&service) {
                    known.insert(facts.uid.clone());
                    news.push(Told::Service(facts));
                }
            }
            Some(Ok(Event::Delete(service))) => {
                if let Some(uid) = service.metadata.uid {
                    known.remove(&uid);
                    news.push(Told::ServiceGone(uid));
                }
            }
            Some(Err(error)) => {
                over_at = is_complete.then(|| Instant::now() + OVER_AFTER);
                news.extend(failed(&error, troubles, WHAT));
            }
            None => {}
        }
        for one in news {
            if told.send(one).await.is_err() {
                return;
            }
        }
    }
}

/// What that means for the services that are known. They stay known where the watch only begins anew.
fn failed(error: &watcher::Error, troubles: &watch::Sender<Troubles>, what: &'static str) -> Option<Told> {
    let why = match error {
        // It was away for too long.
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410 => return None,
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => {
            tracing::debug!(%error, "the watch of services starts anew");
            return None;
        }
    };
    let text = what_went_wrong("list and watch services", SERVICE_RULE, why);
    trouble(
        troubles,
        what,
        Some(format!(
            "{text}; until then nobody is known to be outside of the cluster"
        )),
    );
    Some(Told::Services(Err(untold(why))))
}

/// Answers questions.
struct Asker<'a> {
    client: Client,
    parents: Parents,
    /// The addresses of nodes, and when they were listed.
    nodes: Option<(Instant, HashMap<IpAddr, String>)>,
    troubles: &'a watch::Sender<Troubles>,
}

impl Asker<'_> {
    async fn run(mut self, mut questions: mpsc::Receiver<Question>, told: &mpsc::Sender<Told>) {
        while let Some(question) = questions.recv().await {
            let answer = self.answer(&question).await.unwrap_or_else(Answer::Untold);
            if told.send(Told::Answer(question.address, answer)).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&mut self, question: &Question) -> Result<Answer, Untold> {
        let address = question.address;
        if let Some(PodName { namespace, name }) = &question.pod {
            let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
            let selector = format!("metadata.name={name},status.podIP={address}");
            let pods = self.pods(&api, &selector).await?;
            // One that has ended keeps its address in its status, and somebody else may have it.
            if let Claim::Pod(pod) = claim(&pods, address, UtcTime::now())
                && !super::pods::is_over(pod)
            {
                return self.held(pod).await;
            }
        }
        let api = Api::<Pod>::all(self.client.clone());
        let pods = self.pods(&api, &format!("status.podIP={address}")).await?;
        match claim(&pods, address, UtcTime::now()) {
            Claim::Pod(pod) => self.held(pod).await,
            Claim::Node(name) => Ok(node(name)),
            Claim::Nobody => self.node_at(address).await,
        }
    }

    async fn pods(&self, api: &Api<Pod>, selector: &str) -> Result<Vec<Pod>, Untold> {
        let parameters = ListParams::default().fields(selector).at("0");
        let listed = self.within(
            "pods",
            "list pods by their address",
            OTHER_POD_RULE,
            api.list(&parameters),
        );
        Ok(listed.await?.items)
    }

    /// A pod, as the workload that it is of.
    async fn held(&mut self, pod: &Pod) -> Result<Answer, Untold> {
        let above = match Owner::controlling(&pod.metadata) {
            Some(owner) if owner.is_between() => {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                // Where that is not answered, the watch of pods says so; labels tell a Deployment, too.
                self.parents.above(namespace, &owner).await.0
            }
            _ => Above::Nobody,
        };
        let facts = PodFacts::of(pod, &above).map_err(|refused| {
            tracing::debug!(%refused, "the description of a pod is of no use");
            Untold::Unanswered
        })?;
        Ok(Answer::Held {
            peer: Peer::Pod {
                namespace: facts.namespace.clone(),
                kind: facts.workload.kind,
                name: facts.workload.name,
            },
            since: created(&pod.metadata),
            pod: Some(PodName {
                namespace: facts.namespace,
                name: facts.name,
            }),
        })
    }

    /// Nobody's pod has it: perhaps a node.
    async fn node_at(&mut self, address: IpAddr) -> Result<Answer, Untold> {
        let is_old = |(at, _): &(Instant, _)| at.elapsed() > NODES_GOOD_FOR;
        if self.nodes.as_ref().is_none_or(is_old) {
            let nodes = self.list_nodes().await?;
            self.nodes = Some((Instant::now(), nodes));
        }
        let known = self.nodes.as_ref().and_then(|(_, nodes)| nodes.get(&address));
        Ok(known.map_or(Answer::Nobody, |name| node(name)))
    }

    /// As a table: whole descriptions of 5,000 nodes are some 100 MB.
    async fn list_nodes(&self) -> Result<HashMap<IpAddr, String>, Untold> {
        const WHAT: &str = "nodes";
        let refused = |why: &dyn std::fmt::Display| {
            let why = format!("the API server does not print addresses of nodes: {why}");
            trouble(self.troubles, WHAT, Some(why));
            Untold::Unanswered
        };
        let mut request = Request::new("/api/v1/nodes")
            .list(&ListParams::default().at("0"))
            .map_err(|error| refused(&error))?;
        // Without the descriptions themselves.
        let uri = format!("{}&includeObject=None", request.uri()).parse();
        *request.uri_mut() = uri.map_err(|error| refused(&error))?;
        let accept = "application/json;as=Table;g=meta.k8s.io;v=v1".parse();
        request
            .headers_mut()
            .insert("accept", accept.map_err(|error| refused(&error))?);
        let table: Table = self
            .within(WHAT, "list nodes", NODE_RULE, self.client.request(request))
            .await?;
        let addresses = node_addresses(&table).ok_or_else(|| refused(&"the table has other columns"))?;
        Ok(addresses.into_iter().take(NODES_MAX).collect())
    }

    async fn within<T>(
        &self,
        what: &'static str,
        doing: &str,
        rule: &str,
        asked: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Untold> {
        let (why, text) = match timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => {
                trouble(self.troubles, what, None);
                return Ok(answer);
            }
            Ok(Err(error)) => (untold(&error), what_went_wrong(doing, rule, &error)),
            Err(_) => {
                let text = format!("the API server does not {doing} within {} s", PATIENCE.as_secs());
                (Untold::Unanswered, text)
            }
        };
        trouble(
            self.troubles,
            what,
            Some(format!("{text}; peers are unknown until then")),
        );
        Err(why)
    }
}

fn node(name: &str) -> Answer {
    Answer::Held {
        peer: Peer::Node { name: name.to_owned() },
        since: UtcTime::default(),
        pod: None,
    }
}
