"""Everything that determines a run: settled before training, sent to workers, and read back from a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from modelzero.data.dataset import ImageData
from modelzero.errors import DataError, ModelError
from modelzero.models.defaults import HIDDEN_UNITS
from modelzero.models.learner import Learner, learner_of
from modelzero.models.recipe import missing_code, settings_of
from modelzero.models.rungs import Rung, as_rung, built_in_rung, import_path
from modelzero.runs.process import Process
from modelzero.runs.record import Environment, FirstTraining, MirrorTrial, RunRecord


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Everything that determines a run besides the images.

    Args:
        rung: the model and its recipe, with the final number of epochs.
        seed: seed of weights, batch order and dropout.
        random: whether another seed gives another model.
        randomness: how that is known.
        threads: number of CPU threads.
        device: `cpu`, `cuda` or `mps`.
        engine: `torch` or `fused`; None for models fitted in one go.
        hidden_units: width of the chapter's models.
        derived: settings derived from model, data and machine, each with its reason.
        ladder: id of the ladder that it belongs to.
        mirror_trial: the trial that decided whether images are mirrored; None without one.
        second_of: the training that did not learn and that this one repeats; None for a first one.
    """

    rung: Rung
    seed: int
    random: bool | None
    randomness: str | None
    threads: int = 1
    device: str = "cpu"
    engine: str | None = None
    hidden_units: int = HIDDEN_UNITS
    derived: Mapping[str, str] = field(default_factory=dict)
    ladder: str | None = None
    mirror_trial: MirrorTrial | None = None
    second_of: FirstTraining | None = None

    @classmethod
    def of(
        cls,
        record: RunRecord,
        model: str | Rung | Callable[..., Any] | None = None,
        *,
        by: str = "mz.resume",
        to_train: bool = True,
    ) -> Spec:
        """Return the spec that a record describes.

        Args:
            record: the record of a run.
            model: the model, if it or code of its recipe is the user's own; None for a built-in one.
            by: the function that takes `model`, for messages.
            to_train: False builds only the model, without the code that trains it.

        Raises:
            ModelError: a model or other code of the user's own is missing, or `model` is a different one.
        """
        recipe = record.recipe
        trained = f"run {record.id} trained {record.model!r}" + ("" if recipe["model"] else ", a model of your own")
        if model is None and recipe["model"] is None:
            raise ModelError(
                f"{trained}, which the record does not contain: pass it with --model, or as {by}(..., model=...)"
            )
        rung = built_in_rung(recipe["model"]) if model is None else as_rung(model)
        if rung.built_in != recipe["model"]:
            raise ModelError(f"{trained}, but {rung.name!r} was given: expected the same model")
        # The recipe of a model without gradient steps has that model's own parameters, some with the same names.
        missing = missing_code(recipe, rung) if record.engine and to_train else None
        if missing is not None:
            raise ModelError(
                f"run {record.id} was trained with your own {missing.setting} {missing.name!r}, but "
                f"{'no rung was given' if model is None else f'the rung given has {missing.instead!r}'}: pass a rung "
                f"with that {missing.setting}, as --model module:rung or {by}(..., model=mz.Rung(...))"
            )
        settled = settings_of(recipe, rung) if record.engine else {}
        return cls(
            rung=replace(rung, name=record.model, **settled),
            seed=record.seed,
            random=record.random,
            randomness=record.randomness,
            threads=record.environment.threads,
            device=record.environment.device,
            engine=record.engine,
            hidden_units=recipe.get("hidden_units", HIDDEN_UNITS) if record.engine else HIDDEN_UNITS,
            derived=record.derived,
            ladder=record.ladder,
            mirror_trial=record.mirror_trial,
            second_of=record.second_of,
        )

    def second(self, first: RunRecord) -> Spec | None:
        """Return the spec that repeats a training that did not learn; None if it is not to be repeated.

        Args:
            first: the record of a training of this spec.
        """
        if not (self.engine and self.rung.second_chance and first.learned is False and first.second_of is None):
            return None
        rate = float(f"{self.rung.learning_rate / 3:.2g}")
        why = f"{rate:g}: a third of {self.rung.learning_rate:g}, with which run {first.id} did not learn"
        return replace(
            self,
            rung=replace(self.rung, learning_rate=rate),
            derived={**self.derived, "learning_rate": why},
            second_of=FirstTraining(first.id, self.rung.learning_rate, first.train_seconds),
        )

    def learner(self, image_shape: tuple[int, int, int], classes: int) -> Learner:
        """Build its model, with the initial weights of the seed.

        Raises:
            ModelError: see `modelzero.models.build.build`.
        """
        return learner_of(self.rung, image_shape, classes, hidden_units=self.hidden_units, seed=self.seed, is_new=False)

    def record(self, data: ImageData, learner: Learner) -> RunRecord:
        """Return the record of a run that is about to begin; creating its folder sets the id."""
        recipe: dict[str, Any] = {"model": self.rung.built_in}
        if learner.by_steps:
            recipe |= {"hidden_units": self.hidden_units, **self.rung.recipe()}
        else:
            recipe["kind"] = learner.kind
            # A classifier may have parameters of these names.
            own = {"model", "kind", "hidden_units"}
            recipe |= {f"its {name}" if name in own else name: value for name, value in learner.settings().items()}
        return RunRecord(
            id="",
            status="running",
            created=datetime.now(UTC).isoformat(timespec="microseconds"),
            process=Process.this(),
            ladder=self.ladder,
            model=self.rung.name,
            seed=self.seed,
            data=data.description,
            environment=Environment.here(self.threads, self.device),
            derived=self.derived,
            epochs=self.rung.epochs if learner.by_steps else 1,
            batch_size=self.rung.batch_size if learner.by_steps else None,
            learning_rate=self.rung.learning_rate if learner.by_steps else None,
            engine=self.engine,
            recipe=recipe,
            parameters=learner.parameters() if learner.by_steps else None,
            warnings=None if learner.by_steps else (),
            random=self.random,
            randomness=self.randomness,
            mirror_trial=self.mirror_trial,
            second_of=self.second_of,
            factory=None if self.rung.built_in else import_path(self.rung.make),
        )


def check_same_model(record: RunRecord, learner: Learner) -> None:
    """Raise ModelError if a model has another number of parameters than the record."""
    found = learner.parameters()
    if record.engine and found != record.parameters:
        raise ModelError(
            f"run {record.id} trained {record.model!r} with {record.parameters:,} parameters, but the given model has "
            f"{'an unknown number' if found is None else f'{found:,}'}: expected the same model"
        )


def check_same_data(record: RunRecord, data: ImageData) -> None:
    """Raise DataError if the images are not those that a run was trained on."""
    if data.fingerprint != record.data.fingerprint:
        raise DataError(
            f"{data.name} from {data.source} has the fingerprint {data.fingerprint[:12]}, but run {record.id} was "
            f"trained on {record.data.fingerprint[:12]}: expected the same images, labels and class names"
        )
