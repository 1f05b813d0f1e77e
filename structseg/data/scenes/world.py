"""What stands where: a street, its sides, and who is on it.

A scene is a city street, a suburb or a park. The kind sets what is likely: houses without gaps and parked cars in the
city; gardens, fences, and poles with wires in the suburb; trees, walkers and riders in the park. Ground first, then
what is far to the side (houses, garden trees), then fences, then the street's own things, each from far to near.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from structseg.data.scenes import things
from structseg.data.scenes.canvas import BUILDING, GRASS, PAVEMENT, ROAD, TREE, Camera, Canvas, Colour, Dice, Face

FOCAL = 0.94  # of the camera, in heights of the picture
JOINTS = tuple(2.5 * 1.24**step for step in range(9))  # metres, seams of the pavement
FARTHEST = 65.0  # metres; beyond it only the backdrop


@dataclass(frozen=True)
class Street:
    """The plan of a scene; edges are x in metres, seen from the camera at x = 0."""

    kind: str  # city, suburb or park
    left: float  # edges of the road
    right: float
    kerb_left: float  # outer edges of the pavements
    kerb_right: float
    line_left: float  # where the houses stand
    line_right: float
    paved: bool  # a road for cars, not a path
    bare: bool  # winter
    sun: float  # -1 from the left, +1 from the right
    night: bool  # lights are on


@dataclass(frozen=True)
class Stand:
    """Something to draw: higher layers over lower ones, near over far."""

    layer: int
    x: float
    z: float
    reach: float  # metres to either side of (x, z)
    draw: Callable[[], None]


def camera(dice: Dice, size: tuple[int, int]) -> Camera:
    """A camera at eye height that looks roughly along the street; the field of view is 56 degrees high."""
    height, width = size
    lean, half = 0.17 * dice.between(-1, 1), width / height / 2 / FOCAL
    u = (width - 1) / 2 + lean * FOCAL * height
    v = height * dice.between(0.42, 0.54)
    return Camera(2 * FOCAL * height, 2 * u, 2 * v, dice.between(1.4, 1.9), -lean - half, half - lean)


def street(dice: Dice, *, night: bool) -> Street:
    kind = dice.choice(("city", "city", "city", "suburb", "suburb", "suburb", "park", "park"))
    paved = kind != "park" or dice.chance(0.4)
    width = dice.between(5.5, 9.5) if paved else dice.between(2.0, 3.5)
    middle = dice.between(-0.3, 0.3) * width + (dice.choice((-0.6, 0.6)) * width if dice.chance(0.35) else 0.0)
    left, right = middle - width / 2, middle + width / 2
    kerbs = [dice.between(1.8, 4.0) if paved else 0.0 for _ in range(2)]
    yards = [dice.between(0.0, 0.5) if kind == "city" else dice.between(3, 7) for _ in range(2)]
    return Street(
        kind, left, right, left - kerbs[0], right + kerbs[1],
        min(left - kerbs[0] - yards[0], -2.5), max(right + kerbs[1] + yards[1], 2.5),
        paved, dice.chance(0.12), dice.choice((-1.0, 1.0)), night,
    )  # fmt: skip


def paint(canvas: Canvas, dice: Dice, plan: Street) -> None:
    """Paint the whole scene."""
    backdrop(canvas, dice, plan)
    ground(canvas, dice, plan)
    stands = [*sides(canvas, dice, plan), *furniture(canvas, dice, plan)]
    stands += [*traffic(canvas, dice, plan), *people(canvas, dice, plan)]
    stands = [stand for stand in stands if canvas.camera.sees(stand.x, stand.z, stand.reach)]
    for stand in sorted(stands, key=lambda stand: (stand.layer, -stand.z)):
        stand.draw()
    canvas.finish()


def backdrop(canvas: Canvas, dice: Dice, plan: Street) -> None:
    """Roofs and tree tops along the horizon."""
    x, end = canvas.camera.left * 110 - 20, canvas.camera.right * 110
    while x < end:
        wide, z = dice.between(12, 34), dice.between(80, 110)
        face = Face(canvas, x, z)
        if plan.kind != "park" and dice.chance(0.6):
            up = dice.between(5, 22)
            part = canvas.part(BUILDING, dice.colour((138, 132, 130), 25), face.plane, grain=(0.1, 0.05))
            face.polygon(part, ((0, 0), (0, up), (wide, up), (wide, 0)))
        else:
            part = canvas.part(TREE, dice.colour((72, 92, 58), 16), face.plane, grain=(0.25, 0.12))
            tops = tuple((wide * step / 4, dice.between(1, 4)) for step in range(5))
            face.balls([(part, dice.between(4, 6.5)) for _ in tops], tops)
        x += wide * 0.9


def ground(canvas: Canvas, dice: Dice, plan: Street) -> None:
    plane = canvas.ground()
    verge: tuple[int, Colour] = (PAVEMENT, (150, 146, 140)) if plan.kind == "city" else (GRASS, (92, 116, 58))
    base = canvas.part(verge[0], dice.colour(verge[1], 18), plane, grain=(0.14, 0.14))
    canvas.strip(base, -4000, 4000, 1.0, 400)
    stone = dice.colour((158, 152, 144), 15)
    flags = canvas.part(PAVEMENT, stone, plane, grain=(0.1, 0.1))
    canvas.strip(flags, plan.kerb_left, plan.kerb_right, 1.0, 400)
    if not plan.paved:
        return
    joints(canvas, plan, canvas.part(PAVEMENT, things.darker(stone, 0.86), plane))
    kerb = canvas.part(PAVEMENT, things.darker(stone, 1.18), plane)
    canvas.strip(kerb, plan.left - 0.16, plan.right + 0.16, 1.0, 400)
    asphalt = dice.colour((92, 92, 95), 12)
    canvas.strip(canvas.part(ROAD, asphalt, plane, grain=(0.09, 0.12)), plan.left, plan.right, 1.0, 400)
    markings(canvas, dice, plan)


def joints(canvas: Canvas, plan: Street, part: int) -> None:
    """Seams between the slabs of the pavement."""
    canvas.strips(
        part,
        [
            (left, right, z, z * 1.012)
            for left, right in ((plan.kerb_left, plan.left), (plan.right, plan.kerb_right))
            for z in JOINTS
        ],
    )


def markings(canvas: Canvas, dice: Dice, plan: Street) -> None:
    """Dashes along the middle, edge lines, perhaps a zebra crossing."""
    white = canvas.part(ROAD, dice.colour((214, 212, 204), 14), canvas.ground(), grain=(0.1, 0.16))
    middle, start = (plan.left + plan.right) / 2, dice.between(1.5, 4)
    dashes = [start + 4.5 * step for step in range(9)]
    canvas.strips(white, [(middle - 0.09, middle + 0.09, z, z + 2.2) for z in dashes])
    if dice.chance(0.4):
        canvas.strips(white, [(x - 0.07, x + 0.07, 1.0, 120) for x in (plan.left + 0.35, plan.right - 0.35)])
    if dice.chance(0.25):
        z = dice.between(6, 16)
        starts = [plan.left + 0.4 + step for step in range(int(plan.right - plan.left - 0.8))]
        canvas.strips(white, [(x, x + 0.5, z, z + 3) for x in starts])


def sides(canvas: Canvas, dice: Dice, plan: Street) -> list[Stand]:
    """Houses, garden trees, hedges and fences on both sides."""
    stands: list[Stand] = []
    for line, kerb in ((plan.line_left, plan.kerb_left), (plan.line_right, plan.kerb_right)):
        out = 1.0 if line > 0 else -1.0
        if plan.kind != "park" or dice.chance(0.25):
            stands += houses(canvas, dice, plan, line + (dice.between(6, 14) * out if plan.kind == "park" else 0.0))
        if plan.kind != "city":
            for _ in range(dice.whole(2, 4) if plan.kind == "suburb" else dice.whole(4, 8)):
                x = kerb + out * dice.between(1.5, 6 if plan.kind == "suburb" else 22)
                stands.append(planted(canvas, dice, plan, x, dice.between(5, 22) * dice.between(1.0, 2.5), layer=0))
            for _ in range(dice.whole(0, 3)):
                x, z = kerb + out * dice.between(1.0, 4.0), dice.between(5, 30)
                stands.append(Stand(0, x, z, 1.5, partial(things.bush, canvas, dice, x, z)))
        if dice.chance({"city": 0.25, "suburb": 0.75, "park": 0.6}[plan.kind]):
            near = dice.between(2.5, 10)
            far, x = near + dice.between(6, 25), kerb + 0.3 * out
            if canvas.camera.sees(x, far, 0.5):
                stands.append(Stand(1, 0.0, near, 1.0, partial(things.fence, canvas, dice, x, near, far)))
    return stands


def houses(canvas: Canvas, dice: Dice, plan: Street, line: float) -> list[Stand]:
    stands = []
    city = plan.kind == "city"
    near, gap = dice.between(1.5, 5), 1.0
    while near < FARTHEST:
        far = near + (dice.between(8, 18) if city else dice.between(7, 11))
        floors = dice.whole(3, 6) if city else dice.whole(1, 3)
        back = line + (dice.between(0, 2.5) if not city else 0.0) * np.sign(line)
        draw = partial(
            things.building, canvas, dice, back, near, far, floors,
            lit=plan.night, roofed=not city or dice.chance(0.2), attached=gap == 0,
        )  # fmt: skip
        if canvas.camera.sees(back, far, 11):
            stands.append(Stand(0, 0.0, near, 1.0, draw))
        gap = 0.0 if city and dice.chance(0.85) else dice.between(3, 12)
        near = far + gap
    return stands


def planted(canvas: Canvas, dice: Dice, plan: Street, x: float, z: float, *, layer: int) -> Stand:
    height = dice.between(4, 9)
    canvas.shadow(x - plan.sun * 1.2, z, 0.32 * height, 0.9 + 0.1 * height, 170)
    return Stand(
        layer,
        x,
        z,
        0.5 * height,
        partial(things.tree, canvas, dice, x, z, height=height, bare=plan.bare and dice.chance(0.8), sun=plan.sun),
    )


def furniture(canvas: Canvas, dice: Dice, plan: Street) -> list[Stand]:
    """Street trees, lamps, signs, and rows of utility poles with their wires."""
    stands: list[Stand] = []
    for edge, out in ((plan.left, -1.0), (plan.right, 1.0)):
        if dice.chance({"city": 0.3, "suburb": 0.3, "park": 0.6}[plan.kind]):
            start, step = dice.between(5, 12), dice.between(7, 14)
            for place in range(dice.whole(2, 5)):
                stands.append(planted(canvas, dice, plan, edge + 1.2 * out, start + step * place, layer=2))
        if dice.chance(0.55):
            start, step = dice.between(4, 14), dice.between(12, 20)
            for place in range(4):
                x, z = edge + 0.5 * out, start + step * place
                stands.append(Stand(2, x, z, 2.0, partial(things.lamp, canvas, dice, x, z, on=plan.night)))
        if plan.paved:
            for _ in range(dice.whole(0, 2)):
                x, z = edge + 0.7 * out, dice.between(4, 10) * dice.between(1, 2)
                stands.append(Stand(2, x, z, 1.0, partial(things.sign, canvas, dice, x, z)))
    if dice.chance({"city": 0.4, "suburb": 0.7, "park": 0.15}[plan.kind]):
        stands += power_line(canvas, dice, plan)
    return stands


def power_line(canvas: Canvas, dice: Dice, plan: Street) -> list[Stand]:
    """Poles in a row, wires from pole to pole and, at times, one across the street."""
    stands: list[Stand] = []
    edge, out = dice.choice(((plan.left, -1.0), (plan.right, 1.0)))
    x, height = edge + 1.0 * out, dice.between(5.5, 7.5)
    step = dice.between(14, 22)
    z = dice.between(4, 12) - step
    while z < FARTHEST:
        if z > 2:
            stands.append(Stand(2, x, z, 1.0, partial(things.utility_pole, canvas, dice, x, z, height)))
        start, end = (x, height, max(z, 1.0)), (x, height, z + step)
        if canvas.camera.sees(x, z + step, 1.0):
            stands.append(Stand(2, 0.0, z + 0.1, 1.0, partial(things.wires, canvas, start, end, (-0.8, 0.0, 0.8))))
        if z > 2 and dice.chance(0.2):
            over = (plan.line_left if out > 0 else plan.line_right, height - 0.5, z + 0.5)
            stands.append(Stand(2, 0.0, z + 0.2, 1.0, partial(things.wires, canvas, (x, height, z), over, (0.0,))))
        z += step
    return stands


def traffic(canvas: Canvas, dice: Dice, plan: Street) -> list[Stand]:
    """Cars in their lanes and along the kerbs."""
    if not plan.paved:
        return []
    stands = []
    middle = (plan.left + plan.right) / 2
    inset = 1.0 if plan.right - plan.left > 8.3 else -0.3  # in a narrow street cars park on the kerb
    busy = dice.between(0.1, 0.8)
    for x, away, parked in (
        (middle - 1.25, False, False), (middle + 1.25, True, False),
        (plan.left + inset, False, True), (plan.right - inset, True, True),
    ):  # fmt: skip
        z = dice.between(3.5, 12)
        share = busy * (0.6 if parked else 0.35)
        while z < 60:
            if dice.chance(share):
                lights = plan.night and not parked
                place = x + dice.between(-0.2, 0.2)
                draw = partial(things.car, canvas, dice, place, z, across=False, away=away, lights=lights)
                if canvas.camera.sees(place, z + 4, 1.0):
                    stands.append(Stand(2, 0.0, z, 1.0, draw))
            z += dice.between(5.2, 9) if parked else dice.between(8, 20)
    if dice.chance(0.25):
        x, z = dice.between(plan.left, plan.right), dice.between(8, 30)
        stands.append(
            Stand(2, x, z, 2.5, partial(things.car, canvas, dice, x, z, across=True, away=True, lights=False))
        )
    return stands


def people(canvas: Canvas, dice: Dice, plan: Street) -> list[Stand]:
    """Walkers on the pavements, riders on the road, and bicycles that lean on something."""
    stands: list[Stand] = []
    places = ((plan.kerb_left, plan.left), (plan.right, plan.kerb_right)) if plan.paved else ((plan.left, plan.right),)
    for _ in range(dice.whole(0, 5)):
        low, high = dice.choice(places)
        x, z = dice.between(low, high), dice.between(3.5, 8) * dice.between(1, 2.2)
        for friend in range(2 if dice.chance(0.3) else 1):
            draw = partial(things.person, canvas, dice, x + 0.55 * friend, z + 0.2 * friend)
            stands.append(Stand(2, x, z + 0.2 * friend, 1.2, draw))
    for _ in range(dice.whole(1, 2) if dice.chance(0.6) else 0):
        ridden = dice.chance(0.5)
        low, high = (plan.left, plan.right) if ridden else dice.choice(places)
        x, z = dice.between(low, high), dice.between(3.2, 6.5) * dice.between(1, 1.7)
        turn = dice.between(-1.3, 1.3) + (np.pi if dice.chance(0.5) else 0.0)
        stands.append(Stand(2, x, z, 1.2, partial(things.bicycle, canvas, dice, x, z, turn=turn, ridden=ridden)))
    return stands
