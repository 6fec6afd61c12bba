from landscape_utils.suite.exercises import check


def test_open_right_and_wrong_answers() -> None:
    assert check(None, 3, hint="h").startswith("Not answered yet")
    assert check(3.04, 3, tolerance=0.05, hint="h") == "Right."
    assert check(3.06, 3, tolerance=0.05, hint="count again") == "Not quite. count again"
    assert check(" cat ", "CAT", hint="h") == "Right."
    assert check("dog", "cat", hint="h") == "Not quite. h"
    assert check("3", 3, hint="h") == "Right."
