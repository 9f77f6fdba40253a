"""Linear programs, solved by HiGHS."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Rows:
    """Constraints on unknowns that are 0 or more: each row times them lies between two bounds."""

    def __init__(self, rows: Floats, low: Floats, high: Floats) -> None:
        # a row's size is of no meaning, and far apart ones are hard to solve
        scale = np.maximum(np.abs(rows).max(axis=1), 1e-300)
        self._rows = rows / scale[:, None]
        self._low, self._high = low / scale, high / scale

    def extreme(self, cost: Floats, *, least: bool) -> float | None:
        """The least, or the greatest, that `cost` times the unknowns can be.

        None where no unknowns satisfy all rows, or where there is no bound.
        """
        import highspy

        count, unknowns = self._rows.shape
        problem = highspy.HighsLp()
        problem.num_col_, problem.num_row_ = unknowns, count
        problem.col_cost_ = cost if least else -cost
        problem.col_lower_ = np.zeros(unknowns)
        problem.col_upper_ = np.full(unknowns, highspy.kHighsInf)
        problem.row_lower_, problem.row_upper_ = self._low, self._high
        matrix = problem.a_matrix_
        matrix.format_ = highspy.MatrixFormat.kRowwise
        matrix.start_ = np.arange(count + 1, dtype=np.int32) * unknowns
        matrix.index_ = np.tile(np.arange(unknowns, dtype=np.int32), count)
        matrix.value_ = self._rows.ravel()
        # that of 1.16 with callbacks, `Highs`, prints its name on stdout as it is made
        solver = getattr(highspy, "_Highs")()  # noqa: B009 - its types do not name it
        solver.setOptionValue("output_flag", False)
        solver.passModel(problem)
        solver.run()
        if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        found = float(solver.getInfo().objective_function_value)
        return found if least else -found
