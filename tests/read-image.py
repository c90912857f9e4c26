#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Reads an image by its description in cowarena-image(5), without the library: prints what
`cowarena image info --json` and `cowarena image ls --json` should say, one line each. Checksums are
compared if there is libxxhash.so.0."""
import ctypes
import json
import struct
import sys

path = sys.argv[1]
with open(path, "rb") as file:
    image = file.read()

try:
    xxh3 = ctypes.CDLL("libxxhash.so.0").XXH3_64bits_withSeed
    xxh3.restype = ctypes.c_uint64
    xxh3.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]
except (OSError, AttributeError):
    xxh3 = None


def check(what, seed, checksum):
    assert xxh3 is None or xxh3(what, len(what), seed) == checksum


(magic, version, page_size, layout, base, reserved, pages, number, parent, epoch, snapshot,
 checksum) = struct.unpack_from("<8s11Q", image, 0)
assert magic == b"COWARENA" and version == 1
assert not any(image[96:page_size])
check(image[:88], 0, checksum)

index, groups, index_checksum, length, end_checksum, end = struct.unpack_from("<5Q8s", image, len(image) - 48)
assert end == b"ARENAEND" and length == len(image) and index + 48 * groups + 48 == length
check(image[index:index + 48 * groups], checksum, index_checksum)
check(image[-48:-16], index_checksum, end_checksum)

runs = []
present_pages = zero_pages = 0
expected = page_size
for i in range(groups):
    first, present, zeros, offset, size, group_checksum = struct.unpack_from("<6Q", image,
                                                                       index + 48 * i)
    assert first % 64 == 0 and offset == expected and not present & zeros
    assert size == bin(present).count("1") * page_size
    check(image[offset:offset + size], (number + first * 0x9e3779b185ebca87) % 2**64, group_checksum)
    expected += size
    for bit in range(64):
        is_zeros = bool(zeros >> bit & 1)
        if not (present >> bit & 1 or is_zeros):
            continue
        page = first + bit
        last = runs[-1] if runs else None
        if (last and last["zeros"] == is_zeros
                and last["page"] + last["bytes"] // page_size == page):
            last["bytes"] += page_size
        else:
            runs.append({"address": hex(base + page * page_size), "page": page,
                         "bytes": page_size, "offset": None if is_zeros else offset,
                         "zeros": is_zeros})
        if is_zeros:
            zero_pages += 1
        else:
            present_pages += 1
            offset += page_size
assert expected == index

others = pages - present_pages - zero_pages
print(json.dumps([{
    "file": path, "format": version, "page_size": page_size, "address": hex(base),
    "reserved_bytes": reserved, "used_bytes": pages * page_size, "number": hex(number),
    "parent": hex(parent) if parent else None, "epoch": epoch, "snapshot": snapshot,
    "pages": pages, "pages_with_bytes": present_pages,
    "pages_of_zeros": zero_pages + (0 if parent else others),
    "pages_of_parent": others if parent else 0, "file_bytes": len(image)}]))
print(json.dumps({"file": path, "page_size": page_size, "runs": runs}))
