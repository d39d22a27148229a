"""Where data lives and which files decide, from the environment (``INFINITY_...``) or from a call."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One deployment. Secrets are never settings: object stores read their own environment variables."""

    model_config = SettingsConfigDict(env_prefix="INFINITY_", extra="ignore", frozen=True)

    home: Path = Path("infinity_home")  #: folder for everything that this machine keeps
    catalogue: Path = Path("catalogue")  #: folder of source files
    store: str | None = (
        None  #: root of the tables: a folder or an object-store URI; ``<home>/store`` if unset
    )
    exports: Path | None = None  #: folder of exports; ``<home>/exports`` if unset
    policy: Path | None = None  #: policy file; the package's default if unset
    mixes: Path | None = (
        None  #: mix file; ``<catalogue>/mixes.yaml`` if there is one, else the package's default
    )
    workers: int = Field(default=2, ge=1)  #: processes for sharded work
    preview_url: str = "http://127.0.0.1:3001"  #: where the sample pages are served

    @property
    def store_root(self) -> str:
        """Root of the tables."""
        return self.store or str((self.home / "store").absolute())

    @property
    def exports_root(self) -> Path:
        """Folder of the exports."""
        return (self.exports or self.home / "exports").absolute()
