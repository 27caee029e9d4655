//! Which image a container runs, from the texts that a pod's description has for it.
//!
//! ```
//! use profiler::kubernetes::images::{Digest, PodImage};
//!
//! let digest = format!("sha256:{}", "a".repeat(64));
//! let image = PodImage::of("nginx:1.27", "", &format!("docker.io/library/nginx@{digest}")).unwrap();
//! assert_eq!(image.repository, "docker.io/library/nginx");
//! assert_eq!(image.tag.as_deref(), Some("1.27"));
//! assert_eq!(image.digest, Some(Digest::Registry(digest)));
//! ```

use baselines::workload::Image;

use crate::image;

/// Longer texts name no image: a repository has at most 255 bytes, a tag 128, a digest 71.
const TEXT_MAX: usize = 1024;

/// An image, as a cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodImage {
    /// With its registry: `nginx` is `docker.io/library/nginx`.
    pub repository: String,
    /// The tag; `latest` where the pod's author wrote neither tag nor digest, as runtimes have it.
    pub tag: Option<String>,
    /// What the runtime says that it runs.
    pub digest: Option<Digest>,
}

/// Two things are called the digest of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Digest {
    /// Of the manifest (or the index of several platforms'), `sha256:...`: what `repository@digest` pulls.
    Registry(String),
    /// Of the image's configuration, `sha256:...`: what a runtime calls an image that came from no registry. No
    /// registry knows it, so it must never be written behind an `@`.
    Config(String),
}

impl PodImage {
    /// The image of a container.
    ///
    /// `wanted` is the text of the pod's spec: what its author wrote. `reported` and `id` are `image` and `imageID` of the
    /// container's status: what the runtime made of it, in its own form. Any of them may be empty. The spec's name counts,
    /// because a runtime that knows an image by several names reports any of them.
    ///
    /// None where nothing names a repository.
    pub fn of(wanted: &str, reported: &str, id: &str) -> Option<Self> {
        let id = without_scheme(id);
        let resolved = digest_alone(id).map(Digest::Config).or_else(|| {
            let digest = named(id)?.digest?;
            Some(Digest::Registry(digest))
        });
        let name = [wanted, reported, id].into_iter().find_map(named)?;
        let tag = match (name.tag, &name.digest) {
            (None, None) => Some("latest".to_owned()),
            (tag, _) => tag,
        };
        // The registry's digest that the author wrote says more than a configuration's.
        let digest = match (resolved, name.digest) {
            (Some(Digest::Registry(digest)), _) | (_, Some(digest)) => Some(Digest::Registry(digest)),
            (config, None) => config,
        };
        Some(Self {
            repository: name.repository,
            tag,
            digest,
        })
    }

    /// As recordings have it: without a configuration's digest, which is none of a registry.
    pub fn recorded(&self) -> Image {
        Image {
            repository: self.repository.clone(),
            tag: self.tag.clone(),
            digest: match &self.digest {
                Some(Digest::Registry(digest)) => Some(digest.clone()),
                Some(Digest::Config(_)) | None => None,
            },
        }
    }
}

/// Docker's own, by the removed dockershim (`toRuntimeAPIImage`, `DockerPullableImageIDPrefix`) and cri-dockerd.
fn without_scheme(id: &str) -> &str {
    ["docker-pullable://", "docker://"]
        .iter()
        .find_map(|scheme| id.strip_prefix(scheme))
        .unwrap_or(id)
}

/// A text that is a digest and nothing else; CRI-O leaves `sha256:` out.
fn digest_alone(text: &str) -> Option<String> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    image::is_sha256(hex).then(|| format!("sha256:{hex}"))
}

/// A name with its registry in front.
fn named(text: &str) -> Option<Image> {
    if text.len() > TEXT_MAX || digest_alone(text).is_some() {
        return None;
    }
    let image = image::parse(text).ok()?;
    Some(Image {
        repository: with_registry(&image.repository),
        ..image
    })
}

/// What a short name stands for: `splitDockerDomain` of github.com/distribution/reference.
fn with_registry(repository: &str) -> String {
    match repository.split_once('/') {
        Some(("index.docker.io" | "docker.io", rest)) => with_registry_docker(rest),
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" || has_capitals(first) => {
            repository.to_owned()
        }
        _ => with_registry_docker(repository),
    }
}

fn with_registry_docker(rest: &str) -> String {
    let library = if rest.contains('/') { "" } else { "library/" };
    format!("docker.io/{library}{rest}")
}

/// No repository has capital letters, host names may.
fn has_capitals(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn fill(text: &str) -> String {
        text.replace("{A}", A)
            .replace("{B}", B)
            .replace("{a}", A.trim_start_matches("sha256:"))
    }

    #[test]
    fn names_are_those_of_the_spec_with_their_registry() {
        let cases = [
            // spec, status, imageID -> repository, tag
            ("nginx", "", "", "docker.io/library/nginx", Some("latest")),
            ("nginx:1.27", "", "", "docker.io/library/nginx", Some("1.27")),
            ("shop/web:1", "", "", "docker.io/shop/web", Some("1")),
            ("docker.io/nginx:1", "", "", "docker.io/library/nginx", Some("1")),
            ("index.docker.io/shop/web:1", "", "", "docker.io/shop/web", Some("1")),
            ("quay.io/shop/web:1", "", "", "quay.io/shop/web", Some("1")),
            ("localhost/web:1", "", "", "localhost/web", Some("1")),
            ("registry:5000/web", "", "", "registry:5000/web", Some("latest")),
            ("registry:5000/a/b:1", "", "", "registry:5000/a/b", Some("1")),
            ("nginx@{A}", "", "", "docker.io/library/nginx", None),
            ("nginx:1.27@{A}", "", "", "docker.io/library/nginx", Some("1.27")),
            // The runtime knows the same image by another name, or by none.
            (
                "nginx:1.27",
                "docker.io/library/nginx:stable",
                "",
                "docker.io/library/nginx",
                Some("1.27"),
            ),
            ("nginx:1.27", "{A}", "{A}", "docker.io/library/nginx", Some("1.27")),
            // The spec says nothing of use.
            ("", "quay.io/shop/web:2", "", "quay.io/shop/web", Some("2")),
            ("Not An Image", "quay.io/shop/web:2", "", "quay.io/shop/web", Some("2")),
            ("", "{A}", "quay.io/shop/web@{A}", "quay.io/shop/web", None),
        ];
        for (wanted, reported, id, repository, tag) in cases {
            let image = PodImage::of(&fill(wanted), &fill(reported), &fill(id)).unwrap();
            assert_eq!(
                (image.repository.as_str(), image.tag.as_deref()),
                (repository, tag),
                "{wanted} {reported} {id}"
            );
        }
    }

    #[test]
    fn a_registrys_digest_and_a_configurations_are_told_apart_in_every_form() {
        let registry = || Some(Digest::Registry(A.to_owned()));
        let config = || Some(Digest::Config(A.to_owned()));
        let cases = [
            ("nginx", "docker.io/library/nginx@{A}", registry()),
            ("nginx", "docker-pullable://nginx@{A}", registry()),
            ("nginx", "registry:5000/nginx@{A}", registry()),
            ("nginx", "docker.io/library/nginx:1.27@{A}", registry()),
            ("nginx", "{A}", config()),
            ("nginx", "docker://{A}", config()),
            ("nginx", "{a}", config()),
            ("nginx", "docker.io/library/nginx:1.27", None),
            ("nginx", "", None),
            ("nginx", "sha256:abc", None),
            ("nginx", "nginx@sha256:abc", None),
            ("nginx", "docker-pullable://", None),
            // What the author pinned; what runs is another matter, if a registry's digest of it is known.
            ("nginx@{A}", "", registry()),
            ("nginx@{A}", "{B}", registry()),
            ("nginx@{B}", "docker.io/library/nginx@{A}", registry()),
        ];
        for (wanted, id, expected) in cases {
            let image = PodImage::of(&fill(wanted), "", &fill(id)).unwrap();
            assert_eq!(image.digest, expected, "{wanted} {id}");
            let recorded = image.recorded().digest;
            assert_eq!(recorded.is_some(), expected == registry(), "{wanted} {id}");
        }
    }

    #[test]
    fn what_names_no_image_is_none() {
        let long = "a".repeat(100_000);
        for (wanted, reported, id) in [
            ("", "", ""),
            ("", "", A),
            (A, A, A),
            ("a b", "\n", "\u{202e}"),
            (&long, &long, &long),
            ("../../etc/passwd", "", ""),
        ] {
            assert_eq!(PodImage::of(wanted, reported, id), None, "{wanted:.40}");
        }
    }
}
