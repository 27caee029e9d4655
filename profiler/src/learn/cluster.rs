//! The pods of this node, as a window listens to them.

use std::pin::Pin;

use tokio::task::JoinHandle;

use crate::kubernetes::connect::Source;
use crate::kubernetes::directory::PodChange;
use crate::kubernetes::watch::{Feed, Health, follow};

/// How many changes are taken at a time.
const AT_A_TIME: usize = 256;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Listens to the pods of a node.
pub(super) struct Listener {
    feed: Feed,
    node: String,
    /// Until it is started.
    task: Option<Task>,
    running: Option<JoinHandle<()>>,
}

impl Listener {
    pub(super) fn new(source: Source, node: &str) -> Self {
        let (feed, task) = follow(source, node);
        Self {
            feed,
            node: node.to_owned(),
            task: Some(Box::pin(task)),
            running: None,
        }
    }

    /// Within a runtime.
    pub(super) fn start(&mut self) {
        self.running = self.task.take().map(tokio::spawn);
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
        let ended = self.running.as_ref().is_some_and(JoinHandle::is_finished);
        let ended = ended.then(|| "the watch of pods has ended: please report this".to_owned());
        let nobody = (connected_since.is_some() && pods == 0 && unnamed > 0).then(|| {
            format!(
                "the cluster has no pod on the node `{}`, and there are containers of pods here: --node names this node as \
                 `kubectl get nodes` does",
                self.node
            )
        });
        let owners = owners_unknown
            .map(|why| format!("{why}; until then a Deployment is told by its pods' labels, and a CronJob is not"));
        [last_error, owners, nobody, ended].into_iter().flatten().collect()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// The next changes; never, where there is no cluster or nothing more to come.
pub(super) async fn changes(listener: &mut Option<Listener>) -> Vec<PodChange> {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    let mut changes = Vec::new();
    if listener.feed.changes.recv_many(&mut changes, AT_A_TIME).await == 0 {
        return std::future::pending().await;
    }
    changes
}
