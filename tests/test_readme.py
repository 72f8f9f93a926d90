"""What README.md shows of Python runs as it stands there."""

import re
from pathlib import Path

from tests.toy import TOY_ID

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf8")


def test_the_python_of_the_readme_runs(toy_policy):
    """The trained policy is one of the toy's: the readme's own takes minutes."""
    expert, learned = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict = {}
    exec(expert, names)
    assert names["env"].spec.id == "robotics/TransferCube-v0"
    names["env"].close()
    assert learned.count("runs/transfer") == 1 and learned.count("robotics/TransferCube-v0") == 2
    exec(learned.replace("runs/transfer", str(toy_policy)).replace("robotics/TransferCube-v0", TOY_ID), names)
    assert names["env"].spec.id == "toy/Point-v0" and 0 < names["reward"] <= 1


def test_native_copies_take_the_autoreset_mode_directly():
    assert "`autoreset_mode=` is given to it directly" in README
    import gymnasium

    import robotics  # noqa: F401

    copies = gymnasium.make_vec(
        "robotics/Reach-v0", num_envs=2, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP
    )
    assert copies.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.SAME_STEP
    copies.close()
