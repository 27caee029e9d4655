//! What a run of bytes in a name can be, other than itself.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use super::time;

/// The most digits of a [`Class::Number`]: what is longer is a hash.
const DIGITS_MAX: usize = 32;

/// The highest process id that Linux gives out: `PID_MAX_LIMIT` in `include/linux/threads.h`.
const PID_MAX: u32 = 4_194_304;

/// A kind of text that differs from one run of a program to the next. No class stands for `/`, or for nothing.
///
/// In the text of a template it is written in braces: `{number}`, `{hex:40}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// `{number}`: from 1 to 32 decimal digits.
    Number,
    /// `{pid}`: the id of a process or thread, from 1 to 4194304. Only below `/proc`.
    Pid,
    /// `{version}`: from two to six numbers with dots between them.
    Version,
    /// `{date}`: year, month and day.
    Date,
    /// `{timestamp}`: a date and a time of the day.
    Timestamp,
    /// `{uuid}`: 8-4-4-4-12 hexadecimal digits, with `-` or (as systemd writes pods' ids) with `_` between them.
    Uuid,
    /// `{hex:N}`: exactly N hexadecimal digits, not in mixed case: hashes, container ids (64), machine ids (32).
    Hex(NonZeroU8),
    /// `{pod-hash}`: what a Deployment appends to the names of its ReplicaSets: the digits of a 32-bit number in Kubernetes'
    /// safe alphabet (`ComputeHash` in `pkg/controller/controller_utils.go`).
    PodHash,
    /// `{pod-suffix}`: the five characters of that alphabet that make the name of a pod unique (`SimpleNameGenerator` in
    /// `k8s.io/apiserver/pkg/storage/names/generate.go`).
    PodSuffix,
    /// `{random:N}`: exactly N characters of `[A-Za-z0-9_]`, as `mkstemp(3)` and its kin choose them.
    Random(NonZeroU8),
}

/// How many different names a class needs before siblings fold; see [`super::Options`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strength {
    Pids,
    Unique,
    Numbers,
}

impl Class {
    /// So many hexadecimal digits. `None` for none, and for more than a name has.
    pub(super) fn hex(digits: usize) -> Option<Self> {
        Some(Self::Hex(NonZeroU8::new(u8::try_from(digits).ok()?)?))
    }

    /// So many random characters. `None` for none, and for more than a name has.
    pub(super) fn random(characters: usize) -> Option<Self> {
        Some(Self::Random(NonZeroU8::new(u8::try_from(characters).ok()?)?))
    }

    /// Whether it stands for this text, as a whole.
    pub fn accepts(self, text: &[u8]) -> bool {
        match self {
            Self::Number => (1..=DIGITS_MAX).contains(&text.len()) && all_digits(text),
            Self::Pid => is_pid(text),
            Self::Version => is_version(text),
            Self::Date => time::date(text) == Some(text.len()),
            Self::Timestamp => time::timestamp(text) == Some(text.len()),
            Self::Uuid => is_uuid(text),
            Self::Hex(digits) => text.len() == usize::from(digits.get()) && is_hex(text),
            Self::PodHash => (6..=10).contains(&text.len()) && all_safe(text),
            Self::PodSuffix => text.len() == 5 && all_safe(text),
            Self::Random(characters) => {
                text.len() == usize::from(characters.get()) && text.iter().copied().all(is_random)
            }
        }
    }

    /// The lengths of the beginnings of `text` that it stands for, ascending.
    pub(super) fn lengths(self, text: &[u8]) -> impl Iterator<Item = usize> {
        let (least, most) = self.bounds();
        (least..=most.min(text.len())).filter(move |length| text.get(..*length).is_some_and(|text| self.accepts(text)))
    }

    /// The lengths of the shortest and the longest text that it stands for, in bytes.
    pub(super) fn bounds(self) -> (usize, usize) {
        match self {
            Self::Number => (1, DIGITS_MAX),
            Self::Pid => (1, 7),
            Self::Version => (3, 59),
            Self::Date => (8, 10),
            Self::Timestamp => (12, time::TIMESTAMP_MAX),
            Self::Uuid => (36, 36),
            Self::Hex(length) | Self::Random(length) => (length.get().into(), length.get().into()),
            Self::PodHash => (6, 10),
            Self::PodSuffix => (5, 5),
        }
    }

    /// Whether it is known to stand for everything that `other` stands for.
    pub fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Number, Self::Pid) => true,
            (Self::Random(_), Self::PodSuffix | Self::Hex(_)) => self.bounds() == other.bounds(),
            _ => self == other,
        }
    }

    /// Whether a text that it stands for can end with this.
    pub(super) fn can_end_with(self, end: &[u8]) -> bool {
        let (least, most) = self.bounds();
        let is_in_alphabet = match self {
            Self::Number | Self::Pid => all_digits(end),
            Self::Version => end.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.'),
            Self::Date | Self::Timestamp => end
                .iter()
                .all(|byte| byte.is_ascii_digit() || b"-_.:,TtZ+ ".contains(byte)),
            Self::Uuid => end.iter().all(|byte| byte.is_ascii_hexdigit() || b"-_".contains(byte)),
            Self::Hex(_) => is_hex(end),
            Self::PodHash | Self::PodSuffix => all_safe(end),
            Self::Random(_) => end.iter().copied().all(is_random),
        };
        is_in_alphabet && end.len() <= most && (end.len() < least || least < most || self.accepts(end))
    }

    /// Two bytes that stand for it.
    pub(super) fn code(self) -> [u8; 2] {
        match self {
            Self::Number => [1, 0],
            Self::Pid => [2, 0],
            Self::Version => [3, 0],
            Self::Date => [4, 0],
            Self::Timestamp => [5, 0],
            Self::Uuid => [6, 0],
            Self::Hex(digits) => [7, digits.get()],
            Self::PodHash => [8, 0],
            Self::PodSuffix => [9, 0],
            Self::Random(characters) => [10, characters.get()],
        }
    }

    /// How much evidence it needs. Hashes, dates and names of pods are made to be unique: who sees three of them has seen
    /// what makes them. Numbers are also names (`ext4`, `Root_CA_2`), and a short or random word may be one.
    pub(super) fn strength(self) -> Strength {
        match self {
            Self::Pid => Strength::Pids,
            Self::Number | Self::Version | Self::Random(_) => Strength::Numbers,
            Self::Hex(digits) if digits.get() < 7 => Strength::Numbers,
            Self::Date | Self::Timestamp | Self::Uuid | Self::Hex(_) | Self::PodHash | Self::PodSuffix => {
                Strength::Unique
            }
        }
    }
}

/// As in templates, without the braces.
impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Number => "number",
            Self::Pid => "pid",
            Self::Version => "version",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Uuid => "uuid",
            Self::PodHash => "pod-hash",
            Self::PodSuffix => "pod-suffix",
            Self::Hex(digits) => return write!(formatter, "hex:{digits}"),
            Self::Random(characters) => return write!(formatter, "random:{characters}"),
        })
    }
}

impl FromStr for Class {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        // As `Display` writes it and not otherwise: `007` and `+7` are no lengths.
        let length = |text: &str| {
            text.parse::<NonZeroU8>()
                .ok()
                .filter(|length| length.to_string() == text)
        };
        match text {
            "number" => Ok(Self::Number),
            "pid" => Ok(Self::Pid),
            "version" => Ok(Self::Version),
            "date" => Ok(Self::Date),
            "timestamp" => Ok(Self::Timestamp),
            "uuid" => Ok(Self::Uuid),
            "pod-hash" => Ok(Self::PodHash),
            "pod-suffix" => Ok(Self::PodSuffix),
            _ => match text.split_once(':') {
                Some(("hex", digits)) => length(digits).map(Self::Hex).ok_or(()),
                Some(("random", characters)) => length(characters).map(Self::Random).ok_or(()),
                _ => Err(()),
            },
        }
    }
}

pub(super) fn all_digits(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

/// Hexadecimal digits, not in mixed case.
pub(super) fn is_hex(text: &[u8]) -> bool {
    let lower = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    let upper = |byte: &u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte);
    text.iter().all(lower) || text.iter().all(upper)
}

/// Kubernetes' safe alphabet, without vowels and what looks like them: `alphanums` in
/// `k8s.io/apimachinery/pkg/util/rand/rand.go`.
pub(super) fn all_safe(text: &[u8]) -> bool {
    text.iter().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(byte))
}

fn is_random(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

pub(super) fn is_pid(text: &[u8]) -> bool {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok());
    text.first().is_some_and(|first| (b'1'..=b'9').contains(first)) && number.is_some_and(|number| number <= PID_MAX)
}

fn is_version(text: &[u8]) -> bool {
    let parts = text.split(|byte| *byte == b'.');
    (2..=6).contains(&parts.clone().count())
        && parts
            .into_iter()
            .all(|part| (1..=9).contains(&part.len()) && all_digits(part))
}

pub(super) fn is_uuid(text: &[u8]) -> bool {
    let separator = match text.get(8) {
        Some(separator @ (b'-' | b'_')) if text.len() == 36 => *separator,
        _ => return false,
    };
    let lengths = text.split(|byte| *byte == separator).map(<[u8]>::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == separator)
}
