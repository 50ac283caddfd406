"""`genzoo explore` as one types it."""

import http.client
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import genzoo_rwae as gz
from genzoo_rwae import releases
from genzoo_rwae.cli import main
from genzoo_rwae.explore import page as page_module
from genzoo_rwae.explore import server as server_module
from genzoo_rwae.explore.server import listen
from genzoo_rwae.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
# notes whom the process asks for anything
WATCHER = """\
import os, sys

def note(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        with open(os.environ["ASKED"], "a") as file:
            print(event, arguments[-1] if event == "socket.connect" else arguments, file=file)

sys.addaudithook(note)
"""


@pytest.fixture(scope="module")
def run(tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "run"
    gz.build(tiny_file, run=folder, settings={"train.steps": 1, "evaluate": []})
    return folder


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    with pytest.raises(SystemExit) as left:
        main(["explore", *map(str, words)])
    assert left.value.code == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    assert said.out == ""
    return said.err


def test_without_gradio_it_says_what_to_install(run, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert "pip install 'genzoo-rwae[explore]'" in refused(capsys, run, "--port", 0)


def test_a_port_in_use_is_said_with_what_to_do(run, capsys):
    with listen(0) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} cannot be had" in refused(capsys, run, "--port", port)


def test_a_run_without_a_model_is_refused(run, capsys, monkeypatch, tmp_path):
    pytest.importorskip("gradio", reason="the page needs Gradio: the extra explore")
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    for file in ("spec.yaml", "digests.json"):
        (unfinished / file).write_bytes((run / file).read_bytes())
    assert "has not been trained to its end" in refused(capsys, unfinished, "--port", 0)


def test_a_damaged_evaluation_is_not_shown(run, capsys, tmp_path):
    pytest.importorskip("gradio", reason="the page needs Gradio: the extra explore")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in ("spec.yaml", "digests.json"):
        (damaged / file).write_bytes((run / file).read_bytes())
    (damaged / "evaluation.json").write_text('{"a": 1}')
    assert "evaluation.json" in refused(capsys, damaged, "--port", 0)


def test_a_released_run_is_shown_with_its_name_and_figures(run, monkeypatch, tmp_path):
    released = tmp_path / "releases" / "small"
    released.mkdir(parents=True)
    for file in ("spec.yaml", "digests.json", "model.safetensors"):
        (released / file).write_bytes((run / file).read_bytes())
    RunFolder(released).write(released / "evaluation.json", b'{"probes": {"who": 0.5}}')
    monkeypatch.setattr(releases, "_FOLDER", released.parent)
    shown = {}

    class Served:
        def run(self, sockets: object) -> None: ...

    monkeypatch.setattr(page_module, "import_gradio", lambda: None)
    monkeypatch.setattr(page_module, "page", lambda exploration, **about: shown.update(about))
    monkeypatch.setattr(server_module, "server", lambda blocks: Served())
    with pytest.raises(SystemExit) as left:
        main(["explore", "zoo:small", "--port", "0"])
    assert left.value.code == 0
    assert (shown["name"], shown["problem"]) == ("tiny", "")
    assert [(figure.name, figure.value) for figure in shown["figures"]] == [("who", "0.5")]


@pytest.mark.slow
def test_page_is_served_until_ctrl_c_and_asks_nobody_elsewhere(run, tmp_path):
    pytest.importorskip("gradio", reason="the page needs Gradio: the extra explore")
    (tmp_path / "sitecustomize.py").write_text(WATCHER)
    asked, folders = tmp_path / "asked", tmp_path / "folders"
    folders.mkdir()
    roots = (tmp_path, ROOT, ROOT / "plugins", ROOT / "kernels")
    process = subprocess.Popen(
        [sys.executable, "-c", "from genzoo_rwae.cli import main; main()", "explore", str(run),
         "--port", "0"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots)), "ASKED": str(asked),
             "TMPDIR": str(folders)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = threading.Timer(540, process.kill)
    deadline.start()
    try:
        assert process.stdout
        address = process.stdout.readline().split(" ")[0]
        assert address.startswith("http://127.0.0.1:"), process.stderr
        open_page = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)
        open_page.request("GET", "/")
        assert open_page.getresponse().read()
        open_page.request("GET", "/gradio_api/heartbeat/somebody")  # never ends
        assert open_page.getresponse().status == 200
        assert len(list(folders.iterdir())) == 1
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        open_page.close()
    finally:
        deadline.cancel()
        process.kill()
    assert (process.returncode, said) == (0, "")
    assert list(folders.iterdir()) == []
    hosts = asked.read_text() if asked.exists() else ""
    assert [line for line in hosts.splitlines() if "127.0.0.1" not in line] == []
