"""What of this computer a training takes: GPUs where there are some, else processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from imgui_bundle import imgui

from splatviz_app.training_folder import Machine
from widgets import fields
from widgets.fields import Number

_PROCESSES = Number(
    "Processes",
    "That share each batch on the processor. One is best but on machines with very many cores.",
    default=1,
    low=1,
    high=os.cpu_count() or 1,
)
_CPU = -1  # as the number of a GPU


def draw_machine(machine: Machine, gpus: Sequence[str]) -> Machine:
    """Choose between what there is; draws nothing where there is no choice.

    Args:
        machine: What is chosen now.
        gpus: Their names in the order of their numbers.
    """
    if len(gpus) == 1:
        chosen = machine.gpus[0] if machine.gpus else _CPU
        options = {0: gpus[0], _CPU: "Processor"}
        number = fields.combo("Device", "What the run computes on.", chosen, options)
        machine = replace(machine, gpus=() if number == _CPU else (number,))
    elif gpus:
        machine = replace(machine, gpus=_draw_gpus(machine.gpus, gpus))
    if not machine.gpus and (os.cpu_count() or 1) > 1:
        count = fields.whole(_PROCESSES, machine.cpu_processes)
        machine = replace(machine, cpu_processes=count)
    return machine


def _draw_gpus(chosen: tuple[int, ...], gpus: Sequence[str]) -> tuple[int, ...]:
    """A tick for each; with none the run computes on the processor."""
    help = "One process for each; they share every batch. Without any it runs on the processor."
    fields.label("GPUs")
    imgui.begin_group()
    kept = []
    for number, name in enumerate(gpus):
        if imgui.checkbox(f"{number} {name}", number in chosen)[1]:
            kept.append(number)
        fields.tooltip(help)
    imgui.end_group()
    return tuple(kept)
