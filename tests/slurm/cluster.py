"""A real SLURM of one node on loopback: munged, slurmctld, slurmd; no systemd, no cgroups.

Written for Debian 12's packages (SLURM 22.05). Two files of the system stand for two GPUs. With
accounting, MariaDB and slurmdbd run too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

DEFAULT_CONF = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
ACCOUNTING_PROGRAMS = ("slurmdbd", "sacctmgr", "mariadbd", "mariadb-install-db")
NODE = socket.gethostname().partition(".")[0]

SLURM_CONF = """\
ClusterName=gta-tests
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={base}/munge.socket
CredType=cred/munge
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd.pid
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/slurmd.log
MailProg=/bin/true
MpiDefault=none
# without cgroups: what a job starts is found by its process group, its memory by looking at it
# every second
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SwitchType=switch/none
ReturnToService=1
KillWait=5
MinJobAge={min_job_age}
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=10000,bf_interval=5,sched_interval=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PropagateResourceLimits=NONE
# the node is said to be larger than the machine may be: jobs here ask for much and use little
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={node} NodeAddr=127.0.0.1 CPUs=32 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE DefaultTime=60 State=UP
"""
ACCOUNTING_CONF = """\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass={base}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations
"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={base}/munge.socket
DbdHost={node}
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
LogFile={base}/slurmdbd.log
PidFile={base}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16033
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CommunicationParameters=NoInAddrAny
"""
GRANTS = (
    "create database slurm_acct_db;"
    "create user slurm@127.0.0.1 identified by 'slurm';"
    "grant all on slurm_acct_db.* to slurm@127.0.0.1;"
)


def why_not(accounting: bool = False) -> str | None:
    """Why a cluster cannot be started on this machine; None where it can."""
    programs = PROGRAMS + (ACCOUNTING_PROGRAMS if accounting else ())
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        return f"no SLURM here: {', '.join(missing)} missing (packages: .ci/apt.txt)"
    if os.geteuid() != 0:
        return "a test cluster needs root"
    if DEFAULT_CONF.exists() and not DEFAULT_CONF.is_symlink():
        return f"this machine has a SLURM of its own ({DEFAULT_CONF})"
    return None


class Cluster:
    """A cluster that runs while the ``with`` block does."""

    def __init__(self, base: Path, accounting: bool = False, min_job_age: int = 300) -> None:
        """Remember what to start.

        Args:
            base: an empty folder with a short path (it holds sockets).
            accounting: whether to keep accounts, with an account `lab` for root.
            min_job_age: seconds after its end when SLURM forgets a job.
        """
        self.base = base
        self.min_job_age = min_job_age
        self.accounting = accounting
        self.env = {**os.environ, "SLURM_CONF": str(base / "slurm.conf")}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}  # by program

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def _start(self) -> None:
        base = self.base
        base.chmod(0o755)  # munge wants its socket to be reachable, and its key not to be
        for name in ("munge", "state", "spool"):
            (base / name).mkdir(mode=0o700 if name == "munge" else 0o755)
        conf = SLURM_CONF + (ACCOUNTING_CONF if self.accounting else "")
        (base / "slurm.conf").write_text(
            conf.format(base=base, node=NODE, min_job_age=self.min_job_age)
        )
        # without File=, jobs are given no index of their GPU
        (base / "gres.conf").write_text("Name=gpu File=/dev/null,/dev/zero\n")
        (base / "cgroup.conf").write_text("")
        # srun inside a job is started without SLURM_CONF and looks here
        DEFAULT_CONF.parent.mkdir(exist_ok=True)
        DEFAULT_CONF.unlink(missing_ok=True)
        DEFAULT_CONF.symlink_to(base / "slurm.conf")
        socket_of_munge = f"--socket={base}/munge.socket"
        self._run("mungekey", "--create", f"--keyfile={base}/munge/key")
        self._daemon(
            "munged",
            "--foreground",
            socket_of_munge,
            f"--key-file={base}/munge/key",
            f"--pid-file={base}/munge.pid",
            f"--log-file={base}/munge.log",
            f"--seed-file={base}/munge/seed",
        )
        self._until("munge", "--no-input", socket_of_munge)
        if self.accounting:
            self._start_accounting()
        self._daemon("slurmctld", "-D")
        self._until("scontrol", "show", "config")
        self._daemon("slurmd", "-D", "-N", NODE)
        self._until("sh", "-c", "sinfo --noheader --format=%T | grep -qx idle")

    def _start_accounting(self) -> None:
        base = self.base
        (base / "slurmdbd.conf").write_text(SLURMDBD_CONF.format(base=base, node=NODE))
        (base / "slurmdbd.conf").chmod(0o600)
        options = ("--no-defaults", f"--datadir={base}/mysql", "--user=root")
        self._run("mariadb-install-db", *options, "--skip-test-db")
        self._daemon(
            "mariadbd",
            *options,
            "--bind-address=127.0.0.1",
            "--port=16033",
            f"--socket={base}/mysql.socket",
            "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=0",
        )
        client = ("mariadb", "--no-defaults", "-S", f"{base}/mysql.socket", "-e")
        self._until(*client, "select 1")
        self._run(*client, GRANTS)
        self._daemon("slurmdbd", "-D")
        self._until("sacctmgr", "--noheader", "list", "cluster")
        for thing in (
            ("cluster", "gta-tests"),
            ("account", "lab", "Cluster=gta-tests"),
            ("user", "root", "Account=lab", "AdminLevel=Admin"),
        ):
            self._run("sacctmgr", "--immediate", "add", *thing)

    def _daemon(self, *command: str) -> None:
        with (self.base / f"{command[0]}.out").open("wb") as out:
            self._daemons[command[0]] = subprocess.Popen(
                # tests that are killed leave no cluster behind
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.env, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
        return done.stdout

    def _until(self, *command: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while True:
            try:
                self._run(*command)
            except (RuntimeError, subprocess.TimeoutExpired):
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return

    def _stop(self) -> None:
        try:
            if len(self._daemons) > 2:
                self._run("scancel", "--user=root")
                self._until("sh", "-c", '[ -z "$(squeue --noheader)" ]')
        finally:
            for daemon in reversed(self._daemons.values()):
                daemon.terminate()
                try:
                    daemon.wait(20)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()
            self._sweep()
            # a dead cluster's file makes every call of Snakemake wait ten seconds
            if DEFAULT_CONF.is_symlink():
                DEFAULT_CONF.unlink()

    def _sweep(self) -> None:
        """Kill what is left of this cluster's jobs; without cgroups some may have got away."""
        mark = f"SLURM_CONF={self.base / 'slurm.conf'}".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended
                if mark in (process / "environ").read_bytes().split(b"\0"):
                    os.kill(int(process.name), signal.SIGKILL)

    # What tests ask of it

    def states(self) -> dict[str, str]:
        """The state of every job since the start, by its number."""
        lines = self._run("squeue", "--states=all", "--noheader", "--format=%i %T").splitlines()
        return dict(sorted(line.split() for line in lines))

    def job(self, number: str) -> dict[str, str]:
        """What SLURM knows of a job."""
        words = self._run("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def cancel(self, number: str) -> None:
        """Cancel a job, as a user does."""
        self._run("scancel", number)

    def warn(self, number: str) -> None:
        """Send a job's steps SIGTERM, as `--signal=TERM@120` does before the end."""
        self._run("scancel", "--signal=TERM", number)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Stop slurmctld while the block runs, and wait until it answers again."""
        controller = self._daemons.pop("slurmctld")
        controller.terminate()
        controller.wait(30)
        try:
            yield
        finally:
            self._daemon("slurmctld", "-D")
            self._until("scontrol", "show", "config")

    def node(self, state: str) -> None:
        """Set the node ``down`` or, once its jobs are gone, have it ``resume``."""
        self._until("scontrol", "update", f"NodeName={NODE}", f"State={state}", "Reason=test")

    def accounts(self) -> dict[str, list[str]]:
        """Account and state of every job, as the accounting has them."""
        out = self._run("sacct", "-X", "--noheader", "--parsable2", "--format=JobID,Account,State")
        return {number: rest for number, *rest in (line.split("|") for line in out.splitlines())}
