"""The process that is measured: every source of a catalogue, from ``raw`` to an asset, through Dagster.

Run: ``INFINITY_HOME=... INFINITY_CATALOGUE=... python -m benchmarks._spine UNTIL``. With ``INFINITY_TRACE``,
a folder, it also writes there what each process spent its CPU seconds on (see :mod:`benchmarks._trace`).
"""

from __future__ import annotations

import os
import sys

if os.environ.get("INFINITY_TRACE"):  # in workers too: spawn runs this module's top level in each
    from benchmarks import _trace

    _trace.install()

#: Assets of the job that decides, in order.
DECIDED = ("deduped", "tagged", "filtered")


def main(until: str) -> None:
    """Materialize; exit with an error if any partition failed."""
    # Imported here, since workers run this module's top level too.
    import dagster as dg  # noqa: PLC0415

    from infinity_assets.definitions import platform_defs  # noqa: PLC0415
    from infinity_assets.orchestration.instance import open_instance  # noqa: PLC0415
    from infinity_assets.platform import Platform  # noqa: PLC0415
    from infinity_assets.settings import Settings  # noqa: PLC0415

    platform = Platform(Settings())
    definitions = platform_defs(platform)
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    wanted = ("duplicate_ledger", *DECIDED[: DECIDED.index(until) + 1])
    selected = [dg.AssetKey(name) for name in wanted]
    with open_instance(platform.settings.home) as instance:
        for job, selection in (("ingest", None), ("converge", selected)):
            definition = definitions.resolve_job_def(job)
            for source in platform.catalogue:
                result = definition.execute_in_process(
                    run_config=quiet,
                    instance=instance,
                    partition_key=source,
                    asset_selection=selection,
                    raise_on_error=True,
                )
                assert result.success


if __name__ == "__main__":
    main(sys.argv[1])
    if os.environ.get("INFINITY_TRACE"):
        _trace.finish()
