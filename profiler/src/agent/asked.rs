//! How a recording is asked for: what a workstation writes and an agent reads. Pure.
//!
//! ```text
//! GET /v1/recordings/<uid of the learning window>?namespace=shop&namespace=payments
//! Authorization: Bearer <a token that the API server knows>
//! If-Match: "<SHA-256>"          to go on where a transfer was broken off,
//! Range: bytes=1048576-          together with this
//! ```
//!
//! Without a namespace the whole recording is asked for. The answer's `ETag` is the SHA-256 of the whole file, in hexadecimal.
//! An agent that has another file by now answers 412, and one that has none 404.

use hyper::header::{HeaderMap, HeaderName};

use super::files::is_uid;
use crate::learning_policy::namespace;

/// The header's value for a file with this checksum.
pub fn tag_of(checksum: &str) -> String {
    format!("\"{checksum}\"")
}

/// The checksum in an `ETag` or `If-Match`.
pub fn checksum_in(tag: &str) -> Option<&str> {
    let checksum = tag.strip_prefix('"')?.strip_suffix('"')?;
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (checksum.len() == 64 && checksum.bytes().all(is_digit)).then_some(checksum)
}

/// The most namespaces that are asked for at a time, as many as a window names.
pub const NAMESPACES_MAX: usize = 64;
const PREFIX: &str = "/v1/recordings/";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The learning window's uid.
    pub uid: String,
    /// The namespaces, sorted; none for the whole recording.
    pub namespaces: Vec<String>,
}

impl Asked {
    /// The path and query to ask with.
    pub fn path(&self) -> String {
        let namespaces: Vec<String> = self.namespaces.iter().map(|name| format!("namespace={name}")).collect();
        let query = if namespaces.is_empty() { "" } else { "?" };
        format!("{PREFIX}{}{query}{}", self.uid, namespaces.join("&"))
    }

    /// Reads what somebody asks with. None for what [`Asked::path`] never says.
    pub fn read(path: &str, query: Option<&str>) -> Option<Self> {
        let uid = path.strip_prefix(PREFIX).filter(|uid| is_uid(uid))?;
        let pairs = query.into_iter().flat_map(|query| query.split('&'));
        let named = |pair: &str| namespace(pair.strip_prefix("namespace=")?).ok();
        let mut namespaces: Vec<String> = pairs.map(named).collect::<Option<_>>()?;
        namespaces.sort();
        namespaces.dedup();
        (namespaces.len() <= NAMESPACES_MAX).then(|| Self {
            uid: uid.to_owned(),
            namespaces,
        })
    }
}

/// What a header says, where it is text.
pub fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// From which byte on a `Range` asks; it asks for all the rest. None for what is not of that form.
pub fn offset_in(range: &str) -> Option<u64> {
    let digits = range.strip_prefix("bytes=")?.strip_suffix('-')?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "1f0d5e1c-0000-4000-8000-000000000001";

    fn asked(namespaces: &[&str]) -> Asked {
        Asked {
            uid: UID.to_owned(),
            namespaces: namespaces.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for namespaces in [&[][..], &["shop"], &["payments", "shop"]] {
            let asked = asked(namespaces);
            let path = asked.path();
            let (path, query) = path
                .split_once('?')
                .map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
            assert_eq!(Asked::read(path, query), Some(asked));
        }
    }

    #[test]
    fn the_order_of_namespaces_and_saying_one_twice_change_nothing() {
        let path = format!("/v1/recordings/{UID}");
        let read = Asked::read(&path, Some("namespace=shop&namespace=payments&namespace=shop"));
        assert_eq!(read, Some(asked(&["payments", "shop"])));
    }

    #[test]
    fn nothing_else_is_understood() {
        let path = format!("/v1/recordings/{UID}");
        for (path, query) in [
            ("/v1/recordings/", None),
            ("/v1/recordings/../../etc/passwd", None),
            ("/v1/recordings/0a/0b", None),
            ("/v2/recordings/0a", None),
            (path.as_str(), Some("")),
            (&path, Some("namespace=")),
            (&path, Some("namespace=*")),
            (&path, Some("namespace=Shop")),
            (&path, Some("namespace=a%2fb")),
            (&path, Some("name=shop")),
        ] {
            assert_eq!(Asked::read(path, query), None, "{path} {query:?}");
        }
        let many: Vec<String> = (0..=NAMESPACES_MAX)
            .map(|number| format!("namespace=n{number}"))
            .collect();
        assert_eq!(Asked::read(&path, Some(&many.join("&"))), None);
        let long = format!("namespace={}", "a".repeat(64));
        assert_eq!(Asked::read(&path, Some(&long)), None);
    }

    #[test]
    fn a_place_in_a_file_is_a_number_and_a_checksum_64_digits() {
        for (text, offset) in [
            ("bytes=0-", Some(0)),
            ("bytes=1048576-", Some(1_048_576)),
            ("bytes=-5", None),
            ("bytes=+5-", None),
            ("bytes=0-5", None),
            ("bytes=99999999999999999999-", None),
            ("5-", None),
        ] {
            assert_eq!(offset_in(text), offset, "{text}");
        }
        let checksum = "0a".repeat(32);
        assert_eq!(checksum_in(&tag_of(&checksum)), Some(checksum.as_str()));
        for text in [
            "",
            "\"",
            "\"\"",
            "*",
            &checksum,
            &tag_of(&checksum[1..]),
            &tag_of(&checksum.to_uppercase()),
        ] {
            assert_eq!(checksum_in(text), None, "{text}");
        }
    }
}
