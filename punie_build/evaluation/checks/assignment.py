"""Pairing of expected with actual tool calls so that the sum of the pair scores is greatest."""

from __future__ import annotations

from collections.abc import Callable

PairScore = Callable[[int, int], float]  # (index of the expected call, index of the actual call) -> score in [0, 1]


def ordered_alignment(n_expected: int, n_actual: int, score: PairScore) -> list[tuple[int, int]]:
    """Return pairs (expected, actual), both indices increasing, with the greatest sum of scores."""
    best: list[list[tuple[float, list[tuple[int, int]]]]] = [
        [(0.0, [])] * (n_actual + 1) for _ in range(n_expected + 1)
    ]
    for i in range(n_expected):
        for j in range(n_actual):
            value = score(i, j)
            paired = best[i][j][0] + value
            unpaired = max(best[i][j + 1], best[i + 1][j], key=lambda entry: entry[0])
            best[i + 1][j + 1] = (paired, [*best[i][j][1], (i, j)]) if value and paired > unpaired[0] else unpaired
    return best[n_expected][n_actual][1]


def optimal_assignment(n_expected: int, n_actual: int, score: PairScore) -> list[tuple[int, int]]:
    """Return pairs (expected, actual) in any order with the greatest sum of scores.

    The method is the Hungarian algorithm (Kuhn 1955) by shortest augmenting paths. A greedy choice of the best pair
    would make the sum depend on the order in which calls are listed.
    """
    transposed = n_expected > n_actual
    rows, columns = min(n_expected, n_actual), max(n_expected, n_actual)
    cost = [[-(score(j, i) if transposed else score(i, j)) for j in range(columns)] for i in range(rows)]
    row_price, column_price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    row_of, previous = [0] * (columns + 1), [0] * (columns + 1)  # by column, from 1; 0 means none
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        least, used = [float("inf")] * (columns + 1), [False] * (columns + 1)
        while row_of[column]:
            used[column] = True
            current = row_of[column]
            for j in (j for j in range(1, columns + 1) if not used[j]):
                step = cost[current - 1][j - 1] - row_price[current] - column_price[j]
                if step < least[j]:
                    least[j], previous[j] = step, column
            nearest = min((j for j in range(1, columns + 1) if not used[j]), key=least.__getitem__)
            delta = least[nearest]
            for j in range(columns + 1):
                if used[j]:
                    row_price[row_of[j]] += delta
                    column_price[j] -= delta
                else:
                    least[j] -= delta
            column = nearest
        while column:
            row_of[column], column = row_of[previous[column]], previous[column]
    pairs = [(row_of[j] - 1, j - 1) for j in range(1, columns + 1) if row_of[j]]
    assigned = [(j, i) if transposed else (i, j) for i, j in pairs]
    return sorted(pair for pair in assigned if score(*pair))
