//! Watches that come back whatever the API server answers.

use std::fmt::Debug;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use kube::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

/// What a watch tells, one after the other. It has no end.
pub type Events<K> = Pin<Box<dyn Stream<Item = watcher::Result<Event<K>>> + Send>>;

/// How long to wait before a list that is asked for because a watch was refused. Each one in a row waits twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Lists objects and watches them, again and again.
///
/// kube lists anew where a watch tells that it has expired. Where the API server refuses to begin one, with the status 410
/// (Gone), kube 5 asks for the same version for ever (`kube-runtime/src/watcher.rs`, `State::InitListed`); here it begins
/// with a new list.
pub fn watching<K>(api: Api<K>, config: watcher::Config) -> Events<K>
where
    K: Clone + Debug + DeserializeOwned + kube::Resource + Send + 'static,
    K::DynamicType: Default,
{
    let begin = move || watcher(api.clone(), config.clone()).default_backoff().boxed();
    let first = Watch {
        events: begin(),
        waits: None,
        next_wait: FIRST_WAIT,
    };
    let events = stream::unfold((first, begin), |(mut watch, begin)| async move {
        if let Some(wait) = watch.waits.take() {
            sleep(wait).await;
        }
        let event = watch.events.next().await?;
        match &event {
            Err(watcher::Error::WatchStartFailed(kube::Error::Api(status))) if status.code == 410 => {
                let longer = (watch.next_wait * 2).min(LONGEST_WAIT);
                watch = Watch {
                    events: begin(),
                    waits: Some(watch.next_wait),
                    next_wait: longer,
                };
            }
            // A watch was begun. That a list was answered is no sign of that.
            Ok(Event::Apply(_) | Event::Delete(_)) => watch.next_wait = FIRST_WAIT,
            _ => {}
        }
        Some((event, (watch, begin)))
    });
    Box::pin(events)
}

struct Watch<E> {
    events: E,
    /// How long to wait before anything else.
    waits: Option<Duration>,
    /// How long to wait when the API server refuses again.
    next_wait: Duration,
}
