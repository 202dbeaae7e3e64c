"""Settle epochs, engine, threads and device of a training before it begins, each with the reason."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch

from modelzero.data.dataset import ImageData
from modelzero.errors import SettingError
from modelzero.models.learner import Learner
from modelzero.models.randomness import randomness_of
from modelzero.models.recipe import RATES
from modelzero.models.rungs import Rung
from modelzero.models.standardise import input_power
from modelzero.runs.spec import Spec
from modelzero.training.device import (
    FUSED_THREADS_WORTH_IT,
    THREADS_WORTH_IT,
    choose_device,
    choose_precision,
    default_threads,
    use_threads,
)
from modelzero.training.early import hold_out
from modelzero.training.fused.stack import choose_engine
from modelzero.training.mirror import may_mirror, mirror_trial
from modelzero.training.objective import check_parts, class_weights, optimizer_of
from modelzero.training.options import TrainOptions


def settle(rung: Rung, learner: Learner, data: ImageData, options: TrainOptions, *, ladder: str | None = None) -> Spec:
    """Return the spec of a training: everything that determines it, and the reason of each derived setting.

    >>> import modelzero as mz
    >>> from modelzero.models.learner import learner_of
    >>> from modelzero.models.rungs import rung_named
    >>> data, rung = mz.load("digits"), rung_named("softmax")
    >>> learner = learner_of(rung, data.image_shape, len(data.classes))
    >>> settle(rung, learner, data, TrainOptions(epochs=2)).engine
    'fused'

    Args:
        rung: the rung, with its own recipe.
        learner: the rung's model, just built.
        data: the training data.
        options: the given settings.
        ladder: id of the ladder that it belongs to.

    Raises:
        SettingError: a setting does not work with this model, data or machine.
    """
    given, names = options.recipe(), options.given().keys()
    random, randomness = randomness_of(rung, learner)
    spec = Spec(
        rung=replace(rung, **given),
        seed=options.seed,
        random=random,
        randomness=randomness,
        hidden_units=options.hidden_units,
        ladder=ladder,
    )
    if not learner.by_steps:
        others = {"engine": options.engine != "auto", "precision": options.precision not in (None, "auto")}
        needless = sorted(names | {name for name, is_given in others.items() if is_given})
        if needless:
            raise SettingError(
                f"{' and '.join(needless).replace('_', ' ')} given: {rung.name} is fitted in one go and has no such "
                "setting; leave it out"
            )
        threads = options.threads or 1
        derived = {"threads": f"{threads}: fitted in one go", "device": "cpu: fitted in one go"}
        return replace(spec, threads=threads, derived=derived)
    with own_random_numbers("torch"):
        check_parts(spec.rung, learner.model, data)
    rate = None if "learning_rate" in names else _rate_of_optimizer(spec.rung, rung, learner)
    if rate is not None:
        spec = replace(spec, rung=replace(spec.rung, learning_rate=rate[0]), derived={"learning_rate": rate[1]})
    if options.precision is not None:
        spec = replace(spec, rung=replace(spec.rung, precision=options.precision))
    return _settled_by_steps(spec, learner, data, options)


def _rate_of_optimizer(rung: Rung, before: Rung, learner: Learner) -> tuple[float, str] | None:
    """Return the learning rate that comes with an optimizer, and why; None if the recipe has it."""
    if not isinstance(rung.optimizer, str):
        if rung.optimizer is before.optimizer and before.learning_rate is not None:
            return None
        made = optimizer_of(rung, learner.model, torch.device("cpu"))
        return float(made.param_groups[0]["lr"]), f"{made.param_groups[0]['lr']:g}: that of your optimizer"
    if rung.optimizer == "adamw" != before.optimizer:
        return RATES["adamw"], f"{RATES['adamw']:g}: torch's default for AdamW, as none was given"
    return None


def _settled_by_steps(spec: Spec, learner: Learner, data: ImageData, options: TrainOptions) -> Spec:
    """Choose epochs, engine, threads and device."""
    rung, module, derived, whole = spec.rung, learner.model, dict(spec.derived), data.train
    if rung.early_stopping is not None:
        derived["early_stopping"] = f"{rung.early_stopping:g} of the training split held out, drawn with the seed"
        data, _ = hold_out(data, rung.early_stopping, spec.seed)
    if rung.class_weights == "balanced":
        weights = class_weights(rung, data.train.labels.numpy(), len(data.classes)) or [1.0]
        derived["class_weights"] = f"from {min(weights):.3g} to {max(weights):.3g}, balanced"
    epochs = rung.epochs_for(len(data.train))
    if epochs > rung.epochs:
        steps = rung.steps_per_epoch(len(data.train))
        derived["epochs"] = f"{epochs}: {steps} steps each, to reach at least {rung.least_steps} steps"
        rung = replace(rung, epochs=epochs)
    if rung.full_rate_power is not None:
        power = input_power(data.train, standardised=bool(rung.standardise))
        rate = rung.rate_for(power)
        if rate != rung.learning_rate:
            derived["learning_rate"] = (
                f"{rate:g}: {rung.learning_rate:g} for images whose inputs have a mean sum of squares of up to "
                f"{rung.full_rate_power:,.0f}; it is {power:,.0f} here"
            )
        rung = replace(rung, learning_rate=rate)
    if rung.standardise:
        derived["standardise"] = "by mean and standard deviation of each channel of the training split"
    trial = None
    if rung.flip is None:
        trial = mirror_trial(whole)
        rung = replace(rung, flip=may_mirror(trial))
        derived["flip"] = f"no: {len(whole):,} training images are too few to decide"
        if trial.told_apart is not None:
            derived["flip"] = (
                f"{'yes' if rung.flip else 'no'}: a small network tells images from their mirror images in "
                f"{trial.told_apart:.0%} of {trial.pairs:,} pairs"
            )
    engine, derived["engine"] = choose_engine(options.engine, module, rung, options.device)
    threads = options.threads
    if threads is None:
        worth_it = FUSED_THREADS_WORTH_IT if engine == "fused" else THREADS_WORTH_IT
        with own_random_numbers(engine):
            threads, derived["threads"] = default_threads(module, data.image_shape, rung.batch_size, worth_it)
    else:
        derived["threads"] = f"{threads}: as requested"
    if engine == "fused":
        device, derived["device"] = "cpu", "cpu: the fused kernel computes there"
        rung = replace(rung, precision="fp32")
    else:
        with own_random_numbers(engine), use_threads(threads):
            chosen, derived["device"] = choose_device(options.device, module, data, rung)
            device = str(chosen)
            if rung.precision != "fp32":
                precision, derived["precision"] = choose_precision(rung.precision, module, data, rung, chosen)
                rung = replace(rung, precision=precision)
    return replace(spec, rung=rung, engine=engine, threads=threads, device=device, derived=derived, mirror_trial=trial)


@contextlib.contextmanager
def own_random_numbers(engine: str | None) -> Iterator[None]:
    """Restore torch's random state afterwards; not for the kernel, which draws none and may run in several threads."""
    if engine != "torch":
        yield
        return
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        yield
