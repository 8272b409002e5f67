"""Spark's saved trees as arrays, and those arrays as a TreeEnsemble node.

Three traps. Splits and leaves are float64: a float32 threshold sends values at a split the other way. TreeEnsemble has
no form for a tree that is a lone leaf: it gets a split whose two sides are equal. A categorical split is a member test,
and Spark tests the smaller side of it, which decides where a value that is no known category goes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from onnx import numpy_helper

from jobs.bundle.errors import BundleError
from jobs.bundle.graph import ML, Graph
from jobs.bundle.saved import Stage

_LESS_OR_EQUAL = 0
_MEMBER = 6
_SUM = 1
_NO_TRANSFORM = 0


@dataclass(frozen=True)
class Forest:
    """The nodes of all trees, one tree after another; each array is [nodes].

    `left` and `right` are positions in the arrays, -1 in a leaf. `splits` holds the threshold (one value) or the left
    categories; `categories` how many there are, -1 for a threshold. `weights` is float64 [trees].
    """

    tree: npt.NDArray[np.int64]
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    splits: list[list[float]]
    categories: npt.NDArray[np.int64]
    prediction: npt.NDArray[np.float64]
    stats: list[list[float]]
    weights: npt.NDArray[np.float64]

    @property
    def trees(self) -> int:
        """How many trees there are."""
        return len(self.weights)

    @property
    def leaf(self) -> npt.NDArray[np.bool_]:
        """Which nodes are leaves, bool [nodes]."""
        return self.left < 0

    def leaf_predictions(self) -> npt.NDArray[np.float64]:
        """The prediction of every leaf, float64 [leaves]."""
        return self.prediction[self.leaf]

    def leaf_trees(self) -> npt.NDArray[np.int64]:
        """The tree of every leaf, int64 [leaves]."""
        return self.tree[self.leaf]

    def leaf_stats(self) -> npt.NDArray[np.float64]:
        """The weight of every class in every leaf, float64 [leaves, K]."""
        return np.array([self.stats[node] for node in np.flatnonzero(self.leaf)], dtype=np.float64)


def read_one(stage: Stage) -> Forest:
    """The tree of a saved decision tree."""
    nodes = stage.table()
    return _forest(stage, nodes, np.zeros(len(nodes), dtype=np.int64), np.ones(1))


def read(stage: Stage) -> Forest:
    """The trees of a saved ensemble, in order, with their weights."""
    table = stage.table()
    trees = stage.table("treesMetadata")
    order = np.argsort(trees.column(0).to_numpy())
    weights = trees.column(2).to_numpy()[order].astype(np.float64)
    node = pa.chunked_array(table.column("nodeData")).combine_chunks()
    nodes = pa.Table.from_arrays(node.flatten(), names=[field.name for field in node.type])
    return _forest(stage, nodes, table.column("treeID").to_numpy().astype(np.int64), weights)


def _forest(stage: Stage, nodes: pa.Table, tree: np.ndarray, weights: np.ndarray) -> Forest:
    own = nodes.column("id").to_numpy().astype(np.int64)
    order = np.lexsort((own, tree))
    nodes, tree, own = nodes.take(order), tree[order], own[order]
    starts = np.searchsorted(tree, np.arange(len(weights)))
    if not np.array_equal(own, np.arange(len(own)) - starts[tree]):
        raise BundleError(
            f"the nodes of the saved {stage.name} {stage.uid} are not numbered from 0 within each tree",
            next_step="save the model again",
        )

    def child(side: str) -> np.ndarray:
        within = nodes.column(side).to_numpy()
        return np.where(within < 0, -1, within + starts[tree])

    split = nodes.column("split").combine_chunks()
    return Forest(
        tree,
        child("leftChild"),
        child("rightChild"),
        split.field("featureIndex").to_numpy(),
        split.field("leftCategoriesOrThreshold").to_pylist(),
        split.field("numCategories").to_numpy(),
        nodes.column("prediction").to_numpy(),
        nodes.column("impurityStats").to_pylist(),
        weights,
    )


def ensemble(
    graph: Graph, features: str, forest: Forest, leaf_values: np.ndarray, *, apart: bool = False
) -> str:
    """The values float64 [leaves] of the leaves that each row reaches: summed [N, 1], or each tree apart [N, trees]."""
    leaf = forest.leaf
    leaf_number = np.cumsum(leaf) - 1
    leaf_targets = forest.leaf_trees() if apart else np.zeros(len(leaf_values), dtype=np.int64)
    inner = np.flatnonzero(~leaf)
    roots = np.searchsorted(forest.tree, np.arange(forest.trees))
    lone = roots[leaf[roots]]

    modes, members, swapped, thresholds = [], [], [], []
    for node in inner:
        left = forest.splits[node]
        if forest.categories[node] < 0:
            modes.append(_LESS_OR_EQUAL)
            thresholds.append(left[0])
            swapped.append(False)
        else:
            tested, is_right = tested_categories(left, int(forest.categories[node]))
            modes.append(_MEMBER)
            thresholds.append(0.0)
            members.extend([*tested, np.nan])  # NaN ends the node's set
            swapped.append(is_right)

    swap = np.array(swapped, dtype=bool)
    on_true = np.where(swap, forest.right[inner], forest.left[inner])
    on_false = np.where(swap, forest.left[inner], forest.right[inner])
    # A node's position among the nodes written: inner ones in order, then a dummy split for each lone leaf.
    written = np.cumsum(~leaf) - 1
    written[lone] = len(inner) + np.arange(len(lone))
    lone_leaf = leaf_number[lone]
    extra = len(leaf_values) + np.arange(len(lone))  # the other side of a dummy split is a leaf of its own

    def target(nodes: npt.NDArray[np.int64]) -> list[int]:
        numbers: list[int] = np.where(leaf[nodes], leaf_number[nodes], written[nodes]).tolist()
        return numbers

    return graph.op(
        "TreeEnsemble",
        features,
        domain=ML,
        n_targets=forest.trees if apart else 1,
        aggregate_function=_SUM,
        post_transform=_NO_TRANSFORM,
        tree_roots=written[roots].tolist(),
        nodes_modes=numpy_helper.from_array(np.array(modes + [_LESS_OR_EQUAL] * len(lone), dtype=np.uint8)),
        nodes_featureids=[*forest.feature[inner].tolist(), *[0] * len(lone)],
        nodes_splits=numpy_helper.from_array(np.array(thresholds + [0.0] * len(lone), dtype=np.float64)),
        nodes_truenodeids=[*target(on_true), *lone_leaf.tolist()],
        nodes_trueleafs=[*leaf[on_true].astype(int).tolist(), *[1] * len(lone)],
        nodes_falsenodeids=[*target(on_false), *extra.tolist()],
        nodes_falseleafs=[*leaf[on_false].astype(int).tolist(), *[1] * len(lone)],
        leaf_targetids=[*leaf_targets.tolist(), *leaf_targets[lone_leaf].tolist()],
        leaf_weights=numpy_helper.from_array(np.append(leaf_values, leaf_values[lone_leaf])),
        **({"membership_values": numpy_helper.from_array(np.array(members))} if members else {}),
    )


def tested_categories(left: list[float], categories: int) -> tuple[list[float], bool]:
    """The categories that Spark compares with, and whether they go right.

    Source: org.apache.spark.ml.tree.CategoricalSplit (isLeft, shouldGoLeft).
    """
    if len(left) <= categories // 2:
        return sorted(left), False
    return sorted(set(map(float, range(categories))) - set(left)), True
