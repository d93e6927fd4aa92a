#!/usr/bin/env python3
"""Pulls an image through the daemon, and shows how far it is.

    banger daemon &
    examples/pull.py debian:bookworm --name debian

The protocol is JSON-RPC 2.0, one object a line; docs/rpc.json describes every method.
"""

import argparse
import json
import os
import socket
import sys


class Daemon:
    """A connection to `banger daemon`."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("r", encoding="utf-8")
        self.calls = 0

    def call(self, method, on_event=None, **params):
        """The result of a call; its progress goes to `on_event`, an event at a time."""
        self.calls += 1
        params = {name: value for name, value in params.items() if value is not None}
        if on_event:
            params["progress"] = True
        request = {"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        for line in self.lines:
            message = json.loads(line)
            if message.get("method") == "progress":
                for event in message["params"]["events"]:
                    on_event(event)
            elif message.get("id") in (self.calls, None):
                # One without an id is about the connection.
                if "error" in message:
                    raise Failure(message["error"])
                return message["result"]
        raise ConnectionError("the daemon has closed the connection")


class Failure(Exception):
    """What the daemon says of an operation that failed."""

    def __init__(self, error):
        data = error["data"]
        lines = [f"error: {error['message']}"]
        lines += [f"caused by: {cause}" for cause in data["causes"]]
        lines += [f"hint: {data['hint']}"] if data["hint"] else []
        super().__init__("\n".join(lines))
        self.exit_code = data["exit_code"]


def default_socket():
    """Where the daemon listens unless it is told otherwise."""
    if home := os.environ.get("BANGER_HOME"):
        return os.path.join(home, "banger.sock")
    if os.geteuid() == 0:
        return "/run/banger/banger.sock"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    data = os.environ.get("XDG_DATA_HOME", os.path.expanduser("~/.local/share"))
    return os.path.join(runtime or data, "banger", "banger.sock")


def show(event):
    kind = event["event"]
    if kind == "resolved":
        print(f"{event['reference']}: {event['platform']}, {len(event['layers'])} layers")
    elif kind == "downloading":
        print(f"{event['digest'][:19]}  {event['received']:>12,} of {event['size']:,} bytes")
    elif kind == "layer-finished":
        print(f"layer {event['layer'] + 1}: {event['entries']:,} entries")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ref", help="image to pull; paths in it are absolute")
    parser.add_argument("--name", help="name of the image")
    parser.add_argument("--platform", help="OS/ARCH[/VARIANT]")
    parser.add_argument("--kernel-ref", help="kernel of the catalog")
    parser.add_argument("--socket", default=None, help="the daemon's socket")
    arguments = parser.parse_args()
    try:
        daemon = Daemon(arguments.socket or default_socket())
        made = daemon.call(
            "image.pull",
            on_event=show,
            ref=arguments.ref,
            name=arguments.name,
            platform=arguments.platform,
            kernel_ref=arguments.kernel_ref,
        )
    except Failure as failure:
        print(failure, file=sys.stderr)
        return failure.exit_code
    except OSError as error:
        print(f"error: the daemon cannot be reached: {error}", file=sys.stderr)
        return 9
    for warning in made["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    print(made["image"]["paths"]["rootfs"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
