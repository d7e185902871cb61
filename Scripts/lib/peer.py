#!/usr/bin/env python3
"""A sluice/1 peer of another make, written from PROTOCOL.md alone: holds the golden vectors, and talks to a real node.

usage: peer.py vectors FOLDER          decodes frames.txt and bodies.txt, finds every mistake of errors.txt
       peer.py talk HOST PORT CA       a conversation with a node; the API key comes from SLUICE_KEY
"""
import json, os, socket, ssl, struct, sys, time
from peer_frames import *


class Receiver:
    """One side of a connection: takes frames in the order of checks of section 2.1, and raises the rule that is broken."""

    def __init__(self, is_server, state):
        self.is_server, self.state, self.role, self.agreed = is_server, "open", 0, HINTS
        self.last, self.open, self.window, self.leaves = 0, {}, 65536, False
        self.pings, self.glitches, self.credits, self.assembling = 0, 0, 0, {}
        if state == "new": self.state, self.agreed = "greeting", 0
        if state == "node": self.role, self.agreed = 1, HINTS | CONTROL
        if state == "resume": self.agreed = HINTS | RESUME
        if state == "request":
            self.last, self.open[1] = 1, dict(length=10, came=10, granted=65536, received=0)

    def glitch(self):
        self.glitches += 1
        value(self.glitches <= 200, "glitches")

    def take(self, data):
        while data:
            length, kind, flags, stream = struct.unpack(">HBBI", data[:8])
            self.header(length, kind, flags, stream)
            self.frame(kind, flags, stream, data[8:8 + length])
            data = data[8 + length:]

    def header(self, length, kind, flags, stream):
        value(flags < 4, "unknownFlag")
        if self.is_server and self.state == "greeting":
            value(kind == 1, "wrongState")
            value(length + 8 <= 4096, "frameTooLong")
        value(length <= 16376, "frameTooLong")
        value(stream < 1 << 31, "wrongStream")

    def frame(self, kind, flags, stream, data):
        if kind not in NAMES or kind == 0x81 and (self.is_server or not self.agreed & HINTS):
            value(kind >= 0x80, "unknownType")
            value(self.is_server or self.state != "greeting", "wrongState")
            return self.glitch()
        sender = SENDER.get(kind, "server")
        if self.is_server: value(sender in ("both", "client") or sender == "service" and self.role != 1, "wrongDirection")
        else: value(sender in ("both", "server"), "wrongDirection")
        if self.state == "greeting": value(kind == 1 if self.is_server else kind in (2, 7), "wrongState")
        else: value(kind not in (1, 2) and not (self.leaves and kind in (16, 19, 48)), "wrongState")
        value(not NEEDS.get(kind, 0) & ~self.agreed, "capability")
        value(not flags & ~(EXT if kind == 32 and self.agreed & RESUME else FLAGS.get(kind, 0)), "unknownFlag")
        if kind in (1, 2, 3, 4, 6, 7, 0x81): value(stream == 0, "wrongStream")
        elif kind != 5 or self.is_server: value(stream != 0, "wrongStream")
        if kind in (16, 19, 48):
            value(stream == self.last + 1, "streamNotNext")
            self.last = stream
        value(stream <= self.last, "unknownStream")
        if not self.is_server and kind != 5: value(stream == 0 or stream in self.open, "afterTerminal")
        if kind == 17:
            value(len(data) > 0, "emptyPayload")
            value(not flags & MORE or len(data) >= 4096, "smallFragment")
        _, v = decode(kind, flags, data)
        self.meaning(kind, flags, stream, data, v)

    def meaning(self, kind, flags, stream, data, v):
        row = self.open.get(stream)
        if kind == 1: self.state, self.role = "open", v["role"]
        if kind == 2:
            value(not v["agreed"] & ~(HINTS if not self.agreed else self.agreed))
            self.state = "open"
        if kind == 3:
            self.pings += 1
            value(self.pings <= 4, "pings")
        if kind == 4: raise Fault("unaskedPong")
        if kind == 5 and stream == 0: value(v["up to"] < 1 << 31)
        if kind == 5 and self.is_server:
            self.credits += 1
            value(self.credits <= 16, "creditFrames")
        if kind == 6 and self.is_server:
            value(v["last"] == 0)
            if self.leaves: self.glitch()
            self.leaves = True
        if kind == 16:
            value(v["first"] <= v["length"] and bool(flags & MORE) == (v["first"] < v["length"]), "bodyLength")
            value(not v["resumable"] or self.agreed & RESUME, "reservedNotZero")
            value(v["first"] <= 16384, "bodyCredit")
            self.open[stream] = dict(length=v["length"], came=v["first"], received=0)
        if kind == 17 and row:
            value(row["came"] < row["length"], "bodyLength")
            row["came"] += len(data)
            value(row["came"] <= row["length"], "bodyLength")
            value(row["came"] <= 16384, "bodyCredit")
            value(bool(flags & MORE) == (row["came"] < row["length"]), "bodyLength")
        if kind == 19: value(v["credit"] - v["received"] <= self.window)
        if kind in (33, 34) and row:
            row["received"] += len(data)
            value(row["received"] <= row["granted"], "responseCredit")
        if kind in (35, 36): self.open.pop(stream, None)


def items(body):
    """Body items by 5.2: checks lengths, order, texts, decimals and JSON; enough to refuse what the vectors call wrong."""
    r, messages, parts_allowed, seen = Reader(body), 0, False, set()
    while r.left():
        tag = r.get("B")
        item = Reader(r.take(r.varint()))
        if 0x10 <= tag <= 0x14 or 0x20 <= tag <= 0x24: messages, parts_allowed = messages + 1, True
        elif 0x30 <= tag <= 0x39: value(parts_allowed)
        elif tag < 0x80: parts_allowed = False
        if 0x50 <= tag <= 0x57 or 0x59 <= tag <= 0x5E or tag == 0x71:
            value(tag not in seen)
            seen.add(tag)
        if 0x10 <= tag <= 0x14 or tag in (0x31, 0x38, 0x58, 0x70): item.text(item.left())
        elif tag in (0x30, 0x54, 0x55): item.text(item.left(), True)
        elif 0x50 <= tag <= 0x53:
            text = item.text(item.left())
            value(json.dumps(json.loads(text)) is not None and text.strip() == text and not text.startswith(('"', "{", "[")))
        elif tag in (0x56, 0x57): value(isinstance(json.loads(item.text(item.left())), dict))
        elif tag == 0x5F:
            item.text(item.varint(), True)
            item.text(item.left())
        elif tag < 0x80: value(tag in range(0x20, 0x25) or tag in range(0x32, 0x41) or tag in range(0x59, 0x61) or tag == 0x71)
        if tag in (0x70, 0x71): messages += 1
    value(messages > 0)


def blocks(folder, name):
    for block in open(os.path.join(folder, name), encoding="utf-8").read().split("\n\n"):
        lines = [line.split(":", 1) for line in block.splitlines() if ":" in line and not line.startswith("#")]
        if lines: yield {key: text.strip() for key, text in lines}


def vectors(folder):
    count, wrong = 0, []
    for block in blocks(folder, "frames.txt"):
        data, count = bytes.fromhex(block["hex"]), count + 1
        length, kind, flags, stream = struct.unpack(">HBBI", data[:8])
        if kind in NAMES:
            said = NAMES[kind] + (f" stream {stream}" if stream else "") + (" MORE" if flags & MORE else "") + (" EXT" if flags & EXT else "")
            said += ": " + decode(kind, flags, data[8:])[0]
        else: said = f"type {kind} (ignorable) stream {stream}, {length} bytes"
        if said != block["means"] or len(data) != 8 + length: wrong.append((block["name"], said, block["means"]))
    for block in blocks(folder, "errors.txt"):
        count, found = count + 1, "nothing"
        try: Receiver(block["to"] == "server", block["state"]).take(bytes.fromhex(block["hex"]))
        except Fault as fault:
            found = next((code for code, rules in CODES.items() if str(fault) in rules.split()), "VERSION" if str(fault) == "versionRange" else "PROTOCOL")
            found += f" ({fault})"
        if found != block["fails"]: wrong.append((block["name"], found, block["fails"]))
    for block in blocks(folder, "bodies.txt"):
        count, fails = count + 1, False
        try: items(bytes.fromhex(block["hex"]))
        except (Fault, ValueError): fails = True
        if fails != ("fails" in block): wrong.append((block["name"], fails, "fails" in block))
    for name, found, wanted in wrong: print(f"{name}: found {found}, wanted {wanted}")
    print(f"{count} vectors, {len(wrong)} wrong")
    return not wrong


class Connection:
    """A client: one socket, whole frames out, whole frames in."""

    def __init__(self, host, port, ca, extra=b"", capabilities=HINTS | RESUME):
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["sluice/1"])
        self.socket = context.wrap_socket(socket.create_connection((host, port), 10), server_hostname="localhost")
        self.input, self.granted, self.seen, self.next = b"", {}, {}, 1
        key = os.environ["SLUICE_KEY"].strip().encode()
        fixed = struct.pack(">IBBBBQ16sHHI", 0x534C4331, 1, 1, 0, 1, capabilities, os.urandom(16), 256, 16, 0)
        self.send(1, 0, fixed + field(1, key) + field(2, b"peer.py"), EXT, extra)

    def send(self, kind, stream, payload=b"", flags=0, behind=b""):
        self.socket.sendall(struct.pack(">HBBI", len(payload), kind, flags, stream) + payload + behind)

    def receive(self):
        """The next frame that means something: name, stream, values; None at the end of the transport."""
        while True:
            while len(self.input) < 8 or len(self.input) < 8 + struct.unpack(">H", self.input[:2])[0]:
                try: part = self.socket.recv(65536)
                except (ConnectionResetError, ssl.SSLError): part = b""
                if not part: return None, 0, {}
                self.input += part
            length, kind, flags, stream = struct.unpack(">HBBI", self.input[:8])
            data, self.input = self.input[8:8 + length], self.input[8 + length:]
            if kind not in NAMES: continue
            said, v = decode(kind, flags, data)
            if kind in (33, 34):
                # Half of the window of 16 KiB is used up: raise the absolute credit.
                self.seen[stream] = self.seen.get(stream, 0) + length
                if self.granted.get(stream, 16384) - self.seen[stream] <= 8192:
                    self.granted[stream] = self.seen[stream] + 16384
                    self.send(5, stream, struct.pack(">I", self.granted[stream]))
            if kind == 3: self.send(4, 0, data)
            return NAMES[kind], stream, v

    def ask(self, prompt, bits=1, model=0, key=None, alias=b"chat-default"):
        stream, self.next = self.next, self.next + 1
        body = b"\x12" + varint(len(prompt)) + prompt
        head = (key or os.urandom(16)) + struct.pack(">16sQIIIBBBBHHI", bytes(16), 0, 60000, 0, 0, 1, 0, 0, 0, model, bits, len(body))
        first = body[:16000]
        self.send(16, stream, head + b"\0" + (b"" if model else bytes([len(alias)]) + alias) + first, MORE if len(body) > len(first) else 0)
        if len(body) > len(first):
            # Fewer than 4,096 free bytes are left: wait for CREDIT.
            while True:
                name, number, v = self.receive()
                if (name, number) == ("CREDIT", stream): break
                if name in (None, "ERROR"): return stream
            rest = body[len(first):v["up to"]]
            while rest:
                part, rest = rest[:16000], rest[16000:]
                if 0 < len(rest) < 4096 and len(part) + len(rest) <= 16376: part, rest = part + rest, b""
                self.send(17, stream, part, MORE if rest else 0)
        return stream

    def answer(self, stream, on_text=None):
        """Text and the terminal frame."""
        text = b""
        while True:
            name, number, v = self.receive()
            if name is None or name == "CONN_ERROR": return text, name, v
            if number != stream: continue
            if name == "ACCEPTED" and "id" in v: self.kept = v["id"]
            if name == "DELTA":
                text += v["bytes"]
                if on_text and on_text(text): return text, "left", {}
            if name in ("END", "ERROR"): return text, name, v


def varint(number):
    out = b""
    while number >= 128: out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, data):
    return bytes([number]) + varint(len(data)) + data


def talk(host, port, ca):
    def expect(what, is_right, found=""):
        if not is_right: sys.exit(f"not so: {what} {found}")
        print(f"ok: {what}")

    place = (host, int(port), ca)
    c = Connection(*place, extra=struct.pack(">HBBI", 8, 3, 0, 0) + b"12345678")
    name, _, hello = c.receive()
    expect("HELLO_OK is the first frame though PING came with HELLO", name == "HELLO_OK", name)
    name, _, v = c.receive()
    expect("then PONG with the same bytes", name == "PONG" and v["value"] == b"12345678", name)
    expect("the table has the model", "chat-default" in hello["models"], hello)
    text, name, v = c.answer(c.ask(b"hi\nsim: tokens=4000 pace=0ms"))
    expect("a streamed answer beyond the window", name == "END" and v["out"] == 4000 and len(text) > 16384, (name, v, len(text)))
    text, name, v = c.answer(c.ask(b"hi\nsim: tokens=5", bits=0, model=hello["models"]["chat-default"]))
    expect("a whole answer, the model by its number", name == "END" and v["out"] == 5, (name, v))
    text, name, v = c.answer(c.ask(b"x" * 60000 + b"\nsim: tokens=2"))
    expect("a body beyond the free bytes", name == "END" and v["out"] == 2, (name, v))
    stream = c.ask(b"long\nsim: tokens=2000 pace=20ms")
    c.answer(stream, lambda text: True)
    c.send(18, stream, b"\0")
    text, name, v = c.answer(stream)
    expect("CANCEL has one terminal frame", name == "ERROR" and v["code"] == 0x502, (name, v))
    for what, code, known in (("zero is no idempotency key", 0x101, "idempotency_key"), ("an untold model number", 0x102, "model")):
        text, name, v = c.answer(c.ask(b"x", key=bytes(16)) if code == 0x101 else c.ask(b"x", model=999))
        expect(what, name == "ERROR" and (v["code"], v["field"]) == (code, known), (name, v))
    key = os.urandom(16)
    c.answer(c.ask(b"hi\nsim: tokens=1", key=key))
    text, name, v = c.answer(c.ask(b"hi\nsim: tokens=1", key=key))
    expect("the same idempotency key is DUPLICATE", name == "ERROR" and v["code"] == 0x105, (name, v))

    stream = c.ask(b"long\nsim: tokens=60 pace=20ms", bits=3)
    before, _, _ = c.answer(stream, lambda text: len(text) > 40)
    received = c.seen[stream]
    c.socket.close()
    d = Connection(*place)
    name, _, again = d.receive()
    expect("the same node again", name == "HELLO_OK" and again["node"] == hello["node"], name)
    d.next, d.seen[1], d.granted[1] = 2, received, received + 16384
    d.send(19, 1, c.kept + struct.pack(">II", received, received + 16384))
    after, name, v = d.answer(1)
    expect("a stream goes on over another connection", name == "END" and v["out"] == 60, (name, v))
    whole, _, _ = d.answer(d.ask(b"long\nsim: tokens=60"))
    expect("with every byte once", before + after == whole, (before, after))

    stream = d.ask(b"long\nsim: tokens=30 pace=10ms")
    d.send(6, 0, struct.pack(">IHHI", 0, 6, 0, 0))
    text, name, v = d.answer(stream)
    expect("a stream ends behind the client's GOAWAY", name == "END" and v["out"] == 30, (name, v))
    began = time.monotonic()
    while d.receive()[0] is not None: pass
    expect("then the server closes", time.monotonic() - began < 2)

    for what, kind, stream, data, rule in (("a frame of a server", 33, 1, b"\0x", "wrongDirection"), ("CREDIT of an unknown stream", 5, 9, b"\0\0\0\1", "unknownStream")):
        e = Connection(*place)
        e.receive()
        e.send(kind, stream, data)
        name, _, v = e.receive()
        while name == "HINT": name, _, v = e.receive()
        expect(f"{what} is told with its rule", name == "CONN_ERROR" and (v["code"], RULES[v["detail"]]) == (1, rule), (name, v))
    return True


if __name__ == "__main__":
    commands = {"vectors": (vectors, 1), "talk": (talk, 3)}
    command, count = commands.get(sys.argv[1] if len(sys.argv) > 1 else "", (None, 0))
    if command is None or len(sys.argv) != 2 + count: sys.exit(__doc__)
    sys.exit(0 if command(*sys.argv[2:]) else 1)
