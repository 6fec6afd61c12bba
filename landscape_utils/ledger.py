"""The papers' claims by id, each in one sentence of our own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One statement of a paper.

    Attributes:
        id: as in the ledger, e.g. CI-1.
        statement: what is claimed, in one sentence of our own.
        source: paper and section.
        reported: the paper's number, where it gives one.
    """

    id: str
    statement: str
    source: str
    reported: str


CLAIMS = {
    claim.id: claim
    for claim in (
        Claim(
            "CI-1",
            "The largest interference lies between look-alike classes, in both directions.",
            "class interference, 2.1, figure 1",
            "CIFAR-10: cat-dog largest",
        ),
        Claim(
            "CI-2",
            "Interference is symmetric: a is taken for b about as often as b for a.",
            "class interference, 2.1, figure 1",
            "seen in the heat map; no number",
        ),
        Claim(
            "CI-3",
            "A few interfering pairs hold the largest share of the generalisation error.",
            "class interference, abstract and 2.1",
            "the largest percentage; no number",
        ),
        Claim(
            "CI-4",
            "The hardest classes are the same for different architectures.",
            "class interference, 2.1, table 1",
            "cat and dog lowest in all four",
        ),
        Claim(
            "CI-5",
            "One strong interferer or many weak ones both lower a class's recall.",
            "class interference, appendix, table 2",
            "threshold 0.005: bird 5 interferers, car and truck 1",
        ),
        Claim(
            "CI-6",
            "Test accuracy grows from the small to the big constant rate, and again with annealing.",
            "class interference, 3, table of accuracies",
            "VGG19 84.99 / 88.76 / 93.87 %, ResNet18 86.88 / 91.31 / 95.15 %",
        ),
        Claim(
            "CI-7",
            "In ego space the flat area around the minimum is largest with annealing and smallest with the small rate.",
            "class interference, 3, figures 2 to 4",
            "windows of 1/100 and 100 times the big rate's; no number",
        ),
        Claim(
            "CI-7d",
            "The same ranking when distance is what the weights walk (the control that the paper lacks).",
            "this project, beside class interference, 3",
            "not measured",
        ),
        Claim(
            "CI-8",
            "With the big rate the most interfering pair's space is sharper than a hardly interfering pair's.",
            "class interference, 3, figure 2",
            "cat-dog sharper than horse-ship; no number",
        ),
        Claim(
            "CI-9",
            "Whether a minimum looks flat or sharp depends on the cut.",
            "class interference, 3, figure 2",
            "sharp at 135 degrees, less so along a random cut; no number",
        ),
        Claim(
            "CI-10",
            "With the small rate the sharper minimum can generalise better.",
            "class interference, 3, figure 3",
            "ResNet18 sharper than VGG19, and 86.88 against 84.99 %",
        ),
        Claim(
            "CI-11",
            "Classes whose loss surfaces look alike in other classes' spaces interfere.",
            "class interference, 4.1, figure 5",
            "seen in the pictures; no number",
        ),
        Claim(
            "CI-12",
            "A class's loss rises along its own ascent direction, and most when its partner is minimised.",
            "class interference, 4.1, figure 5",
            "cat's loss in the cat-dog space; no number",
        ),
        Claim(
            "CI-13",
            "Every interference model is a convex combination of two ego models.",
            "class interference, 2.2, proposition 1",
            "proved",
        ),
        Claim(
            "CI-14",
            "The recalls of an interfering pair move against each other early in training.",
            "class interference, 4.2, figure 6",
            "seen in the cat-dog curves; no number",
        ),
        Claim(
            "CI-15",
            "A rise of the partner's recall coincides with a peak of the class's cell towards it.",
            "class interference, 4.2, figure 6",
            "arrows in the figure; no number",
        ),
        Claim(
            "CI-16",
            "The most frequent dancing note of a class is its partner.",
            "class interference, 4.2, figure 7",
            "cat in dog's notes longer than dog in cat's",
        ),
        Claim(
            "CI-17",
            "Frog interferes with cat often, and horse hardly ever.",
            "class interference, 4.2, figure 7",
            "horse: two or three of 200 epochs",
        ),
        Claim(
            "CI-18",
            "One partner takes nearly all of a class's errors.",
            "class interference, appendix, figure 8",
            "car with truck: GoogLeNet 96.7 + 2.5 %, DLA 97.8 + 1.8 %",
        ),
        Claim(
            "CI-19",
            "The second pair's space moves all class losses more than the most interfering pair's does.",
            "class interference, 4.1, figure 5",
            "car-truck above cat-dog, the car direction most; no number",
        ),
    )
}
