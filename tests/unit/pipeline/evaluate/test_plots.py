"""Pictures are drawn of whatever classes are called; warnings of a font are errors here."""

import numpy as np

from modelservice_pipeline.evaluate.answers import Answers
from modelservice_pipeline.evaluate.outputs import Found
from modelservice_pipeline.evaluate.plots import draw_pictures

NAMES = ["$x^2", "_hidden", "écran", "русский", "日本語", "العربية", "a\nb", "🎉"]


def test_pictures_of_odd_class_names_are_drawn_and_the_same_each_time():
    labels = np.fromiter(NAMES * 5, object, 40)
    probabilities = np.random.default_rng(0).dirichlet([1] * 8, 40)
    classes = np.fromiter(NAMES, object, 8)
    found = Found(
        "classification", labels, Answers(classes[probabilities.argmax(axis=1)], probabilities, classes), ()
    )
    pictures = draw_pictures(found, None)
    assert sorted(pictures) == ["confusion.png", "curves.png", "reliability.png"]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    assert draw_pictures(found, None) == pictures


def test_pictures_of_one_class_and_of_numbers_are_drawn():
    one = np.zeros(3, int)
    found = Found("classification", one, Answers(one, np.array([[0.9, 0.1]] * 3), np.array([0, 1])), ())
    assert len(draw_pictures(found, 0)) == 3
    assert list(draw_pictures(Found("regression", np.ones(3), Answers(np.ones(3)), ()), None)) == [
        "residuals.png"
    ]
