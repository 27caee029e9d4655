//! Which system calls matter to the probes, by their numbers.

use profiler_common::{CLASSES, Classes, class};

/// What the probes do at each system call of this machine. `has_pidfs`: a pidfd is a file that is opened, which the security
/// hook sees.
pub(super) fn native(has_pidfs: bool) -> Classes {
    let mut classes = [class::NONE; CLASSES];
    #[cfg(target_arch = "x86_64")]
    set(&mut classes, class::OPEN, &[libc::SYS_open, libc::SYS_creat]);
    #[cfg(target_arch = "x86_64")]
    set(&mut classes, class::RENAME, &[libc::SYS_rename, libc::SYS_rmdir]);
    set(
        &mut classes,
        class::OPEN,
        &[libc::SYS_openat, libc::SYS_openat2, libc::SYS_open_by_handle_at],
    );
    set(&mut classes, class::CONNECT, &[libc::SYS_connect]);
    set(&mut classes, class::SEND_TO, &[libc::SYS_sendto]);
    set(&mut classes, class::SEND_MESSAGE, &[libc::SYS_sendmsg]);
    set(&mut classes, class::SEND_MESSAGES, &[libc::SYS_sendmmsg]);
    set(&mut classes, class::LISTEN, &[libc::SYS_listen]);
    set(&mut classes, class::MAP, &[libc::SYS_mmap]);
    set(&mut classes, class::UNSHARE, &[libc::SYS_unshare]);
    set(&mut classes, class::ENTER_NAMESPACE, &[libc::SYS_setns]);
    set(
        &mut classes,
        class::URING,
        &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter],
    );
    set(
        &mut classes,
        class::RENAME,
        &[
            libc::SYS_renameat,
            libc::SYS_renameat2,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_move_mount,
            libc::SYS_pivot_root,
        ],
    );
    set(&mut classes, class::REMOVE, &[libc::SYS_unlinkat]);
    set(
        &mut classes,
        class::UNSEEN,
        &[libc::SYS_mq_open, libc::SYS_swapon, libc::SYS_acct],
    );
    set(&mut classes, class::CONTROL, &[libc::SYS_ioctl]);
    if has_pidfs {
        set(&mut classes, class::OPEN, &[libc::SYS_pidfd_open]);
    }
    set(&mut classes, class::FANOTIFY, &[libc::SYS_fanotify_init]);
    classes
}

/// The same for 32-bit programs on x86-64 (`arch/x86/entry/syscalls/syscall_32.tbl`). Their opens return descriptors like
/// any other; their connections are counted as a loss.
pub(super) fn compat() -> Classes {
    let mut classes = [class::NONE; CLASSES];
    // open, creat, openat, open_by_handle_at, openat2
    set(&mut classes, class::OPEN, &[5, 8, 295, 342, 437]);
    // rename, mount, umount, rmdir, umount2, pivot_root, renameat, renameat2, move_mount
    set(&mut classes, class::RENAME, &[38, 21, 22, 40, 52, 217, 302, 353, 429]);
    // unlinkat
    set(&mut classes, class::REMOVE, &[301]);
    // old mmap, socketcall, unshare, sendmmsg, setns, connect, listen, sendto, sendmsg
    set(
        &mut classes,
        class::FOREIGN,
        &[90, 102, 310, 345, 346, 362, 363, 369, 370],
    );
    // mmap2
    set(&mut classes, class::MAP_32, &[192]);
    // io_uring_setup, io_uring_enter
    set(&mut classes, class::URING, &[425, 426]);
    // acct, swapon, mq_open, fanotify_init
    set(&mut classes, class::UNSEEN, &[51, 87, 277, 338]);
    classes
}

fn set(classes: &mut Classes, class: u8, numbers: &[libc::c_long]) {
    for number in numbers {
        if let Some(slot) = usize::try_from(*number).ok().and_then(|number| classes.get_mut(number)) {
            *slot = class;
        }
    }
}
