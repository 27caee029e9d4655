//! One node's recording, on its way: through the API server to the agent's pod, and from there in one answer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use baselines::recording::{self, Recording, failed, merge};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, HOST, IF_MATCH, RANGE, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::{sleep, timeout};

use super::folder::{Beginning, Folder};
use super::plan::{Had, Part, Wanted};
use super::{Progress, RULE, Settings};
use crate::agent::asked::{Asked, checksum_in, header, tag_of};
use crate::agent::objects::{AgentFacts, LearningWindow, NodeWindow, NodeWindowStatus, Phase};
use crate::checksum;
use crate::error::Failure;
use crate::kubernetes::connect::{printable, what_went_wrong, with_causes};
use crate::kubernetes::token::Tokens;

/// How often a transfer is tried, each time from where the last one was broken off.
const TRIES: u32 = 4;
/// How long after the first one that was broken off; then twice that, and so on.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long an API server may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long an agent may take to make a copy of a recording.
const COPY_WITHIN: Duration = Duration::from_mins(5);
/// How long nothing may come.
const GO_ON_WITHIN: Duration = Duration::from_mins(1);
/// How few bytes may come in a second, after that time.
const RATE_MIN: u64 = 4096;
/// How long the kubelet may take to say why a stream was closed.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// So many agents that refuse, and none that does not: nobody else is asked.
const REFUSALS_MAX: usize = 3;
/// Longer explanations of an agent are cut, in bytes.
const EXPLANATION_MAX: usize = 4096;

/// Why a recording did not come.
#[derive(Debug)]
pub enum Trouble {
    /// Who asks may not have it, this agent says.
    Refused(String),
    /// Another try may do better.
    Failed(String),
    /// It cannot be written here.
    Here(Box<Failure>),
}

/// What is the same for all nodes.
pub struct Transfer<'a> {
    client: &'a Client,
    tokens: &'a Tokens,
    asked: Asked,
    part: Part<'a>,
    bytes_max: u64,
    answers: Mutex<Answers>,
}

/// What agents answered so far.
#[derive(Default)]
struct Answers {
    /// Somebody gave something.
    has_given: bool,
    refused: usize,
    /// Why the last one refused.
    why: String,
}

impl<'a> Transfer<'a> {
    /// Of this window, by who has these tokens.
    pub fn new(
        client: &'a Client,
        tokens: &'a Tokens,
        window: &LearningWindow,
        part: Part<'a>,
        settings: &Settings,
    ) -> Self {
        Self {
            client,
            tokens,
            part,
            answers: Mutex::default(),
            asked: Asked {
                uid: window.uid().unwrap_or_default(),
                namespaces: settings.namespaces.clone(),
            },
            bytes_max: settings.bytes_max,
        }
    }

    /// Fetches a node's recording, or finds out that it will never come.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn fetch(&self, wanted: &Wanted, folder: &Folder, progress: &impl Progress) -> Result<Had, Trouble> {
        let (mut wait, mut left) = (TRY_AGAIN_AFTER, TRIES);
        // Another agent may be there by the next try, at another port.
        let mut now = wanted.clone();
        loop {
            if let Some(why) = self.everybody_refuses() {
                return Err(Trouble::Refused(why));
            }
            left -= 1;
            let done = self.attempt(&now, folder, progress).await;
            self.note(&done);
            match done {
                Err(Trouble::Failed(why)) if left > 0 => {
                    progress.say(&format!("{}: {why}; trying again", wanted.node));
                    sleep(wait).await;
                    wait = wait.saturating_mul(2);
                    now.told = self.told_now(&now).await;
                }
                done => return done,
            }
        }
    }

    fn note(&self, done: &Result<Had, Trouble>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        match done {
            Ok(Had::Recording { .. }) => answers.has_given = true,
            Err(Trouble::Refused(why)) => {
                answers.refused += 1;
                answers.why.clone_from(why);
            }
            _ => {}
        }
    }

    /// Whether there is no use in asking thousands more.
    fn everybody_refuses(&self) -> Option<String> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        (!answers.has_given && answers.refused >= REFUSALS_MAX).then(|| answers.why.clone())
    }

    async fn told_now(&self, wanted: &Wanted) -> NodeWindowStatus {
        let nodes = Api::<NodeWindow>::all(self.client.clone());
        let node = answer("read what a node tells", nodes.get_opt(&wanted.object)).await;
        // Where that cannot be read, what was told before is all there is.
        let node = node.ok().flatten().filter(|node| node.spec.node == wanted.node);
        node.and_then(|node| node.status).unwrap_or_else(|| wanted.told.clone())
    }

    async fn attempt(&self, wanted: &Wanted, folder: &Folder, progress: &impl Progress) -> Result<Had, Trouble> {
        let Some(agent) = self.find(wanted).await? else {
            return Ok(Had::Lost("the cluster has no such node any more".to_owned()));
        };
        let beginning = folder.beginning(wanted);
        let beginning = beginning.map_err(|error| here("read", folder.path(), error))?;
        let response = self.ask(agent, beginning.as_ref()).await?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                self.take(response, wanted, folder, beginning, progress).await
            }
            StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
                if let Some(beginning) = beginning {
                    fs::remove_file(&beginning.path).map_err(|error| here("remove", &beginning.path, error))?;
                }
                Err(Trouble::Failed(
                    "its recording has changed since a part of it came".to_owned(),
                ))
            }
            StatusCode::NOT_FOUND if wanted.told.recording.is_none() => match &wanted.told.message {
                Some(why) if wanted.told.phase == Phase::Failing => Ok(Had::Lost(format!(
                    "nothing could be recorded there: {}",
                    printable(why)
                ))),
                _ => Ok(Had::Nothing),
            },
            StatusCode::NOT_FOUND => Ok(Had::Lost(explanation(response).await)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Trouble::Refused(explanation(response).await)),
            status => Err(Trouble::Failed(format!(
                "its agent answers {status}: {}",
                explanation(response).await
            ))),
        }
    }

    /// The agent of a node. None where the node is gone, and what it had with it.
    async fn find<'w>(&self, wanted: &'w Wanted) -> Result<Option<&'w AgentFacts>, Trouble> {
        let Some(agent) = wanted.agent() else {
            return Err(Trouble::Failed(
                "its agent gives no recordings away: it has told no pod and port of its own".to_owned(),
            ));
        };
        let pods = Api::<Pod>::namespaced(self.client.clone(), &agent.namespace);
        let pod = answer("read the agents' pods", pods.get_opt(&agent.pod)).await?;
        let Some(pod) = pod else {
            let nodes = Api::<Node>::all(self.client.clone());
            return match answer("read nodes", nodes.get_opt(&wanted.node)).await? {
                None => Ok(None),
                Some(_) => Err(Trouble::Failed(format!(
                    "there is no pod {} any more, and no other agent has told of itself there",
                    printable(&agent.pod)
                ))),
            };
        };
        // A node that names another one's pod would have our token shown there.
        let is_there = pod
            .spec
            .is_some_and(|spec| spec.node_name.as_ref() == Some(&wanted.node));
        if is_there {
            Ok(Some(agent))
        } else {
            Err(Trouble::Failed(format!(
                "the pod {} is on another node",
                printable(&agent.pod)
            )))
        }
    }

    async fn ask(&self, agent: &AgentFacts, beginning: Option<&Beginning>) -> Result<Response<Incoming>, Trouble> {
        let token = self
            .tokens
            .get()
            .await
            .map_err(|error| Trouble::Here(Box::new(error.into())))?;
        let pods = Api::<Pod>::namespaced(self.client.clone(), &agent.namespace);
        let mut forward = answer(
            "forward a port of the agent",
            pods.portforward(&agent.pod, &[agent.port]),
        )
        .await?;
        let failed = |what: &str| Trouble::Failed(what.to_owned());
        let stream = forward
            .take_stream(agent.port)
            .ok_or_else(|| failed("no stream to its agent"))?;
        let error = forward
            .take_error(agent.port)
            .ok_or_else(|| failed("no stream to its agent"))?;
        let mut error = Box::pin(error);
        let broken =
            |error: hyper::Error| Trouble::Failed(format!("its agent was not reached: {}", with_causes(&error)));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        // It ends with the answer; what goes wrong with it the answer says, too. The forwarding is its to keep.
        tokio::spawn(async move {
            let _ = connection.await;
            drop(forward);
        });
        let mut request = Request::get(self.asked.path())
            .header(HOST, "agent")
            .header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(beginning) = beginning {
            request = request
                .header(IF_MATCH, tag_of(&beginning.checksum))
                .header(RANGE, format!("bytes={}-", beginning.bytes));
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| Trouble::Failed(format!("its agent cannot be asked: {error}")))?;
        let unreached = |why: &str| Trouble::Failed(format!("its agent was not reached: {}", printable(why.trim())));
        tokio::select! {
            // What the kubelet says, such as that nobody listens there.
            Some(why) = &mut error => Err(unreached(&why)),
            response = timeout(COPY_WITHIN, sender.send_request(request)) => match response {
                Ok(Ok(response)) => Ok(response),
                // It may say so only after it has closed the stream.
                Ok(Err(closed)) => match timeout(LAST_WORDS, error).await {
                    Ok(Some(why)) => Err(unreached(&why)),
                    _ => Err(broken(closed)),
                },
                Err(_) => Err(failed("its agent does not answer")),
            },
        }
    }

    /// Writes what comes, and checks it when it is whole.
    async fn take(
        &self,
        response: Response<Incoming>,
        wanted: &Wanted,
        folder: &Folder,
        beginning: Option<Beginning>,
        progress: &impl Progress,
    ) -> Result<Had, Trouble> {
        let not_understood = || Trouble::Failed("its agent's answer is not understood".to_owned());
        let checksum = header(response.headers(), &ETAG)
            .and_then(checksum_in)
            .ok_or_else(not_understood)?
            .to_owned();
        let left: u64 = header(response.headers(), &CONTENT_LENGTH)
            .and_then(|text| text.parse().ok())
            .ok_or_else(not_understood)?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT;
        let before = match beginning {
            Some(beginning) if goes_on && beginning.checksum == checksum => beginning.bytes,
            _ if goes_on => return Err(not_understood()),
            _ => 0,
        };
        if before.saturating_add(left) > self.bytes_max {
            return Err(Trouble::Failed(format!(
                "its recording has {} bytes, and --recording-max is {}",
                before.saturating_add(left),
                self.bytes_max
            )));
        }
        // Its length is what counts, and not what it says of itself while it comes.
        if response.headers().contains_key(TRANSFER_ENCODING) {
            return Err(not_understood());
        }
        let path = folder.part(wanted, &checksum);
        let write = |error| here("write", &path, error);
        folder.keep_only(wanted, &path).map_err(write)?;
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = if goes_on {
            options.append(true)
        } else {
            options.write(true).truncate(true)
        }
        .open(&path)
        .map_err(write)?;
        progress.expect(left);
        let came = receive(response.into_body(), file, &path, left, progress).await;
        if let (came, Some(trouble)) = came {
            progress.broke_off(left.saturating_sub(came));
            return Err(trouble);
        }
        self.checked(wanted, folder, &path, &checksum)
    }

    /// What came, if it is what was sent, and what was wanted. What is kept is our own writing of it.
    fn checked(&self, wanted: &Wanted, folder: &Folder, path: &Path, checksum: &str) -> Result<Had, Trouble> {
        let remove = |path: &Path| fs::remove_file(path).map_err(|error| here("remove", path, error));
        let read = File::open(path).and_then(|mut file| checksum::of(&mut file));
        let (came, _) = read.map_err(|error| here("read", path, error))?;
        if came != checksum {
            remove(path)?;
            return Err(Trouble::Failed(
                "what came is not what was sent: its checksum is another one".to_owned(),
            ));
        }
        let target = folder.file(wanted);
        let merged = merge(&[path.to_owned()], &target, true, |_, _| {});
        let summary = merged.and_then(|_| Recording::open(&target)?.summary());
        remove(path)?;
        let checked = match summary {
            Ok(summary) => self.part.check(wanted, &summary),
            Err(error @ (recording::Error::Full { .. } | recording::Error::File { .. })) => {
                return Err(Trouble::Here(Box::new(error.into())));
            }
            Err(error) => Err(format!("what it sent cannot be read: {error}")),
        };
        match checked {
            Ok(ids) => {
                let bytes = target.metadata().map_err(|error| here("read", &target, error))?.len();
                Ok(Had::Recording {
                    path: target,
                    bytes,
                    ids,
                })
            }
            Err(why) => {
                if target.exists() {
                    remove(&target)?;
                }
                Err(Trouble::Failed(why))
            }
        }
    }
}

/// Writes so many bytes, and no more. How many came, and why there are no more.
async fn receive(
    mut body: Incoming,
    mut file: File,
    path: &Path,
    left: u64,
    progress: &impl Progress,
) -> (u64, Option<Trouble>) {
    let (mut came, began) = (0_u64, Instant::now());
    let failed = |what: String| Some(Trouble::Failed(what));
    while came < left {
        let Ok(frame) = timeout(GO_ON_WITHIN, body.frame()).await else {
            return (came, failed("nothing more came from its agent".to_owned()));
        };
        let data = match frame {
            None => return (came, failed("the transfer was broken off".to_owned())),
            Some(Err(error)) => {
                return (
                    came,
                    failed(format!("the transfer was broken off: {}", with_causes(&error))),
                );
            }
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        came = came.saturating_add(data.len() as u64);
        if came > left {
            return (left, failed("its agent sends more than it said".to_owned()));
        }
        if let Err(error) = file.write_all(&data) {
            return (came, Some(here("write", path, error)));
        }
        progress.came(data.len() as u64);
        // One that hardly says anything would keep others waiting for ever.
        let time = began.elapsed();
        if time > GO_ON_WITHIN && came / time.as_secs().max(1) < RATE_MIN {
            return (
                came,
                failed(format!("less than {RATE_MIN} bytes a second come from its agent")),
            );
        }
    }
    match file.sync_all() {
        Ok(()) => (came, None),
        Err(error) => (came, Some(here("write", path, error))),
    }
}

/// What the API server answers in time.
async fn answer<T>(doing: &str, asking: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Trouble> {
    match timeout(ANSWER_WITHIN, asking).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Trouble::Failed(what_went_wrong(doing, RULE, &error))),
        Err(_) => Err(Trouble::Failed("the API server does not answer".to_owned())),
    }
}

fn here(doing: &'static str, path: &Path, error: io::Error) -> Trouble {
    Trouble::Here(Box::new(failed(doing, path)(error).into()))
}

/// What an agent says instead of a recording.
async fn explanation(response: Response<Incoming>) -> String {
    let body = Limited::new(response.into_body(), EXPLANATION_MAX).collect();
    match timeout(GO_ON_WITHIN, body).await {
        Ok(Ok(body)) => printable(String::from_utf8_lossy(&body.to_bytes()).trim()),
        _ => "it does not say why".to_owned(),
    }
}
