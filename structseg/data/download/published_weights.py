"""Published checkpoints of the systems that structseg is built on, and what they start from; see `catalogue.py`.

The authors of AAF published no trained network: its PSPNet starts from TF-Slim's ResNet or, in the main tables of
Cityscapes, from PSPNet's authors' model; both are here. Files for PyTorch carry the first digits of their sha256 in
their name, the convention of torch.hub; these are checked.
"""

from __future__ import annotations

import re

from structseg.data.download.catalogue import Entry, File

_SLIM = "http://download.tensorflow.org/models"
_TORCH = "https://download.pytorch.org/models"
_PSA = "https://github.com/jiwoon-ahn/psa"
_ADVSEMI = "https://github.com/hfslyc/AdvSemiSeg"
_PSPNET = "https://github.com/hszhao/PSPNet"
_HUNG = "http://vllab1.ucmerced.edu/~whung/adv-semi-seg"  # silent since 2021
_DEEPSCENE = "http://deepscene.cs.uni-freiburg.de/static/models"
_GPL = "GPL-3.0 for academic use; others ask the authors"


def _drive(identity: str) -> str:
    """The address of a file of Google Drive that answers with the file, large or small."""
    return f"https://drive.usercontent.google.com/download?id={identity}&export=download&confirm=t"


def _hub(address: str, *, size: int = 0) -> File:
    """A file whose name ends in the first digits of its sha256, as torch.hub wants it."""
    found = re.search(r"-([0-9a-f]{8,64})\.pth$", address)
    return File(address, size=size, sha256=found[1] if found else "")


def _slim(depth: int) -> Entry:
    return Entry(
        f"slim_resnet{depth}",
        f"TF-Slim's ResNet-{depth} v1 (ImageNet)" + ", from which AAF's PSPNet starts" * (depth == 101),
        licence="Apache-2.0",
        terms="https://github.com/tensorflow/models/blob/master/LICENSE",
        files=(File(f"{_SLIM}/resnet_v1_{depth}_2016_08_28.tar.gz", unpack=True),),
        use=f"structseg convert FOLDER/resnet_v1_{depth}.ckpt NEW.safetensors --source tf --model slim_resnet"
        + " units=[3,4,6,3]" * (depth == 50),
    )


def _torchvision(name: str, digits: str, size: int = 0) -> Entry:
    depth = name.removeprefix("resnet").removesuffix("_v2")
    recipe = ", the newer training recipe" if name.endswith("_v2") else ""
    return Entry(
        name,
        f"torchvision's ResNet-{depth} (ImageNet{recipe})",
        licence="BSD-3-Clause",
        terms="https://github.com/pytorch/vision/blob/main/LICENSE",
        files=(_hub(f"{_TORCH}/resnet{depth}-{digits}.pth", size=size),),
        use=f"structseg convert FOLDER/resnet{depth}-{digits}.pth NEW.safetensors --source torchvision --model resnet "
        f"depth={depth}",
    )


def _psa(name: str, about: str, identity: str) -> Entry:
    file = File(_drive(identity), name=f"{name}.pth")
    return Entry(f"psa_{name}", f"PSA: {about}", licence="MIT", terms=_PSA, files=(file,))


def _advsemi(name: str, about: str, file: File) -> Entry:
    licence = "none given: all rights are the authors'"
    return Entry(f"advsemi_{name}", f"AdvSemiSeg: {about}", licence=licence, terms=_ADVSEMI, files=(file,))


def _adapnet(place: str, sensor: str, miou: str) -> Entry:
    """AdapNet++; `place` is the folder on the server, and the name but for sun_rgbd."""
    short = {"sun_rgbd": "sun"}.get(place, place)
    scored = f", mIoU {miou} as published" if miou else ""
    return Entry(
        f"adapnetpp_{place}_{sensor}",
        f"AdapNet++ of {place}, {sensor}{scored} (TensorFlow)",
        licence=_GPL,
        terms="https://github.com/DeepSceneSeg/AdapNet-pp",
        files=(File(f"{_DEEPSCENE}/{place}/adapnet++_{short}_{sensor}.zip", unpack=True),),
    )


def _ssma(place: str, sensor: str, miou: str) -> Entry:
    short = {"sun_rgbd": "sun"}.get(place, place)
    return Entry(
        f"ssma_{place}_rgb_{sensor}",
        f"SSMA of {place}, rgb and {sensor}, mIoU {miou} as published (TensorFlow)",
        licence=_GPL,
        terms="https://github.com/DeepSceneSeg/SSMA",
        files=(File(f"{_DEEPSCENE}/{place}/{short}_ssma_rgb_{sensor}.zip", unpack=True),),
    )


_ADAPNETS = (  # place, sensor, mIoU of its authors' README
    ("cityscapes", "rgb", "80.77"),
    ("cityscapes", "depth", "65.01"),
    ("cityscapes", "hha", "67.63"),
    ("cityscapes_19", "rgb", ""),
    ("cityscapes_19", "hha", ""),
    ("synthia", "rgb", "86.68"),
    ("synthia", "depth", "87.87"),
    ("sun_rgbd", "rgb", "37.98"),
    ("sun_rgbd", "depth", "34.28"),
    ("sun_rgbd", "hha", "34.59"),
    ("scannetv2", "rgb", "52.92"),
    ("scannetv2", "depth", "53.8"),
    ("scannetv2", "hha", "54.19"),
    ("forest", "rgb", "83.18"),
    ("forest", "depth", "73.93"),
    ("forest", "evi", "80.96"),
)
_SSMAS = (
    ("cityscapes", "depth", "82.29"),
    ("cityscapes", "hha", "82.64"),
    ("synthia", "depth", "91.25"),
    ("sun_rgbd", "depth", "43.9"),
    ("sun_rgbd", "hha", "44.3"),
    ("scannetv2", "depth", "66.29"),
    ("scannetv2", "hha", "66.34"),
    ("forest", "depth", "83.81"),
    ("forest", "evi", "83.9"),
)
WEIGHTS = (
    _slim(50),
    _slim(101),
    _torchvision("resnet18", "f37072fd", 46_830_571),
    _torchvision("resnet34", "b627a593"),
    _torchvision("resnet50", "0676ba61", 102_530_333),
    _torchvision("resnet50_v2", "11ad3fa6"),
    _torchvision("resnet101", "63fe2227"),
    _torchvision("resnet101_v2", "cd907fc2"),
    Entry(
        "pspnet101_cityscapes",
        "PSPNet's authors: PSPNet-101 of Cityscapes, mIoU 79.70 as published (Caffe), where AAF's main tables start",
        licence="BSD-2-Clause, as the authors' code; trained on Cityscapes, which is for research",
        terms=f"{_PSPNET}/blob/master/LICENSE",
        files=(  # as their page gave it in June 2022 (PingjunChen/LiverCancerSeg, #15); before, it named another one
            File(_drive("1-Me01pX1KUsut_7l6uJXkIbaBxxSVgX0"), name="pspnet101_cityscapes.caffemodel"),
        ),
        use="structseg convert FOLDER/pspnet101_cityscapes.caffemodel NEW.safetensors --source caffe --model pspnet "
        '\'backbone_options={stem="deep",first_dilation="own"}\'',
    ),
    _psa("vgg16_cam", "CAM network, VGG-16, train mIoU 48.9", "1Dh5EniRN7FSVaYxSmcwvPq_6AIg-P8EH"),
    _psa("resnet38_cam", "CAM network, ResNet-38, train mIoU 47.7", "1xESB7017zlZHqxEWuh1Rb89UhjTGIKOA"),
    _psa("vgg16_affinity", "AffinityNet, VGG-16, train mIoU 59.6", "10ue1B20Q51aQ53T93RiaiKETlklzo4jp"),
    _psa("resnet38_affinity", "AffinityNet, ResNet-38, train mIoU 61.0", "1mFvTH3siw0SS0vqPH0o9N3cI_ISQacwt"),
    _advsemi(
        "start",
        "DeepLabv2 trained on COCO, where all its runs start; a copy, as the authors' server is silent",
        File(_drive("14j4RoLqnfGeKaBN7m11u8XUnuov6PgYp"), sha256="41f33a49", name="resnet101COCO-41f33a49.pth"),
    ),
    _advsemi("voc_1_8", "VOC, 1/8 of the masks (server silent)", _hub(f"{_HUNG}/AdvSemiSegVOC0.125-03c6f81c.pth")),
    _advsemi("voc_1_4", "VOC, 1/4 of the masks (server silent)", _hub(f"{_HUNG}/AdvSemiSegVOC0.25-473f8a14.pth")),
    _advsemi("voc_1_2", "VOC, 1/2 of the masks (server silent)", _hub(f"{_HUNG}/AdvSemiSegVOC0.5-acf6a654.pth")),
    _advsemi("voc_full", "VOC, all masks (server silent)", _hub(f"{_HUNG}/AdvSegVOCFull-92fbc7ee.pth")),
    *(_adapnet(*row) for row in _ADAPNETS),
    *(_ssma(*row) for row in _SSMAS),
)
