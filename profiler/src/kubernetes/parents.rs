//! Who controls ReplicaSets and Jobs: asked of the API server, once each.

use std::collections::HashMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use tokio::time::timeout;

use super::connect::what_went_wrong;
use super::owners::{Above, Owner};
use super::watch::OWNER_RULES;

/// More than any node runs pods of at a time. When it is full, everything is asked for again.
const ANSWERS_MAX: usize = 4_096;
/// How long an answer may take: until then no change of a pod is told of.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks, and remembers the answers.
pub(super) struct Parents {
    client: Client,
    answers: HashMap<Owner, Above>,
}

/// How the asking went.
pub(super) enum Asked {
    Answered,
    /// It may be answered later. With what to tell about it.
    Failed(String),
}

impl Parents {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            answers: HashMap::new(),
        }
    }

    /// Who controls a ReplicaSet or Job of this namespace.
    pub(super) async fn above(&mut self, namespace: &str, owner: &Owner) -> (Above, Asked) {
        if let Some(known) = self.answers.get(owner) {
            return (known.clone(), Asked::Answered);
        }
        let metadata = match timeout(PATIENCE, self.ask(namespace, owner)).await {
            Ok(Ok(metadata)) => metadata,
            Ok(Err(error)) => {
                let doing = "get the metadata of ReplicaSets and Jobs";
                return (
                    Above::Unknown,
                    Asked::Failed(what_went_wrong(doing, OWNER_RULES, &error)),
                );
            }
            Err(_) => {
                let why = format!(
                    "the API server does not say who owns ReplicaSets and Jobs within {} s",
                    PATIENCE.as_secs()
                );
                return (Above::Unknown, Asked::Failed(why));
            }
        };
        // Gone, or another one of the same name: nobody will be able to tell any more.
        let above = match metadata.filter(|metadata| metadata.uid.as_ref() == Some(&owner.uid)) {
            None => Above::Unknown,
            Some(metadata) => Owner::controlling(&metadata).map_or(Above::Nobody, Above::Owner),
        };
        if self.answers.len() >= ANSWERS_MAX {
            self.answers.clear();
        }
        self.answers.insert(owner.clone(), above.clone());
        (above, Asked::Answered)
    }

    /// None where there is no such object.
    async fn ask(&self, namespace: &str, owner: &Owner) -> Result<Option<ObjectMeta>, kube::Error> {
        let (client, name) = (self.client.clone(), owner.name.as_str());
        if owner.is_replica_set() {
            let api = Api::<ReplicaSet>::namespaced(client, namespace);
            Ok(api.get_metadata_opt(name).await?.map(|found| found.metadata))
        } else {
            let api = Api::<Job>::namespaced(client, namespace);
            Ok(api.get_metadata_opt(name).await?.map(|found| found.metadata))
        }
    }
}
