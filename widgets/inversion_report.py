"""How near the head comes to each photo, before and after a phase; can be copied as text."""

from __future__ import annotations

from imgui_bundle import imgui

from inversion.steps import Quality
from splatviz_app.inversion.phases import Report
from widgets import fields
from widgets.training_view import fitted

_HELP = {
    "PSNR": "How alike the pixels are, dB: higher is nearer.",
    "LPIPS": "How different the pictures look: lower is nearer.",
    "ID": "How alike the faces are to a network that recognises people: 1 is the same person.",
}
_NOT_MEASURED = "–"


def draw_report(report: Report) -> None:
    """Draw the table, and the button that copies it."""
    # What was not measured has no column: its weights are not here.
    columns = [name for name in _HELP if _is_measured(report, name)]
    flags = imgui.TableFlags_.borders_inner_h | imgui.TableFlags_.sizing_stretch_prop
    if imgui.begin_table(f"##Quality {report.phase}", 1 + len(columns), flags):
        imgui.table_setup_column("", imgui.TableColumnFlags_.width_stretch, 2.0)
        for name in columns:
            imgui.table_setup_column(name, imgui.TableColumnFlags_.width_stretch, 1.0)
        imgui.table_next_row()
        for i, name in enumerate(("", *columns)):
            imgui.table_set_column_index(i)
            imgui.text_colored(fields.quiet_color(), name)
            fields.tooltip(_HELP.get(name, ""))
        for view in range(len(report.after)):
            _draw_view(report, view, columns)
        imgui.end_table()
    if fields.button(f"Copy as text##{report.phase}", "Copy the table to the clipboard."):
        imgui.set_clipboard_text(report_text(report))


def report_text(report: Report) -> str:
    """The table as lines of columns separated by tabs."""
    lines = ["\t".join(("View", "Head", *_HELP))]
    for stage, qualities in _stages(report):
        for quality in qualities:
            cells = [_value(quality, name) for name in _HELP]
            lines.append("\t".join((quality.name, stage, *cells)))
    lines.append(f"Step {report.best + 1} of {report.steps} was kept.")
    return "\n".join(lines)


def _draw_view(report: Report, view: int, columns: list[str]) -> None:
    """The name of a view, and below it a row for each head if there are several."""
    name, stages = report.after[view].name, _stages(report)
    imgui.table_next_row()
    imgui.table_set_column_index(0)
    imgui.text_unformatted(fitted(name, imgui.get_content_region_avail().x))
    fields.tooltip(name)
    if len(stages) == 1:
        _draw_values(report.after[view], columns)
        return
    for stage, qualities in stages:
        imgui.table_next_row()
        imgui.table_set_column_index(0)
        imgui.text_colored(fields.quiet_color(), f"  {stage}")
        _draw_values(qualities[view], columns)


def _draw_values(quality: Quality, columns: list[str]) -> None:
    for i, name in enumerate(columns, 1):
        imgui.table_set_column_index(i)
        imgui.text_unformatted(_value(quality, name))


def _stages(report: Report) -> list[tuple[str, tuple[Quality, ...]]]:
    """The heads that were compared, in order."""
    last = ("inverted" if report.phase == "latent" else "tuned", report.after)
    return [("before", report.before), last] if report.before else [last]


def _is_measured(report: Report, name: str) -> bool:
    return any(
        _value(quality, name) != _NOT_MEASURED for quality in (*report.before, *report.after)
    )


def _value(quality: Quality, name: str) -> str:
    if name == "PSNR":
        return f"{quality.psnr:.1f} dB"
    value = quality.lpips if name == "LPIPS" else quality.identity
    return _NOT_MEASURED if value is None else f"{value:.3f}"
