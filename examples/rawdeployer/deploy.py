"""Deploys an application by the envelope protocol, with Python's standard library only.

usage: deploy.py PROGRAM

It asks for the weavelet's health, in writes of one byte, and prints the reply. Whatever the
weavelet asks for is not answered. The exit code is 0 if it is healthy within a second.
"""
import os, select, struct, subprocess, sys, time


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def frame(message):
    return struct.pack("<I", len(message)) + message


def read(fd, size, deadline):
    data = b""
    while len(data) < size:
        if not select.select([fd], [], [], max(0, deadline - time.monotonic()))[0]:
            sys.exit("the weavelet has not answered in time")
        part = os.read(fd, size - len(data))
        if not part:
            sys.exit("the weavelet has ended")
        data += part
    return data


def receive(fd, deadline):
    (size,) = struct.unpack("<I", read(fd, 4, deadline))
    return read(fd, size, deadline)


its_in, to_weavelet = os.pipe()
from_weavelet, its_out = os.pipe()
weavelet = subprocess.Popen(
    sys.argv[1:],
    pass_fds=(its_in, its_out),
    env={"ENVELOPE_TO_WEAVELET_FD": str(its_in), "WEAVELET_TO_ENVELOPE_FD": str(its_out)},
)
os.close(its_in)
os.close(its_out)
try:
    # Application, deployment, weavelet, run_main, internal_address.
    info = text(1, b"app") + text(2, b"v1") + text(3, b"w1") + number(7, 1) + text(10, b"localhost:0")
    os.write(to_weavelet, frame(text(2, info)))
    hello = receive(from_weavelet, time.monotonic() + 30)
    if hello[:1] != b"\x12":
        sys.exit("the first message is no WeaveletInfo")
    deadline = time.monotonic() + 1
    for byte in frame(number(1, 42) + text(3, b"")):
        os.write(to_weavelet, bytes([byte]))
    reply_id = number(1, -42 & (1 << 64) - 1)
    while not (message := receive(from_weavelet, deadline)).startswith(reply_id):
        pass  # log entries, and what it asks for
    healthy = message[len(reply_id) :].startswith(b"\x32") and b"\x08\x01" in message[len(reply_id) :]
    print("reply -42:", "HEALTHY" if healthy else message.hex())
    sys.exit(0 if healthy else 1)
finally:
    weavelet.kill()
    weavelet.wait()
