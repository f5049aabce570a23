"""Fits small models as users do, and pickles them into a folder; runs in the environment for conversion."""

import sys
import warnings
from pathlib import Path

import joblib
import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC

warnings.simplefilter("ignore")
random = np.random.default_rng(0)
ROWS = 200
X = random.normal(size=(ROWS, 4)) * 1.1
FUNCTIONS = (
    np.abs, np.cbrt, np.ceil, np.exp, np.exp2, np.expm1, np.fabs, np.floor, np.log, np.log10, np.log1p,
    np.log2, np.negative, np.reciprocal, np.sign, np.sqrt, np.square, np.tanh,
)  # fmt: skip
TWO = (X[:, 0] + X[:, 1] + 0.3 * random.normal(size=ROWS) > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
HOLES = np.where(random.random(X.shape) < 0.1, np.nan, X)
TEXTS = [
    "Free money  now",
    "hello, how are you?",
    "WIN a cash prize!",
    "see you at the café",
    "año nuevo 2024",
    "köln",
]
TEXTS = [f"{one} {other}" for one in TEXTS for other in TEXTS]
SPAM = np.array(["spam" if "cash" in text or "money" in text else "ham" for text in TEXTS])
TABLE = pd.DataFrame(
    {
        "age": np.where(random.random(ROWS) < 0.1, np.nan, 40 + 10 * X[:, 0]),
        "city": random.choice(np.array(["Rome", "Oslo", "Köln", np.nan], object), ROWS),
        "size": random.choice(np.array(["S", "M", "L", None], object), ROWS),
        "note": random.choice(TEXTS, ROWS),
    }
)
CATEGORIES = pd.DataFrame({"a": X[:, 0], "kind": pd.Categorical(random.choice(["x", "y", "z"], ROWS))})
COLUMNS = ColumnTransformer(
    [
        ("age", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), ["age"]),
        ("city", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["city"]),
        (
            "size",
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
            ["size"],
        ),
        ("note", TfidfVectorizer(), "note"),
    ]
)
NAMED = pd.DataFrame(
    {
        "dropped text": random.choice(TEXTS, ROWS),
        "member?": TWO == 1,
        "age (years)": X[:, 1],
        "kind": random.choice(["x", "y"], ROWS),
        "column_0": X[:, 2],
        "dropped": X[:, 3],
    }
)
CHOSEN = ColumnTransformer(
    [
        ("numbers", StandardScaler(), ["column_0", "age (years)"]),
        ("truth", "passthrough", ["member?"]),
        ("kind", OneHotEncoder(), ["kind"]),
    ]
)
NUMBERS = pd.DataFrame(HOLES, columns=["a", "b", "c d", "e"])
BY_NAME = ColumnTransformer(
    [
        ("one", SimpleImputer(), ["c d", "a"]),
        ("two", ColumnTransformer([("inner", SimpleImputer(strategy="median"), ["e"])]), ["b", "e"]),
        ("three", make_pipeline(SimpleImputer(), StandardScaler()), ["b"]),
    ]
)
FITTED = {
    "words": make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression()).fit(TEXTS, SPAM),
    "stop-words": make_pipeline(
        CountVectorizer(ngram_range=(1, 2), stop_words=["a", "the", "are"], token_pattern=r"(?u)\b\w+\b"),
        MultinomialNB(),
    ).fit(TEXTS, SPAM),
    "characters": make_pipeline(TfidfVectorizer(analyzer="char", ngram_range=(1, 3)), LinearSVC()).fit(
        TEXTS, SPAM
    ),
    "words-of-characters": make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), norm="l1"), SGDClassifier(random_state=0)
    ).fit(TEXTS, SPAM),
    "columns": make_pipeline(COLUMNS, LogisticRegression()).fit(TABLE, TWO),
    "named": make_pipeline(CHOSEN, LogisticRegression()).fit(NAMED, THREE),
    "numbers-by-name": make_pipeline(BY_NAME, LogisticRegression()).fit(NUMBERS, THREE),
    "name-of-output": make_pipeline(ColumnTransformer([("all", "passthrough", ["label"])]), SVC()).fit(
        pd.DataFrame(X[:, :2], columns=["label", "other"]), TWO
    ),
    "indicator": make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression()).fit(
        HOLES, np.isnan(HOLES).any(axis=1)
    ),
    "indicator-of-columns": make_pipeline(
        ColumnTransformer(
            [
                ("n", make_pipeline(SimpleImputer(add_indicator=True), StandardScaler()), ["c d", "a"]),
                ("k", SimpleImputer(missing_values=-1.0, add_indicator=True), ["known"]),
            ]
        ),
        LogisticRegression(),
    ).fit(NUMBERS.assign(known=THREE - 1.0), np.isnan(HOLES[:, 0])),
    "indicator-of-texts": make_pipeline(
        SimpleImputer(strategy="most_frequent", add_indicator=True), OneHotEncoder(), LogisticRegression()
    ).fit(TABLE[["city"]], TWO),
    "calibrated-texts": CalibratedClassifierCV(
        make_pipeline(CountVectorizer(), LogisticRegression()), cv=2
    ).fit(TEXTS, SPAM),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=3).fit(X, THREE),
    "calibrated-isotonic": CalibratedClassifierCV(LogisticRegression(), cv=3, method="isotonic").fit(X, TWO),
    "clusters": make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)).fit(X),
    "histogram": HistGradientBoostingClassifier(max_iter=20).fit(HOLES, TWO),
    "histogram-of-columns": make_pipeline(
        ColumnTransformer(
            [
                ("n", "passthrough", ["a"]),
                ("scaled", StandardScaler(), ["b"]),
                ("codes", OrdinalEncoder(), ["kind"]),
            ]
        ),
        HistGradientBoostingClassifier(max_iter=20),
    ).fit(NUMBERS.assign(kind=THREE), TWO),
    "xgboost-of-columns": make_pipeline(
        ColumnTransformer([("n", "passthrough", ["b", "a"])]), xgboost.XGBRegressor(n_estimators=5)
    ).fit(NUMBERS, TWO),
    "lightgbm-of-columns": make_pipeline(
        ColumnTransformer([("n", "passthrough", ["b", "a"])]),
        lightgbm.LGBMRegressor(n_estimators=5, min_child_samples=5, verbose=-1),
    ).fit(NUMBERS, TWO),
    "forest-of-whole-numbers": make_pipeline(
        ColumnTransformer(
            [
                (str(place), scaler, [place])
                for place, scaler in enumerate(
                    (StandardScaler(), RobustScaler(), MaxAbsScaler(), MinMaxScaler())
                )
            ]
        ),
        RandomForestRegressor(20, random_state=0),
    ).fit(np.round(40 + 15 * X), 100 * X.sum(axis=1)),
    "forest": RandomForestRegressor(5, random_state=0).fit(X, 100 * X[:, 0]),
    "search": GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1, 2]}, cv=2).fit(X, TWO),
    "functions": FeatureUnion([(one.__name__, FunctionTransformer(one)) for one in FUNCTIONS]).fit(X),
    "logarithm-of-columns": make_pipeline(
        ColumnTransformer([("l", FunctionTransformer(np.log1p), ["age"])]), SimpleImputer(), Ridge()
    ).fit(TABLE, X[:, 0]),
    "target": TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge()), func=np.log, inverse_func=np.exp
    ).fit(X, np.exp(X[:, 0])),
    "targets": TransformedTargetRegressor(Ridge(), transformer=MinMaxScaler()).fit(X, 50 + 9 * X[:, :2]),
    "function": make_pipeline(FunctionTransformer(np.nan_to_num), LogisticRegression()).fit(X, TWO),
    "target-of-powers": TransformedTargetRegressor(Ridge(), transformer=PowerTransformer()).fit(X, X[:, 0]),
    "unfitted": LogisticRegression(),
    "no-model": {"weights": [1, 2]},
    "xgboost": make_pipeline(SimpleImputer(), xgboost.XGBClassifier(n_estimators=5)).fit(HOLES, THREE),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=5, min_child_samples=5, verbose=-1).fit(CATEGORIES, TWO),
}


def main() -> None:
    """Write the files."""
    folder = Path(sys.argv[1])
    for name, model in FITTED.items():
        joblib.dump(model, folder / f"{name}.joblib")
    table = pd.DataFrame(HOLES.astype(np.float32), columns=["a", "b", "c", "d e"])
    xgboost.XGBClassifier(n_estimators=5).fit(table, TWO).save_model(folder / "xgboost.json")
    regressor = lightgbm.LGBMRegressor(n_estimators=20, verbose=-1).fit(HOLES, 100 * X[:, 0])
    regressor.booster_.save_model(folder / "lightgbm.txt")


main()
