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
        Claim(
            "ML-1",
            "Along Gaussian directions the loss has one stationary point, whatever the epoch, normalisation, "
            "BatchNorm handling or scale.",
            "mining the loss landscape, 2.2 and A.3, figures 2, 15 to 17",
            "average counts of 1.0 in nearly every panel",
        ),
        Claim(
            "ML-2",
            "Extra stationary points along Gaussian directions lie above the loss of a random guess, log C.",
            "mining the loss landscape, 2.2, figure 3",
            "seen in the pictures of RN56-NS; no number",
        ),
        Claim(
            "ML-3",
            "Along the negative gradient, and towards a later checkpoint, the curve is a v-side.",
            "mining the loss landscape, 2.3, figure 4",
            "almost v-side in every panel",
        ),
        Claim(
            "ML-4",
            "Angles between Gaussian and descent directions concentrate at 90 degrees.",
            "mining the loss landscape, 2.3, figure 5",
            "89.75 to 90.25 degrees; gradient against converged direction 88 to 90",
        ),
        Claim(
            "ML-5",
            "The best of 100 Gaussian directions lowers the loss negligibly beside the negative gradient, at ten "
            "times the range.",
            "mining the loss landscape, 2.3, figure 6",
            "seen in the pictures; no number",
        ),
        Claim(
            "ML-6",
            "Between independent checkpoints there is one barrier: on [-1, 2] a w-basin of three stationary points.",
            "mining the loss landscape, 2.4, figure 7",
            "3 in every panel",
        ),
        Claim(
            "ML-7",
            "Eigenvectors of positive eigenvalues give v-basins; those of negative ones give w-peaks early, "
            "lower as training goes on.",
            "mining the loss landscape, 2.4, figure 8",
            "top five of each end, four networks",
        ),
        Claim(
            "ML-8",
            "Mined w-peaks overlap all eigenvectors, those of negative eigenvalues slightly more.",
            "mining the loss landscape, 2.4, figure 9",
            "bars of cosines; no number",
        ),
        Claim(
            "ML-8d",
            "Mined w-peaks are deeper than those along eigenvectors of negative eigenvalues.",
            "this project, beside mining the loss landscape, 2.4",
            "not measured",
        ),
        Claim(
            "ML-9",
            "Mined towards a second model, a ResNet's curve can be a vvv-basin, an MLP's is none.",
            "mining the loss landscape, 2.5, figure 10",
            "one of the ResNet's settings, alpha 0 and gamma 0.1",
        ),
        Claim(
            "ML-10",
            "Two P.E. directions give a bowl, two N.E. directions the bottom of a bottle, one of each a saddle.",
            "mining the loss landscape, 2.6, figures 11 and 12",
            "all but one of the panels",
        ),
        Claim(
            "ML-11",
            "The Hessian's density is a bulk at zero with about C positive outliers; its trace is positive; "
            "|smallest eigenvalue| falls in training.",
            "mining the loss landscape, 3, figure 13",
            "smallest eigenvalues in brackets above the panels",
        ),
        Claim(
            "ML-12",
            "Under Gaussian noise the mean loss change is half lambda^2 sigma^2 tr H, its variance lambda^2 "
            "sigma^2 |g|^2 + half lambda^4 sigma^4 tr H^2.",
            "mining the loss landscape, 3, equation 4 (exponents mended)",
            "not measured",
        ),
        Claim(
            "ML-13",
            "The loss change centres on zero at lambda = 0.001 and is positive at 0.01, for sigma = 1.",
            "mining the loss landscape, 3, figure 13",
            "100 draws",
        ),
        Claim(
            "ML-14",
            "Second-order pieces lie along the GMI and MLI curves, except next to the initialisation.",
            "mining the loss landscape, 3, figure 14",
            "11 points, pieces of +-0.05",
        ),
        Claim(
            "ML-15",
            "From the initialisation to the solution the loss falls monotonically.",
            "mining the loss landscape, 1 and 3",
            "known as MLI",
        ),
        Claim(
            "ML-16",
            "Without skip connections RN56 is chaotic above log C only, and smooth again seen at s = 4; RN110 "
            "hardly trains.",
            "mining the loss landscape, 2.2, figure 3",
            "test accuracy 57.06 and 7.08 % on CIFAR-100",
        ),
        Claim(
            "ML-17",
            "No curve has more than five stationary points.",
            "mining the loss landscape, A.3",
            "five at most",
        ),
        Claim(
            "ML-18",
            "At initialisation the Hessian has a larger share of negative eigenvalues than after training.",
            "mining the loss landscape, 3, figure 13",
            "seen in the densities; no number",
        ),
        Claim(
            "BP-1",
            "From initialisation to solution, a fully connected network's loss falls early and convexly; a VGG's loss "
            "and error stay on a long plateau.",
            "bias plateau, 1, figure 1",
            "FCN4 on MNIST against VGG16 on CIFAR-10; seen in the picture",
        ),
        Claim(
            "BP-2",
            "Weights scale like alpha^r, the last bias like alpha: the plateau grows with depth and with the bias gap.",
            "bias plateau, 1.1 and 3, theorem 1",
            "a theorem; no number",
        ),
        Claim(
            "BP-3",
            "In the r-homogeneous-weight network on balanced data the class learned last ends with the largest bias.",
            "bias plateau, 4, theorem 2",
            "always (theorem); no number",
        ),
        Claim(
            "BP-4",
            "Trained without biases, the error plateau is much shorter or gone.",
            "bias plateau, 1.1 and 5",
            "seen in the pictures; no number",
        ),
        Claim(
            "BP-5",
            "Interpolating the biases homogeneously shortens the error plateau of normally trained networks.",
            "bias plateau, 1.1 and 5",
            "significantly shortens; no number",
        ),
        Claim(
            "BP-6",
            "A smaller initialisation or a greater depth lengthens the plateau in error and loss.",
            "bias plateau, 1.1 and 5",
            "seen in the pictures; no number",
        ),
        Claim(
            "BP-7",
            "On small data sets the last layer's bias correlates with the order in which the classes are learned.",
            "bias plateau, 1.1 and 5",
            "correlated; no number",
        ),
        Claim(
            "BP-8",
            "The shape of the interpolation curve says nothing about how hard the problem is.",
            "bias plateau, 1 and appendix A",
            "a pair of examples, not in the text at hand",
        ),
        Claim(
            "MG-1",
            "With part of the labels permuted, training reaches 99 % while test accuracy peaks early and falls.",
            "geometry of memorization, 3 and 4, figure 2A",
            "> 99 %, half of the labels permuted",
        ),
        Claim(
            "MG-2",
            "Before memorization restored labels are predicted better and better, although the permuted ones "
            "are taught.",
            "geometry of memorization, 4, figure 2A",
            "seen in the picture; no number",
        ),
        Claim(
            "MG-3",
            "At the best epoch unpermuted, restored and test geometry agree layer by layer; permuted capacity "
            "is at its lower bound.",
            "geometry of memorization, 4, figure 3A",
            "bound 2 / M = 0.04",
        ),
        Claim(
            "MG-4",
            "At the final epoch permuted capacity rises in the last layers only, and restored capacity falls there.",
            "geometry of memorization, 4, figure 3B",
            "from the 16th layer of VGG16 on",
        ),
        Claim(
            "MG-5",
            "Manifold radius and dimension fall with depth.",
            "geometry of memorization, 4, figure 3",
            "seen in the picture; no number",
        ),
        Claim(
            "MG-6",
            "Mean-field capacity matches the empirical one.",
            "geometry of memorization, 3.2, figure 1B, and A.1",
            "seen in the picture; no number",
        ),
        Claim(
            "MG-7",
            "Rewinding the last convolution to an earlier epoch gives back the early-stopped accuracy; "
            "rewinding an early one does not; ResNet18's last layer does best at epoch 0.",
            "geometry of memorization, 4, figure 4B, and A.8",
            ">90 % of the early-stopped accuracy",
        ),
        Claim(
            "MG-8",
            "The weights of early layers take longer to settle than those of late ones.",
            "geometry of memorization, 4, figure 4A",
            "seen in the picture; no number",
        ),
        Claim(
            "MG-9",
            "Test error has a double descent in width; the manifold dimension follows it at the final epoch, "
            "radius and centre correlation are monotonic.",
            "geometry of memorization, 4, figure 4C-E",
            "ResNet18 by width, 10 % label noise",
        ),
        Claim(
            "MG-10",
            "Near the initialisation the label-dependent gradient of permuted examples is far smaller than "
            "that of unpermuted ones; the independent parts are alike; early layers' gradients do not vanish.",
            "geometry of memorization, 4, figure 5, and A.9",
            "seen in the ratio maps; no number",
        ),
        Claim(
            "MG-11",
            "The label-dependent and the label-independent part add up to the gradient.",
            "geometry of memorization, 4, claim 1, and A.2.1",
            "exactly (theorem)",
        ),
        Claim(
            "MG-12",
            "At the initialisation the mean label-dependent gradient of permuted examples falls with their number.",
            "geometry of memorization, A.2.3, equation 25",
            "as 1 / sqrt(number)",
        ),
        Claim(
            "MG-13",
            "In the plane, final-layer features of unpermuted, restored and test examples separate at the best "
            "epoch, permuted ones only at the end; in a middle layer restored ones stay separable.",
            "geometry of memorization, 4, figure 2B, and A.4",
            "seen in the picture; no number",
        ),
        Claim(
            "MG-14",
            "Spheres and a five-layer network show the same.",
            "geometry of memorization, A.5, figure A.4",
            "seen in the picture; no number",
        ),
        Claim(
            "MG-15",
            "At the first and a middle layer capacity hardly depends on the permuted share; at the last one "
            "test capacity falls with it and permuted manifolds separate.",
            "geometry of memorization, A.7, figure A.8",
            "seen in the picture; no number",
        ),
        Claim(
            "MG-16",
            "Capacity is close to that of balls of the manifolds' radius and dimension.",
            "geometry of memorization, A.1.2",
            "approximately equal; no number",
        ),
    )
}

# The picture that a claim was read from, as its notebook names it; what is proved or counted has none.
PICTURES = {
    "CI-1": "heatmaps",
    "CI-2": "symmetry",
    "CI-3": "error-shares",
    "CI-4": "recalls",
    "CI-5": "interferers",
    "CI-6": "accuracies",
    "CI-7": "areas",
    "CI-7d": "areas",
    "CI-8": "pairs",
    "CI-9": "cuts",
    "CI-10": "areas",
    "CI-11": "similarity",
    "CI-12": "class-losses",
    "CI-14": "pair-correlations",
    "CI-15": "cell-correlations",
    "CI-16": "notes",
    "CI-17": "notes",
    "CI-18": "partners",
    "CI-19": "rises",
    "ML-1": "gaussian",
    "ML-2": "gaussian",
    "ML-3": "v-sides",
    "ML-4": "angles",
    "ML-5": "best-gaussian",
    "ML-6": "w-basins",
    "ML-7": "eigenvectors",
    "ML-8": "overlaps",
    "ML-8d": "w-peaks",
    "ML-9": "vvv-basins",
    "ML-10": "eigenvectors",
    "ML-11": "spectra",
    "ML-12": "noise",
    "ML-13": "noise",
    "ML-14": "pieces",
    "ML-15": "v-sides",
    "ML-18": "spectra",
    "BP-1": "two-curves",
    "BP-2": "prediction",
    "BP-3": "bias-by-order",
    "BP-4": "biases",
    "BP-5": "biases",
    "BP-6": "scale-and-depth",
    "BP-7": "order",
    "BP-8": "hardness",
    "MG-1": "course",
    "MG-2": "course",
    "MG-3": "geometry",
    "MG-4": "geometry",
    "MG-5": "geometry",
    "MG-6": "capacities",
    "MG-7": "gains",
    "MG-8": "settling",
    "MG-9": "accuracies",
    "MG-10": "ratios",
    "MG-12": "scaling",
    "MG-13": "planes-last",
    "MG-14": "spheres",
    "MG-15": "shares",
    "MG-16": "capacities",
}
