"""Bytes moved against the bytes that have to move, in a sentence. Plain data in, plain data out.

`meter` is what a replay measured (`summary` of evidence.Traffic), `floor` the plain form of problem.Floor. Not here:
how either is found.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TOLERANCE = 1.02  # a tail of a few elements must not cost points
TIMES = {2: "twice", 3: "three times", 4: "four times", 5: "five times"}


def summary(traffic: Mapping[str, Any]) -> dict[str, Any]:
    """The few numbers of a Traffic (as builtins) that a judgement needs: launches, and bytes by tensor."""
    kept = ("role", "loaded", "stored", "unique_loaded")
    tensors = {row["name"]: {key: row[key] for key in kept} for row in traffic["tensors"]}
    return {"launches": traffic["launches"], "copies": traffic["copies"], "tensors": tensors}


def moved(meter: Mapping[str, Any], floor: Mapping[str, Any]) -> int:
    """Bytes loaded and stored. What fits in a cache (`resident`) counts once, however many programs read it."""
    rows = meter["tensors"].items()
    return sum(r["stored"] + r["unique_loaded" if name in floor["resident"] else "loaded"] for name, r in rows)


def needed(floor: Mapping[str, Any]) -> int:
    """The floor in bytes."""
    return sum(floor["loads"].values()) + sum(floor["stores"].values())


def too_much(meter: Mapping[str, Any], floor: Mapping[str, Any], slack: float = 1.0, launches: int = 1) -> str:
    """What is wasted, in a sentence; "" when at most `slack` times the floor moves in at most `launches` launches, and
    when kernels read every input that the floor reads."""
    ratio = moved(meter, floor) / max(needed(floor), 1)
    bytes_, many, unread = "", launched(meter, launches), _unread(meter, floor)
    if ratio > slack * TOLERANCE:
        waste = _waste(meter, floor)
        times = f"{ratio:.1f}" if ratio >= 1.05 else f"{ratio:.2f}"
        bytes_ = f"you move {times} times the bytes that are needed" + (f": {waste}" if waste else "")
    return "; ".join(part for part in (bytes_, many, unread) if part)


def launched(meter: Mapping[str, Any], launches: int) -> str:
    """Too many launches, in words; "" when there are no more than `launches`."""
    if meter["launches"] <= launches:
        return ""
    allowed = "one is enough" if launches == 1 else f"{launches} are enough"
    copies = f" ({meter['copies']} of them to copy or fill with torch)" if meter.get("copies") else ""
    return f"you launch {meter['launches']} kernels{copies} where {allowed}"


def _unread(meter: Mapping[str, Any], floor: Mapping[str, Any]) -> str:
    rows = meter["tensors"]
    names = [name for name, least in floor["loads"].items() if least and name in rows and not rows[name]["loaded"]]
    return f"no kernel reads {names[0]}: its numbers must not come through Python" if names else ""


def _waste(meter: Mapping[str, Any], floor: Mapping[str, Any]) -> str:
    says = []
    for name, row in meter["tensors"].items():
        if row["role"] == "input":
            says.append(_often(name, "written", row["stored"], floor["stores"].get(name, 0)))
        if row["role"] == "input" and name not in floor["resident"]:
            says.append(_often(name, "read", row["loaded"], floor["loads"].get(name, 0)))
        elif row["role"] == "output" and row["loaded"]:
            says.append(f"{name} is read back after it was written")
    written = sum(row["stored"] for row in meter["tensors"].values() if row["role"] == "output")
    says.append(_often("the result", "written", written, sum(floor["stores"].values())))
    between = sum(row["loaded"] + row["stored"] for row in meter["tensors"].values() if row["role"] == "scratch")
    if between:
        says.append(f"{between:,} bytes go through tensors between the kernels")
    return ", ".join(part for part in says if part)


def _often(name: str, verb: str, measured: int, least: int) -> str:
    if measured <= least * TOLERANCE:
        return ""
    if not least:
        return f"{name} need not be {verb}"
    times = measured / least
    whole = round(times)
    words = TIMES.get(whole, f"{whole} times") if abs(times - whole) < 0.05 and whole > 1 else f"{times:.1f} times"
    return f"{name} is {verb} {words}"
