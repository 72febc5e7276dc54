"""Transport estimators: the plans of the solvers, and the manners of POT's."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from sklearn.base import clone

import wellposed as wp

MODELS = {
    "sum of norms": wp.sklearn.SumOfNormsTransport(lam=0.05),
    "group lasso": wp.sklearn.GroupLassoTransport(),
}


@pytest.fixture(params=MODELS)
def model(request):
    return clone(MODELS[request.param])


@pytest.fixture
def clouds():
    return wp.problems.class_clouds(per_class=6)


def test_plans_are_those_of_the_solvers(clouds):
    c = clouds
    model = clone(MODELS["sum of norms"]).fit(Xs=c.sources, ys=c.source_labels, Xt=c.targets)
    expected = wp.transport.sum_of_norms(
        c.cost,
        lam=0.05,
        row_weights=wp.transport.class_weights(c.source_labels),
        column_weights=wp.transport.gaussian_weights(c.targets),
    )
    assert model.cost_ == pytest.approx(c.cost)
    assert model.coupling_ == pytest.approx(expected.rounded, abs=1e-9)
    assert model.certificate_.relative <= 1e-3
    grouped = clone(MODELS["group lasso"]).fit(Xs=c.sources, ys=c.source_labels, Xt=c.targets)
    expected = wp.transport.group_lasso(c.cost, labels=c.source_labels, reg=0.01 * 144, eta=0.1)
    assert grouped.coupling_ == pytest.approx(expected.rounded, abs=1e-9)


def test_they_stand_in_place_of_transports_of_pot(model, clouds):
    c = clouds
    assert isinstance(model, ot.da.BaseTransport)
    peer = ot.da.EMDTransport(norm="max").fit(Xs=c.sources, ys=c.source_labels, Xt=c.targets)
    model.fit(Xs=c.sources, ys=c.source_labels, Xt=c.targets)
    assert model.mu_s == pytest.approx(peer.mu_s)
    assert model.coupling_.sum(axis=1) == pytest.approx(model.mu_s)
    assert model.coupling_.sum(axis=0) == pytest.approx(model.mu_t)
    # With the same plan all else is the same.
    peer.coupling_ = model.coupling_
    new = c.sources + 0.1
    for mine, theirs in (
        (model.transform(Xs=c.sources), model.coupling_ @ c.targets * 12),
        (model.transform(Xs=c.sources), peer.transform(Xs=c.sources)),
        (model.transform(Xs=new), peer.transform(Xs=new)),
        (model.inverse_transform(Xt=c.targets), peer.inverse_transform(Xt=c.targets)),
        (model.inverse_transform(Xt=c.targets + 0.1), peer.inverse_transform(Xt=c.targets + 0.1)),
        (model.transform_labels(c.source_labels), peer.transform_labels(c.source_labels)),
    ):
        assert mine == pytest.approx(theirs)
    again = clone(model).fit_transform(Xs=c.sources, ys=c.source_labels, Xt=c.targets)
    assert again == pytest.approx(model.transform(Xs=c.sources))


def test_classes_of_targets_keep_classes_apart(model, clouds):
    c = clouds
    unknown = np.where(np.arange(12) % 3 == 0, -1, c.target_labels)
    model.fit(Xs=c.sources, ys=c.source_labels, Xt=c.targets, yt=c.target_labels)
    assert c.mixed_mass(model.coupling_) < 1e-3
    assert model.limit_max == 10
    model.fit(Xs=c.sources, ys=c.source_labels, Xt=c.targets, yt=unknown)
    known = (unknown >= 0) & (c.source_labels[:, None] != unknown)
    assert model.coupling_[known].sum() < 1e-3


def test_other_weights_of_pairs(clouds):
    c = clouds
    near = wp.sklearn.SumOfNormsTransport(lam=0.05, source="gaussian", target=None, neighbours=3)
    near.fit(Xs=c.sources, Xt=c.targets)
    expected = wp.transport.sum_of_norms(
        c.cost, lam=0.05, row_weights=wp.transport.gaussian_weights(c.sources, neighbours=3)
    )
    assert near.coupling_ == pytest.approx(expected.rounded, abs=1e-9)
    classes = wp.sklearn.SumOfNormsTransport(lam=1.0, target="labels")
    classes.fit(Xs=c.sources, ys=c.source_labels.astype(float), Xt=c.targets, yt=c.target_labels)
    same = c.source_labels[:, None] == c.target_labels
    assert classes.coupling_ == pytest.approx(same / same.sum(), abs=1e-9)


def test_precision_and_kind_are_kept(model, clouds):
    c = clouds
    single = model.fit(Xs=c.sources.astype(np.float32), ys=c.source_labels, Xt=c.targets.astype(np.float32))
    assert single.coupling_.dtype == np.float32
    assert single.transform(Xs=c.sources.astype(np.float32)).dtype == np.float32
    tensors = clone(model).fit(
        Xs=torch.as_tensor(c.sources), ys=torch.as_tensor(c.source_labels), Xt=torch.as_tensor(c.targets)
    )
    assert isinstance(tensors.transform(Xs=torch.as_tensor(c.sources)), torch.Tensor)
    assert tensors.coupling_.numpy() == pytest.approx(single.coupling_, abs=1e-3)


def test_degenerate_clouds(model, clouds):
    c = clouds
    same = clone(model).fit(Xs=np.ones((4, 2)), ys=np.array([0, 0, 1, 1]), Xt=np.ones((3, 2)))
    assert same.coupling_ == pytest.approx(np.full((4, 3), 1 / 12))
    assert same.transform(Xs=np.ones((4, 2))) == pytest.approx(np.ones((4, 2)))
    one = clone(model).fit(Xs=c.sources[:1], ys=c.source_labels[:1], Xt=c.targets[:1])
    assert one.coupling_ == pytest.approx(1.0)
    for labels in (
        np.zeros(12, dtype=int),
        np.arange(12),
        np.full(12, -1),
        np.r_[5, np.zeros(11, dtype=int)],
    ):
        fitted = clone(model).fit(Xs=c.sources, ys=labels, Xt=c.targets)
        assert fitted.coupling_.sum(axis=1) == pytest.approx(np.full(12, 1 / 12))
        assert fitted.certificate_.relative <= 1e-3
    lists = clone(model).fit(Xs=c.sources.tolist(), ys=c.source_labels.astype(bool), Xt=c.targets.tolist())
    plain = clone(model).fit(Xs=c.sources, ys=c.source_labels, Xt=c.targets)
    assert lists.coupling_ == pytest.approx(plain.coupling_)


def test_bad_input(model, clouds):
    x, y, z = clouds.sources, clouds.source_labels, clouds.targets
    for arguments, message in (
        ({"Xs": x, "ys": y}, "Xt is missing"),
        ({"Xs": x, "ys": y[:3], "Xt": z}, "ys has shape"),
        ({"Xs": x, "ys": y + 0.5, "Xt": z}, "ys must be integers"),
        ({"Xs": x, "ys": np.array(["a", "b"])[y], "Xt": z}, "numbers the names of classes"),
        ({"Xs": x, "ys": y, "Xt": z[:, :1]}, "Xs has 2 features, but Xt has 1"),
        ({"Xs": x[0], "ys": y, "Xt": z}, "Xs must have shape"),
        ({"Xs": x * np.nan, "ys": y, "Xt": z}, "Xs"),
        ({"Xs": x, "Xt": z}, "needs ys"),
    ):
        with pytest.raises(ValueError, match=message):
            clone(model).fit(**arguments)
    model.limit_max = np.inf
    with pytest.raises(ValueError, match="limit_max"):
        model.fit(Xs=x, ys=y, Xt=z)


def test_unknown_options(clouds):
    with pytest.raises(ValueError, match="target must be"):
        wp.sklearn.SumOfNormsTransport(target="near").fit(
            Xs=clouds.sources, ys=clouds.source_labels, Xt=clouds.targets
        )
    with pytest.raises(AttributeError, match="has no attribute"):
        _ = wp.sklearn.NoSuchTransport
