//! Behaviours as bytes: each has exactly one encoding and each encoding one behaviour, so that equal bytes mean the same
//! behaviour and the database can tell by itself which ones it holds.
//!
//! ```text
//! behaviour = 1 subject binary [script]                 exec whose arguments were not recorded
//!           | 2 subject path access:u8 [backing]        open, access as in `Access::bits`
//!           | 3 subject address port:u16be protocol:u8  connect
//!           | 4 subject path                            connect_unix
//!           | 5 subject address port:u16be protocol:u8  send
//!           | 6 subject address port:u16be protocol:u8  listen
//!           | 7 subject binary cause:u8 user:u32be capabilities:u64be  raise
//!           | 8 subject binary [script] arguments       exec whose arguments were recorded
//! subject, binary, script, path, backing = origin:u8 length:u32be bytes
//! [x]       = 0 | 1 x
//! address   = 4 four bytes | 6 sixteen bytes, network order
//! arguments = cut:u8 length:u16be bytes, as in `Arguments::new`
//! origin    = see `origin_code`
//! cause     = see `cause_code`
//! ```
//!
//! Schema version 1 knows 1 to 3, and no access beyond 7. The origin 7 came with version 3.

use std::net::IpAddr;

use crate::behaviour::{Access, Action, Arguments, Behaviour, Capabilities, Protocol, RaiseCause};
use crate::path::{FilePath, Origin};

const EXEC: u8 = 1;
const OPEN: u8 = 2;
const CONNECT: u8 = 3;
const CONNECT_UNIX: u8 = 4;
const SEND: u8 = 5;
const LISTEN: u8 = 6;
const RAISE: u8 = 7;
const EXEC_WITH_ARGUMENTS: u8 = 8;

/// The bytes of a behaviour.
pub(super) fn encode(behaviour: &Behaviour) -> Vec<u8> {
    let Behaviour { subject, action } = behaviour;
    let mut bytes = Vec::with_capacity(128);
    bytes.push(tag(action));
    push_path(&mut bytes, subject);
    match action {
        Action::Exec {
            binary,
            script,
            arguments,
        } => {
            push_path(&mut bytes, binary);
            push_optional(&mut bytes, script.as_ref());
            if let Some(arguments) = arguments {
                push_arguments(&mut bytes, arguments);
            }
        }
        Action::Open { path, access, backing } => {
            push_path(&mut bytes, path);
            bytes.push(access.bits());
            push_optional(&mut bytes, backing.as_ref());
        }
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
            push_address(&mut bytes, *address);
            bytes.extend(port.to_be_bytes());
            bytes.push(protocol.number());
        }
        Action::ConnectUnix { path } => push_path(&mut bytes, path),
        Action::Raise {
            binary,
            cause,
            user,
            capabilities,
        } => {
            push_path(&mut bytes, binary);
            bytes.push(cause_code(*cause));
            bytes.extend(user.to_be_bytes());
            bytes.extend(capabilities.0.to_be_bytes());
        }
    }
    bytes
}

/// Recordings hold these codes: they never change.
const fn tag(action: &Action) -> u8 {
    match action {
        Action::Exec { arguments: None, .. } => EXEC,
        Action::Open { .. } => OPEN,
        Action::Connect { .. } => CONNECT,
        Action::ConnectUnix { .. } => CONNECT_UNIX,
        Action::Send { .. } => SEND,
        Action::Listen { .. } => LISTEN,
        Action::Raise { .. } => RAISE,
        Action::Exec { arguments: Some(_), .. } => EXEC_WITH_ARGUMENTS,
    }
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
        Origin::Redacted => 7,
        Origin::Anonymous => 8,
    }
}

/// Recordings hold these codes: they never change.
const fn cause_code(cause: RaiseCause) -> u8 {
    match cause {
        RaiseCause::Execution => 0,
        RaiseCause::UserNamespace => 1,
    }
}

fn push_address(bytes: &mut Vec<u8>, address: IpAddr) {
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
}

fn push_arguments(bytes: &mut Vec<u8>, arguments: &Arguments) {
    bytes.push(u8::from(arguments.is_cut()));
    // They are never longer than `Arguments::BYTES_MAX`.
    let length = u16::try_from(arguments.as_bytes().len()).unwrap_or(u16::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(arguments.as_bytes());
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
        EXEC | EXEC_WITH_ARGUMENTS => Action::Exec {
            binary: reader.path()?,
            script: reader.optional_path()?,
            arguments: if kind == EXEC { None } else { Some(reader.arguments()?) },
        },
        OPEN => Action::Open {
            path: reader.path()?,
            access: Access::from_bits(reader.byte()?)?,
            backing: reader.optional_path()?,
        },
        CONNECT | SEND | LISTEN => {
            let address = reader.address()?;
            let port = u16::from_be_bytes(reader.array()?);
            let protocol = Protocol::from_number(reader.byte()?);
            match kind {
                CONNECT => Action::Connect {
                    address,
                    port,
                    protocol,
                },
                SEND => Action::Send {
                    address,
                    port,
                    protocol,
                },
                _ => Action::Listen {
                    address,
                    port,
                    protocol,
                },
            }
        }
        CONNECT_UNIX => Action::ConnectUnix { path: reader.path()? },
        RAISE => Action::Raise {
            binary: reader.path()?,
            cause: reader.cause()?,
            user: u32::from_be_bytes(reader.array()?),
            capabilities: Capabilities(u64::from_be_bytes(reader.array()?)),
        },
        _ => return None,
    };
    reader.rest.is_empty().then_some(Behaviour { subject, action })
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*array)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(bytes)
    }

    fn path(&mut self) -> Option<FilePath> {
        let code = self.byte()?;
        let origin = Origin::ALL.into_iter().find(|origin| origin_code(*origin) == code)?;
        let length = usize::try_from(u32::from_be_bytes(self.array()?)).ok()?;
        Some(FilePath::new(self.bytes(length)?, origin))
    }

    fn address(&mut self) -> Option<IpAddr> {
        match self.byte()? {
            4 => self.array::<4>().map(IpAddr::from),
            6 => self.array::<16>().map(IpAddr::from),
            _ => None,
        }
    }

    fn cause(&mut self) -> Option<RaiseCause> {
        let code = self.byte()?;
        let mut causes = [RaiseCause::Execution, RaiseCause::UserNamespace].into_iter();
        causes.find(|cause| cause_code(*cause) == code)
    }

    fn arguments(&mut self) -> Option<Arguments> {
        let is_cut = match self.byte()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let bytes = self.bytes(length)?;
        let arguments = Arguments::new(bytes, is_cut);
        // What had to be changed was never written: it would be a second encoding.
        (arguments.as_bytes() == bytes && arguments.is_cut() == is_cut).then_some(arguments)
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
        let (a, b) = (path(b"/a", Origin::Deleted), path(b"b", Origin::Canonical));
        let (a_bytes, b_bytes) = (&[1, 0, 0, 0, 2, b'/', b'a'][..], &[0, 0, 0, 0, 1, b'b'][..]);
        let (address, port, protocol) = (IpAddr::from([127, 0, 0, 1]), 258, Protocol::Udp);
        let peer = &[4, 127, 0, 0, 1, 1, 2, 17][..];
        let exec = |script, arguments| Action::Exec {
            binary: b.clone(),
            script,
            arguments,
        };
        let open = |access, backing| Action::Open {
            path: b.clone(),
            access,
            backing,
        };
        let raise = |cause| Action::Raise {
            binary: b.clone(),
            cause,
            user: 258,
            capabilities: Capabilities(1 << 40 | 2),
        };
        let raised = &[0, 0, 1, 2, 0, 0, 1, 0, 0, 0, 0, 2][..];
        let cases: [(Action, u8, &[&[u8]]); 12] = [
            (exec(None, None), 1, &[b_bytes, &[0]]),
            (exec(Some(b.clone()), None), 1, &[b_bytes, &[1], b_bytes]),
            (open(Access::READ, None), 2, &[b_bytes, &[1, 0]]),
            (open(Access::MAP, Some(b.clone())), 2, &[b_bytes, &[8, 1], b_bytes]),
            (
                Action::Connect {
                    address,
                    port,
                    protocol,
                },
                3,
                &[peer],
            ),
            (Action::ConnectUnix { path: b.clone() }, 4, &[b_bytes]),
            (
                Action::Send {
                    address,
                    port,
                    protocol,
                },
                5,
                &[peer],
            ),
            (
                Action::Listen {
                    address,
                    port,
                    protocol,
                },
                6,
                &[peer],
            ),
            (raise(RaiseCause::Execution), 7, &[b_bytes, &[0], raised]),
            (raise(RaiseCause::UserNamespace), 7, &[b_bytes, &[1], raised]),
            (
                exec(None, Some(Arguments::new(b"x\0", false))),
                8,
                &[b_bytes, &[0, 0, 0, 2, b'x', 0]],
            ),
            (
                exec(None, Some(Arguments::new(b"x", true))),
                8,
                &[b_bytes, &[0, 1, 0, 1, b'x']],
            ),
        ];
        for (action, tag, rest) in cases {
            let subject = a.clone();
            let encoded = [&[tag], a_bytes, &rest.concat()].concat();
            assert_eq!(encode(&Behaviour { subject, action }), encoded);
        }
        assert_eq!(Origin::ALL.map(origin_code), [0, 1, 2, 8, 3, 4, 5, 6, 7]);
    }
}
