"""`mz.climb`: train the cells of a ladder with workers, and record the ladder."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelzero.climbing.bar import Bar, is_watched
from modelzero.climbing.cell import Job, is_in_process
from modelzero.climbing.looks import count_looks
from modelzero.climbing.options import ClimbOptions
from modelzero.climbing.session import SHARED, Listener, Session
from modelzero.climbing.shared import share
from modelzero.climbing.workers import Workers
from modelzero.data.auditing.hints import hint_of
from modelzero.data.dataset import ImageData
from modelzero.data.load import load, load_again
from modelzero.errors import DataError, ModelError, RunError, SettingError
from modelzero.io.cores import available_cores
from modelzero.models.defaults import AUTO
from modelzero.models.learner import learner_of
from modelzero.models.randomness import DECLARED
from modelzero.models.recipe import missing_code, settings_of
from modelzero.models.rungs import LADDER, Rung, as_rung, built_in_rung
from modelzero.models.standardise import inputs_settled
from modelzero.results.ladder import Ladder
from modelzero.results.leaks import look_for_leaks
from modelzero.runs.folder import claimed, create_folder, refuse_while_written, write_record
from modelzero.runs.process import Process
from modelzero.runs.record import LADDER_RECORD, NOT_NEEDED, Environment, LadderRecord, LeftOut
from modelzero.runs.spec import Spec, check_same_model
from modelzero.signals import SIGNALS, Interruption, exit_code, held_back, ignored, raised
from modelzero.training.device import use_threads
from modelzero.training.options import TrainOptions
from modelzero.training.settle import settle

# Part of a budget that is reserved for the comparisons and for stopping running cells.
_RESERVE_SECONDS = 2.0


class Interrupted(Interruption):
    """A signal ended a climb.

    Args:
        ladder: the ladder so far.
        number: number of the signal.
    """

    def __init__(self, ladder: Ladder, number: int = signal.SIGINT) -> None:
        super().__init__(number, ladder.path if ladder.record.cells else None)
        self.ladder = ladder


@dataclass(frozen=True)
class _Resources:
    """The workers that train the cells, and the listener."""

    workers: int | None
    executor: Executor | None
    progress: Listener | None

    def session(self, path: Path, record: LadderRecord, data: ImageData, built: _Built) -> Session:
        """Create the session of a climb."""
        count = available_cores() if self.workers is None else self.workers
        workers: Workers[Job] = Workers(count, self.executor, is_in_process)
        record = replace(record, workers=count if self.executor is None else None)
        specs = {name: replace(spec, ladder=record.id) for name, spec in built.specs.items()}
        return Session(path, record, data, built.rungs, specs, workers, self.progress)


@dataclass(frozen=True)
class _Built:
    """The rungs whose models fit the data, with their specs, and those that do not fit."""

    rungs: list[Rung]
    specs: dict[str, Spec]
    left_out: list[LeftOut]


def climb(
    data: ImageData | str | Path | Callable[[], ImageData] | None = None,
    rungs: Sequence[str | Rung | Callable[..., Any]] | None = None,
    seeds: int = ClimbOptions.seeds,
    budget: str | float | None = ClimbOptions.budget,
    workers: int | None = ClimbOptions.workers,
    executor: Executor | None = None,
    *,
    seed: int = ClimbOptions.seed,
    device: str = ClimbOptions.device,
    precision: str = ClimbOptions.precision,
    margin: float = ClimbOptions.margin,
    runs_dir: str | Path = "runs",
    data_dir: str | Path | None = None,
    audit: bool | None = ClimbOptions.audit,
    resume: str | Path | None = None,
    take_over: bool = False,
    progress: Listener | bool | None = None,
) -> Ladder:
    """Train each rung of a ladder with several seeds, and find the one that is worth its cost.

    Each cell (a rung with a seed) trains on one thread, so the numbers do not depend on how many run in parallel. The
    comparisons are recorded before anything is trained: each rung with the best one below it.

    >>> import tempfile, modelzero as mz
    >>> ladder = mz.climb("digits", ["majority", "softmax"], seeds=2, runs_dir=tempfile.mkdtemp())
    >>> ladder.worth_it, len(ladder.runs)
    ('softmax', 3)

    Args:
        data: an `ImageData`, or what `load` takes, or a function that returns image data; it is called after the other
            settings have been checked. None only with `resume`, if the record can load them.
        rungs: names, `Rung`s or factories, the simplest first; None means the whole ladder.
        seeds: trainings of each rung. A rung without randomness is trained once; one that may be without, such as a
            scikit-learn classifier, twice, if both predictions are bit-identical.
        budget: total time in seconds, or a string such as "60s" or "5m". Rungs that a short trial predicts not to fit
            are listed and not trained; unfinished cells are cut off at the end.
        workers: number of parallel trainings; None means one per core.
        executor: a `concurrent.futures.Executor` that replaces the local processes, such as that of a cluster, which
            must have access to `runs_dir`. Threads of one process train one after the other.
        seed: the first seed; the others follow it.
        device: device of each cell: cpu, cuda or mps.
        precision: `auto`, `fp32` or `bf16`, for rungs whose recipe has `auto`; see `Recipe`.
        margin: differences below this fraction count as practically none.
        runs_dir: the folder in which the folders of the ladder and its runs are created.
        data_dir: the folder that `load` searches first.
        audit: whether to search for test images that are nearly equal to a training image, to measure the rungs
            without them. None searches only if that takes seconds: up to 1e9 pairs, and within the budget.
        resume: the folder of an interrupted ladder to continue: finished runs are read back, the others continue from
            their last checkpoints. Only these arguments apply then, the rest is in the record: `data`, `rungs` (models
            of your own), `budget` (additional time), `workers`, `executor`, `audit`, `take_over` and `progress`.
        take_over: resume a ladder that was written by a process on another host, which you know has ended.
        progress: whether to show a bar; None means only in terminals and notebooks. Or a function that is called with
            the ladder once it is declared, and whenever a cell has ended.

    Returns:
        The ladder: `rungs`, `comparisons`, `worth_it`, `left_out`, `table()`.

    Raises:
        InputError: data, rungs, a setting or a folder cannot be used, or no rung fits into the budget.
        TrainingError: no rung could be trained.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; a KeyboardInterrupt with the `ladder` so far.
    """
    began = time.monotonic()
    options = ClimbOptions(
        seeds=seeds,
        budget=budget,
        workers=workers,
        seed=seed,
        device=device,
        precision=precision,
        margin=margin,
        audit=audit,
    )
    with contextlib.ExitStack() as claim:
        if progress is None or isinstance(progress, bool):
            shows = is_watched() if progress is None else progress
            progress = claim.enter_context(Bar()) if shows else None
        resources = _Resources(options.workers, executor, progress)
        if resume is not None:
            ladder = Ladder.read(resume)
            if _is_finished(ladder):
                return _with_models(ladder, rungs)
            claim.enter_context(claimed(ladder.path, "a ladder"))
            ladder = Ladder.read(resume)  # it may have ended meanwhile
            if _is_finished(ladder):
                return _with_models(ladder, rungs)
            session = _taken_up(ladder, data, rungs, resources, take_over=take_over)
        elif data is None:
            raise SettingError("no data: give a name, a path or an ImageData, or a ladder to resume")
        else:
            session = _begun(data, rungs, options, resources, Path(runs_dir), data_dir)
            claim.enter_context(claimed(session.path, "a ladder", is_new=True))
        session.record = replace(session.record, budget_seconds=options.seconds)
        claim.enter_context(raised(*SIGNALS))
        _carry_out(session, began, options)
    return session.ladder


def _carry_out(session: Session, began: float, options: ClimbOptions) -> None:
    """Train the cells of a session, and record them."""
    path, data, charged, deadline = session.path, session.data, began, None
    try:
        if {rung.name for rung in session.rungs} - session.in_process:
            share(data, path / SHARED)
        if options.seconds is not None:
            preparing = time.monotonic()
            session.prepare()
            charged = began + time.monotonic() - preparing
            deadline = charged + options.seconds - _RESERVE_SECONDS
        with use_threads(1):  # for the cells that are trained in this process
            session.declare(charged, deadline)
            session.train(deadline)
    except KeyboardInterrupt as interrupt:
        with ignored():  # a second Ctrl-C must not lose the results so far
            if session.cells:
                session.end("interrupted", began)
            else:  # nothing to resume: leave nothing behind
                session.workers.stop()
                shutil.rmtree(path, ignore_errors=True)
                session.ladder.update(replace(session.record, status="interrupted", process=None), [])
        raise Interrupted(session.ladder, exit_code(interrupt) - 128) from None
    except BaseException:
        with ignored():
            session.workers.stop()
        if not session.cells:  # nothing was trained: leave nothing behind
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(RunError):  # the reason must be shown even if the disk is too full for the record
                session.end("failed", began)
        raise
    try:
        with held_back():  # stopping running cells takes seconds
            session.end("finished", began)
        left = None if deadline is None else deadline - time.monotonic()
        leaks = look_for_leaks(data, search=options.audit, seconds=left)
        hint = hint_of(data, leaks.test_clusters)
    except KeyboardInterrupt as interrupt:  # all results are recorded already
        raise Interrupted(session.ladder, exit_code(interrupt) - 128) from None
    session.update_record(leaks=leaks, grouping=hint, seconds=time.monotonic() - began)


def _begun(
    data: ImageData | str | Path | Callable[[], ImageData],
    rungs: Sequence[str | Rung | Callable[..., Any]] | None,
    options: ClimbOptions,
    resources: _Resources,
    runs_dir: Path,
    data_dir: str | Path | None,
) -> Session:
    """Load the data of a new climb, build its models, and create its folder."""
    chosen = [as_rung(rung) for rung in (LADDER if rungs is None else rungs)]
    _check_names(chosen)
    if options.precision != AUTO:
        chosen = [replace(rung, precision=options.precision) if rung.precision == AUTO else rung for rung in chosen]
    if not isinstance(data, ImageData):
        data = data() if callable(data) else load(data, data_dir=data_dir)
    built = _build_each(chosen, data, options.device)
    seeds = options.all_seeds()
    record = LadderRecord(
        status="running",
        created=datetime.now(UTC).isoformat(timespec="microseconds"),
        process=Process.this(),
        data=data.description,
        seeds=seeds,
        looks=count_looks(runs_dir, data.fingerprint, chosen, seeds),
        device=options.device,
        margin=options.margin,
        environment=Environment.here(1, options.device),
        left_out=tuple(built.left_out),
    )
    path, record = create_folder(runs_dir.absolute(), f"ladder-{data.name}", record, LADDER_RECORD)
    return resources.session(path, record, data, built)


def _with_models(ladder: Ladder, rungs: Sequence[str | Rung | Callable[..., Any]] | None) -> Ladder:
    """Return a finished ladder whose runs know the models that were given."""
    given = {rung.name: rung for rung in map(as_rung, rungs or [])}
    ladder.update(ladder.record, [run.using(given.get(run.record.model)) for run in ladder.runs])
    return ladder


def _is_finished(ladder: Ladder) -> bool:
    done = all(cell.status in ("finished", NOT_NEEDED) for cell in ladder.record.cells)
    return ladder.record.status == "finished" and done


def _taken_up(
    ladder: Ladder,
    data: ImageData | str | Path | Callable[[], ImageData] | None,
    rungs: Sequence[str | Rung | Callable[..., Any]] | None,
    resources: _Resources,
    *,
    take_over: bool,
) -> Session:
    """Prepare to continue an interrupted climb, whose folder has been claimed."""
    path, record = ladder.path, ladder.record
    if record.status == "running":
        refuse_while_written(path, record.process, take_over=take_over)
    if not record.cells:
        raise RunError(f"{path} was interrupted before anything was planned: climb again")
    chosen = _chosen_again(record, {rung.name: rung for rung in map(as_rung, rungs or [])})
    if data is None:
        if record.data.origin is None:
            raise DataError(f"{path}: its record cannot load {record.data.name!r} again: pass the data as well")
        data = load_again(record.data.origin)
    elif not isinstance(data, ImageData):
        data = data() if callable(data) else load(data)
    if data.fingerprint != record.data.fingerprint:
        raise DataError(
            f"{data.name} has the fingerprint {data.fingerprint[:12]}, but the ladder was climbed on "
            f"{record.data.fingerprint[:12]}: expected the same images, labels and class names"
        )
    built = _build_each(chosen, data, record.device, is_new=False)
    if built.left_out:  # all of them could be built when the ladder was begun
        raise ModelError(f"{built.left_out[0].name}: {built.left_out[0].why}")
    record = replace(record, status="running", process=Process.this(), left_out=tuple(record.not_planned or ()))
    session = resources.session(path, record, data, built)
    session.take_up(take_over=take_over)
    for run in session.runs:
        spec = session.specs.get(run.record.model)
        if spec is not None and spec.rung.built_in is None:
            learner = replace(spec, seed=run.seed).learner(data.image_shape, len(data.classes))
            check_same_model(run.record, learner)
    write_record(path, session.record, LADDER_RECORD)  # from here on, this process owns it
    return session


def _chosen_again(record: LadderRecord, given: dict[str, Rung]) -> list[Rung]:
    """Return the rungs of a record; the user's own are those that were given again."""
    own = [
        described.name
        for described in record.rungs
        if described.model is None or missing_code(described.recipe or {}, built_in_rung(described.model))
    ]
    if extra := [name for name in given if name not in own]:
        expected = f"expected only {', '.join(map(repr, own))}" if own else "this ladder takes no rungs"
        raise ModelError(f"unexpected rungs {', '.join(map(repr, extra))}: {expected}; leave them out")
    chosen = []
    for described in record.rungs:
        if described.name in own and described.name not in given:
            what = "is a model of your own" if described.model is None else "is trained with code of your own"
            raise ModelError(f"{described.name!r} {what}, which the record does not contain: pass it in rungs")
        rung = given[described.name] if described.name in own else built_in_rung(str(described.model))
        if rung.built_in != described.model:
            raise ModelError(f"{described.name!r} in rungs has another model: expected {described.model!r}")
        missing = missing_code(described.recipe or {}, rung)
        if missing is not None:
            raise ModelError(
                f"{described.name!r} was trained with your own {missing.setting} {missing.name!r}, but the rung given "
                f"has {missing.instead!r}: pass a rung with that {missing.setting} in rungs"
            )
        recipe = settings_of(described.recipe, rung) if described.recipe else {}
        if described.randomness is not None:  # what was declared at the beginning counts
            recipe["random"] = described.random if described.randomness == DECLARED else None
        chosen.append(replace(rung, name=described.name, adds=described.adds, **recipe))
    return chosen


def _check_names(rungs: list[Rung]) -> None:
    if not rungs:
        raise SettingError("no rung: expected at least one, or None for the whole ladder")
    names = [rung.name for rung in rungs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SettingError(
            f"{len(names)} rungs, but {', '.join(map(repr, twice))} more than once: expected different names; "
            "name them with mz.Rung(name, make=...)"
        )


def _build_each(rungs: list[Rung], data: ImageData, device: str, *, is_new: bool = True) -> _Built:
    """Build each model once and settle its training; models that cannot be built are left out with the reason."""
    built = _Built([], {}, [])
    errors = []
    options = TrainOptions(device=device, threads=1)
    for rung in rungs:
        try:
            settled = inputs_settled(rung, data.train)
            learner = learner_of(settled, data.image_shape, len(data.classes), is_new=is_new)
        except ModelError as error:
            errors.append(error)
            failed = rung.built_in is None  # a built-in model only rejects unsuitable images
            built.left_out.append(LeftOut(rung.name, str(error), failed=failed))
            continue
        built.rungs.append(rung)
        built.specs[rung.name] = settle(settled, learner, data, options)
    if not built.rungs:
        raise errors[0]
    return built
