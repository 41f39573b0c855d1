"""Principal components, for drawing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lfadsq.errors import ResultShapeError

__all__ = ["Projection"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Projection:
    """A projection onto principal components.

    Attributes
    ----------
    mean : numpy.ndarray, shape (dimension,), float64
    loadings : numpy.ndarray, shape (dimension, component), float64
        Orthonormal columns, largest variance first. The largest loading of each, by magnitude, is
        positive, so that the same data always look the same.
    shares : numpy.ndarray, shape (component,), float64
        Of the variance; zeros where nothing varies.
    """

    mean: Array
    loadings: Array
    shares: Array

    @classmethod
    def fit(cls, values: Array, num_components: int, what: str) -> Projection:
        """Find the principal components.

        Parameters
        ----------
        values : numpy.ndarray, shape (..., dimension), float64
            Every row counts the same.
        num_components : int
            How many.
        what : str
            What the dimensions are, for messages.

        Raises
        ------
        ResultShapeError
            If there are fewer dimensions.
        """
        rows = values.reshape(-1, values.shape[-1])
        if rows.shape[1] < num_components:
            raise ResultShapeError(
                f"{what} have {rows.shape[1]} dimensions, so no {num_components} components",
                "draw fewer, or the values themselves",
            )
        mean = rows.mean(axis=0)
        centred = rows - mean
        # Of the covariance, whose size does not grow with the number of rows.
        variances, vectors = np.linalg.eigh(centred.T @ centred)
        loadings = vectors[:, ::-1][:, :num_components]
        largest = np.abs(loadings).argmax(axis=0)
        loadings = loadings * np.sign(loadings[largest, np.arange(num_components)])
        # What rounding made negative has no variance.
        ordered = np.maximum(variances[::-1], 0.0)
        total = ordered.sum()
        shares = ordered[:num_components] / total if total > 0 else np.zeros(num_components)
        return cls(mean, loadings, shares)

    def of(self, values: Array) -> Array:
        """Project values of shape (..., dimension) to (..., component)."""
        projected: Array = (values - self.mean) @ self.loadings
        return projected

    def label(self, number: int) -> str:
        """Name an axis, with the share of variance."""
        return f"PC {number + 1} ({self.shares[number]:.0%}) [a.u.]"
