"""A small shop, and its customers: the live service of the demo.

    shop.py serve FOLDER          serve on a free port of the loopback address until somebody asks for /close
    shop.py visit FOLDER COUNT    make COUNT visits, then ask for /close
"""

import http.server
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request


class Shop(http.server.BaseHTTPRequestHandler):
    folder: pathlib.Path
    warehouse: int

    def do_GET(self):
        pages = {"/": self.front_page, "/time": self.time, "/stock": self.stock, "/close": self.close}
        page = pages.get(self.path)
        self.send_response(200 if page else 404)
        self.end_headers()
        self.wfile.write(page() if page else b"no such page\n")

    def front_page(self):
        """Reads a file."""
        return (self.folder / "front page.html").read_bytes()

    def time(self):
        """Executes a program."""
        return subprocess.run(["date", "--utc"], capture_output=True, check=True).stdout

    def stock(self):
        """Looks up a name, connects, and reads what the warehouse says."""
        address = socket.getaddrinfo("localhost", self.warehouse, socket.AF_INET, socket.SOCK_STREAM)[0][4]
        with socket.create_connection(address) as connection:
            return connection.recv(100)

    def close(self):
        self.server.is_open = False
        return b"good night\n"

    def log_message(self, *_):
        """The demo has its own texts."""


def serve(folder):
    warehouse = socket.create_server(("127.0.0.1", 0))
    Shop.folder, Shop.warehouse = folder, warehouse.getsockname()[1]
    if not (pid := os.fork()):
        while True:
            warehouse.accept()[0].sendall(b"3 left\n")
    with http.server.HTTPServer(("127.0.0.1", 0), Shop) as server:
        server.is_open = True
        (folder / "port.new").write_text(str(server.server_port))
        (folder / "port.new").rename(folder / "port")
        while server.is_open:
            server.handle_request()
    os.kill(pid, signal.SIGTERM)


def visit(folder, count):
    deadline = time.monotonic() + 30
    while not (folder / "port").exists():
        if time.monotonic() > deadline:
            sys.exit("the shop does not open")
        time.sleep(0.05)
    port = (folder / "port").read_text()
    pages = ["/", "/time", "/stock"]
    for number in range(count):
        urllib.request.urlopen(f"http://127.0.0.1:{port}{pages[number % len(pages)]}").read()
    urllib.request.urlopen(f"http://127.0.0.1:{port}/close").read()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder]:
            serve(pathlib.Path(folder))
        case ["visit", folder, count]:
            visit(pathlib.Path(folder), int(count))
        case _:
            sys.exit(__doc__)
