"""Usage: deploy.py PROGRAM. A deployer of the envelope protocol in Python's standard library only.

It asks the weavelet for its health, and prints what comes until the reply. What the weavelet asks for
is not answered. The exit code is 0 if the weavelet says within a second that it is healthy.
"""
import os, signal, struct, subprocess, sys


def varint(n):
    return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)


def field(number, value):  # a number or else bytes, which may be another message
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def frame(message):
    return struct.pack("<I", len(message)) + message


def cut(data):  # returns the varint at the start, and the rest
    end = next(i for i, byte in enumerate(data) if byte < 128) + 1
    return sum((byte & 127) << 7 * i for i, byte in enumerate(data[:end])), data[end:]


def fields(message):  # of a repeated field, the last value
    found = {}
    while message:
        tag, message = cut(message)
        value, message = (8, message) if tag & 7 == 1 else cut(message)
        if tag & 7 != 0:  # the value is the length of bytes
            value, message = message[:value], message[value:]
        found[tag >> 3] = value
    return found


class Weavelet:
    def __init__(self, program):
        its_in, to_it = os.pipe()
        from_it, its_out = os.pipe()
        env = {"ENVELOPE_TO_WEAVELET_FD": str(its_in), "WEAVELET_TO_ENVELOPE_FD": str(its_out)}
        self.process = subprocess.Popen([program], pass_fds=(its_in, its_out), env=env)
        os.close(its_in)
        os.close(its_out)
        self.to, self.out = open(to_it, "wb", buffering=0), open(from_it, "rb")
        # Application, deployment, weavelet, run_main, internal_address.
        info = field(1, b"app") + field(2, b"v1") + field(3, b"w1") + field(7, 1) + field(10, b"localhost:0")
        self.to.write(frame(field(2, info)))

    def receive(self):
        size = self.out.read(4) or sys.exit("the weavelet has ended")
        return fields(self.out.read(*struct.unpack("<I", size)))


if __name__ == "__main__":
    weavelet = Weavelet(sys.argv[1])
    print("the weavelet is at", fields(weavelet.receive()[2])[1].decode())
    signal.alarm(1)  # ends this program if the reply takes longer, and the weavelet with it
    for byte in frame(field(1, 42) + field(3, b"")):
        weavelet.to.write(bytes([byte]))  # frames may come in pieces of any size
    while (message := weavelet.receive()).get(1) != 2**64 - 42:
        print("log:" if 3 in message else "not answered:", message)
    weavelet.process.kill()
    healthy = message.get(6) == field(1, 1)
    print("reply -42:", "HEALTHY" if healthy else message)
    sys.exit(not healthy)
