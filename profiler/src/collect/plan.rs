//! What is to be had from each node. Pure: objects in, a plan out.

use std::path::PathBuf;

use baselines::recording::{LostRecording, Part as PartOf, RecordingId};
use baselines::time::UtcTime;
use kube::ResourceExt as _;

use crate::agent::objects::{
    AgentFacts, EVERY_NAMESPACE, LearningWindow, NodeWindow, NodeWindowStatus, Phase, RecordingFacts,
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
        let learns = |name: &String| learned.iter().any(|one| one == EVERY_NAMESPACE || one == name);
        match namespaces.iter().find(|name| !learns(name)) {
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
        let uid = self.window.uid().unwrap_or_default();
        let whole = wanted
            .recording()
            .map_or_else(|| RecordingId::derived(&["lost", &uid, &wanted.node]), |(id, _)| id);
        let told = &wanted.told;
        let made = self.window.metadata.creation_timestamp.as_ref().map(utc);
        let started = told.started_at.as_ref().map(utc).or(made).unwrap_or_default();
        let ended = told
            .ended_at
            .as_ref()
            .or(told.written_until.as_ref())
            .map_or(started, utc);
        let lost = |id, part| LostRecording {
            id,
            part,
            host: wanted.node.clone(),
            selector: format!("learning window {}", self.window.name_any()),
            started,
            ended,
            why: format!(
                "node {} was lost before its recording was collected ({why}); it had told of {} containers and {} events",
                wanted.node, told.containers, told.events
            ),
            tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        if self.namespaces.is_empty() {
            return vec![lost(whole, None)];
        }
        let parts = self.namespaces.iter().map(|namespace| {
            let part = PartOf {
                whole,
                namespace: namespace.clone(),
            };
            lost(whole.part(namespace), Some(part))
        });
        parts.collect()
    }
}

/// Whether what a node sent is what was wanted: the recording that it has told of, or its parts. Returns their names.
///
/// # Errors
/// What is wrong.
pub fn check(
    wanted: &Wanted,
    namespaces: &[String],
    sources: &[baselines::recording::SourceSummary],
) -> Result<Vec<RecordingId>, String> {
    let whole = match (sources, namespaces) {
        ([one], []) if one.part.is_none() => one.id,
        ([first, ..], [_, ..]) => first.part.as_ref().map_or(first.id, |part| part.whole),
        _ => return Err("what it sent is no recording of one node".to_owned()),
    };
    if let Some((told, _)) = wanted.recording()
        && told != whole
    {
        return Err(format!("it has told of the recording {told}, and sent {whole}"));
    }
    let mut expected: Vec<RecordingId> = namespaces.iter().map(|namespace| whole.part(namespace)).collect();
    if namespaces.is_empty() {
        expected.push(whole);
    }
    expected.sort();
    let mut sent: Vec<RecordingId> = sources.iter().map(|source| source.id).collect();
    sent.sort();
    if sent == expected {
        Ok(sent)
    } else {
        Err("what it sent are not the parts that were asked for".to_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use baselines::recording::SourceSummary;

    use super::*;
    use crate::agent::objects::{LearningWindowSpec, NodeWindowSpec};

    pub(in crate::collect) fn wanted(node: &str) -> Wanted {
        Wanted {
            node: node.to_owned(),
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

    #[test]
    fn only_what_was_wanted_is_taken() {
        let [shop, web] = ["shop", "web"].map(|name| source(whole().part(name), Some(name)));
        let other = source(RecordingId::derived(&["another"]), None);
        let all = source(whole(), None);
        for (namespaces, sources, is_it) in [
            (&[][..], vec![all.clone()], true),
            (&[], vec![other.clone()], false),
            (&[], vec![all.clone(), other.clone()], false),
            (&[], vec![], false),
            (&[], vec![shop.clone()], false),
            (&["shop"], vec![shop.clone()], true),
            (&["shop"], vec![web.clone()], false),
            (&["shop"], vec![all.clone()], false),
            (&["shop"], vec![shop.clone(), all], false),
            (&["shop", "web"], vec![web.clone(), shop.clone()], true),
            (&["shop", "web"], vec![shop], false),
        ] {
            let checked = check(&told("a"), &texts(namespaces), &sources);
            assert_eq!(checked.is_ok(), is_it, "{namespaces:?} {sources:?}: {checked:?}");
        }
        // A node that has told of none yet may send any.
        assert!(check(&wanted("a"), &[], &[other]).is_ok());
    }

    #[test]
    fn a_lost_recording_has_the_name_that_the_node_has_told_and_says_why() {
        let shop = window(&["shop", "web"]);
        let namespaces = texts(&[]);
        let [lost] =
            <[LostRecording; 1]>::try_from(Part::new(&shop, &namespaces).unwrap().lost(&told("a"), "why")).unwrap();
        assert_eq!((lost.id, lost.part), (whole(), None));
        assert_eq!(
            lost.why,
            "node a was lost before its recording was collected (why); it had told of 3 containers and 40 events"
        );
        let namespaces = texts(&["shop", "web"]);
        let lost = Part::new(&shop, &namespaces).unwrap().lost(&told("a"), "why");
        let ids: Vec<_> = lost.iter().map(|lost| lost.id).collect();
        assert_eq!(ids, [whole().part("shop"), whole().part("web")]);
        // Without a name told, each node has its own.
        let part = Part::new(&shop, &[]).unwrap();
        assert_ne!(
            part.lost(&wanted("a"), "why")[0].id,
            part.lost(&wanted("b"), "why")[0].id
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
