"""`owl ioc hv` in the foreground, without a site around it, brings its simulator along and takes it away again."""

import os
from pathlib import Path

import psutil
import pytest
from support import Process, owl, start, unique_prefix, wait_until

from owlshift.kinds import read_simulator_place


def _start(state: Path) -> tuple[Process, int]:
    port = os.environ["EPICS_CA_SERVER_PORT"]
    argv = owl("ioc", "hv", "--state", str(state), "--prefix", f"{unique_prefix()}HV:", "--port", port)
    process = start(argv, timeout=60)
    return process, int(read_simulator_place(state, "HV")["pid"])


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_the_simulator_ends_with_its_ioc(tmp_path: Path, kill: bool) -> None:
    process, simulator = _start(tmp_path)
    assert psutil.pid_exists(simulator)
    if kill:
        process.kill()
    else:
        assert process.stop() == 0
    wait_until(lambda: not psutil.pid_exists(simulator), 20, "the simulator to end")
