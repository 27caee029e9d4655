"""Becomes `profile run`, with a file system of its own that holds one program and never answers when a profiler asks.

Arguments: folder to mount at, program to serve as `program`, a file whose creation ends it, the command line of `profile
run`. Any other process, such as the command that it runs, gets its answers. The protocol: include/uapi/linux/fuse.h.
"""

import ctypes
import os
import select
import struct
import sys
import time

folder, program, release, command = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
content = open(program, "rb").read()
libc = ctypes.CDLL(None, use_errno=True)

device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hanging", folder.encode(), b"fuse", 0, options) != 0:
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

profiler = os.getpid()
if os.fork() != 0:
    os.execvp(command[0], command)

LOOKUP, FORGET, GETATTR, OPEN, READ, INIT, INTERRUPT, BATCH_FORGET = 1, 2, 3, 14, 15, 26, 36, 42
ROOT, FILE = 1, 2
ENOENT, ENOSYS = 2, 38
HOUR = 3600


def attributes(node):
    size, mode = (0, 0o40755) if node == ROOT else (len(content), 0o100755)
    return struct.pack("<6Q10I", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def is_profiler(process):
    """Whether it is `profile` itself, or what looks at files for it."""
    try:
        with open(f"/proc/{process}/cmdline") as line:
            return process == profiler or line.read().split("\0")[1:3] == ["look-up", str(profiler)]
    except OSError:
        return False


def answer(opcode, node, body):
    if opcode == INIT:
        return struct.pack("<4I2H2I2HI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 16, 0, 0, *[0] * 7)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != b"program":
            return -ENOENT
        return struct.pack("<4Q2I", FILE, 0, HOUR, HOUR, 0, 0) + attributes(FILE)
    if opcode == GETATTR:
        return struct.pack("<Q2I", HOUR, 0, 0) + attributes(node)
    if opcode == OPEN:
        return struct.pack("<Q2I", 0, 0, 0)
    if opcode == READ:
        offset, size = struct.unpack_from("<QI", body, 8)
        return content[offset : offset + size]
    return -ENOSYS


# When this ends, the kernel answers for it with an error. It does not outlive a test that fails.
end = time.monotonic() + 60
while time.monotonic() < end and not os.path.exists(release):
    if not select.select([device], [], [], 0.05)[0]:
        continue
    request = os.read(device, 1 << 20)
    _, opcode, unique, node, _, _, process, _ = struct.unpack_from("<2I2Q4I", request)
    if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
        continue
    if is_profiler(process):
        print("no answer to", process, flush=True)
        continue
    result = answer(opcode, node, request[40:])
    error, data = (result, b"") if isinstance(result, int) else (0, result)
    os.write(device, struct.pack("<IiQ", 16 + len(data), error, unique) + data)
