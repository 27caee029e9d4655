//! Makes a known amount of noise: every step below says which calls it makes, and makes no others.
//!
//! Steps follow each other in one process: `workload open /etc/hosts 100000 4 then connect tcp 127.0.0.1:80 1000`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a workload that does not do what it was told must not go on"
)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
open FILE COUNT THREADS        opens for reading, COUNT in all
open-each FOLDER COUNT TIMES THREADS  opens FOLDER/0 to FOLDER/COUNT-1 for reading; TIMES times in each thread
open-counting FILE COUNTER     opens for reading until it is killed; the number so far is in the first 8 bytes of COUNTER
open-path FILE COUNT           opens with O_PATH
open-refused FILE COUNT ERROR  opens that fail with this errno
create FOLDER COUNT            creates FOLDER/0 to FOLDER/COUNT-1 for writing
exec FILE COUNT                executes without arguments, one after the other
exec-links FILE COUNT          executes it by ever new names, FILE.0 and so on
connect tcp|udp ADDRESS COUNT  connects, and closes again
reach ADDRESS COUNT            connects over UDP, whether or not there is a way to there
connect-failed ADDRESS COUNT ERROR    connects a TCP socket, which fails with this errno
connect-in-progress ADDRESS COUNT     connects a socket that does not wait
connect-untouched ADDRESS COUNT       connects to an address in memory that was never read or written
connect-invalid ADDRESS COUNT         connects that the kernel refuses at once, four each time
open-32 FILE COUNT             opens for reading, as a 32-bit program does
connect-32 ADDRESS COUNT       connects over UDP, as a 32-bit program does
become USER                    changes the user id
signalled NUMBER CODE          waits for the signal, then exits with CODE
sleep MILLISECONDS             sleeps
exit CODE                      exits";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for step in arguments.split(|argument| argument == "then") {
        let step: Vec<&str> = step.iter().map(String::as_str).collect();
        match step.as_slice() {
            ["open", file, count, threads] => open(file, number(count), number(threads)),
            ["open-each", folder, count, times, threads] => {
                open_each(folder, number(count), number(times), number(threads));
            }
            ["open-counting", file, counter] => open_counting(file, counter),
            ["open-path", file, count] => repeat(count, || drop(opened(file, libc::O_PATH).unwrap())),
            ["open-refused", file, count, error] => {
                repeat(count, || expect(opened(file, libc::O_RDONLY).map(drop), number(error)));
            }
            ["create", folder, count] => {
                (0..number(count)).for_each(|file| drop(File::create_new(format!("{folder}/{file}")).unwrap()));
            }
            ["exec-links", file, count] => (0..number(count)).for_each(|link| {
                let link = format!("{file}.{link}");
                std::fs::hard_link(file, &link).unwrap();
                assert!(Command::new(&link).status().unwrap().success(), "{link}");
            }),
            ["exec", file, count] => repeat(count, || {
                assert!(Command::new(file).status().unwrap().success(), "{file}");
            }),
            ["connect", "tcp", address, count] => repeat(count, || drop(TcpStream::connect(parse(address)).unwrap())),
            ["connect", "udp", address, count] => repeat(count, || connect_udp(parse(address))),
            ["reach", address, count] => repeat(count, || reach(parse(address))),
            ["connect-failed", address, count, error] => {
                repeat(count, || {
                    expect(TcpStream::connect(parse(address)).map(drop), number(error));
                });
            }
            ["connect-in-progress", address, count] => repeat(count, || {
                let socket = socket(parse(address), libc::SOCK_STREAM | libc::SOCK_NONBLOCK);
                expect(connect(socket.as_raw_fd(), &encoded(parse(address))), libc::EINPROGRESS);
            }),
            ["connect-untouched", address, count] => repeat(count, || connect_untouched(parse(address))),
            ["connect-invalid", address, count] => repeat(count, || connect_invalid(parse(address))),
            ["open-32", file, count] => open_32(file, count),
            ["connect-32", address, count] => connect_32(parse(address), count),
            ["become", user] => become_user(number(user)),
            ["signalled", signal, code] => signalled(number(signal), number(code)),
            ["sleep", milliseconds] => thread::sleep(Duration::from_millis(number(milliseconds))),
            ["exit", code] => std::process::exit(number(code)),
            _ => panic!("`{}` is no step; steps are\n{USAGE}", step.join(" ")),
        }
    }
}

fn number<N: std::str::FromStr>(text: &str) -> N {
    text.parse()
        .unwrap_or_else(|_| panic!("`{text}` is no number, or too large"))
}

fn parse(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|error| panic!("{address}: {error}"))
}

fn repeat(count: &str, mut step: impl FnMut()) {
    (0..number::<u64>(count)).for_each(|_| step());
}

/// The call must have failed like this.
fn expect(result: io::Result<()>, error: i32) {
    assert_eq!(result.map_err(|error| error.raw_os_error()), Err(Some(error)));
}

fn reading(file: &str) -> File {
    File::open(file).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// open(2) with bare flags: the standard library opens with none of its own but `O_CLOEXEC`.
fn opened(file: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
    let file = CString::new(file).unwrap();
    // SAFETY: `file` ends in NUL.
    owned(unsafe { libc::open(file.as_ptr(), flags | libc::O_CLOEXEC) })
}

fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn open(file: &str, count: u64, threads: u64) {
    thread::scope(|scope| {
        for thread in 0..threads {
            let share = count / threads + u64::from(thread < count % threads);
            scope.spawn(move || (0..share).for_each(|_| drop(reading(file))));
        }
    });
}

fn open_each(folder: &str, count: u64, times: u64, threads: u64) {
    let open_all = || (0..count).for_each(|file| drop(reading(&format!("{folder}/{file}"))));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..times).for_each(|_| open_all()));
        }
    });
}

fn open_counting(file: &str, counter: &str) {
    let counter = File::options().read(true).write(true).open(counter).unwrap();
    // SAFETY: maps the first page of a file that is open; nobody in this process knows the address but us.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            8,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            counter.as_raw_fd(),
            0,
        )
    };
    assert_ne!(address, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    // SAFETY: the mapping is never undone, a page is aligned, and the test only reads what is there.
    let counter = unsafe { &*address.cast::<AtomicU64>() };
    loop {
        drop(reading(file));
        counter.fetch_add(1, Ordering::SeqCst);
    }
}

fn connect_udp(address: SocketAddr) {
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    UdpSocket::bind(any).unwrap().connect(address).unwrap();
}

/// A connection over UDP sends nothing: without a way to the address it fails at once.
fn reach(address: SocketAddr) {
    let socket = socket(address, libc::SOCK_DGRAM);
    if let Err(error) = connect(socket.as_raw_fd(), &encoded(address)) {
        assert_eq!(error.raw_os_error(), Some(libc::ENETUNREACH), "{address}");
    }
}

/// A `struct sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)).
fn encoded(address: SocketAddr) -> Vec<u8> {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let mut bytes = u16::try_from(family).unwrap().to_ne_bytes().to_vec();
    bytes.extend(address.port().to_be_bytes());
    match address {
        SocketAddr::V4(address) => {
            bytes.extend(address.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(address) => {
            bytes.extend(address.flowinfo().to_be_bytes());
            bytes.extend(address.ip().octets());
            bytes.extend(address.scope_id().to_ne_bytes());
        }
    }
    bytes
}

fn socket(address: SocketAddr, kind: libc::c_int) -> OwnedFd {
    let family = if address.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    // SAFETY: three numbers.
    owned(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, 0) }).unwrap()
}

fn connect(socket: RawFd, address: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(address.len()).unwrap();
    // SAFETY: the address has `length` bytes.
    match unsafe { libc::connect(socket, address.as_ptr().cast(), length) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The address is in a page of a file that is mapped and was never touched, as a constant in a program that has just
/// started may be. The kernel reads it in only when the call does.
fn connect_untouched(address: SocketAddr) {
    let bytes = encoded(address);
    // SAFETY: a name that ends in NUL.
    let file = owned(unsafe { libc::memfd_create(c"address".as_ptr(), libc::MFD_CLOEXEC) }).unwrap();
    // SAFETY: writes what is in `bytes`, maps it, and uses only as much of it.
    let mapped = unsafe {
        let written = libc::write(file.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
        assert_eq!(usize::try_from(written), Ok(bytes.len()));
        libc::mmap(
            std::ptr::null_mut(),
            bytes.len(),
            libc::PROT_READ,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
            0,
        )
    };
    assert_ne!(mapped, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    let socket = socket(address, libc::SOCK_STREAM);
    // SAFETY: the mapping has as many bytes, and is removed after its last use.
    unsafe {
        connect(
            socket.as_raw_fd(),
            std::slice::from_raw_parts(mapped.cast(), bytes.len()),
        )
        .unwrap();
        libc::munmap(mapped, bytes.len());
    }
}

/// Three calls that fail before the network is asked: no such descriptor, another family than the socket's, and a
/// broadcast address without permission to broadcast.
fn connect_invalid(address: SocketAddr) {
    let (tcp, udp) = (socket(address, libc::SOCK_STREAM), socket(address, libc::SOCK_DGRAM));
    let other_family = encoded(SocketAddr::from(([0_u16; 8], address.port())));
    expect(connect(-1, &encoded(address)), libc::EBADF);
    // Longer than any address is (`move_addr_to_kernel`, net/socket.c): nobody looks at what it says.
    let mut long = encoded(address);
    long.resize(size_of::<libc::sockaddr_storage>() + 1, 0);
    expect(connect(tcp.as_raw_fd(), &long), libc::EINVAL);
    expect(connect(tcp.as_raw_fd(), &other_family), libc::EAFNOSUPPORT);
    expect(
        connect(
            udp.as_raw_fd(),
            &encoded(SocketAddr::from(([127, 255, 255, 255], address.port()))),
        ),
        libc::EACCES,
    );
}

fn become_user(user: libc::uid_t) {
    // SAFETY: three numbers.
    let result = unsafe { libc::setresuid(user, user, user) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

fn signalled(signal: libc::c_int, code: i32) {
    // SAFETY: the set is initialised before it is used, and lives as long as the calls.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        println!("waiting");
        let mut came = 0;
        libc::sigwait(&raw const set, &raw mut came);
    }
    std::process::exit(code);
}

/// A call through the entry of 32-bit programs, which every x86-64 program can use: its numbers are other ones, and its
/// pointers have to be below 4 GiB.
#[cfg(target_arch = "x86_64")]
fn call_32(number: u32, arguments: [u32; 3]) -> io::Result<RawFd> {
    let mut result = number;
    // SAFETY: the callers pass what the calls take. rbx is the compiler's own, so it is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first:r}",
            "int 0x80",
            "xchg rbx, {first:r}",
            first = inout(reg) u64::from(arguments[0]) => _,
            inout("eax") result,
            in("ecx") arguments[1],
            in("edx") arguments[2],
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    match result.cast_signed() {
        error @ -4095..0 => Err(io::Error::from_raw_os_error(-error)),
        result => Ok(result),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn call_32(_: u32, _: [u32; 3]) -> io::Result<RawFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The address of a copy of these bytes that 32 bits can hold. It stays until the program ends.
fn low(bytes: &[u8]) -> u32 {
    let (access, kind) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
    );
    // SAFETY: new memory of this size, which nobody else has, and the copy fits into it.
    let address = unsafe {
        let address = libc::mmap(std::ptr::null_mut(), bytes.len(), access, kind, -1, 0);
        assert_ne!(address, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), address.cast(), bytes.len());
        address
    };
    u32::try_from(address as usize).unwrap()
}

/// Numbers of `arch/x86/entry/syscalls/syscall_32.tbl`.
const OPEN_32: u32 = 5;
const CONNECT_32: u32 = 362;

fn open_32(file: &str, count: &str) {
    let path = low(CString::new(file).unwrap().as_bytes_with_nul());
    repeat(count, || drop(owned(call_32(OPEN_32, [path, 0, 0]).unwrap())));
}

fn connect_32(address: SocketAddr, count: &str) {
    let bytes = encoded(address);
    let (target, length) = (low(&bytes), u32::try_from(bytes.len()).unwrap());
    repeat(count, || {
        let socket = socket(address, libc::SOCK_DGRAM);
        call_32(CONNECT_32, [socket.as_raw_fd().cast_unsigned(), target, length]).unwrap();
    });
}
