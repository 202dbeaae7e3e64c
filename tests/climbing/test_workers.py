"""Jobs on processes that may die, and on executors that somebody brings."""

import math
import os
import signal
import time
from collections import deque
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import loky
import pytest

from helpers import Inline
from modelzero.climbing.workers import WorkerDiedError, Workers


class Broken(Executor):
    """An executor whose processes have gone."""

    def submit(self, function, /, *args, **kwargs):
        raise BrokenProcessPool("gone")


def each(jobs):
    """Give the jobs of a deque, or of what makes one, from the left."""
    jobs = jobs if isinstance(jobs, deque) else deque(jobs)
    return lambda: jobs.popleft() if jobs else None


@pytest.fixture
def workers():
    """Two processes, ended after the test."""
    made = Workers(2)
    yield made
    made.stop()


def alive(pid):
    """Return whether a process runs (and is no zombie)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_each_job_is_answered_once(workers):
    """Ten jobs on two processes: each answer belongs to its job."""
    answers = list(workers.run(lambda job: job * job, each(range(10))))
    assert sorted(answers) == [(job, job * job) for job in range(10)]


def test_an_error_is_an_answer(workers):
    """What a job raises comes back as the exception; the other jobs go on."""

    def fails_at_2(job):
        if job == 2:
            raise ValueError("two")
        return job

    answers = dict(workers.run(fails_at_2, each(range(4))))
    assert isinstance(answers.pop(2), ValueError)
    assert answers == {0: 0, 1: 1, 3: 3}


def test_a_process_that_dies_costs_its_own_job_only(workers, tmp_path):
    """It is really killed: once is repaired by doing the job again, twice is answered; the others never notice."""

    def kills_itself(job):
        import os
        import signal

        flag = tmp_path / "was-here"
        if job == "always" or (job == "once" and not flag.exists()):
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with (tmp_path / "done").open("a") as file:
            file.write(f"{job}\n")
        return job

    answers = dict(workers.run(kills_itself, each(["a", "always", "b", "once", "c"])))
    died = answers.pop("always")
    assert isinstance(died, WorkerDiedError)
    assert "died 2 times" in str(died)
    assert answers == {job: job for job in ("a", "b", "once", "c")}
    assert sorted((tmp_path / "done").read_text().split()) == ["a", "b", "c", "once"]


def test_a_process_that_dies_while_it_has_nothing_to_do_costs_nothing():
    """It is replaced, and no job is blamed for it."""
    workers = Workers(1)
    try:
        answers = []
        for job, pid in workers.run(lambda _: os.getpid(), each(range(3))):
            answers.append((job, pid))
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
        assert [job for job, _ in answers] == [0, 1, 2]
        assert len({pid for _, pid in answers}) == 3
    finally:
        workers.stop()


def test_a_signal_while_a_job_is_handed_over_leaves_nothing_running(monkeypatch):
    """It is raised once the process is started, and `stop` ends that, though nobody waits for its answer."""
    workers = Workers(1)
    submit, pools = loky.ProcessPoolExecutor.submit, []

    def interrupted(pool, *job):
        pools.append(pool)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)
        return submit(pool, *job)

    monkeypatch.setattr(loky.ProcessPoolExecutor, "submit", interrupted)
    monkeypatch.setattr("modelzero.signals._raised_at", -math.inf)
    with pytest.raises(KeyboardInterrupt):
        list(workers.run(time.sleep, each([60])))
    pids = list(pools[0]._processes)
    workers.stop()
    assert pids
    assert not any(alive(pid) for pid in pids)


def test_the_deadline_ends_it(workers):
    """What still runs is left, and stopping ends the processes."""
    began = time.monotonic()
    pids = dict(workers.run(lambda _: __import__("os").getpid(), each([1, 2])))
    answers = list(workers.run(lambda job: __import__("time").sleep(60), each([1, 2, 3]), time.monotonic() + 0.5))
    workers.stop()
    assert answers == []
    assert time.monotonic() - began < 30
    assert not any(alive(pid) for pid in pids.values())


def test_jobs_may_be_taken_back(workers):
    """Whoever reads the answers may remove jobs that have become pointless."""
    jobs = deque(range(1, 101))
    answered = []
    for job, _ in workers.run(lambda job: job, each(jobs)):
        answered.append(job)
        jobs.clear()
    assert len(answered) <= 4


@pytest.mark.parametrize("kind", ["processes", "threads", "inline", "broken"])
def test_jobs_may_be_added(kind):
    """Whoever reads the answers may add jobs, also after the last one: they are done next."""
    jobs = deque(["a", "b"])
    answered = []
    with ThreadPoolExecutor(2) as threads:
        executor = {"processes": None, "threads": threads, "inline": Inline(), "broken": Broken()}[kind]
        workers = Workers(1, executor)
        for job, _ in workers.run(str.upper, each(jobs)):
            answered.append(job)
            if job in ("b", "c"):
                jobs.appendleft({"b": "c", "c": "d"}[job])
        workers.stop()
    assert answered == ["a", "b", "c", "d"] if kind == "processes" else sorted(answered) == ["a", "b", "c", "d"]


def test_libraries_in_the_processes_use_one_thread(workers):
    """The cores serve different cells."""

    def threads(_):
        import os

        return os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]

    assert dict(workers.run(threads, each([1])))[1] == ("1", "1")


def test_prints_of_a_job_do_not_reach_standard_output(workers, capfd):
    """It may carry a JSON document; what a user's model prints goes to standard error."""
    list(workers.run(lambda _: print("from the model", flush=True), each([1])))
    out, err = capfd.readouterr()
    assert out == ""
    assert "from the model" in err


def test_an_executor_of_somebody_gets_all_jobs():
    """Any `concurrent.futures.Executor` will do; it is not shut down."""
    with ThreadPoolExecutor(3) as executor:
        workers = Workers(5, executor)
        assert dict(workers.run(lambda job: -job, each(range(6)))) == {job: -job for job in range(6)}
        workers.stop()
        assert executor.submit(os.getpid).result() == os.getpid()


def test_a_broken_executor_is_an_answer():
    """Each job is answered with what happened."""
    answers = dict(Workers(1, Broken()).run(abs, each([1, 2])))
    assert all(isinstance(answer, WorkerDiedError) and "gone" in str(answer) for answer in answers.values())
    assert sorted(answers) == [1, 2]


def test_a_cancelled_job_is_an_answer():
    """As happens on a cluster that somebody else stops."""

    class Cancels(Executor):
        def submit(self, function, /, *args, **kwargs):
            future = Future()
            future.cancel()
            future.set_running_or_notify_cancel()
            return future

    ((job, answer),) = Workers(1, Cancels()).run(abs, each([1]))
    assert job == 1
    assert type(answer).__name__ == "CancelledError"


def test_a_job_that_is_here_is_done_in_a_thread_of_this_process():
    """Beside the others, which go to processes."""
    workers = Workers(2, here=lambda job: job < 0)
    pids = dict(workers.run(lambda job, stopped=None: __import__("os").getpid(), each([-1, -2, 1])))
    workers.stop()
    assert pids[-1] == pids[-2] == os.getpid() != pids[1]


def test_a_job_that_is_here_is_told_to_stop():
    """Threads cannot be killed: they ask."""
    ended = []

    def endless(job, stopped):
        while not stopped():
            time.sleep(0.01)
        ended.append(job)
        raise KeyboardInterrupt

    workers = Workers(2, here=lambda _: True)
    assert list(workers.run(endless, each([1, 2, 3]), time.monotonic() + 0.3)) == []
    workers.stop()
    assert sorted(ended) == [1, 2]


def test_a_deadline_is_kept_by_jobs_that_take_no_time(monkeypatch):
    """Each has ended when it is looked at, so there is never one to wait for."""
    monkeypatch.setattr("modelzero.climbing.workers.ThreadPoolExecutor", lambda _: Inline())
    jobs = deque(range(1, 1_000_001))
    done = list(Workers(2, here=lambda _: True).run(lambda job, _: job, each(jobs), deadline=time.monotonic() + 0.2))
    assert 0 < len(done) < 1_000_000
    assert jobs


def test_started_processes_can_work(workers):
    """Each has been called once when its future ends, and does its jobs in the same process."""
    started = workers.start(5, bool)
    assert len(started) == 2
    assert all(future.exception(60) is None for future in started)
    began = time.monotonic()
    assert len(list(workers.run(lambda job: job, each([1, 2])))) == 2
    assert time.monotonic() - began < 30
