"""Where episodes come from, as meta/robotics.json notes it: in words, and where datasets differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from robotics.datasets.reader import Dataset

NOT_NOTED = "not noted"
#: Longest text of a note that is none of ours [characters].
LONGEST = 80


def origin_in_words(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Who acted, how disturbed and in which worlds, by name."""
    if not provenance:
        return dict.fromkeys(("policy", "noise", "hardest_of", "calibration", "randomisation", "target"), NOT_NOTED)
    target, noise = target_of(provenance), provenance.get("noise")
    return {
        "policy": str(provenance.get("policy") or NOT_NOTED),
        "noise": f"{noise:g} of the action range" if isinstance(noise, float) and noise else _foreign(noise or "none"),
        "hardest_of": str(provenance.get("hardest_of") or 1),
        "calibration": _calibration(provenance.get("calibration")),
        "randomisation": _randomisation(provenance.get("randomisation")) if target is None else "none",
        "target": target or "none",
    }


def target_of(provenance: Mapping[str, Any]) -> str | None:
    """The target that the episodes were demonstrated in, by name; None for those of the simulation."""
    drawn = provenance.get("randomisation")
    return str(drawn["target"]) if isinstance(drawn, dict) and "target" in drawn else None


def differences(datasets: Sequence[Dataset]) -> list[str]:
    """What the datasets' notes differ in, one text each with what is where; of those that say where they come from."""
    noted = [dataset for dataset in datasets if dataset.provenance]
    words = [origin_in_words(dataset.provenance) for dataset in noted]
    found = []
    for name in words[0] if words else ():
        if len({one[name] for one in words}) > 1:
            each = "; ".join(f"{one[name]} in {dataset.root}" for one, dataset in zip(words, noted, strict=True))
            found.append(f"{name} ({each})")
        elif name in ("calibration", "randomisation") and words[0][name] != "none":
            first, *others = (dataset.provenance[name] for dataset in noted)
            if any(other != first for other in others):  # two identifications may read alike
                found.append(f"{name} (not the same, though each is {words[0][name]})")
    return found


def _calibration(noted: Any) -> str:
    if noted is None:
        return "none"
    if not isinstance(noted, dict) or not isinstance(noted.get("parameters"), dict):
        return _foreign(noted)
    promoted = f"promotion {NOT_NOTED}"
    if isinstance(noted.get("promoted"), bool):
        promoted = "promoted" if noted["promoted"] else "NOT promoted"
    return f"{noted.get('robot', 'a robot')}, {promoted}, {len(noted['parameters'])} parameters"


def _randomisation(noted: Any) -> str:
    if noted is None:
        return "none"
    if isinstance(noted, dict) and "severity" in noted:
        return str(noted["severity"]) + (f", ranges of {noted['ranges']}" if noted.get("ranges") else "")
    tables = [noted.get(name, {}) for name in ("families", "joints")] if isinstance(noted, dict) else []
    if not tables or not all(isinstance(table, dict) for table in tables) or "families" not in noted:
        return _foreign(noted)
    names = sorted({name.partition(".")[0] for table in tables for name in table})
    lists = [values for table in tables for values in table.values() if isinstance(values, list)]
    worlds = max(map(len, lists), default=0)
    rest = f", the rest {noted['rest']}" if noted.get("rest") else ""
    return f"{worlds} worlds around what was identified ({', '.join(names)}){rest}"


def _foreign(noted: Any) -> str:
    text = str(noted)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
