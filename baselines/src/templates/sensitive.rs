//! Paths that no wildcard may swallow: what is worth stealing, and what is an attack in itself.
//!
//! [`SENSITIVE`] is the list, with the reason for each. In a pattern
//! - a name is itself, `*` is any one name, and `*.key` a name that ends so: a wildcard of a template never takes the place of
//!   any of these,
//! - `**` is any number of names, also none, and a template may have wildcards there: kubelets put each version of a token
//!   into a directory with a time stamp, and who folds that admits nothing but that token,
//! - a pattern that does not begin with `/` matches at the end of a path.

use std::cell::OnceCell;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::place::Place;
use super::signature::{self, Signature};
use super::template::{Component, Token, components, names};
use crate::path::FilePath;

/// A pattern of sensitive paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sensitive {
    /// Which paths, see the [module](self).
    pub pattern: &'static str,
    /// Why.
    pub why: &'static str,
}

const CREDENTIALS: &str = "credentials: who reads them can be somebody else";
const KEYS: &str = "private keys: who reads them can be somebody else";
const ACCOUNTS: &str = "password hashes and accounts";
const TAKEOVER: &str = "who can write it runs as somebody else, or comes back after a restart";
const RUNTIME: &str = "who can talk to it controls the node's containers";
const PROCESS: &str = "another process's memory, environment or files";
const KERNEL: &str = "who can write it controls the kernel, or the node";

/// Every sensitive path that is known.
pub const SENSITIVE: &[Sensitive] = &[
    entry("/etc/shadow", ACCOUNTS),
    entry("/etc/shadow-", ACCOUNTS),
    entry("/etc/gshadow", ACCOUNTS),
    entry("/etc/gshadow-", ACCOUNTS),
    entry("/etc/security/opasswd", ACCOUNTS),
    entry("/etc/sudoers", TAKEOVER),
    entry("/etc/sudoers.d/*", TAKEOVER),
    entry("/etc/pam.d/*", TAKEOVER),
    entry("/etc/ld.so.preload", TAKEOVER),
    entry("/etc/crontab", TAKEOVER),
    entry("/etc/cron.d/*", TAKEOVER),
    entry("/var/spool/cron/**/*", TAKEOVER),
    entry("/etc/systemd/system/**/*.service", TAKEOVER),
    entry("/etc/krb5.keytab", KEYS),
    entry("/etc/ssl/private/**/*", KEYS),
    entry("/etc/kubernetes/**/*.conf", CREDENTIALS),
    entry("/etc/kubernetes/pki/**/*", KEYS),
    entry("/var/lib/kubelet/pki/*", KEYS),
    entry("/run/secrets/**/*", CREDENTIALS),
    entry("/var/run/secrets/**/*", CREDENTIALS),
    entry("/proc/*/environ", PROCESS),
    entry("/proc/*/mem", PROCESS),
    entry("/proc/*/auxv", PROCESS),
    entry("/proc/*/root", PROCESS),
    entry("/proc/*/task/*/environ", PROCESS),
    entry("/proc/*/task/*/mem", PROCESS),
    entry("/proc/*/task/*/auxv", PROCESS),
    entry("/proc/kcore", KERNEL),
    entry("/proc/kallsyms", KERNEL),
    entry("/proc/sysrq-trigger", KERNEL),
    entry("/proc/sys/kernel/core_pattern", KERNEL),
    entry("/proc/sys/kernel/modprobe", KERNEL),
    entry("/sys/kernel/uevent_helper", KERNEL),
    entry("/sys/fs/cgroup/**/release_agent", KERNEL),
    entry("/dev/mem", KERNEL),
    entry("/dev/kmem", KERNEL),
    entry("/run/docker.sock", RUNTIME),
    entry("docker.sock", RUNTIME),
    entry("containerd.sock", RUNTIME),
    entry("crio.sock", RUNTIME),
    entry("podman.sock", RUNTIME),
    entry("kubelet.sock", RUNTIME),
    entry("token", CREDENTIALS),
    entry(".ssh/*", KEYS),
    entry("id_rsa", KEYS),
    entry("id_dsa", KEYS),
    entry("id_ecdsa", KEYS),
    entry("id_ed25519", KEYS),
    entry("authorized_keys", TAKEOVER),
    entry("*.key", KEYS),
    entry("*.p12", KEYS),
    entry("*.pfx", KEYS),
    entry("*.jks", KEYS),
    entry("*.kdbx", CREDENTIALS),
    entry(".aws/credentials", CREDENTIALS),
    entry(".azure/*", CREDENTIALS),
    entry(".config/gcloud/*", CREDENTIALS),
    entry("application_default_credentials.json", CREDENTIALS),
    entry(".docker/config.json", CREDENTIALS),
    entry(".kube/config", CREDENTIALS),
    entry(".git-credentials", CREDENTIALS),
    entry(".netrc", CREDENTIALS),
    entry(".pgpass", CREDENTIALS),
    entry(".my.cnf", CREDENTIALS),
    entry(".vault-token", CREDENTIALS),
    entry(".gnupg/**/*", KEYS),
];

const fn entry(pattern: &'static str, why: &'static str) -> Sensitive {
    Sensitive { pattern, why }
}

/// Directories below which nothing folds. They come with the image, so that their names differ from one image to the next
/// and never from one run to the next: a wildcard there could only admit what somebody put there later.
const FIXED: [&str; 11] = [
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/local/bin/",
    "/usr/local/sbin/",
    "/usr/libexec/",
    "/bin/",
    "/sbin/",
    "/etc/ssl/certs/",
    "/usr/share/ca-certificates/",
    "/usr/share/locale/",
    "/usr/share/zoneinfo/",
];

/// Whether a path is in a directory whose names never fold.
pub(super) fn is_fixed(path: &[u8]) -> bool {
    // Nearly every path is another one after two bytes.
    let is_near = |directory: &str| path.get(1..3) == directory.as_bytes().get(1..3);
    FIXED
        .iter()
        .any(|directory| is_near(directory) && path.starts_with(directory.as_bytes()))
}

/// The first entry of [`SENSITIVE`] that a path is one of. None for paths that no policy compares.
pub fn sensitive(path: &FilePath) -> Option<&'static Sensitive> {
    let names: Vec<Name> = components(path)?.map(Name::literal).collect();
    let entry = ENTRIES.of(&names).find(|entry| meets(&entry.parts, &names).is_some());
    entry.map(|entry| entry.sensitive)
}

/// Whether folding a canonical path could put a wildcard over what a sensitive entry spells out. The answer depends on the
/// path alone, so that no set of other paths, and no order of them, changes it.
pub(super) fn is_guarded(path: &[u8], depth: usize) -> bool {
    if !ENTRIES.could_meet(path, depth) {
        return false;
    }
    let mut place = Place::ROOT;
    let with_places = names(path).map(|text| {
        let name = Name {
            text,
            place: Some((place, depth)),
            signature: OnceCell::new(),
        };
        place = place.child(Some(text));
        name
    });
    let names: Vec<Name> = with_places.collect();
    ENTRIES
        .of(&names)
        .any(|entry| meets(&entry.parts, &names) == Some(Met::OverWildcard))
}

/// A name, and all that could become a wildcard in it.
struct Name<'a> {
    text: &'a [u8],
    /// Where it is, and how deep names may fold. None for a name that stays as it is.
    place: Option<(Place, usize)>,
    /// Found out when it is needed, which is seldom.
    signature: OnceCell<Option<Signature>>,
}

impl<'a> Name<'a> {
    fn literal(text: &'a [u8]) -> Self {
        Self {
            text,
            place: None,
            signature: OnceCell::new(),
        }
    }

    fn signature(&self) -> Option<&Signature> {
        let (place, depth) = self.place?;
        self.signature
            .get_or_init(|| place.signature(self.text, depth))
            .as_ref()
    }
}

/// How an entry and a path meet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// What the entry spells out is literal.
    OverText,
    /// A part of it would be under a wildcard.
    OverWildcard,
}

#[derive(Debug)]
enum Part {
    Name(&'static [u8]),
    Suffix(&'static [u8]),
    One,
    Many,
}

#[derive(Debug)]
struct Entry {
    sensitive: &'static Sensitive,
    /// What every path begins with that this can meet.
    head: &'static [u8],
    parts: Vec<Part>,
}

/// The entries: those that begin at the root, and the others.
struct Entries {
    anchored: Vec<Entry>,
    anywhere: Vec<Entry>,
}

static ENTRIES: LazyLock<Entries> = LazyLock::new(|| {
    let mut entries = Entries {
        anchored: Vec::new(),
        anywhere: Vec::new(),
    };
    for sensitive in SENSITIVE {
        let parts = |pattern: &'static str| pattern.split('/').map(Part::of);
        match sensitive.pattern.strip_prefix('/') {
            Some(pattern) => entries.anchored.push(Entry {
                sensitive,
                head: head(sensitive.pattern).as_bytes(),
                parts: parts(pattern).collect(),
            }),
            None => entries.anywhere.push(Entry {
                sensitive,
                head: b"",
                parts: [Part::Many].into_iter().chain(parts(sensitive.pattern)).collect(),
            }),
        }
    }
    entries
});

/// `/var/lib/` of `/var/lib/kubelet/pki/*`: the first name, and the second one if it is literal. Two names never fold, if the
/// options are what they are by default.
fn head(pattern: &'static str) -> &'static str {
    let mut slashes = pattern.match_indices('/').map(|(at, _)| at + 1);
    let (first, second) = (slashes.nth(1), slashes.next());
    let heads = [second, first]
        .into_iter()
        .flatten()
        .filter_map(|end| pattern.get(..end));
    heads.into_iter().find(|head| !head.contains('*')).unwrap_or(pattern)
}

impl Entries {
    /// Those that a path can meet. No wildcard is ever in the first name.
    fn of(&self, names: &[Name]) -> impl Iterator<Item = &Entry> {
        let is_near = |entry: &&Entry| match (entry.parts.first(), names.first()) {
            (Some(Part::Name(first)), Some(name)) => *first == name.text,
            _ => true,
        };
        self.anchored.iter().filter(is_near).chain(&self.anywhere)
    }

    /// Whether a path is worth a closer look: whether it is near an entry that begins at the root; or has a name that
    /// begins with a dot, as some entries without such a beginning need; or ends in a pattern that could be the last name
    /// of any other entry. Nearly no path does, and each path is asked.
    fn could_meet(&self, path: &[u8], depth: usize) -> bool {
        let is_near = |entry: &Entry| {
            // Nearly every path is another one after two bytes.
            path.get(1..3) == entry.head.get(1..3) && (path.starts_with(entry.head) || depth < 3)
        };
        if self.anchored.iter().any(is_near) || path.windows(2).any(|two| two == b"/.") {
            return true;
        }
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let Some(signature) = signature::of_name(last) else {
            return false;
        };
        let lengths = lengths(&signature, last);
        self.anywhere.iter().any(|entry| match entry.parts.last() {
            Some(Part::Name(name)) => lengths.contains(&name.len()) && could_be(&signature, last, name),
            Some(Part::Suffix(suffix)) => could_end_with(&signature, last, suffix),
            // Behind a name that begins with a dot.
            _ => false,
        })
    }
}

impl Part {
    fn of(text: &'static str) -> Self {
        match text {
            "**" => Self::Many,
            "*" => Self::One,
            _ => match text.strip_prefix('*') {
                Some(suffix) => Self::Suffix(suffix.as_bytes()),
                None => Self::Name(text.as_bytes()),
            },
        }
    }

    /// Whether it meets a name that may become a pattern.
    fn meets(&self, name: &Name) -> Option<Met> {
        let is_met = match self {
            Self::Name(text) if name.text == *text => true,
            // A wildcard does not begin with a dot.
            Self::Name(text) if text.starts_with(b".") && !name.text.starts_with(b".") => false,
            Self::Name(text) => name
                .signature()
                .is_some_and(|signature| could_be(signature, name.text, text)),
            Self::Suffix(suffix) if name.text.ends_with(suffix) => true,
            Self::Suffix(suffix) => name
                .signature()
                .is_some_and(|signature| could_end_with(signature, name.text, suffix)),
            Self::One => true,
            Self::Many => false,
        };
        is_met.then(|| match name.signature() {
            None => Met::OverText,
            Some(_) => Met::OverWildcard,
        })
    }
}

/// Whether the parts meet the names, and if they do so in several ways, the worst.
fn meets(parts: &[Part], names: &[Name]) -> Option<Met> {
    match parts.split_first() {
        None => names.is_empty().then_some(Met::OverText),
        Some((Part::Many, parts)) => {
            let is_last = !parts.iter().any(|part| matches!(part, Part::Many));
            // Only one place is left for parts that have no such further choice.
            let first = if is_last {
                names.len().checked_sub(parts.len())?
            } else {
                0
            };
            let last = if is_last { first } else { names.len() };
            (first..=last)
                .filter_map(|start| meets(parts, names.get(start..)?))
                .max()
        }
        Some((part, parts)) => {
            let (name, names) = names.split_first()?;
            let met = part.meets(name)?;
            Some(met.max(meets(parts, names)?))
        }
    }
}

/// Whether the pattern of a name's signature matches another name.
fn could_be(signature: &Signature, name: &[u8], other: &[u8]) -> bool {
    let begin = signature
        .pieces
        .first()
        .and_then(|piece| name.get(..piece.start))
        .unwrap_or_default();
    let end = signature
        .pieces
        .last()
        .and_then(|piece| name.get(piece.end..))
        .unwrap_or_default();
    // Most of the time the ends and the length tell.
    lengths(signature, name).contains(&other.len())
        && other.starts_with(begin)
        && other.ends_with(end)
        && pattern(signature, name).matches(other)
}

/// How long the names are that the pattern of a name's signature matches.
fn lengths(signature: &Signature, name: &[u8]) -> RangeInclusive<usize> {
    let mut least = name.len();
    let mut most = name.len();
    for piece in &signature.pieces {
        let (short, long) = piece.class.bounds();
        let now = piece.end - piece.start;
        least -= now.saturating_sub(short);
        most += long.saturating_sub(now);
    }
    least..=most
}

/// Whether the pattern of a name's signature matches a name that ends so. May say yes where it does not.
fn could_end_with(signature: &Signature, name: &[u8], suffix: &[u8]) -> bool {
    let mut suffix = suffix;
    let mut end = name.len();
    for piece in signature.pieces.iter().rev() {
        let text = name.get(piece.end..end).unwrap_or_default();
        let Some(rest) = suffix.strip_suffix(text) else {
            return text.ends_with(suffix);
        };
        // The wildcard has all of what is left, or an end of it and the text before it the beginning.
        if rest.is_empty() || piece.class.can_end_with(rest) {
            return true;
        }
        let within = (1..rest.len()).find(|start| rest.get(*start..).is_some_and(|end| piece.class.accepts(end)));
        let Some(start) = within else { return false };
        suffix = rest.get(..start).unwrap_or_default();
        end = piece.start;
    }
    name.get(..end).is_some_and(|text| text.ends_with(suffix))
}

/// The pattern that has a wildcard for every run of a name that may differ.
fn pattern(signature: &Signature, name: &[u8]) -> Component {
    let mut at = 0;
    let mut tokens = Vec::new();
    for piece in &signature.pieces {
        tokens.push(Token::Text(name.get(at..piece.start).unwrap_or_default().into()));
        tokens.push(Token::Any(piece.class));
        at = piece.end;
    }
    tokens.push(Token::Text(name.get(at..).unwrap_or_default().into()));
    Component::of_tokens(tokens)
}

/// How many entries with a place of their own are, or begin, below what a prefix admits.
pub(super) fn below(prefix: &[u8]) -> usize {
    let is_below = |entry: &&Sensitive| {
        let begin = entry.pattern.split('*').next().unwrap_or_default();
        let goes_on = begin.len() < entry.pattern.len();
        begin.starts_with('/')
            && (begin.as_bytes().starts_with(prefix) || goes_on && prefix.starts_with(begin.as_bytes()))
    };
    SENSITIVE.iter().filter(is_below).count()
}

/// How many entries that say how their paths end have paths that a postfix admits.
pub(super) fn ending(postfix: &[u8]) -> usize {
    let ends = |entry: &&Sensitive| {
        let end = entry.pattern.rsplit('*').next().unwrap_or_default();
        let is_whole = end.starts_with('/') && end.len() == entry.pattern.len();
        !end.is_empty() && (end.as_bytes().ends_with(postfix) || !is_whole && postfix.ends_with(end.as_bytes()))
    };
    SENSITIVE.iter().filter(ends).count()
}
