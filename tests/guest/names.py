"""A resolver at port 53 of a network that nobody else has, and who asks it by the C library."""
import ctypes, os, socket, struct, subprocess, sys, threading
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET, CLONE_NEWNS, MS_BIND, MS_REC_PRIVATE = 0x40000000, 0x00020000, 4096, 0x44000
assert libc.unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
assert libc.mount(None, b"/", None, MS_REC_PRIVATE, None) == 0
for name, text in [("resolv.conf", "nameserver 127.0.0.1\noptions timeout:5\n"), ("nsswitch.conf", "hosts: dns\n"), ("hosts", "")]:
    file = os.path.join(sys.argv[1], name)
    with open(file, "w") as writing:
        writing.write(text)
    if os.path.exists("/etc/" + name):
        assert libc.mount(file.encode(), b"/etc/" + name.encode(), None, MS_BIND, None) == 0, name
import fcntl
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    # SIOCSIFFLAGS: IFF_UP
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))

def encoded(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
def record(name, kind, data):
    return name + struct.pack(">HHIH", kind, 1, 60, len(data)) + data
ZONE = {
    "db.example": [("192.0.2.1", None)],
    "www.example": [("192.0.2.2", "cdn.example")],
    "six.example": [("2001:db8::6", None)],
    "many.example": [("192.0.2.%d" % n, None) for n in range(100, 200)],
}
def answer(query):
    name, at = [], 12
    while query[at]:
        name.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    kind, = struct.unpack(">H", query[at + 1:at + 3])
    name, records = ".".join(name), []
    if name == "broken.example":
        return query[:2] + b"\x81\x80\0\1\0\7\0\0\0\0" + query[12:at + 5]
    for address, alias in ZONE.get(name, []):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        if (kind == 28) == (family == socket.AF_INET6):
            owner = b"\xc0\x0c"
            if alias:
                records.append(record(owner, 5, encoded(alias)))
                owner = encoded(alias)
            records.append(record(owner, kind, socket.inet_pton(family, address)))
    error = 0 if name in ZONE else 3
    return query[:2] + struct.pack(">HHHHH", 0x8180 | error, 1, len(records), 0, 0) + query[12:at + 5] + b"".join(records)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
def serve():
    while True:
        query, client = server.recvfrom(4096)
        server.sendto(answer(query), client)
threading.Thread(target=serve, daemon=True).start()

def reach(address, port):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as reaching:
        reaching.connect_ex((address, port))
def resolve(name):
    try:
        return [found[4][0] for found in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)]
    except socket.gaierror:
        return []
assert resolve("no.such.example") == [] and resolve("missing.example") == []
# Before anybody asks for it, and behind that.
reach("192.0.2.1", 1)
[address] = resolve("db.example")
reach(address, 2)
reach(address, 2)
# What is no answer of a resolver passes, whatever it is.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
    other.bind(("127.0.0.1", 0))
    for rubbish in [b"", b"x", bytes(11), bytes(4000)]:
        server.sendto(rubbish, other.getsockname())
        assert other.recv(5000) == rubbish
[address] = resolve("WWW.example.")
reach(address, 3)
[address] = resolve("six.example")
reach(address, 4)
# By a library of its own, of which the kernel shows as much: the answer has more bytes than are looked at.
def ask(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.sendto(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + encoded(name) + b"\0\1\0\1", ("127.0.0.1", 53))
        return asking.recv(5000)
assert len(ask("many.example")) > 1232
ask("broken.example")
reach("192.0.2.100", 5)
reach("192.0.2.199", 6)
# Addresses rotate, and names share them.
ZONE["db.example"] = [("192.0.2.7", None)]
reach(resolve("db.example")[0], 7)
ZONE["other.example"] = [("192.0.2.7", None)]
reach(resolve("other.example")[0], 8)
