//! Windows that end when enough was seen: each node tells what it saw of each image, in a `NodeCoverage`, and whoever holds the
//! lease adds that up.
//!
//! It is much, and changes slowly: so it is told seldom, and nobody keeps it. Adding up reads the objects some at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use baselines::analysis::{Covered, Sum};
use baselines::coverage::{Criteria, Losses, State};
use baselines::time::UtcTime;
use k8s_openapi::ByteString;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::{Api, Client, Resource as _, ResourceExt as _};
use serde_json::json;
use tokio::time::timeout;

use super::aggregate::SILENT_AFTER;
use super::objects::{
    CoverageStatus, HeldImage, ImageCoverage, LearningWindow, NODES_MAX, NodeCoverage, NodeCoverageSpec, NodeWindow,
    Phase, WINDOW_LABEL,
};
use super::{MANAGER, name_of, told_by};
use crate::coverage::{ask_for_summaries, unpack};
use crate::kubernetes::times::{by_server, time, utc};

/// How many images are added up.
const IMAGES_MAX: usize = 500;
/// How many of those that are not ready are told, and how many that are left out.
const TOLD_MAX: usize = 20;
/// How many entries of all images are held at a time, see [`Sum::add`]: about 20 MiB.
const ENTRIES_MAX: usize = 400_000;
/// How many nodes' objects are read at a time, each of which has up to 350 KiB.
const OBJECTS_AT_A_TIME: u32 = 20;
/// Who has not told for so many times as long as nodes wait between two times has not told lately.
const TELLS_MISSED: u32 = 3;
/// To look, a node takes some time itself.
const LOOKS_WITHIN: Duration = Duration::from_mins(5);
/// How long the API server may take for an object.
const WRITTEN_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take for a page of them.
const LISTED_WITHIN: Duration = Duration::from_mins(1);
/// What was told later than now, by so much, was told with a clock that is wrong.
const CLOCK_TOLERANCE: Duration = Duration::from_mins(1);
/// Nodes with clocks that are wrong by more tell of starts together as of starts apart.
const CLOCK_AHEAD_MAX_SECONDS: u64 = 60;
/// The longest name of an image that is taken from a node, in bytes.
const IMAGE_NAME_MAX: usize = 1_024;

/// Tells what a recording of this node saw.
///
/// # Errors
/// Why not, in words.
pub(super) async fn tell(
    client: Client,
    window: LearningWindow,
    recording: PathBuf,
    node: String,
    clock_ahead: i64,
) -> Result<(), String> {
    let (name, uid) = (window.name_any(), window.uid().unwrap_or_default());
    let told_at = time(by_server(UtcTime::now(), clock_ahead));
    let told = ask_for_summaries(&recording).await?;
    let spec = NodeCoverageSpec {
        window: name.clone(),
        window_uid: uid.clone(),
        node: node.clone(),
        told_at,
        images: told.images,
        left_out: told.left_out,
        left_out_names: told.left_out_names,
        summary: told.summary,
    };
    let object_name = name_of(&name, &uid, &node);
    let metadata = json!({
        "name": object_name, "labels": {WINDOW_LABEL: name}, "ownerReferences": [window.owner_ref(&())],
    });
    let (version, kind) = (NodeCoverage::api_version(&()), NodeCoverage::kind(&()));
    let object = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
    let (api, options) = (Api::<NodeCoverage>::all(client), PatchParams::apply(MANAGER).force());
    let change = Patch::Apply(object);
    match timeout(WRITTEN_WITHIN, api.patch(&object_name, &options, &change)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(told_by("write NodeCoverages", &error)),
        Err(_) => Err("the API server does not answer".to_owned()),
    }
}

/// What is asked when somebody adds up.
pub(super) struct Question {
    /// The learning window's name and uid.
    pub(super) window: (String, String),
    pub(super) criteria: Criteria,
    /// By the API server's clock.
    pub(super) now: UtcTime,
    /// How long nodes wait between two times that they tell.
    pub(super) interval: Duration,
    pub(super) nodes: Nodes,
    /// What was found the last time.
    pub(super) before: CoverageStatus,
}

/// The nodes that told of a window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nodes {
    /// Those that saw a container, or may have: whether something was missed there that their recordings do not know of.
    pub(super) seeing: BTreeMap<String, bool>,
}

impl Nodes {
    pub(super) fn of<'a>(told: impl IntoIterator<Item = &'a NodeWindow>, now: UtcTime) -> Self {
        let mut seeing = BTreeMap::new();
        for node in told {
            let Some(status) = &node.status else { continue };
            let heard = status.heard.as_ref().map_or(UtcTime::default(), |heard| {
                by_server(utc(heard), status.clock_ahead_seconds)
            });
            let is_silent = status.phase != Phase::Ended && now.since(heard) > SILENT_AFTER;
            // Before it saw anything, too.
            let is_troubled =
                matches!(status.phase, Phase::Failing | Phase::Refused) || !status.lost_recordings.is_empty();
            let has_wrong_clock = status.clock_ahead_seconds.unsigned_abs() > CLOCK_AHEAD_MAX_SECONDS;
            if status.containers > 0 || is_troubled {
                seeing.insert(node.spec.node.clone(), is_silent || is_troubled || has_wrong_clock);
            }
        }
        Self { seeing }
    }
}

/// Adds up what all nodes told.
///
/// # Errors
/// Why not, in words.
pub(super) async fn add_up(client: Client, question: Question) -> Result<CoverageStatus, String> {
    let api = Api::<DeserializeGuard<NodeCoverage>>::all(client);
    let mut page = ListParams::default()
        .labels(&format!("{WINDOW_LABEL}={}", question.window.0))
        .limit(OBJECTS_AT_A_TIME);
    let mut adding = Adding::new(question);
    loop {
        let Ok(listed) = timeout(LISTED_WITHIN, api.list(&page)).await else {
            return Err("the API server does not answer".to_owned());
        };
        let listed = listed.map_err(|error| told_by("list NodeCoverages", &error))?;
        // It takes some time to unpack.
        adding = work(move || {
            listed.items.into_iter().for_each(|told| adding.add(told));
            adding
        })
        .await;
        match listed.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(work(move || adding.status()).await),
        }
    }
}

/// On a thread that others do not wait for.
async fn work<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The agent ends, and so does everything that waits.
            Err(_) => std::future::pending().await,
        },
    }
}

/// What was added up so far. Pure.
struct Adding {
    question: Question,
    images: BTreeMap<String, Sum>,
    room: usize,
    told: BTreeSet<String>,
    /// When the one told that has not told for longest.
    oldest: Option<UtcTime>,
    left_out: BTreeSet<String>,
    left_out_count: u64,
}

impl Adding {
    fn new(question: Question) -> Self {
        Self {
            question,
            images: BTreeMap::new(),
            room: ENTRIES_MAX,
            told: BTreeSet::new(),
            oldest: None,
            left_out: BTreeSet::new(),
            left_out_count: 0,
        }
    }

    fn add(&mut self, told: DeserializeGuard<NodeCoverage>) {
        let name = told.name_any();
        match told.0 {
            Ok(told) => self.add_of(&told.spec),
            Err(error) => tracing::warn!("what {name} tells cannot be read, it is not added up: {error}"),
        }
    }

    fn add_of(&mut self, told: &NodeCoverageSpec) {
        let (name, uid) = &self.question.window;
        // One object for each node.
        if told.window_uid != *uid || told.window != *name || self.told.contains(&told.node) {
            return;
        }
        let fresh = self.question.interval * TELLS_MISSED + LOOKS_WITHIN;
        let (now, told_at) = (self.question.now, utc(&told.told_at));
        let is_fresh = now.since(told_at) <= fresh && told_at.since(now) <= CLOCK_TOLERANCE;
        let ByteString(packed) = &told.summary;
        let summaries = match unpack(packed) {
            Ok(summaries) => summaries,
            Err(why) => {
                return tracing::warn!("how much node {} saw cannot be told: {why}", told.node);
            }
        };
        // A node whose agent does not tell of the window, or not any more, may have missed anything.
        let is_missing = self.question.nodes.seeing.get(&told.node).copied().unwrap_or(true);
        if is_fresh || is_missing {
            self.told.insert(told.node.clone());
        }
        if !is_missing {
            self.oldest = Some(self.oldest.map_or(told_at, |oldest| oldest.min(told_at)));
        }
        let losses = if is_missing {
            Losses::NotRuledOut
        } else {
            Losses::RuledOut
        };
        self.leave_out(told.left_out, told.left_out_names.iter());
        for summary in summaries {
            let has_room = self.images.len() < IMAGES_MAX || self.images.contains_key(&summary.image);
            if summary.image.len() > IMAGE_NAME_MAX {
                self.leave_out(1, [format!("{:.40}...", summary.image)].iter());
            } else if has_room {
                let sum = self.images.entry(summary.image.clone()).or_default();
                sum.add(summary, losses, &mut self.room);
            } else {
                self.leave_out(1, [summary.image].iter());
            }
        }
    }

    fn leave_out<'a>(&mut self, count: u64, names: impl Iterator<Item = &'a String>) {
        self.left_out_count = self.left_out_count.saturating_add(count);
        for name in names.take(TOLD_MAX) {
            if self.left_out.len() < TOLD_MAX {
                self.left_out.insert(name.clone());
            }
        }
    }

    fn status(self) -> CoverageStatus {
        let (now, before) = (self.question.now, &self.question.before);
        // What was between two looks that were far apart nobody knows.
        let gap_max = self.question.interval * TELLS_MISSED + LOOKS_WITHIN;
        let has_looked = before
            .looked_at
            .as_ref()
            .is_some_and(|at| now.since(utc(at)) <= gap_max);
        let held = before.held.iter().filter(|_| has_looked);
        let held: BTreeMap<&str, UtcTime> = held.map(|held| (held.image.as_str(), utc(&held.since))).collect();
        let ready_before = before.ready_at.clone().filter(|_| has_looked);
        let mut status = CoverageStatus {
            looked_at: Some(time(now)),
            images: self.images.len() as u64,
            images_left_out: self.left_out_count,
            images_left_out_names: self.left_out.iter().cloned().collect(),
            ..CoverageStatus::default()
        };
        for (image, sum) in &self.images {
            let since = held.get(image.as_str()).copied();
            let covered = sum.covered(image, &self.question.criteria, now, since);
            if covered.is_at_target {
                status.held.push(HeldImage {
                    image: image.clone(),
                    since: time(since.unwrap_or(now)),
                });
            }
            if covered.left_out > 0 {
                status.images_left_out += 1;
                if status.images_left_out_names.len() < TOLD_MAX {
                    status.images_left_out_names.push(image.clone());
                }
            }
            if covered.coverage.state == State::Ready && covered.left_out == 0 {
                status.ready += 1;
            } else {
                status.waiting.push(waiting(image, &covered));
            }
        }
        status.waiting.sort_by_key(|one| one.state != State::Lossy.word());
        status.waiting.truncate(TOLD_MAX);
        let missing = self
            .question
            .nodes
            .seeing
            .keys()
            .filter(|node| !self.told.contains(*node));
        let missing: Vec<&String> = missing.collect();
        status.nodes_missing = missing.len() as u64;
        status.nodes_missing_names = missing.into_iter().take(NODES_MAX).cloned().collect();
        let is_ready = status.images > 0
            && status.ready == status.images
            && status.nodes_missing == 0
            && status.images_left_out == 0;
        // An image that came after a node told is one that nobody knows of here, until that node tells again.
        status.ready_at = is_ready.then(|| ready_before.unwrap_or_else(|| time(now)));
        let is_confirmed = status.ready_at.as_ref().map(utc) < self.oldest;
        status.covered_at = (is_ready && is_confirmed).then(|| time(now));
        status
    }
}

fn waiting(image: &str, covered: &Covered) -> ImageCoverage {
    let Covered {
        coverage,
        nodes,
        left_out,
        unsound,
        ..
    } = covered;
    let notes = [
        (*unsound, "tell what cannot be"),
        (*left_out, "have told more than there is room for"),
    ];
    let notes = notes.into_iter().filter(|(count, _)| *count > 0);
    let notes = notes.map(|(count, what)| format!("; {count} of {nodes} nodes {what}"));
    ImageCoverage {
        image: image.to_owned(),
        state: coverage.state.word().to_owned(),
        advice: coverage.advice.clone() + &notes.collect::<String>(),
    }
}

#[cfg(test)]
mod tests {
    use baselines::analysis::{Group, ImageSummary, SeenBehaviour};

    use super::super::objects::{NodeWindowSpec, NodeWindowStatus};
    use super::*;
    use crate::coverage::pack;
    use crate::kubernetes::times::time;

    const DAY: u64 = 24 * 3600;

    fn at(seconds: u64) -> UtcTime {
        UtcTime::from_nanos(seconds * 1_000_000_000)
    }

    /// An image of which a container started on that day and did this one thing while it started and afterwards.
    fn summary(image: &str, day: u64, key: u64) -> ImageSummary {
        let number = i64::try_from(day).unwrap();
        ImageSummary {
            image: image.to_owned(),
            losses: Losses::RuledOut,
            until: 9 * DAY,
            resumed: None,
            jobs: false,
            short: false,
            partial_alone: 0,
            groups: vec![Group {
                workload: Some(1),
                started: day * DAY,
                whole: 1,
                over: 0,
                days: vec![(number, [280, 140, 70])],
            }],
            behaviours: vec![SeenBehaviour {
                key,
                starts: vec![(0, 1)],
                steady: vec![(0, number, [280, 140, 70])],
            }],
        }
    }

    fn told(node: &str, summaries: Vec<ImageSummary>) -> NodeCoverageSpec {
        let images = summaries.len() as u64;
        NodeCoverageSpec {
            window: "shop".to_owned(),
            window_uid: "1".to_owned(),
            node: node.to_owned(),
            told_at: time(at(3 * DAY)),
            images,
            left_out: 0,
            left_out_names: Vec::new(),
            summary: ByteString(pack(summaries, &mut Vec::new()).unwrap()),
        }
    }

    fn question(nodes: &[&str]) -> Question {
        Question {
            window: ("shop".to_owned(), "1".to_owned()),
            criteria: Criteria {
                target: 0.8,
                held: Duration::from_hours(1),
                starts: 2,
                dates: 1,
            },
            now: at(3 * DAY),
            interval: Duration::from_mins(15),
            nodes: Nodes {
                seeing: nodes.iter().map(|node| ((*node).to_owned(), false)).collect(),
            },
            before: CoverageStatus::default(),
        }
    }

    fn status(question: Question, told: &[NodeCoverageSpec]) -> CoverageStatus {
        let mut adding = Adding::new(question);
        for told in told {
            adding.add_of(told);
        }
        adding.status()
    }

    /// Held for as long as it takes, and ready for a while.
    fn held(mut question: Question, image: &str) -> Question {
        question.before.looked_at = Some(time(at(3 * DAY - 60)));
        question.before.ready_at = Some(time(at(3 * DAY - 60)));
        question.before.held.push(HeldImage {
            image: image.to_owned(),
            since: time(at(3 * DAY - 3600)),
        });
        question
    }

    #[test]
    fn a_window_is_covered_when_every_image_is_ready_by_what_all_nodes_tell() {
        let alike = [
            told("a", vec![summary("web", 0, 7)]),
            told("b", vec![summary("web", 1, 7)]),
        ];
        let first = status(question(&["a", "b"]), &alike);
        assert_eq!((first.images, first.ready, first.covered_at.as_ref()), (1, 0, None));
        assert_eq!(first.held.len(), 1, "{:?}", first.waiting);
        // Whoever looks next goes on from there, and believes it when everybody has told once more.
        let mut before = first;
        for (minutes, ready, is_covered) in [(30, 0, false), (60, 1, false), (75, 1, true)] {
            let now = at(3 * DAY + minutes * 60);
            let next = Question {
                now,
                before,
                ..question(&["a", "b"])
            };
            let later = alike.clone().map(|told| NodeCoverageSpec {
                told_at: time(now),
                ..told
            });
            before = status(next, &later);
            assert_eq!(
                (before.ready, before.covered_at.is_some()),
                (ready, is_covered),
                "{minutes}: {before:?}"
            );
        }
        // Between looks that are far apart nothing is held.
        let late = Question {
            now: at(3 * DAY + 3 * 3600),
            before,
            ..question(&["a", "b"])
        };
        let later = alike.clone().map(|told| NodeCoverageSpec {
            told_at: time(late.now),
            ..told
        });
        assert_eq!(status(late, &later).ready, 0);

        let unlike = [
            told("a", vec![summary("web", 0, 7)]),
            told("b", vec![summary("web", 1, 8)]),
        ];
        let other = status(held(question(&["a", "b"]), "web"), &unlike);
        assert_eq!((other.ready, other.held.len(), other.covered_at), (0, 0, None));
        assert_eq!(other.waiting[0].state, "learning");
    }

    #[test]
    fn nothing_ends_before_everybody_who_saw_something_has_told_lately() {
        let alike = || {
            vec![
                told("a", vec![summary("web", 0, 7)]),
                told("b", vec![summary("web", 1, 7)]),
            ]
        };
        let ready = status(held(question(&["a", "b"]), "web"), &alike());
        assert!(ready.covered_at.is_some(), "{:?}", ready.waiting);
        // One that has not told at all, and one that told long ago.
        let silent = status(held(question(&["a", "b", "c"]), "web"), &alike());
        assert_eq!(
            (silent.nodes_missing_names, silent.covered_at),
            (vec!["c".to_owned()], None)
        );
        let mut old = alike();
        old[1].told_at = time(at(3 * DAY - 3601));
        let old = status(held(question(&["a", "b"]), "web"), &old);
        assert_eq!((old.nodes_missing_names, old.covered_at), (vec!["b".to_owned()], None));
        // What cannot be read was not told.
        let mut broken = alike();
        broken[1].summary = ByteString(b"no".to_vec());
        let broken = status(held(question(&["a", "b"]), "web"), &broken);
        assert_eq!((broken.nodes_missing, broken.covered_at), (1, None));
        // Nor what was told by a clock that is ahead.
        let mut ahead = alike();
        ahead[1].told_at = time(at(3 * DAY + 61));
        assert_eq!(status(held(question(&["a", "b"]), "web"), &ahead).nodes_missing, 1);
        // What another window of that name was told does not count.
        let mut other = alike();
        other[1].window_uid = "2".to_owned();
        assert_eq!(status(held(question(&["a", "b"]), "web"), &other).nodes_missing, 1);
    }

    #[test]
    fn what_is_left_out_keeps_a_window_from_ending() {
        let mut some = told("a", vec![summary("web", 0, 7)]);
        some.left_out = 2;
        some.left_out_names = vec!["large".to_owned()];
        let found = status(
            held(question(&["a", "b"]), "web"),
            &[some, told("b", vec![summary("web", 1, 7)])],
        );
        assert_eq!((found.ready, found.images_left_out, found.covered_at), (1, 2, None));
        let many = (0..=IMAGES_MAX)
            .map(|image| summary(&format!("i{image:03}"), 0, 7))
            .collect();
        let found = status(question(&["a"]), &[told("a", many)]);
        assert_eq!((found.images, found.images_left_out), (IMAGES_MAX as u64, 1));
        assert_eq!((found.waiting.len(), found.images_left_out_names.len()), (TOLD_MAX, 1));
    }

    #[test]
    fn a_node_that_may_have_missed_something_makes_its_images_lossy() {
        let node = |name: &str, status: NodeWindowStatus| {
            let spec = NodeWindowSpec {
                window: "shop".to_owned(),
                window_uid: "1".to_owned(),
                node: name.to_owned(),
            };
            let mut node = NodeWindow::new(name, spec);
            node.status = Some(status);
            node
        };
        let learning = NodeWindowStatus {
            phase: Phase::Learning,
            heard: Some(time(at(3 * DAY))),
            containers: 1,
            ..NodeWindowStatus::default()
        };
        let silent = NodeWindowStatus {
            heard: Some(time(at(2 * DAY))),
            ..learning.clone()
        };
        let ended = NodeWindowStatus {
            phase: Phase::Ended,
            ..silent.clone()
        };
        let failing = NodeWindowStatus {
            phase: Phase::Failing,
            ..learning.clone()
        };
        let idle = NodeWindowStatus {
            containers: 0,
            ..silent.clone()
        };
        let nodes = [
            node("a", learning.clone()),
            node("b", silent),
            node("c", ended),
            node("d", failing),
            node("e", idle.clone()),
            node(
                "f",
                NodeWindowStatus {
                    phase: Phase::Failing,
                    ..idle
                },
            ),
            node(
                "g",
                NodeWindowStatus {
                    heard: Some(time(at(3 * DAY + 3600))),
                    clock_ahead_seconds: 3600,
                    ..learning
                },
            ),
        ];
        let nodes = Nodes::of(&nodes, at(3 * DAY));
        let expected = [
            ("a", false),
            ("b", true),
            ("c", false),
            ("d", true),
            ("f", true),
            ("g", true),
        ];
        assert_eq!(
            nodes.seeing,
            expected.map(|(node, is_missing)| (node.to_owned(), is_missing)).into()
        );

        let told = [
            told("a", vec![summary("web", 0, 7)]),
            told("b", vec![summary("web", 1, 7)]),
        ];
        let mut question = held(question(&["a"]), "web");
        question.nodes.seeing.insert("b".to_owned(), true);
        let found = status(question, &told);
        assert_eq!((found.waiting[0].state.as_str(), found.covered_at), ("lossy", None));
    }
}
