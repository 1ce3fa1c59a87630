"""moto's DynamoDB in a process of its own: `python moto_server.py PORT`; ends when its standard input does."""

from __future__ import annotations

import sys

from moto.server import ThreadedMotoServer

server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
print("started", flush=True)
sys.stdin.read()
server.stop()
