"""sluice/1 frames, decoded by the rules of PROTOCOL.md alone; what a frame says is put in the words of the golden vectors."""
import struct, unicodedata

RULES = """none frameTooLong wrongFixedLength innerLength trailingBytes unknownFlag reservedNotZero nonMinimalInteger fieldOrder
fieldValue notUTF8 wrongDirection wrongState wrongStream streamNotNext streamCredit bodyCredit responseCredit bodyLength
smallFragment unknownStream afterTerminal magic unknownType capability glitches pings creditFrames inboundRate streamRate
helloTimeout partialFrame pingTimeout writeStall transportEnded checksum messageTooLong outboundQueue versionRange credentials
unaskedPong emptyPayload streamsUsedUp resumes""".split()
CODES = {"FRAME_SIZE": "frameTooLong wrongFixedLength innerLength trailingBytes messageTooLong", "UNKNOWN_FRAME": "unknownType capability",
         "CREDIT_VIOLATION": "streamCredit bodyCredit responseCredit streamsUsedUp",
         "CALM": "glitches pings creditFrames inboundRate streamRate outboundQueue resumes"}
TYPES = dict(HELLO=1, HELLO_OK=2, PING=3, PONG=4, CREDIT=5, GOAWAY=6, CONN_ERROR=7, REQUEST=16, BODY=17, CANCEL=18, RESUME=19,
             ACCEPTED=32, DELTA=33, EVENT=34, END=35, ERROR=36, SUBSCRIBE=48, SNAPSHOT=49, UPDATE=50, REPORT=51, HINT=0x81)
NAMES = {number: name for name, number in TYPES.items()}
ERRORS = {1: "PROTOCOL", 2: "UNKNOWN_FRAME", 3: "FRAME_SIZE", 4: "CREDIT_VIOLATION", 5: "VERSION", 6: "AUTH_FAILED", 7: "CALM",
          8: "TIMEOUT_HANDSHAKE", 9: "PEER_SILENT", 0x101: "INVALID_REQUEST", 0x102: "UNKNOWN_MODEL", 0x103: "FORBIDDEN",
          0x104: "TOO_LARGE", 0x105: "DUPLICATE", 0x106: "RESUME_UNKNOWN", 0x201: "QUOTA_RPM", 0x202: "QUOTA_TPM",
          0x203: "QUOTA_CONCURRENCY", 0x204: "BUDGET_EXHAUSTED", 0x301: "OVERLOADED", 0x302: "DRAINING", 0x303: "NO_ROUTE",
          0x304: "STATE_UNAVAILABLE", 0x401: "UPSTREAM_CONNECT", 0x402: "UPSTREAM_THROTTLED", 0x403: "UPSTREAM_5XX",
          0x404: "UPSTREAM_TRUNCATED", 0x405: "UPSTREAM_MALFORMED", 0x406: "UPSTREAM_STALLED", 0x407: "UPSTREAM_REJECTED",
          0x501: "DEADLINE", 0x502: "CANCELLED", 0x503: "SLOW_CONSUMER", 0x504: "MOVED", 0x5FF: "INTERNAL"}
MORE, EXT = 1, 2
SENDER = {t: "client" for t in (1, 18, 48, 51)} | {t: "service" for t in (16, 17, 19)} | {t: "both" for t in (3, 4, 5, 6, 7)}
FLAGS = {1: EXT, 2: EXT, 16: MORE, 17: MORE, 35: EXT, 36: EXT, 48: EXT, 49: MORE, 50: MORE}
RESUME, CONTROL, HINTS = 1, 2, 4
NEEDS = {19: RESUME, 48: CONTROL, 49: CONTROL, 50: CONTROL, 51: CONTROL, 0x81: HINTS}
FINISH = "stop length tool_calls content_filter refusal other".split()
KINDS = "text reasoning toolArguments refusal audio vectors".split()
RETRY = "never safeHere safeElsewhere unsafe".split()


class Fault(Exception):
    """A broken rule."""


def hidden(text):
    return any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in text)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def left(self):
        return len(self.data) - self.at

    def take(self, count):
        if count > self.left():
            raise Fault("innerLength")
        self.at += count
        return self.data[self.at - count:self.at]

    def get(self, form):
        values = struct.unpack(">" + form, self.take(struct.calcsize(">" + form)))
        return values if len(values) > 1 else values[0]

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.get("B")
            value |= (byte & 127) << shift
            if byte < 128:
                if (byte == 0 and shift) or value > 0xFFFFFFFF:
                    raise Fault("nonMinimalInteger")
                return value
            shift += 7
            if shift >= 35:
                raise Fault("nonMinimalInteger")

    def text(self, count, is_name=False):
        try:
            text = self.take(count).decode("utf-8")
        except UnicodeDecodeError:
            raise Fault("notUTF8")
        if is_name and hidden(text):
            raise Fault("fieldValue")
        return text

    def short(self):
        return self.text(self.get("B"))

    def need(self, count, exactly=False):
        if self.left() != count if exactly else self.left() < count:
            raise Fault("wrongFixedLength")

    def fields(self, flags, sizes, repeated=()):
        """Numbered fields; `sizes` has the allowed lengths of the known ones."""
        found, last = [], 0
        if bool(flags & EXT) != (self.left() > 0):
            raise Fault("trailingBytes")
        while self.left():
            number = self.get("B")
            if number < last or (number == last and number not in repeated):
                raise Fault("fieldOrder")
            last, length = number, self.varint()
            if length > self.left():
                raise Fault("innerLength")
            if number in sizes and length not in sizes[number]:
                raise Fault("fieldValue")
            found.append((number, Reader(self.take(length)), length))
        return found


def value(is_right, rule="fieldValue"):
    if not is_right:
        raise Fault(rule)


def decode(kind, flags, data):
    """What a frame says, in the words of frames.txt, and its values."""
    r, v = Reader(data), {}
    say = DECODERS.get(NAMES[kind], lambda r, f, v: f"{r.left()} bytes")
    return say(r, flags, v), v


def hello(r, flags, v):
    r.need(40)
    value(r.get("I") == 0x534C4331, "magic")
    low, high, role, auth, v["offers"] = r.get("BBBBQ")
    value(role < 3 and auth < 2 and low <= high)
    r.take(16)
    _, window, reserved = r.get("HHI")
    value(reserved == 0, "reservedNotZero")
    value(16 <= window <= 1024)
    key, client = 0, ""
    for number, field, length in r.fields(flags, {1: range(1, 129), 2: range(65)}):
        if number == 1: key = length
        if number == 2: client = field.text(length, True)
    value((auth == 1) == (key > 0))
    value(low <= 1 <= high, "versionRange")
    v["role"] = role
    return (f"{['client', 'node', 'tool'][role]} {['certificate', 'apiKey'][auth]}, versions {low}-{high}, capabilities {v['offers']}, "
            f"window {window} KiB, key of {key} bytes, client '{client}'")


def hello_ok(r, flags, v):
    r.need(40)
    version, reserved = r.get("BB")
    value(reserved == 0, "reservedNotZero")
    _, v["agreed"], _, v["node"], streams, frame, body, _, _ = r.get("HQQIIHHII")
    value(0 < streams < 1 << 31 and frame >= 8192)
    v["models"] = {}
    for number, field, length in r.fields(flags, {1: range(3, 131), 2: range(1, 17), 3: range(1, 129)}, (1, 2, 3)):
        if number == 1:
            model = field.get("H")
            value(model > 0)
            v["models"][field.text(length - 2, True)] = model
    value(version == 1, "versionRange")
    return f"version {version}, node {v['node']}, streams to {streams}, frames to {frame}, bodies to {body} KiB, {len(v['models'])} models"


def eight(r, flags, v):
    r.need(8, True)
    v["value"] = r.data
    return f"{r.get('Q'):x}"


def credit(r, flags, v):
    r.need(4, True)
    v["up to"] = r.get("I")
    return f"up to {v['up to']}"


def quoted(text):
    return f" '{text}'" if text else ""


def go_away(r, flags, v):
    value(12 <= r.left() <= 140, "wrongFixedLength")
    v["last"], reason, reserved, drain = r.get("IHHI")
    value(reserved == 0, "reservedNotZero")
    last = "announcement" if v["last"] == 0xFFFFFFFF else f"last stream {v['last']}"
    names = ["?", "drain", "age", "idle", "rebalance", "overload", "done"]
    return f"{last}, {names[reason] if reason < 7 else '?'}, drain {drain} ms{quoted(r.text(r.left()))}"


def connection_error(r, flags, v):
    r.need(8, True)
    v["code"], v["detail"], v["last"] = r.get("HHI")
    return f"{ERRORS.get(v['code'], '?')} ({RULES[v['detail']] if v['detail'] < len(RULES) else v['detail']}), found by peer"


def request(r, flags, v):
    r.need(64)
    key, trace = r.take(16).hex(), r.take(16).hex()
    span, timeout, first, most, operation, priority = r.get("QIIIBB")
    value(operation in (1, 2) and priority < 3)
    reserved, cancel = r.get("BB")
    value(reserved == 0, "reservedNotZero")
    value(cancel < 2)
    model, bits = r.get("HH")
    value(bits < 4, "reservedNotZero")
    v["length"], v["resumable"] = r.get("I"), bool(bits & 2)
    length = r.get("B")
    value(length <= 64)
    feature, name = r.text(length), f"model number {model}"
    if model == 0:
        length = r.get("B")
        value(1 <= length <= 128)
        name = f"'{r.text(length)}'"
    words = " ".join(w for w, bit in (("stream", 1), ("resumable", 2)) if bits & bit) or "none"
    v["first"] = r.left()
    return (f"{['chat', 'embeddings'][operation - 1]} {name}, {['interactive', 'background', 'batch'][priority]}, cancel "
            f"{['abort', 'drain'][cancel]}, flags {words}, idempotency key {key}, trace {trace}, span {span}, timeout {timeout} ms, first "
            f"token {first} ms, output limit {most}, feature '{feature}', body {r.left()} of {v['length']}")


def cancel(r, flags, v):
    r.need(1, True)
    reason = r.get("B")
    value(reason < 4)
    return ["unwanted", "deadline", "hedged", "shutdown"][reason]


def resume(r, flags, v):
    r.need(24, True)
    r.take(16)
    v["received"], v["credit"] = r.get("II")
    value(v["credit"] >= v["received"])
    return f"behind {v['received']} bytes, up to {v['credit']}"


def accepted(r, flags, v):
    r.need(8, not flags & EXT)
    provider, bits, attempt, queued = r.get("HBBI")
    value(bits < 4, "reservedNotZero")
    kept = ""
    for number, field, length in r.fields(flags, {1: (20,)}):
        if number == 1:
            v["id"], v["kept"] = field.take(16), field.get("I")
            kept = f", can be continued for {v['kept']} ms"
    return f"provider {provider}{' (fallback)' if bits & 2 else ''}, attempt {attempt}, queued {queued} ms{kept}"


def delta(r, flags, v):
    value(r.left() > 1, "emptyPayload")
    value(r.left() <= 4096, "frameTooLong")
    tag = r.get("B")
    value(tag & 15 < 6)
    v["kind"], v["bytes"] = tag & 15, r.data[1:]
    return f"choice {tag >> 4} {KINDS[tag & 15]}, {r.left()} bytes"


def event(r, flags, v):
    value(r.left() <= 4096, "frameTooLong")
    kind, choice = r.get("BB")
    value(choice < 16 and (1 <= kind <= 7 or kind >= 128))
    if kind == 1: text = "tool call {} id '{}' name '{}'".format(r.get("H"), r.short(), r.short())
    elif kind == 2: text = f"further arguments of tool call {r.get('H')}"
    elif kind == 3:
        finish = r.get("B")
        value(finish < 6)
        text = f"complete, {FINISH[finish]}"
    elif kind == 4: text = f"restart, attempt {r.get('B')}"
    elif kind == 7:
        value(choice == 0, "reservedNotZero")
        return "usage so far: {} in, {} out, {} cached".format(*r.get("III"))
    else: text = {5: "citation", 6: "log probabilities"}.get(kind, f"kind {kind}, skipped") + f", {len(r.take(r.left()))} bytes"
    value(r.left() == 0, "trailingBytes")
    return f"choice {choice}: {text}"


def end(r, flags, v):
    r.need(32)
    finish, source = r.get("BB")
    value(finish < 6 and source < 4)
    provider, v["in"], v["out"], cached, total, v["cost"], first, attempts = r.get("HIIIIQHH")
    v["finish"] = FINISH[finish]
    text = (f"{v['finish']}, {v['in']} in, {v['out']} out, {cached} cached, {v['cost']} µ$, {total} ms, first token after {first} ms, attempts "
            f"{attempts}, provider {provider}, usage by {['provider', 'counted', 'estimated', 'cache'][source]}")
    for number, field, length in r.fields(flags, {1: (4,), 2: (4,), 3: range(65)}):
        if number == 1: text += f", {field.get('I')} reasoning"
        if number == 2: text += f", {field.get('I')} written to the cache"
        if number == 3: text += f", provider's word '{field.text(length)}'"
    return text


def error(r, flags, v):
    r.need(28)
    value(r.left() <= 28 + 512, "frameTooLong")
    v["code"], retry = r.get("HB")
    value(retry < 4)
    bits = r.get("B")
    value(bits < 8, "reservedNotZero")
    after, given, v["out"], cost, status, provider = r.get("IIIQHH")
    text, v["field"], v["retry"], limit, said = f"{ERRORS.get(v['code']) or 'code %d' % v['code']}, retry {RETRY[retry]} after {after} ms", "", retry, "", ""
    if bits:
        text += f", flags {bits}, {given} in, {v['out']} out, {cost} µ$, provider {provider}, status {status}"
    for number, field, length in r.fields(flags, {}):
        if number == 1: said = field.text(length)
        if number == 2: v["field"] = field.text(length)
        if number == 3: limit = ", limit of {2}: {1} of {0} {3} left".format(*field.get("qq"), field.short(), field.short())
    return text + (f", field {v['field']}" if v["field"] else "") + limit + quoted(said)


def hint(r, flags, v):
    r.need(4, True)
    load, bits, flight = r.get("BBH")
    value(bits < 16 and bits & 6 != 6, "reservedNotZero")
    budget = {2: ", budget near", 4: ", budget over"}.get(bits & 6, "")
    return f"load {load}, in flight {flight}{', rebalance' if bits & 1 else ''}{budget}"


def subscribe(r, flags, v):
    r.need(40)
    node, reserved, _, epoch, sequence, _ = r.get("IIQQQQ")
    value(reserved == 0, "reservedNotZero")
    names = {number: field for number, field, length in r.fields(flags, {})}
    name = names[1].text(names[1].left(), True) if 1 in names else ""
    return f"node {node} '{name}', has {epoch}/{sequence}"


def report(r, flags, v):
    r.need(60)
    node, _, bits, count, number, _, streams = r.get("IBBHIII")
    value(bits < 8, "reservedNotZero")
    value(count <= 80)
    r.take(40)
    for _ in range(count):
        r.take(28)
        value(r.get("B") < 3)
        r.short()
    routes = []
    for _ in range(r.get("B") if bits & 4 else 0):
        r.get("I")
        routes.append(r.short())
        for _ in range(2):
            r.take(40)
            for _ in range(r.get("B")): r.get("BI")
    value(r.left() == 0, "trailingBytes")
    return f"node {node}, number {number}, {streams} streams, {count} targets" + (", canaries: " + " ".join(routes) if routes else "")


DECODERS = dict(HELLO=hello, HELLO_OK=hello_ok, PING=eight, PONG=eight, CREDIT=credit, GOAWAY=go_away, CONN_ERROR=connection_error,
                REQUEST=request, CANCEL=cancel, RESUME=resume, ACCEPTED=accepted, DELTA=delta, EVENT=event, END=end, ERROR=error,
                HINT=hint, SUBSCRIBE=subscribe, REPORT=report)
