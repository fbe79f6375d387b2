"""Usage: accept.py SOCKET EPOCH [PROGRAM]. The deployer of deploy.py, over a socket that its weavelet dials.

It starts the program, or, if there is none, takes over the weavelet of a deployer that has gone. It prints
who has dialled, and asks for health once a second. The weavelet outlives it, and dials the next deployer,
whose EPOCH is larger.
"""
import os, socket, struct, subprocess, sys, time
from deploy import field, fields, frame


class Weavelet:
    def __init__(self, connection):
        self.connection, self.stream = connection, connection.makefile("rb")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid = struct.unpack("3i", credentials)[0]  # as the kernel knows it

    def send(self, message):
        self.connection.sendall(frame(message))

    def receive(self):
        size = self.stream.read(4)
        return fields(self.stream.read(*struct.unpack("<I", size))) if size else {}

    def healthy(self, request):  # what the weavelet asks for is not answered
        self.send(field(1, request) + field(3, b""))
        while (message := self.receive()) and message.get(1) != 2**64 - request:
            pass
        return 6 in message and fields(message[6])[1] == 1


def converse(weavelet, info):
    weavelet.send(field(2, info))
    reply = weavelet.receive()
    if 2 not in reply:
        print("refused:", reply.get(5, b"it has hung up").decode(), flush=True)
        return
    told = fields(reply[2])
    print("process", weavelet.pid, "is", told[1001].decode(), "at", told[1].decode(), flush=True)
    request = 1
    while weavelet.healthy(request):
        if request == 1:
            print("it is healthy", flush=True)
        request += 1
        time.sleep(1)


if __name__ == "__main__":
    path, epoch, program = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if os.path.exists(path):
        os.unlink(path)  # of the deployer before
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen()
    # Features, without which a weavelet does not converse over a socket, and the epoch.
    info = field(1000, b"extensions") + field(1003, epoch)
    if program:
        # Application, deployment, weavelet, run_main, internal_address. A weavelet that runs has them.
        info = field(1, b"app") + field(2, b"v1") + field(3, b"w1") + field(7, 1) + field(10, b"localhost:0") + info
        subprocess.Popen(program, env={"DIVISI_ENVELOPE": "unix://" + path})
    while True:
        converse(Weavelet(door.accept()[0]), info)
