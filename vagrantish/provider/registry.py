"""Provider names → providers. Light: a provider is imported when it is used."""

from __future__ import annotations

from vagrantish.errors import ProviderError
from vagrantish.provider.running import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vagrantish.paths import VxHome
    from vagrantish.provider.base import Provider

__all__ = ["PROVIDERS", "by_name", "find"]

AUTO = "auto"
# Name → module and class.
_CLASSES = {
    "qemu": ("qemu", "Qemu"),
    "xhyve": ("xhyve", "Xhyve"),
    "hyperkit": ("xhyve", "Hyperkit"),
    "vfkit": ("vfkit", "Vfkit"),
    "bhyve": ("bhyve", "Bhyve"),
}
PROVIDERS = tuple(_CLASSES)


def by_name(name: str, *, home: VxHome) -> Provider:
    """Raises ProviderError when it is no provider's name."""
    check_name(name)
    if name == AUTO:
        raise ProviderError('"auto" is no provider of its own')
    from importlib import import_module

    package, class_name = _CLASSES[name]
    module = import_module(f"vagrantish.provider.{package}.provider")
    provider: Provider = getattr(module, class_name)(home)
    return provider


def check_name(name: str) -> None:
    """Raises ProviderError for what is neither a provider's name nor "auto"."""
    if name not in (AUTO, *PROVIDERS):
        raise ProviderError(f'there is no provider "{name}"', hint=_suggestion(name))


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, (AUTO, *PROVIDERS), n=1)
    guess = f'Did you mean "{close[0]}"? ' if close else ""
    return f'{guess}Providers are: "{AUTO}", {", ".join(PROVIDERS)}.'
