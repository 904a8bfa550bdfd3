"""A real SLURM of one node that pretends to have 8 CPUs, 64 GB and two GPUs: no cgroups, systemd or accounting."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

CONFIG = Path("/etc/slurm/slurm.conf")  # not SLURM_CONF: the executor takes that variable from its jobs
PROGRAMS = "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "munged"


def missing() -> str:
    """Why there can be none here; empty where there can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no {', '.join(absent)} (Debian: apt install slurmctld slurmd slurm-client munge)"
    if os.geteuid() != 0:
        return "only root can start slurmd and munged"
    return f"{CONFIG} exists: this machine has a SLURM of its own" if os.path.lexists(CONFIG) else ""


class Node:
    """The daemons and their files.

    Args:
        folder: where state, logs and config lie.
    """

    def __init__(self, folder: Path):
        self.folder, self._pid_files = folder, [folder / "slurmd.pid", folder / "slurmctld.pid"]

    def start(self) -> None:
        """Daemons up, the node idle, one job through all of it."""
        if subprocess.run(["munge", "-n"], stdin=subprocess.DEVNULL, capture_output=True).returncode:
            self._start_munge()
        self._write_config()
        for daemon in ("slurmctld", "slurmd"):
            subprocess.run([daemon, "-f", self.folder / "slurm.conf"], check=True)  # gres.conf lies beside it
        until(lambda: "idle" in self.ask("sinfo", "--noheader", "--format", "%T"), 30, "the node is not idle")
        assert self.ask("srun", "--time", "1", "--mem", "50", "--gpus", "1", "echo", "done").strip() == "done"

    def stop(self) -> None:
        """Nothing of it is left."""
        self.ask("scancel", "--user", "root")
        until(lambda: not self.ask("squeue", "--noheader"), 30, "jobs did not end")
        for file in self._pid_files:
            if file.exists():
                os.kill(int(file.read_text()), signal.SIGTERM)
                until(lambda file=file: not file.exists(), 20, f"{file.stem} did not end")
        CONFIG.unlink(missing_ok=True)

    def ask(self, *command: str) -> str:
        """What a command of SLURM's prints."""
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout

    def jobs(self) -> list[list[str]]:
        """Id, state, memory and comment of every job there was, oldest first."""
        told = self.ask("squeue", "--noheader", "--states", "all", "--sort", "i", "--format", "%i %T %m %k")
        return [line.split(maxsplit=3) for line in told.splitlines()]

    def job(self, comment: str, state: str) -> str | None:
        """The id of the job with a comment, if it is in that state."""
        return next((number for number, is_, _, said in self.jobs() if (said, is_) == (comment, state)), None)

    def _start_munge(self) -> None:
        for folder in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            shutil.chown(folder, "munge", "munge")
        os.chmod("/run/munge", 0o755)
        key = Path("/etc/munge/munge.key")
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(os.urandom(1024))
            shutil.chown(key, "munge", "munge")
        subprocess.run(["munged"], check=True, user="munge", group="munge", extra_groups=[])
        self._pid_files.append(Path("/run/munge/munged.pid"))

    def _write_config(self) -> None:
        host, gpus = socket.gethostname().split(".")[0], [self.folder / f"gpu{i}" for i in range(2)]
        for device in gpus:  # null devices; plain files would leave CUDA_VISIBLE_DEVICES empty
            subprocess.run(["mknod", device, "c", "1", "3"], check=True)
        lines = "\n".join(f"NodeName={host} Name=gpu Type=fake File={device}" for device in gpus)
        (self.folder / "gres.conf").write_text(lines + "\n")
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        (self.folder / "slurm.conf").write_text(SETTINGS.format(host=host, folder=self.folder))
        CONFIG.parent.mkdir(exist_ok=True)
        CONFIG.symlink_to(self.folder / "slurm.conf")


def until(condition, seconds: float, otherwise: str) -> None:
    """Wait for something; fail with words when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.1)


SETTINGS = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
# memory is watched and what exceeds its limit killed, without cgroups
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
# squeue, which stands in for the database, remembers ended jobs for so long [s]
MinJobAge=86400
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobRequeue=1
KillWait=10
# a job that can never run fails when it is submitted
EnforcePartLimits=ALL
ReturnToService=2
MpiDefault=none
# believe this file and not the hardware
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=64000 Gres=gpu:fake:2 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""
