"""Runs code that a model wrote against tests, in a subprocess that can't reach the reader's files or the network.

The subprocess (sandbox_child.py) only calls the code's functions. The tests are evaluated here: arguments and answers
travel as plain data, and lists and numbers with a limit stay here too, so that each element and comparison is asked for
and charged. Whatever the code does to its own process, it can say no more than what its functions answer, and
``run_tests`` makes an outcome of it.

The subprocess has limits on time, memory, file size and processes, an empty folder of its own, no environment and no
standard streams. System functions that change anything are taken from it, and an audit hook, which Python code cannot
remove, refuses every event that it does not know: files outside Python's own library, sockets, processes, threads,
foreign libraries.

What is not promised: the walls are made of Python, so code that corrupts the interpreter's memory, or that finds a C
function which acts without an event, acts as the reader. It stops what a language model writes; it is not a prison for
an attacker. The code may see which files exist, and read Python's library and the names of the machine's users; a
function may remember in one call what it was told in another; macOS has no limit on memory. The tests are not
guarded at all: they must be the suite's own, never a model's.
"""

import ast
import builtins
import json
import operator
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path

from emotion_concepts.errors import UserError
from emotion_concepts.outcomes.sandbox_child import pack, unpack

SCRIPT = Path(__file__).with_name("sandbox_child.py")
STARTUP = 120  # seconds that a busy machine may take to start Python; the code's own time begins afterwards
MESSAGE = 1 << 20  # bytes that one message may have
COMPARE = {name: getattr(operator, name) for name in ("lt", "le", "gt", "ge", "eq")}


class Refused(Exception):
    """A read or comparison beyond the limit."""


class Raised(Exception):
    """The code raised an exception, of which it says the name and the text."""

    def __str__(self):
        name, text, *_ = [*self.args[0], "", ""] if isinstance(self.args[0], list) else ("Exception", "")
        return f"{str(name)[:100]}: {str(text)[:200]}"  # with a colon, so that no exception is called "passed"


class Stopped(Exception):
    """There is no more to hear from the subprocess; the text says why."""


@dataclass
class Counted:
    """A list of which a function under test may read a limited number of elements."""

    items: list
    left: int

    def read(self, places: list[int]) -> list:
        """The elements at ``places``, each for one read."""
        self.left -= len(places)
        if self.left < 0:
            raise Refused("too many elements were read")
        return [self.items[i] for i in places]


@dataclass
class Ranked:
    """A number whose comparisons are counted in a box that it shares with others."""

    value: int
    box: list[int]

    @classmethod
    def many(cls, values: list[int], comparisons: int) -> list["Ranked"]:
        """Numbers that may be compared so many times in all."""
        box = [comparisons]
        return [cls(v, box) for v in values]

    def compare(self, op: str, other):
        """A comparison, or the value itself ("value"), for one comparison."""
        self.box[0] -= 1
        if self.box[0] < 0:
            raise Refused("too many comparisons")
        return self.value if op == "value" else COMPARE[op](self.value, getattr(other, "value", other))

    def __int__(self):
        return self.value


@dataclass(frozen=True)
class Outcome:
    """What became of a piece of code: one result a test, and the error or limit that ended it, if any."""

    results: tuple[str, ...]
    error: str | None

    @property
    def passed(self) -> bool:
        """Whether every test passed."""
        return self.error is None and bool(self.results) and all(r == "passed" for r in self.results)


class Child:
    """The subprocess, the line to it, and the lists and numbers that it may ask for."""

    def __init__(self, folder: str, seconds: int, megabytes: int):
        self.near, far = socket.socketpair()
        with far:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-B", SCRIPT, str(seconds), str(megabytes)],
                stdin=far,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={},
                start_new_session=True,
            )
        self.lent, self.library, self.heard, self.seconds = [], {}, b"", seconds
        self.deadline = time.monotonic() + STARTUP
        self.special = {
            "ranked": self.lent.__getitem__,
            "module": self.library.__getitem__,
            "function": lambda name: partial(self.call, name),
        }

    @cached_property
    def exit(self) -> int:
        """The exit status, after an end to the process and to all that it may have started."""
        self.near.close()
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # before wait(), while nobody else can have the number
        except (ProcessLookupError, PermissionError):  # macOS has no permission to end what has ended
            pass
        return self.process.wait()

    def start(self) -> None:
        """Wait until the subprocess has locked itself, from when on its time counts."""
        try:
            self.hear()
        except (Raised, Stopped) as e:
            raise UserError(f"this machine can't run model-written code within limits ({e})") from None
        self.deadline = time.monotonic() + self.seconds + 5

    def request(self, message: dict):
        """Ask the subprocess for something, and grant meanwhile what it asks for."""
        self._timed(self.near.sendall, json.dumps(message).encode() + b"\n")
        return self.hear()

    def hear(self):
        """The next answer, after the questions that come before it."""
        while True:
            said = self._message()
            if "raised" in said:
                raise Raised(said["raised"])
            if "answer" in said:
                return said["answer"]
            self._timed(self.near.sendall, json.dumps(self._grant(said)).encode() + b"\n")

    def call(self, name: str, *args):
        """What the code's function ``name`` answers."""
        answer = self.request({"call": name, "args": [pack(a, self._lend) for a in args]})
        return self.value(answer)

    def value(self, answer):
        """Plain data that the subprocess sent."""
        try:
            return unpack(answer, self.special)
        except Exception:
            raise Stopped("answered with what is no data") from None

    def _lend(self, x):
        if not isinstance(x, (Counted, Ranked)):
            return None
        self.lent.append(x)
        handle = len(self.lent) - 1
        return {"ranked": handle} if isinstance(x, Ranked) else {"counted": [handle, len(x.items)]}

    def _grant(self, said: dict) -> dict:
        try:
            if "read" in said:
                handle, places = said["read"]
                return {"granted": [pack(y, self._lend) for y in self.lent[handle].read(places)]}
            handle, op, other = said["compare"]
            return {"granted": self.lent[handle].compare(op, self.value(other))}
        except Refused as e:
            return {"refused": str(e)}
        except Exception:
            raise Stopped("asked for what is no element and no comparison") from None

    def _message(self) -> dict:
        while b"\n" not in self.heard:
            if len(self.heard) > MESSAGE:
                raise Stopped(f"answered with more than {MESSAGE} bytes")
            more = self._timed(self.near.recv, 1 << 16)
            if not more:
                raise Stopped(f"ended without a result (exit {self.exit}); it may have met a limit")
            self.heard += more
        line, self.heard = self.heard.split(b"\n", 1)
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise Stopped("answered with what is no message")
        return message

    def _timed(self, act, argument):
        left = self.deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self.near.settimeout(left)
            return act(argument)
        except TimeoutError:
            raise Stopped(f"stopped after {self.seconds} s") from None
        except ConnectionError:
            raise Stopped(f"ended without a result (exit {self.exit}); it may have met a limit") from None


def _names(test: str) -> set[str]:
    try:
        return {n.id for n in ast.walk(ast.parse(test, mode="eval")) if isinstance(n, ast.Name)}
    except SyntaxError:
        return set()


def _result(test: str, names: dict) -> str:
    try:
        return "passed" if eval(compile(test, "<test>", "eval"), dict(names)) else "failed"
    except Stopped:
        raise
    except Raised as e:
        return str(e)
    except Exception as e:
        return f"{type(e).__name__}: {str(e)[:200]}"


def run_tests(code: str, tests: list[str], seconds: int = 5, megabytes: int = 512) -> Outcome:
    """Run ``code`` in the sandbox and evaluate each test, a Python expression of the suite's own that must be true.

    A test may call what the code defines, with plain data, ``Counted`` or ``Ranked``; the names of built-ins and of
    imported library modules are always Python's. Where one test calls several functions, each runs in a subprocess of
    its own, so that none learns what another was told. The code's own failures are outcomes, never exceptions;
    :class:`UserError` where the limits can't be set.
    """
    if sys.platform == "win32":
        raise UserError("model-written code needs the resource limits of Linux or macOS; run this notebook there")
    names = {"Counted": Counted, "Ranked": Ranked}
    wanted = {n for test in tests for n in _names(test)} - {*names, *vars(builtins)}
    modules = wanted & sys.stdlib_module_names
    own = wanted - modules
    apart = any(len(own & _names(test)) > 1 for test in tests)
    with ExitStack() as children:
        try:
            for some in [{name} for name in sorted(own)] if apart else [own]:
                child = Child(children.enter_context(tempfile.TemporaryDirectory()), seconds, megabytes)
                children.callback(lambda c: c.exit, child)
                child.start()
                child.library |= {n: import_module(n) for n in modules}
                found = child.value(child.request({"code": code, "names": sorted(some | modules)}))
                if not isinstance(found, dict):
                    raise Stopped("answered with what is no list of names")
                names |= {n: found[n] for n in some | modules if n in found}
            return Outcome(tuple(_result(test, names) for test in tests), None)
        except (Raised, Stopped) as e:
            return Outcome((), str(e))
