"""What may import what, with the reason; read from the source without running it."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "precompute", "demo", "pages")
MAX_LINES = 400

#: (files, what they may not import, except in, why)
RULES = [
    ("core/", ("streamlit", "ray", "precompute", "pages", "demo", "tests"), (),
     "core is what everything stands on: it must work without an app, a cluster or a run"),
    ("core/methods/", ("open", "os", "io", "pathlib", "shutil", "tempfile", "json", "safetensors", "pyarrow", "PIL",
                       "faiss", "open_clip", "core.bundle", "core.images"), (),
     "methods are pure functions of arrays: no files, no libraries that read them"),
    ("core/ids.py", ("core.models", "core.stats", "core.text", "core.methods", "core.bundle", "torch"), (),
     "addresses are at the bottom of the layers"),
    ("core/errors.py", ("core", "torch", "numpy"), (), "the error tree is at the bottom of the layers"),
    ("core/models/", ("core.methods", "core.bundle", "core.store", "core.explain"), (), "methods stand on models"),
    ("core/stats/", ("core.methods", "core.models", "core.bundle", "torch"), (), "statistics are of arrays alone"),
    ("core/text/", ("core.methods", "core.models", "core.bundle"), (), "texts know a model by its protocol alone"),
    ("core/bundle/", ("core.methods", "core.models", "torch", "open_clip"), (),
     "a bundle is read without a model, so opening one never imports torch"),
    ("precompute/", ("streamlit", "core.store", "core.explain", "pages"), (), "a run needs no app"),
    ("precompute/", ("ray",), ("precompute/distribute.py",), "one file knows about clusters"),
    ("demo/", ("streamlit", "ray", "pages", "tests"), (), "the demo world is data and training, not an app"),
    ("pages/", ("torch", "faiss", "open_clip"), (), "pages draw; core.store and core.explain compute"),
    ("app.py", ("torch", "faiss", "open_clip"), (), "pages draw; core.store and core.explain compute"),
    ("", ("pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"), (), "nothing is ever unpickled"),
]  # fmt: skip


def sources() -> list[Path]:
    found = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    return [*found, *sorted(ROOT.glob("*.py"))]


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported, at any depth; relative imports made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            # `from core import models` imports core.models
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def breaches(path: Path, tree: ast.AST, forbidden: tuple[str, ...]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for line, name in imports(tree, path)
        if any(name == root or name.startswith(f"{root}.") for root in forbidden)
    ]


@pytest.mark.parametrize(("where", "forbidden", "exempt", "why"), RULES)
def test_what_may_import_what(where: str, forbidden: tuple, exempt: tuple, why: str) -> None:
    found = []
    for path in sources():
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(where) and relative not in exempt:
            found += breaches(path, ast.parse(path.read_text("utf-8")), forbidden)
    assert not found, f"{why}:\n" + "\n".join(found)


def test_a_breach_would_be_seen() -> None:
    """Every spelling of an import, so that a rule above cannot pass by not looking."""
    path = ROOT / "core" / "methods" / "new.py"
    for line in (
        "import precompute",
        "import precompute.run as r",
        "from precompute import run",
        "from precompute.run import load",
        "from ...precompute import run",
        "def f():\n    import precompute.plan",
        "if TYPE_CHECKING:\n    from precompute.plan import Plan",
    ):
        assert breaches(path, ast.parse(line), ("precompute",)), line
    assert not breaches(path, ast.parse("import precomputed\nfrom core.stats import precompute"), ("precompute",))


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of whatever is called: f(...) and x.f(...)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield node.lineno, name


READERS = {"open", "load", "save", "savez", "loadtxt", "savetxt", "fromfile", "tofile", "memmap", "read_text", "print"}
HOOKS = {
    "register_forward_hook",
    "register_forward_pre_hook",
    "register_full_backward_hook",
    "register_module_forward_hook",
}


@pytest.mark.parametrize(
    ("where", "exempt", "names", "why"),
    [
        ("core/methods/", "", READERS, "methods do no I/O"),
        (
            "",
            "core/models/taps.py",
            HOOKS,
            "hooks live on modules: only core/models/taps.py, under a lock, registers any",
        ),
        ("", "", {"eval", "exec"}, "nothing that was read is ever run"),
    ],
)
def test_what_may_be_called(where: str, exempt: str, names: set[str], why: str) -> None:
    found = []
    for path in sources():
        relative = path.relative_to(ROOT).as_posix()
        if relative.startswith(where) and relative != exempt:
            for line, name in calls(ast.parse(path.read_text("utf-8"))):
                method_of_torch = name == "eval"  # model.eval() is no evaluation of text
                if name in names and not method_of_torch:
                    found.append(f"{relative}:{line} calls {name}")
    assert not found, f"{why}:\n" + "\n".join(found)
    if exempt:
        assert names & {name for _, name in calls(ast.parse((ROOT / exempt).read_text("utf-8")))}


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository; all of a source folder where git is not at hand."""
    try:
        listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
        files = [ROOT / line for line in listed.stdout.splitlines()]
    except (OSError, subprocess.CalledProcessError):
        files = [path for pattern in patterns for path in ROOT.rglob(pattern) if ".venv" not in path.parts]
    return [path for path in files if path.is_file()]


def test_no_file_is_too_long() -> None:
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in tracked("*.py")}
    assert len(lengths) > 50
    long = [f"{path.relative_to(ROOT)} has {n} lines" for path, n in lengths.items() if n > MAX_LINES]
    assert not long, f"past {MAX_LINES} lines a file is split:\n" + "\n".join(long)


# A home, a temporary or a mounted folder of one machine. /data and /usr stand in documentation as examples.
MACHINE_PATHS = re.compile(r"(?<![\w.~-])/(?:home|root|Users|work|workspace|mnt|tmp|private|opt)/[\w.-]+")
TEXT = ("*.py", "*.md", "*.txt", "*.toml", "*.json", "*.cfg", "*.yml", "*.yaml", "Makefile", ".ci/*", ".gitignore")


def test_the_repository_names_no_machines_folders() -> None:
    found = []
    for path in tracked(*TEXT):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if MACHINE_PATHS.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert not found, "paths of one machine mean nothing on another:\n" + "\n".join(found)
    assert MACHINE_PATHS.search('x = "/home' + '/someone/images"') and not MACHINE_PATHS.search(
        "https://x.org/home/page"
    )
