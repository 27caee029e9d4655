//! Names that programs make up for temporary files.
//!
//! What makes them up chooses letters and digits at random, so that one in three has no digit and looks like a word. The
//! beginning tells: it is always the same.

use super::class::{Class, is_hex};

/// What a name begins with, and what comes after it up to the end of the word.
struct Temporary {
    begins: &'static [u8],
    lengths: &'static [usize],
    kind: Kind,
}

enum Kind {
    /// `[A-Za-z0-9]`
    Alphanumeric,
    /// `[a-z0-9_]`
    Python,
    Hex,
}

/// Names without a separator before the random part, or with a random part that is too short to be told by itself.
///
/// Others need no entry: `go-build123456`, Java's `name123456789.tmp`, `hsperfdata_user/PID` and `core.PID` have numbers.
const TEMPORARY: &[Temporary] = &[
    // tempfile.py, _RandomNameSequence; and multiprocessing/util.py
    entry(b"tmp", &[8], Kind::Python),
    entry(b"pymp-", &[8], Kind::Python),
    // mkstemp(3) with tmpXXXXXX, Rust's tempfile (.tmpXXXXXX), mktemp(1) (tmp.XXXXXXXXXX)
    entry(b"tmp", &[6], Kind::Alphanumeric),
    entry(b"tmp.", &[6, 10], Kind::Alphanumeric),
    // glibc: tempnam(3)
    entry(b"file", &[6], Kind::Alphanumeric),
    // PHP: uploads (main/rfc1867.c), and sessions (ext/session/mod_files.c)
    entry(b"php", &[6], Kind::Alphanumeric),
    entry(b"sess_", &[22, 26, 32, 40, 48, 52, 64], Kind::Alphanumeric),
    // GCC, sed -i, sort(1), InnoDB
    entry(b"cc", &[6], Kind::Alphanumeric),
    entry(b"sed", &[6], Kind::Alphanumeric),
    entry(b"sort", &[6], Kind::Alphanumeric),
    entry(b"ib", &[6], Kind::Alphanumeric),
    // GLib (g_file_replace), OpenSSH's agent, Chromium
    entry(b"goutputstream-", &[6], Kind::Alphanumeric),
    entry(b"ssh-", &[10, 12], Kind::Alphanumeric),
    entry(b"org.chromium.Chromium.", &[6], Kind::Alphanumeric),
    // NFS, files removed while open: fs/nfs/unlink.c; the same of FUSE: lib/fuse.c
    entry(b"nfs", &[24], Kind::Hex),
    entry(b"fuse_hidden", &[16, 24], Kind::Hex),
];

const fn entry(begins: &'static [u8], lengths: &'static [usize], kind: Kind) -> Temporary {
    Temporary { begins, lengths, kind }
}

/// A random part: where it begins and ends, and what it is.
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) class: Class,
}

/// The random part of the temporary name that `text`, which begins with a word, begins with.
pub(super) fn find(text: &[u8]) -> Option<Part> {
    if !text.first()?.is_ascii_lowercase() {
        return None;
    }
    // Nearly every word is another one after its first byte.
    let candidates = TEMPORARY
        .iter()
        .filter(|temporary| temporary.begins.first() == text.first());
    candidates.into_iter().find_map(|temporary| temporary.find(text))
}

impl Temporary {
    fn find(&self, text: &[u8]) -> Option<Part> {
        let rest = text.strip_prefix(self.begins)?;
        let is_part = |byte: &u8| match self.kind {
            Kind::Alphanumeric | Kind::Hex => byte.is_ascii_alphanumeric(),
            Kind::Python => byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_',
        };
        let length = rest.iter().take_while(|byte| is_part(byte)).count();
        let ends = rest.get(length).is_none_or(|byte| !byte.is_ascii_alphanumeric());
        if !ends || !self.lengths.contains(&length) {
            return None;
        }
        let class = match self.kind {
            Kind::Alphanumeric | Kind::Python => Class::random(length)?,
            Kind::Hex if rest.get(..length).is_some_and(is_hex) => Class::hex(length)?,
            Kind::Hex => return None,
        };
        Some(Part {
            start: self.begins.len(),
            end: self.begins.len() + length,
            class,
        })
    }
}

/// The random part of systemd's temporary names, `.#name0123456789abcdef` (`tempfn_random`, src/basic/tmpfile-util.c): the end
/// of the name, without a separator.
pub(super) fn of_systemd(name: &[u8]) -> Option<Part> {
    let start = name
        .strip_prefix(b".#")?
        .len()
        .checked_sub(16)
        .filter(|length| *length > 0)?
        + 2;
    name.get(start..).filter(|random| is_hex(random))?;
    Some(Part {
        start,
        end: name.len(),
        class: Class::hex(16)?,
    })
}
