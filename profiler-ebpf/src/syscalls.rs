//! System calls: what they return tells of opens, mappings and connections.

use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use profiler_common::{CLASSES, Offsets, class, loss};

use crate::count::next_epoch;
use crate::kernel::{Address, constant, current, task_field};
use crate::maps::{COMPAT, NATIVE, OFFSETS};
use crate::opens::{Deed, done};
use crate::process::lost_here;
use crate::raises::entered_user_namespace;
use crate::sockets::{connected, listened, looks_at_address, name_in, sent, sent_batch, will_pass};

/// `__USER32_CS` (arch/x86/include/asm/segment.h): the code segment of 32-bit programs.
const USER32_CS: u64 = 0x23;
/// `__X32_SYSCALL_BIT` (arch/x86/include/uapi/asm/unistd.h): a program with 32-bit pointers. Its calls that matter here
/// have the numbers of the native ones.
const X32_SYSCALL_BIT: u64 = 0x4000_0000;
/// `TS_COMPAT` (arch/x86/include/asm/thread_info.h): a 32-bit entry from a 64-bit program (`int $0x80`).
const TS_COMPAT: u32 = 0x2;
/// `AT_REMOVEDIR` (include/uapi/linux/fcntl.h).
const AT_REMOVEDIR: u64 = 0x200;
/// `PROT_EXEC` and `MAP_ANONYMOUS` (include/uapi/asm-generic/mman-common.h).
const PROT_EXEC: u64 = 0x4;
const MAP_ANONYMOUS: u64 = 0x20;
/// `sizeof(struct sockaddr_storage)` (include/uapi/linux/socket.h).
const ADDRESS_BYTES_MAX: u32 = 128;
/// `TIOCGPTPEER` (include/uapi/asm-generic/ioctls.h): opens the other end of a terminal.
const TIOCGPTPEER: u32 = 0x5441;
/// `FAN_REPORT_FID` and `FAN_REPORT_DIR_FID` (include/uapi/linux/fanotify.h): events that open no file.
const FAN_REPORTS_IDS: u64 = 0x200 | 0x400;
/// `CLONE_NEWUSER` (include/uapi/linux/sched.h).
const CLONE_NEWUSER: u64 = 0x1000_0000;

/// The registers of the interrupted program that hold a call's arguments. `.0` is a typed pointer to the verifier, so each
/// is one load. At exit they are what they were at entry.
#[derive(Clone, Copy)]
struct Registers(u64);

macro_rules! argument {
    ($name:ident, $offset:ident) => {
        #[inline(always)]
        fn $name(self) -> u64 {
            register(self.0, constant!(OFFSETS, $offset))
        }
    };
}

impl Registers {
    argument!(first, regs_argument_0);
    argument!(second, regs_argument_1);
    argument!(third, regs_argument_2);
    argument!(fourth, regs_argument_3);
    argument!(fifth, regs_argument_4);
    argument!(sixth, regs_argument_5);
}

/// Before a system call.
#[btf_tracepoint(function = "sys_enter")]
pub fn sys_enter(ctx: BtfTracePointContext) -> i32 {
    let (registers, number): (u64, u64) = (ctx.arg(0), ctx.arg(1));
    // Only a few calls matter here, so only those are looked at more closely.
    if may_matter_at_entry(number) {
        entered(Registers(registers), class_of(registers, number));
    }
    0
}

#[inline(always)]
fn entered(registers: Registers, class: u8) {
    match class {
        // With a longer or a negative length the call fails before anybody is asked (move_addr_to_kernel, net/socket.c).
        class::CONNECT if registers.third() as u32 <= ADDRESS_BYTES_MAX => {
            will_pass(registers.first(), registers.second(), registers.third() as i32, false);
        }
        class::SEND_TO if registers.sixth() as u32 <= ADDRESS_BYTES_MAX => will_send(
            registers.first(),
            (registers.fifth(), registers.sixth() as i32),
            registers.fourth() as u32,
        ),
        class::SEND_MESSAGE => {
            // A header in a page that is not in memory: the exit reads it.
            let name = name_in(registers.second()).unwrap_or((UNREAD_NAME, 0));
            will_send(registers.first(), name, registers.third() as u32);
        }
        _ => {}
    }
}

/// An address that nothing is at, and that is not the one that stands for none.
const UNREAD_NAME: Address = 1;

#[inline(always)]
fn will_send(descriptor: u64, (name, length): (Address, i32), flags: u32) {
    if name != 0 && looks_at_address(descriptor, flags) {
        will_pass(descriptor, name, length, true);
    }
}

/// After a system call.
#[btf_tracepoint(function = "sys_exit")]
pub fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    let (registers, result): (u64, i64) = (ctx.arg(0), ctx.arg(1));
    let number = register(registers, constant!(OFFSETS, regs_syscall));
    left(Registers(registers), class_of(registers, number), result);
    0
}

#[inline(always)]
fn left(registers: Registers, class: u8, result: i64) {
    if let Some((deed, descriptor)) = deed(registers, class, result) {
        return done(deed, descriptor & 0xffff_ffff);
    }
    match class {
        class::SEND_TO => sent(registers.fifth(), registers.sixth() as i32, result),
        class::SEND_MESSAGE => {
            let (name, length) = name_in(registers.second()).unwrap_or((UNREAD_NAME, 0));
            sent(name, length, result);
        }
        class::SEND_MESSAGES if result > 0 && looks_at_address(registers.first(), registers.fourth() as u32) => {
            sent_batch(registers.first(), registers.second(), result);
        }
        class::LISTEN if result == 0 => listened(registers.first()),
        class::RENAME if result == 0 => next_epoch(),
        // 32-bit programs pass their third argument in the same register (`edx`).
        class::REMOVE if result == 0 && registers.third() & AT_REMOVEDIR != 0 => next_epoch(),
        class::UNSHARE if result == 0 => {
            next_epoch();
            if registers.first() & CLONE_NEWUSER != 0 {
                entered_user_namespace();
            }
        }
        class::ENTER_NAMESPACE if result == 0 && registers.second() & CLONE_NEWUSER != 0 => entered_user_namespace(),
        class::FOREIGN => {
            // unshare(2) and setns(2) among them.
            next_epoch();
            lost_here(loss::FOREIGN_ABI);
        }
        class::URING if result >= 0 => lost_here(loss::IO_URING),
        class::UNSEEN if result >= 0 => lost_here(loss::UNSEEN_OPEN),
        class::CONTROL if result >= 0 && registers.second() as u32 == TIOCGPTPEER => lost_here(loss::UNSEEN_OPEN),
        class::FANOTIFY if result >= 0 && registers.first() & FAN_REPORTS_IDS == 0 => lost_here(loss::UNSEEN_OPEN),
        _ => {}
    }
}

/// What a call has done with something that has a path, and the descriptor of that.
#[inline(always)]
fn deed(registers: Registers, class: u8, result: i64) -> Option<(Deed, u64)> {
    match class {
        class::OPEN if result >= 0 => Some((Deed::Opened, result as u64)),
        class::MAP if is_address(result) && is_executable(registers.third(), registers.fourth()) => {
            Some((Deed::Mapped, registers.fifth()))
        }
        // `edx`, `esi` and `edi` of a 32-bit program.
        class::MAP_32 if is_address(result) && is_executable(registers.third(), registers.second()) => {
            Some((Deed::Mapped, registers.first()))
        }
        class::CONNECT if connected(registers.second(), registers.third() as i32, result) => {
            Some((Deed::Connected, registers.first()))
        }
        _ => None,
    }
}

/// Whether a call has returned an address and no error (`IS_ERR_VALUE`, include/linux/err.h).
#[inline(always)]
fn is_address(result: i64) -> bool {
    (result as u64) < (-4095_i64) as u64
}

/// Whether a mapping is one of a file that may be executed.
#[inline(always)]
fn is_executable(protection: u64, flags: u64) -> bool {
    protection & PROT_EXEC != 0 && flags & MAP_ANONYMOUS == 0
}

/// A register of the interrupted program. `registers` is a typed pointer to the verifier, so this is one load.
#[inline(always)]
fn register(registers: u64, offset: u32) -> u64 {
    // SAFETY: the verifier knows `registers` as a `struct pt_regs` and checks the constant offset.
    unsafe { core::ptr::read_volatile((registers as *const u8).add(offset as usize).cast()) }
}

/// Whether a system call's number has a class that is looked at before it, in one instruction set or the other.
#[inline(always)]
fn may_matter_at_entry(number: u64) -> bool {
    let number = number & !X32_SYSCALL_BIT;
    number < CLASSES as u64
        && (class_in(&raw const NATIVE, number) | class_in(&raw const COMPAT, number)) & class::AT_ENTRY != 0
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
