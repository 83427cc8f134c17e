"""Provider names → providers. Light: a provider is imported when it is chosen."""

from __future__ import annotations

from vagrantish.errors import ProviderError
from vagrantish.provider.running import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vagrantish.paths import VxHome
    from vagrantish.provider.base import Provider

__all__ = ["PROVIDERS", "choose", "find"]

AUTO = "auto"
PROVIDERS = ("qemu",)
# Named in Xhyvefiles that are shared with people whose vx or host has them.
_NOT_BUILT = ("xhyve", "hyperkit", "bhyve", "vfkit")


def choose(preferences: tuple[str, ...], *, home: VxHome) -> Provider:
    """The first of ``preferences`` there is; "auto" and nothing at all mean the best for this host.

    Raises ProviderError when one is no provider's name, or when this vx has none of them.
    """
    for name in preferences:
        if name not in (AUTO, *PROVIDERS, *_NOT_BUILT):
            raise ProviderError(f'there is no provider "{name}"', hint=_suggestion(name))
    usable = [name for name in preferences or (AUTO,) if name not in _NOT_BUILT]
    if not usable:
        raise ProviderError(
            f"this vx cannot use {' or '.join(preferences)} yet",
            hint=f'Set `provider = "auto"`, or one of: {", ".join(PROVIDERS)}.',
        )
    from vagrantish.provider.qemu.provider import Qemu

    return Qemu(home)


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, (AUTO, *PROVIDERS), n=1)
    guess = f'Did you mean "{close[0]}"? ' if close else ""
    return f'{guess}Providers are: "{AUTO}", {", ".join(PROVIDERS)}.'
