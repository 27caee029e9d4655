//! Opens and connections, from the system calls that make them.

use aya_ebpf::helpers::bpf_probe_read_user;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::{CLASSES, CgroupState, Key, Offsets, Peer, PendingConnect, access, class, kind, loss, pod};

use crate::count::{file, lost_in, next_epoch, plain};
use crate::kernel::{
    Address, FMODE_CREATED, FMODE_PATH, FMODE_READ, FMODE_WRITE, Path, constant, current, current_cgroup, field,
    file_of, ids, locate, now, phase, root, task_field,
};
use crate::maps::{COMPAT, CONNECTS, NATIVE, OFFSETS};
use crate::process::{ANY, find, recorded};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `S_IFMT` and `S_IFSOCK` (include/uapi/linux/stat.h).
const S_IFMT: u16 = 0o170_000;
const S_IFSOCK: u16 = 0o140_000;
/// `__USER32_CS` (arch/x86/include/asm/segment.h): the code segment of 32-bit programs.
const USER32_CS: u64 = 0x23;
/// `__X32_SYSCALL_BIT` (arch/x86/include/uapi/asm/unistd.h): a program with 32-bit pointers. Its calls that matter here
/// have the numbers of the native ones.
const X32_SYSCALL_BIT: u64 = 0x4000_0000;
/// `TS_COMPAT` (arch/x86/include/asm/thread_info.h): a 32-bit entry from a 64-bit program (`int $0x80`).
const TS_COMPAT: u32 = 0x2;

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

/// Before a system call.
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    let (registers, number): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    // Only one call matters here, so only that one is looked at more closely.
    if may_be(number, class::CONNECT) && class_of(registers, number) == class::CONNECT {
        remember_connect(registers);
    }
    0
}

/// After a system call.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let (registers, result): (u64, i64) = (ctx.arg(0), ctx.arg(1));
    let number = register(registers, constant!(OFFSETS, regs_syscall));
    match class_of(registers, number) {
        class::OPEN if result >= 0 => opened(result as u64),
        class::CONNECT => connected(registers, result),
        class::RENAME if result == 0 => next_epoch(),
        class::REMOVE if result == 0 && removes_directory(registers) => next_epoch(),
        class::FOREIGN => lost_here(loss::FOREIGN_ABI),
        class::URING if result >= 0 => lost_here(loss::IO_URING),
        _ => {}
    }
    0
}

/// Whether an `unlinkat(2)` has `AT_REMOVEDIR` (include/uapi/linux/fcntl.h). 32-bit programs pass their third argument in the
/// same register (`edx`).
#[inline(always)]
fn removes_directory(registers: u64) -> bool {
    register(registers, constant!(OFFSETS, regs_argument_2)) & 0x200 != 0
}

/// A register of the interrupted program. `registers` is a typed pointer to the verifier, so this is one load.
#[inline(always)]
fn register(registers: u64, offset: u32) -> u64 {
    // SAFETY: the verifier knows `registers` as a `struct pt_regs` and checks the constant offset.
    unsafe { core::ptr::read_volatile((registers as *const u8).add(offset as usize).cast()) }
}

/// Whether a system call's number has a class in one instruction set or the other.
#[inline(always)]
fn may_be(number: u64, class: u8) -> bool {
    let number = number & !X32_SYSCALL_BIT;
    number < CLASSES as u64
        && (class_in(&raw const NATIVE, number) == class || class_in(&raw const COMPAT, number) == class)
}

/// What to do about a system call, by its number and the program's instruction set.
#[inline(always)]
fn class_of(registers: u64, number: u64) -> u8 {
    let number = number & !X32_SYSCALL_BIT;
    if number >= CLASSES as u64 {
        return class::NONE;
    }
    let compat = class_in(&raw const COMPAT, number);
    let segment = constant!(OFFSETS, regs_code_segment);
    if segment != Offsets::NONE && register(registers, segment) & 0xffff == USER32_CS {
        return compat;
    }
    let native = class_in(&raw const NATIVE, number);
    // Asked only where it makes a difference: it costs another look at the task.
    if native != compat && is_compat_entry() {
        compat
    } else {
        native
    }
}

#[inline(always)]
fn class_in(classes: *const profiler_common::Classes, number: u64) -> u8 {
    // SAFETY: the caller checked that the number is below CLASSES.
    unsafe { core::ptr::read_volatile(classes.cast::<u8>().add(number as usize)) }
}

/// Whether a 64-bit program used the 32-bit entry.
#[inline(always)]
fn is_compat_entry() -> bool {
    let status = constant!(OFFSETS, task_thread_status);
    status != Offsets::NONE && task_field!(current(), task_thread_status => u32).unwrap_or(0) & TS_COMPAT != 0
}

/// A call that this backend cannot follow.
#[inline(always)]
fn lost_here(reason: usize) {
    if let Ok(cgroup) = current_cgroup()
        && let Some(state) = recorded(cgroup)
    {
        lost_in(state, reason);
    }
}

/// A key for what the current task does.
#[inline(always)]
fn key_for(state: *mut CgroupState, cgroup: u64, kind: u8, access: u8, object: [u64; 8], now: u64) -> Key {
    let process = find(ids().0);
    Key {
        cgroup,
        subject: process.image,
        lineage: 0,
        kind,
        access,
        provenance: process.provenance as u8,
        // SAFETY: entries of the table are removed only when the cgroup is gone, and this one has a task.
        phase: phase(unsafe { &*state }, now),
        padding: 0,
        object,
    }
}

/// Not inlined: kernels up to 6.12 allow 512 bytes of stack for a program and all that it calls (`MAX_BPF_STACK`), so
/// what never runs together must not add up.
#[inline(never)]
fn opened(descriptor: u64) {
    let Ok(cgroup) = current_cgroup() else { return };
    let Some(state) = recorded(cgroup) else { return };
    if file_of(descriptor)
        .and_then(|file| count_open(state, cgroup, file))
        .is_err()
    {
        lost_in(state, loss::RACED);
    }
}

#[inline(always)]
fn count_open(state: *mut CgroupState, cgroup: u64, opened: Address) -> Result<(), i32> {
    let mode = field!(opened, file_mode => u32)?;
    if mode & FMODE_PATH != 0 {
        // O_PATH opens nothing: security_file_open does not run.
        return Ok(());
    }
    let path = field!(opened, file_path => Path)?;
    let now = now();
    let access = flag(mode, FMODE_READ, access::READ)
        | flag(mode, FMODE_WRITE, access::WRITE)
        | flag(mode, FMODE_CREATED, access::CREATE);
    let place = locate(&path, &root()?)?;
    let mut key = key_for(state, cgroup, kind::OPEN, access, pod::cast(place), now);
    file(state, &mut key, &path, now);
    Ok(())
}

#[inline(always)]
fn flag(mode: u32, bit: u32, access: u8) -> u8 {
    if mode & bit == 0 { 0 } else { access }
}

/// Keeps the address that a program passes to `connect(2)`, as it is now: at the end of the call a service mesh or a
/// load balancer may have rewritten the socket's, and another thread the program's own.
#[inline(always)]
fn remember_connect(registers: u64) {
    let Ok(cgroup) = current_cgroup() else { return };
    let Some(state) = recorded(cgroup) else { return };
    let descriptor = register(registers, constant!(OFFSETS, regs_argument_0)) & 0xffff_ffff;
    let peer = match address_in(registers, descriptor) {
        Ok(Some(peer)) => peer,
        Ok(None) => return,
        // In a page that is not in memory yet. The kernel is about to read it in, so the exit can read it, too.
        Err(_) => pod::zeroed(),
    };
    if CONNECTS
        .insert(ids().1, PendingConnect { peer, descriptor }, ANY)
        .is_err()
    {
        lost_in(state, loss::CONNECT_TABLE_FULL);
    }
}

/// The address that a `connect(2)` passes, or None for a family that is not recorded.
#[inline(always)]
fn address_in(registers: u64, descriptor: u64) -> Result<Option<Peer>, i32> {
    let address = register(registers, constant!(OFFSETS, regs_argument_1));
    let length = register(registers, constant!(OFFSETS, regs_argument_2)) as i32;
    peer_at(descriptor, address, length)
}

/// The address and port of an IPv4 or IPv6 `sockaddr`, or None for another family.
#[inline(always)]
fn peer_at(descriptor: u64, address: u64, length: i32) -> Result<Option<Peer>, i32> {
    let mut peer: Peer = pod::zeroed();
    // SAFETY: the helper checks the address.
    peer.family = unsafe { bpf_probe_read_user(address as *const u16) }?;
    match peer.family {
        AF_INET if length >= 16 => {
            // SAFETY: the helper checks the address.
            let bytes: [u8; 4] = unsafe { bpf_probe_read_user((address + 4) as *const [u8; 4]) }?;
            (peer.address[0], peer.address[1], peer.address[2], peer.address[3]) = bytes.into();
        }
        // SIN6_LEN_RFC2133: the kernel accepts the structure without its scope id.
        AF_INET6 if length >= 24 => {
            // SAFETY: the helper checks the address.
            peer.address = unsafe { bpf_probe_read_user((address + 8) as *const [u8; 16]) }?;
        }
        _ => return Ok(None),
    }
    // SAFETY: the helper checks the address.
    peer.port = u16::from_be(unsafe { bpf_probe_read_user((address + 2) as *const u16) }?);
    peer.protocol = protocol_of(descriptor)?;
    Ok(Some(peer))
}

/// The IP protocol of a socket.
#[inline(always)]
fn protocol_of(descriptor: u64) -> Result<u16, i32> {
    let file = file_of(descriptor)?;
    let path = field!(file, file_path => Path)?;
    let inode = field!(path.dentry, dentry_inode => u64)?;
    if field!(inode, inode_mode => u16)? & S_IFMT != S_IFSOCK {
        return Err(-88);
    }
    let socket = field!(file, file_private_data => u64)?;
    let sock = field!(socket, socket_sk => u64)?;
    // One byte wide up to 5.5, two since.
    field!(sock, sock_protocol => u16)
}

/// Not inlined, for the same reason.
#[inline(never)]
fn connected(registers: u64, result: i64) {
    let thread = ids().1;
    let pending = match CONNECTS.get_ptr(thread) {
        // SAFETY: only this thread's next connect(2) writes the entry.
        Some(pending) => Some(unsafe { *pending }),
        None => None,
    };
    // Not there: another family, or no room at entry, which was counted then.
    let _ = CONNECTS.remove(thread);
    let Some(pending) = pending else { return };
    if !was_attempted(result) {
        return;
    }
    let Ok(cgroup) = current_cgroup() else { return };
    let Some(state) = recorded(cgroup) else { return };
    let peer = match pending.peer.family {
        0 => address_in(registers, pending.descriptor),
        _ => Ok(Some(pending.peer)),
    };
    match peer {
        Ok(Some(peer)) => {
            let now = now();
            let key = key_for(state, cgroup, kind::CONNECT, 0, pod::cast(peer), now);
            plain(state, &key, now);
        }
        Ok(None) => {}
        Err(_) => lost_in(state, loss::RACED),
    }
}
