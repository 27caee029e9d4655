//! Who asks for a recording, and whether they may have it: the API server decides both.
//!
//! A `TokenReview` tells who it is, a `SubjectAccessReview` for each namespace whether they may `get` `recordings` of
//! `wardline.dev` there, and where a recording holds arguments `recordings/arguments`, too. No such objects exist: the names
//! are there for rules to speak of, as `nodes/metrics` is.

use std::fmt::Debug;

use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::objects::EVERY_NAMESPACE;

/// For whom a token is that is good for nothing but collecting recordings.
pub const AUDIENCE: &str = "wardline.dev";
/// What rules call recordings.
pub const RESOURCE: &str = "recordings";
/// What rules call the arguments in them.
pub const ARGUMENTS: &str = "arguments";

/// Why somebody gets nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The API server does not know the token.
    #[error("the API server does not accept the token: it may have expired")]
    Unknown,
    /// They may not.
    #[error("{user} may not {}", missing.join("; "))]
    Forbidden {
        /// Who.
        user: String,
        /// What, in words.
        missing: Vec<String>,
    },
    /// The API server could not be asked.
    #[error("the agent cannot ask the API server {doing}: {error}")]
    Unasked {
        /// What.
        doing: &'static str,
        /// Why.
        error: Box<kube::Error>,
    },
}

/// Lets somebody with this token have recordings of these namespaces, with arguments or without; who they are.
///
/// # Errors
/// [`Refusal`].
pub async fn authorise(
    client: &Client,
    token: &str,
    namespaces: &[String],
    with_arguments: bool,
) -> Result<String, Refusal> {
    let user = who_is(client, token).await?;
    let name = user.username.clone().unwrap_or_default();
    let mut missing = Vec::new();
    let subresources = [None].into_iter().chain(with_arguments.then_some(Some(ARGUMENTS)));
    for subresource in subresources {
        for namespace in namespaces {
            if !may_get(client, &user, namespace, subresource).await? {
                missing.push(needed(namespace, subresource));
            }
        }
    }
    if missing.is_empty() {
        Ok(name)
    } else {
        Err(Refusal::Forbidden { user: name, missing })
    }
}

fn needed(namespace: &str, subresource: Option<&str>) -> String {
    let place = if namespace == EVERY_NAMESPACE {
        "all namespaces".to_owned()
    } else {
        format!("the namespace {namespace}")
    };
    let slash = if subresource.is_some() { "/" } else { "" };
    format!(
        "get {RESOURCE}{slash}{}.wardline.dev in {place}",
        subresource.unwrap_or_default()
    )
}

/// A token may be for us alone, or one that is for the API server.
async fn who_is(client: &Client, token: &str) -> Result<UserInfo, Refusal> {
    for audiences in [Some(vec![AUDIENCE.to_owned()]), None] {
        let asked = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences,
            },
            ..TokenReview::default()
        };
        let answer = ask(client, "whose a token is (create tokenreviews)", &asked).await?;
        let status = answer.status.unwrap_or_default();
        if let (Some(true), Some(user)) = (status.authenticated, status.user)
            && user.username.as_ref().is_some_and(|name| !name.is_empty())
        {
            return Ok(user);
        }
    }
    Err(Refusal::Unknown)
}

async fn may_get(
    client: &Client,
    user: &UserInfo,
    namespace: &str,
    subresource: Option<&str>,
) -> Result<bool, Refusal> {
    let asked = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                // Without a namespace it is about all of them.
                namespace: (namespace != EVERY_NAMESPACE).then(|| namespace.to_owned()),
                verb: Some("get".to_owned()),
                group: Some("wardline.dev".to_owned()),
                version: Some("v1alpha1".to_owned()),
                resource: Some(RESOURCE.to_owned()),
                subresource: subresource.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let answer = ask(client, "what somebody may do (create subjectaccessreviews)", &asked).await?;
    let status = answer.status.unwrap_or_default();
    Ok(status.allowed && status.denied != Some(true))
}

/// Reviews are objects that are made, and answered with, and never kept.
async fn ask<T>(client: &Client, doing: &'static str, review: &T) -> Result<T, Refusal>
where
    T: Resource<DynamicType = (), Scope = ClusterResourceScope> + Clone + Debug + Serialize + DeserializeOwned,
{
    let answer = Api::<T>::all(client.clone())
        .create(&PostParams::default(), review)
        .await;
    answer.map_err(|error| Refusal::Unasked {
        doing,
        error: Box::new(error),
    })
}
