//! Sockets: who connects, sends and listens where.

use aya_ebpf::helpers::bpf_probe_read_user;
use profiler_common::{CgroupState, Offsets, Peer, PendingConnect, kind, loss, pod};

use crate::count::{add, lost_in, plain};
use crate::kernel::{Address, Path, S_IFMT, constant, current_cgroup, field, file_of, ids, now, read};
use crate::maps::{CONNECTS, OFFSETS};
use crate::opens::{count_path, key_for};
use crate::process::{ANY, in_recorded, recorded};

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `S_IFSOCK` (include/uapi/linux/stat.h).
const S_IFSOCK: u16 = 0o140_000;
/// `AF_SMC` (include/linux/socket.h): TCP, with a way past it.
const AF_SMC: u16 = 43;
/// `SOCK_RAW` (include/linux/net.h).
const SOCK_RAW: u16 = 3;
/// `IPPROTO_TCP` and `IPPROTO_MPTCP` (include/uapi/linux/in.h).
const TCP: u16 = 6;
const MPTCP: u16 = 262;
/// `MSG_FASTOPEN` (include/linux/socket.h): without it, TCP does not look at a message's address.
const MSG_FASTOPEN: u32 = 0x2000_0000;
/// `SOCK_BINDPORT_LOCK` (include/net/sock.h), in `sk_userlocks`: the program has chosen the port (`__inet_bind`,
/// net/ipv4/af_inet.c).
const SOCK_BINDPORT_LOCK: u8 = 8;
/// What a [`Peer`] never has: its address could not be read yet.
const UNREAD: u16 = u16::MAX;

/// How a `connect(2)` may end for it to be a behaviour: the network or the peer decided, not a check before it.
/// 0, EINTR, EAGAIN, EADDRNOTAVAIL, ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT, ECONNREFUSED, EHOSTDOWN,
/// EHOSTUNREACH, EINPROGRESS, and ERESTARTSYS (a signal came; the call is restarted, and the hook that a policy sits on
/// sees it again, too). EINVAL as well: an address that is too short was sorted out at entry, so it is the protocol's.
#[inline(always)]
fn was_attempted(result: i64) -> bool {
    matches!(
        result,
        0 | -4 | -11 | -22 | -99 | -100 | -101 | -103 | -104 | -110 | -111 | -112 | -113 | -115 | -512
    )
}

/// The same of a send, which returns how much it has sent.
#[inline(always)]
fn was_sent(result: i64) -> bool {
    result >= 0 || was_attempted(result)
}

/// Where an address or a message header is.
#[derive(Clone, Copy)]
pub enum Space {
    User,
    Kernel,
}

impl Space {
    #[inline(always)]
    fn read<T: Copy>(self, address: Address) -> Result<T, i32> {
        match self {
            // SAFETY: the helper checks the address.
            Self::User => unsafe { bpf_probe_read_user(address as *const T) },
            Self::Kernel => read(address),
        }
    }
}

/// The address and port of a `sockaddr`, or None for a family that is not recorded. Of a Unix socket only the family.
#[inline(always)]
fn peer_at(space: Space, sock: Address, address: Address, length: i32, sends: bool) -> Result<Option<Peer>, i32> {
    let mut peer: Peer = pod::zeroed();
    peer.family = space.read(address)?;
    let family = field!(sock, sock_family => u16)?;
    // Sends take no family for the socket's own (udp_sendmsg, net/ipv4/udp.c; rawv6_sendmsg, net/ipv6/raw.c; UDP over IPv6
    // takes it for no address); connect(2) takes it for disconnecting.
    if sends && peer.family == AF_UNSPEC && (family == AF_INET || family == AF_INET6 && is_raw(sock)?) {
        peer.family = family;
    }
    // Another socket does not look at such an address.
    if peer.family != AF_UNIX && !matches!(family, AF_INET | AF_INET6 | AF_SMC) {
        return Ok(None);
    }
    match peer.family {
        AF_INET if length >= 16 => set_ipv4(&mut peer, space.read(address + 4)?),
        // SIN6_LEN_RFC2133: the kernel accepts the structure without its scope id.
        AF_INET6 if length >= 24 => peer.address = space.read(address + 8)?,
        AF_UNIX => return Ok(Some(peer)),
        _ => return Ok(None),
    }
    peer.port = u16::from_be(space.read(address + 2)?);
    // One byte wide up to 5.5, two since.
    peer.protocol = field!(sock, sock_protocol => u16)?;
    Ok(Some(peer))
}

#[inline(always)]
fn set_ipv4(peer: &mut Peer, address: [u8; 4]) {
    (peer.address[0], peer.address[1], peer.address[2], peer.address[3]) = address.into();
}

#[inline(always)]
fn is_raw(sock: Address) -> Result<bool, i32> {
    Ok(field!(sock, sock_type => u16)? == SOCK_RAW)
}

/// The `struct sock` behind a descriptor.
#[inline(always)]
pub fn sock_of(descriptor: u64) -> Result<Address, i32> {
    let file = file_of(descriptor & 0xffff_ffff)?;
    let path = field!(file, file_path => Path)?;
    let inode = field!(path.dentry, dentry_inode => u64)?;
    if field!(inode, inode_mode => u16)? & S_IFMT != S_IFSOCK {
        return Err(-88);
    }
    let socket = field!(file, file_private_data => u64)?;
    field!(socket, socket_sk => u64)
}

/// Counts what is all in its key.
#[inline(always)]
fn count(state: *mut CgroupState, cgroup: u64, kind: u8, peer: Peer) {
    let now = now();
    let key = key_for(state, cgroup, kind, 0, pod::cast(peer), now);
    plain(state, &key, now);
}

/// Keeps the address that a program passes, as it is now: at the end of the call a service mesh or a load balancer may
/// have rewritten the socket's, and another thread the program's own.
#[inline(always)]
fn remember(state: *mut CgroupState, peer: Peer, descriptor: u64) {
    let pending = PendingConnect { peer, descriptor };
    if CONNECTS.insert(ids().1, pending, ANY).is_err() {
        lost_in(state, loss::CONNECT_TABLE_FULL);
    }
}

/// Before a system call that passes an address in user space.
#[inline(always)]
pub fn will_pass(descriptor: u64, address: Address, length: i32, sends: bool) {
    let Ok(cgroup) = current_cgroup() else { return };
    let Some(state) = recorded(cgroup) else { return };
    let peer = match sock_of(descriptor).and_then(|sock| peer_at(Space::User, sock, address, length, sends)) {
        Ok(Some(peer)) => peer,
        Ok(None) => return,
        // In a page that is not in memory yet. The kernel is about to read it in, so the exit can read it, too.
        Err(_) => Peer {
            family: UNREAD,
            ..pod::zeroed()
        },
    };
    remember(state, peer, descriptor);
}

/// What a thread passed before, which is forgotten with this.
#[inline(always)]
fn passed() -> Option<PendingConnect> {
    let thread = ids().1;
    let pending = match CONNECTS.get_ptr(thread) {
        // SAFETY: only this thread's next call writes the entry.
        Some(pending) => Some(unsafe { *pending }),
        None => None,
    };
    // Not there: another family, or no room at entry, which was counted then.
    let _ = CONNECTS.remove(thread);
    pending
}

/// The address that was passed; read now, where it could not be read before the call. None for what is not recorded.
#[inline(always)]
fn peer_of(pending: &PendingConnect, address: Address, length: i32, sends: bool) -> Result<Option<Peer>, i32> {
    match pending.peer.family {
        UNREAD if address == 0 => Ok(None),
        UNREAD => peer_at(Space::User, sock_of(pending.descriptor)?, address, length, sends),
        _ => Ok(Some(pending.peer)),
    }
}

/// After a `connect(2)` with its result; the address in user space, where the entry could not read it. True where it has
/// connected a Unix socket, which is not counted here. Not inlined, as [`crate::opens::done`].
#[inline(never)]
pub fn connected(address: Address, length: i32, result: i64) -> bool {
    let Some(pending) = passed() else { return false };
    if !was_attempted(result) {
        return false;
    }
    let Ok(cgroup) = current_cgroup() else { return false };
    let Some(state) = recorded(cgroup) else { return false };
    match peer_of(&pending, address, length, false) {
        Ok(Some(peer)) if peer.family == AF_UNIX => return result == 0,
        Ok(Some(peer)) => count(state, cgroup, kind::CONNECT, peer),
        Ok(None) => {}
        Err(_) => lost_in(state, loss::RACED),
    }
    false
}

/// After a `sendto(2)` or `sendmsg(2)`.
#[inline(never)]
pub fn sent(address: Address, length: i32, result: i64) {
    let Some(pending) = passed() else { return };
    if !was_sent(result) {
        return;
    }
    in_recorded(|state, cgroup| {
        count_send(state, cgroup, peer_of(&pending, address, length, true)?);
        Ok(())
    });
}

/// Counts a message to an address that a program passed.
#[inline(always)]
fn count_send(state: *mut CgroupState, cgroup: u64, peer: Option<Peer>) {
    match peer {
        // Which socket that is shows at the security hook only.
        Some(peer) if peer.family == AF_UNIX => lost_in(state, loss::UNIX_DATAGRAM),
        Some(peer) => count(state, cgroup, kind::SEND, peer),
        None => {}
    }
}

/// How many messages of one `sendmmsg(2)` are looked at.
const BATCH_MAX: u64 = 8;
/// `sizeof(struct mmsghdr)` (include/linux/socket.h) of 64-bit programs.
const MMSGHDR_BYTES: u64 = 64;

/// After a `sendmmsg(2)` that has sent so many messages. Their headers are read now: most have no address, and there is
/// no room to keep them all.
#[inline(never)]
pub fn sent_batch(descriptor: u64, messages: Address, sent: i64) {
    let Ok(cgroup) = current_cgroup() else { return };
    let Some(state) = recorded(cgroup) else { return };
    for index in 0..BATCH_MAX {
        if index as i64 >= sent {
            return;
        }
        let counted = name_in(messages + index * MMSGHDR_BYTES)
            .and_then(|(name, length)| count_named(state, cgroup, descriptor, name, length));
        if counted.is_err() {
            lost_in(state, loss::RACED);
        }
    }
    if sent > BATCH_MAX as i64 {
        lost_in(state, loss::BATCH_CUT);
    }
}

/// Counts a message that has been sent to an address in user space; 0 for none.
#[inline(always)]
fn count_named(state: *mut CgroupState, cgroup: u64, descriptor: u64, name: Address, length: i32) -> Result<(), i32> {
    if name != 0 {
        let peer = peer_at(Space::User, sock_of(descriptor)?, name, length, true)?;
        count_send(state, cgroup, peer);
    }
    Ok(())
}

/// The address that a user's message header names, 0 where it names none, and its length. On 64-bit machines
/// `struct user_msghdr` has them at its start (include/linux/socket.h).
#[inline(always)]
pub fn name_in(header: Address) -> Result<(Address, i32), i32> {
    let name = Space::User.read::<u64>(header)?;
    Ok((name, Space::User.read::<i32>(header + 8)?))
}

/// Whether a send with these flags on this socket looks at the address that is passed with it.
#[inline(always)]
pub fn looks_at_address(descriptor: u64, flags: u32) -> bool {
    flags & MSG_FASTOPEN != 0 || !sock_of(descriptor).and_then(is_tcp).unwrap_or(false)
}

#[inline(always)]
fn is_tcp(sock: Address) -> Result<bool, i32> {
    Ok(matches!(field!(sock, sock_protocol => u16)?, TCP | MPTCP))
}

/// After a `listen(2)` that succeeded.
#[inline(never)]
pub fn listened(descriptor: u64) {
    in_recorded(|state, cgroup| count_listen(state, cgroup, sock_of(descriptor)?));
}

#[inline(always)]
fn count_listen(state: *mut CgroupState, cgroup: u64, sock: Address) -> Result<(), i32> {
    let mut peer: Peer = pod::zeroed();
    peer.family = field!(sock, sock_family => u16)?;
    match peer.family {
        AF_INET => set_ipv4(&mut peer, field!(sock, sock_address => [u8; 4])?),
        AF_INET6 if constant!(OFFSETS, sock_address_6) != Offsets::NONE => {
            peer.address = field!(sock, sock_address_6 => [u8; 16])?;
        }
        _ => return Ok(()),
    }
    peer.protocol = field!(sock, sock_protocol => u16)?;
    // One that the kernel chose is another one each time: 0, as the program asked for it. MPTCP's locks are those of the
    // socket inside of it.
    let locks = field!(sock, sock_user_locks => u8)? >> constant!(OFFSETS, sock_user_locks_shift);
    if peer.protocol == MPTCP || locks & SOCK_BINDPORT_LOCK != 0 {
        peer.port = field!(sock, sock_port => u16)?;
    }
    count(state, cgroup, kind::LISTEN, peer);
    // Whoever takes connections has started.
    // SAFETY: `state` points into the table of cgroups.
    add(unsafe { &raw mut (*state).listens });
    Ok(())
}

/// The socket that a Unix socket is connected to; 0 for none.
#[inline(always)]
pub fn other_end(sock: Address) -> Result<Address, i32> {
    if constant!(OFFSETS, unix_peer) == Offsets::NONE {
        return Err(-1);
    }
    field!(sock, unix_peer => u64)
}

/// The path of a Unix socket; its dentry is 0 where it has none.
#[inline(always)]
pub fn path_of(sock: Address) -> Result<Path, i32> {
    field!(sock, unix_path => Path)
}

/// At the security hook of `connect(2)`: the address is the kernel's own copy.
#[inline(never)]
pub fn hook_connect(socket: Address, address: Address, length: i32) {
    in_recorded(|state, _| {
        let sock = field!(socket, socket_sk => u64)?;
        // Unix sockets have hooks of their own.
        if let Some(peer) = peer_at(Space::Kernel, sock, address, length, false)?
            && peer.family != AF_UNIX
        {
            remember(state, peer, 0);
        }
        Ok(())
    });
}

/// At the security hook of sends.
#[inline(never)]
pub fn hook_send(socket: Address, message: Address) {
    let Ok(name) = field!(message, message_name => u64) else {
        return;
    };
    if name == 0 {
        return;
    }
    in_recorded(|state, cgroup| {
        let sock = field!(socket, socket_sk => u64)?;
        if is_tcp(sock)? && field!(message, message_flags => u32)? & MSG_FASTOPEN == 0 {
            return Ok(());
        }
        let length = field!(message, message_name_length => i32)?;
        if let Some(peer) = peer_at(Space::Kernel, sock, name, length, true)?
            && peer.family != AF_UNIX
        {
            count(state, cgroup, kind::SEND, peer);
        }
        Ok(())
    });
}

/// At the security hook of `listen(2)`.
#[inline(never)]
pub fn hook_listen(socket: Address) {
    in_recorded(|state, cgroup| count_listen(state, cgroup, field!(socket, socket_sk => u64)?));
}

/// At the security hooks of Unix sockets: from one socket to another. A message to the socket that this one is connected
/// to was counted when it was connected.
#[inline(never)]
pub fn hook_unix(from: Address, to: Address, is_message: bool) {
    if is_message && other_end(from) == Ok(to) {
        return;
    }
    in_recorded(|state, cgroup| {
        let path = path_of(to)?;
        if path.dentry == 0 {
            return Ok(());
        }
        count_path(state, cgroup, kind::CONNECT_UNIX, 0, &path, false)
    });
}
