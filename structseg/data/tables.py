"""The official class tables of published data sets: names, raw values, colours. Facts, no logic beyond putting them
into `Labels`.

Sources: the PASCAL VOC 2012 development kit, the Cityscapes label definitions (of which GTA5 takes ids and colours),
SegNet's tutorial for CamVid, the COCO 2017 categories, Gupta et al. 2013 for NYU40 and Couprie et al. 2013 for the 13
classes made of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from structseg.data.labels import default_palette
from structseg.types import Colour, Labels

IGNORE = 255

VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VOC_VOID: Colour = (224, 224, 192)  # palette colour of 255, the edge round objects

# label id -> name, train id (255 = ignored), colour; ids are places
CITYSCAPES: tuple[tuple[str, int, Colour], ...] = (
    ("unlabeled", 255, (0, 0, 0)), ("ego vehicle", 255, (0, 0, 0)), ("rectification border", 255, (0, 0, 0)),
    ("out of roi", 255, (0, 0, 0)), ("static", 255, (0, 0, 0)), ("dynamic", 255, (111, 74, 0)),
    ("ground", 255, (81, 0, 81)), ("road", 0, (128, 64, 128)), ("sidewalk", 1, (244, 35, 232)),
    ("parking", 255, (250, 170, 160)), ("rail track", 255, (230, 150, 140)), ("building", 2, (70, 70, 70)),
    ("wall", 3, (102, 102, 156)), ("fence", 4, (190, 153, 153)), ("guard rail", 255, (180, 165, 180)),
    ("bridge", 255, (150, 100, 100)), ("tunnel", 255, (150, 120, 90)), ("pole", 5, (153, 153, 153)),
    ("polegroup", 255, (153, 153, 153)), ("traffic light", 6, (250, 170, 30)), ("traffic sign", 7, (220, 220, 0)),
    ("vegetation", 8, (107, 142, 35)), ("terrain", 9, (152, 251, 152)), ("sky", 10, (70, 130, 180)),
    ("person", 11, (220, 20, 60)), ("rider", 12, (255, 0, 0)), ("car", 13, (0, 0, 142)), ("truck", 14, (0, 0, 70)),
    ("bus", 15, (0, 60, 100)), ("caravan", 255, (0, 0, 90)), ("trailer", 255, (0, 0, 110)),
    ("train", 16, (0, 80, 100)), ("motorcycle", 17, (0, 0, 230)), ("bicycle", 18, (119, 11, 32)),
)  # fmt: skip
CITYSCAPES_THIN = ("pole", "traffic light", "traffic sign", "person", "rider", "motorcycle", "bicycle")
THING = 1000  # Cityscapes instance number = label id * 1000 + n; below it stand label ids of stuff and of groups

# SegNet's 11 classes of CamVid -> colour; raw values are places
CAMVID: dict[str, Colour] = {
    "Sky": (128, 128, 128), "Building": (128, 0, 0), "Pole": (192, 192, 128), "Road": (128, 64, 128),
    "Pavement": (60, 40, 222), "Tree": (128, 128, 0), "SignSymbol": (192, 128, 128), "Fence": (64, 64, 128),
    "Car": (64, 0, 128), "Pedestrian": (64, 64, 0), "Bicyclist": (0, 128, 192),
}  # fmt: skip
CAMVID_VOID = 11  # raw value
CAMVID_THIN = ("Pole", "SignSymbol", "Pedestrian", "Bicyclist")

# category id -> name; the ids have gaps
COCO = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck", 9: "boat",
    10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench", 16: "bird", 17: "cat",
    18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear", 24: "zebra", 25: "giraffe",
    27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase", 34: "frisbee", 35: "skis",
    36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat", 40: "baseball glove", 41: "skateboard",
    42: "surfboard", 43: "tennis racket", 44: "bottle", 46: "wine glass", 47: "cup", 48: "fork", 49: "knife",
    50: "spoon", 51: "bowl", 52: "banana", 53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot",
    58: "hot dog", 59: "pizza", 60: "donut", 61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed",
    67: "dining table", 70: "toilet", 72: "tv", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book",
    85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier", 90: "toothbrush",
}  # fmt: skip
# COCO's name of each VOC class but the background, in VOC's order
COCO_OF_VOC = (
    "airplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "dining table", "dog",
    "horse", "motorcycle", "person", "potted plant", "sheep", "couch", "train", "tv",
)  # fmt: skip

NYU40 = (
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture", "counter",
    "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes", "ceiling", "books",
    "refridgerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard", "person", "night stand",
    "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure", "otherfurniture", "otherprop",
)  # fmt: skip
NYU13 = (
    "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
    "window",
)  # fmt: skip
# class of the 13 (counted from 1) of each of the 40
NYU13_OF_40 = (
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5, 7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7,
    7, 7, 6, 7,
)  # fmt: skip


def voc() -> Labels:
    """The 21 classes of PASCAL VOC; 255 is ignored."""
    palette = default_palette(len(VOC))
    return Labels(
        names=VOC,
        palette=palette,
        values=(*((index, index) for index in range(len(VOC))), (IGNORE, IGNORE)),
        colours=(*((colour, index) for index, colour in enumerate(palette)), (VOC_VOID, IGNORE)),
        source="PASCAL VOC",
    )


def cityscapes(ids: str) -> Labels:
    """The 19 evaluated classes of Cityscapes, in the order of the train ids; raw values by `ids`, "label" or "train".

    Colours that an ignored label shares with a class (pole group, pole) mean the class.
    """
    classes = [entry for entry in CITYSCAPES if entry[1] != IGNORE]
    drawn = {colour: train for _, train, colour in classes}
    ignored = {colour: IGNORE for _, train, colour in CITYSCAPES if train == IGNORE and colour not in drawn}
    by_label = tuple((label, train) for label, (_, train, _) in enumerate(CITYSCAPES))
    by_train = tuple((train, train) for train in (*range(len(classes)), IGNORE))
    hint = (  # for who has masks of the other kind
        "label ids 0-33; masks with 255 hold train ids and need data.options.ids='train'"
        if ids == "label"
        else "train ids 0-18 and 255; masks with 19-33 hold label ids and need data.options.ids='label'"
    )
    return Labels(
        names=tuple(name for name, _, _ in classes),
        palette=tuple(drawn),
        values=by_label if ids == "label" else by_train,
        colours=tuple({**drawn, **ignored}.items()),
        thin=CITYSCAPES_THIN,
        source=f"Cityscapes ({hint})",
    )


def camvid() -> Labels:
    """The 11 classes of CamVid as in SegNet; 11, drawn black, is ignored."""
    return Labels(
        names=tuple(CAMVID),
        palette=tuple(CAMVID.values()),
        values=(*((index, index) for index in range(len(CAMVID))), (CAMVID_VOID, IGNORE)),
        colours=(*((colour, index) for index, colour in enumerate(CAMVID.values())), ((0, 0, 0), IGNORE)),
        thin=CAMVID_THIN,
        source="CamVid",
    )


def nyu(classes: int) -> Labels:
    """NYU Depth v2 with 40 or 13 classes; raw values are NYU40 - 1, as 0..39, and 255 is ignored."""
    names = NYU40 if classes == 40 else NYU13
    ids = range(40) if classes == 40 else [index - 1 for index in NYU13_OF_40]
    return Labels(
        names=names,
        palette=default_palette(len(names) + 1)[1:],
        values=(*enumerate(ids), (IGNORE, IGNORE)),
        source=f"NYU Depth v2, {classes} classes",
    )


def coco(names: Sequence[str], values: Sequence[tuple[int, int]], source: str) -> Labels:
    """`background` and the classes `names`; `values` are pairs (raw value, class id)."""
    every = ("background", *names)
    return Labels(names=every, palette=default_palette(len(every)), values=tuple(values), source=source)
