//! Who did it: the workload, and the image that it ran.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{path, serde_text};

/// Where a container belongs, in the cluster's words or the host's. As text it is `namespace/kind/name/container`, with
/// the escapes of [`crate::path::FilePath::to_text`], and `\x2f` for a slash inside a part.
///
/// ```
/// use baselines::workload::Workload;
///
/// let workload = Workload {
///     namespace: "host".to_owned(),
///     kind: "unit".to_owned(),
///     name: "nginx.service".to_owned(),
///     container: "main".to_owned(),
/// };
/// assert_eq!(workload.to_string(), "host/unit/nginx.service/main");
/// assert_eq!("host/unit/nginx.service/main".parse(), Ok(workload));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// The Kubernetes namespace; `host` without Kubernetes.
    pub namespace: String,
    /// The owner's kind (`Deployment`, ...); without Kubernetes `unit`, `cgroup` or `container`.
    pub kind: String,
    /// The owner's name, the unit's or the cgroup's.
    pub name: String,
    /// The container's name within it.
    pub container: String,
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.namespace, &self.kind, &self.name, &self.container];
        formatter.pad(
            &parts
                .map(|part| path::escape(part.as_bytes()).replace('/', r"\x2f"))
                .join("/"),
        )
    }
}

/// Text that names no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no workload: write namespace/kind/name/container")]
pub struct WorkloadError(String);

impl std::str::FromStr for Workload {
    type Err = WorkloadError;
    fn from_str(text: &str) -> Result<Self, WorkloadError> {
        let part = |text: &str| {
            path::unescape(text)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
        };
        let parts: Option<Vec<String>> = text.split('/').map(part).collect();
        match parts.map(<[String; 4]>::try_from) {
            Some(Ok([namespace, kind, name, container])) => Ok(Self {
                namespace,
                kind,
                name,
                container,
            }),
            _ => Err(WorkloadError(text.to_owned())),
        }
    }
}

crate::serde_text::as_text!(Workload);

/// The image's name, as the window knew it.
///
/// ```
/// use baselines::workload::Image;
///
/// let image = Image { repository: "shop/web".to_owned(), tag: Some("1.4".to_owned()), digest: None };
/// assert_eq!(image.to_string(), "shop/web:1.4");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Image {
    /// `registry/name` of a container image, `host/<unit>` of a host workload.
    #[serde(with = "serde_text::escaped")]
    pub repository: String,
    /// The tag, if a name with one was given.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_text::escaped")]
    pub tag: Option<String>,
    /// `sha256:...`, if known.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "serde_text::escaped")]
    pub digest: Option<String>,
}

impl fmt::Display for Image {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.repository.clone();
        for (separator, part) in [(':', &self.tag), ('@', &self.digest)] {
            if let Some(part) = part {
                text.push(separator);
                text.push_str(part);
            }
        }
        formatter.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_that_names_no_workload_is_refused() {
        for text in ["", "a/b/c", "a/b/c/d/e", r"a/b/c/\q", r"a/b/c/\xff"] {
            assert!(text.parse::<Workload>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_workload_survives_text([namespace, kind, name, container] in [".*", ".*", ".*", ".*"]) {
            let workload = Workload { namespace, kind, name, container };
            prop_assert_eq!(workload.to_string().parse(), Ok(workload));
        }
    }
}
