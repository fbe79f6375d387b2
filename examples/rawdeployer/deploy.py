"""Deploys an application by the envelope protocol, with Python's standard library only.

usage: deploy.py PROGRAM [LOGS]

When it has had LOGS log entries (0), it asks for the weavelet's health in writes of one byte, and
prints the reply. Whatever the weavelet asks for is not answered. The exit code is 0 if the weavelet
says within a second that it is healthy.
"""
import os, select, struct, subprocess, sys, time


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def frame(message):
    return struct.pack("<I", len(message)) + message


def receive(pipe, deadline):
    (size,) = struct.unpack("<I", read(pipe, 4, deadline))
    return read(pipe, size, deadline)


def read(pipe, size, deadline):
    data = b""
    while len(data) < size:
        left = deadline - time.monotonic()
        if left < 0 or not select.select([pipe], [], [], left)[0]:
            sys.exit("the weavelet has not answered in time")
        part = os.read(pipe, size - len(data))
        data += part or sys.exit("the weavelet has ended")
    return data


its_in, to_weavelet = os.pipe()
from_weavelet, its_out = os.pipe()
env = {"ENVELOPE_TO_WEAVELET_FD": str(its_in), "WEAVELET_TO_ENVELOPE_FD": str(its_out)}
weavelet = subprocess.Popen(sys.argv[1:2], pass_fds=(its_in, its_out), env=env)
os.close(its_in)
os.close(its_out)
try:
    # Application, deployment, weavelet, run_main, internal_address.
    info = text(1, b"app") + text(2, b"v1") + text(3, b"w1") + number(7, 1) + text(10, b"localhost:0")
    os.write(to_weavelet, frame(text(2, info)))
    logs, wanted, start = 0, int((sys.argv + ["0"])[2]), time.monotonic() + 30
    if not receive(from_weavelet, start).startswith(b"\x12"):
        sys.exit("the first message is no WeaveletInfo")
    while logs < wanted:
        logs += receive(from_weavelet, start).startswith(b"\x1a")
    for byte in frame(number(1, 42) + text(3, b"")):
        os.write(to_weavelet, bytes([byte]))
    reply, deadline = number(1, -42 & (1 << 64) - 1), time.monotonic() + 1
    while not (message := receive(from_weavelet, deadline)).startswith(reply):
        logs += message.startswith(b"\x1a")  # else it asks for something
    if not message.startswith(reply + b"\x32") or b"\x08\x01" not in message[len(reply) :]:
        sys.exit("reply -42: " + message.hex())
    print("reply -42: HEALTHY, after", logs, "log entries")
finally:
    weavelet.kill()
    weavelet.wait()
