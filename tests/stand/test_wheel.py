"""What is installed from a wheel, without the repository, is the whole of it: `owl demo` works from there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT


@pytest.mark.timeout(300)
def test_the_demo_from_an_installed_wheel(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site-packages"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, timeout=120)
    env = {**os.environ, "PYTHONPATH": str(target)}
    probe = "import owlshift.site as s; print(s.demo_site_path()); s.load_site(s.demo_site_path())"
    found = subprocess.run([sys.executable, "-c", probe], env=env, capture_output=True, text=True, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert Path(found.stdout.strip()).is_relative_to(target)
    demo = [sys.executable, "-m", "owlshift", "demo", "--for", "0.2", "--state", str(tmp_path / "state")]
    done = subprocess.run(demo, env=env, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    if "is served already" in done.stderr:
        pytest.skip("a demo is running on this host")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "all stopped"
    for name in ("screens", "archiver", "iocs"):
        assert (target / name / "__init__.py").exists()
    assert list((target / "screens").glob("*.qss"))
