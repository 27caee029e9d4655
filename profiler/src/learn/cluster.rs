//! What a cluster says, as a window listens to it: the pods of this node, and who has which address.

use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Session;
use crate::error::Failure;
use crate::kubernetes::connect::Source;
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
    peers: PeerFeed,
    node: String,
    /// Until they are started.
    tasks: Vec<Task>,
    running: Vec<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn new(source: Source, node: &str) -> Self {
        let (peers, peers_task) = peer_watch::follow(source.clone());
        let (feed, task) = follow(source, node);
        Self {
            feed,
            peers,
            node: node.to_owned(),
            tasks: vec![Box::pin(task), Box::pin(peers_task)],
            running: Vec::new(),
        }
    }

    /// Within a runtime.
    pub(super) fn start(&mut self) {
        self.running.extend(self.tasks.drain(..).map(tokio::spawn));
    }

    /// Asks what there is to ask, as long as there is room for it.
    pub(super) fn ask(&self, mut next: impl FnMut() -> Option<Question>) {
        while let Ok(room) = self.peers.questions.try_reserve() {
            match next() {
                Some(question) => room.send(question),
                None => return,
            }
        }
    }

    /// What is wrong, while that many containers wait to be named.
    pub(super) fn troubles(&self, unnamed: usize) -> Vec<String> {
        let Health {
            connected_since,
            last_error,
            owners_unknown,
            pods,
            odd: _,
        } = self.feed.health.borrow().clone();
        let ended = self.running.iter().any(JoinHandle::is_finished);
        let ended = ended.then(|| "a watch of the cluster has ended: please report this".to_owned());
        let nobody = (connected_since.is_some() && pods == 0 && unnamed > 0).then(|| {
            format!(
                "the cluster has no pod on the node `{}`, and there are containers of pods here: --node names this node as \
                 `kubectl get nodes` does",
                self.node
            )
        });
        let owners = owners_unknown
            .map(|why| format!("{why}; until then a Deployment is told by its pods' labels, and a CronJob is not"));
        // While nothing can be heard of pods, nothing else can, either.
        let peers = match &last_error {
            Some(_) => Vec::new(),
            None => self.peers.troubles.borrow().values().cloned().collect(),
        };
        let of_pods = [last_error, owners, nobody, ended].into_iter().flatten();
        of_pods.chain(peers).collect()
    }
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
    tokio::select! {
        1.. = listener.feed.changes.recv_many(&mut changes, AT_A_TIME) => News::Pods(changes),
        1.. = listener.peers.told.recv_many(&mut told, AT_A_TIME) => News::Peers(told),
        else => std::future::pending().await,
    }
}
