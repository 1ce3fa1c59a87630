"""moto's DynamoDB in a process of its own: `python moto_server.py PORT`; ends when its standard input does.

It answers one request after another: moto looks whether a condition holds and writes in two steps, and two requests at
once would both be told that it held.
"""

from __future__ import annotations

import sys
from threading import Lock, Thread
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

moto = DomainDispatcherApplication(create_backend_app)
turn = Lock()


def one_by_one(environ: Any, start_response: Any) -> Any:
    with turn:
        return moto(environ, start_response)


server = make_server("127.0.0.1", int(sys.argv[1]), one_by_one, threaded=True, request_handler=MotoRequestHandler)
serving = Thread(target=server.serve_forever)
serving.start()
print("started", flush=True)
sys.stdin.read()
server.shutdown()
serving.join()
