"""A Slurm of virtual nodes: each in network, mount, pid and host name namespaces of its own.

All of it is inside other such namespaces, whose first process the kernel kills when this process
ends, however that is: with it go all processes, mounts and network interfaces.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PROGRAMS = {
    "munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client",
    "curl": "curl", "ip": "iproute2", "unshare": "util-linux",
}  # fmt: skip
"""What is needed, and the Debian package that has it."""

SETTINGS = """
ClusterName=virtual
SlurmctldHost=controller(10.77.0.254)
SlurmUser=root
AuthType=auth/munge
# credentials expire, and so requeued jobs start, after that many seconds instead of 120
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=bf_interval=1,sched_interval=2,sched_min_interval=0
GresTypes=gpu
ReturnToService=2
SlurmdTimeout=6
MinJobAge=3600
NodeName=node[1-{nodes}] NodeAddr=10.77.0.[1-{nodes}] CPUs=16 RealMemory=4000 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def missing() -> str | None:
    """Why there can be no cluster here, and what to do about it; None if there can."""
    if os.geteuid() != 0:
        return "a virtual Slurm needs root, for its namespaces: run `make test-engines` as root"
    packages = sorted({PROGRAMS[name] for name in PROGRAMS if shutil.which(name) is None})
    if packages:
        return f"not installed: {' '.join(packages)} (`make test-engines` installs them)"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc",
         "ip", "link", "add", "bridge", "type", "bridge"], capture_output=True, text=True,
    )  # fmt: skip
    if tried.returncode != 0:
        return (
            f"no namespaces with a network ({tried.stderr.strip()}): in a container, run it with "
            "--privileged, or with the capabilities SYS_ADMIN and NET_ADMIN"
        )
    return None


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Waits until `condition` holds. Fails the test after `seconds`, with `what` was waited for."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.1)


class Cluster:
    """`nodes` nodes, "node1" and so on, with /tmp of their own, but the folders `shared` in common.

    `folder`, which is in one of these, has the logs.
    """

    def __init__(self, folder: Path, nodes: int, *shared: Path) -> None:
        self.folder = folder
        self._shared = [path for path in shared if path.is_relative_to("/tmp")]
        self.nodes = [f"node{number}" for number in range(1, nodes + 1)]
        self._lost: set[str] = set()
        self._started: list[subprocess.Popen[bytes]] = []
        for name in ("state", "mnt"):
            (folder / name).mkdir(mode=0o700)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        hosts = ["127.0.0.1 localhost", "10.77.0.254 controller"]
        hosts += [f"10.77.0.{number} node{number}" for number in range(1, nodes + 1)]
        (folder / "hosts").write_text("\n".join(hosts) + "\n")
        (folder / "slurm.conf").write_text(SETTINGS.format(folder=folder, nodes=nodes))
        (folder / "gres.conf").write_text("Name=gpu Count=2 File=/dev/null,/dev/zero\n")
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        self._environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
        with open(folder / "controller.out", "w") as output:
            self._outside = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--pid",
                 "--fork", "--kill-child", "--mount-proc", HERE / "controller.sh", folder],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment,
            )  # fmt: skip
        try:
            unshared = psutil.Process(self._outside.pid)
            wait_for(unshared.children, 10, "the controller's first process")
            [self._first] = unshared.children()
            wait_for(lambda: self._inside("scontrol", "ping").returncode == 0, 30, "slurmctld")
            for node in self.nodes:
                self._start(node)
            self.wait_idle()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends everything."""
        self._outside.kill()  # and the kernel kills the first process, and with it all others
        for process in (self._outside, *self._started):
            process.wait(30)

    def _inside(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", "--target", str(self._first.pid), "--all", *command], text=True,
            capture_output=True, env={**self._environment, **environment},
        )  # fmt: skip

    def ask(self, *command: str | Path, **environment: str) -> str:
        """Runs a command of Slurm's on the controller; what it prints."""
        done = self._inside(*command, **environment)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def _start(self, node: str) -> None:
        with open(self.folder / f"{node}.out", "a") as output:
            process = subprocess.Popen(
                ["nsenter", "--target", str(self._first.pid), "--all", HERE / "node.sh",
                 self.folder, node, f"10.77.0.{node.removeprefix('node')}", *self._shared],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment,
            )  # fmt: skip
        self._started.append(process)

    def wait_idle(self) -> None:
        """Waits until all nodes are there and none has a job."""
        idle = ("sinfo", "--noheader", "--states=idle", "--format=%D")
        wait_for(
            lambda: self.ask(*idle).strip() == str(len(self.nodes)), 60,
            f"all nodes idle; see {self.folder}",
        )  # fmt: skip

    def kill(self, node: str) -> None:
        """Kills all processes of a node at once, as when its power fails."""
        self._lost.add(node)
        self._inside("kill", "-KILL", (self.folder / f"{node}.pid").read_text().strip())

    def unplug(self, node: str) -> None:
        """Takes the network from a node: nobody is told, and its processes run on."""
        self._lost.add(node)
        self.ask("ip", "link", "set", node, "down")

    def restore(self) -> None:
        """Cancels all jobs, and starts anew the nodes that were killed or unplugged."""
        self._inside("scancel", "--user=root")
        for node in sorted(self._lost):
            self.kill(node)  # it may be only unplugged
            # else it would count as idle before its slurmd has registered
            self.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")
            self._start(node)
        self._lost.clear()
        self.wait_idle()

    def submit(self, *words: str | Path, **environment: str) -> str:
        """Calls sbatch with `words`; the job's number."""
        return self.ask("sbatch", "--parsable", f"--chdir={ROOT}", *words, **environment).strip()

    def tasks(self, job: str) -> list[dict[str, str]]:
        """What Slurm says of a job's tasks, such as JobState, Restarts and BatchHost of each.

        Tasks of an array that have not started yet may be one entry.
        """
        lines = self.ask("scontrol", "--oneliner", "show", "job", job).splitlines()
        known = [line.partition(" Command=")[0] for line in lines if line]
        return [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in known]
