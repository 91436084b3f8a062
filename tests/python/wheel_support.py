"""The built wheel in a fresh virtual environment, beside the PyTorch that the tests run with."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(os.environ.get("ECP_SOURCE_DIR", Path(__file__).resolve().parents[2]))
BUILT = SOURCE / "build" / "wheel"


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def wheel():
    """The newest wheel for this Python, or None."""
    own = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    fits = [p for p in BUILT.glob("ecp-*.whl") if f"-{own}-{own}-" in p.name or ("-abi3-" in p.name and sys.version_info >= (3, 12))]
    return max(fits, key=lambda p: p.stat().st_mtime, default=None)


def make(folder, built, torch):
    """Installs the wheel as a user does. PyTorch is not copied: the environment has a link where it would be installed."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index",
                    "--no-deps", built], check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "torch").symlink_to(torch)
    (packages / "torch.pth").write_text(f"{torch.parent}\n")


def enter():
    """Goes on in that environment: the running script starts again there. Skips where something is missing."""
    built = wheel()
    if built is None:
        skip(f"no wheel for this Python in {BUILT}; scripts/wheel builds it")
    try:
        import torch
    except Exception as error:  # the slim LibTorch has no Python part that works
        skip(f"the whole PyTorch cannot be imported ({error}); scripts/setup --python installs it")
    if sys.prefix != sys.base_prefix and Path(sys.prefix).parent == BUILT:
        return
    folder = BUILT / f"test-{torch.__version__.split('+')[0]}-{sys.version_info[0]}.{sys.version_info[1]}"
    with open(BUILT / "test.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = folder / "installed"
        wanted = f"{built.name} {built.stat().st_mtime_ns}"
        if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
            make(folder, built, Path(torch.__file__).resolve().parent)
            stamp.write_text(wanted, encoding="ascii")
    python = folder / "bin" / "python"
    os.execv(python, [str(python), *sys.argv])


def installed():
    """The installed package's folder."""
    import ecp

    return Path(ecp.__file__).parent


def program(name="ecp"):
    return Path(sys.prefix) / "bin" / name
