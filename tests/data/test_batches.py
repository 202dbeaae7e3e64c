"""`Loader` against torch's own DataLoader, draw for draw."""

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import modelzero as mz
from modelzero.data import batches as room
from modelzero.data.batches import batches, epoch_order, to_float


def make_split(count, *shape, seed=0):
    """Random images; labels that tell them apart."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
    return mz.Split(images, torch.arange(count))


def torch_loader(split, batch_size, **settings):
    """Torch's loader over the same images, scaled as a notebook does."""
    return DataLoader(TensorDataset(split.images.float() / 255, split.labels), batch_size, **settings)


@dataclass
class Epoch:
    """What a loop does in one iteration over its loader."""

    draws_before: int  # random numbers drawn between iter() and the first batch
    draws_between: int  # random numbers drawn after each batch
    stop_after: int | None  # batches, then break
    second_loader: bool  # takes a batch from a second loader after each batch


epochs = st.builds(
    Epoch,
    draws_before=st.integers(0, 2),
    draws_between=st.integers(0, 1),
    stop_after=st.none() | st.integers(0, 5),
    second_loader=st.booleans(),
)


def play(make, split, script, *, batch_size, shuffle, drop_last, own_generator, seed):
    """Run the script with loaders from `make`; return all that it saw and the generators' states at its end."""
    torch.manual_seed(seed)
    own = torch.Generator().manual_seed(seed + 1) if own_generator else None
    loader = make(split, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last, generator=own)
    other = make(split, batch_size=batch_size + 1, shuffle=True, generator=own)
    other_batches = iter(())
    seen = [len(loader), len(other)]

    def draw(count):
        for generator in (None, own) if own_generator else (None,):
            seen.extend(torch.rand(count, generator=generator).tolist())

    for epoch in script:
        iterator = iter(loader)
        draw(epoch.draws_before)
        for _ in itertools.count() if epoch.stop_after is None else range(epoch.stop_after):
            batch = next(iterator, None)
            if batch is None:
                break
            seen.extend(batch)
            draw(epoch.draws_between)
            if epoch.second_loader:
                following = next(other_batches, None)
                if following is None:
                    other_batches = iter(other)
                    following = next(other_batches)
                seen.extend(following)
        seen.append("end of epoch")
    draw(1)
    return seen, torch.get_rng_state(), own.get_state() if own_generator else None


def assert_same(ours, theirs):
    """The same batches, numbers and generator states, in the same order."""
    seen, *states = ours
    seen_by_torch, *torch_states = theirs
    assert len(seen) == len(seen_by_torch)
    for mine, its in zip(seen, seen_by_torch, strict=True):
        if isinstance(its, torch.Tensor):
            assert mine.dtype == its.dtype
            assert mine.shape == its.shape
            assert torch.equal(mine, its)
        else:
            assert mine == its
    for state, torch_state in zip(states, torch_states, strict=True):
        assert (state is None and torch_state is None) or torch.equal(state, torch_state)


WHOLE = Epoch(draws_before=0, draws_between=0, stop_after=None, second_loader=False)
BUSY = Epoch(draws_before=1, draws_between=1, stop_after=None, second_loader=True)


@given(
    count=st.integers(1, 200),
    batch_size=st.integers(1, 70),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    own_generator=st.booleans(),
    seed=st.integers(0, 2**32),
    script=st.lists(epochs, min_size=1, max_size=3),
    gathered_bytes=st.sampled_from([1, 200, 1000, room._GATHERED_BYTES]),
)
@example(60, 20, True, True, True, 1, [BUSY, BUSY], 1000).via("no short last batch")
@example(61, 20, True, True, True, 2, [BUSY, WHOLE, BUSY], 1000).via("a last batch that is dropped")
@example(61, 20, True, False, True, 3, [BUSY, WHOLE, BUSY], 1000).via("a short last batch")
@example(5, 20, True, True, True, 4, [WHOLE, BUSY], 1000).via("no batch at all")
@settings(max_examples=120, derandomize=True, deadline=None)
def test_loader_equals_torchs_draw_for_draw(
    count, batch_size, shuffle, drop_last, own_generator, seed, script, gathered_bytes
):
    """The same batches, and the same generator states afterwards, whatever else the loop does in between."""
    split = make_split(count, 1, 3, 2)
    how = {
        "batch_size": batch_size,
        "shuffle": shuffle,
        "drop_last": drop_last,
        "own_generator": own_generator,
        "seed": seed,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_GATHERED_BYTES", gathered_bytes)
        ours = play(mz.Loader, split, script, **how)
    assert_same(ours, play(torch_loader, split, script, **how))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_large_images(batch_size, shuffle):
    """Images of which one batch is larger than what is gathered at once (3 MiB each as floats) equal torch's too."""
    split = make_split(5, 3, 512, 512)
    how = {"batch_size": batch_size, "shuffle": shuffle, "drop_last": False, "own_generator": False, "seed": 3}
    assert_same(play(mz.Loader, split, [WHOLE], **how), play(torch_loader, split, [WHOLE], **how))


def test_real_images(digits):
    """Three shuffled epochs over digits equal torch's."""
    how = {"batch_size": 32, "shuffle": True, "drop_last": False, "own_generator": False, "seed": 42}
    assert_same(play(mz.Loader, digits.train, [WHOLE] * 3, **how), play(torch_loader, digits.train, [WHOLE] * 3, **how))


@pytest.mark.parametrize("own_generator", [False, True])
def test_two_iterations_of_one_loader_at_once(own_generator):
    """Two iterations of the same loader side by side draw as torch's do."""
    split = make_split(23, 1, 2, 2)

    def pairs(make):
        torch.manual_seed(7)
        own = torch.Generator().manual_seed(8) if own_generator else None
        loader = make(split, batch_size=5, shuffle=True, generator=own)
        seen = [tensor for two in zip(loader, loader, strict=True) for batch in two for tensor in batch]
        return seen, torch.get_rng_state(), own and own.get_state()

    assert_same(pairs(mz.Loader), pairs(torch_loader))


def test_defaults():
    """Without further words: batches of 32, in the split's order, the short last one included."""
    split = make_split(70, 1, 2, 2)
    loader = mz.Loader(split)
    assert [len(labels) for _, labels in loader] == [32, 32, 6]
    assert torch.cat([labels for _, labels in loader]).tolist() == list(range(70))
    assert len(loader) == 3


@pytest.mark.parametrize(
    "shuffle",
    [False, True],
)
def test_changing_a_batch_leaves_the_images_alone(shuffle):
    """A loop may write into its batches, images and labels: the next epoch sees the data as it was."""
    split = make_split(10, 1, 2, 2)
    images, labels = split.images.clone(), split.labels.clone()
    for batch_images, batch_labels in mz.Loader(split, 4, shuffle=shuffle):
        batch_images.fill_(0)
        batch_labels.fill_(0)
    assert torch.equal(split.images, images)
    assert torch.equal(split.labels, labels)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True, "32", None])
def test_bad_batch_size(refuses, batch_size):
    """A batch size that is not a whole number of at least 1 is refused at once, and the message shows it."""
    with refuses(mz.SettingError, "batch size", repr(batch_size), "at least 1"):
        mz.Loader(make_split(3, 1, 2, 2), batch_size)


def test_to_float_is_totensors_arithmetic_to_the_bit():
    """All 256 grey levels become what ToTensor makes of the PIL image."""
    picture = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16))
    expected = torch.from_numpy(np.array(picture)).float().div(255)
    levels = torch.arange(256, dtype=torch.uint8).reshape(16, 16)
    scaled = to_float(levels)
    assert scaled.dtype == torch.float32
    assert torch.equal(scaled, expected)
    assert levels.flatten().tolist() == list(range(256))


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**63 - 1])
def test_epoch_order_is_what_a_notebook_sees(seed):
    """Seed, then in each epoch a shuffling training loader and an unshuffled test loader: the same orders."""
    train = DataLoader(TensorDataset(torch.arange(50)), batch_size=7, shuffle=True)
    test = DataLoader(TensorDataset(torch.arange(11)), batch_size=4, shuffle=False)
    torch.manual_seed(seed)
    for epoch in range(4):
        seen = torch.cat([batch for (batch,) in train])
        for _ in test:
            pass
        state = torch.get_rng_state()
        assert torch.equal(epoch_order(seed, epoch, 50), seen)
        assert torch.equal(torch.get_rng_state(), state)  # a pure function: it draws nothing from the default generator


def test_epoch_order_has_not_changed():
    """Golden numbers: old runs replay only as long as these stay."""
    assert epoch_order(seed=42, epoch=0, images=8).tolist() == [0, 5, 1, 6, 3, 4, 2, 7]
    assert epoch_order(seed=42, epoch=2, images=8).tolist() == [0, 1, 4, 6, 2, 3, 5, 7]


def test_batches_follow_the_order_that_they_are_given():
    """Every image of the order comes, with its label, in that order; without one, in the split's own."""
    split = make_split(11, 1, 2, 2)
    order = torch.tensor([10, 3, 3, 0, 7])
    images, labels = zip(*batches(split, 2, order), strict=True)
    assert [len(batch) for batch in labels] == [2, 2, 1]
    assert torch.cat(labels).tolist() == [10, 3, 3, 0, 7]
    assert torch.equal(torch.cat(images), to_float(split.images[order]))
    assert torch.cat([batch for _, batch in batches(split, 4)]).tolist() == list(range(11))


def test_a_loader_has_what_loops_ask_a_dataloader_for():
    """`len(loader.dataset)` counts the images; shuffle may be given by position."""
    split = make_split(10, 1, 2, 2)
    loader = mz.Loader(split, 4, True)
    assert (len(loader.dataset), loader.shuffle, len(loader)) == (10, True, 3)


def test_a_loader_wants_a_split(refuses):
    """The whole set in place of one of its splits is refused at once."""
    split = make_split(10, 1, 2, 2)
    data = mz.ImageData("both", split, split, tuple("0123456789"))
    with refuses(mz.DataError, "data.train"):
        mz.Loader(data)
