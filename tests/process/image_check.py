"""The steps of the worker's Dockerfile, carried out for this machine's processor and run as Fargate
runs them: `make image-check`, as root on Linux.

What is shown: the pinned packages are there as wheels for ARM64 and for this machine, nothing else
is needed, and the worker finishes a job as user 10001 with a read-only root and a writable /tmp.
What is not: the base image itself, whose place this machine's folders take, and ARM64 machines.
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from runtime.contract import keys
from runtime.contract.exit_codes import ExitCode
from runtime.domain.jobs.job import JobStatus
from tests.fixtures.aws import scrub_environment
from tests.fixtures.job_configs import job_config
from tests.fixtures.storage import new_job
from tests.fixtures.worker_world import make_template, step
from tests.process.worker_processes import Cloud, empty_cloud, servers

ROOT: Final = Path(__file__).parents[2]
TARGETS: Final = ("aarch64", platform.machine())
USER: Final = "10001:10001"
SYSTEM: Final = ("usr", "lib", "lib64", "bin", "etc")
JOB_ID: Final = "image-check"
RECORDS: Final = 20

# Run in a mount namespace of its own: what is mounted there goes with it.
_IN_CONTAINER: Final = """
set -e
root=$1; python=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root"
for name in {system}; do
    if [ -d "/$name" ]; then mount --bind "/$name" "$root/$name"; fi
done
mount --bind "$python" "$root/opt/python"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for place in "" {system} opt/python image; do
    if mountpoint -q "$root/$place"; then mount -o remount,bind,ro "$root/$place"; fi
done
mount -t tmpfs -o mode=1777,size=512m tmpfs "$root/tmp"
exec /usr/sbin/chroot --userspec={user} "$root" /usr/bin/env -C /image "$@"
"""


_ROOM: Final = """
import os, pathlib, tempfile
assert (os.getuid(), os.getgid(), os.getgroups()) == (10001, 10001, [])
for place in ("/", "/image", "/usr", "/etc"):
    try:
        pathlib.Path(place, "seedwright").touch()
    except OSError as error:
        print("not writable:", place, "-", error.strerror)
    else:
        raise SystemExit(f"{place} is writable")
tempfile.TemporaryFile().close()
"""


def build(image: Path, python: Path, machine: str) -> None:
    """The first stage of the Dockerfile for a processor, into an empty folder."""
    version = _output(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    _run(
        *(python, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"),
        *("--no-cache-dir", "--no-compile", "--no-deps", "--require-hashes"),
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", version),
        *("--platform", f"manylinux2014_{machine}", "--platform", f"manylinux_2_28_{machine}"),
        *("--target", image, "--requirement", ROOT / "requirements" / "worker.txt"),
    )
    shutil.copytree(
        ROOT / "runtime", image / "runtime", ignore=shutil.ignore_patterns("__pycache__")
    )
    _run(
        python, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash", image
    )


def run_in(root: Path, python: Path, environment: Mapping[str, str], *command: str) -> int:
    """A command in the root as Fargate would run it; its exit code."""
    script = _IN_CONTAINER.format(system=" ".join(SYSTEM), user=USER)
    inside = {
        **environment,
        "PATH": "/opt/python/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "LD_LIBRARY_PATH": "/opt/python/lib",
        # As in the Dockerfile; the container has no locale, either.
        "PYTHONPATH": "/image",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script, "sh", root, python, *command],
        env=inside,
        check=False,
    ).returncode


def main(arguments: Sequence[str]) -> int:
    """`arguments` is the prefix of the Python that the image has; by default this one's."""
    prefix = Path(arguments[0] if arguments else sys.base_prefix)
    python = prefix / "bin" / "python3"
    with tempfile.TemporaryDirectory(prefix="seedwright-image-") as folder:
        for machine in dict.fromkeys(TARGETS):
            root = Path(folder) / machine
            for name in (*SYSTEM, "proc", "dev", "tmp", "opt/python", "image"):
                (root / name).mkdir(parents=True)
            root.chmod(0o755)
            build(root / "image", python, machine)
            print(f"{machine}: {_mib(root / 'image')} MiB of packages and code")
        Path(folder).chmod(0o755)
        _check_root(root, prefix)
        with pytest.MonkeyPatch.context() as patch:
            scrub_environment(patch)
            with servers(latency_ms=5) as both, empty_cloud(both) as cloud:
                _work(cloud, root, prefix)
    print("the worker finished its job as the container would run it")
    return 0


def _check_root(root: Path, prefix: Path) -> None:
    """That the room is as it should be: or the job would prove nothing."""
    _expect(run_in(root, prefix, {}, "python3", "-c", _ROOM), 0)


def _work(cloud: Cloud, root: Path, prefix: Path) -> None:
    _create_job(cloud)
    code = run_in(
        root, prefix, {**cloud.environment, "JOB_ID": JOB_ID}, "python3", "-m", "runtime.worker"
    )
    _expect(code, ExitCode.DONE)
    job = cloud.job(JOB_ID)
    _expect(job.status, JobStatus.COMPLETED)
    _expect(cloud.dataset(JOB_ID), list(range(RECORDS)))
    export = cloud.storage.objects.get(keys.export_key(JOB_ID, "jsonl")).decode()
    _expect(export.count("Prüfe die Größe 商品"), RECORDS)


def _create_job(cloud: Cloud) -> None:
    """Names outside ASCII in the template, in its prompt and in the seeds."""
    storage = cloud.storage
    prompt = "Prüfe die {{ größe }} von „{{ 商品 }}“."
    template = replace(make_template(step(prompt=prompt), keep_prompts=True), name="Prüfung 商品")
    ref = storage.templates.save_template("ada", JOB_ID, template)
    path = f"{keys.seed_prefix('ada')}größe.csv"
    rows = "".join(f"Größe 商品 {number},é\n" for number in range(RECORDS))
    storage.objects.put(path, f"größe,商品\n{rows}".encode(), content_type="text/csv")
    job = new_job(JOB_ID, storage.clock, budget_limit="10")
    config = job_config(
        template=ref,
        seed_data_path=path,
        seed_version=storage.objects.stat(path).version,
        num_records=RECORDS,
    )
    storage.jobs.create_job(replace(job, user_id="ada", config=config))


def _run(*command: object) -> None:
    subprocess.run([str(part) for part in command], check=True)


def _output(*command: object) -> str:
    return subprocess.check_output([str(part) for part in command], text=True).strip()


def _mib(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) // 2**20


def _expect(found: object, expected: object) -> None:
    if found != expected:
        raise SystemExit(f"expected {expected!r}, found {found!r}")


if __name__ == "__main__":
    if os.geteuid() != 0 or sys.platform != "linux":
        sys.exit("image-check needs root on Linux, for mounts of its own")
    sys.exit(main(sys.argv[1:]))
