"""Random damage: of bytes, and of values within JSON."""

import copy
import json
import random
import struct
from typing import Any

ODD_NUMBERS = [0, 1, 2, 127, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
ODD_VALUES: list[Any] = [None, True, False, 0, -1, 1.5, 10**30, float("nan"), float("inf"), "", "x", "\x1b[31m", "\n"]
ODD_VALUES += [[], [[]], {}, {"a": {}}, "\ud800", "../../x", "数字", [0] * 1000]


def damage(data: bytes, rng: random.Random) -> bytes:
    """Make a few random changes: flip, replace, insert, remove or repeat bytes, write odd numbers, truncate."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 4, 16])):
        if not changed:
            break
        at, size = rng.randrange(len(changed)), rng.choice([1, 2, 4, 8, 64, 512])
        kind = rng.randrange(8)
        if kind == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at : at + size] = rng.randbytes(size)
        elif kind == 2:
            changed[at:at] = rng.randbytes(size)
        elif kind == 3:
            del changed[at : at + size]
        elif kind == 4:
            other = rng.randrange(len(changed))
            changed[at : at + size] = changed[other : other + size]
        elif kind == 5:
            form = rng.choice(["<B", "<H", "<I", "<Q", ">H", ">I", ">Q"])
            odd = struct.pack(form, rng.choice(ODD_NUMBERS) % 256 ** struct.calcsize(form))
            changed[at : at + len(odd)] = odd
        elif kind == 6:
            changed[at : at + size] = rng.choice([b"\0", b"\xff", b" "]) * size
        else:
            del changed[at:]
    return bytes(changed)


def damage_json(text: str, rng: random.Random) -> str:
    """Return JSON with a value replaced, removed or added; sometimes not JSON at all."""
    if rng.random() < 0.2:
        return damage(text.encode(), rng).decode(errors="replace")
    value = json.loads(text)
    for _ in range(rng.choice([1, 1, 2, 3])):
        value = _replaced(value, rng)
    return json.dumps(value)


def _replaced(value: Any, rng: random.Random) -> Any:
    if not isinstance(value, (dict, list)) or not value or rng.random() < 0.05:
        return copy.deepcopy(rng.choice(ODD_VALUES))
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = rng.choice(keys)
    what = rng.random()
    if what < 0.15:
        del value[key]
    elif what < 0.25 and isinstance(value, dict):
        value[rng.choice(["", "x", "\n"])] = copy.deepcopy(rng.choice(ODD_VALUES))
    else:
        value[key] = _replaced(value[key], rng)
    return value
