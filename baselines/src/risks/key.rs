//! Names for findings that stay the same from one baseline to the next.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::entry::Grouping;
use super::values::{EntryId, ValueError};
use crate::behaviour::{Action, Behaviour};
use crate::path::FilePath;

/// How many bytes of the hash are in a key: nobody finds a second behaviour for one. What [`Hasher::finish`] makes a number
/// of.
const HASH_BYTES: usize = 16;

/// A finding's name: the entry's, and a hash of what its decision is about. It has nothing of the image in it, so that a
/// decision holds for the next version, too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingKey {
    entry: EntryId,
    hash: String,
}

impl FindingKey {
    /// The entry's id.
    pub fn entry(&self) -> &EntryId {
        &self.entry
    }

    /// The key of these behaviours, which are sorted.
    pub(super) fn new(entry: &EntryId, grouping: Grouping, behaviours: &[&Behaviour]) -> Self {
        let mut hasher = Hasher(Sha256::new());
        hasher.bytes(entry.as_str().as_bytes());
        match (grouping, behaviours) {
            (Grouping::Subject, [behaviour, ..]) => {
                hasher.bytes(b"subject");
                hasher.path(&behaviour.subject);
            }
            (grouping, behaviours) => {
                hasher.bytes(if grouping == Grouping::Together {
                    b"together"
                } else {
                    b"behaviour"
                });
                let mut cores: Vec<Behaviour> = behaviours.iter().map(|behaviour| core(behaviour)).collect();
                cores.sort_unstable();
                cores.dedup();
                for behaviour in &cores {
                    hasher.behaviour(behaviour);
                }
            }
        }
        Self {
            entry: entry.clone(),
            hash: hasher.finish(),
        }
    }
}

/// The part of a behaviour that a policy can hold and a decision is about: no arguments, and no second path of the same file.
pub(crate) fn core(behaviour: &Behaviour) -> Behaviour {
    let mut core = behaviour.clone();
    match &mut core.action {
        Action::Exec { arguments, .. } => *arguments = None,
        Action::Open { backing, .. } => *backing = None,
        _ => {}
    }
    core
}

/// Length before content, so that no two values give the same bytes.
struct Hasher(Sha256);

impl Hasher {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    fn path(&mut self, path: &FilePath) {
        self.bytes(path.origin().word().as_bytes());
        self.bytes(path.as_bytes());
    }

    fn behaviour(&mut self, Behaviour { subject, action }: &Behaviour) {
        self.bytes(action.kind().as_bytes());
        self.path(subject);
        match action {
            Action::Exec { binary, script, .. } => {
                self.path(binary);
                self.bytes(&[u8::from(script.is_some())]);
                if let Some(script) = script {
                    self.path(script);
                }
            }
            Action::Open { path, access, .. } => {
                self.path(path);
                self.bytes(access.to_string().as_bytes());
            }
            Action::ConnectUnix { path } => self.path(path),
            Action::Connect {
                address,
                port,
                protocol,
            }
            | Action::Send {
                address,
                port,
                protocol,
            }
            | Action::Listen {
                address,
                port,
                protocol,
            } => {
                self.bytes(address.to_string().as_bytes());
                self.bytes(&port.to_be_bytes());
                self.bytes(&[protocol.number()]);
            }
            Action::Raise {
                binary,
                cause,
                user,
                capabilities,
            } => {
                self.path(binary);
                self.bytes(&[*cause as u8]);
                self.bytes(&user.to_be_bytes());
                self.bytes(&capabilities.0.to_be_bytes());
            }
        }
    }

    fn finish(self) -> String {
        let digest = self.0.finalize();
        let bytes = digest.iter().take(HASH_BYTES);
        let number = bytes.fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
        format!("{number:032x}")
    }
}

impl fmt::Display for FindingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&format!("{}/{}", self.entry, self.hash))
    }
}

impl FromStr for FindingKey {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || ValueError("this is no finding's key: copy it from the list of findings".to_owned());
        let (entry, hash) = text.split_once('/').ok_or_else(error)?;
        let is_hash = hash.len() == 2 * HASH_BYTES && hash.bytes().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash {
            return Err(error());
        }
        Ok(Self {
            entry: entry.parse()?,
            hash: hash.to_owned(),
        })
    }
}

crate::serde_text::as_text!(FindingKey);
