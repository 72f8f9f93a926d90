"""The policy families that exist. A new one is a line here."""

from robotics.errors import unknown_name
from robotics.policies.act import Act
from robotics.policies.act_config import ActConfig
from robotics.policies.base import Policy, PolicyConfig
from robotics.policies.bc import BC
from robotics.policies.bc_config import BCConfig
from robotics.policies.diffuser import Diffuser
from robotics.policies.diffuser_config import DiffuserConfig
from robotics.policies.dit import DiT
from robotics.policies.dit_config import DiTConfig

#: Name -> what configures it and what it is.
FAMILIES: dict[str, tuple[type[PolicyConfig], type[Policy]]] = {
    ActConfig.type: (ActConfig, Act),
    DiTConfig.type: (DiTConfig, DiT),
    DiffuserConfig.type: (DiffuserConfig, Diffuser),
    BCConfig.type: (BCConfig, BC),
}


def family(name: str) -> tuple[type[PolicyConfig], type[Policy]]:
    """The configuration and the policy class of a family; UsageError with a did-you-mean for an unknown one."""
    if name not in FAMILIES:
        raise unknown_name("policy family", name, FAMILIES)
    return FAMILIES[name]


def make_policy(config: PolicyConfig) -> Policy:
    """An untrained policy of the family that `config` belongs to."""
    return family(config.type)[1].from_config(config)
