//! bpf(2) calls that aya 0.14 does not make: reading a hash table in batches, making another table like one that is there,
//! and a program's missed runs.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use profiler_common::pod::{self, Pod};

/// Commands of bpf(2) (include/uapi/linux/bpf.h).
const BPF_MAP_CREATE: libc::c_int = 0;
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
            Ok(_) => false,
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                room *= 2;
                keys.resize(room, pod::zeroed());
                values.resize(room, pod::zeroed());
                continue;
            }
            Err(error) => return Err(error),
        };
        keys.iter()
            .zip(&values)
            .take(attribute.count as usize)
            .for_each(|(key, value)| each(*key, *value));
        if done {
            return Ok(());
        }
        (position, started) = (next, true);
    }
}

/// The first fields of `struct bpf_map_info`, unchanged since 4.18.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    map_type: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    name: [u8; 16],
    ifindex: u32,
    btf_vmlinux_value_type_id: u32,
    netns_dev: u64,
    netns_ino: u64,
    btf_id: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    padding: u32,
}

/// The first fields of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
#[derive(Default)]
struct CreateAttribute {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
}

/// The type information of a table that was just loaded. The loader holds it open; to ask the kernel for it by its number
/// takes `CAP_SYS_ADMIN`.
///
/// # Errors
/// What the kernel answers.
pub fn types_of(map: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// `struct bpf_btf_info`.
    #[repr(C)]
    #[derive(Default)]
    struct BtfInfo {
        btf: u64,
        btf_size: u32,
        id: u32,
    }
    let wanted = info::<MapInfo>(map)?.btf_id;
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok());
        let is_btf = std::fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == "anon_inode:btf");
        if let Some(number) = number.filter(|_| is_btf) {
            // SAFETY: it was open a moment ago, and the loader, which has opened it, closes nothing meanwhile.
            let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
            if info::<BtfInfo>(descriptor)?.id == wanted {
                return descriptor.try_clone_to_owned();
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "the loader does not hold it open",
    ))
}

/// An empty table of the same shape as `model`, with its type information. Takes `CAP_BPF`.
///
/// # Errors
/// What the kernel answers.
pub fn create_like(model: BorrowedFd<'_>, types: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let info: MapInfo = info(model)?;
    let mut attribute = CreateAttribute {
        map_type: info.map_type,
        key_size: info.key_size,
        value_size: info.value_size,
        max_entries: info.max_entries,
        map_flags: info.map_flags,
        map_name: info.name,
        btf_fd: types.as_raw_fd().cast_unsigned(),
        btf_key_type_id: info.btf_key_type_id,
        btf_value_type_id: info.btf_value_type_id,
        ..CreateAttribute::default()
    };
    // SAFETY: the attribute holds no addresses.
    unsafe { bpf_fd(BPF_MAP_CREATE, &mut attribute) }
}

/// How often the kernel skipped a program because it was already running on that processor. 0 on kernels that do not
/// count it (before 5.12).
///
/// # Errors
/// What the kernel answers.
pub fn recursion_misses(program: BorrowedFd<'_>) -> io::Result<u64> {
    /// `struct bpf_prog_info`: `recursion_misses` is the 8 bytes at offset 208, since 5.12.
    #[repr(C)]
    #[derive(Default)]
    struct ProgramInfo {
        earlier: [u64; 26],
        recursion_misses: u64,
    }
    Ok(info::<ProgramInfo>(program)?.recursion_misses)
}

/// What the kernel knows about a map or a program. It fills in as much as it knows and we have room for; the rest stays.
fn info<T: Default>(object: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    let mut attribute = InfoAttribute {
        fd: object.as_raw_fd().cast_unsigned(),
        length: u32::try_from(size_of::<T>()).unwrap_or(u32::MAX),
        info: &raw mut info as u64,
    };
    // SAFETY: `info` lives through the call and has `length` bytes; the types that it is used with are integers only.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attribute) }?;
    Ok(info)
}

/// A system call that returns a descriptor.
///
/// # Safety
/// As [`bpf`], and `command` returns a descriptor that is ours to close.
unsafe fn bpf_fd<T>(command: libc::c_int, attribute: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let descriptor = unsafe { bpf(command, attribute) }?;
    // SAFETY: the caller's promise.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The system call.
///
/// # Safety
/// `attribute` is what `command` takes, and the addresses in it are valid for it.
unsafe fn bpf<T>(command: libc::c_int, attribute: &mut T) -> io::Result<libc::c_int> {
    // SAFETY: the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attribute, size_of::<T>()) };
    match libc::c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}
