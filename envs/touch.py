"""Whether two bodies touch, as sensors that the vector environment reads as well."""

import mujoco


def add_touch_sensor(spec: mujoco.MjSpec, name: str, body: str, other: str, whole_subtree: bool = False) -> None:
    """The number of contacts between `other` and a body, or all that hangs on it; above 0 where they touch."""
    spec.add_sensor(
        name=name,
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=mujoco.mjtObj.mjOBJ_XBODY if whole_subtree else mujoco.mjtObj.mjOBJ_BODY,
        objname=body,
        reftype=mujoco.mjtObj.mjOBJ_BODY,
        refname=other,
        intprm=[1 << int(mujoco.mjtConDataField.mjCONDATA_FOUND), 0, 1],
    )
