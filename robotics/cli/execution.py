"""What every command that runs a trained policy asks of its execution: the same options, in the same words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from robotics.policies.schedule import Execution, in_words


@dataclass(frozen=True)
class ExecutionOptions:
    """How a policy's chunks become actions, and what computes them."""

    execution: str | None = None
    """How chunks become actions: open_loop, receding_horizon (default), temporal_ensembling, naive_async, rtc or
    rtc_training."""
    delay: int = 0
    """Control steps between asking the policy for a chunk and having it."""
    n_action_steps: int | None = None
    """Actions executed of each chunk; the policy's own number when not given, by rtc at most half of the chunk."""
    unstick: float | None = None
    """Noise on what is seen while nothing around the robot moves, 0.3 for example [standard deviations of the data]:
    a policy that always answers the same stays where its answer leads nowhere."""
    device: str = "cpu"
    """Where the network acts: auto, cpu, cuda, cuda:N or mps; each rounds in its own way, and long episodes amplify
    that."""

    def asked(self) -> Execution:
        """The same, checked. UsageError where options contradict each other."""
        return Execution(self.execution, self.n_action_steps, self.delay, unstick=self.unstick)


#: As a field of a command's options: its own fields are options beside theirs.
ExecutionField = Annotated[ExecutionOptions, tyro.conf.arg(name="")]


def executed(document: Mapping[str, Any]) -> list[str]:
    """Lines that say how chunks were executed, and on what device, where a document does."""
    lines = ["execution    " + in_words(document["execution"])] if document.get("execution") else []
    return lines + ([f"device       {document['device']}"] if document.get("device", "cpu") != "cpu" else [])
