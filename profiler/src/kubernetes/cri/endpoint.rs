//! Which container runtime names the pods of this machine, and where it is.

use std::fmt;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::client::Runtime;

/// The variable that crictl takes it from, too.
const VARIABLE: &str = "CONTAINER_RUNTIME_ENDPOINT";
/// Where runtimes are unless told otherwise: containerd, CRI-O, k3s and RKE2, Docker behind cri-dockerd.
const USUAL: [&str; 4] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/var/run/cri-dockerd.sock",
];
/// How long a runtime may take to say who it is, before anything is recorded.
const PATIENCE: Duration = Duration::from_secs(3);

/// The Unix socket of a container runtime.
///
/// ```
/// use profiler::kubernetes::cri::endpoint::Endpoint;
///
/// let endpoint: Endpoint = "/run/crio/crio.sock".parse().unwrap();
/// assert_eq!(endpoint.to_string(), "unix:///run/crio/crio.sock");
/// assert_eq!("unix:///run/crio/crio.sock".parse(), Ok(endpoint));
/// assert!("tcp://localhost:1234".parse::<Endpoint>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(PathBuf);

impl Endpoint {
    /// The path of its socket.
    pub fn socket(&self) -> &Path {
        &self.0
    }
}

/// As crictl takes it.
impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unix://{}", self.0.display())
    }
}

/// Text that names no Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a container runtime is named by its Unix socket: write unix:///run/containerd/containerd.sock")]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        // What else there is would be no part of an address of a socket.
        let is_path = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%');
        is_path.then(|| Self(path.into())).ok_or(EndpointError)
    }
}

/// A container runtime, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it calls itself, or why it does not answer now.
    pub version: Result<String, String>,
}

/// Finds the runtime: the one that is named, that of `CONTAINER_RUNTIME_ENDPOINT`, or the first usual one that answers; of
/// several that do, one that has pods. Where somebody named it, it need not be there yet.
///
/// # Errors
/// Why there is none, for people.
pub async fn find(named: Option<&Endpoint>) -> Result<Found, String> {
    let variable = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty());
    let named = match (named, variable) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Some(text)) => {
            let parsed = text.parse();
            parsed.map_err(|error: EndpointError| format!("{VARIABLE} is `{}`: {error}", text.escape_debug()))?
        }
        (None, None) => return usual(&USUAL.map(Path::new)).await,
    };
    if named.socket().exists() && !is_socket(named.socket()) {
        return Err(format!("{named} is no socket"));
    }
    Ok(Found {
        version: asked(&named).version().await,
        endpoint: named,
    })
}

/// The first of these that answers; of several that do, one that has pods.
pub(super) async fn usual(sockets: &[&Path]) -> Result<Found, String> {
    let mut first = None;
    let mut silent = Vec::new();
    for socket in sockets.iter().filter(|socket| is_socket(socket)) {
        let endpoint = Endpoint((*socket).to_owned());
        let mut runtime = asked(&endpoint);
        match runtime.version().await {
            Ok(version) => {
                let found = Found {
                    endpoint,
                    version: Ok(version),
                };
                if runtime.lists().await.is_ok_and(|(_, sandboxes)| !sandboxes.is_empty()) {
                    return Ok(found);
                }
                first.get_or_insert(found);
            }
            Err(why) => silent.push(why),
        }
    }
    first.ok_or_else(|| match silent.as_slice() {
        [] => {
            let sockets: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
            format!("no container runtime is here ({})", sockets.join(", "))
        }
        silent => silent.join("; "),
    })
}

fn asked(endpoint: &Endpoint) -> Runtime {
    Runtime::new(endpoint.clone()).within(PATIENCE)
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}
