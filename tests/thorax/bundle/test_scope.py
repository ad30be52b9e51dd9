"""A bundle states what it is made for, from its training data."""

import numpy as np
import pandas as pd

from thorax.bundle.scope import Scope


def test_the_scope_is_what_the_training_data_hold() -> None:
    rows = pd.DataFrame(
        {
            "view": ["PA"] * 600 + ["AP"] * 395 + ["LATERAL"] * 5,
            "age": np.linspace(21, 88, 1000),
            "sex": ["F", "M"] * 500,
            "manufacturer": ["Fabrikam"] * 1000,
        }
    )
    scope = Scope.of(rows)
    assert (scope.views, scope.age, scope.sexes) == (("AP", "PA"), (20, 90), ("F", "M"))
    assert scope.outside("PA", 50, "F", {"manufacturer": "Fabrikam"}) == {}
    assert scope.outside(None, None, "unknown") == {}
    far = scope.outside("LATERAL", 7, "M", {"manufacturer": "Contoso"})
    assert set(far) == {"view", "age", "manufacturer"}
    assert far["age"] == "The age 7 is outside the model's training data (20 to 90 years)."


def test_what_the_training_data_do_not_say_is_not_judged() -> None:
    scope = Scope.of(pd.DataFrame({"view": ["unknown"] * 50, "age": [np.nan] * 50, "sex": [None] * 50}))
    assert scope == Scope(images=50)
    assert scope.outside("LATERAL", 7, "F") == {}
