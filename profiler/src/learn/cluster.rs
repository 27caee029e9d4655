//! What a cluster says, as a window listens to it: the pods of this node, and who has which address. Or what the container
//! runtime says, which knows the pods alone.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Session;
use crate::error::Failure;
use crate::kubernetes::connect::Source;
use crate::kubernetes::cri;
use crate::kubernetes::cri::endpoint::Endpoint;
use crate::kubernetes::directory::PodChange;
use crate::kubernetes::peer_watch::{self, PeerFeed};
use crate::kubernetes::peers::{Question, Told};
use crate::kubernetes::watch::{Feed, Health, follow};

/// How much is taken at a time.
const AT_A_TIME: usize = 256;
/// How long the end of a window waits for answers about peers.
const LAST_ANSWERS: Duration = Duration::from_secs(2);
/// How long the ring buffer may wait to be read meanwhile.
const RING_WAITS: Duration = Duration::from_millis(50);

/// How long a container runtime may not have heard of the pods whose containers are here: it is asked every few seconds.
const STRANGE_FOR: Duration = Duration::from_secs(30);

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that a cluster says.
pub(super) enum News {
    /// The pods of this node change.
    Pods(Vec<PodChange>),
    /// Addresses have holders.
    Peers(Vec<Told>),
}

/// Listens to the pods of a node, and asks for peers.
pub(super) struct Listener {
    feed: Feed,
    teller: Teller,
    /// Until they are started.
    tasks: Vec<Task>,
    running: Vec<JoinHandle<()>>,
}

/// Who is listened to.
enum Teller {
    /// An API server.
    Cluster { peers: PeerFeed, node: String },
    /// A container runtime.
    Runtime {
        endpoint: Endpoint,
        /// How it is told that somebody waits.
        awaited: Arc<Notify>,
        /// Since when it has no pod, and there are containers of some.
        strange_since: Cell<Option<Instant>>,
    },
}

impl Listener {
    pub(super) fn to_cluster(source: Source, node: &str) -> Self {
        let (peers, peers_task) = peer_watch::follow(source.clone());
        let (feed, task) = follow(source, node);
        let node = node.to_owned();
        Self {
            feed,
            teller: Teller::Cluster { peers, node },
            tasks: vec![Box::pin(task), Box::pin(peers_task)],
            running: Vec::new(),
        }
    }

    pub(super) fn to_runtime(endpoint: &Endpoint) -> Self {
        let (feed, task, awaited) = cri::follow(endpoint);
        let endpoint = endpoint.clone();
        Self {
            feed,
            teller: Teller::Runtime {
                endpoint,
                awaited,
                strange_since: Cell::new(None),
            },
            tasks: vec![Box::pin(task)],
            running: Vec::new(),
        }
    }

    /// Within a runtime.
    pub(super) fn start(&mut self) {
        self.running.extend(self.tasks.drain(..).map(tokio::spawn));
    }

    /// A container came that has no name yet.
    pub(super) fn awaits_names(&self) {
        match &self.teller {
            Teller::Cluster { .. } => {} // it tells without being asked
            Teller::Runtime { awaited, .. } => awaited.notify_one(),
        }
    }

    /// Asks what there is to ask, as long as there is room for it.
    pub(super) fn ask(&self, mut next: impl FnMut() -> Option<Question>) {
        let Teller::Cluster { peers, .. } = &self.teller else {
            return;
        };
        while let Ok(room) = peers.questions.try_reserve() {
            match next() {
                Some(question) => room.send(question),
                None => return,
            }
        }
    }

    /// What is wrong, while that many containers wait to be named.
    pub(super) fn troubles(&self, unnamed: usize) -> Vec<String> {
        let health = self.feed.health.borrow().clone();
        let ended = self.running.iter().any(JoinHandle::is_finished);
        let ended = ended.then(|| "a watch of the cluster has ended: please report this".to_owned());
        let of_pods = match &self.teller {
            Teller::Cluster { peers, node } => of_cluster(health, peers, node, unnamed),
            Teller::Runtime {
                endpoint,
                strange_since,
                ..
            } => {
                let is_strange = health.connected_since.is_some() && health.pods == 0 && unnamed > 0;
                strange_since.set(is_strange.then(|| strange_since.get().unwrap_or_else(Instant::now)));
                let is_strangers = strange_since.get().is_some_and(|since| since.elapsed() > STRANGE_FOR);
                of_runtime(health, endpoint, is_strangers)
            }
        };
        of_pods.into_iter().chain(ended).collect()
    }
}

fn of_cluster(health: Health, peers: &PeerFeed, node: &str, unnamed: usize) -> Vec<String> {
    let Health {
        connected_since,
        last_error,
        owners_unknown,
        pods,
        odd: _,
    } = health;
    let nobody = (connected_since.is_some() && pods == 0 && unnamed > 0).then(|| {
        format!(
            "the cluster has no pod on the node `{node}`, and there are containers of pods here: --node names this node as \
             `kubectl get nodes` does"
        )
    });
    let owners = owners_unknown
        .map(|why| format!("{why}; until then a Deployment is told by its pods' labels, and a CronJob is not"));
    // While nothing can be heard of pods, nothing else can, either.
    let peers = match &last_error {
        Some(_) => Vec::new(),
        None => peers.troubles.borrow().values().cloned().collect(),
    };
    [last_error, owners, nobody]
        .into_iter()
        .flatten()
        .chain(peers)
        .collect()
}

/// `is_strangers`: it is another one than the kubelet's.
fn of_runtime(health: Health, endpoint: &Endpoint, is_strangers: bool) -> Vec<String> {
    let Health {
        last_error,
        owners_unknown,
        odd,
        ..
    } = health;
    let nobody = is_strangers.then(|| {
        format!(
            "the container runtime at {endpoint} has no pod, and there are containers of pods here: --runtime-endpoint names \
             another one"
        )
    });
    let owners = owners_unknown.map(|pod| {
        format!(
            "{pod} has the label of a controller, and labels and name do not tell which: like others of its kind it counts as a \
             workload of its own"
        )
    });
    let odd = (odd > 0).then(|| {
        format!(
            "{odd} descriptions of the container runtime at {endpoint} are of no use: without a name or id that could be one, \
             twice, too large, or of no pod"
        )
    });
    [last_error, owners, nobody, odd].into_iter().flatten().collect()
}

impl Drop for Listener {
    fn drop(&mut self) {
        for running in &self.running {
            running.abort();
        }
    }
}

impl Session {
    /// Takes in what the cluster says.
    pub(super) fn take_news(&mut self, news: News) {
        match news {
            News::Pods(changes) => {
                self.recorder.pods_changed(changes);
                self.tell_choices();
            }
            News::Peers(told) => self.recorder.peers_told(told),
        }
    }

    /// Asks the cluster who has the addresses that nothing is known about.
    pub(super) fn ask(&mut self) {
        if let Some(cluster) = &self.cluster {
            cluster.ask(|| self.recorder.question());
        }
    }

    /// What was reached at the end is asked for, too: the answers get a moment.
    pub(super) async fn await_peers(&mut self) -> Result<(), Failure> {
        if self.cluster.is_none() {
            return Ok(());
        }
        self.drain()?;
        self.recorder.look_up_peers();
        self.ask();
        let until = Instant::now() + LAST_ANSWERS;
        while self.recorder.awaits_peers() && Instant::now() < until {
            if let Ok(news) = timeout(RING_WAITS, news(&mut self.cluster)).await {
                self.take_news(news);
            }
            self.read_ring();
            self.recorder.look_up_peers();
            self.ask();
        }
        Ok(())
    }
}

/// What comes next; never, where there is no cluster or nothing more to come.
pub(super) async fn news(listener: &mut Option<Listener>) -> News {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let (mut changes, mut told) = (Vec::new(), Vec::new());
    let teller = &mut listener.teller;
    let told_of_peers = async {
        match teller {
            Teller::Cluster { peers, .. } => peers.told.recv_many(&mut told, AT_A_TIME).await,
            Teller::Runtime { .. } => 0,
        }
    };
    tokio::select! {
        1.. = listener.feed.changes.recv_many(&mut changes, AT_A_TIME) => News::Pods(changes),
        1.. = told_of_peers => News::Peers(told),
        else => std::future::pending().await,
    }
}
