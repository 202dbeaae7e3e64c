"""A small residual network, the strongest rung that a CPU trains in minutes."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import relu

from modelzero.models.convnet import channels_last, poolings

_CHANNELS = (24, 48, 96, 192)


class Residual(nn.Module):
    """Add to its input what two 3x3 convolutions make of it (K. He et al. 2016, CVPR, 770-778).

    The last batch normalisation begins with a scale of 0, so each block begins as the identity (P. Goyal et al. 2017,
    arXiv:1706.02677).

    >>> sum(weights.numel() for weights in Residual(8).parameters())
    1184

    Args:
        channels: of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Compute the block on feature maps [B, C, H, W]."""
        inside = relu(self.norm1(self.conv1(images)))
        return images + relu(self.norm2(self.conv2(inside)))


def resnet(image_shape: tuple[int, int, int], classes: int, channels: tuple[int, ...] = _CHANNELS) -> nn.Sequential:
    """Build stages of a 3x3 convolution, pooling and a residual block, then a global maximum and a linear layer.

    As in `convnet` the number of poolings follows from the size of the images. The first stage has no residual block:
    its images are still large. Further stages keep the width of the last.

    >>> resnet((3, 32, 32), 10)[-1]
    Linear(in_features=192, out_features=10, bias=True)

    Args:
        image_shape: channels, height and width of the images.
        classes: how many logits come out.
        channels: of each stage.
    """
    halvings = poolings(image_shape)
    widths = [*channels[: halvings + 1], *[channels[-1]] * (halvings + 1 - len(channels))]
    layers: list[nn.Module] = []
    before = image_shape[0]
    for stage, width in enumerate(widths):
        layers.append(nn.Conv2d(before, width, kernel_size=3, padding=1, bias=False))
        if stage < halvings:
            layers.append(nn.MaxPool2d(2))
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        if stage or not halvings:
            layers.append(Residual(width))
        before = width
    layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(before, classes)]
    return channels_last(nn.Sequential(*layers))
