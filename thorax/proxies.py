"""Requests within this machine, and to addresses that are inside, bypass the proxy that the environment names.

Every client reads the environment for itself, and each understands other entries of `NO_PROXY`: httpx no
networks and no brackets, urllib and botocore no networks, gRPC the lower-case name alone. So the environment is
completed once, before the first request, with entries that all of them understand; child processes inherit it.
"""

import contextlib
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import urlsplit

from thorax.errors import SettingsError

#: This machine's names for itself.
LOOPBACK = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1", "0.0.0.0")  # noqa: S104  # nosec B104
#: Kinds of proxy that every client can use.
_KINDS = ("http", "https", "socks5", "socks5h")
#: Addresses of hosts in numbers, within a text that holds URLs.
_NUMERIC = re.compile(r"://(?:[^/@\s\"']*@)?(\[[0-9A-Fa-f:.]+\]|\d{1,3}(?:\.\d{1,3}){3})")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def bypass(inside: Iterable[str] = (), addresses: str = "") -> None:
    """Complete `NO_PROXY` and `no_proxy` of this process; without a proxy in the environment nothing changes.

    See `completed` for arguments and errors.
    """
    os.environ.update(completed(os.environ, inside, addresses))


def completed(environment: Mapping[str, str], inside: Iterable[str] = (), addresses: str = "") -> dict[str, str]:
    """Return the variables with which an environment reaches this machine, and what is inside, without its proxy.

    What the environment says already is kept.

    Args:
        environment: of a process.
        inside: host names, suffixes with a leading dot, IP addresses and networks (10.0.0.0/8) to reach directly.
        addresses: a text with the URLs that will be asked. Those in numbers that lie in one of the networks are
            entered one by one, for the clients that do not understand networks.

    Raises:
        SettingsError: a variable names a proxy that cannot be used.
    """
    proxies = _proxies(environment)
    if not proxies:
        return {}
    said = f"{environment.get('no_proxy', '')},{environment.get('NO_PROXY', '')}"
    names = [*re.split(r"[,\s]+", said), *LOOPBACK, *inside]
    entries = list(dict.fromkeys(_entry(name) for name in names if name))
    if "*" in entries:
        entries = ["*"]
    else:
        networks = [network for entry in entries if (network := _network(entry)) is not None]
        entries += _within(networks, " ".join([addresses, *environment.values()]))
        entries = [entry for entry in dict.fromkeys(entries) if not (":" in entry and "/" in entry)]  # httpx cannot
    found = {"no_proxy": ",".join(entries)}
    for scheme in ("http", "https"):
        proxy = proxies.get(scheme) or proxies.get("all", "")
        if proxy and not proxy.startswith("socks"):  # of ALL_PROXY, urllib, botocore and aiohttp read nothing
            found[f"{scheme}_proxy"] = proxy
    return found | {name.upper(): value for name, value in found.items()}


def proxy_of(url: str) -> str | None:
    """Return the proxy for a URL, for clients that do not read the environment; None: reach it directly."""
    from requests.utils import get_environ_proxies, prepend_scheme_if_needed, select_proxy

    proxy = select_proxy(url, get_environ_proxies(url))
    return prepend_scheme_if_needed(proxy, "http") if proxy else None


def _proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the proxies for http, https and all else, where they are set; the lower-case name wins."""
    found = {}
    for kind in ("http", "https", "all"):
        for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY"):
            if environment.get(name):
                found[kind] = _usable(name, environment[name])
                break
    return found


def _usable(name: str, proxy: str) -> str:
    whole = proxy if "://" in proxy else f"http://{proxy}"
    with contextlib.suppress(ValueError):
        parts = urlsplit(whole)
        if parts.scheme in _KINDS and parts.hostname and parts.port != 0:
            return proxy
    shown = re.sub(r"//[^/]*@", "//…@", whole)
    raise SettingsError(
        f"The environment variable {name} names a proxy that cannot be used: {shown}",
        f"Give it as SCHEME://HOST:PORT, where SCHEME is {', '.join(_KINDS)}; or unset {name}.",
    )


def _entry(name: str) -> str:
    """Return an entry as every client understands it: without brackets, and with `.x` for `*.x`."""
    name = name.strip().lower()
    bracketed = re.fullmatch(r"\[(.*)\](:\d+)?", name)
    return bracketed[1] if bracketed else name.removeprefix("*") if name.startswith("*.") else name


def _network(entry: str) -> _Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False) if "/" in entry else None
    except ValueError:
        return None


def _within(networks: list[_Network], text: str) -> Iterator[str]:
    for found in _NUMERIC.findall(text):
        try:
            address = ipaddress.ip_address(found.strip("[]"))
        except ValueError:
            continue
        if any(address in network for network in networks):
            yield str(address)
