# The calls that the tests' workloads are written with: each one of them makes the system calls that it names and no other
# opens or executions. Run with python3 -I -S -c, which reads no file of the folder that it starts in.
import ctypes, os, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
HERE = os.getcwd()
BIND, MOVE, RECURSIVE, PRIVATE, DETACH = 0x1000, 0x2000, 0x4000, 0x40000, 2  # include/uapi/linux/mount.h, umount2(2)
EMPTY_PATH = 0x1000


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def opened(path, flags=os.O_RDONLY, **options):
    return os.open(path, flags, 0o755, **options)


def touch(path, flags=os.O_RDONLY, times=1, **options):
    for _ in range(times):
        os.close(opened(path, flags, **options))


def create(path):
    touch(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)


def write(path, text):
    descriptor = opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, text.encode())
    os.close(descriptor)


def read(path):
    descriptor = opened(path)
    size = os.fstat(descriptor).st_size
    content = b"".join(iter(lambda: os.read(descriptor, 1 << 20), b""))
    assert len(content) == size
    os.close(descriptor)
    return content


def mount(source, target, kind=None, flags=0, data=None):
    words = [word if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    check(libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]))


def unmount(target, flags=0):
    check(libc.umount2(os.fsencode(target), flags))


def own_mounts():
    check(libc.unshare(0x20000))  # CLONE_NEWNS
    mount(None, "/", flags=RECURSIVE | PRIVATE)


def pivot_root(new, old):
    check(libc.syscall(155, os.fsencode(new), os.fsencode(old)))


def in_child(action):
    process = os.fork()
    if process == 0:
        try:
            action()
        finally:
            os._exit(99)
    return ended(process)


def ended(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def run(*command):
    assert ended(os.posix_spawn(command[0], command, {})) == 0, command


def execute_descriptor(descriptor, path="", flags=EMPTY_PATH):
    arguments, environment = (ctypes.c_char_p * 2)(b"program", None), (ctypes.c_char_p * 1)(None)
    check(libc.syscall(322, descriptor, os.fsencode(path), arguments, environment, flags))


def born_in(cgroup, action):
    folder = opened(cgroup, os.O_PATH | os.O_DIRECTORY)
    # struct clone_args: CLONE_INTO_CGROUP, SIGCHLD and the cgroup (include/uapi/linux/sched.h).
    arguments = (ctypes.c_uint64 * 11)(0x200000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, folder)
    process = check(libc.syscall(435, arguments, ctypes.sizeof(arguments)))
    if process == 0:
        try:
            action()
        finally:
            os._exit(99)
    return ended(process)


def own_cgroup():
    [path] = [line[3:].strip() for line in read_lines("/proc/self/cgroup") if line.startswith("0::")]
    [mount] = [line.split()[4] for line in read_lines("/proc/self/mountinfo") if " - cgroup2 " in line][:1]
    return mount + path


def read_lines(path):
    with open(path) as file:
        return file.readlines()
