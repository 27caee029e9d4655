//! The token that tells agents who asks for recordings.

use std::time::{Duration, Instant};

use hyper::header::AUTHORIZATION;
use hyper::{Request, Response};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::client::ConfigExt as _;
use kube::{Api, Client};
use tokio::sync::Mutex;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

use super::connect::{ConnectError, Source, unusable};
use crate::agent::authorise::AUDIENCE;

/// How long a token is good that is made for collecting.
const GOOD_FOR_SECONDS: i64 = 3600;
/// How long a token is shown before it is asked for again: some that programs make are good for a quarter of an hour.
const SHOWN_FOR: Duration = Duration::from_mins(5);

/// Whose token agents are shown.
pub enum Whose {
    /// The user's of the kubeconfig.
    User,
    /// A service account's, by its namespace and name.
    ServiceAccount(String, String),
}

/// Has a token that is good, however long collecting takes.
pub struct Tokens {
    source: Source,
    client: Client,
    whose: Whose,
    last: Mutex<Option<(Instant, String)>>,
}

impl Tokens {
    /// Asks for none yet.
    pub fn new(source: Source, client: Client, whose: Whose) -> Self {
        Self {
            source,
            client,
            whose,
            last: Mutex::new(None),
        }
    }

    /// One that is good.
    ///
    /// # Errors
    /// [`ConnectError::NoToken`], and as [`of_user`] and [`of_service_account`].
    pub async fn get(&self) -> Result<String, ConnectError> {
        let mut last = self.last.lock().await;
        if let Some((_, token)) = last.as_ref().filter(|(since, _)| since.elapsed() < SHOWN_FOR) {
            return Ok(token.clone());
        }
        let token = match &self.whose {
            Whose::User => of_user(&self.source).await?.ok_or(ConnectError::NoToken)?,
            Whose::ServiceAccount(namespace, name) => of_service_account(&self.client, namespace, name).await?,
        };
        *last = Some((Instant::now(), token.clone()));
        Ok(token)
    }
}

/// The token that the user of the kubeconfig shows to the API server, wherever it comes from: the file, another one, or a
/// program that makes it. None for users of another kind, such as those of certificates.
///
/// # Errors
/// [`ConnectError::Unusable`], where the program cannot be run, say.
pub async fn of_user(source: &Source) -> Result<Option<String>, ConnectError> {
    let Some(layer) = source.config().await?.auth_layer().map_err(|error| unusable(&error))? else {
        return Ok(None);
    };
    // The client's own layer writes the header into a request that goes nowhere.
    let shown = service_fn(|request: Request<String>| async move {
        let header = request.headers().get(AUTHORIZATION).cloned();
        Ok::<_, BoxError>(Response::new(header))
    });
    let answer = layer.layer(shown).oneshot(Request::new(String::new())).await;
    let header = answer.map_err(|error| unusable(&*error))?.into_body();
    let text = header.as_ref().and_then(|header| header.to_str().ok());
    Ok(text.and_then(|text| text.strip_prefix("Bearer ")).map(str::to_owned))
}

/// A token of a service account that is good for nothing but this, and not for long.
///
/// # Errors
/// [`ConnectError::Refused`].
pub async fn of_service_account(client: &Client, namespace: &str, name: &str) -> Result<String, ConnectError> {
    let asked = TokenRequest {
        spec: TokenRequestSpec {
            audiences: vec![AUDIENCE.to_owned()],
            expiration_seconds: Some(GOOD_FOR_SECONDS),
            bound_object_ref: None,
        },
        ..TokenRequest::default()
    };
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let made = accounts
        .create_token_request(name, &PostParams::default(), &asked)
        .await;
    let rule = "{apiGroups: [\"\"], resources: [serviceaccounts/token], verbs: [create]}";
    let refused = |error: &kube::Error| match error {
        kube::Error::Api(status) if status.code == 404 => {
            ConnectError::Refused(format!("there is no service account {namespace}/{name}"))
        }
        error => ConnectError::of("make a token of the service account", rule, error),
    };
    let made = made.map_err(|error| refused(&error))?;
    Ok(made.status.map(|status| status.token).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn token(user: &str) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
             clusters: [{{name: it, cluster: {{server: 'https://127.0.0.1:1'}}}}]\n\
             contexts: [{{name: it, context: {{cluster: it, user: it}}}}]\nusers: [{{name: it, user: {user}}}]\n"
        );
        std::fs::write(&path, config).unwrap();
        let source = Source::find(Some(&path)).unwrap().unwrap();
        of_user(&source).await.unwrap()
    }

    #[tokio::test]
    async fn wherever_a_token_comes_from_it_is_found() {
        assert_eq!(token("{token: secret}").await.as_deref(), Some("secret"));
        let credential =
            r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"made"}}"#;
        let made = format!(
            "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: echo, args: ['{credential}'], \
             interactiveMode: Never}}}}"
        );
        assert_eq!(token(&made).await.as_deref(), Some("made"));
    }

    #[tokio::test]
    async fn who_has_none_has_none() {
        assert_eq!(token("{}").await, None);
        assert_eq!(token("{username: me, password: secret}").await, None);
    }
}
