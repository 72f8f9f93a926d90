"""Embedded robots: MJCF with primitive geometry and published kinematics, masses and limits."""

from typing import Literal

#: How the joints of a scene are driven: by position servos of MuJoCo's own, or by pure torques.
Actuation = Literal["servo", "motor"]
