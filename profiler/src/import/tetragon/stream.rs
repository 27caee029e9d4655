//! Events as the agent sends them, over its Unix socket.
//!
//! Whoever may open the socket may read everything, and load policies: it is root's. Nothing but `GetEvents` is called.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::lines::LINE_BYTES_MAX;
use super::messages::{GetEventsRequest, GetEventsResponse};
use crate::grpc::{connect, ready, said};
use crate::import::error::ImportError;

/// How long the agent may take to be connected to.
const PATIENCE: Duration = Duration::from_secs(10);
const GET_EVENTS: &str = "/tetragon.FineGuidanceSensors/GetEvents";

/// The socket that an address such as `unix:///var/run/tetragon/tetragon.sock` names.
pub fn socket(address: &Path) -> Option<PathBuf> {
    let path = address.to_str()?.strip_prefix("unix://")?;
    Some(PathBuf::from(path))
}

/// A stream of events.
pub struct Events {
    stream: Option<Streaming<GetEventsResponse>>,
    /// The question, until it is answered: agents do that with the first event, however long there is none.
    asked: Pin<Box<dyn Future<Output = Result<Streaming<GetEventsResponse>, Status>>>>,
}

impl Events {
    /// Connects, and asks for every event from now on.
    ///
    /// # Errors
    /// [`ImportError::Agent`].
    pub async fn from(socket: &Path) -> Result<Self, ImportError> {
        let channel = connect(socket, PATIENCE).await.map_err(|why| ImportError::Agent {
            socket: socket.to_owned(),
            why,
        })?;
        Ok(Self {
            stream: None,
            asked: Box::pin(get_events(channel)),
        })
    }

    /// The next event; None where the agent ends the stream. Nothing is lost where somebody stops to wait for it.
    ///
    /// # Errors
    /// What the agent says, or why what it sends cannot be read.
    pub async fn next(&mut self) -> Result<Option<GetEventsResponse>, String> {
        let stream = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let answer = (&mut self.asked).await;
            self.stream.insert(answer.map_err(|status| said(&status))?)
        };
        stream.message().await.map_err(|status| said(&status))
    }
}

async fn get_events(channel: Channel) -> Result<Streaming<GetEventsResponse>, Status> {
    let mut client = ready(&channel, LINE_BYTES_MAX).await?;
    let codec: ProstCodec<GetEventsRequest, GetEventsResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static(GET_EVENTS);
    let response = client
        .server_streaming(Request::new(GetEventsRequest {}), path, codec)
        .await?;
    Ok(response.into_inner())
}
