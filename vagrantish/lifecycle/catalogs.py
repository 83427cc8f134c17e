"""The user's catalogs, joined with what ships: read, and fetched where that is due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagrantish.errors import BoxError, HostError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagrantish.box.catalog import Catalog
    from vagrantish.events import Op
    from vagrantish.paths import VxHome


def open_catalog(home: VxHome, env: Mapping[str, str], *, op: Op, refresh: bool = False) -> Catalog:
    """Every definition there is. Catalogs never fetched before are fetched now, with ``refresh``
    all of them; one that cannot be is told as a warning.

    Raises ConfigError when `catalogs` in config.toml is wrong.
    """
    from vagrantish.box import catalog, catalog_fetch
    from vagrantish.config.catalogs import catalogs_of

    sources = catalogs_of(home, env)
    for source in sources:
        here = source.kind == "folder" or (
            not refresh and catalog.shelf_of(home, source) is not None
        )
        if here:
            continue
        if op.offline and not refresh:
            op.warn(f"the catalog {source.text} was never fetched, and vx is offline")
            continue
        try:
            catalog_fetch.refresh(home, source, op=op)
        except (BoxError, HostError) as error:
            op.warn(f"{error}")
    return catalog.load(home, sources)
