#!/usr/bin/env python3
"""A reader of the spool's directory, written from docs/formats/spool.md and nothing else.

    spool_reader.py DIR traces|metrics|logs      the data that waits, back to back
    spool_reader.py DIR traces|metrics|logs -m   the marks: a line each, key and value in hex

test_spool_format.c holds it against what the program itself says.
"""
import pathlib
import struct
import sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


class Frame:
    def __init__(self, file, at):
        header = file[at:at + 128]
        if len(header) < 128 or header[:8] != b"SRGSPL01" or crc32c(header[:124]) != struct.unpack_from("<I", header, 124)[0]:
            raise ValueError
        (_, self.generation, self.number, offset, self.seq, self.lane_end, self.synced, self.before, self.items, _,
         data, entries, meta, crc, self.lane, self.flags, marks) = struct.unpack_from("<10Q4IBBxxI", header, 8)
        body = data + 16 * entries + meta + marks
        self.end = at + (128 + body + 4095) // 4096 * 4096
        if offset != at or self.end > len(file):
            raise ValueError
        body = file[at + 128:at + 128 + body]
        self.sound, self.data, self.marks = crc32c(body) == crc, body[:data], body[len(body) - marks:]


def frames(file):
    """All of the file's life, each with whether something else lay before it."""
    found = []
    for at in range(0, len(file), 4096):
        try:
            found.append((at, Frame(file, at)))
        except ValueError:
            continue
        if at == 0:
            break
    if not found:
        return
    first, at, gap = max((frame for _, frame in found), key=lambda frame: frame.number), 0, False
    while at < len(file):
        try:
            frame = Frame(file, at)
            if (frame.generation, frame.number) != (first.generation, first.number):
                raise ValueError
        except ValueError:
            at, gap = at + 4096, True
            continue
        yield frame, gap
        at, gap = frame.end, False


def read(directory, lane):
    """The frames of the lane that count, whatever `begin` says, and `begin`."""
    begin = synced = serial = 0
    cursors = (directory / "cursors").read_bytes()
    for slot in (cursors[:4096], cursors[4096:8192]):
        if slot[:8] == b"SRGCUR01" and crc32c(slot[:4092]) == struct.unpack_from("<I", slot, 4092)[0]:
            if struct.unpack_from("<Q", slot, 8)[0] >= serial:
                serial, = struct.unpack_from("<Q", slot, 8)
                begin, synced = struct.unpack_from("<QQ", slot, 32 + 32 * lane)
    lives = [life for life in (list(frames(path.read_bytes())) for path in directory.glob("*.segment"))
             if life and life[0][0].lane == lane]
    lives.sort(key=lambda life: life[0][0].number)
    synced = max([synced] + [frame.synced for life in lives for frame, _ in life])
    rows = []
    for i, life in enumerate(lives):
        limit = min([later[0][0].lane_end for later in lives[i + 1:]], default=2**64)
        row = []
        for frame, gap in life:
            if frame.seq >= limit or (frame.seq >= synced and (gap or not frame.sound)):
                break
            row.append(frame)
        rows.append(row)
    return rows, begin


def latest_marks(rows):
    start = max((i for i, row in enumerate(rows) if row and row[0].flags & 1 and row[0].sound), default=0)
    marks = {}
    for frame in (frame for row in rows[start:] for frame in row if frame.sound):
        if frame.flags & 1:
            marks = {}
        at = 0
        while at < len(frame.marks):
            length, key = struct.unpack_from("<H32s", frame.marks, at)
            at += 34
            if length == 65535:
                marks.pop(key, None)
            else:
                marks[key] = frame.marks[at:at + length]
                at += length
    return marks


rows, begin = read(pathlib.Path(sys.argv[1]), ["traces", "metrics", "logs"].index(sys.argv[2]))
if sys.argv[3:] == ["-m"]:
    for key, value in sorted(latest_marks(rows).items()):
        print(key.hex(), value.hex())
else:
    for frame in (frame for row in rows for frame in row if frame.sound and frame.seq >= begin):
        sys.stdout.buffer.write(frame.data)
