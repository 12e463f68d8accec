"""The presets that come with the program: short scripts, each of which shows one thing that can be done."""

from __future__ import annotations

from splatviz_app.edits.presets import Preset
from splatviz_app.edits.values import CodeEdit, Slider

BUILT_IN: tuple[Preset, ...] = (
    Preset(
        "Points",
        "Shows every splat as a small solid ball: how a head is built.",
        (
            CodeEdit(
                code="# Every splat that can be seen becomes a small, solid ball.\n"
                "gs.keep(gs.opacities > 0.1)\n"
                "gs.scales = slider.size / 1000\n"
                "gs.opacities = 1\n"
            ),
        ),
        (Slider("size", 1.2, 0.2, 6.0),),
    ),
    Preset(
        "Levels",
        "Paints each level of the generator in a colour of its own, coarse to fine.",
        (
            CodeEdit(
                code="# Each level of the generator in its colour, from coarse to fine.\n"
                "colors = torch.tensor([[.90, .25, .25], [.95, .60, .15], [.95, .90, .30],\n"
                "                       [.35, .80, .35], [.25, .75, .85], [.30, .45, .95],\n"
                "                       [.60, .35, .90], [.95, .45, .75]])\n"
                "paint = colors.to(gs.rgb)[gs.levels.clamp(0, 7)]\n"
                "light = gs.rgb.mean(1, keepdim=True)\n"
                "gs.rgb = gs.rgb.lerp(paint * (0.4 + light), slider.mix)\n"
            ),
        ),
        (Slider("mix", 1.0),),
    ),
    Preset(
        "Two inks",
        "Prints the head in two colours, from its shadows to its lights.",
        (
            CodeEdit(
                code="# From the colour of the shadows to that of the lights.\n"
                "light = (gs.rgb @ torch.tensor([.21, .72, .07]).to(gs.rgb)).clamp(0, 1)\n"
                "light = light ** slider.gamma\n"
                "gs.rgb = torch.lerp(slider.shadows, slider.lights, light[:, None])\n"
                "gs._features_rest *= 0\n"
            ),
        ),
        (
            Slider("shadows", (0.10, 0.06, 0.28), kind="color"),
            Slider("lights", (1.00, 0.86, 0.62), kind="color"),
            Slider("gamma", 1.0, 0.3, 3.0),
        ),
    ),
    Preset(
        "Wave",
        "Lets a wave run through the head; it moves by itself.",
        (
            CodeEdit(
                code="# t is the time in seconds: what uses it moves.\n"
                "phase = gs._xyz[:, 1] * slider.waves * 6.28 + t * slider.speed\n"
                "gs._xyz[:, 0] += slider.strength * torch.sin(phase)\n"
            ),
        ),
        (
            Slider("strength", 0.02, 0.0, 0.2),
            Slider("waves", 3.0, 0.5, 12.0),
            Slider("speed", 2.0, 0.0, 10.0),
        ),
    ),
    Preset(
        "Dissolve",
        "Lets the head fall apart from above, splat by splat.",
        (
            CodeEdit(
                code="# Chance is the same each time, so that nothing flickers.\n"
                "chance = torch.rand_like(gs.opacities)\n"
                "edge = 0.7 - 1.4 * slider.amount\n"
                "gone = (gs._xyz[:, 1] + 0.25 * chance - edge).clamp(min=0)\n"
                "gs._xyz[:, 1] += gone * gone * 4\n"
                "gs._xyz[:, 0] += gone * (chance - 0.5)\n"
                "gs.opacities *= (1 - 3 * gone).clamp(0, 1)\n"
            ),
        ),
        (Slider("amount", 0.4),),
    ),
    Preset(
        "Blocks",
        "Moves the splats to a grid of cubes.",
        (
            CodeEdit(
                code="# Round every place to a grid, and make the splats as large as its cells.\n"
                "cell = slider.cell\n"
                "gs._xyz = (gs._xyz / cell).round() * cell\n"
                "gs.scales = 0.3 * cell\n"
                "gs.keep(gs.opacities > 0.3)\n"
            ),
        ),
        (Slider("cell", 0.02, 0.005, 0.08),),
    ),
    Preset(
        "Poster",
        "Leaves only a few colours.",
        (
            CodeEdit(
                code="# Round each of red, green and blue to a few steps.\n"
                "gs.rgb = (gs.rgb * slider.steps).round() / slider.steps\n"
                "gs._features_rest *= 0\n"
            ),
        ),
        (Slider("steps", 4, 1, 12, "int"),),
    ),
    Preset(
        "Slice",
        "Cuts the head open along a plane that turns.",
        (
            CodeEdit(
                code="# Keep what lies behind a plane.\n"
                "way = torch.tensor([math.sin(slider.turn), 0.0, math.cos(slider.turn)])\n"
                "gs.keep(gs._xyz @ way.to(gs._xyz) < slider.place)\n"
            ),
        ),
        (Slider("place", 0.1, -0.5, 0.5), Slider("turn", 0.6, -3.14, 3.14)),
    ),
)
