//! A stand-in for a container runtime: both services of the interface behind a Unix socket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use prost::Message;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::NamedService;
use tonic::transport::Server;

use crate::kubernetes::cri::endpoint::Endpoint;
use crate::kubernetes::cri::messages::{
    Container, Containers, Image, ImageStatus, ImageStatusRequest, PodSandbox, PodSandboxes, Version,
};

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Trouble {
    /// No answer ever.
    Hangs,
    /// An answer that ends too early.
    Cut,
    /// Bytes that are no message.
    Garbage,
    /// More than anybody takes.
    Huge,
    /// It does not know the interface.
    Unimplemented,
    /// It knows no images.
    NoImages,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) sandboxes: Vec<PodSandbox>,
    pub(super) containers: Vec<Container>,
    pub(super) images: BTreeMap<String, Image>,
    pub(super) trouble: Option<Trouble>,
    pub(super) asked: Vec<String>,
}

#[derive(Clone, Default)]
pub(super) struct StandIn(Arc<Mutex<State>>);

/// One of its two services: the one for images, or the other one.
#[derive(Clone)]
struct Served<const IMAGES: bool>(StandIn);

impl NamedService for Served<false> {
    const NAME: &'static str = "runtime.v1.RuntimeService";
}

impl NamedService for Served<true> {
    const NAME: &'static str = "runtime.v1.ImageService";
}

/// A message as it goes over the wire (gRPC over HTTP/2: no compression, the length, the bytes).
fn framed(message: &[u8], length: usize) -> Vec<u8> {
    let length = u32::try_from(length).unwrap().to_be_bytes();
    [&[0], length.as_slice(), message].concat()
}

fn answer(bytes: Vec<u8>, status: Option<u32>) -> http::Response<Body> {
    let response = http::Response::builder().header("content-type", "application/grpc");
    let response = match status {
        Some(status) => response.header("grpc-status", status),
        None => response,
    };
    response.body(Body::new(Full::new(Bytes::from(bytes)))).unwrap()
}

impl StandIn {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    async fn respond(self, method: String, question: Vec<u8>) -> http::Response<Body> {
        let message = {
            let mut state = self.lock();
            state.asked.push(method.clone());
            match method.as_str() {
                "Version" => Version {
                    runtime_name: "stand-in".to_owned(),
                    runtime_version: "1\u{1b}".to_owned(),
                }
                .encode_to_vec(),
                "ListContainers" => Containers {
                    containers: state.containers.clone(),
                }
                .encode_to_vec(),
                "ListPodSandbox" => PodSandboxes {
                    items: state.sandboxes.clone(),
                }
                .encode_to_vec(),
                "ImageStatus" => {
                    let question = ImageStatusRequest::decode(question.get(5..).unwrap()).unwrap();
                    let image = state.images.get(&question.image.unwrap().image).cloned();
                    ImageStatus { image }.encode_to_vec()
                }
                other => panic!("{other} is asked for"),
            }
        };
        let trouble = self.lock().trouble;
        match trouble {
            Some(Trouble::Hangs) => std::future::pending().await,
            Some(Trouble::Cut) => answer(framed(&message, message.len() + 100), None),
            Some(Trouble::Garbage) => answer(framed(&[0xff; 20], 20), None),
            Some(Trouble::Huge) => answer(framed(&[], 20 << 20), None),
            Some(Trouble::Unimplemented) => answer(Vec::new(), Some(12)),
            Some(Trouble::NoImages) if method == "ImageStatus" => answer(Vec::new(), Some(13)),
            Some(Trouble::NoImages) | None => {
                let (name, ok) = ("grpc-status", http::HeaderValue::from_static("0"));
                let trailers = http::HeaderMap::from_iter([(http::HeaderName::from_static(name), ok)]);
                let response = answer(framed(&message, message.len()), None);
                response.map(|body| Body::new(body.with_trailers(async { Some(Ok(trailers)) })))
            }
        }
    }
}

impl<const IMAGES: bool> Service<http::Request<Body>> for Served<IMAGES> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<http::Response<Body>, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let stand_in = self.0.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
            let body = request.into_body().collect().await.unwrap();
            Ok(stand_in.respond(method, body.to_bytes().to_vec()).await)
        })
    }
}

/// A stand-in at a socket, and who follows it.
pub(super) struct Scene {
    pub(super) folder: TempDir,
    pub(super) stand_in: StandIn,
    serving: Option<(oneshot::Sender<()>, std::thread::JoinHandle<()>)>,
}

impl Scene {
    pub(super) fn new() -> Self {
        let mut scene = Self {
            folder: tempfile::tempdir().unwrap(),
            stand_in: StandIn::default(),
            serving: None,
        };
        scene.start();
        scene
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("runtime.sock")
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.socket().to_str().unwrap().parse().unwrap()
    }

    /// On a thread of its own, whose end ends every connection.
    pub(super) fn start(&mut self) {
        let listener = std::os::unix::net::UnixListener::bind(self.socket()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let stand_in = self.stand_in.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let incoming = UnixListenerStream::new(UnixListener::from_std(listener).unwrap());
                let server = Server::builder()
                    .add_service(Served::<false>(stand_in.clone()))
                    .add_service(Served::<true>(stand_in));
                tokio::select! {
                    ended = server.serve_with_incoming(incoming) => ended.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        self.serving = Some((stop, thread));
    }

    pub(super) fn stop(&mut self) {
        let (stop, thread) = self.serving.take().unwrap();
        stop.send(()).unwrap();
        thread.join().unwrap();
        std::fs::remove_file(self.socket()).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if self.serving.is_some() {
            self.stop();
        }
    }
}
