//! Files, programs and sockets that the worker works with.

use std::fs;
use std::hint::black_box;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, OFlags};

use crate::figures::statistics::Spread;
use crate::work::{Effort, Operation};

/// The file of [`Operation::Open`].
pub(crate) const ONE_FILE: &str = "one";
/// The program of [`Operation::Execute`].
pub(crate) const ONE_PROGRAM: &str = "program";

/// What is worked with.
pub(crate) struct Place {
    folder: PathBuf,
    socket: UdpSocket,
    peer: UdpSocket,
    listener: TcpListener,
}

impl Place {
    /// Makes what is needed.
    pub(crate) fn make(folder: &Path) -> io::Result<Self> {
        for number in 0..Operation::FirstOpen.times(Effort::Full) {
            fs::write(folder.join(number.to_string()), "")?;
        }
        fs::write(folder.join(ONE_FILE), "")?;
        let program = folder.join(ONE_PROGRAM);
        compile_program(&program)?;
        for number in 0..Operation::FirstExecute.times(Effort::Full) {
            fs::copy(&program, new_program(folder, number))?;
        }
        let bind = || UdpSocket::bind("127.0.0.1:0");
        Ok(Self {
            folder: folder.to_owned(),
            socket: bind()?,
            peer: bind()?,
            listener: TcpListener::bind("127.0.0.1:0")?,
        })
    }

    /// Where [`Operation::Connect`] and [`Operation::ConnectTcp`] connect to.
    pub(crate) fn ports(&self) -> io::Result<[u16; 2]> {
        Ok([self.peer.local_addr()?.port(), self.listener.local_addr()?.port()])
    }

    /// Nanoseconds for one: the median of the rows. A row that was interrupted does not count.
    pub(crate) fn time(&self, operation: Operation, effort: Effort) -> io::Result<f64> {
        let times: Vec<Duration> = (0..operation.rows(effort))
            .map(|row| self.row(operation, row))
            .collect::<io::Result<_>>()?;
        let in_a_row = operation.in_a_row() as f64;
        let median = Spread::of(times.iter().map(|time| time.as_nanos() as f64 / in_a_row));
        Ok(median.map_or(f64::NAN, |spread| spread.median))
    }

    fn row(&self, operation: Operation, row: usize) -> io::Result<Duration> {
        let in_a_row = operation.in_a_row();
        let numbers = row * in_a_row..(row + 1) * in_a_row;
        match operation {
            Operation::Open => {
                let one = self.folder.join(ONE_FILE);
                timed(|| (0..in_a_row).try_for_each(|_| open_and_close(&one)))
            }
            Operation::FirstOpen => {
                let files: Vec<PathBuf> = numbers.map(|number| self.folder.join(number.to_string())).collect();
                timed(|| files.iter().try_for_each(|file| open_and_close(file)))
            }
            Operation::Unrelated => timed(|| {
                (0..in_a_row).for_each(|_| {
                    black_box(rustix::process::getppid());
                });
                Ok(())
            }),
            Operation::Connect => {
                let address = self.peer.local_addr()?;
                timed(|| (0..in_a_row).try_for_each(|_| self.socket.connect(address)))
            }
            Operation::FirstConnect => {
                // Nobody has to be there for a UDP socket. Port 1 and up.
                let address =
                    |number| SocketAddr::from(([127, 0, 0, 2], u16::try_from(number + 1).unwrap_or(u16::MAX)));
                let addresses: Vec<SocketAddr> = numbers.map(address).collect();
                timed(|| addresses.iter().try_for_each(|address| self.socket.connect(address)))
            }
            Operation::ConnectTcp => self.connect_tcp(in_a_row),
            Operation::Execute => {
                let program = self.folder.join(ONE_PROGRAM);
                timed(|| (0..in_a_row).try_for_each(|_| execute(&program)))
            }
            Operation::FirstExecute => {
                let programs: Vec<PathBuf> = numbers.map(|number| new_program(&self.folder, number)).collect();
                timed(|| programs.iter().try_for_each(|program| execute(program)))
            }
        }
    }

    /// Only `connect(2)` is timed. The sockets end without the minute of `TIME_WAIT` that keeps a port.
    fn connect_tcp(&self, count: usize) -> io::Result<Duration> {
        let SocketAddr::V4(address) = self.listener.local_addr()? else {
            return Err(io::Error::other("the listener has no IPv4 address"));
        };
        // SAFETY: all zeros are a valid address of no family.
        let mut encoded: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        encoded.sin_family = libc::sa_family_t::try_from(libc::AF_INET).map_err(io::Error::other)?;
        encoded.sin_port = address.port().to_be();
        encoded.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
        let sockets: Vec<OwnedFd> = (0..count).map(|_| tcp_socket()).collect::<io::Result<_>>()?;
        let time = timed(|| {
            sockets.iter().try_for_each(|socket| {
                // SAFETY: the address is as long as is said.
                check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const encoded).cast(), length(&encoded)) })
            })
        })?;
        for _ in &sockets {
            drop(self.listener.accept()?);
        }
        Ok(time)
    }
}

/// A socket whose end resets the connection.
fn tcp_socket() -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    check(socket)?;
    // SAFETY: it was just made, and is nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the option is as long as is said.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            length(&linger),
        )
    })?;
    Ok(socket)
}

/// Of what the kernel reads.
fn length<T>(value: &T) -> libc::socklen_t {
    // Addresses and options are shorter than a page.
    libc::socklen_t::try_from(size_of_val(value)).unwrap_or(libc::socklen_t::MAX)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn timed(work: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

pub(crate) fn open_and_close(path: &Path) -> io::Result<()> {
    // Not open(2), which rustix would call here: the C library calls this one, and the reference counts it.
    drop(rustix::fs::openat(CWD, path, OFlags::RDONLY, Mode::empty())?);
    Ok(())
}

pub(crate) fn execute(program: &Path) -> io::Result<()> {
    let status = Command::new(program).status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{}: {status}", program.display())))
    }
}

fn new_program(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{ONE_PROGRAM}-{number}"))
}

/// A program that only ends: without any library, so that starting it costs little beside what is measured.
pub(crate) fn compile_program(program: &Path) -> io::Result<()> {
    let source = program.with_extension("c");
    fs::write(&source, "#include <unistd.h>\nvoid _start(void) { _exit(0); }\n")?;
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let status = Command::new(&compiler)
        .args(["-static", "-nostartfiles", "-O1", "-o"])
        .args([program, &source])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{} could not compile {}: {status}; `make bench` installs what that takes",
            compiler.display(),
            source.display()
        )))
    }
}
