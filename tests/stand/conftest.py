"""The whole stand, as `owl up` runs it: the demo's site under a prefix and on ports of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from running_stand import Stand
from support import free_port, owl, start, unique_prefix, wait_until

from owlshift.site import demo_site_path


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    name, ca_port, http_port = unique_prefix().removesuffix(":"), free_port(), free_port()
    text = demo_site_path().read_text()
    text = text.replace('"DEMO"', f'"{name}"').replace("DEMO:", f"{name}:").replace("port = 5064", f"port = {ca_port}")
    text, count = re.subn(r"^http = .*$", f'http = "127.0.0.1:{http_port}"', text, flags=re.MULTILINE)
    assert count == 1
    (folder / "demo.acf").write_text((demo_site_path().parent / "demo.acf").read_text())
    site_file = folder / "site.toml"
    site_file.write_text(text)
    state = folder / "state"
    process = start(owl("up", str(site_file), "--state", str(state)), ready="Ctrl-C stops it", timeout=120)
    try:
        yield Stand(process, site_file, state, f"{name}:", f"http://127.0.0.1:{http_port}", ca_port)
    finally:
        code = process.stop(60)
        print(process.text()[-20_000:])
    assert code == 0
    assert process.log[-1] == "all stopped"
    leftovers = wait_until(lambda: not _children_of(state), 10, "all processes of the site to end")
    assert leftovers


def _children_of(state: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if str(state) in " ".join(process.info["cmdline"] or []):
            found.append(process.info["pid"])
    return found


@pytest.fixture(scope="module")
def ramped(stand: Stand) -> Stand:
    """The stand with every layer at nine tenths of its voltage."""
    done = stand.owl("put", "-c", stand.pv("HV:Mult"), "0.9")
    assert done.returncode == 0, done.stderr

    def arrived() -> bool:
        found = [float(stand.owl("get", stand.pv(name)).stdout.split()[1]) for name in ("HV:L07:VMon", "HV:L05:VMon")]
        return all(abs(volts - 1800) < 20 for volts in found)

    wait_until(arrived, 60, "the layers to arrive", interval=0.5)
    return stand
