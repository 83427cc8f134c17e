from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vagrantish.errors import ProviderError
from vagrantish.paths import VxHome
from vagrantish.provider.registry import PROVIDERS, by_name

HOME = VxHome(Path("/nowhere"))
HEAVY = {"dataclasses", "psutil", "socket", "subprocess", "typing", "inspect"}


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_provider_is_found_by_its_name(name: str) -> None:
    assert by_name(name, home=HOME).name == name


def test_a_misspelt_provider_is_refused_with_a_guess() -> None:
    with pytest.raises(ProviderError, match='no provider "xhive"') as caught:
        by_name("xhive", home=HOME)

    assert 'Did you mean "xhyve"?' in caught.value.hint


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
