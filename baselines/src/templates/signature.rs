//! Token signatures: which runs of a name are of which [`Class`].
//!
//! A name is read from left to right, word by word, where words are runs of ASCII letters and digits. The first reading
//! that fits wins, and what fits none is itself. A name has exactly one signature, which depends on nothing but the name
//! (and, for process ids, on being below `/proc`): so siblings are grouped by hashing it, and never compared in pairs.

use super::class::{Class, Strength, all_digits, all_safe, is_hex, is_uuid};
use super::{temporary, time};

/// The longest name that is read: `NAME_MAX` of Linux. What is longer is no file's name, and stays as it is.
const NAME_BYTES_MAX: usize = 255;

/// The most runs of a name that may differ. What has more is no name that a program makes up, and stays as it is.
const PIECES_MAX: usize = 16;

/// A run of a name that is of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) class: Class,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What a name is made of, beside literal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    /// Never empty, ascending.
    pub(super) pieces: Vec<Piece>,
    /// Whether the name shows by itself that it was made up. A purely alphabetic run (`deadbeef`, the `tmp` name
    /// `tmpabcdefgh`) may be a word: it joins others, and counts for nothing.
    pub(super) is_evidence: bool,
}

impl Signature {
    /// How many different names of this signature it takes, see [`super::Options`]: as many as its weakest class needs.
    pub(super) fn strength(&self) -> Strength {
        let strengths = self.pieces.iter().map(|piece| piece.class.strength());
        strengths.max().unwrap_or(Strength::Numbers)
    }

    /// Writes the signature as bytes, to be hashed and compared: the literal text, and for each piece NUL, which no name
    /// has, and the class.
    pub(super) fn write_key(&self, name: &[u8], key: &mut Vec<u8>) {
        key.clear();
        let mut at = 0;
        for piece in &self.pieces {
            key.extend_from_slice(name.get(at..piece.start).unwrap_or_default());
            key.push(0);
            key.extend(piece.class.code());
            at = piece.end;
        }
        key.extend_from_slice(name.get(at..).unwrap_or_default());
    }
}

/// The signature of a name, if anything in it is of a class.
pub(super) fn of_name(name: &[u8]) -> Option<Signature> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let mut reader = Reader {
        name,
        pieces: Vec::new(),
        is_evidence: false,
        at: 0,
    };
    reader.read();
    let is_read = (1..=PIECES_MAX).contains(&reader.pieces.len());
    is_read.then_some(Signature {
        pieces: reader.pieces,
        is_evidence: reader.is_evidence,
    })
}

/// The signature of a name that is a process id or thread id.
pub(super) fn of_pid(name: &[u8]) -> Option<Signature> {
    Class::Pid.accepts(name).then(|| Signature {
        pieces: vec![Piece {
            class: Class::Pid,
            start: 0,
            end: name.len(),
        }],
        is_evidence: true,
    })
}

struct Reader<'a> {
    name: &'a [u8],
    pieces: Vec<Piece>,
    is_evidence: bool,
    at: usize,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        if is_shard(self.name) {
            let is_mixed = !self.name.iter().all(u8::is_ascii_alphabetic);
            self.push(Class::hex(2), 0, 2, is_mixed);
            return;
        }
        if let Some(part) = temporary::of_systemd(self.name) {
            // The name before the random end is a file's: it stays.
            let is_evidence = has_digit(self.name.get(part.start..));
            self.push(Some(part.class), part.start, part.end, is_evidence);
            return;
        }
        while self.at < self.name.len() {
            let rest = self.rest();
            match rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count() {
                0 => self.at += 1,
                length => self.word(rest, length),
            }
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.name.get(self.at..).unwrap_or_default()
    }

    /// Notes what is between these places after the current one, and goes there.
    fn push(&mut self, class: Option<Class>, start: usize, end: usize, is_evidence: bool) {
        if let Some(class) = class {
            self.pieces.push(Piece {
                class,
                start: self.at + start,
                end: self.at + end,
            });
            self.is_evidence |= is_evidence;
        }
        self.at += end;
    }

    /// Reads a word of this length, and what belongs to it beyond its end.
    fn word(&mut self, rest: &[u8], length: usize) {
        let text = rest.get(..length).unwrap_or_default();
        if let Some(part) = temporary::find(rest) {
            let is_evidence = has_digit(rest.get(part.start..part.end));
            self.push(Some(part.class), part.start, part.end, is_evidence);
        } else if let Some((start, end)) = uuid(rest) {
            self.push(Some(Class::Uuid), start, end, true);
        } else if let Some((class, end)) = time_or_version(rest) {
            self.push(Some(class), 0, end, true);
        } else if let Some(end) = text.strip_prefix(b"v").and_then(|_| version(rest.get(1..)?, 2)) {
            self.push(Some(Class::Version), 1, 1 + end, true);
        } else if self.pod(rest, length) {
        } else if all_digits(text) {
            self.digits(0, length);
        } else if has_hash_length(text) && is_hex(text) {
            self.push(Class::hex(length), 0, length, has_digit(Some(text)));
        } else if is_random(text) {
            self.push(Class::random(length), 0, length, true);
        } else {
            self.runs(text);
        }
    }

    /// Reads `HASH-SUFFIX` or `SUFFIX` of a pod's name. Pods' logs have `_NAMESPACE` behind it.
    fn pod(&mut self, rest: &[u8], length: usize) -> bool {
        if self.at.checked_sub(1).and_then(|before| self.name.get(before)) != Some(&b'-') {
            return false;
        }
        let ends = |end: usize| matches!(rest.get(end), None | Some(b'_' | b'.'));
        let hash = rest.get(..length).filter(|hash| Class::PodHash.accepts(hash));
        let suffix = |start: usize| {
            rest.get(start..start + 5)
                .is_some_and(|suffix| Class::PodSuffix.accepts(suffix))
        };
        let is_mixed = |text: &[u8]| has_digit(Some(text)) && !all_digits(text);
        if let Some(hash) = hash.filter(|hash| !all_digits(hash))
            && rest.get(length) == Some(&b'-')
            && suffix(length + 1)
            && ends(length + 6)
        {
            self.push(Some(Class::PodHash), 0, length, is_mixed(hash));
            self.push(Some(Class::PodSuffix), 1, 6, false);
            return true;
        }
        let text = rest
            .get(..length)
            .filter(|text| length == 5 && all_safe(text) && !all_digits(text) && ends(5));
        if let Some(text) = text {
            self.push(Some(Class::PodSuffix), 0, 5, is_mixed(text));
        }
        text.is_some()
    }

    /// Reads digits, which are all of a word or a run of it.
    fn digits(&mut self, start: usize, end: usize) {
        let class = match end - start {
            // Padded hashes and sequence numbers (systemd's journals: 16, PostgreSQL's log: 24) that happen to have no letter.
            digits @ (16 | 24 | 32..) => Class::hex(digits),
            _ => Some(Class::Number),
        };
        self.push(class, start, end, true);
    }

    /// Reads the numbers in a word that has letters, too: `temp123`, `16x16`, `d20240131`.
    fn runs(&mut self, text: &[u8]) {
        let start = self.at;
        let runs = text.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit());
        let has_few = runs.clone().count() <= 3;
        for run in runs {
            let is_number = has_few && all_digits(run) && run.len() < 32;
            if is_number && time::date(run) == Some(run.len()) {
                self.push(Some(Class::Date), 0, run.len(), true);
            } else if is_number {
                self.digits(0, run.len());
            } else {
                self.at += run.len();
            }
        }
        self.at = start + text.len();
    }
}

/// A directory of a cache that spreads its files over 256 of them.
fn is_shard(name: &[u8]) -> bool {
    let is_lower_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    name.len() == 2 && name.iter().all(is_lower_hex) && !all_digits(name)
}

fn has_digit(text: Option<&[u8]>) -> bool {
    text.is_some_and(|text| text.iter().any(u8::is_ascii_digit))
}

/// Where the UUID is that a text begins with, `pod` before it or not (as in the cgroups of pods).
fn uuid(text: &[u8]) -> Option<(usize, usize)> {
    let start = if text.starts_with(b"pod") { 3 } else { 0 };
    let is_end = text.get(start + 36).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    (is_end && is_uuid(text.get(start..start + 36)?)).then_some((start, start + 36))
}

fn time_or_version(text: &[u8]) -> Option<(Class, usize)> {
    let ends = |end: &usize| text.get(*end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let timestamp = || Some((Class::Timestamp, time::timestamp(text).filter(ends)?));
    let date = || Some((Class::Date, time::date(text).filter(ends)?));
    let version = || Some((Class::Version, version(text, 3)?));
    timestamp().or_else(date).or_else(version)
}

/// How long the version is that a text begins with, if it has so many numbers at least.
fn version(text: &[u8], least: usize) -> Option<usize> {
    let is_part = |byte: &&u8| byte.is_ascii_digit() || **byte == b'.';
    let dotted = text.get(..text.iter().take_while(is_part).count())?;
    // The dot before an extension.
    let dotted = dotted.strip_suffix(b".").unwrap_or(dotted);
    let is_end = text.get(dotted.len()).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let parts = dotted.split(|byte| *byte == b'.').count();
    (is_end && parts >= least && Class::Version.accepts(dotted)).then_some(dotted.len())
}

/// Whether a word is as long as hashes are: with digits from Git's seven characters on, and without (which may be a word)
/// eight, twelve, or more than any word has.
fn has_hash_length(word: &[u8]) -> bool {
    if has_digit(Some(word)) {
        word.len() >= 7
    } else {
        matches!(word.len(), 8 | 12 | 16..)
    }
}

/// Whether a word is none that people write: letters and digits change places more than twice.
fn is_random(word: &[u8]) -> bool {
    let runs = word.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()).count();
    let digits = word.iter().filter(|byte| byte.is_ascii_digit()).count();
    word.len() >= 6 && (runs > 3 || word.len() >= 16 && runs > 2 && digits > 1)
}
