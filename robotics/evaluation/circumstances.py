"""How and where episodes were run, other than usually: what tells two results of one policy apart."""

from collections.abc import Mapping
from typing import Any

from robotics.policies.schedule import in_words


def circumstances(document: Mapping[str, Any]) -> list[str]:
    """What a document of a bench or a film says of `execution`, `device`, `target` and `calibration`, for people."""
    found = [in_words(document["execution"])] if document.get("execution") else []
    if device := document.get("device"):
        found.append(f"network on {device}")
    if (target := document.get("target")) and target.get("kind") != "simulation":
        found.append(f"on {target_in_words(target)}")
    if calibration := document.get("calibration"):
        found.append(f"in the calibrated model ({calibration_in_words(calibration)})")
    return found


def calibration_in_words(public: Mapping[str, Any]) -> str:
    """What reports may say about a calibration: whether it is to be believed, and what of it has no place here."""
    promoted = "promoted" if public.get("promoted") else "NOT promoted"
    left = public.get("not_applied")
    return promoted + (f"; not applied: {', '.join(left)}" if left else "")


def target_in_words(public: Mapping[str, Any]) -> str:
    """What reports may say about a target (`Target.public`) in a few words."""
    if "values" in public:
        return ", ".join(f"{name} {value}" for name, value in public["values"].items())
    drawn = ", ".join(f"{name} {public[name]}" for name in ("severity", "seed") if public.get(name) is not None)
    return str(public.get("kind")) + (f" ({drawn})" if drawn else "")
