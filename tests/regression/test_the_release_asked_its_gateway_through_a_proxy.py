"""With HTTP_PROXY set, the release's questions to the local gateway went to the proxy, operator token included."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from slipway.connections import ChannelConnection
from slipway.release.gateway_client import GatewayClient


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = b'{"devices": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def servers() -> Iterator[list[http.server.ThreadingHTTPServer]]:
    """The gateway, and what the environment calls a proxy; both answer whatever they are asked."""
    made = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) for _ in range(2)]
    for server in made:
        server.asked = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


def test_it_goes_to_the_gateway_itself(servers, monkeypatch):
    gateway, proxy = servers
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    client = GatewayClient(ChannelConnection(f"http://127.0.0.1:{gateway.server_port}", "", "", "token"), attempts=1)
    assert client.devices("flight_delay") == ()
    assert (proxy.asked, gateway.asked) == ([], ["/v1/devices?pipeline=flight_delay"])
