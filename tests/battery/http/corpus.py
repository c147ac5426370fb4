"""All cases, of all themes."""

from __future__ import annotations

from tests.battery.http import (
    chunklines,
    codings,
    connections,
    fieldlines,
    hosts,
    lengths,
    limitcases,
    pipelines,
    requestlines,
    targets,
    trailers,
)

THEMES = (
    requestlines.THEME,
    targets.THEME,
    hosts.THEME,
    fieldlines.THEME,
    lengths.THEME,
    codings.THEME,
    chunklines.THEME,
    trailers.THEME,
    connections.THEME,
    pipelines.THEME,
    limitcases.THEME,
)
CASES = tuple(case for theme in THEMES for case in theme.cases)
