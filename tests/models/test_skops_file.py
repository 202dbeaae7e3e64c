"""Classifiers stored with skops: what is read back predicts the same, and nothing runs that was not named."""

import io
import json
import zipfile

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from drawing import Centroids
from modelzero.errors import ModelError
from modelzero.models import skops_file
from modelzero.models.classifier import rows_of
from modelzero.models.learner import learner_from
from modelzero.models.skops_file import as_file, from_file

pytest.importorskip("skops")


@pytest.fixture(scope="module")
def rows(digits):
    return rows_of(digits.train.images[:300]), digits.train.labels[:300].numpy()


@pytest.mark.parametrize(
    "classifier",
    [
        make_pipeline(StandardScaler(), SGDClassifier(max_iter=5, tol=None)),
        RandomForestClassifier(5),
        HistGradientBoostingClassifier(max_iter=2),
        SVC(),
        KNeighborsClassifier(algorithm="kd_tree"),
        MLPClassifier(max_iter=300, tol=0.1),
        make_pipeline(SelectKBest(k=60), GaussianNB()),
    ],
    ids=lambda each: type(each).__name__,
)
@pytest.mark.filterwarnings("ignore:Features:UserWarning", "ignore:invalid value:RuntimeWarning")
def test_what_is_read_back_predicts_the_same(rows, classifier):
    """Also trees, which skops trusts only if it is told to."""
    content = as_file(classifier.fit(*rows))
    np.testing.assert_array_equal(from_file(content).predict(rows[0]), classifier.predict(rows[0]))


def test_a_lambda_cannot_be_stored(refuses):
    """Nobody could find it again; the reason is short enough for a record, and names no path."""
    with refuses(ModelError, "a Pipeline that skops cannot store", "<lambda>") as caught:
        as_file(make_pipeline(FunctionTransformer(lambda rows: rows), GaussianNB()))
    assert "/" not in str(caught.value)


def test_own_types_have_to_be_named(rows, refuses):
    """With the option to add."""
    content = as_file(Centroids().fit(*rows))
    with refuses(ModelError, "uses drawing.Centroids", "--trust drawing.Centroids", "trusted=['drawing.Cent"):
        from_file(content)
    assert type(from_file(content, ["drawing.Centroids"])) is Centroids


def forged(classifier, old, new):
    """Store a classifier, and let its file name another type."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(as_file(classifier))) as file, zipfile.ZipFile(changed, "w") as copy:
        for entry in file.infolist():
            text = file.read(entry)
            if entry.filename == "schema.json":
                assert all(json.dumps(each).encode() in text for each in old)
                for before, after in zip(old, new, strict=True):
                    text = text.replace(json.dumps(before).encode(), json.dumps(after).encode())
            copy.writestr(entry.filename, text)
    return changed.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "numpy.testing.rundocs",
        "scipy.LowLevelCallable",
        "sklearn.datasets._base.clear_data_home",  # a function, which removes a folder
        "sklearn.utils.parallel.Parallel",  # a class of scikit-learn's, derived from joblib's
        "sklearn.utils._testing.SkipTest",  # a class that scikit-learn only imports
        "sklearn_evil.Type",
        "sklearn.no.such",
    ],
)
def test_only_classes_that_scikit_learn_defines_are_trusted(name):
    """Not what it imports, and no function; nothing outside it is even imported to find out."""
    assert skops_file._is_of_sklearn(name) == (name == "sklearn.utils.parallel.Parallel")


def test_a_forged_type_is_named_and_not_imported(rows, tmp_path, monkeypatch, refuses):
    """The module that the file names would tell if somebody had imported it."""
    (tmp_path / "evil.py").write_text("open('ran', 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    content = forged(GaussianNB().fit(*rows), ["GaussianNB", "sklearn.naive_bayes"], ["Type", "evil"])
    with refuses(ModelError, "evil.Type"):
        from_file(content)
    assert not (tmp_path / "ran").exists()


def test_damaged_and_compressed_files(rows):
    """No error of another library; a small file cannot fill the memory."""
    content = as_file(GaussianNB().fit(*rows))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", "{}")
    for bad in (b"nonsense", content[:-100], packed.getvalue()):
        with pytest.raises(ValueError, match=r"BadZipFile|compressed"):
            from_file(bad)
    with pytest.raises(ValueError, match="StandardScaler, not a classifier"):
        learner_from(as_file(StandardScaler().fit(rows[0])), 10, 42)
