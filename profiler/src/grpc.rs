//! Calls to a server behind a Unix socket (gRPC): an agent's, a container runtime's.

use std::path::Path;
use std::time::Duration;

use prost::Message;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

/// A way to a server, on which one call may be answered at a time.
///
/// # Errors
/// What went wrong, for people: also where it takes longer than `patience`.
pub async fn connect(socket: &Path, patience: Duration) -> Result<Channel, String> {
    let endpoint = Endpoint::try_from(format!("unix://{}", socket.display())).map_err(|error| told(&error))?;
    let channel = timeout(patience, endpoint.connect()).await;
    channel.map_err(|_| no_answer(patience))?.map_err(|error| told(&error))
}

/// Asks one question, which has one answer of at most so many bytes.
///
/// # Errors
/// What the server says, or why its answer cannot be read, for people: also where it takes longer than `patience`.
pub async fn ask<Question, Answer>(
    channel: &Channel,
    method: &'static str,
    question: Question,
    bytes_max: usize,
    patience: Duration,
) -> Result<Answer, String>
where
    Question: Message + 'static,
    Answer: Message + Default + 'static,
{
    let asked = async {
        let mut client = ready(channel, bytes_max).await?;
        let codec: ProstCodec<Question, Answer> = ProstCodec::default();
        let method = PathAndQuery::from_static(method);
        client.unary(Request::new(question), method, codec).await
    };
    let answered = timeout(patience, asked).await.map_err(|_| no_answer(patience))?;
    Ok(answered.map_err(|status| said(&status))?.into_inner())
}

/// A client that may be used now, and takes messages of at most so many bytes.
///
/// # Errors
/// That it cannot be.
pub async fn ready(channel: &Channel, bytes_max: usize) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel.clone()).max_decoding_message_size(bytes_max);
    let is_ready = client.ready().await;
    is_ready.map_err(|error| Status::unavailable(told(&error)))?;
    Ok(client)
}

/// What a server says when it does not answer.
pub fn said(status: &Status) -> String {
    format!("{} ({:?})", status.message(), status.code())
}

fn no_answer(patience: Duration) -> String {
    format!("no answer for {} s", patience.as_secs())
}

/// An error with its causes: the first one alone says "transport error".
fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
