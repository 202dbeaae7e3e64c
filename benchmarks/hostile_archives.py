"""Hostile zip and tar archives, generated from a seed, for `hostile_input.py`.

Each is determined by (number, seed, root); `root` is a folder whose tree is watched. It starts as a valid archive of
two classes, in which one to three tricks are hidden; sometimes a few bytes are flipped as well.
"""

# ruff: noqa: ARG001 - all tricks are called alike

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import random
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass, field, replace

from PIL import Image

import hostile_files

_FAR = "modelzero-canary-0f3a"  # a name that nobody else writes
_SOME = 6  # images in each class
BOMB_BYTES = 200_000_000


def archive(number, seed, root):
    """Return name and content of an archive, and what is wrong with it."""
    draws = random.Random(f"{seed} archive {number}")
    kind = draws.choice(("zip", "zip", "zip", "tar", "tar", "tar.gz", "tar.gz", "tar.bz2", "tar.xz"))
    tricks = ZIP_TRICKS if kind == "zip" else TAR_TRICKS
    # In turn, so that each is met; the others by chance.
    chosen = [tricks[number % len(tricks)], *draws.choices(tricks, k=draws.choice((0, 0, 1, 2)))]
    members = [Member(f"{label}/{k}.png".encode(), picture(k)) for label in ("cat", "dog") for k in range(_SOME)]
    packed = Packed(members)
    for trick in chosen:
        trick(packed, draws, str(root))
        if not packed.members:  # the next one needs something to work on
            packed.members.append(Member(b"a.txt", b"a"))
    if draws.random() < 0.3:
        draws.shuffle(packed.members)
    content = packed.zip() if kind == "zip" else packed.tar()
    if draws.random() < 0.15:
        content = hostile_files.flip_bytes(content, draws)
        chosen.append(hostile_files.flip_bytes)
    pack = {"tar.gz": lambda x: gzip.compress(x, 6, mtime=0), "tar.bz2": bz2.compress, "tar.xz": lzma.compress}.get(
        kind
    )
    content = pack(content) if pack else content
    if draws.random() < 0.05:
        content = hostile_files.truncate(content, draws)
        chosen.append(hostile_files.truncate)
    return f"pets{number}.{kind}", content, f"{kind}: {' + '.join(each.__name__ for each in chosen)}"


def far_away():
    """Return paths that some archives try to create, outside any watched folder."""
    return [f"/{_FAR}", f"/tmp/{_FAR}", f"/etc/{_FAR}", f"/tmp/{_FAR}.png"]


@functools.cache
def picture(k):
    return hostile_files.saved(Image.fromarray(hostile_files.smooth(k, 3, 12)), "PNG")


@dataclass
class Member:
    """A member of an archive, and what its headers claim, which need not be true.

    Args:
        name: as it is written.
        data: the content.
        kind: the type of a tar member; in a zip, links and devices are marked by their mode.
        link: the target of a link.
        said: numbers that are written instead of the right ones: size, packed, crc, method, flags, offset, extra,
            local_name, mode.
        pax: headers before a tar's member.
        raw: the blocks of a tar member as they are, instead of all this.
    """

    name: bytes
    data: bytes = b""
    kind: bytes = tarfile.REGTYPE
    link: bytes = b""
    said: dict = field(default_factory=dict)
    pax: bytes = b""
    raw: bytes | None = None


@dataclass
class Packed:
    """Members to be packed, and what surrounds them.

    Args:
        members: in order.
        before: bytes before the archive.
        after: bytes after it.
        said: false numbers in a zip's end record: entries, size, offset.
        marked: whether a tar has its end-of-archive marker.
    """

    members: list
    before: bytes = b""
    after: bytes = b""
    said: dict = field(default_factory=dict)
    marked: bool = True

    def zip(self):
        """Write a zip, with its false headers."""
        body, directory = bytearray(self.before), bytearray()
        for member in self.members:
            said = member.said
            method = said.get("method", 8)
            packed = said.get("bytes") or (deflated(member.data) if method == 8 else member.data)
            flags = said.get("flags", 0x800 if any(each > 127 for each in member.name) else 0)
            extra = said.get("extra", b"")
            sizes = struct.pack(
                "<IIIHH", said.get("crc", zlib.crc32(member.data)), said.get("packed", len(packed)) & 0xFFFFFFFF,
                said.get("size", len(member.data)) & 0xFFFFFFFF, len(member.name) & 0xFFFF, len(extra) & 0xFFFF,
            )  # fmt: skip
            offset = said.get("offset", len(body))
            local = said.get("local_name", member.name)
            body += b"PK\3\4" + struct.pack("<HHHHH", 45, flags, method, 0, 33) + sizes[:-4]
            body += struct.pack("<HH", len(local) & 0xFFFF, 0) + local + packed
            mode = said.get("mode", stat.S_IFREG | 0o644) << 16
            directory += (
                b"PK\1\2" + struct.pack("<HHHHHH", 0x32D, 45, flags, method, *said.get("date", (0, 33))) + sizes
            )
            directory += struct.pack("<HHHII", 0, 0, 0, mode, offset & 0xFFFFFFFF) + member.name + extra
        said = self.said
        entries, size = said.get("entries", len(self.members)), said.get("size", len(directory))
        end = b"PK\5\6" + struct.pack(
            "<HHHHIIH", 0, 0, min(entries, 65535), min(entries, 65535), size & 0xFFFFFFFF,
            said.get("offset", len(body)) & 0xFFFFFFFF, len(self.after) & 0xFFFF,
        )  # fmt: skip
        if said.get("zip64"):
            start = len(body) + len(directory)
            directory += b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, entries, entries, size, said["zip64"])
            directory += b"PK\6\7" + struct.pack("<IQI", 0, start, 1)
        return bytes(body + directory + end + self.after)

    def tar(self):
        """Write a tar."""
        body = bytearray(self.before)
        for member in self.members:
            if member.raw is not None:
                body += member.raw
                continue
            if member.pax:
                body += pax(member.pax)
            if len(member.name) > 100:
                body += header(b"././@LongLink", len(member.name) + 1, b"L") + blocks(member.name + b"\0")
            size = member.said.get("size", len(member.data) if member.kind in b"07S" else 0)
            body += header(member.name, size, member.kind, member.link) + blocks(member.data)
        return bytes(body + (bytes(1024) if self.marked else b"") + self.after)


def header(name, size, kind=b"0", link=b"", mode=0o644):
    """Return the header block of a tar member, with a valid checksum; the size may be absurd."""
    number = b"%011o\0" % size if 0 <= size < 8**11 else b"\x80" + (size % (1 << 88)).to_bytes(11, "big")
    if size < 0:
        number = b"\xff" + (size % (1 << 88)).to_bytes(11, "big")
    start = name[:100].ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2 + number + b"00000000000\0"
    end = kind + link[:100].ljust(100, b"\0") + b"ustar\x0000" + bytes(64) + b"0000001\x000000003\0"
    block = (start + b" " * 8 + end).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def blocks(data):
    return data + bytes(-len(data) % 512)


def pax(text, kind=b"x"):
    return header(b"PaxHeaders/x", len(text), kind) + blocks(text)


def record(key, value):
    """Return one line of a pax header, with the right length."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + 1
    while len(b"%d" % size) + len(rest) != size:
        size += 1
    return b"%d" % size + rest


def deflated(data, level=6):
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


@functools.cache
def bomb():
    """Two hundred million bytes that begin like an image, packed into two hundred thousand."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = [packer.compress(picture(0))]
    checksum = zlib.crc32(picture(0))
    for _ in range(BOMB_BYTES // 1_000_000):
        packed.append(packer.compress(bytes(1_000_000)))
        checksum = zlib.crc32(bytes(1_000_000), checksum)
    return b"".join(packed) + packer.flush(), checksum, len(picture(0)) + BOMB_BYTES // 1_000_000 * 1_000_000


@functools.cache
def nested():
    """A zip in a zip in a zip, ten each, of ten million zeros."""
    content = bytes(10_000_000)
    for depth in range(3):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for k in range(10):
                packed.writestr(f"cat/{k}.{'zip' if depth else 'png'}", content)
        content = file.getvalue()
    return content


# Tricks of either kind.


def names_that_lead_out(packed, draws, root):
    for _ in range(draws.randint(1, 4)):
        packed.members.append(Member(draws.choice(_outside(root)), picture(0)))


def _outside(root):
    inner = root.strip("/")
    return [each.encode("utf-8", "surrogateescape") for each in (
        "../x.png", "../../outside/x.png", "cat/../../outside/x.png", f"{'../' * 30}{inner}/outside/x.png",
        f"{root}/outside/x.png", f"/{_FAR}", f"/tmp/{_FAR}", f"{'../' * 30}tmp/{_FAR}.png", f"//{inner}/outside/x.png",
        f"cat/{root}/outside/x.png", "..", "../", "cat/..", "/", "cat/../../../../home/.profile", "./../x.png",
    )]  # fmt: skip


def strange_names(packed, draws, root):
    strange = (
        b"C:\\x.png", b"..\\x.png", b"cat\\..\\..\\outside\\x.png", b"\\\\host\\share\\x.png", b"c:x.png", b"\\x.png",
        b"cat/\0/x.png", b"cat/x\0.png", b"\0", b"", b".", b"./", b"cat/\n.png", b"cat/\x1b[31mred\x1b[0m.png",
        b"cat/\r\b\b.png", b"c\nat/x.png", b"cat/x.p\nng", b"cat/" + b"x" * 5000 + b".png", b"d/" * 2500 + b"x.png",
        b"x" * 5000, b"cat/\xff\xfe.png", b"cat/\xed\xa0\x80.png", "cat/\u202egnp.exe".encode(),
        "\u2024\u2024/x.png".encode(), b"cat/%2e%2e%2fx.png", b"~/x.png", b"$HOME/x.png", b"file:///etc/passwd",
        b"cat/CON", b"cat/aux.png", b"cat/x.png.", b"cat/ ", b"cat/x.png/x.png", b"cat/0.png/1.png", b"-rf",
        b"cat/;rm -rf x.png", b"cat/`id`.png", b"\xff" * 300 + b"/x.png", b"c\x1b]0;x\7/x.png",
    )  # fmt: skip
    for _ in range(draws.randint(1, 3)):
        packed.members.insert(draws.randrange(len(packed.members) + 1), Member(draws.choice(strange), picture(1)))


def same_name_twice(packed, draws, root):
    other = draws.choice((b"cat/0.png", b"./cat/0.png", b"cat//0.png", b"cat\\0.png", b"CAT/0.png", b"cat/./0.png"))
    packed.members.append(Member(other, picture(3)))


def links_out(packed, draws, root):
    """Links that lead out of the archive, and members whose names go through them."""
    leads = draws.choice((f"{root}/outside", "../outside", "..", "/etc", f"/tmp/{_FAR}", ".", "link")).encode()
    kind = draws.choice((tarfile.SYMTYPE, tarfile.LNKTYPE))
    link = Member(
        b"link", leads, kind, leads, {"mode": stat.S_IFLNK | 0o777, "size": 0} if draws.random() < 0.5 else {}
    )
    link.said["mode"] = stat.S_IFLNK | 0o777
    packed.members[:0] = [link, Member(b"link/x.png", picture(0))]
    packed.members.append(Member(b"cat/canary.png", leads, kind, f"{root}/outside/canary.txt".encode(), link.said))


def devices(packed, draws, root):
    kind, mode = draws.choice(
        ((tarfile.CHRTYPE, stat.S_IFCHR), (tarfile.BLKTYPE, stat.S_IFBLK), (tarfile.FIFOTYPE, stat.S_IFIFO))
    )
    packed.members.append(Member(b"cat/device.png", b"", kind, b"", {"mode": mode | 0o666}))


def archive_within(packed, draws, root):
    packed.members.append(Member(draws.choice((b"cat/inner.zip", b"cat/inner.png", b"inner")), nested()))


def many_members(packed, draws, root):
    """Twenty thousand members that are empty, or all the same one."""
    count = 20_000
    packed.members += [Member(b"cat/e%d%s" % (k, draws.choice((b".png", b".txt"))), b"") for k in range(count)]


def deep_folders(packed, draws, root):
    packed.members += [Member(b"a/" * draws.choice((50, 400, 2000)) + b"%d.png" % k, picture(k)) for k in range(3)]


def file_where_a_folder_is(packed, draws, root):
    packed.members += [Member(b"cat", b"a file"), Member(b"dog/0.png/", b""), Member(b"dog/0.png/1.png", picture(1))]


def no_pictures_at_all(packed, draws, root):
    packed.members[:] = draws.choice(([], [Member(b"cat/", b"", tarfile.DIRTYPE)], [Member(b"a.txt", b"a")]))


def claims_ten_gigabytes(packed, draws, root):
    place = draws.randrange(len(packed.members))
    packed.members[place].said["size"] = 10 << 30
    size = struct.pack("<HHQ", 1, 8, 10 << 30)
    packed.members[place].said |= draws.choice(({}, {"size": 0xFFFFFFFF, "extra": size}, {"size": 255 << 20}))


def damaged_picture(packed, draws, root):
    member = draws.choice(packed.members)
    member.data = draws.choice(hostile_files.COMMON)(member.data, draws)


# Tricks with zip files.


def zip_bomb(packed, draws, root):
    """One to ten members of two hundred megabytes each, in as many kilobytes."""
    content, checksum, size = bomb()
    for k in range(draws.choice((1, 1, 10))):
        said = {"bytes": content, "crc": checksum, "size": size, "packed": len(content)}
        said |= draws.choice(({}, {}, {"size": 1000}, {"size": len(picture(0))}))
        packed.members.append(Member(b"cat/bomb%d.png" % k, b"", said=said))


def wrong_checksum(packed, draws, root):
    draws.choice(packed.members).said["crc"] = draws.choice((0, 1, 0xFFFFFFFF))


def encrypted(packed, draws, root):
    draws.choice(packed.members).said["flags"] = draws.choice((1, 0x41, 0x2001, 0x2000))


def overlapping(packed, draws, root):
    """Members that all share the same bytes."""
    for k in range(draws.choice((1, 1000))):
        packed.members.append(Member(b"cat/o%d.png" % k, picture(0), said={"offset": 0}))


def other_place(packed, draws, root):
    draws.choice(packed.members).said["offset"] = draws.choice((1, 40, 0xFFFFFFFF, 0x7FFFFFFF, 100_000))


def claims_many_entries(packed, draws, root):
    packed.said["entries"] = 200_000
    if draws.random() < 0.5:
        packed.said["zip64"] = draws.choice((0, 1, 1 << 62))


def wrong_directory(packed, draws, root):
    packed.said[draws.choice(("size", "offset"))] = draws.choice((0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 1000))


def other_name_inside(packed, draws, root):
    draws.choice(packed.members).said["local_name"] = draws.choice(_outside(root))


def unknown_method(packed, draws, root):
    draws.choice(packed.members).said["method"] = draws.choice((0, 1, 9, 12, 14, 93, 99, 255))


def wrong_flags(packed, draws, root):
    draws.choice(packed.members).said["flags"] = draws.choice((8, 0x20, 0x800, 0xFFFE))


def strange_extra(packed, draws, root):
    member = draws.choice(packed.members)
    name = f"{root}/outside/x.png".encode()
    unicode_path = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(member.name)) + name
    member.said["extra"] = draws.choice(
        (unicode_path, b"\1\0\xff\xff", b"\1\0\4\0abcd", draws.randbytes(50), b"\1\0\0\0")
    )


def impossible_date(packed, draws, root):
    for member in packed.members:
        member.said["date"] = 0xFFFF, draws.choice((0, 0xFFFF))


def text_around(packed, draws, root):
    if draws.random() < 0.5:
        packed.before = b"#!/bin/sh\nexit\n" if draws.random() < 0.5 else b"PK\3\4" + bytes(26)
    packed.after = draws.choice((b"PK\5\6" + bytes(18), b"comment", bytes(70_000), b"PK\5\6" + b"\xff" * 18))


# Tricks with tar files.


def tar_bomb(packed, draws, root):
    """Two hundred megabytes of zeros: small when compressed."""
    size = draws.choice((20_000_000, BOMB_BYTES))
    packed.members.append(Member(draws.choice((b"cat/bomb.png", b"bomb.txt")), picture(0) + bytes(size)))


def zeros_after_the_end(packed, draws, root):
    packed.after = bytes(draws.choice((100_000, BOMB_BYTES)))


def sparse(packed, draws, root):
    """Files with holes of gigabytes, in the three ways of GNU's tar."""
    how = draws.randrange(3)
    if how == 0:
        block = bytearray(header(b"cat/sparse.png", 0, b"S"))
        block[386:482] = b"%011o\0%011o\0" % (8**10, 0) + bytes(72)
        block[483:495] = b"%011o\0" % (8**11 - 1)
        block[148:156] = b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:])
        packed.members.append(Member(b"", raw=bytes(block)))
    elif how == 1:
        text = record(b"GNU.sparse.size", b"99999999999") + record(b"GNU.sparse.map", b"0,1,9999999,1")
        packed.members.append(Member(b"cat/sparse.png", b"ab", pax=text + record(b"GNU.sparse.name", b"../x.png")))
    else:
        text = record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0")
        text += record(b"GNU.sparse.realsize", b"99999999999") + record(b"GNU.sparse.name", b"cat/s.png")
        data = draws.choice((b"1\n0\n1\n", b"99999999\n", b"x\n", b"-1\n", b"1" * 600)).ljust(512, b"\0") + b"a"
        packed.members.append(Member(b"cat/x.png", data, pax=text))


def pax_headers(packed, draws, root):
    """Names, sizes or links that contradict the header, or invalid lines."""
    member = draws.choice(packed.members)
    out = draws.choice(_outside(root))
    member.pax = draws.choice((
        record(b"path", out), record(b"linkpath", out), record(b"size", b"99999999999"), record(b"size", b"-1"),
        record(b"size", b"x"), record(b"path", b""), record(b"path", b"a\0b"), record(b"path", b"x" * 5000), b"5 a=b\n",
        b"99999 path=x\n", b"0 path=x\n", b"-3 path=x\n", b"path=x\n", b"x" * 100, record(b"hdrcharset", b"BINARY"),
        record(b"mtime", b"1e999"), record(b"uid", b"9" * 5000), record(b"path", b"\xff\xfe"), b"9" * 5000 + b" a=b\n",
        record(b"mtime", b"nan") * 2000, record(b"a", b"b" * 3_000_000), record(b"path", b"cat/\n.png"),
    ))  # fmt: skip


def global_pax(packed, draws, root):
    text = draws.choice(
        (record(b"path", draws.choice(_outside(root))), record(b"size", b"9"), record(b"size", b"1" * 30))
    )
    packed.members.insert(draws.randrange(len(packed.members)), Member(b"", raw=pax(text, b"g")))


def absurd_size(packed, draws, root):
    size = draws.choice((-1, -512, -(1 << 40), 8**11 - 1, 1 << 62, 1 << 80, 10 << 30, 1, 511))
    member = draws.choice(packed.members)
    packed.members.append(Member(b"", raw=header(b"cat/absurd.png", size) + blocks(member.data)))


def long_names(packed, draws, root):
    """Headers of long names and links that lead out, never end, come in hundreds, or precede nothing."""
    name = draws.choice((*_outside(root), b"x" * 5000, b""))
    raw = header(b"././@LongLink", len(name), draws.choice((b"L", b"K"))) + blocks(name)
    raw = draws.choice((raw, raw * 400, header(b"././@LongLink", 5 << 30, b"L"), header(b"././@LongLink", -1, b"L")))
    packed.members.insert(draws.randrange(len(packed.members)), Member(b"", raw=raw))


def unknown_type(packed, draws, root):
    draws.choice(packed.members).kind = draws.choice(
        (b"7", b"D", b"M", b"V", b"A", b"\xff", b"Z", b"g", b"x", b"X", b"N")
    )


def wrong_header(packed, draws, root):
    block = bytearray(header(b"cat/w.png", 0))
    block[draws.randrange(512)] ^= 1 << draws.randrange(8)
    packed.members.insert(draws.randrange(len(packed.members)), Member(b"", raw=bytes(block)))


def no_mark(packed, draws, root):
    packed.marked = False


def noise_after_the_end(packed, draws, root):
    packed.after = draws.choice((draws.randbytes(3000), replace(packed, after=b"").tar(), b"\0" * 511))


_BOTH = (
    names_that_lead_out, strange_names, same_name_twice, links_out, devices, archive_within, many_members, deep_folders,
    file_where_a_folder_is, no_pictures_at_all, claims_ten_gigabytes, damaged_picture,
)  # fmt: skip
ZIP_TRICKS = (
    *_BOTH, zip_bomb, wrong_checksum, encrypted, overlapping, other_place, claims_many_entries, wrong_directory,
    other_name_inside, unknown_method, wrong_flags, strange_extra, impossible_date, text_around,
)  # fmt: skip
TAR_TRICKS = (
    *_BOTH, tar_bomb, zeros_after_the_end, sparse, pax_headers, global_pax, absurd_size, long_names, unknown_type,
    wrong_header, no_mark, noise_after_the_end,
)  # fmt: skip
