# What the tests in other kernels let a container do. Written with calls.py; PEER and FLOOD are set before, and promises.rs has made
# the mounts. Nothing below /proc/PID is opened: no list of exact paths foresees the number.
import http.server, socket, threading

os.mkdir("work")
os.chdir("work")
HERE = os.getcwd()


def copy(source, target):
    descriptor = opened(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(descriptor, read(source))
    os.close(descriptor)


# By more processes than there are processors, which the kernel takes turns with, while the counters are read.
create("flood")
children = []
for _ in range(8):
    children.append(os.fork())
    if children[-1] == 0:
        touch("flood", times=FLOOD)
        os._exit(0)
for child in children:
    assert ended(child) == 0

# Often, and at the same time.
create("often")
threads = [threading.Thread(target=touch, args=("often",), kwargs={"times": 100}) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
copy("/usr/bin/true", "program")
for _ in range(20):
    run("./program")
    socket.create_connection(PEER).close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.connect(PEER)

# Without a connection, and not by the network.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
    for _ in range(3):
        datagrams.sendto(b"datagram", PEER)
    datagrams.sendmsg([b"datagram"], [], 0, PEER)
with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagrams:
    datagrams.sendto(b"datagram", ("::ffff:" + PEER[0], PEER[1]))
with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
    server.bind("socket")
    server.listen()
    client.connect("socket")
try:
    socket.create_connection(("127.0.0.1", 9))
except ConnectionRefusedError:
    pass

# A program that is executed with its owner's rights.
copy("/usr/bin/true", "raise")
os.chmod("raise", 0o4755)
run("./raise")

# By other names.
os.makedirs("a/b/c")
create("a/b/c/file")
os.symlink("a/b", "link")
touch("link/c/file", times=2)
os.chdir("a/b")
touch("../b/./c/file", times=3)
os.chdir(HERE)
touch("sp ace, caf\u00e9", os.O_RDWR | os.O_CREAT)

# A grandparent changes its name.
os.makedirs("before/parent")
create("before/parent/file")
touch("before/parent/file")
for _ in range(10):
    os.rename("before", "after")
    touch("after/parent/file", times=2)
    os.rename("after", "before")
    touch("before/parent/file")

# Two mounts of one directory, and an overlay.
os.chdir("../mounts")
touch("real/file")
touch("one/file", times=2)
touch("two/file", times=3)
touch("merged/below", times=2)
create("merged/above")
run("merged/program")
os.chdir(HERE)

# A root of its own. What is found out about its program is found out through the process, so it stays.
os.makedirs("jail/bin")
copy("/bin/busybox", "jail/bin/busybox")
create("jail/file")
reading, writing = os.pipe()
jailed = os.fork()
if jailed == 0:
    os.dup2(reading, 0)
    os.chroot("jail")
    os.chdir("/")
    touch("/file", times=2)
    touch("/")
    os.execve("/bin/busybox", ["busybox", "cat"], {})

# Without a name.
create("gone")
descriptor = opened("gone")
os.unlink("gone")
touch("/proc/self/fd/%d" % descriptor)
touch("/proc/self/fd/%d" % os.memfd_create("memory"), os.O_RDWR)
touch("/proc/self/fd/%d" % os.pipe()[0])
touch("often", os.O_PATH)

# Scripts, and what they call.
write("script", "#!/bin/sh\n/bin/ls / | /usr/bin/wc -l > lines\nread -r first < lines\n")
write("outer", "#!" + HERE + "/script argument\n")
write("env", "#!/usr/bin/env sh\n")
run("./script")
run(HERE + "/outer")
run("./env")

# A service.
write("page.html", "<p>page</p>")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8099), http.server.SimpleHTTPRequestHandler)
threading.Thread(target=server.serve_forever).start()
for _ in range(5):
    with socket.create_connection(server.server_address) as peer:
        peer.sendall(b"GET /page.html HTTP/1.0\r\n\r\n")
        assert b"200 OK" in peer.makefile("rb").read()
server.shutdown()
for address in [("127.0.0.1", 0), None]:
    with socket.socket() as anywhere:
        if address:
            anywhere.bind(address)
        anywhere.listen()

os.close(writing)
assert ended(jailed) == 0
