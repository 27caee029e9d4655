//! File names for images.

use sha2::{Digest as _, Sha256};

use super::Image;

/// The longest readable part, in bytes: with the hash and an extension far below the 255 that Linux allows.
const READABLE_MAX: usize = 100;

/// How many bytes of the hash are in a name; what [`hash`] makes a number of.
const HASH_BYTES: usize = 8;

/// A file name for an image, without an extension: lower-case letters, digits, `.`, `_`, `-` and `+`, at most 118 bytes,
/// never beginning with a dot or a dash, and another one for every image, even where case is ignored.
///
/// ```
/// use baselines::document::{Image, file_name};
///
/// let image = |repository: &str, tag: Option<&str>| Image {
///     repository: repository.to_owned(),
///     tag: tag.map(str::to_owned),
///     digest: None,
/// };
/// assert_eq!(file_name(&image("nginx", None)), "nginx");
/// assert_eq!(file_name(&image("shop/web", Some("1.4"))), "shop_web_1.4+37ef75428c619bda");
/// ```
pub fn file_name(image: &Image) -> String {
    let text = image.to_string();
    let mut readable: String = text.chars().map(plain).take(READABLE_MAX).collect();
    if readable.starts_with(['.', '-']) {
        readable.insert(0, '_');
    }
    if readable == text && image.tag.is_none() && image.digest.is_none() && !text.is_empty() {
        return readable;
    }
    // `+` is in no name that is kept as it is, so that no image can be called like another one's file.
    let hash = hash(image);
    format!("{readable}+{hash}")
}

fn plain(character: char) -> char {
    match character.to_ascii_lowercase() {
        kept @ ('a'..='z' | '0'..='9' | '.' | '_' | '-') => kept,
        _ => '_',
    }
}

fn hash(image: &Image) -> String {
    let mut hasher = Sha256::new();
    for part in [Some(&image.repository), image.tag.as_ref(), image.digest.as_ref()] {
        // Length before content, so that no two images give the same bytes.
        hasher.update([u8::from(part.is_some())]);
        let part = part.map_or("", String::as_str);
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let number = hasher
        .finalize()
        .iter()
        .take(HASH_BYTES)
        .fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option;
    use proptest::prelude::*;

    fn images() -> impl Strategy<Value = Image> {
        let part = || prop_oneof!["[a-c:@/+._A-C-]{0,4}", ".*", "[a-z]{90,110}"];
        (part(), option::of(part()), option::of(part())).prop_map(|(repository, tag, digest)| Image {
            repository,
            tag,
            digest,
        })
    }

    #[test]
    fn names_stay_readable_and_safe() {
        let cases = [
            ("nginx", None, "nginx"),
            ("docker.io/library/nginx", Some("1.27"), "docker.io_library_nginx_1.27+"),
            ("..", None, "_..+"),
            ("../../etc/passwd", None, "_.._.._etc_passwd+"),
            ("-rf", None, "_-rf+"),
            ("", None, "+"),
            ("Nginx", None, "nginx+"),
            ("caf\u{e9}\n", None, "caf__+"),
        ];
        for (repository, tag, expected) in cases {
            let image = Image {
                repository: repository.to_owned(),
                tag: tag.map(str::to_owned),
                digest: None,
            };
            let name = file_name(&image);
            assert!(
                if expected.ends_with('+') {
                    name.starts_with(expected)
                } else {
                    name == expected
                },
                "{name}"
            );
        }
    }

    #[test]
    fn parts_cannot_be_shifted() {
        let image = |repository: &str, tag: Option<&str>, digest: Option<&str>| {
            file_name(&Image {
                repository: repository.to_owned(),
                tag: tag.map(str::to_owned),
                digest: digest.map(str::to_owned),
            })
        };
        let names = [
            image("a:b", None, None),
            image("a", Some("b"), None),
            image("a", None, Some("b")),
            image("a", Some("b"), Some("")),
            image("a_b", None, None),
            image("A_b", None, None),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "{names:?}");
    }

    proptest! {
        #[test]
        fn every_name_is_safe(image in images()) {
            let name = file_name(&image);
            prop_assert!((1..=118).contains(&name.len()), "{}", name);
            prop_assert!(!name.starts_with(['.', '-']), "{}", name);
            prop_assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'+')));
        }

        #[test]
        fn different_images_have_different_names(one in images(), other in images()) {
            prop_assert_eq!(one == other, file_name(&one) == file_name(&other));
        }
    }
}
