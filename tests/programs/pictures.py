"""Pictures that the tests of programs write."""

import struct
import zlib


def png(width, height, byte, level=-1):
    """Of colours that byte() gives one after another; with level 0 not compressed, so that its size says nothing."""
    rows = b"".join(b"\0" + bytes(byte() for _ in range(3 * width)) for _ in range(height))

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, level)) + chunk(b"IEND", b"")
