"""``python -m infinity_assets.preview``: the server alone, on this machine unless told otherwise."""

from __future__ import annotations

import argparse

import uvicorn

from infinity_assets.preview.app import create_app
from infinity_assets.settings import Settings
from infinity_assets.store.tables import Store


def main() -> None:
    """Serve the store of the environment's settings."""
    parser = argparse.ArgumentParser(description="Serve read-only pages of samples.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3001)
    args = parser.parse_args()
    local = args.host in {"127.0.0.1", "localhost", "::1"}
    settings = Settings()
    app = create_app(
        Store(settings.store_root), None if local else ["*"], settings.dagster_url, settings.index_folder
    )
    uvicorn.run(app, host=args.host, port=args.port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()
