"""How each thing is drawn: flat parts on upright faces, in metres.

Each function takes the canvas, the dice and where the thing stands, and paints it. Measures are those of common
things: a car is 4.2 m long, a person 1.5 to 1.9 m tall, a bicycle wheel 0.34 m in radius.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from structseg.data.scenes.canvas import (
    BICYCLE,
    BUILDING,
    CAR,
    FENCE,
    PERSON,
    POLE,
    SIGN,
    TREE,
    WIRE,
    Canvas,
    Colour,
    Dice,
    Face,
    Points,
    circle,
)

CLOTHES: tuple[Colour, ...] = (
    (45, 50, 70), (120, 40, 40), (160, 150, 140), (50, 90, 60), (35, 35, 38), (90, 110, 150), (190, 170, 60),
    (200, 205, 210),
)  # fmt: skip
SKIN: tuple[Colour, ...] = ((224, 180, 150), (190, 140, 105), (120, 80, 58), (236, 196, 170))
PAINT: tuple[Colour, ...] = (
    (185, 188, 192), (40, 42, 48), (150, 28, 30), (38, 62, 120), (225, 225, 222), (95, 100, 105), (70, 95, 75),
    (200, 160, 60),
)  # fmt: skip
PLASTER: tuple[Colour, ...] = (
    (196, 178, 150), (160, 92, 74), (178, 172, 164), (140, 120, 104), (206, 196, 178), (128, 134, 142),
    (186, 150, 112), (150, 156, 140),
)  # fmt: skip
LEAVES: tuple[Colour, ...] = ((66, 98, 44), (82, 112, 48), (52, 84, 50), (104, 116, 46), (150, 108, 44))
METAL: tuple[Colour, ...] = ((92, 96, 98), (58, 62, 62), (128, 130, 128), (66, 78, 70))
DETAIL = 22.0  # metres; farther away, small parts are left out
SIGNS: tuple[Colour, ...] = ((190, 30, 34), (30, 70, 160), (225, 200, 40), (235, 235, 230), (30, 110, 70))

# A car from the side, (metres from its middle, metres up), front to the right.
SIDE = np.array((
    (-2.1, 0.26), (-2.15, 0.84), (-1.82, 0.94), (-1.25, 1.42), (0.3, 1.44), (1.12, 0.95), (1.95, 0.78), (2.12, 0.55),
    (2.1, 0.26),
))  # fmt: skip
WINDOWS = np.array((
    (-1.45, 0.97), (-1.1, 1.33), (-0.38, 1.35), (-0.38, 0.97),
    (-0.28, 0.97), (-0.28, 1.35), (0.24, 1.35), (0.82, 0.97),
))  # fmt: skip
TYRES = np.concatenate([circle(axle, 0.33, 0.34) for axle in (-1.28, 1.3)])
HUBS = np.concatenate([circle(axle, 0.33, 0.17) for axle in (-1.28, 1.3)])
# A person from the front, and one who rides.
TORSO = np.array(((-0.17, 0.8), (-0.22, 1.42), (-0.1, 1.5), (0.1, 1.5), (0.22, 1.42), (0.17, 0.8)))
RIDER = np.array(((-0.34, 0.92), (-0.24, 1.25), (0.02, 1.5), (0.16, 1.42), (0.05, 1.15), (-0.1, 0.9)))
# A car from the front or behind.
END = np.array(
    ((-0.88, 0.3), (-0.9, 0.7), (-0.82, 0.95), (-0.64, 1.43), (0.64, 1.43), (0.82, 0.95), (0.9, 0.7), (0.88, 0.3))
)
END_WINDOW = np.array(((-0.7, 0.98), (-0.56, 1.35), (0.56, 1.35), (0.7, 0.98)))
LAMPS = np.array([(side * x, y) for side in (-1, 1) for x, y in ((0.84, 0.62), (0.82, 0.8), (0.6, 0.78), (0.6, 0.62))])
BUMPER = np.array(
    (
        (-0.84, 0.24),
        (-0.86, 0.42),
        (0.86, 0.42),
        (0.84, 0.24),
        (-0.84, 0.0),
        (-0.84, 0.24),
        (-0.6, 0.24),
        (-0.6, 0.0),
        (0.6, 0.0),
        (0.6, 0.24),
        (0.84, 0.24),
        (0.84, 0.0),
    )
)  # fmt: skip; with the wheels below it
PLATE = np.array(((-0.25, 0.46), (-0.25, 0.58), (0.25, 0.58), (0.25, 0.46)))
# A bicycle, its middle between the wheels.
FRAME = np.array(((-0.52, 0.34), (-0.18, 0.82), (0.36, 0.86), (0.0, 0.3), (-0.52, 0.34)))
HANDLE = np.array(((0.54, 0.34), (0.36, 0.86), (0.33, 1.0), (0.48, 1.02)))
HANG = np.array([(t, t * (1 - t)) for t in np.linspace(0, 1, 9).tolist()])  # a parabola, as a slack wire hangs
REAR, FRONT = circle(-0.52, 0.34, 0.33), circle(0.54, 0.34, 0.33)
SPOKES = np.array(
    [(hub + 0.32 * np.cos(a), 0.34 + 0.32 * np.sin(a)) for hub in (-0.52, 0.54) for k in range(5)
     for a in (0.3 + 0.2 * np.pi * k, 0.3 + 0.2 * np.pi * k + np.pi)]
)  # fmt: skip
SADDLE = np.array(((0.0, 0.3), (-0.2, 0.92), (-0.3, 0.93), (-0.1, 0.93)))


def darker(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def building(
    canvas: Canvas,
    dice: Dice,
    x: float,
    near: float,
    far: float,
    floors: int,
    *,
    lit: bool,
    roofed: bool,
    attached: bool,
) -> None:
    """A house whose front stands along the street at x, from z = near to z = far, and whose end faces the camera."""
    side = 1.0 if x > 0 else -1.0
    wall = dice.colour(dice.choice(PLASTER), 18)
    storey = dice.between(2.7, 3.4)
    top = floors * storey + 0.5
    grain = (dice.between(0.04, 0.12), dice.between(0.03, 0.1))
    light = (0.72, 1.0) if dice.chance(0.5) else (1.0, 0.75)
    glass = dice.colour((70, 84, 98), 22)
    depth = dice.between(6, 10)
    end = Face(canvas, x, near, ax=side)
    part = canvas.part(BUILDING, darker(wall, light[1]), end.plane, grain=grain)
    rise = dice.between(1.5, 3.0) if roofed else 0.0
    end.polygon(part, ((0, 0), (0, top), (depth / 2, top + rise), (depth, top), (depth, 0)))
    if near < DETAIL and not attached:
        windows(canvas, dice, end, 0.5, depth - 0.5, floors, storey, glass, lit=lit)
    front = Face(canvas, x, near, ax=0.0, az=1.0)
    length = far - near
    part = canvas.part(BUILDING, darker(wall, light[0]), front.plane, grain=grain)
    front.polygon(part, ((0, 0), (0, top), (length, top), (length, 0)))
    if roofed:
        roof = canvas.part(BUILDING, dice.colour((122, 66, 52), 25), front.plane, grain=(0.08, 0.12))
        front.polygon(roof, ((-0.2, top), (0.6, top + rise), (length - 0.6, top + rise), (length + 0.2, top)))
    else:
        ledge = canvas.part(BUILDING, darker(wall, light[0] * 1.15), front.plane)
        front.polygon(ledge, ((0, top - 0.4), (0, top), (length, top), (length, top - 0.4)))
    windows(canvas, dice, front, 0.6, length - 0.6, floors, storey, glass, lit=lit)
    if near < DETAIL:
        ground_floor(canvas, dice, front, length, storey, wall, glass, lit=lit)


def windows(
    canvas: Canvas, dice: Dice, face: Face, start: float, stop: float, floors: int, storey: float, glass: Colour,
    *, lit: bool,
) -> None:  # fmt: skip
    """Rows of windows above the ground floor, some of them lit."""
    width, height = dice.between(0.9, 1.5), dice.between(1.2, 1.9)
    bays = int((stop - start) / (width * dice.between(1.5, 2.2)))
    rows = floors - 1
    if bays < 1 or rows < 1:
        return
    pitch = (stop - start) / bays
    origin = np.array((start + (pitch - width) / 2, storey + 0.8))
    panes = grid(bays, rows, pitch, storey, width, height) + origin
    dark = canvas.part(BUILDING, glass, face.plane, grain=(0.15, 0.05), glass=True)
    face.polygon(dark, panes, corners=4)
    if lit:
        warm = canvas.part(BUILDING, dice.colour((245, 205, 130), 8), face.plane, glow=True, glass=True)
        first = dice.whole(0, 2)
        bright = panes.reshape(-1, 4, 2)[first :: dice.whole(2, 4)]
        if len(bright):
            face.polygon(warm, bright.reshape(-1, 2), corners=4)


def grid(bays: int, rows: int, pitch: float, storey: float, width: float, height: float) -> Points:
    """(4N,2) corners of N = bays * rows panes; the first has a corner at the origin."""
    steps = np.array(((pitch, 0), (0, storey), (width, 0), (0, height)))
    return np.asarray(unit_grid(bays, rows) @ steps, np.float64)


@cache
def unit_grid(bays: int, rows: int) -> Points:
    """(4N,4) of each corner of each pane: its column, its row, right (1) or left (0), top (1) or bottom (0)."""
    return np.array(
        [
            (bay, row, *corner)
            for row in range(rows)
            for bay in range(bays)
            for corner in ((0, 0), (0, 1), (1, 1), (1, 0))
        ],
        float,
    ).reshape(-1, 4)


def ground_floor(
    canvas: Canvas, dice: Dice, face: Face, length: float, storey: float, wall: Colour, glass: Colour, *, lit: bool
) -> None:
    """A shop window with an awning, or a door and two windows."""
    door_at = dice.between(0.15, 0.75) * length
    door = canvas.part(BUILDING, dice.colour((74, 58, 48), 20), face.plane)
    glow = lit and dice.chance(0.5)
    pane = canvas.part(
        BUILDING, (240, 205, 140) if glow else darker(glass, 0.8), face.plane, glow=glow, glass=True, grain=(0.2, 0.05)
    )
    if dice.chance(0.45):
        band = storey - 0.5
        awning = canvas.part(BUILDING, dice.colour(dice.choice(CLOTHES), 20), face.plane)
        face.polygon(pane, ((0.5, 0.5), (0.5, band), (length - 0.5, band), (length - 0.5, 0.5)))
        face.polygon(
            awning, ((0.3, band - 0.3), (0.3, band + 0.4), (length - 0.3, band + 0.4), (length - 0.3, band - 0.3))
        )
    else:
        for start in (0.12 * length, 0.6 * length):
            face.polygon(pane, ((start, 0.9), (start, 2.2), (start + 1.6, 2.2), (start + 1.6, 0.9)))
    face.polygon(door, ((door_at, 0), (door_at, 2.2), (door_at + 1.1, 2.2), (door_at + 1.1, 0)))


def tree(canvas: Canvas, dice: Dice, x: float, z: float, *, height: float, bare: bool, sun: float) -> None:
    """A trunk and a crown of many balls in three tones, or of bare branches."""
    face = Face(canvas, x, z)
    number = canvas.instance()
    bark = canvas.part(TREE, dice.colour((82, 68, 54), 14), face.plane, instance=number, grain=(0.1, 0.15))
    girth = 0.035 * height
    trunk = height * dice.between(0.25, 0.4)
    face.polygon(bark, ((-girth, 0), (-0.6 * girth, trunk * 1.5), (0.6 * girth, trunk * 1.5), (girth, 0)))
    if bare:
        branches(dice, face, bark, trunk, height)
        return
    leaf = dice.colour(dice.choice(LEAVES), 14)
    radius = (height - trunk) / 2
    count = 8 if z < 14 else 5 if z < 30 else 3
    layout, sizes = crowns(count)[dice.whole(0, 15)]
    parts = [
        canvas.part(TREE, darker(leaf, tone), face.plane, instance=number, grain=(0.3, 0.16))
        for tone in (0.7, 0.95, 1.22)
    ]
    wide = math.copysign(radius * dice.between(0.75, 1.15), sun)
    balls = [(parts[place // count], radius * size) for place, size in enumerate(sizes)]
    face.balls(balls, layout * (wide, radius) + (0, trunk + radius))


@cache
def crowns(count: int) -> list[tuple[Points, list[float]]]:
    """16 layouts of crowns of radius 1: (3 count, 2) places and the radii of `count` dark, middle and light balls each.
    The light ones lie higher and towards the sun, at positive `along`."""
    rng = np.random.Generator(np.random.Philox(key=[3, count]))
    angle = rng.uniform(0, 2 * np.pi, (16, 3, count))
    reach = rng.uniform(0.1, 0.7, (16, 3, count)) ** 0.7 * np.array([0.65, 1.0, 1.0])[:, None]
    radius = np.array([0.56, 0.38, 0.26])[:, None] * rng.uniform(0.75, 1.2, (16, 3, count)) * (1 + 0.6 / count)
    shift = np.array([-0.12, 0.0, 0.16])[:, None]
    places = np.stack((reach * np.cos(angle) + shift, reach * np.sin(angle) + shift), -1).reshape(16, -1, 2)
    return list(zip(places, radius.reshape(16, -1).tolist(), strict=True))


def branches(dice: Dice, face: Face, bark: int, trunk: float, height: float) -> None:
    for _ in range(7):
        start, lean = dice.between(0.8, 1.6) * trunk, dice.between(-0.35, 0.35) * height
        end = start + (height - start) * dice.between(0.6, 1.0)
        knee = (0.55 * lean, start + 0.5 * (end - start))
        face.line(bark, ((0, start), knee, (lean, end)), 0.09, least=1)
        twig = lean + dice.between(-0.15, 0.15) * height
        face.line(bark, (knee, (twig, end)), 0.05, least=1)


def bush(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    face = Face(canvas, x, z)
    leaf = dice.colour(dice.choice(LEAVES), 16)
    number = canvas.instance()
    for tone, size in ((0.75, 0.5), (1.05, 0.38)):
        part = canvas.part(TREE, darker(leaf, tone), face.plane, instance=number, grain=(0.3, 0.16))
        places = tuple((dice.between(-0.8, 0.8), dice.between(0.2, 0.8)) for _ in range(4))
        face.balls([(part, size * dice.between(0.8, 1.2)) for _ in places], places)


def car(canvas: Canvas, dice: Dice, x: float, z: float, *, across: bool, away: bool, lights: bool) -> None:
    """A car whose nearest end (or side, if it stands across) is at z."""
    number = canvas.instance()
    paint = dice.colour(dice.choice(PAINT), 14)
    tall, long = dice.between(0.96, 1.3), dice.between(0.88, 1.12)
    if across:
        canvas.shadow(x, z + 0.8, 2.3 * long, 1.1, 210)
        face = Face(canvas, x, z, ax=long if dice.chance(0.5) else -long, tall=tall)
        car_side(canvas, face, paint, number)
        return
    canvas.shadow(x, z + 2 * long, 1.1, 2.4 * long, 210)
    if abs(x) > 0.9:
        direction = long if away else -long
        face = Face(canvas, x - math.copysign(0.86, x), z + 2.12 * long, ax=0.0, az=direction, tall=tall)
        car_side(canvas, face, darker(paint, 0.78), number)
    car_end(canvas, dice, Face(canvas, x, z, tall=tall), paint, number, away=away, lights=lights)


def car_side(canvas: Canvas, face: Face, paint: Colour, number: int) -> None:
    body = canvas.part(CAR, paint, face.plane, instance=number, grain=(0.08, 0.02))
    glass = canvas.part(CAR, (48, 58, 66), face.plane, instance=number, glass=True, grain=(0.25, 0.02))
    tyre = canvas.part(CAR, (26, 26, 28), face.plane, instance=number)
    hub = canvas.part(CAR, (140, 142, 145), face.plane, instance=number)
    face.polygon(body, SIDE)
    face.polygon(glass, WINDOWS, corners=4)
    face.polygon(tyre, TYRES, corners=14)
    face.polygon(hub, HUBS, corners=14)


def car_end(canvas: Canvas, dice: Dice, face: Face, paint: Colour, number: int, *, away: bool, lights: bool) -> None:
    body = canvas.part(CAR, paint, face.plane, instance=number, grain=(0.08, 0.02))
    glass = canvas.part(CAR, (52, 62, 72), face.plane, instance=number, glass=True, grain=(0.25, 0.02))
    dark = canvas.part(CAR, (24, 24, 26), face.plane, instance=number)
    lamp_colour = (200, 24, 20) if away else (250, 244, 215)
    lamp = canvas.part(CAR, lamp_colour, face.plane, instance=number, glow=lights or dice.chance(0.2))
    face.polygon(body, END)
    face.polygon(glass, END_WINDOW)
    face.polygon(dark, BUMPER, corners=4)
    face.polygon(lamp, LAMPS, corners=4)
    if face.frame[1] < DETAIL:
        plate = canvas.part(CAR, (220, 220, 205), face.plane, instance=number)
        face.polygon(plate, PLATE)


def person(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A person who walks or stands."""
    height = dice.between(1.5, 1.9)
    scale = height / 1.75
    face = Face(canvas, x, z, ax=scale if dice.chance(0.5) else -scale, tall=scale)
    number = canvas.instance()
    canvas.shadow(x, z, 0.35, 0.3, 150)
    coat = canvas.part(PERSON, dice.colour(dice.choice(CLOTHES)), face.plane, instance=number, grain=(0.12, 0.08))
    legs = canvas.part(PERSON, dice.colour(dice.choice(CLOTHES)), face.plane, instance=number, grain=(0.1, 0.06))
    skin = canvas.part(PERSON, dice.choice(SKIN), face.plane, instance=number)
    hair = canvas.part(PERSON, dice.colour((54, 42, 34), 20), face.plane, instance=number)
    a, b = dice.between(0.0, 0.3), dice.between(0.0, 0.25)  # stride, swing of the arms
    limbs = (
        (-0.06, 0.86),
        (-0.06 - a / 2, 0.43),
        (-0.1 - a, 0.04),
        (0.06, 0.86),
        (0.08 + a, 0.43),
        (0.08 + 0.8 * a, 0.04),
    )
    face.line(legs, limbs, 0.14, corners=3)
    arms = (
        (-0.2, 1.36),
        (-0.24 - b / 2, 1.12),
        (-0.22 + b / 2, 0.85),
        (0.2, 1.36),
        (0.24 + b / 2, 1.12),
        (0.22 + b, 0.9),
    )
    face.line(coat, arms, 0.09, corners=3)
    face.polygon(coat, TORSO)
    face.balls(((hair, 0.125), (skin, 0.1)), ((0.0, 1.65), (0.02, 1.61)))


def bicycle(canvas: Canvas, dice: Dice, x: float, z: float, *, turn: float, ridden: bool) -> None:
    """A bicycle turned out of the picture plane by `turn` radians, with or without a rider."""
    face = Face(canvas, x, z, ax=math.cos(turn), az=math.sin(turn))
    number = canvas.instance()
    canvas.shadow(x, z, 0.8 * abs(math.cos(turn)) + 0.1, 0.25, 130)
    tyre = canvas.part(BICYCLE, (28, 28, 30), face.plane, instance=number)
    spoke = canvas.part(BICYCLE, (150, 152, 155), face.plane, instance=number)
    frame = canvas.part(BICYCLE, dice.colour(dice.choice(PAINT)), face.plane, instance=number)
    if z < 14:
        face.line(spoke, SPOKES, 0.008, corners=2, least=1)
    face.ring(tyre, REAR, 0.045)
    face.ring(tyre, FRONT, 0.045)
    for shape in (FRAME, HANDLE, SADDLE):
        face.line(frame, shape, 0.045)
    if ridden:
        rider(canvas, dice, face)


def rider(canvas: Canvas, dice: Dice, face: Face) -> None:
    number = canvas.instance()
    coat = canvas.part(PERSON, dice.colour(dice.choice(CLOTHES)), face.plane, instance=number, grain=(0.12, 0.08))
    legs = canvas.part(PERSON, dice.colour(dice.choice(CLOTHES)), face.plane, instance=number, grain=(0.1, 0.06))
    skin = canvas.part(PERSON, dice.choice(SKIN), face.plane, instance=number)
    helmet = canvas.part(PERSON, dice.colour(dice.choice(PAINT)), face.plane, instance=number)
    face.line(legs, ((-0.2, 0.95), (0.16, 0.72), (0.02, 0.24)), 0.13)
    face.line(coat, ((0.08, 1.38), (0.24, 1.15), (0.44, 1.04)), 0.09)
    face.polygon(coat, RIDER)
    face.balls(((helmet, 0.13), (skin, 0.1)), ((0.15, 1.64), (0.17, 1.59)))


def lamp(canvas: Canvas, dice: Dice, x: float, z: float, *, on: bool) -> None:
    """A street lamp that leans over the street."""
    face = Face(canvas, x, z)
    number = canvas.instance()
    metal = canvas.part(POLE, dice.colour(dice.choice(METAL), 12), face.plane, instance=number)
    bulb = canvas.part(POLE, (255, 232, 170) if on else (190, 190, 186), face.plane, instance=number, glow=on)
    height, reach = dice.between(5.0, 7.5), -math.copysign(dice.between(0.8, 1.8), x)
    if z < DETAIL:
        face.line(metal, ((0, 0), (0, 1.0)), 0.22)
    face.line(metal, ((0, 0), (0, height - 0.5), (0.3 * reach, height), (reach, height + 0.1)), 0.13)
    face.polygon(
        bulb, tuple((reach * a, height + up) for a, up in ((0.75, 0.0), (0.8, 0.22), (1.25, 0.22), (1.3, 0.0)))
    )


def sign(canvas: Canvas, dice: Dice, x: float, z: float) -> None:
    """A traffic sign or a traffic light on its pole."""
    face = Face(canvas, x, z)
    metal = canvas.part(POLE, dice.colour(dice.choice(METAL), 12), face.plane, instance=canvas.instance())
    number = canvas.instance()
    rim = canvas.part(SIGN, dice.choice(SIGNS), face.plane, instance=number, grain=(0.02, 0.02))
    fill = canvas.part(SIGN, (232, 232, 228), face.plane, instance=number, grain=(0.02, 0.02))
    height = dice.between(2.3, 3.2)
    face.line(metal, ((0, 0), (0, height)), 0.08)
    shape = dice.whole(0, 3)
    if shape == 0:
        face.polygon(rim, circle(0, height, 0.4))
        face.polygon(fill, circle(0, height, 0.25))
    elif shape == 1:
        face.polygon(rim, ((-0.46, height - 0.3), (0, height + 0.5), (0.46, height - 0.3)))
        face.polygon(fill, ((-0.26, height - 0.18), (0, height + 0.25), (0.26, height - 0.18)))
    elif shape == 2:
        wide = dice.between(0.35, 0.8)
        face.polygon(rim, ((-wide, height - 0.3), (-wide, height + 0.4), (wide, height + 0.4), (wide, height - 0.3)))
        face.polygon(
            fill,
            ((-wide + 0.1, height), (-wide + 0.1, height + 0.12), (wide - 0.1, height + 0.12), (wide - 0.1, height)),
        )
    else:
        traffic_light(canvas, dice, face, number, height)


def traffic_light(canvas: Canvas, dice: Dice, face: Face, number: int, height: float) -> None:
    case = canvas.part(SIGN, (30, 32, 34), face.plane, instance=number)
    face.polygon(case, ((-0.18, height - 0.2), (-0.18, height + 0.75), (0.18, height + 0.75), (0.18, height - 0.2)))
    on = dice.whole(0, 2)
    for place, colour in enumerate(((40, 210, 110), (250, 190, 50), (235, 40, 36))):
        shown = colour if place == on else darker(colour, 0.3)
        bulb = canvas.part(SIGN, shown, face.plane, instance=number, glow=place == on)
        face.balls(((bulb, 0.12),), ((0, height - 0.04 + 0.3 * place),))


def utility_pole(canvas: Canvas, dice: Dice, x: float, z: float, height: float) -> None:
    """A wooden pole with a crossarm."""
    face = Face(canvas, x, z)
    wood = canvas.part(POLE, dice.colour((92, 76, 62), 12), face.plane, instance=canvas.instance(), grain=(0.06, 0.12))
    face.line(wood, ((0, 0), (0, height + 0.4)), 0.24)
    face.line(wood, ((-0.9, height), (0.9, height)), 0.14)


def wires(
    canvas: Canvas, start: tuple[float, float, float], end: tuple[float, float, float], offsets: tuple[float, ...]
) -> None:
    """Wires that hang between two points (x, y, z); each `offset` metres to the right of them."""
    x, y, z = start
    ax, az = end[0] - x, end[2] - z
    sag = 0.12 * math.hypot(ax, az)
    run = HANG * (1, -sag) + (0, y)
    run[:, 1] += (end[1] - y) * HANG[:, 0]
    for offset in offsets:
        face = Face(canvas, x + offset, z, ax=ax, az=az)
        face.veil(canvas.part(WIRE, (34, 34, 38), face.plane, grain=(0.0, 0.0)), run)


def fence(canvas: Canvas, dice: Dice, x: float, near: float, far: float) -> None:
    """Rails and pickets along the street; what is behind shows between them."""
    face = Face(canvas, x, near, ax=0.0, az=1.0)
    colour = dice.choice(((150, 120, 88), (214, 212, 204), (58, 62, 64), (88, 74, 60)))
    part = canvas.part(FENCE, dice.colour(colour, 14), face.plane, grain=(0.06, 0.06))
    length, height = far - near, dice.between(0.9, 1.5)
    for up in (0.25 * height, 0.85 * height):
        face.polygon(part, ((0, up), (0, up + 0.08), (length, up + 0.08), (length, up)))
    step, width = dice.choice(((0.32, 0.14), (0.9, 0.1), (0.22, 0.03), (2.0, 0.12)))
    face.polygon(part, grid(int(length / step), 1, step, 0, width, height), corners=4)
