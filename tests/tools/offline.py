"""Run a command with the network cut: only the machine itself (loopback) can be reached.

    python tests/tools/offline.py [--required] -- make test

Uses a network namespace of Linux. Where that is not allowed the command runs with the network as
it is, and a line says so; with --required it does not run and the status is 3.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import socket
import struct
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS = 0x8913
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1


def cut() -> str:
    """Leave the network for good; return an empty text, or why that is not possible."""
    if not sys.platform.startswith("linux"):
        return f"{sys.platform} has no network namespaces"
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    flags = CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER
    if libc.unshare(flags) != 0:
        return f"unshare: {os.strerror(ctypes.get_errno())}"
    if flags & CLONE_NEWUSER:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    return raise_loopback()


def raise_loopback() -> str:
    """Switch the loopback interface on: kernels of notebooks and web servers talk through it."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            request = struct.pack("16sh", b"lo", 0).ljust(40, b"\0")
            answer = fcntl.ioctl(sock, SIOCGIFFLAGS, request)
            flags = struct.unpack("16sh", answer[:18])[1] | IFF_UP
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags).ljust(40, b"\0"))
        except OSError as error:
            return f"loopback: {error}"
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Cut the network and become the command; return only when that failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--required", action="store_true", help="do not run with a network")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    command = [word for i, word in enumerate(options.command) if i > 0 or word != "--"]
    if not command:
        parser.error("name a command after --")
    reason = cut()
    if reason:
        print(f"The network is NOT cut ({reason}).", file=sys.stderr, flush=True)
        if options.required:
            return 3
    else:
        print("The network is cut: only this machine can be reached.", flush=True)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
    return 127


if __name__ == "__main__":
    sys.exit(main())
