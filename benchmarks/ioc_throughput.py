"""Monitor updates per second from one IOC process: the stock caproto server against owlshift's, in one run.

    python benchmarks/ioc_throughput.py [--seconds 4] [--pvs 100]

For each server the rate asked for grows until a client that reads as fast as it can gets less than 98 % of the updates;
the last rate that it still got is printed, with the server's CPU time per update. Both sides get values through
caproto's own ChannelDouble.write; the third line is the way owlshift.ioc publishes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from ca_raw_client import count_events, subscribe
from ioc_server_child import pv_names
from ports import free_port

RATES = [1000, 2000, 4000, 6000, 8000, 10000, 14000, 20000, 28000, 40000, 56000, 80000, 110000, 150000, 200000, 300000]


def measure(kind: str, rate: float, seconds: float, pvs: int) -> dict[str, float]:
    """One run; the child's report with `received` added."""
    child = Path(__file__).resolve().parent / "ioc_server_child.py"
    argv = [sys.executable, str(child), kind, str(free_port()), str(pvs), str(rate), str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None:
            raise RuntimeError("no output of the child")
        line = process.stdout.readline()
        if not line.startswith("ready"):
            raise RuntimeError(f"{kind}: {line!r}")
        with subscribe(int(line.split()[1]), pv_names(pvs)) as sock:
            sock.settimeout(seconds + 30)
            received = count_events(sock)
        report = json.loads(process.stdout.readline())
    return {**report, "received": received}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run")
    parser.add_argument("--pvs", type=int, default=100)
    options = parser.parse_args()
    best: dict[str, float] = {}
    for kind in ("stock", "write", "publish"):
        for rate in RATES:
            report = measure(kind, rate, options.seconds, options.pvs)
            made, got = report["updates"] / report["seconds"], report["received"] / report["seconds"]
            kept_up = made >= 0.98 * rate and got >= 0.98 * made
            print(
                f"{kind:8} asked {rate:7.0f}/s  made {made:9.0f}/s  received {got:9.0f}/s  "
                f"CPU {1e6 * report['cpu_seconds'] / max(1, report['received']):6.1f} us/update  "
                f"{100 * report['cpu_seconds'] / report['seconds']:4.0f} %  RSS {report['rss_mib']:5.0f} MiB"
                f"{'' if kept_up else '  (behind)'}",
                flush=True,
            )
            best[kind] = max(best.get(kind, 0.0), got if kept_up else 0.0)
            if not kept_up:
                break
    print()
    print(f"stock caproto: {best['stock']:.0f} updates/s")
    print(
        f"owlshift, caproto's write: {best['write']:.0f} updates/s, ratio {best['write'] / max(1, best['stock']):.1f}"
    )
    print(f"owlshift, publish: {best['publish']:.0f} updates/s, ratio {best['publish'] / max(1, best['stock']):.1f}")


if __name__ == "__main__":
    main()
