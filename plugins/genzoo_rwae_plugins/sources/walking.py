"""A body of sixteen joints and what it can do: forward kinematics of stick figures.

Axes: 0 to the body's left, 1 up, 2 ahead; metres, the ground at 0. Angles in radians: 0 where a
limb hangs down, positive where it swings ahead.

Shapes: S sides (left, right), B figures, T time, J joints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["BONES", "GAITS", "JOINTS", "Body", "joints_of"]

JOINTS = (
    "pelvis", "chest", "neck", "head",
    "left hip", "left knee", "left ankle", "right hip", "right knee", "right ankle",
    "left shoulder", "left elbow", "left wrist", "right shoulder", "right elbow", "right wrist",
)  # fmt: skip
BONES = (
    (0, 1), (1, 2), (2, 3),
    (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9),
    (2, 10), (10, 11), (11, 12), (2, 13), (13, 14), (14, 15),
)  # fmt: skip
GAITS = ("walk", "run", "march", "squat", "jump", "wave")

_CHEST, _NECK = 0.4, 0.75  # between hips and the top of the head
_HIP_WIDTH = 0.55  # of the shoulders'
_THIGH, _UPPER_ARM = 0.52, 0.54  # shares of a limb
_ARM = 0.36  # of the height
_FLIGHT = {"run": 0.03, "jump": 0.14}  # of the height: how high feet leave the ground


@dataclass(frozen=True)
class Body:
    """Proportions of B figures.

    Attributes:
        height_B: metres.
        legs_B: share of the height that is legs.
        shoulders_B: width of the shoulders, share of the height.
    """

    height_B: np.ndarray
    legs_B: np.ndarray
    shoulders_B: np.ndarray


@dataclass(frozen=True)
class _Pose:
    """Angles: of limbs [S, B, T], of the back [B, T]; and how far the feet are off the ground."""

    thigh: np.ndarray
    shin: np.ndarray
    arm: np.ndarray
    forearm: np.ndarray
    arm_out: np.ndarray  # from hanging to the side, by which the swing gets less
    forearm_out: np.ndarray
    lean: np.ndarray
    flight: np.ndarray


def joints_of(body: Body, gaits_B: np.ndarray, turns_BT: np.ndarray) -> np.ndarray:
    """Joints of figures.

    Args:
        body: of each.
        gaits_B: [B] indices of GAITS.
        turns_BT: [B, T] where in its cycle each is; a cycle is 1.

    Returns:
        [B, T, J, 3] float64, metres; the lower foot is on the ground, but in flight.
    """
    joints_BTJ3 = np.empty((*turns_BT.shape, len(JOINTS), 3))
    for gait, name in enumerate(GAITS):
        rows = gaits_B == gait
        some = Body(body.height_B[rows], body.legs_B[rows], body.shoulders_B[rows])
        joints_BTJ3[rows] = _placed(some, _pose(name, 2 * np.pi * turns_BT[rows]))
    return joints_BTJ3


def _pose(gait: str, angle: np.ndarray) -> _Pose:
    """How a body stands at an angle [B, T] of its cycle."""
    alternating = np.stack([angle, angle + np.pi])
    sway, ahead = np.sin(alternating), np.maximum(0, np.cos(alternating))
    still, alike = np.zeros_like(sway), np.zeros_like(angle)
    up, down = np.maximum(0, np.sin(angle)), np.maximum(0, -np.sin(angle))
    if gait == "walk":
        thigh, arm = 0.45 * sway, -0.4 * sway
        return _Pose(thigh, thigh - 0.7 * ahead, arm, arm + 0.2, still, still, alike, alike)
    if gait == "run":
        thigh, arm = 0.8 * sway + 0.15, -0.8 * sway
        flight = _FLIGHT[gait] * np.abs(np.sin(angle))
        shin = thigh - 0.3 - 1.3 * ahead
        return _Pose(thigh, shin, arm, arm + 1.5, still, still, alike + 0.2, flight)
    if gait == "march":
        arm = -0.7 * sway
        return _Pose(1.4 * np.maximum(0, sway), still, arm, arm, still, still, alike, alike)
    if gait == "squat":
        low = 0.5 - 0.5 * np.cos(angle)
        arm = still + 1.4 * low
        return _Pose(still + 1.3 * low, still - 0.9 * low, arm, arm, still, still, 0.6 * low, alike)
    if gait == "jump":
        # one half of the cycle to crouch, the other in the air
        thigh, arm = still + 0.8 * down, still + 2.7 * up - 0.6 * down
        flight = _FLIGHT[gait] * up
        return _Pose(thigh, thigh - 1.4 * down, arm, arm, still, still, 0.4 * down, flight)
    # wave: the right hand beside the head, to and fro
    right = np.array([0.0, 1.0])[:, None, None]
    out = 0.1 + 2.0 * right + still
    return _Pose(still, still, still, still, out, out + right * np.sin(angle), alike, alike)


def _placed(body: Body, pose: _Pose) -> np.ndarray:
    """[B, T, J, 3] of a pose, for bodies of these proportions."""
    height_BT, legs_BT, width_BT = (
        np.broadcast_to(of_B[:, None], pose.lean.shape)
        for of_B in (body.height_B, body.height_B * body.legs_B, body.height_B * body.shoulders_B)
    )
    none_BT = np.zeros_like(height_BT)
    thigh, shin = (
        part * legs_BT[..., None] * _direction(swing, np.zeros_like(swing))
        for part, swing in ((_THIGH, pose.thigh), (1 - _THIGH, pose.shin))
    )
    arm, forearm = (
        part * _ARM * height_BT[..., None] * _direction(swing, out)
        for part, swing, out in (
            (_UPPER_ARM, pose.arm, pose.arm_out),
            (1 - _UPPER_ARM, pose.forearm, pose.forearm_out),
        )
    )
    reach_BT = -(thigh + shin)[..., 1].min(0)  # of the lower foot, below the hips
    pelvis = np.stack([none_BT, reach_BT + pose.flight * height_BT, none_BT], -1)
    back = np.stack([none_BT, np.cos(pose.lean), np.sin(pose.lean)], -1)
    back = back * (height_BT - legs_BT)[..., None]
    neck = pelvis + _NECK * back
    across = np.stack([width_BT / 2, none_BT, none_BT], -1)
    joints = [pelvis, pelvis + _CHEST * back, neck, pelvis + back]
    for side, sign in enumerate((1, -1)):
        hip = pelvis + sign * _HIP_WIDTH * across
        joints += [hip, hip + thigh[side], hip + thigh[side] + shin[side]]
    for side, sign in enumerate((1, -1)):
        shoulder = neck + sign * across
        joints += [shoulder, shoulder + arm[side], shoulder + arm[side] + forearm[side]]
    return np.stack(joints, axis=2)


def _direction(swing: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Unit vectors [S, B, T, 3] of limbs on the left and right side."""
    sign = np.array([1.0, -1.0])[:, None, None]
    return np.stack(
        [sign * np.sin(out), -np.cos(out) * np.cos(swing), np.cos(out) * np.sin(swing)], -1
    )
