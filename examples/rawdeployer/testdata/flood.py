"""Tests a weavelet as deploy.py deploys it: nothing that it asks for is answered.

usage: flood.py PROGRAM LOGS

Health is asked for in writes of one byte after LOGS log entries, and as many must follow; LOGS is 0 for
a program that does not flood. Then 1,000 requests are outstanding at once. A program that floods, which
is the one in the folder flood, must go on while nobody reads, and account for each of its entries.
"""
import collections, fcntl, http.client, json, signal, struct, sys, termios, time
from deploy import Weavelet, field, fields, frame

HEALTH, HEALTHY = field(3, b""), {6: field(1, 1)}

# What is asked for, and the field of the reply. A request from the future, and one that lacks what it
# needs, are answered with an error.
KINDS = [
    (HEALTH, 6),
    (field(4, b""), 7),  # metrics
    (field(5, b""), 8),  # load
    (field(8, b""), 11),  # components
    (field(7, b""), 5),  # where no component is
    (field(999, b""), 5),
]


class Deployer:
    def __init__(self, program):
        self.weavelet = Weavelet(program)
        self.logs = self.dropped = 0
        self.requests = collections.Counter()  # of the weavelet, by field
        self.replies = collections.defaultdict(list)  # by request
        self.page = None  # the address of the program's page

    def ask(self, id, request):
        self.weavelet.to.write(frame(field(1, id) + request))

    def ask_by_bytes(self, id, request, logs):
        """Writes a byte when that before has been read, and logs have come since."""
        for byte in frame(field(1, id) + request):
            self.weavelet.to.write(bytes([byte]))
            while fcntl.ioctl(self.weavelet.to, termios.FIONREAD, bytes(4)) != bytes(4):
                time.sleep(0.0001)
            self.hear_logs(logs)

    def hear(self):
        message = self.weavelet.receive()
        id = message.pop(1, 0)
        if id >= 1 << 63:
            self.replies[2**64 - id].append(message)
        elif id > 0:
            self.requests.update(message.keys())
        elif b" log entries dropped: " in message.get(3, b""):
            self.dropped += int(fields(message[3])[9].split()[0])
        elif 3 in message:
            self.logs += 1
            # The last attribute of the first entry.
            self.page = self.page or fields(message[3])[10].decode()

    def hear_logs(self, n):
        n += self.logs
        while self.logs < n:
            self.hear()

    def hear_reply(self, id):
        while id not in self.replies:
            self.hear()

    def look(self, path="/"):
        """Returns how many entries the program says there have been."""
        connection = http.client.HTTPConnection(self.page)
        connection.request("GET", path)
        with connection.getresponse() as response:
            return int(response.read())


def say_nothing(deployer, seconds):
    """Reads nothing. Returns how many entries were logged, and the longest wait for a page."""
    first, start, longest = deployer.look(), time.monotonic(), 0
    last = first
    while time.monotonic() < start + seconds or last < first + 50_000:
        asked = time.monotonic()
        last = deployer.look()
        longest = max(longest, time.monotonic() - asked)
    return last - first, longest


def account(deployer, ids):
    """Ends the flood, and hears until each entry has come or is among those dropped."""
    deployer.look("/quiet")
    for id in ids:
        # What was dropped is said with the next entry, which may be this page's.
        total = deployer.look()
        deployer.ask(id, HEALTH)
        deployer.hear_reply(id)
        if deployer.logs + deployer.dropped == total:
            return
    raise AssertionError(f"of {total} entries {deployer.logs} came, {deployer.dropped} were dropped")


def main(program, logs):
    deployer, found = Deployer(program), {}
    while not deployer.requests[12]:  # ActivateComponent
        deployer.hear()
    deployer.hear_logs(logs)

    found["logs before 42"], start = deployer.logs, time.monotonic()
    deployer.ask_by_bytes(42, HEALTH, min(logs, 10))
    deployer.hear_reply(42)
    found["seconds to -42"] = time.monotonic() - start
    found["logs until -42"] = deployer.logs - found["logs before 42"]
    assert found["seconds to -42"] < 1, found
    assert deployer.replies == {42: [HEALTHY]}, deployer.replies
    deployer.hear_logs(logs)

    ids = range(1000, 2000)
    for id in ids:  # a pipe holds all these, even if the weavelet did not read
        deployer.ask(id, KINDS[id % len(KINDS)][0])
    for id in ids:
        deployer.hear_reply(id)

    if logs:
        found["logs while unread"], found["longest wait for a page"] = say_nothing(deployer, 1.5)
        account(deployer, range(2000, 3000))
        assert deployer.dropped, "nothing was dropped"
        found["logs in all"], found["dropped"] = deployer.logs, deployer.dropped
    deployer.ask(43, HEALTH)
    deployer.hear_reply(43)
    for id, replies in deployer.replies.items():
        want = [KINDS[id % len(KINDS)][1]] if id in ids else [6]
        assert [list(reply) for reply in replies] == [want], (id, replies)
    deployer.weavelet.process.kill()
    print(json.dumps(found))


def late(*_):
    raise TimeoutError


signal.signal(signal.SIGALRM, late)
signal.alarm(60)  # for everything
main(sys.argv[1], int(sys.argv[2]))
