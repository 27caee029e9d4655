//! Brings the recordings of a learning window from all nodes to one file.
//!
//! | module | question it answers |
//! |---|---|
//! | [`plan`] | What is to be had from each node, and what is known to be lost? |
//! | [`folder`] | What has come already? |
//! | [`transfer`] | How does one come? |
//!
//! Each agent serves its node's recording on its pod's loopback address ([`crate::agent::serve`]). It is reached by a
//! port-forward through the API server, as `kubectl port-forward` does, and decides by the token that it is shown.
//!
//! What has come is kept in a folder beside the file to be made until everything is there, so that a second try goes on.
//! A node that is gone is told of in the file by its name: [`baselines::recording::write_lost`].

pub mod folder;
pub mod plan;
pub mod transfer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use baselines::recording::{self, Merged, RecordingId, merge, write_lost};
use futures_util::{StreamExt as _, stream};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use self::folder::Folder;
use self::plan::{Had, Part, Wanted};
use self::transfer::{Transfer, Trouble};
use crate::agent::objects::{LearningWindow, NodeWindow, WINDOW_LABEL};
use crate::error::Failure;
use crate::kubernetes::connect::ConnectError;
use crate::kubernetes::pages;
use crate::kubernetes::token::Tokens;

/// What a role of whoever collects needs, beside `get` of `recordings` in each namespace.
pub const RULE: &str = "wardline-collector of docs/reference/rbac.md";
/// How many nodes are asked at a time.
const NODES_AT_A_TIME: usize = 8;
/// How many files are merged with one step: each is open meanwhile, with up to three descriptors.
const FILES_AT_A_TIME: usize = 100;

/// What is to be collected, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The learning window's name.
    pub window: String,
    /// Only what these namespaces' containers did, sorted; none for everything.
    pub namespaces: Vec<String>,
    /// Nodes that are given up.
    pub without: Vec<String>,
    /// The file to make.
    pub out: PathBuf,
    /// Replace it if it is there.
    pub force: bool,
    /// The most bytes that one node may send.
    pub bytes_max: u64,
}

/// What became of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What.
    pub outcome: Outcome,
    /// Why something can be missing in what it has recorded, as it has told.
    pub lossy: Option<String>,
}

/// What became of a node's recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the file. With its size, in bytes.
    Collected(u64),
    /// The node never had one.
    Nothing,
    /// It will never come, and the file says so.
    Lost(String),
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    /// The file.
    pub merged: Merged,
    /// The nodes, by name.
    pub nodes: Vec<Node>,
    /// Whether the window goes on, so that this is a beginning of it.
    pub goes_on: bool,
    /// What a person has to know of the window.
    pub message: Option<String>,
}

/// Told how far it is.
pub trait Progress {
    /// So many bytes are to come, in addition to what was known.
    fn expect(&self, bytes: u64);
    /// So many bytes of them are here.
    fn came(&self, bytes: u64);
    /// So many will not come after all.
    fn broke_off(&self, bytes: u64);
    /// A line that stays.
    fn say(&self, text: &str);
}

/// Collects a window.
///
/// # Errors
/// [`Failure`]; nothing has become of the file then, and what came already is kept for the next try.
pub async fn collect(
    client: &Client,
    tokens: &Tokens,
    settings: &Settings,
    progress: &impl Progress,
) -> Result<Collected, Failure> {
    require_room(settings)?;
    // Before anything is asked of a node: somebody without a token gets nothing anywhere.
    tokens.get().await?;
    let (window, told) = find(client, &settings.window).await?;
    let part = Part::new(&window, &settings.namespaces)?;
    let wanted = plan::wanted(&told, &settings.without)?;
    let folder = Folder::open(&settings.out)?;
    let transfer = Transfer::new(client, tokens, &window, part.clone(), settings);
    let mut had: Vec<(Wanted, Result<Had, Trouble>)> = stream::iter(wanted)
        .map(|wanted| async {
            let had = one(&transfer, &folder, &part, &wanted, progress).await;
            (wanted, had)
        })
        .buffer_unordered(NODES_AT_A_TIME)
        .collect()
        .await;
    had.sort_by(|(one, _), (other, _)| one.node.cmp(&other.node));
    let had = all_or_error(had, folder.path())?;
    no_two_are_one(&had)?;
    let mut files = Vec::new();
    for (wanted, had) in &had {
        let mut lost = part.lost_before(wanted);
        match had {
            Had::Recording { path, .. } => files.push(path.clone()),
            Had::Nothing => {}
            Had::Lost(why) => lost.extend(part.lost(wanted, why)),
        }
        for (number, lost) in lost.iter().enumerate() {
            let path = folder.lost(wanted, number);
            write_lost(lost, &path)?;
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(ConnectError::NobodyLearned(settings.window.clone()).into());
    }
    let merged = merge_all(&files, &folder, settings)?;
    folder.remove()?;
    // It may have ended meanwhile, and what is said of it may be old.
    let window = window_of(client, &settings.window).await.unwrap_or(window);
    let is_over = plan::is_over(&window) && had.iter().all(|(wanted, had)| wanted.is_over() || is_lost(had));
    let nodes = had.into_iter().map(|(wanted, had)| Node {
        name: wanted.node,
        outcome: match had {
            Had::Recording { bytes, .. } => Outcome::Collected(bytes),
            Had::Nothing => Outcome::Nothing,
            Had::Lost(why) => Outcome::Lost(why),
        },
        lossy: wanted.told.lossy,
    });
    Ok(Collected {
        merged,
        nodes: nodes.collect(),
        goes_on: !is_over,
        message: window.status.and_then(|status| status.message),
    })
}

fn is_lost(had: &Had) -> bool {
    matches!(had, Had::Lost(_))
}

/// Whether the file can be made, as far as that can be known before.
fn require_room(settings: &Settings) -> Result<(), recording::Error> {
    let path = settings.out.clone();
    if path.is_dir() {
        let what = "it is a directory".to_owned();
        return Err(recording::Error::Foreign { path, what });
    }
    if path.exists() && !settings.force {
        return Err(recording::Error::Exists { path });
    }
    Ok(())
}

async fn window_of(client: &Client, name: &str) -> Result<LearningWindow, ConnectError> {
    let window = Api::<LearningWindow>::all(client.clone()).get(name).await;
    window.map_err(|error| ConnectError::of("read a learning window", RULE, &error))
}

/// The window, and what each node tells of it.
async fn find(client: &Client, name: &str) -> Result<(LearningWindow, Vec<NodeWindow>), ConnectError> {
    let window = window_of(client, name).await?;
    let nodes = Api::<NodeWindow>::all(client.clone());
    let parameters = ListParams::default().labels(&format!("{WINDOW_LABEL}={name}"));
    let mut told = Vec::new();
    let list = async |page: &ListParams| nodes.list(page).await;
    let listed = pages::for_each(parameters, list, |node| told.push(node)).await;
    listed.map_err(|error| ConnectError::of("list what the nodes tell", RULE, &error))?;
    // Another window may have had the name before.
    told.retain(|node| Some(&node.spec.window_uid) == window.uid().as_ref());
    Ok((window, told))
}

/// What there is to be had from one node.
async fn one(
    transfer: &Transfer<'_>,
    folder: &Folder,
    part: &Part<'_>,
    wanted: &Wanted,
    progress: &impl Progress,
) -> Result<Had, Trouble> {
    if let Some(why) = &wanted.given_up {
        return Ok(Had::Lost(why.clone()));
    }
    if let Some(had) = folder.has(wanted, part) {
        return Ok(had);
    }
    transfer.fetch(wanted, folder, progress).await
}

/// Everything, or one error about all that is missing.
fn all_or_error(had: Vec<(Wanted, Result<Had, Trouble>)>, kept: &Path) -> Result<Vec<(Wanted, Had)>, Failure> {
    let all = had.len();
    let (mut complete, mut failed, mut refused) = (Vec::new(), Vec::new(), 0);
    for (wanted, had) in had {
        match had {
            Ok(had) => complete.push((wanted, had)),
            Err(Trouble::Here(failure)) => return Err(*failure),
            Err(Trouble::Failed(why)) => failed.push(format!("{}: {why}", wanted.node)),
            Err(Trouble::Refused(why)) => {
                refused += 1;
                failed.push(format!("{}: its agent refuses: {why}", wanted.node));
            }
        }
    }
    match failed.first() {
        None => Ok(complete),
        // Whoever may not have it from one may not have it from any.
        Some(first) if refused == failed.len() && !complete.iter().any(|(_, had)| had_something(had)) => {
            Err(ConnectError::NotYours(first.clone()).into())
        }
        Some(_) => Err(ConnectError::Uncollected {
            all,
            failed,
            kept: kept.to_owned(),
        }
        .into()),
    }
}

fn had_something(had: &Had) -> bool {
    matches!(had, Had::Recording { .. })
}

/// A node that sends another one's recording as its own would take that one's place.
fn no_two_are_one(had: &[(Wanted, Had)]) -> Result<(), Failure> {
    let mut owners = BTreeMap::<RecordingId, &str>::new();
    for (wanted, had) in had {
        let sent = match had {
            Had::Recording { ids, .. } => ids.as_slice(),
            Had::Nothing | Had::Lost(_) => &[],
        };
        // What it has told of is its own, too, whether it came or not.
        let told = wanted.recording().map(|(id, _)| id);
        for id in sent.iter().copied().chain(told) {
            let owner = *owners.entry(id).or_insert(&wanted.node);
            if owner != wanted.node {
                let what = format!(
                    "the nodes {owner} and {} both call the recording {id} their own: one of them does not tell the truth",
                    wanted.node
                );
                return Err(ConnectError::Dishonest(what).into());
            }
        }
    }
    Ok(())
}

/// In several steps, where there are many: merging is associative.
fn merge_all(files: &[PathBuf], folder: &Folder, settings: &Settings) -> Result<Merged, Failure> {
    let mut files = files.to_owned();
    let mut step = 0;
    while files.len() > FILES_AT_A_TIME {
        let mut merged = Vec::new();
        for some in files.chunks(FILES_AT_A_TIME) {
            let out = folder.path().join(format!("merged-{step}.db"));
            step += 1;
            merge(some, &out, true, |_, _| {})?;
            merged.push(out);
        }
        files = merged;
    }
    Ok(merge(&files, &settings.out, settings.force, |_, _| {})?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::node;

    fn settings(out: &Path) -> Settings {
        Settings {
            window: "shop".to_owned(),
            namespaces: Vec::new(),
            without: Vec::new(),
            out: out.to_owned(),
            force: false,
            bytes_max: 1 << 20,
        }
    }

    #[test]
    fn more_files_than_can_be_open_at_a_time_are_merged_in_steps() {
        let directory = tempfile::tempdir().unwrap();
        let settings = settings(&directory.path().join("out.db"));
        let folder = Folder::open(&settings.out).unwrap();
        let files: Vec<PathBuf> = (0..=FILES_AT_A_TIME * 2)
            .map(|number| {
                let path = folder.path().join(format!("{number}.db"));
                drop(recording::Recording::open_or_create(&path, &node()).unwrap());
                path
            })
            .collect();
        let merged = merge_all(&files, &folder, &settings).unwrap();
        assert_eq!(merged.sources.len(), files.len());
    }

    #[test]
    fn who_sends_the_recording_of_another_node_is_found_out() {
        let had = |name: &str, id: &str| {
            let had = Had::Recording {
                path: PathBuf::new(),
                bytes: 1,
                ids: vec![RecordingId::derived(&[id])],
            };
            (plan::tests::wanted(name), had)
        };
        assert!(no_two_are_one(&[had("a", "1"), had("b", "2")]).is_ok());
        let error = no_two_are_one(&[had("a", "1"), had("b", "1")]).unwrap_err().to_string();
        assert!(error.contains("the nodes a and b"), "{error}");
    }

    #[test]
    fn one_error_names_all_nodes_that_are_missing() {
        let failed = |name: &str| (plan::tests::wanted(name), Err(Trouble::Failed("it is away".to_owned())));
        let refused = |name: &str| {
            (
                plan::tests::wanted(name),
                Err(Trouble::Refused("you may not".to_owned())),
            )
        };
        let said = |had| all_or_error(had, Path::new("kept")).unwrap_err().to_string();
        let text = said(vec![
            failed("a"),
            (plan::tests::wanted("b"), Ok(Had::Nothing)),
            failed("c"),
        ]);
        let one_lies = said(vec![refused("a"), failed("b")]);
        assert!(
            one_lies.contains("2 of 2") && one_lies.contains("a: its agent refuses: you may not"),
            "{one_lies}"
        );
        let all_refuse = said(vec![refused("a"), refused("b")]);
        assert!(
            !all_refuse.contains("2 of 2") && all_refuse.contains("you may not"),
            "{all_refuse}"
        );
        assert!(
            text.contains("2 of 3") && text.contains("a: it is away") && text.contains("c: it is away"),
            "{text}"
        );
    }
}
