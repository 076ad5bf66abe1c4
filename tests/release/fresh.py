"""A built wheel or sdist in an environment of its own, outside the checkout: does it work?

    python -m tests.release.fresh dist/*.whl dist/*.tar.gz

installs each with all that it needs. With `--dependencies FOLDER` what it needs is taken from that
`site-packages`, and it alone is installed: no download, and a minute in place of many.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEMO = ("demo", "--count", "12", "--no-gallery", "--device", "cpu")


def make_environment(folder: Path, dependencies: str = "") -> Path:
    """A new environment; the path of its python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if dependencies:
        site = _said(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
        (Path(site) / "dependencies.pth").write_text(dependencies, encoding="utf-8")
    return python


def install(python: Path, package: Path, dependencies: str = "") -> None:
    """Install a wheel or an sdist, alone where its dependencies are there."""
    alone = ("--no-deps",) if dependencies else ()
    if package.suffix != ".whl" and dependencies:
        alone += ("--no-build-isolation",)  # hatchling is among them
    command = [str(python), "-m", "pip", "install", "--quiet", *alone, str(package.resolve())]
    subprocess.run(command, check=True, env=_environment())


def run(python: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed `robust` in a folder."""
    program = python.with_name("robust.exe" if os.name == "nt" else "robust")
    return subprocess.run(
        [str(program), *arguments],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def home(python: Path, package: str, folder: Path) -> Path:
    """The folder that a package is imported from."""
    return Path(_said(python, f"import {package}; print({package}.__path__[0])", folder))


def _said(python: Path, code: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        [str(python), "-c", code],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    """Variables without those that lead back to the checkout."""
    return {n: v for n, v in os.environ.items() if n not in ("PYTHONPATH", "VIRTUAL_ENV")}


def main() -> int:
    """Install each package and run the demonstration; 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--dependencies", default="", help="site-packages that has them already")
    given = parser.parse_args()
    known = str(Path(given.dependencies).resolve()) if given.dependencies else ""
    for package in given.packages:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            python = make_environment(folder / "env", known)
            install(python, package, known)
            where = {
                name: home(python, name, folder) for name in ("robust", "attacks", "detectors")
            }
            outside = [
                path for path in where.values() if folder.resolve() not in path.resolve().parents
            ]
            done = run(python, folder, *DEMO)
            page = folder / "demo-report" / "run" / "report.html"
            good = not outside and done.returncode == 0 and page.stat().st_size > 0
            version = run(python, folder, "--version").stdout.strip()
            print(f"{package.name}: {version}: {'works' if good else 'FAILS'}")
            if not good:
                print(*outside, done.stdout, done.stderr, sep="\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
