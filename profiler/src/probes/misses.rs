//! What each backend cannot see, and why: `profile doctor` lists it.

use super::backend::Backend;

/// What no backend sees. A descriptor that is received (`SCM_RIGHTS`, `pidfd_getfd(2)`) is not among it: nothing is opened
/// then, and no policy on opens sees it either.
const ALL: [&str; 4] = [
    "connections and sends of other families than IPv4, IPv6 and Unix sockets, and of Unix sockets without a path",
    "SCTP's connections by sendmsg and sctp_connectx",
    "Unix sockets that take connections",
    "memory that is made executable after it was mapped (mprotect), as shared memory (shmat), or because the program's \
     personality says that what is read may be executed",
];

/// What shows in no system call, or not in a way that can be followed.
const SYSTEM_CALLS: [&str; 11] = [
    "what io_uring opens, connects and sends: each set-up and entry is counted as loss (io_uring); a ring that the kernel \
     polls, made before the window, is not noticed",
    "to which Unix socket a datagram goes by sendto or sendmsg with an address: counted as loss (unix_datagram)",
    "connections, sends and listens of 32-bit programs and of the 32-bit entry (int 0x80): counted as loss (foreign_abi); \
     their opens and mappings are seen",
    "which files are opened by other calls than open, openat, openat2, creat and open_by_handle_at, or by the kernel for a \
     program: ioctl(TIOCGPTPEER), mq_open, fanotify events, core dumps, process accounting (acct), swap files (swapon); the \
     calls and the dumps are counted as loss (unseen_open), TIOCGPTPEER of 32-bit programs is not",
    "opens that the kernel makes on an overlay when a file of a lower layer is changed for the first time (written, chmod, \
     chown, link, rename): that file in its layer, and one without a name",
    "what fails only after the hooks that a policy sits on: executing a text without #! (ENOEXEC; shells then run it \
     themselves), opening a FIFO that nobody reads, /dev/tty without a terminal, a device that is not there",
    "what the kernel opens without a path since Linux 6.9: namespace files by ioctl (NS_GET_USERNS and the like, SIOCGSKNS), and \
     pidfds by other calls than pidfd_open (clone with CLONE_PIDFD, SO_PEERPIDFD)",
    "addresses that another thread replaces while sendmmsg sends: they are read when it has ended; and sendmsg and sendmmsg of \
     x32 programs",
    "an open whose descriptor another thread replaces before the call returns: counted as loss where nothing is left",
    "renames that io_uring makes: paths below a directory renamed that way keep their old name",
    "user namespaces that setns(2) enters without being told their type; of 32-bit programs every unshare and setns is \
     counted as loss (foreign_abi)",
];

/// What is the other way round at the hooks.
const HOOKS: [&str; 4] = [
    "how an open, a mapping, a send or a listen ends after the security modules have allowed it: one that fails then is \
     counted, too, as a policy at that place sees it",
    "how often messages of one sendmmsg go to the address of the message before: the security modules are asked once",
    "move_mount and pivot_root of 32-bit programs: paths below keep their old names",
    "before Linux 5.12, whose work it is that io_uring's kernel threads do: they are in no container",
];

const ENDS: [&str; 1] = [
    "the results of connections, and renames and mounts, whose ends the kernel does not tell while it has taken the processor \
     away from a task inside of the same program: counted as loss (probe_missed), and every path is looked at again",
];

const FEXIT: [&str; 1] = [
    "what the kernel does while it has taken the processor away from a task inside of the same program: counted as loss \
     (probe_missed)",
];

const KPROBE: [&str; 2] = [
    "what a security module refuses: it is counted as if it had been allowed",
    "events while a preempted task is in a map call of bpf(2), which not every kernel counts: windows say `lossy`",
];

impl Backend {
    /// What it cannot see.
    pub fn misses(self) -> Vec<String> {
        let own: &[&[&str]] = match self {
            Self::Lsm => &[&HOOKS, &ENDS],
            Self::Fentry => &[&HOOKS, &FEXIT],
            Self::Tracepoint => &[&SYSTEM_CALLS],
            Self::Kprobe => &[&HOOKS, &KPROBE],
        };
        let all = own.iter().flat_map(|part| part.iter()).chain(&ALL);
        all.map(|missed| (*missed).to_owned()).collect()
    }
}
