//! What the benchmark `overhead` compares the probes with: programs on the same hooks that do nothing, or the least that
//! counting can cost.
//!
//! | program | what it does |
//! |---|---|
//! | [`empty_enter`], [`empty_exit`] | nothing |
//! | [`update_exit`] | one update of a hash table, always with the same key, at the end of each call of [`NUMBER`] |
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "what is passed by reference is not copied to the stack, which has 512 bytes"
)]
#![no_std]
#![no_main]

use aya_ebpf::btf_maps::HashMap;
use aya_ebpf::macros::{btf_map, btf_tracepoint};
use aya_ebpf::programs::BtfTracePointContext;

/// The system call that is counted.
#[unsafe(no_mangle)]
pub static NUMBER: u64 = 0;

/// Where `struct pt_regs` has its number.
#[unsafe(no_mangle)]
pub static NUMBER_AT: u32 = 0;

#[btf_map]
pub static TABLE: HashMap<u64, u64, 1_024> = HashMap::new();

#[btf_tracepoint(function = "sys_enter")]
pub fn empty_enter(_: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn empty_exit(_: BtfTracePointContext) -> i32 {
    0
}

#[btf_tracepoint(function = "sys_exit")]
pub fn update_exit(ctx: BtfTracePointContext) -> i32 {
    let registers: *const u8 = ctx.arg(0);
    // SAFETY: reads statics, so that rustc cannot assume the compiled-in zeros.
    let (number, at) = unsafe {
        (
            core::ptr::read_volatile(&raw const NUMBER),
            core::ptr::read_volatile(&raw const NUMBER_AT),
        )
    };
    // SAFETY: the verifier knows `registers` as a `struct pt_regs` and checks the constant offset.
    if unsafe { core::ptr::read_volatile(registers.add(at as usize).cast::<u64>()) } == number {
        // Cannot fail: there is room for one key.
        let _ = TABLE.insert(&0, &1, 0);
    }
    0
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier refuses programs that can get here.
    loop {}
}

/// The kernel offers its GPL-only helpers to this licence (include/linux/license.h).
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
