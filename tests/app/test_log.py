"""The log: newest last, no repetition, a bounded size, text for the clipboard."""

from splatviz_app.log import Log, LogEntry


def test_entries_stand_in_the_order_they_came():
    log = Log()

    log.add("info", "first")
    log.add("error", "second", "Traceback …\n")

    assert [entry.message for entry in log.entries] == ["first", "second"]
    assert log.last is log.entries[-1]


def test_an_entry_that_repeats_the_last_is_left_out():
    log = Log()

    for _ in range(5):
        log.add("error", "again")
    log.add("warning", "again")
    log.add("error", "again")

    assert [entry.level for entry in log.entries] == ["error", "warning", "error"]


def test_the_oldest_go_when_there_are_too_many():
    log = Log(limit=3)

    for number in range(7):
        log.add("info", str(number))

    assert [entry.message for entry in log.entries] == ["4", "5", "6"]


def test_an_empty_log_has_no_last_entry():
    assert Log().last is None


def test_the_text_holds_the_level_the_message_and_the_traceback():
    text = LogEntry("error", "It broke.", "Traceback\n  line 3\n", when=0.0).text

    first, *rest = text.splitlines()
    assert first.endswith("error: It broke.")
    assert rest == ["Traceback", "  line 3"]


def test_the_text_of_a_plain_entry_is_one_line():
    assert len(LogEntry("info", "Saved.").text.splitlines()) == 1
