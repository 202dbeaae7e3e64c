"""Claim: on any set, no training of a rung becomes NaN or stays at guessing, or it is flagged and was repeated.

Climbs each set, named or given by its path, and counts.

    python benchmarks/fair.py fashion-mnist digits photos.zip [--seeds 5] [--rungs model0,mlp]
"""

import argparse
import statistics
import tempfile

import modelzero as mz


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rungs")
    arguments = parser.parse_args()
    rungs = arguments.rungs.split(",") if arguments.rungs else None
    trainings = repeated = failed = 0
    for source in arguments.data:
        with tempfile.TemporaryDirectory() as folder:
            ladder = mz.climb(source, rungs, seeds=arguments.seeds, audit=False, runs_dir=folder, progress=False)
            description = ladder.record.data
            shape = "x".join(map(str, description.image_shape))
            print(f"{description.name} {shape}, {description.train_images:,} training images", flush=True)
            for name, lost in ladder.findings.all_diverged.items():
                print(f"  {name:10} no training finished: {lost[0]['kind']}")
                trainings, failed = trainings + len(lost), failed + len(lost)
            for rung in ladder.rungs:
                accuracies = [run.history[-1].test_accuracy for run in ladder.runs if run.record.model == rung.name]
                trainings += len(accuracies) + sum(run["run"] is None for run in rung.not_learned)
                failed += len(rung.not_learned)
                repeated += rung.second_chances
                shown = f"mean {100 * statistics.mean(accuracies):.2f} %, least {100 * min(accuracies):.2f} %"
                print(
                    f"  {rung.name:10} {shown}, {rung.seeds} seeds, {len(rung.not_learned)} did not learn, "
                    f"{rung.second_chances} repeated, {rung.train_seconds:.1f} s",
                    flush=True,
                )
    print(f"{failed} of {trainings} trainings did not learn; {repeated} learned when they were repeated")


if __name__ == "__main__":
    main()
