from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vagrantish.errors import ProviderError
from vagrantish.paths import VxHome
from vagrantish.provider.registry import choose

HOME = VxHome(Path("/nowhere"))
HEAVY = {"dataclasses", "psutil", "socket", "subprocess", "typing", "inspect"}


@pytest.mark.parametrize(
    "preferences", [(), ("auto",), ("qemu",), ("xhyve", "qemu"), ("vfkit", "auto")]
)
def test_the_first_provider_there_is_gets_chosen(preferences: tuple[str, ...]) -> None:
    assert choose(preferences, home=HOME).name == "qemu"


def test_a_provider_this_vx_lacks_is_refused_by_name() -> None:
    with pytest.raises(ProviderError, match="cannot use xhyve yet") as caught:
        choose(("xhyve",), home=HOME)

    assert "qemu" in caught.value.hint


def test_a_misspelt_provider_is_refused_even_behind_a_good_one() -> None:
    with pytest.raises(ProviderError, match='no provider "qemuu"') as caught:
        choose(("qemu", "qemuu"), home=HOME)

    assert 'Did you mean "qemu"?' in caught.value.hint


def test_looking_whether_a_machine_runs_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pathlib import Path; from vagrantish.paths import VxHome;"
        "from vagrantish.provider import registry;"
        "registry.find(VxHome(Path('/nowhere')).machine('x')); print(*sys.modules)"
    )

    # -S and -I: what site-packages' .pth files import is not ours to answer for.
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(root)!r}); {code}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert HEAVY & set(done.stdout.split()) == set()
