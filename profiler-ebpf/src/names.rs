//! Answers of the domain name system, as containers receive them.
//!
//! Whatever library asks, a classic answer is a UDP packet from port 53 to a socket of the container. The program is attached
//! to the root of the cgroup hierarchy, so it sees every packet that any socket in it receives, before the socket does. It
//! lets every one of them pass.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::{bpf_skb_cgroup_id, bpf_skb_load_bytes};
use aya_ebpf::macros::cgroup_skb;
use aya_ebpf::programs::SkBuffContext;
use profiler_common::{ANSWER_BYTES, AnswerHead, LongAnswer, SHORT_ANSWER_BYTES, ShortAnswer};

use crate::count::add;
use crate::kernel::{now, setting};
use crate::maps::{ANSWERS, ANSWERS_LOST, CGROUPS};

/// What a program of this type says of a packet (`__cgroup_bpf_run_filter_skb`, kernel/bpf/cgroup.c).
const PASS: i32 = 1;

/// `ETH_P_IP` and `ETH_P_IPV6` (include/uapi/linux/if_ether.h), in network byte order.
const IPV4: u32 = 0x0800_u16.to_be() as u32;
const IPV6: u32 = 0x86dd_u16.to_be() as u32;
const UDP: u8 = 17;
const DNS: u16 = 53;

/// Where the protocol and the payload of UDP begin in a packet that begins with its IP header (RFC 791, RFC 8200, RFC 768).
const IPV4_PROTOCOL: usize = 9;
const IPV4_HEADER: usize = 20;
const IPV6_PROTOCOL: usize = 6;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: u32 = 8;
/// A DNS message has a header of this many bytes (RFC 1035, 4.1.1).
const DNS_HEADER: u32 = 12;

/// Copies answers to containers that are recorded.
#[cgroup_skb(ingress)]
pub fn answers(context: SkBuffContext) -> i32 {
    look(context.skb.skb);
    PASS
}

#[inline(always)]
fn look(packet: *mut __sk_buff) {
    // SAFETY: the kernel passes a packet.
    let protocol = unsafe { (*packet).protocol };
    // With IPv4 options there is no answer of a resolver, nor with extension headers of IPv6: they are not looked at.
    let header = if protocol == IPV4 {
        udp_after::<{ IPV4_HEADER + 2 }>(packet, IPV4_PROTOCOL, IPV4_HEADER)
    } else if protocol == IPV6 {
        udp_after::<{ IPV6_HEADER + 2 }>(packet, IPV6_PROTOCOL, IPV6_HEADER)
    } else {
        return;
    };
    let Some(payload) = header.map(|header| header + UDP_HEADER) else {
        return;
    };
    // SAFETY: the kernel passes a packet.
    let (length, cgroup) = unsafe { ((*packet).len.wrapping_sub(payload), bpf_skb_cgroup_id(packet)) };
    // A packet that ends before it begins has a length beyond any packet's.
    if !(DNS_HEADER..=u16::MAX as u32).contains(&length) || !is_recorded(cgroup) {
        return;
    }
    let head = AnswerHead {
        cgroup,
        time: now(),
        length,
        padding: 0,
    };
    let is_copied = if length <= SHORT_ANSWER_BYTES as u32 {
        copy::<ShortAnswer, SHORT_ANSWER_BYTES>(packet, payload, head)
    } else {
        copy::<LongAnswer, ANSWER_BYTES>(packet, payload, head)
    };
    if !is_copied && let Some(lost) = ANSWERS_LOST.get_ptr_mut(0) {
        add(lost);
    }
}

/// Where UDP begins, in a packet from the port of the domain name system.
#[inline(always)]
fn udp_after<const BYTES: usize>(packet: *mut __sk_buff, protocol: usize, header: usize) -> Option<u32> {
    let mut bytes = [0_u8; BYTES];
    // SAFETY: the helper writes as many bytes as there are.
    if unsafe { bpf_skb_load_bytes(packet.cast(), 0, bytes.as_mut_ptr().cast(), BYTES as u32) } != 0 {
        return None;
    }
    let is_plain = header != IPV4_HEADER || bytes[0] == 0x45;
    let port = u16::from_be_bytes([bytes[header], bytes[header + 1]]);
    (is_plain && bytes[protocol] == UDP && port == DNS).then_some(header as u32)
}

#[inline(always)]
fn is_recorded(cgroup: u64) -> bool {
    match CGROUPS.get_ptr(&cgroup) {
        // SAFETY: the pointer points into the table of cgroups. User space writes at the same time.
        Some(state) => unsafe { core::ptr::read_volatile(&raw const (*state).recorded) != 0 },
        None => setting!(record_unknown) != 0,
    }
}

/// Copies the first bytes of an answer into the ring buffer. False where there is no room. `T` is a head and so many bytes.
#[inline(always)]
fn copy<T: 'static, const BYTES: usize>(packet: *mut __sk_buff, from: u32, head: AnswerHead) -> bool {
    const { assert!(size_of::<T>() == size_of::<AnswerHead>() + BYTES) };
    let Some(mut entry) = ANSWERS.reserve_untyped::<T>(0) else {
        return false;
    };
    let target = entry.as_mut_ptr().cast::<u8>();
    // The verifier wants bounds that it can see, and the compiler would take away what it knows already.
    let length = core::hint::black_box(head.length).min(BYTES as u32).max(1);
    // SAFETY: the entry is ours until it is submitted, and has room for a head and that many bytes.
    let copied = unsafe {
        target.cast::<AnswerHead>().write(head);
        bpf_skb_load_bytes(packet.cast(), from, target.add(size_of::<AnswerHead>()).cast(), length)
    };
    if copied == 0 {
        entry.submit(0);
    } else {
        entry.discard(0);
    }
    copied == 0
}
