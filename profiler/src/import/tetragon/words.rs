//! Tetragon's words in ours: paths, accesses, addresses, protocols, arguments.

use std::net::IpAddr;

use baselines::behaviour::{Access, Arguments, Protocol};
use baselines::path::{FilePath, Origin, PATH_BYTES_MAX};

use super::arguments::{Address, Socket};
use super::event::Process;

/// `FMODE_READ`, `FMODE_WRITE`, `FMODE_CREATED` and `FMODE_NOACCOUNT` (include/linux/fs.h; unchanged from 5.10 to 6.18).
const FMODE_READ: u32 = 0x1;
const FMODE_WRITE: u32 = 0x2;
const FMODE_CREATED: u32 = 0x10_0000;
const FMODE_NOACCOUNT: u32 = 0x2000_0000;

/// A path that the kernel walked, and whether it is whole. None where the export does not show its bytes, or there are none.
pub fn path(text: &str, flags: &str) -> Option<(FilePath, bool)> {
    // The agent replaces what is no UTF-8 (strutils.UTF8FromBPFBytes).
    if text.is_empty() || text.len() > PATH_BYTES_MAX + " (deleted)".len() || text.contains(char::REPLACEMENT_CHARACTER)
    {
        return None;
    }
    let is_whole = !flags.contains("unresolvedPathComponents");
    let origin = if !is_whole {
        Origin::Cut
    } else if text.ends_with(" (deleted)") {
        Origin::Deleted
    } else if text.starts_with('/') {
        Origin::Canonical
    } else {
        Origin::Unreachable
    };
    Some((FilePath::new(text.as_bytes(), origin), is_whole))
}

/// A name that nobody resolved, cut to what Linux allows.
pub fn as_called(text: &str) -> FilePath {
    if text.is_empty() {
        return unknown();
    }
    let end = text.floor_char_boundary(PATH_BYTES_MAX);
    FilePath::new(text.as_bytes().get(..end).unwrap_or_default(), Origin::AsCalled)
}

/// A file that nothing is known of.
pub fn unknown() -> FilePath {
    FilePath::new(*b"", Origin::Unknown)
}

/// Whether no policy can use this path, because it is not what the kernel compares.
pub fn is_unresolved(path: &FilePath) -> bool {
    matches!(path.origin(), Origin::AsCalled | Origin::Cut | Origin::Unknown)
}

/// How a file with this `f_mode` was opened.
pub fn access_in(mode: u32) -> Access {
    [
        (FMODE_READ, Access::READ),
        (FMODE_WRITE, Access::WRITE),
        (FMODE_CREATED, Access::CREATE),
    ]
    .into_iter()
    .filter(|(bit, _)| mode & bit != 0)
    .fold(Access::default(), |access, (_, right)| access | right)
}

/// An IP address as the program passed it. Agents up to 1.6 print an IPv4 address inside of an IPv6 one like the former.
pub fn address(address: &Address<'_>) -> Option<(IpAddr, u16)> {
    let ip: IpAddr = address.addr.parse().ok()?;
    let ip = match (&*address.family, ip) {
        ("AF_INET6", IpAddr::V4(inner)) => inner.to_ipv6_mapped().into(),
        ("AF_INET" | "AF_INET6", ip) => ip,
        _ => return None,
    };
    Some((ip, u16::try_from(address.port).ok()?))
}

/// The names of pkg/reader/network/inet.go; a number where it has none.
pub fn protocol(socket: Option<&Socket<'_>>) -> Option<Protocol> {
    let number = match socket?.protocol.as_ref() {
        // MPTCP is TCP on the wire.
        "IPPROTO_TCP" | "IPPROTO_MPTCP" => 6,
        "IPPROTO_UDP" => 17,
        "IPPROTO_ICMP" => 1,
        "IPPROTO_DCCP" => 33,
        "IPPROTO_SCTP" => 132,
        "IPPROTO_UDPLITE" => 136,
        "IPPROTO_RAW" => 255,
        other => other.parse().ok()?,
    };
    Some(Protocol::from_number(number))
}

/// The agent writes arguments separated by blanks, those with a blank in quotes (pkg/process/args.go), and without the
/// program's name: what it was called as takes its place.
pub fn arguments(process: &Process<'_>) -> Arguments {
    let mut bytes = process.binary.as_bytes().to_vec();
    let mut rest = process.arguments.trim_start_matches(' ');
    while !rest.is_empty() && bytes.len() <= Arguments::BYTES_MAX {
        bytes.push(0);
        let (argument, after) = match rest.strip_prefix('"').and_then(|quoted| quoted.split_once('"')) {
            Some(split) => split,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        bytes.extend_from_slice(argument.as_bytes());
        rest = after.trim_start_matches(' ');
    }
    let is_cut = ["truncArgs", "errorArgs"].iter().any(|flag| process.has_flag(flag));
    if !is_cut {
        bytes.push(0);
    }
    Arguments::new(&bytes, is_cut)
}

/// Whether this is a file that an overlay opens in one of its layers, by its `f_mode`.
pub fn is_in_layer(mode: u32) -> bool {
    mode & FMODE_NOACCOUNT != 0
}
