"""A command run as a competition runs strangers' code: an ordinary user, no network, one folder that can be written to.

On Linux, by namespaces (`unshare`): as root the command becomes the user `nobody`; as any other user it stays that user, in a
user namespace, which some systems forbid. All mounts but the folder are read-only, so that what it writes elsewhere fails.
"""

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534
# Written to by any user on most systems
PUBLIC_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock")
PROBE = """
import os, socket, sys
writable = []
for folder in sys.argv[1:]:
    try:
        name = os.path.join(folder, f"probe{os.getpid()}")
        open(name, "w").close()
        os.unlink(name)
        writable.append(folder)
    except OSError:
        pass
try:
    socket.create_connection(("1.1.1.1", 53), timeout=2)
    writable.append("the network")
except OSError:
    pass
if os.getuid() == 0 and open("/proc/self/uid_map").read().split()[1] == "0":
    writable.append("everything: it is root")
print(*writable, sep=", ")
"""


@dataclass(frozen=True)
class Sandbox:
    """folder : of the command, its current one and all that it can write to; data : appears there as data/, read-only"""

    folder: Path
    data: Path
    python: Path

    def run(self, command: list[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        """With an environment of nothing but PATH, as in a bare container without a home."""
        script = "\n".join(
            ["set -e", *self._setup(), shlex.join([*_drop_privileges(), *_bare_environment(), *command])]
        )
        as_root = os.geteuid() == 0
        return subprocess.run(
            ["unshare", *([] if as_root else ["--user", "--map-root-user"]), "--mount", "--net", "--ipc", "sh", "-c", script],
            capture_output=True, text=True, check=False, timeout=timeout_seconds, cwd=self.folder,
        )  # fmt: skip

    def leaks(self) -> str:
        """What a command can write to outside the folder, or reach; empty if it is shut in.

        raises : OSError where the system does not let a sandbox be made
        """
        done = self.run([str(self.python), "-c", PROBE, *PUBLIC_FOLDERS[:2], str(Path.home()), "/"], 60)
        if done.returncode != 0:
            raise OSError(done.stderr.strip() or "unshare failed")
        return done.stdout.strip()

    def _setup(self) -> list[str]:
        """Shell commands that make the mounts."""
        folder, data = shlex.quote(str(self.folder)), shlex.quote(str(self.data))
        return [
            "mount --make-rprivate /",
            *self._show_python(),
            f"mount --bind {folder} {folder}",
            f"mkdir -p {folder}/data",
            f"mount --bind {data} {folder}/data",
            "cut -d' ' -f2 /proc/self/mounts | while read -r place; do",
            f'  [ "$place" = {folder} ] || mount -o remount,bind,ro "$place" 2>/dev/null || true',
            "done",
            "mount -t tmpfs tmpfs /dev/shm",  # processes share locks there; it ends with the sandbox
            f"cd {folder}",
        ]

    def _show_python(self) -> list[str]:
        """Where Python lies in a folder that is closed to other users, such as /root, an open one with Python alone."""
        if os.geteuid() != 0:
            return []
        prefixes = _prefixes(self.python)
        closed = {place for prefix in prefixes if (place := _first_closed(prefix)) is not None}
        inside = [prefix for prefix in prefixes if any(prefix.is_relative_to(place) for place in closed)]
        stages = [f"{self.folder}.stage{number}" for number in range(len(inside))]
        pairs = [(shlex.quote(str(prefix)), shlex.quote(stage)) for prefix, stage in zip(inside, stages, strict=True)]
        return [
            *(f"mkdir -p {stage} && mount --bind {prefix} {stage}" for prefix, stage in pairs),
            *(f"mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(place))}" for place in closed),
            *(f"mkdir -p {prefix} && mount --move {stage} {prefix} && rmdir {stage}" for prefix, stage in pairs),
        ]


def can_isolate() -> bool:
    """Whether this system lets a sandbox be made."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    flags = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *flags, "--mount", "--net", "--ipc", "mount", "--make-rprivate", "/"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _drop_privileges() -> list[str]:
    user = f"--reuid {NOBODY} --regid {NOBODY} --clear-groups".split() if os.geteuid() == 0 else []
    return ["setpriv", *user, "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]


def _bare_environment() -> list[str]:
    return ["env", "-i", "PATH=/usr/bin:/bin", f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', os.cpu_count())}"]


def _prefixes(python: Path) -> list[Path]:
    """The folders of an interpreter: its environment's and the installation's that this was made from."""
    code = "import json, sys; print(json.dumps([sys.prefix, sys.base_prefix]))"
    found = json.loads(subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout)
    return [Path(prefix) for prefix in dict.fromkeys(found)]


def _first_closed(path: Path) -> Path | None:
    """The outermost folder on the way to `path` that others may not pass through."""
    for place in [*reversed(path.parents), path]:
        if not place.stat().st_mode & 0o001:
            return place
    return None
