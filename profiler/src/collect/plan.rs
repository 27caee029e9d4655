//! What is to be had from each node. Pure: objects in, a plan out.

use std::path::PathBuf;

use baselines::recording::{LostRecording, Part as PartOf, RecordingId, SourceSummary, Summary};
use baselines::time::UtcTime;
use kube::ResourceExt as _;

use crate::agent::objects::{
    AgentFacts, LearningWindow, LostRecordingFacts, NodeWindow, NodeWindowStatus, Phase, RecordingFacts, covers,
};
use crate::agent::plan::{Plan, plan};
use crate::error::Failure;
use crate::kubernetes::connect::printable;
use crate::kubernetes::times::utc;

/// A node whose recording is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The node's name.
    pub node: String,
    /// The name of the object that it tells in.
    pub object: String,
    /// What it told last.
    pub told: NodeWindowStatus,
    /// Why it is not even asked, if so.
    pub given_up: Option<String>,
}

impl Wanted {
    /// The recording, as far as the node has told of one.
    pub fn recording(&self) -> Option<(RecordingId, &RecordingFacts)> {
        let facts = self.told.recording.as_ref()?;
        Some((facts.id.parse().ok()?, facts))
    }

    /// Who has it.
    pub fn agent(&self) -> Option<&AgentFacts> {
        self.told.agent.as_ref().filter(|agent| agent.port != 0)
    }

    /// Nothing more is written to it.
    pub fn is_over(&self) -> bool {
        self.told.phase == Phase::Ended
    }
}

/// What was had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Had {
    /// A file that was checked.
    Recording {
        /// Where it is.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The recordings in it.
        ids: Vec<RecordingId>,
    },
    /// There never was one.
    Nothing,
    /// It will never come.
    Lost(String),
}

/// The nodes that have told of a window, by name.
///
/// # Errors
/// [`Failure::Usage`] for a node to give up that has not told of it.
pub fn wanted(told: &[NodeWindow], without: &[String]) -> Result<Vec<Wanted>, Failure> {
    if let Some(unknown) = without
        .iter()
        .find(|name| !told.iter().any(|node| node.spec.node == **name))
    {
        return Err(Failure::Usage {
            what: format!("no node `{}` has told of this learning window", printable(unknown)),
            help: "`kubectl get nodewindows` lists those that have".to_owned(),
        });
    }
    let mut wanted: Vec<Wanted> = told
        .iter()
        .map(|node| Wanted {
            node: node.spec.node.clone(),
            object: node.name_any(),
            told: node.status.clone().unwrap_or_default(),
            given_up: without
                .contains(&node.spec.node)
                .then(|| "it was given up by who collected".to_owned()),
        })
        .collect();
    wanted.sort_by(|one, other| one.node.cmp(&other.node));
    Ok(wanted)
}

/// Whether a window's time is over.
pub fn is_over(window: &LearningWindow) -> bool {
    window
        .status
        .as_ref()
        .is_some_and(|status| status.phase == Phase::Ended)
        || plan(window, UtcTime::now()) == Plan::End
}

/// What is wanted of each recording.
#[derive(Clone, Debug)]
pub struct Part<'a> {
    window: &'a LearningWindow,
    namespaces: &'a [String],
}

impl<'a> Part<'a> {
    /// These namespaces of a window, or without any the whole.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a namespace that the window does not learn.
    pub fn new(window: &'a LearningWindow, namespaces: &'a [String]) -> Result<Self, Failure> {
        let learned = &window.spec.namespaces;
        match namespaces.iter().find(|name| !covers(learned, name)) {
            None => Ok(Self { window, namespaces }),
            Some(other) => Err(Failure::Usage {
                what: format!(
                    "the learning window {} does not learn the namespace {other}",
                    window.name_any()
                ),
                help: format!("it learns {}", learned.join(", ")),
            }),
        }
    }

    /// What the file says in the place of a recording that will never come.
    pub fn lost(&self, wanted: &Wanted, why: &str) -> Vec<LostRecording> {
        let told = &wanted.told;
        let uid = self.window.uid().unwrap_or_default();
        let facts = LostRecordingFacts {
            id: wanted.recording().map_or_else(
                || RecordingId::derived(&["never told", &uid, &wanted.node]).to_string(),
                |(id, _)| id.to_string(),
            ),
            revision: told.recording.as_ref().map_or(0, |recording| recording.revision),
            started_at: told.started_at.clone(),
            written_until: told.ended_at.clone().or_else(|| told.written_until.clone()),
            containers: told.containers,
            events: told.events,
        };
        self.words(wanted, &facts, why)
    }

    /// The same of recordings that the node had before, and told that they are gone.
    pub fn lost_before(&self, wanted: &Wanted) -> Vec<LostRecording> {
        let lost = wanted.told.lost_recordings.iter();
        lost.flat_map(|facts| self.words(wanted, facts, "the node has another one since"))
            .collect()
    }

    fn words(&self, wanted: &Wanted, facts: &LostRecordingFacts, why: &str) -> Vec<LostRecording> {
        let Ok(whole) = facts.id.parse::<RecordingId>() else {
            return Vec::new();
        };
        let made = self.window.metadata.creation_timestamp.as_ref().map(utc);
        let started = facts.started_at.as_ref().map(utc).or(made).unwrap_or_default();
        let ended = facts.written_until.as_ref().map_or(started, utc);
        let of = |namespace| LostRecording {
            whole,
            namespace,
            revision: facts.revision,
            host: wanted.node.clone(),
            selector: format!("learning window {}", self.window.name_any()),
            started,
            ended,
            why: format!(
                "what node {} had recorded was lost before it was collected ({why}); it had told of {} containers and {} events",
                wanted.node, facts.containers, facts.events
            ),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        if self.namespaces.is_empty() {
            return vec![of(None)];
        }
        self.namespaces
            .iter()
            .map(|namespace| of(Some(namespace.clone())))
            .collect()
    }

    /// Whether what a node sent is what was wanted: the recording that it has told of, or its parts, of this node and of
    /// containers in these namespaces. Returns their names.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&self, wanted: &Wanted, sent: &Summary) -> Result<Vec<RecordingId>, String> {
        let whole = match (sent.sources.as_slice(), self.namespaces) {
            ([one], []) if one.part.is_none() => one.id,
            ([first, ..], [_, ..]) => first.part.as_ref().map_or(first.id, |part| part.whole),
            _ => return Err("what it sent is no recording of one node".to_owned()),
        };
        if let Some((told, _)) = wanted.recording()
            && told != whole
        {
            return Err(format!("it has told of the recording {told}, and sent {whole}"));
        }
        let mut expected: Vec<(RecordingId, Option<PartOf>)> = match self.namespaces {
            [] => vec![(whole, None)],
            namespaces => namespaces.iter().map(|namespace| part_of(whole, namespace)).collect(),
        };
        expected.sort_by_key(|(id, _)| *id);
        let are_those = |sources: &[SourceSummary]| {
            let sources = sources.iter().map(|source| (source.id, source.part.clone()));
            sources.eq(expected.iter().cloned())
        };
        if !are_those(&sent.sources) || sent.sources.iter().any(|source| source.lost.is_some()) {
            return Err("what it sent is not what was asked for".to_owned());
        }
        if let Some(other) = sent.sources.iter().find(|source| source.host != wanted.node) {
            return Err(format!(
                "it sent a recording of another node, {}",
                printable(&other.host)
            ));
        }
        let asked = if self.namespaces.is_empty() {
            &self.window.spec.namespaces
        } else {
            self.namespaces
        };
        let mut namespaces = sent.containers.iter().map(|seen| &seen.container.workload.namespace);
        match namespaces.find(|namespace| !covers(asked, namespace)) {
            None => Ok(expected.into_iter().map(|(id, _)| id).collect()),
            Some(other) => Err(format!("it sent containers of the namespace {}", printable(other))),
        }
    }
}

fn part_of(whole: RecordingId, namespace: &str) -> (RecordingId, Option<PartOf>) {
    let part = PartOf {
        whole,
        namespace: namespace.to_owned(),
    };
    (whole.part(namespace), Some(part))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::agent::objects::{LearningWindowSpec, NodeWindowSpec};

    pub(in crate::collect) fn wanted(node: &str) -> Wanted {
        Wanted {
            node: node.to_owned(),
            object: node.to_owned(),
            told: NodeWindowStatus::default(),
            given_up: None,
        }
    }

    fn told(node: &str) -> Wanted {
        Wanted {
            told: NodeWindowStatus {
                containers: 3,
                events: 40,
                recording: Some(RecordingFacts {
                    id: whole().to_string(),
                    revision: 7,
                    bytes: 1,
                }),
                ..NodeWindowStatus::default()
            },
            ..wanted(node)
        }
    }

    fn whole() -> RecordingId {
        RecordingId::derived(&["it"])
    }

    fn source(id: RecordingId, part: Option<&str>) -> SourceSummary {
        SourceSummary {
            id,
            revision: 7,
            created: UtcTime::default(),
            host: "a".to_owned(),
            is_own: false,
            removed: None,
            lost: None,
            part: part.map(|namespace| PartOf {
                whole: whole(),
                namespace: namespace.to_owned(),
            }),
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn window(namespaces: &[&str]) -> LearningWindow {
        let spec = serde_json::json!({"namespaces": namespaces, "duration": "1h"});
        LearningWindow::new("shop", serde_json::from_value::<LearningWindowSpec>(spec).unwrap())
    }

    fn sent(mut sources: Vec<SourceSummary>) -> Summary {
        sources.sort_by_key(|source| source.id);
        Summary {
            sources,
            behaviours: 0,
            windows: Vec::new(),
            containers: Vec::new(),
            losses: Vec::new(),
        }
    }

    #[test]
    fn only_what_was_wanted_is_taken() {
        let [shop, web] = ["shop", "web"].map(|name| source(whole().part(name), Some(name)));
        let other = source(RecordingId::derived(&["another"]), None);
        let all = source(whole(), None);
        let elsewhere = SourceSummary {
            host: "b".to_owned(),
            ..all.clone()
        };
        let misnamed = SourceSummary {
            part: web.part.clone(),
            ..shop.clone()
        };
        let lost = SourceSummary {
            lost: Some(whole()),
            ..all.clone()
        };
        let window = window(&["shop", "web"]);
        for (namespaces, sources, is_it) in [
            (&[][..], vec![all.clone()], true),
            (&[], vec![other.clone()], false),
            (&[], vec![all.clone(), other.clone()], false),
            (&[], vec![], false),
            (&[], vec![shop.clone()], false),
            (&[], vec![elsewhere], false),
            (&[], vec![lost], false),
            (&["shop"], vec![shop.clone()], true),
            (&["shop"], vec![misnamed], false),
            (&["shop"], vec![web.clone()], false),
            (&["shop"], vec![all.clone()], false),
            (&["shop"], vec![shop.clone(), all], false),
            (&["shop", "web"], vec![web.clone(), shop.clone()], true),
            (&["shop", "web"], vec![shop], false),
        ] {
            let namespaces = texts(namespaces);
            let checked = Part::new(&window, &namespaces)
                .unwrap()
                .check(&told("a"), &sent(sources.clone()));
            assert_eq!(checked.is_ok(), is_it, "{namespaces:?} {sources:?}: {checked:?}");
        }
        // A node that has told of none yet may send any.
        assert!(
            Part::new(&window, &[])
                .unwrap()
                .check(&wanted("a"), &sent(vec![other]))
                .is_ok()
        );
    }

    #[test]
    fn a_lost_recording_has_the_name_that_the_node_has_told_and_says_why() {
        let shop = window(&["shop", "web"]);
        let part = Part::new(&shop, &[]).unwrap();
        let lost = part.lost(&told("a"), "why");
        assert_eq!((lost.len(), lost[0].whole, lost[0].revision), (1, whole(), 7));
        assert_eq!(
            lost[0].why,
            "what node a had recorded was lost before it was collected (why); it had told of 3 containers and 40 events"
        );
        // Without a name told, each node has its own.
        assert_ne!(
            part.lost(&wanted("a"), "why")[0].whole,
            part.lost(&wanted("b"), "why")[0].whole
        );
        let namespaces = texts(&["shop", "web"]);
        let lost = Part::new(&shop, &namespaces).unwrap().lost(&told("a"), "why");
        let asked: Vec<_> = lost.iter().map(|lost| lost.namespace.as_deref()).collect();
        assert_eq!(asked, [Some("shop"), Some("web")]);
        let mut again = told("a");
        again.told.lost_recordings = vec![LostRecordingFacts {
            id: RecordingId::derived(&["earlier"]).to_string(),
            revision: 3,
            started_at: None,
            written_until: None,
            containers: 1,
            events: 2,
        }];
        let lost = part.lost_before(&again);
        assert_eq!(
            (lost.len(), lost[0].whole, lost[0].revision),
            (1, RecordingId::derived(&["earlier"]), 3)
        );
    }

    #[test]
    fn namespaces_are_those_of_the_window() {
        assert!(Part::new(&window(&["*"]), &texts(&["anything"])).is_ok());
        assert!(Part::new(&window(&["shop"]), &texts(&["web"])).is_err());
    }

    #[test]
    fn only_nodes_that_there_are_can_be_given_up() {
        let node = |name: &str| {
            NodeWindow::new(
                name,
                NodeWindowSpec {
                    window: "shop".to_owned(),
                    window_uid: "1".to_owned(),
                    node: name.to_owned(),
                },
            )
        };
        let nodes = [node("b"), node("a")];
        let planned = super::wanted(&nodes, &texts(&["b"])).unwrap();
        let planned: Vec<_> = planned
            .iter()
            .map(|one| (one.node.as_str(), one.given_up.is_some()))
            .collect();
        assert_eq!(planned, [("a", false), ("b", true)]);
        assert!(super::wanted(&nodes, &texts(&["c"])).is_err());
    }
}
