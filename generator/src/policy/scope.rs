//! Which processes a policy is about, and what its object is called.

use std::collections::BTreeSet;

use baselines::document::{Baseline, Image};
use sha2::{Digest as _, Sha256};

use super::model::Scope;

/// The longest DNS-1123 label (RFC 1123, 2.1, by way of RFC 1035, 2.3.4).
const NAME_MAX: usize = 63;

/// How much of the image's hash is in a name: 40 bits.
const HASH_CHARACTERS: usize = 10;

/// A scope, and what people must know about it.
#[derive(Debug)]
pub(crate) struct Scoped {
    pub(crate) scope: Scope,
    pub(crate) comments: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

/// Which processes the policy for this image can select.
pub(crate) fn scope(baseline: &Baseline) -> Scoped {
    let image = &baseline.image;
    if is_host(&image.repository) {
        return node();
    }
    let repositories = repositories(&image.repository);
    if is_unresolved(&image.repository) {
        return unresolved(repositories);
    }
    let mut comments = vec![format!(
        "Applies to containers of every namespace whose image repository is one of {repositories:?}. Tetragon takes the \
         repository from the image id (or, with its runtime hooks, from the image name), without tag and digest: other \
         versions of the image are selected too. Names without a registry are listed as Docker Hub's as well, because \
         container runtimes complete them. Read in Tetragon's code for 1.6 and 1.7, not verified on a cluster."
    )];
    let mut warnings = mismatches(image);
    let namespaces: BTreeSet<&str> = baseline
        .containers
        .iter()
        .map(|it| it.workload.namespace.as_str())
        .collect();
    if namespaces == BTreeSet::from(["host"]) {
        warnings.push(
            "recorded without Kubernetes: Tetragon without Kubernetes refuses this policy, because it selects \
             containers; load it in a cluster that runs the image"
                .to_owned(),
        );
    }
    comments.extend(warnings.iter().map(|warning| format!("WARNING: {warning}.")));
    Scoped {
        scope: Scope::Containers { repositories },
        comments,
        warnings,
    }
}

/// Whether this is the name of a host workload. It can be anything that a cgroup can be called, and is only shown.
pub(crate) fn is_host(repository: &str) -> bool {
    repository.starts_with("host/")
}

/// Whether this stands for the name of a container's image that nobody told the recorder.
fn is_unresolved(repository: &str) -> bool {
    repository.starts_with("unresolved/")
}

fn node() -> Scoped {
    let warning = "applies to every process of the node: Tetragon cannot select a systemd unit, and without Kubernetes \
         it refuses container selectors; whatever other programs do is reported too, so load it in monitor mode only";
    Scoped {
        scope: Scope::Node,
        comments: vec![format!(
            "WARNING: {warning}. Never switch it to enforce: that would stop the whole node."
        )],
        warnings: vec![warning.to_owned()],
    }
}

/// Harmless, unlike an empty repository, and other images' policies are not to fail for it.
fn unresolved(repositories: Vec<String>) -> Scoped {
    let warning = "the image's name is unknown: this policy's selector matches no container; name the image (image in its \
         baseline document) and use --baselines";
    Scoped {
        scope: Scope::Containers { repositories },
        comments: vec![format!("WARNING: {warning}.")],
        warnings: vec![warning.to_owned()],
    }
}

/// The forms in which Tetragon can meet a repository: as recorded, and completed as container runtimes do it.
fn repositories(recorded: &str) -> Vec<String> {
    let completed = match recorded.split_once('/') {
        None => format!("docker.io/library/{recorded}"),
        Some((registry, _)) if is_registry(registry) => recorded.to_owned(),
        Some(_) => format!("docker.io/{recorded}"),
    };
    BTreeSet::from([completed, recorded.to_owned()]).into_iter().collect()
}

/// Whether the first part of an image name is a registry and not an account on Docker Hub (the rule of
/// distribution/reference, which all container runtimes follow).
fn is_registry(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost"
}

/// Why Tetragon may not find the containers of this image (pkg/policyfilter/rthooks/rthooks.go, the same in 1.5 to 1.7).
fn mismatches(image: &Image) -> Vec<String> {
    let mut warnings = Vec::new();
    if image.repository.contains(':') {
        warnings.push(
            "its registry has a port: with runtime hooks Tetragon cuts image names at ':' and this policy never \
             matches; without them it should, but that was not verified"
                .to_owned(),
        );
    }
    if image.digest.is_some() && image.tag.is_none() {
        warnings.push(
            "known by digest only: where pods pin the digest, Tetragon with runtime hooks takes `name@sha256` for the \
             repository and this policy never matches"
                .to_owned(),
        );
    }
    warnings
}

/// The name of the image's policy: a DNS-1123 label of what is readable in the image's name, and a hash of all of it,
/// because different images can read the same.
pub(crate) fn name(image: &Image) -> String {
    // Each part with its length, so that no two images give the same text.
    let parts = [Some(&image.repository), image.tag.as_ref(), image.digest.as_ref()];
    let identity = parts
        .map(|part| part.map_or("-".to_owned(), |part| format!("{}:{part}", part.len())))
        .concat();
    let hash: String = sha256(identity.as_bytes()).chars().take(HASH_CHARACTERS).collect();
    let tag = image.tag.as_deref().unwrap_or_default();
    let mut readable = String::new();
    for character in format!("{}-{tag}", image.repository).chars() {
        match character.to_ascii_lowercase() {
            plain @ ('a'..='z' | '0'..='9') => readable.push(plain),
            _ if readable.is_empty() || readable.ends_with('-') => (),
            _ => readable.push('-'),
        }
    }
    readable.truncate(NAME_MAX - HASH_CHARACTERS - 1);
    let readable = readable.trim_end_matches('-');
    format!("{}-{hash}", if readable.is_empty() { "image" } else { readable })
}

/// Lower-case hexadecimal SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(repository: &str, tag: Option<&str>, digest: Option<&str>) -> Image {
        Image {
            repository: repository.to_owned(),
            tag: tag.map(Into::into),
            digest: digest.map(Into::into),
        }
    }

    #[test]
    fn names_without_a_registry_are_docker_hubs_too() {
        let cases: [(&str, &[&str]); 6] = [
            ("nginx", &["docker.io/library/nginx", "nginx"]),
            ("shop/web", &["docker.io/shop/web", "shop/web"]),
            ("ghcr.io/shop/web", &["ghcr.io/shop/web"]),
            ("localhost/web", &["localhost/web"]),
            ("registry:5000/web", &["registry:5000/web"]),
            ("docker.io/library/nginx", &["docker.io/library/nginx"]),
        ];
        for (recorded, expected) in cases {
            assert_eq!(repositories(recorded), expected, "{recorded}");
        }
    }

    #[test]
    fn images_that_tetragon_may_not_find_are_told() {
        assert!(mismatches(&image("shop/web", Some("1"), Some("sha256:ab"))).is_empty());
        let port = mismatches(&image("registry:5000/web", Some("1"), None));
        assert!(port.concat().contains("registry has a port"), "{port:?}");
        let pinned = mismatches(&image("shop/web", None, Some("sha256:ab")));
        assert!(pinned.concat().contains("by digest only"), "{pinned:?}");
    }

    #[test]
    fn names_are_readable() {
        let cases = [
            (image("shop/web", Some("1.4"), None), "shop-web-1-4-"),
            (image("host/nginx.service", None, None), "host-nginx-service-"),
            (image("日本", None, None), "image-"),
            (image("Shop//Web__", Some("..."), None), "shop-web-"),
        ];
        for (image, readable) in cases {
            let name = name(&image);
            assert_eq!(
                name.strip_prefix(readable).map(str::len),
                Some(HASH_CHARACTERS),
                "{name}"
            );
        }
    }

    #[test]
    fn images_that_read_the_same_have_different_names() {
        let images = [
            image("shop/web", Some("1"), None),
            image("shop-web", Some("1"), None),
            image("shop/web-1", None, None),
            image("shop/web", None, Some("1")),
            image(&format!("shop/{}1", "w".repeat(80)), None, None),
            image(&format!("shop/{}2", "w".repeat(80)), None, None),
        ];
        let names: BTreeSet<String> = images.iter().map(name).collect();
        assert_eq!(names.len(), images.len(), "{names:?}");
    }

    proptest! {
        #[test]
        fn every_name_is_a_dns_label(
            repository in proptest::collection::vec(any::<char>(), 0..100).prop_map(String::from_iter),
            tag in proptest::option::of(".{0,100}"),
        ) {
            let name = name(&image(&repository, tag.as_deref(), None));
            prop_assert!(crate::selfcheck::is_dns_label(&name), "{}", name);
        }
    }
}
