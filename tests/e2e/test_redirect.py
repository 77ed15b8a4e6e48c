"""A browser that forgot the s in https is sent to the right address.

Shows the redirect of row A4: 301 and 308 on the TLS port of a web service, and nothing else in the clear.
"""

import socket

import pytest

from support.backends import Backend
from support.clients import curl
from support.tls import read_to_end


@pytest.fixture
def port(postern, demo):
    port = postern.serve(f"127.0.0.1:{demo.port('http')}", "http")
    postern.start()
    return port


def ask(port, octets):
    """The head's lines and the body of the answer to a plain request."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(octets)
        head, _, body = read_to_end(sock).partition(b"\r\n\r\n")
    return head.decode("ascii").split("\r\n"), body


def test_curl_is_led_to_the_page(postern, port):
    out = curl(f"http://localhost:{port}/", "--location", "--write-out", "%{num_redirects} %{url_effective}",
               ca=postern.authority.ca).stdout
    assert out.startswith(b"<!DOCTYPE html>") and out.endswith(f"1 https://localhost:{port}/".encode())


@pytest.mark.parametrize("method, status", [("GET", "301 Moved Permanently"), ("HEAD", "301 Moved Permanently"),
                                            ("POST", "308 Permanent Redirect")])
def test_host_and_path_stay_and_the_port_is_the_listeners(port, method, status):
    head, body = ask(port, f"{method} /mail/?q=1 HTTP/1.1\r\nHost: web.example.test:80\r\n\r\n".encode())
    assert head[0] == f"HTTP/1.1 {status}"
    assert f"Location: https://web.example.test:{port}/mail/?q=1" in head
    assert "Connection: close" in head
    assert (body == b"") == (method == "HEAD")


@pytest.mark.parametrize("request_", [
    b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: user@evil.example\r\n\r\n", b"GET / HTTP/1.1\nHost: a\n\n"])
def test_what_is_no_request_is_refused(port, request_):
    head, body = ask(port, request_)
    assert head[0] == "HTTP/1.1 400 Bad Request"
    assert not any(line.startswith("Location:") for line in head)


def test_request_in_many_segments(port):
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in b"GET / HTTP/1.1\r\nHost: web.example.test\r\n\r\n":
            sock.sendall(bytes([octet]))
        assert read_to_end(sock).startswith(b"HTTP/1.1 301 ")


def test_server_hears_nothing_of_it(postern):
    with Backend() as server:
        port = postern.serve(server.server, "http")
        postern.start()
        ask(port, b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        postern.closed()
        server.listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
