//! The probes. They decide nothing and count everything.
//!
//! | program | what it is for |
//! |---|---|
//! | [`syscalls::sys_enter`] | copies the address of a connection or send before the kernel or another thread can change it |
//! | [`syscalls::sys_exit`] | opens, mappings and connections, once the kernel has said how they went; renames and mounts |
//! | [`hooks`] | the same at the hooks of security modules, instead of the two above |
//! | [`tasks::sched_process_exec`] | executions that succeeded |
//! | [`commands::sched_process_exec_commands`] | what a process executes that entered a running container |
//! | [`tasks::sched_process_fork`], [`tasks::sched_process_exit`] | who descends from whom |
//! | [`cgroups::cgroup_mkdir`], [`cgroups::cgroup_rmdir`], [`cgroups::cgroup_attach_task`] | containers that come and go, and who enters them |
//! | [`names::answers`] | answers of the domain name system that containers receive |
//! | [`tasks::seed`] | the processes that were there before |
//!
//! Every tracepoint by a `tp_btf` program: perf-type tracepoints and kprobes are skipped, uncounted on some kernels, while a
//! preempted task is inside a `bpf(2)` map call, which is where the profiler spends its time.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(
    clippy::needless_borrows_for_generic_args,
    reason = "what is passed by reference is not copied to the stack, which has 512 bytes"
)]
#![allow(
    unused_unsafe,
    reason = "the macros that read memory are used inside of unsafe blocks, too"
)]
#![allow(
    clippy::manual_map,
    clippy::manual_unwrap_or_default,
    reason = "written out, these compile to what every verifier of the matrix accepts"
)]
#![allow(
    internal_features,
    reason = "core::intrinsics::atomic_xadd: AtomicU64::fetch_add does not exist on this target"
)]

mod cgroups;
mod commands;
mod count;
mod hooks;
mod kernel;
mod maps;
mod names;
mod opens;
mod process;
mod raises;
mod sockets;
mod syscalls;
mod tasks;
mod walk;

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo) -> ! {
    // The verifier refuses programs that can get here: unreachable code is how a panic becomes a load error.
    loop {}
}

/// The kernel offers its GPL-only helpers to this licence (include/linux/license.h); see Cargo.toml for the choice.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
