//! One node's recording, on its way: through the API server to the agent's pod, and from there in one answer.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use baselines::recording::Recording;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, HOST, HeaderName, IF_MATCH, RANGE};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{Api, Client, ResourceExt as _};
use tokio::time::{sleep, timeout};

use super::folder::{Beginning, Folder, could_not};
use super::plan::{Had, Wanted, check};
use super::{Progress, RULE, Settings};
use crate::agent::asked::{Asked, checksum_in, tag_of};
use crate::agent::objects::{AgentFacts, LearningWindow};
use crate::checksum;
use crate::error::Failure;
use crate::kubernetes::connect::{printable, what_went_wrong, with_causes};

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
/// Longer explanations of an agent are cut, in bytes.
const EXPLANATION_MAX: usize = 4096;

/// Why a recording did not come.
#[derive(Debug)]
pub enum Trouble {
    /// Who asks may not have it; nor from any other node.
    Refused(String),
    /// Another try may do better.
    Failed(String),
    /// It cannot be written here.
    Here(Box<Failure>),
}

/// What is the same for all nodes.
pub struct Transfer<'a> {
    client: &'a Client,
    token: &'a str,
    asked: Asked,
    bytes_max: u64,
}

impl<'a> Transfer<'a> {
    /// Of this window, by who has this token.
    pub fn new(client: &'a Client, token: &'a str, window: &LearningWindow, settings: &Settings) -> Self {
        Self {
            client,
            token,
            asked: Asked {
                uid: window.uid().unwrap_or_default(),
                namespaces: settings.namespaces.clone(),
            },
            bytes_max: settings.bytes_max,
        }
    }

    /// The namespaces that are asked for; none for all.
    pub fn namespaces(&self) -> &[String] {
        &self.asked.namespaces
    }

    /// Fetches a node's recording, or finds out that it will never come.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn fetch(&self, wanted: &Wanted, folder: &Folder, progress: &impl Progress) -> Result<Had, Trouble> {
        let mut wait = TRY_AGAIN_AFTER;
        for left in (0..TRIES).rev() {
            match self.attempt(wanted, folder, progress).await {
                Err(Trouble::Failed(why)) if left > 0 => {
                    progress.say(&format!("{}: {why}; trying again", wanted.node));
                    sleep(wait).await;
                    wait = wait.saturating_mul(2);
                }
                done => return done,
            }
        }
        Err(Trouble::Failed("it was not tried".to_owned()))
    }

    async fn attempt(&self, wanted: &Wanted, folder: &Folder, progress: &impl Progress) -> Result<Had, Trouble> {
        let agent = match self.find(wanted).await? {
            Ok(agent) => agent,
            Err(lost) => return Ok(lost),
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
            StatusCode::NOT_FOUND if wanted.told.recording.is_none() => Ok(Had::Nothing),
            StatusCode::NOT_FOUND => Ok(Had::Lost(explanation(response).await)),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Trouble::Refused(explanation(response).await)),
            status => Err(Trouble::Failed(format!(
                "its agent answers {status}: {}",
                explanation(response).await
            ))),
        }
    }

    /// The agent of a node; or that the node is gone, and what it had with it.
    async fn find<'w>(&self, wanted: &'w Wanted) -> Result<Result<&'w AgentFacts, Had>, Trouble> {
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
                None => Ok(Err(Had::Lost("the cluster has no such node any more".to_owned()))),
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
            Ok(Ok(agent))
        } else {
            Err(Trouble::Failed(format!(
                "the pod {} is on another node",
                printable(&agent.pod)
            )))
        }
    }

    async fn ask(&self, agent: &AgentFacts, beginning: Option<&Beginning>) -> Result<Response<Incoming>, Trouble> {
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
            .header(AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(beginning) = beginning {
            request = request
                .header(IF_MATCH, tag_of(&beginning.checksum))
                .header(RANGE, format!("bytes={}-", beginning.bytes));
        }
        let request = request
            .body(Empty::<Bytes>::new())
            .map_err(|error| Trouble::Failed(format!("its agent cannot be asked: {error}")))?;
        tokio::select! {
            // What the kubelet says, such as that nobody listens there.
            Some(error) = error => Err(Trouble::Failed(format!("its agent was not reached: {}", printable(error.trim())))),
            response = timeout(COPY_WITHIN, sender.send_request(request)) => match response {
                Ok(response) => response.map_err(broken),
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
        let checksum = header(&response, &ETAG)
            .and_then(checksum_in)
            .ok_or_else(not_understood)?
            .to_owned();
        let left: u64 = header(&response, &CONTENT_LENGTH)
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
        progress.expect(left);
        let path = folder.part(wanted, &checksum);
        let write = |error| here("write", &path, error);
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600);
        let mut file = if goes_on {
            options.append(true)
        } else {
            options.write(true).truncate(true)
        }
        .open(&path)
        .map_err(write)?;
        let (mut body, mut came) = (response.into_body(), 0_u64);
        while !body.is_end_stream() {
            let frame = timeout(GO_ON_WITHIN, body.frame()).await;
            let frame = frame.map_err(|_| Trouble::Failed("nothing more came from its agent".to_owned()))?;
            let Some(frame) = frame else { break };
            let frame = frame
                .map_err(|error| Trouble::Failed(format!("the transfer was broken off: {}", with_causes(&error))))?;
            if let Some(data) = frame.data_ref() {
                file.write_all(data).map_err(write)?;
                came = came.saturating_add(data.len() as u64);
                progress.came(data.len() as u64);
            }
        }
        if came != left {
            return Err(Trouble::Failed("the transfer was broken off".to_owned()));
        }
        file.sync_all().map_err(write)?;
        drop(file);
        self.checked(wanted, folder, &path, &checksum)
    }

    /// What came, if it is what was sent, and what was wanted.
    fn checked(&self, wanted: &Wanted, folder: &Folder, path: &Path, checksum: &str) -> Result<Had, Trouble> {
        let read = File::open(path).and_then(|mut file| checksum::of(&mut file));
        let (came, _) = read.map_err(|error| here("read", path, error))?;
        let target = folder.file(wanted);
        if came != checksum {
            fs::remove_file(path).map_err(|error| here("remove", path, error))?;
            return Err(Trouble::Failed(
                "what came is not what was sent: its checksum is another one".to_owned(),
            ));
        }
        fs::rename(path, &target).map_err(|error| here("write", &target, error))?;
        let sources = Recording::open(&target).and_then(|recording| recording.sources());
        let checked = sources
            .map_err(|error| format!("what it sent cannot be read: {error}"))
            .and_then(|sources| check(wanted, &self.asked.namespaces, &sources));
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
                fs::remove_file(&target).map_err(|error| here("remove", &target, error))?;
                Err(Trouble::Failed(why))
            }
        }
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
    Trouble::Here(Box::new(could_not(doing, path, error).into()))
}

fn header<'a>(response: &'a Response<Incoming>, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// What an agent says instead of a recording.
async fn explanation(response: Response<Incoming>) -> String {
    let body = Limited::new(response.into_body(), EXPLANATION_MAX).collect();
    match timeout(GO_ON_WITHIN, body).await {
        Ok(Ok(body)) => printable(String::from_utf8_lossy(&body.to_bytes()).trim()),
        _ => "it does not say why".to_owned(),
    }
}
