//! How a container runtime is asked.
//!
//! Whoever may open its socket may start containers as root: it is root's. Nothing is called here but what lists.

use std::time::Duration;

use prost::Message;
use tonic::transport::Channel;

use super::endpoint::Endpoint;
use super::messages::{
    Container, Containers, Everything, Image, ImageSpec, ImageStatus, ImageStatusRequest, PodSandbox, PodSandboxes,
    Version,
};
use crate::grpc::{ask, connect};
use crate::kubernetes::connect::printable;

/// The largest answer that is taken: as much as the kubelet does (`maxMsgSize`, cri-client, pkg/util/util.go), some 10,000
/// containers.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// How long an answer may take. The kubelet waits for two minutes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A container runtime. It need not be there yet, and may be started anew.
pub struct Runtime {
    endpoint: Endpoint,
    patience: Duration,
    channel: Option<Channel>,
}

impl Runtime {
    /// The one at this endpoint. Connects when it is asked something.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            patience: PATIENCE,
            channel: None,
        }
    }

    /// With less time to answer.
    #[must_use]
    pub fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Its name and version: `containerd 1.7.2`.
    ///
    /// # Errors
    /// What to tell about it.
    pub async fn version(&mut self) -> Result<String, String> {
        let version: Version = self.ask("/runtime.v1.RuntimeService/Version", Everything {}).await?;
        Ok(printable(&format!(
            "{} {}",
            version.runtime_name, version.runtime_version
        )))
    }

    /// All containers, and all pods' sandboxes after that.
    ///
    /// # Errors
    /// What to tell about it.
    pub async fn lists(&mut self) -> Result<(Vec<Container>, Vec<PodSandbox>), String> {
        let containers: Containers = self
            .ask("/runtime.v1.RuntimeService/ListContainers", Everything {})
            .await?;
        let sandboxes: PodSandboxes = self
            .ask("/runtime.v1.RuntimeService/ListPodSandbox", Everything {})
            .await?;
        Ok((containers.containers, sandboxes.items))
    }

    /// An image, if it is there.
    ///
    /// # Errors
    /// What to tell about it.
    pub async fn image(&mut self, name: &str) -> Result<Option<Image>, String> {
        let image = Some(ImageSpec {
            image: name.to_owned(),
            user_specified_image: String::new(),
        });
        let question = ImageStatusRequest { image };
        let status: ImageStatus = self.ask("/runtime.v1.ImageService/ImageStatus", question).await?;
        Ok(status.image)
    }

    async fn ask<Question, Answer>(&mut self, method: &'static str, question: Question) -> Result<Answer, String>
    where
        Question: Message + Clone + 'static,
        Answer: Message + Default + 'static,
    {
        // Of a runtime that was started anew, an old connection only tells that it is gone.
        if let Some(channel) = self.channel.take()
            && let Ok(answer) = ask(&channel, method, question.clone(), ANSWER_BYTES_MAX, self.patience).await
        {
            self.channel = Some(channel);
            return Ok(answer);
        }
        let failed = |why: String| {
            let endpoint = &self.endpoint;
            printable(&format!(
                "the container runtime at {endpoint} cannot be asked for its containers: {why}"
            ))
        };
        let channel = connect(self.endpoint.socket(), self.patience).await.map_err(failed)?;
        let answer = ask(&channel, method, question, ANSWER_BYTES_MAX, self.patience).await;
        let answer = answer.map_err(failed)?;
        self.channel = Some(channel);
        Ok(answer)
    }
}
