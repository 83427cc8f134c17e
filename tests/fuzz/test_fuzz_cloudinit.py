"""What users write for cloud-init, and what guests say of it, whatever it is."""

from __future__ import annotations

import email
import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.budget import rounds
from tests.unit.seed.test_cloudinit import PLAIN, SEED
from vagrantish.formats import userdata
from vagrantish.lifecycle.cloudinit_status import status_of, users_share
from vagrantish.seed.cloudinit import files

BEGINNINGS = (
    "#cloud-config\n", "#!", "#!/bin/sh\r\n", "#include\n", "## template: jinja\n", "\x1f\x8b", "﻿",
    "MIME-Version: 1.0\n", "Content-Type: multipart/mixed; boundary=x\n\n--x\n", "--vx-\n", "\n ", "",
)  # fmt: skip
texts = st.builds(
    lambda beginning, rest: beginning.encode() + rest, st.sampled_from(BEGINNINGS), st.binary()
)
stages = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["v1", "errors", "recoverable_errors", "WARNING", "init"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=rounds(200), deadline=None)
@given(texts)
def test_user_data_are_refused_or_end_before_what_vx_says_itself(data: bytes) -> None:
    try:
        userdata.kind_of(data)
    except ValueError:
        return
    text = files(SEED, replace(PLAIN, user_data=data))["user-data"]

    parts: Any = email.message_from_bytes(text).get_payload()
    _, *ours = parts

    assert len(ours) == 2
    for part in ours:
        assert isinstance(json.loads(part.get_payload().removeprefix("#cloud-config\n")), dict)
    assert '"admin"' in ours[-1].get_payload()


@settings(max_examples=rounds(200), deadline=None)
@given(st.one_of(st.binary(), stages.map(lambda value: b"json=\n" + json.dumps(value).encode())))
def test_whatever_a_guest_says_is_read(said: bytes) -> None:
    found = status_of(said)

    assert found.state in ("done", "disabled", "missing")
    assert len(users_share(found, b"#!/bin/sh\n")) <= 20
