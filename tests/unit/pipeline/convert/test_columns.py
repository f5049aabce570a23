"""The user's rows as the columns of a model take them."""

import numpy as np
import pytest

from modelservice_pipeline.convert.inside.classical.estimators import Column
from modelservice_pipeline.convert.inside.classical.inputs import take
from modelservice_pipeline.errors import PipelineError


def cells(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


def test_truth_as_pandas_writes_it_is_a_number():
    (found,) = take([Column("member")], {"member": cells("True", "False", "", True, "2.5")}, 9)
    np.testing.assert_array_equal(found, np.array([1, 0, np.nan, 1, 2.5], np.float32))


def test_text_where_a_number_belongs_is_told():
    with pytest.raises(PipelineError, match="'age' of the samples holds texts such as 'old'"):
        take([Column("age")], {"age": cells("old", "1")}, 9)


def test_column_that_the_model_drops_may_be_anything_or_not_there():
    columns = [Column("note", is_used=False), Column("age")]
    for samples in ({"age": np.arange(2.0)}, {"age": np.arange(2.0), "note": cells("a", "b")}):
        dropped, age = take(columns, samples, 9)
        assert dropped.dtype == np.float32
        assert dropped.shape == (2,)
        assert age.tolist() == [0, 1]
