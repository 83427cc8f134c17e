"""``python -m vagrantish.provider.supervisor JOBFILE``: run one machine until it is over."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vagrantish.paths import MachineLayout
from vagrantish.provider.supervisor import daemon
from vagrantish.provider.supervisor.job import BadJob, read
from vagrantish.provider.supervisor.supervise import Supervisor


def main(job_file: Path) -> None:
    layout = MachineLayout(job_file.parent)
    os.umask(0o077)
    os.chdir("/")
    reports = daemon.fork_away()
    try:
        job = read(job_file)
        locks = daemon.lock_all(layout, job.locks)
        supervisor = Supervisor(job, layout, kept=locks)
        supervisor.note()
    except daemon.Busy as error:
        daemon.give_up(daemon.BUSY, str(error))
    except (OSError, BadJob) as error:
        daemon.give_up(daemon.FAILED, str(error))
    daemon.report(reports, supervisor.said)
    supervisor.run()


if __name__ == "__main__":
    main(Path(os.path.abspath(sys.argv[1])))
