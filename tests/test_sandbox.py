"""Code that breaks out, forges its result, floods its parent or reads more than it may."""

import resource

import pytest

from emotion_concepts.errors import UserError
from emotion_concepts.outcomes.sandbox import Outcome, run_tests

SQUARE = "def f(x):\n    return x * x\n"
EVERY_FD = (
    "import os\ndef say(line):\n    for fd in range(3, 9):\n        try: os.write(fd, line)\n"
    "        except OSError: pass\n"
)


@pytest.mark.parametrize(
    "noise",
    [
        "import atexit\natexit.register(print, 'late')",
        "import sys\nprint('{\"answer\": 0}', file=sys.stdout, flush=True)",
        "import os\nos.write(1, b'\\xff\\xfe\\x00')\nos.write(2, b'\\xff')",
        "import sys\nsys.stdout.buffer.write(b'\\xff' * 9)\nsys.stdout = sys.stderr = None",
        "import sys\nsys.setrecursionlimit(50)\nsys.stdin.read()",
        "import builtins\nbuiltins.print = builtins.eval = None",
    ],
)
def test_noise_changes_nothing(noise):
    assert run_tests(SQUARE + noise, ["f(3) == 9", "f(3) == 10"]) == Outcome(("passed", "failed"), None)


def test_endless_output_takes_no_memory_of_the_parent():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert run_tests("while True: print('x' * 100000)", ["True"], seconds=1).error.startswith(("stopped", "ended"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1.5 * before  # where 1 s can write gigabytes


@pytest.mark.parametrize(
    "line",
    [
        "b'no json\\n'",
        "b'\\xff\\xfe\\n'",
        "b'[' * 100000 + b'\\n'",
        "b'x' * (1 << 22)",
        "b'7\\n'",
        "b'{}\\n'",
        '\'{"answer": {"list": 3}}\\n\'.encode()',
        '\'{"answer": {"dict": [[{"list": []}, 1]]}}\\n\'.encode()',
        '\'{"answer": {"ranked": 5}}\\n\'.encode()',
        "'{\"answer\": 5}\\n'.encode()",
        "'{\"read\": [0, 1]}\\n'.encode()",
        '\'{"compare": [0, "lt", 1]}\\n\'.encode()',
        "b'9' * 9999 + b'\\n'",
    ],
)
def test_nonsense_on_the_line_is_an_outcome(line):
    done = run_tests(f"{EVERY_FD}say({line})\n{SQUARE}", ["f(3) == 9"], seconds=2)
    assert done.results == () and done.error, done


@pytest.mark.parametrize(
    "end", ["os._exit(0)", "os.abort()", "os.closerange(3, 9)", "[os.close(i) for i in range(3, 5)]"]
)
def test_an_early_end_is_an_outcome(end):
    assert not run_tests(f"import os\n{end}", ["True"]).passed
    assert not run_tests(f"import os\ndef f(x):\n    {end}", ["f(3) == 9"]).passed
    assert "SystemExit" in run_tests("raise SystemExit(0)", ["True"]).error


def test_failures_of_code_and_of_its_answers_are_told():
    code = "class E(Exception):\n    def __str__(self): raise E\ndef f(x): raise E\ndef g(x): return object()\nh = 3"
    tests = ["f(1)", "g(1)", "h == 3", "k == 3", "f(", "h.x"]
    kinds = [r.split(":")[0] for r in run_tests(code, tests).results]
    assert kinds == ["Exception", "TypeError", "passed", "NameError", "SyntaxError", "AttributeError"]
    assert "SyntaxError" in run_tests("def f(", ["True"]).error
    assert "null bytes" in run_tests("x = '\0'", ["True"]).error
    assert run_tests("x = '\ud800'", ["True"]).error
    with pytest.raises(UserError, match="within limits"):
        run_tests(SQUARE, ["True"], megabytes=1)


def test_data_keeps_its_kind_on_the_way():
    values = [
        "None",
        "True",
        "-3",
        "2.5",
        "'\\ud800é'",
        "b'\\xff'",
        "[1, (2, {'a': {3}})]",
        "frozenset({1})",
        "10**300",
    ]
    code = "def same(x): return x\ndef rises(n): yield from range(n)"
    tests = [f"same({v}) == {v} and type(same({v})) is type({v})" for v in values]
    assert run_tests(code, [*tests, "list(rises(3)) == [0, 1, 2]", "same(float('inf')) > 1"]).passed


ESCAPES = {
    "spawn": "import multiprocessing.util as u\nu.spawnv_passfds(b'/bin/rm', [b'rm', {path!r}.encode()], [])",
    "fork_exec": "import _posixsubprocess",
    "built-in": "import _imp\nclass S: name = '_posixsubprocess'\n_imp.create_builtin(S)",
    "whole posix": "import importlib.util as u, posix\nu.module_from_spec(u.find_spec('posix')).mkfifo({new!r})",
    "posix again": "import sys\ndel sys.modules['posix']\nimport posix\nposix.mkfifo({new!r})",
    "fifo": "import os\nos.mkfifo({new!r})",
    "node": "import posix\nposix.mknod({new!r})",
    "supports": "import os\n[f({new!r}) for f in os.supports_dir_fd if f.__name__ == 'mknod'][0]",
    "fork": "import os\nos.fork()",
    "kill": "import os\nos.kill(os.getppid(), 0)",
    "signal": "import signal, os\nsignal.pthread_kill(1, 0)",
    "thread": "import threading\nthreading.Thread(target=print).start()",
    "pool": "from concurrent.futures import ProcessPoolExecutor",
    "clock": "import time\ntime.clock_settime(-1, 0)",
    "limits": "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))",
    "prlimit": "import resource\nresource.prlimit(0, resource.RLIMIT_CPU, (-1, -1))",
    "interpreter": 'import _xxsubinterpreters as i\ni.run_string(i.create(), "import os; os.remove({path!r})")',
    "tcl": "import _tkinter\n_tkinter.create()",
    "dbm": "import _dbm\n_dbm.open({new!r}, 'n')",
    "ssl": "import ssl\nssl.create_default_context().keylog_filename = {new!r}",
    "shared memory": "import _posixshmem",
    "foreign": "import cffi",
    "ctypes": "import _ctypes",
    "extension": "import importlib.machinery as m\nm.ExtensionFileLoader('a', {path!r}).load_module()",
    "create": "import os\nos.open(os.__file__ + '.new', os.O_CREAT)",
    "truncate": "import os\nos.open({path!r}, os.O_RDONLY | os.O_TRUNC)",
    "read": "def f(): return open({path!r}).read()",
    "dots": "import os\ndef f(): return open(os.path.dirname(os.__file__) + '/..' * 20 + {path!r}).read()",
    "packages": "import os\nopen(os.path.dirname(os.__file__) + '/site-packages/x')",
    "list": "import os\nos.listdir({folder!r})",
    "text": "class P(str):\n    def startswith(self, *a): return True\n    __add__ = __contains__ = lambda *a: ''\n"
    "def f(): return open(P({path!r})).read()",
    "paths": "import posixpath, os\nposixpath._joinrealpath = lambda *a: (os.__file__, True)\n"
    "os.path.realpath = lambda *a, **k: os.__file__\ndef f(): return open({path!r}).read()",
    "built-ins": "import builtins as b\nold = dict(vars(b))\n"
    "keep, b.len, b.any, b.isinstance = b.open, lambda x: 0, lambda x: 0, lambda *a: 0\n"
    "b.set = b.tuple = b.str = b.type = b.PermissionError = lambda *a: ()\ntry: keep({path!r}, 'w')\n"
    "finally: vars(b).update(old)",
    "globals": "import __main__ as m\nfor n in list(vars(m)):\n"
    "    if n.isupper(): setattr(m, n, ('open', 'os.remove', ''))\n"
    "def f(): return open({path!r}).read()",
    "frames": "def f():\n    try: open({path!r})\n    except PermissionError as e: t = e.__traceback__\n"
    "    while t.tb_next: t = t.tb_next\n    t.tb_frame.f_locals['roots'] = ('/',)\n"
    "    t.tb_frame.f_builtins['PermissionError'] = None\n    return open({path!r}).read()",
    "gc": "import gc\n[o for o in gc.get_objects() if getattr(o, '__name__', '') == 'hook'][0].__kwdefaults__.clear()",
    "bytecode": "(lambda: 0).__code__.replace(co_consts=())",
    "tracing": "import sys\nsys.settrace(lambda *a: None)",
}


@pytest.mark.parametrize("way", ESCAPES)
def test_no_way_out(tmp_path, way):
    path, new = tmp_path / "notes.txt", tmp_path / "new"
    path.write_text("mine")
    code = ESCAPES[way].format(path=str(path), new=str(new), folder=str(tmp_path))
    done = run_tests(code, ["f() == 'mine'"] if "def f" in code else ["True"])
    text = done.error or done.results[0]
    assert text.startswith(("PermissionError", "AttributeError", "ModuleNotFound", "IndexError", "ended")), done
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("end", ["os.close", "print"])
def test_no_code_runs_after_the_hook_is_gone(tmp_path, end):
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    code = (
        "import os, sys, builtins\nclass Last:\n    def __init__(self): self.open = open\n"
        f"    def __del__(self): self.open({str(path)!r}, 'w')\nbuiltins.last = sys.last = Last()\n"
        f"for fd in range(3, 9):\n    try: {end}(fd)\n    except OSError: pass\nsys.exit()"
    )
    assert not run_tests(code, ["True"]).passed
    assert path.read_text() == "mine"


FORGED = {
    "main": "import __main__ as m\nvars(m).setdefault('job', {})['tests'] = ['True'] * 3\n"
    "m.said = m.pack = lambda *a: True\n",
    "equal": "class A:\n    __eq__ = __bool__ = lambda *a: True\ndef f(x): return A()\n",
    "number": "class A(int):\n    __eq__ = lambda *a: True\ndef f(x): return A()\n",
    "text": "class A(str):\n    __eq__ = lambda *a: True\n"
    "    def encode(self): return b''\ndef f(x): return A('long')\n",
    "list": "class A(list):\n    __eq__ = lambda *a: True\ndef f(x): return A()\n",
    "patched": "import operator, builtins\noperator.eq = lambda *a: True\n"
    "builtins.bool = builtins.eval = lambda *a: True\n",
    "messages": 'import json\njson.dumps = lambda *a: \'{"results": ["passed"]}\'\n',
    "exception": EVERY_FD + 'def f(x): say(b\'{"raised": "passed"}\\n{"raised": ["passed"]}\\n{"raised": []}\\n\')\n',
    "line": EVERY_FD + 'say(b\'{"results": ["passed"]}\\n\')\ndef f(x): pass\n',
}


@pytest.mark.parametrize("way", FORGED)
def test_no_result_is_forged(way):
    code = FORGED[way] if "def f" in FORGED[way] else FORGED[way] + "def f(x): return 0\n"
    assert "passed" not in run_tests(code, ["f(3) == 9", "f('abc').encode() == b''", "f([2]) == [4]"]).results


def test_names_of_python_stay_pythons():
    code = "def len(x): return 0\nint = len\ndef f(x): return x"
    assert run_tests(code, ["len(f('abc')) == 0", "int(f(3)) == 0"]).results == ("failed", "failed")


READS = """
xs.pop() | xs.pop(0) | xs + [] | [] + xs | xs + xs | xs * 1 | 1 * xs | str(xs) | repr(xs) | f'{xs}' | '%s' % xs | xs[:]
xs[::-1] | xs[0:4] | xs.copy() | sorted(xs) | 9 in xs | list(reversed(xs)) | pickle.dumps(xs) | copy.copy(xs)
copy.deepcopy(xs) | list(xs) | tuple(xs) | [*xs] | set(xs) | max(xs) | sum(xs) | xs.sort() | xs.reverse() | xs.count(1)
xs.index(9) | xs == [4, 1, 3, 2] | [4, 1, 3, 2] == xs | xs < [5] | [5] > xs | xs.__reduce_ex__(4)
xs.insert(0, 0) | xs.extend([]) | xs.append(0) | xs.remove(4) | xs.__iadd__([]) | xs.__imul__(1) | xs | [1].__iadd__(xs)
xs.__setitem__(0, 0) | xs.__delitem__(0) | xs.clear() | dict.fromkeys(xs) | array.array('i', xs)
heapq.nsmallest(2, xs) | xs._whole() | xs._link.ask({'read': [xs._handle, [0, 1, 2, 3]]})
[xs[0], xs[0], xs[0], xs[0]] | xs[:2] + xs[2:]
""".replace("\n", "|").split("|")
REFUSED = [
    "list.pop(xs)",
    "list.__getitem__(xs, 0)",
    "list.copy(xs)",
    "heapq.heapify(xs)",
    "json.dumps(xs)",
    "hash(xs)",
    "xs.__reduce__()",
]


def test_every_way_to_read_a_list_is_charged_or_refused():
    ways = [w.strip() for w in READS if w.strip()] + REFUSED
    code = "import pickle, copy, json, heapq, array\n" + "".join(
        f"def f{i}(xs):\n    return {way}\n" for i, way in enumerate(ways)
    )
    results = run_tests(code, [f"f{i}(Counted([4, 1, 3, 2], 3))" for i in range(len(ways))]).results
    told = dict(zip(ways, results, strict=True))
    refused = {w: told.pop(w) for w in REFUSED}
    assert {w: r for w, r in told.items() if r != "RuntimeError: too many elements were read"} == {}
    assert {w: r for w, r in refused.items() if not r.startswith("TypeError")} == {}


def test_paid_reads_are_granted():
    code = (
        "def three(xs): return xs[0] + xs[-1] + sum(xs[1:2])\n"
        "def kind(xs): return isinstance(xs, list) and len(xs) == 4 and bool(xs)\n"
        "def until(xs): return (1 in xs, xs.index(4))\n"
        "def back(xs): return next(iter(reversed(xs)))\n"
        "def change(xs):\n    xs.sort()\n    xs.append(9)\n    del xs[0]\n    return [xs[-1], len(xs), *xs]\n"
        "def past(xs): return xs[4]\n"
    )
    tests = [
        "three(Counted([4, 1, 3, 2], 3)) == 7",
        "kind(Counted([4, 1, 3, 2], 0))",
        "until(Counted([4, 1, 3, 2], 3)) == (True, 0)",
        "back(Counted([4, 1, 3, 2], 1)) == 2",
        "change(Counted([4, 1, 3, 2], 4)) == [9, 4, 2, 3, 4, 9]",
        "past(Counted([4, 1, 3, 2], 4))",
    ]
    results = run_tests(code, tests).results
    assert results[:5] == ("passed",) * 5 and results[5].startswith("IndexError")


def test_the_value_of_a_ranked_number_costs_a_comparison():
    ways = [
        "sorted(xs)",
        "sorted(xs, key=int)",
        "sorted(xs, key=hash)",
        "[max(xs), min(xs)]",
        "[x == 1 for x in xs]",
        "set(xs)",
    ]
    code = "".join(f"def f{i}(xs): return {way}\n" for i, way in enumerate(ways)) + "def g(xs): return xs[0].value\n"
    tests = [f"f{i}(Ranked.many([3, 1, 2], 2))" for i in range(len(ways))]
    assert set(run_tests(code, tests).results) == {"RuntimeError: too many comparisons"}
    tests = ["[int(x) for x in f0(Ranked.many([3, 1, 2], 9))] == [1, 2, 3]", "g(Ranked.many([3], 9))"]
    passed, hidden = run_tests(code, tests).results
    assert passed == "passed" and hidden.startswith("AttributeError")


def test_functions_cannot_tell_each_other_what_they_were_told():
    code = "kept = []\ndef put(x):\n    kept.append(x)\n    return ''\ndef get(y):\n    return kept[-1]"
    both = f"{code}\ndef at_once(x):\n    put(x)\n    return get('')"
    assert not run_tests(code, ["get(put('long text')) == 'long text'"]).passed
    assert run_tests(both, ["at_once('long text') == 'long text'"]).passed  # one function may use another
