//! Names of images, as people give them on a command line.

use baselines::workload::Image;

/// Reads `repository[:tag][@digest]`, with the character sets of the OCI distribution specification (v1.1, "Pulling
/// manifests"). A registry's port is part of the repository.
///
/// ```
/// let image = profiler::image::parse("registry:5000/shop/web:1.4").unwrap();
/// assert_eq!((image.repository.as_str(), image.tag.as_deref()), ("registry:5000/shop/web", Some("1.4")));
/// assert!(profiler::image::parse("Shop Web").is_err());
/// ```
///
/// # Errors
/// What is wrong with the name, and what a right one looks like.
pub fn parse(text: &str) -> Result<Image, String> {
    let wrong = |what: &str| Err(format!("{what}; write it like shop/web:1.4 or shop/web@sha256:..."));
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash is a port's.
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    };
    if !is_repository(repository) {
        return wrong("a repository consists of a-z, 0-9, `.`, `_`, `-` and slashes between them");
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return wrong("a tag consists of at most 128 of A-Z, a-z, 0-9, `.`, `_`, `-`");
    }
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return wrong("a digest is sha256: and 64 hexadecimal digits");
    }
    Ok(Image {
        repository: repository.to_owned(),
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

fn is_repository(text: &str) -> bool {
    let (registry, rest) = text
        .split_once('/')
        .map_or((None, text), |(first, rest)| (Some(first), rest));
    let is_component = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && !text.ends_with(['.', '_', '-'])
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
    };
    // A registry may have a port, and capital letters as host names may.
    let is_registry = |text: &str| {
        let (host, port) = text
            .split_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port)));
        is_component(&host.to_ascii_lowercase()) && port.is_none_or(|port| port.parse::<u16>().is_ok())
    };
    text.len() <= 255 && registry.is_none_or(is_registry) && rest.split('/').all(is_component)
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=128).contains(&text.len())
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

/// `sha256:` and what follows it in a digest.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(is_sha256)
}

/// SHA-256, as digests have it: 64 hexadecimal digits in lower case.
pub(crate) fn is_sha256(hex: &str) -> bool {
    hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_where_registries_split_them() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let pinned = format!("shop/web:1.4@{digest}");
        let cases = [
            ("web", "web", None, None),
            ("shop/web:1.4", "shop/web", Some("1.4"), None),
            ("registry:5000/web", "registry:5000/web", None, None),
            (&pinned, "shop/web", Some("1.4"), Some(digest.as_str())),
            ("host/nginx.service", "host/nginx.service", None, None),
        ];
        for (text, repository, tag, digest) in cases {
            let image = parse(text).unwrap();
            assert_eq!(
                (image.repository.as_str(), image.tag.as_deref(), image.digest.as_deref()),
                (repository, tag, digest)
            );
        }
    }

    #[test]
    fn other_names_are_refused() {
        for text in [
            "",
            "/web",
            "web/",
            "a//b",
            "web:",
            "web@sha256:12",
            "a b",
            "web:\n",
            "../etc",
            "shop/Web",
            "x:99999/y",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
