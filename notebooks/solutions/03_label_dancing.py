"""A solution of 03_label_dancing's third exercise."""


def my_arrows(own, partner, cell):
    """Return the epochs of all arrows, for two recalls and a cell at the epochs 1, 2, ..., each of shape (epochs,)."""
    arrows = []
    for t in range(1, len(cell)):
        after = next((value for value in cell[t + 1 :] if value != cell[t]), cell[t])
        if own[t] < own[t - 1] and partner[t] > partner[t - 1] and cell[t - 1] < cell[t] > after:
            arrows.append(t + 1)
    return arrows
