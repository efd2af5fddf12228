"""Runs code that a model wrote against tests, in a subprocess that can't reach the reader's files or the network.

The subprocess has limits on time, memory and file size, an empty folder of its own and no environment; an audit hook,
which Python code cannot remove, refuses every file outside Python's own library, every socket, process and foreign
library. It stops what a language model writes; it is not a prison for an attacker.
"""

import json
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from .errors import UserError

CHILD = r'''
import json, sys
job = json.loads(sys.stdin.read())

class Counted(list):
    """A list that may be read a limited number of times."""
    def __init__(self, xs, reads):
        super().__init__(xs)
        self.left = reads
    def _read(self, n):
        self.left -= n
        if self.left < 0:
            raise RuntimeError("too many elements were read")
    def __getitem__(self, i):
        self._read(len(range(*i.indices(len(self)))) if isinstance(i, slice) else 1)
        return super().__getitem__(i)
    def __iter__(self):
        for i in range(len(self)):
            yield self[i]
    def __reversed__(self):
        return iter([self[i] for i in range(len(self) - 1, -1, -1)])
    def __contains__(self, x):
        return any(x == y for y in self)
    def index(self, x, *a):
        for i, y in enumerate(self):
            if x == y:
                return i
        raise ValueError(x)
    def count(self, x):
        return sum(x == y for y in self)
    def copy(self):
        return [y for y in self]
    def __eq__(self, other):
        return [y for y in self] == other
    def sort(self, **k):
        self._read(len(self))
        super().sort(**k)

class Ranked:
    """A number whose comparisons are counted in a box that it shares with others."""
    def __init__(self, value, box):
        self.value, self.box = value, box
    @classmethod
    def many(cls, values, comparisons):
        box = [comparisons]
        return [cls(v, box) for v in values]
    def _other(self, other):
        self.box[0] -= 1
        if self.box[0] < 0:
            raise RuntimeError("too many comparisons")
        return getattr(other, "value", other)
    def __lt__(self, o): return self.value < self._other(o)
    def __gt__(self, o): return self.value > self._other(o)
    def __le__(self, o): return self.value <= self._other(o)
    def __ge__(self, o): return self.value >= self._other(o)
    def __eq__(self, o): return self.value == self._other(o)
    def __hash__(self): return hash(self.value)
    def __int__(self): return self.value

def lock():
    import os, resource
    resource.setrlimit(resource.RLIMIT_CPU, (job["seconds"], job["seconds"] + 1))
    resource.setrlimit(resource.RLIMIT_AS, (job["megabytes"] << 20,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    lib = tuple(os.path.realpath(p) + os.sep for p in sys.path if p and "site-packages" not in p)
    refused = ("socket", "subprocess", "os", "shutil", "ctypes", "signal", "urllib", "http", "ftplib", "smtplib", "pty",
               "webbrowser", "mmap", "fcntl", "glob", "tempfile", "sqlite3", "gc", "syslog", "resource")
    def hook(event, args, realpath=os.path.realpath, lib=lib):
        if event == "open":
            path, mode = args[0], args[1]
            write = isinstance(mode, str) and set(mode) & set("wax+")
            flags = args[2] if len(args) > 2 and isinstance(args[2], int) else 0
            if isinstance(path, str) and not write and not flags & 3 and realpath(path).startswith(lib):
                return
            raise PermissionError("this code may not open files")
        if event == "os.listdir" or event == "os.scandir":
            if isinstance(args[0], str) and (realpath(args[0]) + "/").startswith(lib):
                return
        if event.split(".")[0] in refused:
            raise PermissionError("this code may not use " + event)
    sys.addaudithook(hook)

out = {"results": [], "error": None}
lock()
space = {"__name__": "answer"}
try:
    exec(compile(job["code"], "<answer>", "exec"), space)
except BaseException as e:
    out["error"] = type(e).__name__ + ": " + str(e)[:200]
else:
    for test in job["tests"]:
        try:
            names = {"Counted": Counted, "Ranked": Ranked}
            passed = bool(eval(compile(test, "<test>", "eval"), {**space, **names}))
            out["results"].append("passed" if passed else "failed")
        except BaseException as e:
            out["results"].append(type(e).__name__ + ": " + str(e)[:200])
sys.__stdout__.write("\n" + job["mark"] + json.dumps(out))
sys.__stdout__.flush()
'''


@dataclass(frozen=True)
class Outcome:
    """What became of a piece of code: one result a test, and the error or limit that ended it, if any."""

    results: tuple[str, ...]
    error: str | None

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return self.error is None and bool(self.results) and all(r == "passed" for r in self.results)


def run_tests(code: str, tests: list[str], seconds: int = 5, megabytes: int = 512) -> Outcome:
    """Run ``code`` and evaluate each test (a Python expression that must be true) in the sandbox.

    The code's own failures are outcomes, never exceptions; :class:`UserError` where the system has no such limits.
    """
    if sys.platform == "win32":
        raise UserError("model-written code needs the resource limits of Linux or macOS; run this notebook there")
    mark = secrets.token_hex(16)  # the code can't forge a result that it does not know how to announce
    job = json.dumps(dict(code=code, tests=tests, seconds=seconds, megabytes=megabytes, mark=mark))
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", "-c", CHILD],
                input=job,
                capture_output=True,
                text=True,
                cwd=folder,
                env={},
                timeout=seconds + 5,
            )
        except subprocess.TimeoutExpired:
            return Outcome((), f"stopped after {seconds} s")
    if mark not in done.stdout:
        return Outcome((), f"ended without a result (exit {done.returncode}); it may have met a limit")
    out = json.loads(done.stdout.split(mark, 1)[1])
    return Outcome(tuple(out["results"]), out["error"])
