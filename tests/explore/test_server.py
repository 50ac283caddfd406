"""Who gets to see the page, and what it hands out."""

import http.client
import socket
from pathlib import Path

import pytest

from genzoo_rwae.errors import SpecError
from genzoo_rwae.explore.server import listen


def asked(address: str, path: str = "/", method: str = "GET", **headers: str):
    """An answer's status, headers and text."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=120)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode("utf-8", "replace")
    finally:
        connection.close()


def test_page_listens_on_loopback_alone():
    with listen(0) as listener:
        host, port = listener.getsockname()
        assert host == "127.0.0.1"
        with socket.socket() as elsewhere:
            elsewhere.settimeout(5)
            # another address of this machine: who listens on all of them is reached by it
            assert elsewhere.connect_ex(("127.0.0.2", port)) != 0


def test_a_port_in_use_is_refused_in_words():
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SpecError, match=f"port {port} cannot be had: .*--port another"):
            listen(port)


@pytest.mark.slow
def test_page_answers_to_this_machines_names_and_hands_out_what_it_asks_for_alone(
    serve, exploration, tmp_path: Path
):
    address = serve(exploration, name="tiny")
    port = address.rpartition(":")[2]
    status, headers, text = asked(address)
    assert status == 200
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "tiny" in text
    assert asked(address, Host=f"localhost:{port}")[0] == 200
    for name in (f"elsewhere.example:{port}", "127.0.0.1.elsewhere.example", f"10.0.0.1:{port}"):
        assert asked(address, Host=name)[0] == 400
    (tmp_path / "file").write_text("content")
    for path in (tmp_path / "file", Path(__file__), Path("/etc/hostname")):
        status, headers, text = asked(address, f"/gradio_api/file={path}")
        assert (status // 100, "content" in text) == (4, False)
        assert "content-security-policy" in headers
    for method, path in (
        ("POST", "/gradio_api/upload"), ("POST", "/gradio_api/vibe-edit"), ("GET", "/docs"),
        ("GET", "/gradio_api/proxy=http://elsewhere.example/"), ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/file=http://elsewhere.example/"), ("POST", "/gradio_api/run/show"),
    ):  # fmt: skip
        assert asked(address, path, method)[0] == 404, path
