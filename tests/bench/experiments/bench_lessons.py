"""Trainings with two outcomes, known by arithmetic."""

import math

from keras_ab import Arm, Case, Claim, Experiment, Metric, Prepared, Quality, Source

SCORE = Metric("score", "score", "1", "more", "difference", margin=0.01)
COST = Metric("cost", "cost", "1", "less", "difference", margin=0.01)


def build(_case):
    return Prepared(lambda: float(sum(range(200))))


def train(recipe, _case, seed, learning_rate):
    """Learn best at a rate of 0.1; the cost is least at a rate of 0.3."""
    score = 0.9 + recipe - abs(learning_rate - 0.1) + seed / 1000
    return {"score": score, "cost": 1.0 - learning_rate + 2 * recipe}


def tune(recipe, _case, _seed, learning_rate):
    """Find a rate of 0.1 the best, by another measure than what is judged."""
    return -100.0 * abs(learning_rate - 0.1)


def other_way(_recipe, _case, _seed, learning_rate):
    """Find a rate of 0.3 the best, where what is judged is best at 0.1."""
    return learning_rate


def forgetful(_recipe, _case, _seed, _learning_rate):
    return {"score": 1.0}


def diverging(recipe, *rest):
    return train(recipe, *rest) | ({"score": math.nan} if recipe else {})


def experiment(name, train, **quality):
    return Experiment(
        name=name,
        question="What is learnt?",
        method="By arithmetic.",
        sources=(Source("A. Tester", "A test", 2024, "https://example.org"),),
        arms=(Arm("base", build, "base", recipe=0.0), Arm("more", build, "more", recipe=0.05)),
        cases=(Case({}), Case({"size": "large"}, quick=False)),
        quality=Quality(
            **{
                "metric": SCORE,
                "train": train,
                "seeds": (0, 1, 2, 3, 4),
                "learning_rates": (0.1, 0.3),
                "tuning_seeds": (100,),
                "also": (COST,),
                "tune": tune,
                **quality,
            }
        ),
        claims=(
            Claim("scores", "It scores 0.04 more.", "more", "score", at_least=0.04),
            Claim("costs", "It costs no more.", "more", "cost", at_most=0.0),
        ),
        backends=("plain",),
    )


LESSONS = experiment("lessons", train)
FORGETFUL = experiment("forgetful", forgetful)
DIVERGING = experiment("diverging", diverging, tune=lambda *asked: diverging(*asked)["score"])
OTHER_WAY = experiment("other_way", train, tune=other_way)
ONE_RATE = experiment("one_rate", train, learning_rates=(0.3,), tuning_seeds=())
FULL_ONLY = experiment("full_only", train, quick=False)
