"""Where data lives and which files decide, from the environment (``INFINITY_...``) or from a call."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from infinity_assets.errors import CatalogueError
from infinity_assets.models.ram_plus.tagger import RamPlusFiles


class RamPlusSettings(BaseSettings):
    """The files of RAM++ and how it runs, from ``INFINITY_RAM_PLUS_...``."""

    model_config = SettingsConfigDict(env_prefix="INFINITY_RAM_PLUS_", extra="ignore", frozen=True)

    weights: Path | None = None  #: ``.safetensors`` (torch) or ``.onnx`` (onnxruntime)
    tags: Path | None = None  #: one tag a line, in the order of the network
    thresholds: Path | None = None  #: one probability a line; 0.5 for all if unset
    descriptions: Path | None = None  #: another matrix of descriptions, for an open set
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    device: str | None = None  #: of torch; a GPU where there is one if unset
    compiled: bool = False  #: torch.compile
    batch: int = Field(default=64, ge=1)  #: pictures

    def files(self) -> RamPlusFiles:
        """What the tagger is opened with.

        Raises:
            CatalogueError: if weights or tags are not named.
        """
        for name in ("weights", "tags"):
            if getattr(self, name) is None:
                raise CatalogueError(
                    f"the tagger ram_plus needs INFINITY_RAM_PLUS_{name.upper()}: name the file"
                )
        return RamPlusFiles(
            weights=str(_absolute(self.weights)),
            tags=str(_absolute(self.tags)),
            thresholds=_absolute(self.thresholds),
            descriptions=_absolute(self.descriptions),
            dtype=self.dtype,
            device=self.device,
            compiled=self.compiled,
            batch=self.batch,
        )


def _absolute(path: Path | None) -> str | None:
    """As a worker finds it, wherever it was started."""
    return str(path.absolute()) if path is not None else None


class Toleration(BaseModel):
    """A taint that GPU work may run beside, as Kubernetes writes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    operator: Literal["Exists", "Equal"] = "Exists"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _as_a_server_takes_it(self) -> Self:
        if (self.operator == "Equal") != (self.value is not None):
            raise ValueError("a toleration has a value with operator Equal, and none with Exists")
        return self


class GpuClass(BaseModel):
    """Where steps with a GPU of one kind run on Kubernetes, and what else they get."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    node_selector: dict[str, str] = Field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str | None = None
    cpu: str | None = None  #: request and limit, for example ``8``
    memory: str | None = None  #: request and limit, for example ``64Gi``; shared memory counts
    shared_memory: str = "8Gi"  #: most of it, for steps that start a vLLM server


#: Bytes as Kubernetes writes them, in whole mebibytes or more.
MEMORY = r"^\d+(\.\d+)?(M|G|T|Mi|Gi|Ti)$"


class WorkerJobs(BaseModel):
    """How the shards of a heavy step run on Kubernetes: as one Indexed Job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parallelism: int = Field(default=8, ge=1)  #: pods at once; steps with GPUs have their own number
    least_shards: int = Field(default=4, ge=1)  #: a step of fewer runs them in the run's own pod
    cpu: str = Field(default="1", pattern=r"^\d+(\.\d+)?m?$")  #: request and limit of a pod without GPU
    memory: str = Field(
        default="4Gi", pattern=MEMORY
    )  #: the same; doubled for a shard that was killed for it
    most_memory: str = Field(default="32Gi", pattern=MEMORY)  #: up to this
    deadline_s: int = Field(default=86_400, ge=1)  #: longest that a Job may take, waiting for nodes included
    kept_s: int = Field(default=3_600, ge=0)  #: how long a finished Job stays to be looked at
    warn_after_s: float = Field(default=300.0, ge=0)  #: how long a pod may wait for a node unmentioned
    poll_s: float = Field(default=2.0, gt=0)  #: between looks at a Job
    queue: str | None = None  #: local queue of Kueue that admits the Jobs


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
    tagger: Literal["captions", "ram_plus", "vlm"] = "captions"  #: what gives image tags
    labeller: Literal["rules", "vlm"] = "rules"  #: what files questions under the tree of instructions
    tagging_engine: str | None = None  #: the model behind ``vlm``: a name of ``engines.yaml``
    tagger_workers: int = Field(default=1, ge=1)  #: processes that hold its model: one for each GPU
    tagger_image: str | None = None  #: container image with the model's libraries, on Kubernetes
    copy_detector: Path | None = None  #: TorchScript of a network (SSCD) that looks at near pictures last
    vllm_gpus: int = Field(default=1, ge=0)  #: GPUs of a pod that starts a vLLM server, on Kubernetes
    vllm_workers: int = Field(default=1, ge=1)  #: such pods of a step at once
    vllm_image: str | None = None  #: container image with vLLM's environment, on Kubernetes
    kubernetes: bool = False  #: runs are Jobs of a cluster, and say in their tags what they need there
    gpu_classes: dict[str, GpuClass] = Field(default_factory=dict)  #: by name, as JSON; on Kubernetes
    worker_jobs: WorkerJobs = Field(default_factory=WorkerJobs)  #: as JSON; on Kubernetes
    tagger_gpu_class: str | None = None  #: of a step that runs RAM++
    vllm_gpu_class: str | None = None  #: of a step that starts a vLLM server
    ram_plus: RamPlusSettings = Field(default_factory=RamPlusSettings)
    contracts: Literal["great_expectations", "arrow"] = "great_expectations"  #: judges rows
    dbt: Path | None = None  #: the program dbt; see ``make quality`` where there is none beside Python
    retention_days: int = Field(default=30, ge=1)  #: age at which old versions and runs are removed
    preview_url: str = "http://127.0.0.1:3001"  #: where the sample pages are served
    index: Path | None = None  #: folder of the explorer's index; ``<home>/explorer`` if unset
    dashboard_url: str = "http://127.0.0.1:3002"  #: where the dashboard is served
    dagster_url: str | None = None  #: where Dagster's pages are served, for links from a sample to its runs

    @model_validator(mode="after")
    def _known_classes(self) -> Self:
        for name in ("tagger_gpu_class", "vllm_gpu_class"):
            if (wanted := getattr(self, name)) is not None and wanted not in self.gpu_classes:
                raise ValueError(f"{name} is {wanted}, which gpu_classes does not describe")
        return self

    @property
    def store_root(self) -> str:
        """Root of the tables."""
        return self.store or str((self.home / "store").absolute())

    @property
    def asked_for_tags(self) -> str | None:
        """The engine that tags or labels; None where none is asked, whatever ``tagging_engine`` names."""
        return self.tagging_engine if "vlm" in (self.tagger, self.labeller) else None

    @property
    def index_folder(self) -> Path:
        """Folder of the explorer's index: a cache, which may be deleted at any time."""
        return (self.index or self.home / "explorer").absolute()

    @property
    def exports_root(self) -> Path:
        """Folder of the exports."""
        return (self.exports or self.home / "exports").absolute()
