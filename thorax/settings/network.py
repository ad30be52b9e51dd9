"""Which addresses are inside the organisation's network."""

import ipaddress
import re

from pydantic import field_validator

from thorax.settings.base import Section

_NAME = re.compile(r"(\*?\.)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


class Network(Section):
    """How addresses are reached."""

    inside: tuple[str, ...] = ()

    @field_validator("inside")
    @classmethod
    def _hosts_or_networks(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            try:
                ipaddress.ip_network(name, strict=False)
            except ValueError:
                if not _NAME.fullmatch(name):
                    raise ValueError(
                        "must be host names, suffixes with a leading dot, IP addresses or networks, such as "
                        f"[mlflow, .hospital.example, 10.0.0.0/8]; {name!r} is none of these"
                    ) from None
        return names
