"""The far side of sandbox.py: locks itself up, runs the code, and asks the parent for what it may only see at a price.

It runs as a script under ``python -I -S``; the parent imports only :func:`pack` and :func:`unpack`. Nothing here is
secret: whoever takes over this process can say nothing but what an honest function could have answered.
"""

import json
import os
import sys
import time
from functools import partialmethod

MANY = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "bytes": bytes}
HARMLESS = frozenset(  # functions of the system that no code can do damage with; all others are taken away
    "_exit abort access close cpu_count device_encoding fspath fstat get_inheritable get_terminal_size getcwd getcwdb "
    "getegid geteuid getgid getloadavg getpid getppid getrandom getuid isatty listdir lseek lstat open read readlink "
    "register_at_fork scandir sched_getaffinity sched_yield stat strerror sysconf times uname urandom "
    "waitstatus_to_exitcode write".split()
)
REFUSED = frozenset(  # modules whose C code acts without an audit event
    "_cffi_backend _ctypes _curses _curses_panel _dbm _gdbm _interpchannels _interpqueues _interpreters "
    "_multiprocessing _posixshmem _posixsubprocess _remote_debugging _ssl _tkinter cffi ctypes multiprocessing nis "
    "ossaudiodev readline spwd tkinter".split()
)
ALLOWED = frozenset(  # audit events of ordinary code; "import", "open" and listings are looked into, the rest refused
    "array.__new__ builtins.id builtins.input builtins.input/result compile exec function.__new__ marshal.loads "
    "object.__delattr__ object.__getattr__ object.__setattr__ pickle.find_class sys._getframe "
    "sys._getframemodulename sys.excepthook sys.unraisablehook time.sleep".split()
)


def pack(x, special):
    """Plain data as JSON can hold it; ``special`` packs what only one side knows, or returns None."""
    if x is None:
        return None
    for kind in (bool, int, float, str):
        if isinstance(x, kind):
            return kind(x)  # of a subclass only the value travels, so an answer can't bring an ``==`` of its own
    packed = special(x)
    if packed is not None:
        return packed
    if isinstance(x, dict):
        return {"dict": [[pack(k, special), pack(v, special)] for k, v in x.items()]}
    for name, kind in MANY.items():
        if isinstance(x, kind):
            return {name: [pack(y, special) for y in x]}
    if hasattr(type(x), "__next__"):
        return {"iterator": [pack(y, special) for y in x]}
    raise TypeError(f"{type(x).__name__} is not plain data")


def unpack(x, special):
    """The inverse of :func:`pack`; ``special``: name -> function, for what only one side knows."""
    if type(x) is not dict:
        return x
    [(name, held)] = x.items()
    if name in special:
        return special[name](held)
    if name == "dict":
        return {unpack(k, special): unpack(v, special) for k, v in held}
    items = [unpack(y, special) for y in held]
    return iter(items) if name == "iterator" else MANY[name](items)


class Link:
    """Messages to and from the parent, one line of JSON each."""

    def __init__(self, fd: int):
        self.reader, self.writer = open(fd, "rb"), open(fd, "wb", closefd=False)

    def send(self, message: dict) -> None:
        """Say one thing."""
        self.writer.write(json.dumps(message).encode() + b"\n")
        self.writer.flush()

    def receive(self) -> dict:
        """Wait for one thing."""
        return json.loads(self.reader.readline())

    def ask(self, message: dict):
        """What the parent grants; RuntimeError where it refuses."""
        self.send(message)
        said = self.receive()
        if "refused" in said:
            raise RuntimeError(said["refused"])
        return said["granted"]


class Counted:
    """A list that the parent holds: one element a read, and whatever else a list can do at the price of all of them."""

    __class__ = property(lambda self: list)  # so that isinstance says what the task says
    __hash__ = None

    def __init__(self, link: Link, handle: int, length: int):
        self._link, self._handle, self._length, self._copy = link, handle, length, None

    def _read(self, places: range) -> list:
        return [unpack(y, {}) for y in self._link.ask({"read": [self._handle, list(places)]})]

    def _whole(self) -> list:
        if self._copy is None:  # what is paid for may be kept, and changed
            self._copy = self._read(range(self._length))
        return self._copy

    def __len__(self):
        return self._length if self._copy is None else len(self._copy)

    def __getitem__(self, i):
        if self._copy is not None:
            return self._copy[i]
        places = range(self._length)[i]
        return self._read(places) if isinstance(i, slice) else self._read([places])[0]

    def __iter__(self):
        i = 0
        while i < len(self):
            yield self[i]
            i += 1

    def __reversed__(self):
        return (self[i] for i in range(len(self) - 1, -1, -1))

    def __contains__(self, x):
        return any(x == y for y in self)

    def index(self, x, start=0, stop=sys.maxsize):
        """The first place of ``x``, found by reading up to it."""
        for i in range(len(self))[start:stop]:
            if self[i] == x:
                return i
        raise ValueError(f"{x!r} is not in list")


def _paid(name: str):
    def method(self, *args, **kwargs):
        args = [a._whole() if type(a) is Counted else a for a in args]
        return getattr(self._whole(), name)(*args, **kwargs)

    return method


_OWN = {f"__{name}__" for name in "repr reduce_ex eq ne lt le gt ge".split()}  # object has these, a list its own
for _name in {*dir(list)} - {*dir(object)} - {*vars(Counted)} | _OWN:
    setattr(Counted, _name, _paid(_name))
Counted.__radd__ = lambda self, other: other + self._whole()


class Ranked:
    """A number that the parent holds; a comparison, and anything else that tells its value, costs one."""

    def __init__(self, link: Link, handle: int):
        self._link, self._handle = link, handle

    def _ask(self, op: str, other=None):
        if not (other is None or type(other) is Ranked or isinstance(other, (int, float))):
            return NotImplemented
        return self._link.ask({"compare": [self._handle, op, pack(other, _packed)]})

    def __int__(self):
        return self._ask("value")

    def __hash__(self):
        return hash(self._ask("value"))


for _op in ("lt", "le", "gt", "ge", "eq"):
    setattr(Ranked, f"__{_op}__", partialmethod(Ranked._ask, _op))


def _packed(x):
    if type(x) is Ranked:
        return {"ranked": x._handle}
    return {"list": [pack(y, _packed) for y in x]} if type(x) is Counted else None


def lock(seconds: int, megabytes: int) -> None:
    """Give up, for good, what the code must not have."""
    import _imp
    import _thread
    import posix
    import resource

    for kind, limit in (
        (resource.RLIMIT_CPU, (seconds, seconds + 1)),
        (resource.RLIMIT_FSIZE, (0, 0)),
        (resource.RLIMIT_NPROC, (0, 0)),
        (resource.RLIMIT_CORE, (0, 0)),
    ):
        resource.setrlimit(kind, limit)
    if sys.platform != "darwin":  # which has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20,) * 2)
    for name in set(sys.builtin_module_names) - REFUSED:
        if not name.startswith(("_test", "xx", "_xx")):
            __import__(name)
    del _imp.create_builtin  # it would make refused modules, and whole ones of those stripped below, without an event

    def without(module, names):
        for name in set(names) & set(vars(module)):
            taken.append(getattr(module, name))
            says = f"this code may not use {module.__name__}.{name}"

            def refused(*_, _says=says, **__):
                raise PermissionError(_says)

            setattr(module, name, refused)

    taken = []
    for module in (posix, os):
        functions = [n for n, f in vars(module).items() if type(f) is type(len) and not n.startswith("_path_")]
        without(module, [n for n in functions if n not in HARMLESS])
    without(_thread, ["start_new_thread", "start_new", "start_joinable_thread"])  # without an event before Python 3.12
    without(time, ["clock_settime", "clock_settime_ns"])
    without(sys, ["activate_stack_trampoline", "remote_exec"])
    for value in vars(os).values():
        if type(value) is set:  # os.supports_dir_fd and its like hold the functions themselves
            value.difference_update(taken)
    roots = [p for path in sys.path if path for p in (path, os.path.realpath(path))]
    sys.addaudithook(_hook(tuple(p + os.sep for p in roots)))


def _hook(roots: tuple):
    # All that the hook uses is a default or a method of an exact str or int: it looks nothing up that code can replace.
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def hook(
        event, args, *, roots=roots, writes=writes, allowed=ALLOWED, modules=REFUSED, type=type, str=str, int=int,
        error=PermissionError,
    ):  # fmt: skip
        if event in allowed:
            return
        path = args[0] if args else None
        if event == "import":
            top = path.split(".")[0] if type(path) is str else "_xx"
            if top in modules or top.startswith(("_test", "xx", "_xx")):
                raise error("this code may not import " + top)
            path = args[1]
            if path is None:
                return
        elif event == "open":
            mode, flags = args[1], args[2]
            if type(flags) is not int or flags & writes or type(mode) is str and mode.strip("rbtU"):
                raise error("this code may not write files")
        elif event != "os.listdir" and event != "os.scandir":
            raise error("this code may not use " + event)
        inside = type(path) is str and (path + "/").startswith(roots) and "/.." not in path
        if not inside or "/site-packages/" in path or "/dist-packages/" in path:
            raise error("this code may not open files outside Python's library")

    return hook


def said(e: BaseException) -> list[str]:
    """An exception's name and text, which is the code's own and may fail as well."""
    try:
        return [type(e).__name__, str(e)[:200]]
    except BaseException:
        return ["Exception", "without a text"]


def _defined(name: str, x):
    kind = "module" if type(x) is type(sys) else "function" if callable(x) else None
    return {kind: name} if kind else pack(x, _packed)


def serve(link: Link) -> None:
    """Run the code, then call its functions as the parent says."""
    space, job = {"__name__": "answer"}, link.receive()
    try:
        exec(compile(job["code"], "<answer>", "exec"), space)
        link.send({"answer": {"dict": [[n, _defined(n, space[n])] for n in job["names"] if n in space]}})
    except BaseException as e:
        return link.send({"raised": said(e)})
    special = {"ranked": lambda handle: Ranked(link, handle), "counted": lambda held: Counted(link, *held)}
    while True:
        call = link.receive()
        try:
            args = [unpack(a, special) for a in call["args"]]
            link.send({"answer": pack(space[call["call"]](*args), _packed)})
        except BaseException as e:
            link.send({"raised": said(e)})


def main() -> None:
    """Take the line from standard input, lock, say so, and serve until the parent ends it."""
    end, link = os._exit, Link(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    try:
        lock(int(sys.argv[1]), int(sys.argv[2]))
        link.send({"answer": None})
        serve(link)
    except Exception as e:
        link.send({"raised": said(e)})
    finally:
        end(0)  # not the interpreter's own end, at which code could run after the hook is gone


if __name__ == "__main__":
    main()
