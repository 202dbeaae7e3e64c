"""The named datasets: a plain list with their files, URLs and checksums.

The SHA-256 checksums and the sizes come from `tensorflow_datasets/url_checksums/<set>.txt` in the repository
tensorflow/datasets (TFDS below), for the files named here. Those of mnist, kmnist, qmnist and svhn are the same in
`torchvision/prototype/datasets/_builtin` of pytorch/vision. The checksums of Fashion-MNIST are of the decompressed
content, which is the same in Debian's package and in the publisher's files.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from modelzero.data.sets.cifar import read_cifar
from modelzero.data.sets.mnist import read_emnist, read_idx_files
from modelzero.data.sets.published import File, NamedSet
from modelzero.data.sets.svhn import read_svhn

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
DIGITS = tuple(string.digits)


def _files(
    sums: Sequence[tuple[str, int, str]], folders: Sequence[str], *, of_content: bool = False
) -> tuple[File, ...]:
    """Build the files of a dataset from their (name, bytes, SHA-256) and the URLs of the folders that hold them."""
    return tuple(
        File(name, sha256, tuple(folder + name for folder in folders), most_bytes, of_content)
        for name, most_bytes, sha256 in sums
    )


FASHION_MNIST = NamedSet(
    "fashion-mnist",
    (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    _files(
        [  # the sizes are limits: mirrors may compress the files differently
            (IDX_FILES[0] + ".gz", 64 << 20, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            (IDX_FILES[1] + ".gz", 1 << 20, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            (IDX_FILES[2] + ".gz", 64 << 20, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            (IDX_FILES[3] + ".gz", 1 << 20, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ],
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        of_content=True,
    ),
    read_idx_files,
    folder="fashion-mnist",
    system_folder=Path("/usr/share/datasets/fashion-mnist"),
    hint="on Debian run 'apt-get install dataset-fashion-mnist', or use --data-dir",
)  # fmt: skip

MNIST = NamedSet(
    "mnist",
    DIGITS,
    _files(
        [  # TFDS: mnist.txt
            (IDX_FILES[0] + ".gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (IDX_FILES[1] + ".gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (IDX_FILES[2] + ".gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (IDX_FILES[3] + ".gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ],
        (  # LeCun's own server asks programs to use mirrors, so those of PyTorch and CVDF come first
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
    ),
    read_idx_files,
    folder="mnist",
)

KMNIST = NamedSet(
    "kmnist",
    ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),  # hiragana, one of each row
    _files(
        [  # TFDS: kmnist.txt
            (IDX_FILES[0] + ".gz", 18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (IDX_FILES[1] + ".gz", 29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (IDX_FILES[2] + ".gz", 3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (IDX_FILES[3] + ".gz", 5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ],
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    ),
    read_idx_files,
    folder="kmnist",
)

QMNIST = NamedSet(
    "qmnist",
    DIGITS,
    _files(
        [  # TFDS: qmnist.txt
            (
                "qmnist-train-images-idx3-ubyte.gz",
                9704059,
                "9e26a7bf1683614e065d7b76460ccd52807165b3f22561fb782bd9f38c52b51d",
            ),
            (
                "qmnist-train-labels-idx2-int.gz",
                463024,
                "2c05dc77f6b916b38e455e97ab129a42a444f3dbef09b278a366f82904e0dd9f",
            ),
            (
                "qmnist-test-images-idx3-ubyte.gz",
                9742279,
                "43fc22bf7498b8fc98de98369d72f752d0deabc280a43a7bcc364ab19e57b375",
            ),
            (
                "qmnist-test-labels-idx2-int.gz",
                526800,
                "9fbcbe594c3766fdf4f0b15c5165dc0d1e57ac604e01422608bb72c906030d06",
            ),
        ],
        ("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
    ),
    read_idx_files,
    folder="qmnist",
    notes=("The first 10,000 test images of qmnist are reconstructions of those of mnist; the other 50,000 are new.",),
)

_EMNIST_FILES = (
    File(
        "gzip.zip",
        "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",  # TFDS: emnist.txt
        (
            "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/gzip.zip",
        ),
        561753746,
    ),
)
# Fifteen lower-case letters that look like their capitals share a class with them.
_MERGED = (*string.digits, *string.ascii_uppercase, *"abdefghnqrt")


def _emnist(name: str, variant: str, classes: Sequence[str], first_label: int = 0) -> NamedSet:
    return NamedSet(
        name,
        tuple(classes),
        _EMNIST_FILES,
        partial(read_emnist, variant=variant, first_label=first_label),
        folder="emnist",
        notes=("EMNIST's files store each image with rows and columns swapped; the images were turned upright.",),
    )


EMNIST = (
    _emnist("emnist", "balanced", _MERGED),
    _emnist("emnist-letters", "letters", string.ascii_uppercase, first_label=1),
    _emnist("emnist-digits", "digits", DIGITS),
    _emnist("emnist-bymerge", "bymerge", _MERGED),
    _emnist("emnist-byclass", "byclass", (*string.digits, *string.ascii_uppercase, *string.ascii_lowercase)),
)

CIFAR_10 = NamedSet(
    "cifar-10",
    ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    _files(
        # TFDS: cifar10.txt
        [("cifar-10-binary.tar.gz", 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd")],
        ("https://www.cs.toronto.edu/~kriz/",),
    ),
    partial(
        read_cifar,
        folder="cifar-10-batches-bin",
        train=tuple(f"data_batch_{batch}.bin" for batch in range(1, 6)),
        test=("test_batch.bin",),
        labels=1,
    ),
    folder="cifar-10",
)

CIFAR_100 = NamedSet(
    "cifar-100",
    (  # the fine labels, in the order of the archive's fine_label_names.txt (pytorch/vision: cifar100.categories)
        "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
        "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee",
        "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
        "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower",
        "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
        "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate",
        "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark",
        "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
        "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip",
        "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
    ),
    _files(
        # TFDS: cifar100.txt
        [("cifar-100-binary.tar.gz", 168513733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec")],
        ("https://www.cs.toronto.edu/~kriz/",),
    ),
    partial(read_cifar, folder="cifar-100-binary", train=("train.bin",), test=("test.bin",), labels=2),
    folder="cifar-100",
)  # fmt: skip

SVHN = NamedSet(
    "svhn",
    DIGITS,
    _files(
        [  # TFDS: svhn_cropped.txt
            ("train_32x32.mat", 182040794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
            ("test_32x32.mat", 64275384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
        ],
        ("http://ufldl.stanford.edu/housenumbers/",),
    ),
    read_svhn,
    folder="svhn",
    notes=("SVHN's split 'extra' (531,131 images) is not used; training uses 'train' only.",),
)

SETS = {known.name: known for known in (FASHION_MNIST, MNIST, KMNIST, QMNIST, *EMNIST, CIFAR_10, CIFAR_100, SVHN)}
