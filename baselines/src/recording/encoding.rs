//! Behaviours as bytes: each has exactly one encoding and each encoding one behaviour, so that equal bytes mean the same
//! behaviour and the database can tell by itself which ones it holds.
//!
//! ```text
//! behaviour = 1 subject binary [script]                 exec
//!           | 2 subject path access [backing]           open, access as in `Access::bits`
//!           | 3 subject address port:u16be protocol:u8  connect
//! subject, binary, script, path, backing = origin:u8 length:u32be bytes
//! [x]       = 0 | 1 x
//! address   = 4 four bytes | 6 sixteen bytes, network order
//! origin    = see `origin_code`
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::behaviour::{Access, Action, Behaviour, Protocol};
use crate::path::{FilePath, Origin};

const EXEC: u8 = 1;
const OPEN: u8 = 2;
const CONNECT: u8 = 3;

/// The bytes of a behaviour.
pub(super) fn encode(behaviour: &Behaviour) -> Vec<u8> {
    let Behaviour { subject, action } = behaviour;
    let mut bytes = Vec::with_capacity(128);
    match action {
        Action::Exec { binary, script } => {
            bytes.push(EXEC);
            push_path(&mut bytes, subject);
            push_path(&mut bytes, binary);
            push_optional(&mut bytes, script.as_ref());
        }
        Action::Open { path, access, backing } => {
            bytes.push(OPEN);
            push_path(&mut bytes, subject);
            push_path(&mut bytes, path);
            bytes.push(access.bits());
            push_optional(&mut bytes, backing.as_ref());
        }
        Action::Connect {
            address,
            port,
            protocol,
        } => {
            bytes.push(CONNECT);
            push_path(&mut bytes, subject);
            match address {
                IpAddr::V4(address) => {
                    bytes.push(4);
                    bytes.extend(address.octets());
                }
                IpAddr::V6(address) => {
                    bytes.push(6);
                    bytes.extend(address.octets());
                }
            }
            bytes.extend(port.to_be_bytes());
            bytes.push(protocol.number());
        }
    }
    bytes
}

fn push_path(bytes: &mut Vec<u8>, path: &FilePath) {
    bytes.push(origin_code(path.origin()));
    // SQLite refuses more than 10^9 bytes, so that a path which is cut short here is never stored.
    let length = u32::try_from(path.as_bytes().len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(path.as_bytes());
}

/// Recordings hold these codes: they never change.
const fn origin_code(origin: Origin) -> u8 {
    match origin {
        Origin::Canonical => 0,
        Origin::Deleted => 1,
        Origin::Memfd => 2,
        Origin::Unreachable => 3,
        Origin::AsCalled => 4,
        Origin::Cut => 5,
        Origin::Unknown => 6,
    }
}

fn push_optional(bytes: &mut Vec<u8>, path: Option<&FilePath>) {
    bytes.push(u8::from(path.is_some()));
    if let Some(path) = path {
        push_path(bytes, path);
    }
}

/// The inverse of [`encode`]; `None` for bytes that it never writes.
pub(super) fn decode(bytes: &[u8]) -> Option<Behaviour> {
    let mut reader = Reader { rest: bytes };
    let kind = reader.byte()?;
    let subject = reader.path()?;
    let action = match kind {
        EXEC => Action::Exec {
            binary: reader.path()?,
            script: reader.optional_path()?,
        },
        OPEN => Action::Open {
            path: reader.path()?,
            access: Access::from_bits(reader.byte()?)?,
            backing: reader.optional_path()?,
        },
        CONNECT => Action::Connect {
            address: match reader.byte()? {
                4 => Ipv4Addr::from(reader.array()?).into(),
                6 => Ipv6Addr::from(reader.array::<16>()?).into(),
                _ => return None,
            },
            port: u16::from_be_bytes(reader.array()?),
            protocol: Protocol::from_number(reader.byte()?),
        },
        _ => return None,
    };
    reader.rest.is_empty().then_some(Behaviour { subject, action })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn path(&mut self) -> Option<FilePath> {
        let code = self.byte()?;
        let origin = Origin::ALL.into_iter().find(|origin| origin_code(*origin) == code)?;
        let length = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(FilePath::new(bytes, origin))
    }

    #[expect(clippy::option_option, reason = "whether it could be read, and whether there is one")]
    fn optional_path(&mut self) -> Option<Option<FilePath>> {
        match self.byte()? {
            0 => Some(None),
            1 => self.path().map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::behaviours;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_behaviour_survives(behaviour in behaviours()) {
            prop_assert_eq!(decode(&encode(&behaviour)), Some(behaviour));
        }

        #[test]
        fn what_is_read_has_no_other_encoding(behaviour in behaviours(), at in any::<prop::sample::Index>(), byte: u8) {
            let mut bytes = encode(&behaviour);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Some(decoded) = decode(&bytes) {
                prop_assert_eq!(encode(&decoded), bytes);
            }
        }

        #[test]
        fn a_part_or_more_than_an_encoding_is_none(behaviour in behaviours(), cut in any::<prop::sample::Index>()) {
            let mut bytes = encode(&behaviour);
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())]), None);
            bytes.push(0);
            prop_assert_eq!(decode(&bytes), None);
        }
    }

    #[test]
    fn the_codes_in_recordings_stay_as_they_are() {
        let path = |bytes: &[u8], origin| FilePath::new(bytes, origin);
        let behaviour = Behaviour {
            subject: path(b"/a", Origin::Deleted),
            action: Action::Connect {
                address: Ipv4Addr::LOCALHOST.into(),
                port: 258,
                protocol: Protocol::Udp,
            },
        };
        assert_eq!(
            encode(&behaviour),
            [3, 1, 0, 0, 0, 2, b'/', b'a', 4, 127, 0, 0, 1, 1, 2, 17]
        );
        assert_eq!(Origin::ALL.map(origin_code), [0, 1, 2, 3, 4, 5, 6]);
    }
}
