"""Messages are found in the source, and none contains a phrase that readers stumble over."""

import re

import list_messages
import pytest

MESSAGES = list(list_messages.messages())
AWKWARD = re.compile(
    r"(?<!\bthere )\b(is|are) (no|none)\b|\banew\b|\bamid\b|\bbeside the\b|\bby way of\b|\bis told\b|\bpicture"
)


def test_messages_of_all_kinds_are_found():
    makers = {message.maker for message in MESSAGES}
    assert {"Loss", "Failure", "UsageError", "ImageError", "GeometryError", "RecordError"} <= makers
    assert len(MESSAGES) > 500


def test_messages_contain_no_awkward_phrase():
    found = [message for message in MESSAGES if AWKWARD.search(message.text)]
    assert not found


@pytest.mark.parametrize("text", ["- is none", "it is no image", "the picture is lost", "begin anew"])
def test_control_an_awkward_phrase_is_detected(text):
    assert AWKWARD.search(text)
