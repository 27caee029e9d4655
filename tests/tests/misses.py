"""Opens files and connects in ways that no system call of the probes' shows. Arguments: port, folder."""

import ctypes
import fcntl
import os
import resource
import socket
import struct
import sys

port, folder = int(sys.argv[1]), sys.argv[2]
libc = ctypes.CDLL(None, use_errno=True)


# A descriptor's path, asked for so that it is certain what was opened.
def path_of(descriptor):
    return os.readlink(f"/proc/self/fd/{descriptor}")


MSG_FASTOPEN = 0x20000000
stream = socket.socket()
stream.sendto(b"x", MSG_FASTOPEN, ("127.0.0.1", port))
print("connected:", stream.getpeername()[1])

with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
    receiver.bind(f"{folder}/datagrams")
    sender.sendto(b"datagram", f"{folder}/datagrams")
    print("received: a", receiver.recv(100).decode())

TIOCSPTLCK, TIOCGPTPEER = 0x40045431, 0x5441
terminal = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
fcntl.ioctl(terminal, TIOCSPTLCK, struct.pack("i", 0))
print("opened:", path_of(fcntl.ioctl(terminal, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)))

libc.mq_open.restype = ctypes.c_int
name = f"/wardline-test-{os.getpid()}".encode()
print("opened:", path_of(libc.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, None)))
libc.mq_unlink(name)

FAN_OPEN, AT_FDCWD = 0x20, -100
watched = f"{folder}/watched"
listener = libc.fanotify_init(0, os.O_RDONLY)
assert libc.fanotify_mark(listener, 1, ctypes.c_uint64(FAN_OPEN), AT_FDCWD, watched.encode()) == 0
os.close(os.open(watched, os.O_RDONLY))
event = os.read(listener, 4096)
print("opened:", path_of(struct.unpack_from("IBBHQii", event)[5]))

# Received, not opened: no hook of a policy sees it either.
left, right = socket.socketpair()
socket.send_fds(left, [b"x"], [listener])
socket.recv_fds(right, 1, 1)

os.chdir(folder)
child = os.fork()
if child == 0:
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    os.abort()
status = os.waitpid(child, 0)[1]
assert os.WIFSIGNALED(status)
print("dumped:", os.WCOREDUMP(status))
