//! Gives recordings to who may have them: a small HTTP server on the pod's loopback address, where nobody gets but by a
//! port-forward through the API server (and what runs in the same pod). [`super::asked`] says how it is asked.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use baselines::recording;
use futures_util::{Stream, stream};
use http_body_util::{Either, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH, RANGE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use kube::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::asked::{Asked, checksum_in, header, offset_in, tag_of};
use super::authorise::{Refusal, authorise};
use super::exports::{Export, Exports, Unexported};
use super::objects::{EVERY_NAMESPACE, LearningWindow, LearningWindowSpec, covers};
use crate::kubernetes::connect::what_went_wrong;

/// How many are answered at a time; others wait.
const AT_A_TIME: usize = 8;
/// How long somebody may take to say what they want.
const SAY_WITHIN: Duration = Duration::from_secs(10);
/// How long one answer may take, however slowly it is read.
const ANSWER_WITHIN: Duration = Duration::from_hours(1);
/// How long an API server may take to say who somebody is.
const AUTHORISE_WITHIN: Duration = Duration::from_secs(20);
/// How often old files are looked for.
const FORGET_EVERY: Duration = Duration::from_mins(1);

type Chunks = Pin<Box<dyn Stream<Item = std::io::Result<Frame<Bytes>>> + Send>>;
type Body = Either<Full<Bytes>, StreamBody<Chunks>>;

/// The windows whose recordings may be asked for, by uid. The agent keeps it up to date.
#[derive(Clone, Default)]
pub struct Windows(Arc<Mutex<BTreeMap<String, LearningWindowSpec>>>);

impl Windows {
    /// A window that there is, as it is now.
    pub fn insert(&self, uid: &str, window: &LearningWindow) {
        self.lock().insert(uid.to_owned(), window.spec.clone());
    }

    /// One that is no more. Nobody says any longer whose recording it was.
    pub fn remove(&self, uid: &str) {
        self.lock().remove(uid);
    }

    fn get(&self, uid: &str) -> Option<LearningWindowSpec> {
        self.lock().get(uid).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, LearningWindowSpec>> {
        // It is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that answers need.
pub struct Server {
    client: Client,
    directory: PathBuf,
    windows: Windows,
    exports: Mutex<Exports>,
}

/// Why there is no recording in an answer.
struct Problem(StatusCode, String);

impl Server {
    /// One that gives away what is in `directory`.
    pub fn new(client: Client, directory: &Path, windows: Windows) -> Self {
        Self {
            client,
            directory: directory.to_owned(),
            windows,
            exports: Mutex::new(Exports::new(directory)),
        }
    }

    /// Listens on the loopback address, at a port that the kernel chooses.
    ///
    /// # Errors
    /// What the system says.
    pub async fn listen() -> std::io::Result<TcpListener> {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await
    }

    /// Answers for ever.
    pub async fn run(self, listener: TcpListener) {
        if let Err(error) = self.exports().clear() {
            tracing::warn!(
                "what an earlier agent left in {} cannot be removed: {error}",
                self.directory.display()
            );
        }
        let (server, room) = (Arc::new(self), Arc::new(Semaphore::new(AT_A_TIME)));
        let mut forget = tokio::time::interval(FORGET_EVERY);
        loop {
            // Never closed.
            let Ok(place) = Arc::clone(&room).acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = forget.tick() => {
                    // Somebody who makes one may hold it for long, and nothing else here must wait for that.
                    if let Ok(mut exports) = server.exports.try_lock() {
                        exports.forget_old();
                    }
                    continue;
                }
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("somebody who wants a recording cannot be answered: {error}");
                    // Out of descriptors, most likely: that takes a while.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let server = Arc::clone(&server);
            tokio::spawn(async move {
                // Somebody who goes away in the middle is nobody's trouble.
                let _ = timeout(ANSWER_WITHIN, server.answer_all(stream)).await;
                drop(place);
            });
        }
    }

    async fn answer_all(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(&request).await.unwrap_or_else(told)) }
        });
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(SAY_WITHIN)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!("a transfer was broken off: {error}");
        }
    }

    async fn answer(self: Arc<Self>, request: &Request<Incoming>) -> Result<Response<Body>, Problem> {
        if request.method() != Method::GET {
            return Err(Problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "only GET is answered".to_owned(),
            ));
        }
        let asked = Asked::read(request.uri().path(), request.uri().query());
        let asked = asked.ok_or_else(|| Problem(StatusCode::BAD_REQUEST, "this is no recording's path".to_owned()))?;
        let token = header(request.headers(), &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Problem(StatusCode::UNAUTHORIZED, "a token is needed".to_owned()))?;
        self.authorise(token, &asked).await?;

        let offset = match header(request.headers(), &RANGE) {
            None => 0,
            Some(range) => {
                offset_in(range).ok_or_else(|| Problem(StatusCode::BAD_REQUEST, format!("not understood: {range}")))?
            }
        };
        let checksum = header(request.headers(), &IF_MATCH).map(|tag| checksum_in(tag).unwrap_or_default().to_owned());
        let server = Arc::clone(&self);
        // Dropped with this future when nobody waits any more.
        let waits = Arc::new(());
        let still_waits = Arc::downgrade(&waits);
        let export =
            tokio::task::spawn_blocking(move || server.export(&asked, checksum.as_deref(), &still_waits)).await;
        drop(waits);
        let export = export.unwrap_or_else(|error| {
            Err(Problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the recording cannot be read: {error}"),
            ))
        })?;
        if offset > export.bytes {
            return Err(Problem(
                StatusCode::RANGE_NOT_SATISFIABLE,
                format!("the file has {} bytes", export.bytes),
            ));
        }
        Ok(response(&export, offset))
    }

    /// Says no more of a window to who may not know of it than to who asks for one that is not there.
    async fn authorise(&self, token: &str, asked: &Asked) -> Result<(), Problem> {
        let window = self.windows.get(&asked.uid);
        let learned = window.as_ref().map_or(&[][..], |window| &window.namespaces);
        let namespaces = if asked.namespaces.is_empty() {
            learned
        } else {
            &asked.namespaces
        };
        // A window that is not there has none: then only somebody who may have everything learns that.
        let everything = [EVERY_NAMESPACE.to_owned()];
        let needed = if namespaces.is_empty() {
            &everything[..]
        } else {
            namespaces
        };
        let with_arguments = window.as_ref().is_some_and(|window| window.record.arguments);
        let authorised = timeout(AUTHORISE_WITHIN, authorise(&self.client, token, needed, with_arguments)).await;
        let user = match authorised {
            Ok(Ok(user)) => user,
            Ok(Err(refusal)) => return Err(refused(&refusal)),
            Err(_) => {
                let what = "the agent cannot ask who you are: the API server does not answer".to_owned();
                return Err(Problem(StatusCode::SERVICE_UNAVAILABLE, what));
            }
        };
        if window.is_none() {
            return Err(Problem(
                StatusCode::NOT_FOUND,
                "this node's agent knows no such learning window".to_owned(),
            ));
        }
        if let Some(other) = asked.namespaces.iter().find(|namespace| !covers(learned, namespace)) {
            let what = format!("the window does not learn the namespace {other}");
            return Err(Problem(StatusCode::BAD_REQUEST, what));
        }
        tracing::info!("{user:?} collects {} {:?}", asked.uid, asked.namespaces);
        Ok(())
    }

    fn export(&self, asked: &Asked, checksum: Option<&str>, waits: &Weak<()>) -> Result<Arc<Export>, Problem> {
        let mut exports = self.exports();
        // It may have been somebody else's turn for long.
        if waits.strong_count() == 0 {
            return Err(nobody_waits());
        }
        if let Some(checksum) = checksum {
            return exports
                .same(asked, checksum)
                .ok_or_else(|| Problem(StatusCode::PRECONDITION_FAILED, "the file has changed".to_owned()));
        }
        let path = self.directory.join(format!("{}.db", asked.uid));
        exports.newest(asked, &path).map_err(|error| match error {
            Unexported::Busy => Problem(StatusCode::SERVICE_UNAVAILABLE, Unexported::Busy.to_string()),
            Unexported::Recording(recording::Error::Missing { .. }) => Problem(
                StatusCode::NOT_FOUND,
                "this node has no recording of the learning window".to_owned(),
            ),
            error @ Unexported::Recording(_) => Problem(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("the recording cannot be copied: {error}"),
            ),
        })
    }

    fn exports(&self) -> std::sync::MutexGuard<'_, Exports> {
        // Whoever panicked has left at worst one file too few.
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Unknown => Problem(StatusCode::UNAUTHORIZED, refusal.to_string()),
        Refusal::Forbidden { .. } => Problem(StatusCode::FORBIDDEN, refusal.to_string()),
        Refusal::Unasked { doing, error } => {
            let why = what_went_wrong(&format!("say {doing}"), "of docs/reference/rbac.md", error);
            tracing::warn!("somebody who wants a recording cannot be answered: {why}");
            Problem(StatusCode::SERVICE_UNAVAILABLE, why)
        }
    }
}

fn nobody_waits() -> Problem {
    Problem(StatusCode::REQUEST_TIMEOUT, "nobody waits any more".to_owned())
}

fn told(Problem(status, why): Problem) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::from(why + "\n")));
    *response.status_mut() = status;
    response
}

fn response(export: &Arc<Export>, offset: u64) -> Response<Body> {
    let mut response = Response::new(Either::Right(StreamBody::new(chunks(Arc::clone(export), offset))));
    if offset > 0 {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    let (bytes, last) = (export.bytes, export.bytes.saturating_sub(1));
    let headers = [
        (CONTENT_TYPE, "application/vnd.sqlite3".to_owned()),
        (CONTENT_LENGTH, (bytes - offset).to_string()),
        (CONTENT_RANGE, format!("bytes {offset}-{last}/{bytes}")),
        (ETAG, tag_of(&export.checksum)),
    ];
    for (name, value) in headers {
        // Digits and letters are a header's value.
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The file from this place on, read as fast as it is taken.
fn chunks(export: Arc<Export>, offset: u64) -> Chunks {
    Box::pin(stream::try_unfold(offset, move |offset| {
        let export = Arc::clone(&export);
        async move {
            let read = tokio::task::spawn_blocking(move || export.chunk(offset)).await;
            let chunk = read.map_err(std::io::Error::other)??;
            let next = offset + chunk.len() as u64;
            Ok((!chunk.is_empty()).then(|| (Frame::data(Bytes::from(chunk)), next)))
        }
    }))
}
