"""What every scene has around it: a sky and a floor, made for the eye."""

import mujoco


def add_sky(spec: mujoco.MjSpec) -> None:
    """A gradient that the cameras see where there is nothing else."""
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.75, 0.8, 0.86],
        rgb2=[0.25, 0.28, 0.33],
        width=256,
        height=256 * 6,
    )


def floor_material(spec: mujoco.MjSpec) -> str:
    """The name of a checkered material, squares of half a metre."""
    spec.add_texture(
        name="floor",
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_CHECKER,
        rgb1=[0.55, 0.58, 0.62],
        rgb2=[0.62, 0.65, 0.69],
        width=256,
        height=256,
    )
    material = spec.add_material(name="floor", texrepeat=[1, 1], texuniform=True)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "floor"
    return "floor"
