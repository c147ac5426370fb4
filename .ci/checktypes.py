"""Check with mypy and pyright what programs see of the types: `make types`.

Both read the package as it is when it is installed. They are strict with tests/typing, where a line that must be an
error says EXPECT. The programs of README and docs have no annotations, and all the rest of them is checked, as are the
examples, with which `mypy` alone is strict.
pyright is basedpyright's wheel, which brings its own Node, set to what pyright itself does.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is None or empty at first would need an annotation, to be known as more.
UNANNOTATED = (
    "--allow-untyped-defs",
    "--allow-incomplete-defs",
    "--allow-untyped-calls",
    "--no-strict-optional",
    "--disable-error-code=var-annotated",
    "--ignore-missing-imports",
)
LOOSE_PYRIGHT = (
    "reportOptionalMemberAccess",
    "reportOptionalIterable",
    "reportMissingImports",
    "reportMissingModuleSource",
)
# What a checker says of one line: file, number, text.
Finding = tuple[str, int, str]


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name).resolve()
        python = installed(place / "environment")
        strict, loose = place / "strict", place / "loose"
        shutil.copytree(ROOT / "tests" / "typing", strict, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "examples", loose, ignore=shutil.ignore_patterns("__pycache__"))
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
            programs = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
            for number, program in enumerate(programs, 1):
                (loose / f"{page.stem.lower()}{number}.py").write_text(program, "utf-8")
        wrong = 0
        for checker, found in (
            ("mypy", byMypy(python, strict)),
            ("pyright", byPyright(python, strict, "strict")),
            ("mypy", byMypy(python, loose, *UNANNOTATED)),
            ("pyright", byPyright(python, loose, "standard")),
        ):
            wrong += report(checker, found)
        files = sum(1 for each in (strict, loose) for _ in each.rglob("*.py"))
    print(f"Types, as {files} programs see them: {'as they should be' if not wrong else f'{wrong} are wrong'}")
    return 1 if wrong else 0


def installed(environment: pathlib.Path) -> str:
    """Make an environment that has nothing but the package; return its Python."""
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    library = subprocess.run([python, "-c", ask], check=True, capture_output=True, text=True).stdout.strip()
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src" / "reactor", pathlib.Path(library) / "reactor", ignore=ignored)
    return str(python)


def byMypy(python: str, programs: pathlib.Path, *options: str) -> list[Finding]:
    """What mypy --strict says, with what is expected and missing."""
    found: list[Finding] = []
    for program in sorted(programs.glob("*.py")):  # each by itself: a program is not a module of another
        command = [sys.executable, "-m", "mypy", "--strict", *options, "--python-executable", python]
        command += ["--config-file=", "--no-error-summary", "--hide-error-context", program.name]
        command += [f"--cache-dir={programs.parent / 'cache'}"]
        result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=programs)
        if result.stderr or result.returncode > 1:
            raise SystemExit(f"mypy does not run: {result.stdout}{result.stderr}")
        for line in result.stdout.splitlines():
            file, number, text = re.fullmatch(r"(.*?):(\d+): (.*)", line).groups()  # type: ignore[union-attr]
            if not text.startswith("note:"):
                found.append((str(programs / file), int(number), text))
    return compared(programs, found)


def byPyright(python: str, programs: pathlib.Path, mode: str) -> list[Finding]:
    """What pyright says in `mode`, with what is expected and missing."""
    settings: dict[str, object] = {"include": ["."], "typeCheckingMode": mode}
    if mode != "strict":
        settings |= dict.fromkeys(LOOSE_PYRIGHT, False)
    (programs / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", python, "--project", str(programs)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode > 1:
        raise SystemExit(f"pyright does not run: {result.stdout}{result.stderr}")
    said = json.loads(result.stdout)
    if not said["summary"]["filesAnalyzed"]:
        raise SystemExit("pyright has found no programs")
    return compared(
        programs,
        [
            (each["file"], each["range"]["start"]["line"] + 1, f"{each['severity']}: {each['message']}")
            for each in said["generalDiagnostics"]
        ],
    )


def compared(programs: pathlib.Path, found: list[Finding]) -> list[Finding]:
    """What is wrong: an error that nobody expects, and a line that should be one."""
    expected = {
        (str(path), number)
        for path in programs.glob("*.py")
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if line.endswith("# EXPECT")
    }
    seen = {(file, number) for file, number, _ in found}
    wrong = [each for each in found if each[:2] not in expected]
    return wrong + [(file, number, "an error is missing here") for file, number in sorted(expected - seen)]


def report(checker: str, wrong: list[Finding]) -> int:
    for file, number, text in wrong:
        print(f"{checker}: {pathlib.Path(file).name}:{number}: {text}")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
