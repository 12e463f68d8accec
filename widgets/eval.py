"""The Eval panel: an expression over what is shown, others that follow it, and the selection."""

from __future__ import annotations

from imgui_bundle import imgui

from splatviz_app.answers import View
from splatviz_app.evaluation import Answer, Answers, Inquiry, Question, why_not_ready, words_after
from splatviz_app.session import Session
from splatviz_app.window import Dock
from widgets import fields
from widgets.eval_field import ExpressionField
from widgets.eval_views import Look, Wishes, draw_view, summary
from widgets.selection import draw_selection, select_rows

_LEAST_LIMIT = 10.0  # seconds for an expression: unlike a script, it keeps no picture waiting
_PATIENCE = 0.5  # seconds after which a running expression is worth a word
_MOST_WORDS = 12  # that are offered while one is typed
_LABEL_SHARE = 0.5  # of a pinned expression's row
EXAMPLES = (
    "gs",
    "gs.opacities",
    "gs._xyz",
    "gs.opacities < 0.1",
    "gs.scales.max(dim=1).values",
    "render.image",
    "render.depth",
    "camera",
)


class EvalPanel:
    """Asks the session's evaluator and shows its answers."""

    title = "Eval"
    dock: Dock = "right_low"

    def __init__(self) -> None:
        """Begin with the question for all there is."""
        self._field = ExpressionField("gs")
        self._asked = Question("gs")
        self._good = self._asked  # the newest of the field's that had a value
        self._was_entered = False  # whether the hand meant what is asked, or only rested
        self._hint = ""  # why the text is not evaluated
        self._pinned: dict[str, Question] = {}
        self._looks: dict[tuple[bool, str], Look] = {}  # by text, of a pinned one or the field's
        self._sent: Inquiry | None = None
        self._answers: Answers | None = None  # the newest

    def visible(self, session: Session) -> bool:
        """Always: without a head it says what it is for."""
        return True

    def draw(self, session: Session) -> None:
        """Draw the field, its answer, the pinned expressions and the selection."""
        if session.result is None:
            fields.empty(
                "Nothing is shown yet.",
                "Open a head to look into its splats, its picture and its camera.",
            )
            return
        self._pinned = {
            text: self._pinned.get(text, Question(text)) for text in session.preferences.pinned
        }
        self._draw_field(session)
        self._draw_state(session)
        self._draw_answer(session)
        self._draw_pinned(session)
        draw_selection(session)
        self._ask(session)

    # ---- asking

    def _ask(self, session: Session) -> None:
        """Ask about the newest picture, if it or a question is new."""
        assert session.result is not None
        questions = dict.fromkeys((self._asked, self._good, *self._pinned.values()))
        sliders = session.document.edits.sliders
        inquiry = Inquiry(tuple(questions), session.result, sliders)
        if inquiry != self._sent:
            session.evaluator.runner.seconds = max(session.preferences.script_seconds, _LEAST_LIMIT)
            session.evaluator.submit(inquiry)
            self._sent = inquiry
        self._answers = session.evaluator.frame

    def _evaluate(self, session: Session, text: str, remember: bool) -> None:
        """Take a text as the question, if it is complete."""
        text = text.strip()
        self._hint = why_not_ready(text)
        if self._hint:
            return
        if text != self._asked.text:
            self._asked = self._pinned.get(text, Question(text))
        self._was_entered = remember
        if remember:
            session.preferences = session.preferences.with_asked(text)

    # ---- the field

    def _draw_field(self, session: Session) -> None:
        between = imgui.get_style().item_inner_spacing.x
        buttons = 2 * imgui.get_frame_height() + fields.em(1.6)
        width = imgui.get_content_region_avail().x - buttons - 2 * between
        sliders = [slider.name for slider in session.document.edits.sliders]
        happened = self._field.draw(
            width,
            session.preferences.asked,
            lambda before, text: words_after(before, text, sliders),
        )
        imgui.same_line(0, between)
        self._draw_history_list(session)
        imgui.same_line(0, between)
        self._draw_pin_button(session)
        if happened:
            self._evaluate(session, self._field.text, remember=happened == "entered")
        elif self._field.is_being_typed:
            self._hint = ""
            session.engine.wake()  # look again soon, though nothing else moves

    def _draw_history_list(self, session: Session) -> None:
        if imgui.arrow_button("##Asked before", imgui.Dir.down):
            imgui.open_popup("asked")
        fields.tooltip("What was asked before, and examples.")
        if not imgui.begin_popup("asked"):
            return
        asked = session.preferences.asked
        for text in asked:
            self._offer(session, text)
        if asked:
            imgui.separator_text("Examples")
        for text in EXAMPLES:
            if text not in asked:
                self._offer(session, text)
        imgui.end_popup()

    def _offer(self, session: Session, text: str) -> None:
        shown = " ".join(text.split())
        if imgui.menu_item(f"{shown[:60]}##{text}", "", False)[0]:
            self._put(session, text)

    def _put(self, session: Session, text: str) -> None:
        """Bring a text to the field and evaluate it."""
        self._field.put(text)
        self._evaluate(session, text, remember=True)

    def _draw_pin_button(self, session: Session) -> None:
        text = self._asked.text
        why = "It is pinned already." if text in self._pinned else ""
        with fields.unless(why):
            if fields.button("Pin", "Keep this expression in sight; it follows the head."):
                session.preferences = session.preferences.with_pinned(text)

    # ---- answers

    def _draw_state(self, session: Session) -> None:
        running = session.evaluator.runner.running_seconds
        if running > _PATIENCE:
            imgui.align_text_to_frame_padding()
            fields.muted(f"Evaluating, {running:.1f} s")
            imgui.same_line()
            if imgui.small_button("Stop"):
                session.evaluator.runner.stop()
        elif self._hint:
            fields.muted(self._hint)
        elif not self._field.words.is_done and self._field.words.typed:
            fields.muted("Tab:  " + "  ".join(w for w, _ in self._field.words.words[:_MOST_WORDS]))

    def _draw_answer(self, session: Session) -> None:
        """Draw the answer to the field's question; while there is none, that to the one before."""
        asked, answer = self._asked, self._answer_to(self._asked)
        if answer is not None and answer.error is not None and not self._was_entered:
            fields.muted(str(answer.error))  # a word half typed is no mistake yet
            answer = None
        if answer is None:
            asked, answer = self._good, self._answer_to(self._good)
        if answer is None:
            return
        fields.gap(0.1)
        imgui.push_id("asked")
        look = self._looks.setdefault((False, asked.text), Look())
        looked = self._draw_one(session, asked, answer, look)
        imgui.pop_id()
        if self._asked is asked:  # and not another part of it
            self._asked = looked
        if answer.error is None:
            self._good = looked

    def _answer_to(self, question: Question) -> Answer | None:
        return self._answers.to(question) if self._answers is not None else None

    def _draw_one(
        self, session: Session, question: Question, answer: Answer, look: Look
    ) -> Question:
        """Draw an answer, and return how its question is looked at from now on."""
        if answer.printed:
            imgui.push_text_wrap_pos(0.0)
            imgui.text_unformatted(answer.printed.rstrip())
            imgui.pop_text_wrap_pos()
        if answer.error is not None:
            imgui.push_style_color(imgui.Col_.text, fields.level_color("error"))
            imgui.text_wrapped(str(answer.error))
            imgui.pop_style_color()
            return question
        assert answer.view is not None
        wishes = draw_view(session.textures, question, answer.view, look)
        self._fulfil(session, wishes)
        return wishes.question

    def _draw_pinned(self, session: Session) -> None:
        if not self._pinned:
            return
        fields.section("Pinned")
        for number, (text, question) in enumerate(self._pinned.items()):
            imgui.push_id(number)
            self._draw_pin(session, text, question)
            imgui.pop_id()

    def _draw_pin(self, session: Session, text: str, question: Question) -> None:
        answer = self._answer_to(question)
        value, shown = _in_short(answer), _shortened(" ".join(text.split()))
        flags = imgui.TreeNodeFlags_.allow_overlap | imgui.TreeNodeFlags_.span_avail_width
        is_open = imgui.tree_node_ex(f"{shown}##pin", flags)
        fields.tooltip(f"{text}\n{value}")
        if imgui.begin_popup_context_item("pin menu"):
            if imgui.menu_item("Look at this", "", False)[0]:
                self._put(session, text)
            if imgui.menu_item("Remove", "", False)[0]:
                session.preferences = session.preferences.without_pinned(text)
            imgui.end_popup()
        failed = answer is not None and answer.error is not None
        imgui.same_line(imgui.get_tree_node_to_label_spacing() + _width(shown) + fields.em(1.6))
        _draw_clipped(value, fields.level_color("error") if failed else fields.quiet_color())
        if imgui.small_button(f"×##Remove {shown}"):
            session.preferences = session.preferences.without_pinned(text)
        fields.tooltip("Let this expression go.")
        if not is_open:
            return
        if answer is not None:
            look = self._looks.setdefault((True, text), Look())
            self._pinned[text] = self._draw_one(session, question, answer, look)
        imgui.tree_pop()

    def _fulfil(self, session: Session, wishes: Wishes) -> None:
        """Do what the hand asked for."""
        if wishes.rows is not None and self._answers is not None:
            select_rows(session, wishes.rows, self._answers.inquiry.result.splats, wishes.how)
        if wishes.pin:
            session.preferences = session.preferences.with_pinned(wishes.pin)
        if wishes.look_at:
            self._put(session, wishes.look_at)


def _shortened(text: str) -> str:
    """A text that leaves half of the row to its value."""
    room = _LABEL_SHARE * imgui.get_content_region_avail().x
    if _width(text) <= room:
        return text
    kept = len(text)
    while kept > 1 and _width(text[:kept] + "…") > room:
        kept -= 1
    return text[:kept] + "…"


def _width(text: str) -> float:
    return imgui.calc_text_size(text).x


def _draw_clipped(text: str, color: imgui.ImVec4) -> None:
    """Write a line that ends before a small button at the right edge, and go there."""
    corner, space = imgui.get_cursor_screen_pos(), imgui.get_content_region_avail().x
    end = max(0.0, space - _width("×") - fields.em(0.8))
    imgui.push_clip_rect(corner, (corner.x + end - fields.em(0.3), corner.y + fields.em(2)), True)
    left = imgui.get_cursor_pos_x()
    imgui.text_colored(color, text)
    imgui.pop_clip_rect()
    imgui.same_line(left + end)


def _in_short(answer: Answer | None) -> str:
    if answer is None:
        return "…"
    if answer.error is not None:
        return answer.error.message
    view: View | None = answer.view
    return summary(view) if view is not None else ""
