//! bpf(2) calls that aya 0.14 does not make: reading a hash table in batches, and a program's missed runs.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use profiler_common::pod::{self, Pod};

/// Commands of bpf(2) (include/uapi/linux/bpf.h).
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_MAP_LOOKUP_BATCH: libc::c_int = 24;

/// How many entries one call reads at first. A bucket that does not fit makes the kernel answer ENOSPC.
const BATCH: u32 = 4096;

/// The part of `union bpf_attr` for `BPF_MAP_LOOKUP_BATCH`.
#[repr(C)]
struct BatchAttribute {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoAttribute {
    fd: u32,
    length: u32,
    info: u64,
}

/// Calls `each` for every entry of a hash table (Linux 5.6 and newer). Entries that are inserted meanwhile may be
/// missing; the next reading has them. None is shown twice, because nothing is removed.
///
/// # Errors
/// What the kernel answers.
pub fn for_each<K: Pod, V: Pod>(map: BorrowedFd<'_>, mut each: impl FnMut(K, V)) -> io::Result<()> {
    let mut room = BATCH as usize;
    let (mut keys, mut values) = (vec![pod::zeroed::<K>(); room], vec![pod::zeroed::<V>(); room]);
    let (mut position, mut next, mut started) = (0_u64, 0_u64, false);
    loop {
        let mut attribute = BatchAttribute {
            in_batch: if started { &raw const position as u64 } else { 0 },
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: u32::try_from(room).unwrap_or(u32::MAX),
            map_fd: map.as_raw_fd().cast_unsigned(),
            elem_flags: 0,
            flags: 0,
        };
        // SAFETY: the buffers live through the call and hold `count` keys and values of the map's sizes.
        let done = match unsafe { bpf(BPF_MAP_LOOKUP_BATCH, &mut attribute) } {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                keys.resize(room, pod::zeroed());
                values.resize(room, pod::zeroed());
                continue;
            }
            Err(error) => return Err(error),
        };
        keys.iter().zip(&values).take(attribute.count as usize).for_each(|(key, value)| each(*key, *value));
        if done {
            return Ok(());
        }
        (position, started) = (next, true);
    }
}

/// How often the kernel skipped a program because it was already running on that processor. 0 on kernels that do not
/// count it (before 5.12).
///
/// # Errors
/// What the kernel answers.
pub fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    // struct bpf_prog_info; the kernel fills in as much as it knows and leaves the rest zero.
    let mut info = [0_u64; 29];
    let mut attribute = InfoAttribute {
        fd: program.as_raw_fd().cast_unsigned(),
        length: u32::try_from(size_of_val(&info)).unwrap_or(u32::MAX),
        info: info.as_mut_ptr() as u64,
    };
    // SAFETY: the buffer lives through the call and has `length` bytes.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute) }?;
    // recursion_misses is the 8 bytes at offset 208 (include/uapi/linux/bpf.h, unchanged since 5.12).
    Ok(info.get(26).copied().unwrap_or_default())
}

/// The system call.
///
/// # Safety
/// `attribute` is what `command` takes, and the addresses in it are valid for it.
unsafe fn bpf<T>(command: libc::c_int, attribute: &mut T) -> io::Result<()> {
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
