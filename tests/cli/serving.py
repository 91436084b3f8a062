"""A server under test: `ecp serve` on a free port, and ways to ask it."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import time

ECP = str(pathlib.Path(os.environ["ECP_BINARY_DIR"]) / "ecp")


class Server:
    def __init__(self, checkpoint, *arguments, environment=None):
        self.process = subprocess.Popen([ECP, "serve", str(checkpoint), "--port", "0", "--threads", "1", *arguments],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(environment or {})})
        self.line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", self.line)
        if not found:
            raise AssertionError(self.process.stderr.read())
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def connect(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, path, body=None, method=None, headers=None):
        """(status, headers, body) of one request."""
        with contextlib.closing(self.connect()) as connection:
            data = None if body is None else body if isinstance(body, (str, bytes)) else json.dumps(body)
            connection.request(method or ("GET" if body is None else "POST"), path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()

    def json(self, path, body=None, **options):
        status, _, text = self.ask(path, body, **options)
        return status, json.loads(text)

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.ask("/metrics")[2], re.M)[1])

    def wait_until(self, condition):
        for _ in range(400):
            if condition():
                return True
            time.sleep(0.025)
        return False

    def raw(self, data):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(data)
        return connection

    def raw_answer(self, data):
        with contextlib.closing(self.raw(data)) as connection:
            got = b""
            while part := connection.recv(65536):
                got += part
            return got.decode()
