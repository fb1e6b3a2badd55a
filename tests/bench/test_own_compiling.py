"""What a reader's model is compiled with is changed, whatever it was and whoever compiles it."""

import numpy as np
import pytest

from keras_ab.bench.lab.words.errors import NotMeasuredHere
from keras_ab.bench.own.change import Change
from keras_ab.bench.own.compiling import NATIVE_ADAM, changed, optimizer, sparse

IN_PLACE = [NATIVE_ADAM, "adafactor_factored"]


@pytest.fixture
def model():
    """Return a model that is not compiled."""
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


def test_a_model_that_is_loaded_is_compiled_and_changed(model, tmp_path):
    import keras

    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    model.save(tmp_path / "saved.keras")
    with changed(Change(clip_norm=1.0, steps_per_execution=4)):
        loaded = keras.models.load_model(tmp_path / "saved.keras")
    assert loaded.compiled
    assert loaded.steps_per_execution == 4
    assert loaded.optimizer.global_clipnorm == 1.0
    with changed(Change()):
        assert keras.models.load_model(tmp_path / "saved.keras").compiled


def test_a_model_that_is_compiled_once_more_is_changed_once(model):
    with changed(Change(accumulate=2)):
        model.compile("adam", "mse")
        model.compile(model.optimizer, "mae")
    assert model.optimizer.gradient_accumulation_steps == 2


def test_a_model_in_float16_that_is_compiled_once_more_is_changed_once():
    import keras

    layers = [keras.Input((4,)), keras.layers.Dense(3, dtype="mixed_float16")]
    model = keras.Sequential(layers)
    model.dtype_policy = "mixed_float16"
    with changed(Change(accumulate=2)):
        model.compile("adam", "mse")
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        model.compile(model.optimizer, "mae")
    assert model.optimizer.inner_optimizer.gradient_accumulation_steps == 2


@pytest.mark.parametrize("name", IN_PLACE)
def test_weights_that_do_not_decay_do_not_in_the_optimizer_in_its_place_either(name, model):
    import keras

    own = keras.optimizers.Adam(weight_decay=0.5)
    own.exclude_from_weight_decay(var_list=[model.layers[0].kernel], var_names=["bias"])
    other = optimizer(own, Change(optimizer=name))
    for optimized in (own, other):
        assert not optimized._use_weight_decay(model.layers[0].kernel)
        assert not optimized._use_weight_decay(model.layers[0].bias)
    assert optimizer(keras.optimizers.Adam(), Change(optimizer=name))._use_weight_decay(
        model.layers[0].kernel
    )


SETTINGS = {
    "weight_decay": 0.01,
    "clipvalue": 0.5,
    "use_ema": True,
    "ema_momentum": 0.9,
    "ema_overwrite_frequency": 3,
    "loss_scale_factor": 2.0,
    "gradient_accumulation_steps": 4,
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_the_optimizer_in_place_has_the_settings_of_the_files(name):
    import keras

    own = keras.optimizers.Adam(0.25, beta_1=0.8, **SETTINGS)
    other = optimizer(own, Change(optimizer=name))
    assert float(other.learning_rate) == 0.25
    assert {setting: getattr(other, setting) for setting in SETTINGS} == SETTINGS
    assert name != NATIVE_ADAM or other.beta_1 == 0.8


def test_accumulation_comes_on_top_of_the_files():
    import keras

    own = keras.optimizers.SGD(gradient_accumulation_steps=4)
    assert optimizer(own, Change(accumulate=2)).gradient_accumulation_steps == 8


@pytest.mark.parametrize("name", ["", *IN_PLACE])
def test_an_optimizer_that_scales_the_loss_stays_around_the_one_that_is_changed(name, model):
    import keras

    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.25), initial_scale=8.0)
    chosen = optimizer(own, Change(optimizer=name, clip_norm=1.0, accumulate=2))
    assert (type(chosen), chosen.initial_scale) == (type(own), 8.0)
    inner = chosen.inner_optimizer
    assert (inner.global_clipnorm, inner.gradient_accumulation_steps) == (1.0, 2)
    assert float(inner.learning_rate) == 0.25
    assert not name or type(inner) is not keras.optimizers.Adam
    model.compile(chosen, "mse")
    x = np.ones((4, 4), "float32")
    assert np.isfinite(model.train_on_batch(x, x[:, :3]))


@pytest.fixture
def two_optimizers():
    """Return a model that keeps two optimizers of its own, as many adversarial ones do."""
    import keras

    class Adversarial(keras.Model):
        def compile(self, first, second, **given):
            super().compile(**given)
            self.first, self.second = first, second

    return Adversarial()


@pytest.mark.parametrize(
    "change", [{"optimizer": "adafactor_factored"}, {"clip_norm": 1.0}, {"accumulate": 2}], ids=str
)
def test_a_default_that_nobody_trains_with_is_not_changed(two_optimizers, change):
    with (
        changed(Change(**change)),
        pytest.raises(NotMeasuredHere, match="names its optimizer") as told,
    ):
        two_optimizers.compile("adam", "sgd")
    assert "Adversarial.compile" in told.value.received


def test_all_else_of_such_a_model_is_changed(two_optimizers):
    with changed(Change(jit=True)):
        two_optimizers.compile("adam", "sgd")
    assert two_optimizers.jit_compile


def test_a_default_that_a_model_trains_with_is_changed(model):
    with changed(Change(clip_norm=1.0)):
        model.compile(loss="mse")
    assert model.optimizer.global_clipnorm == 1.0


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_schedule_without_settings_is_kept_as_it_is(name):
    import keras

    class Halving(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 ** (keras.ops.cast(step, "float32") + 1.0)

    schedule = Halving()
    other = optimizer(keras.optimizers.Adam(schedule), Change(optimizer=name))
    assert other._learning_rate is schedule


def test_names_functions_and_objects_become_those_of_class_indices():
    import keras

    losses, metrics = keras.losses, keras.metrics
    assert sparse("categorical_crossentropy") == "sparse_categorical_crossentropy"
    assert sparse("CategoricalCrossentropy") == "SparseCategoricalCrossentropy"
    assert sparse("TopKCategoricalAccuracy") == "SparseTopKCategoricalAccuracy"
    assert sparse(losses.categorical_crossentropy) is losses.sparse_categorical_crossentropy
    assert sparse(metrics.categorical_accuracy) is metrics.sparse_categorical_accuracy
    found = sparse(metrics.TopKCategoricalAccuracy(k=3, name="top"))
    assert type(found) is metrics.SparseTopKCategoricalAccuracy
    assert (found.k, found.name) == (3, "top")


def test_what_takes_either_form_or_is_a_readers_own_stays():
    def categorical_crossentropy(y, predicted):
        return y - predicted

    for given in (None, "accuracy", "SparseCategoricalAccuracy", categorical_crossentropy):
        assert sparse(given) is given


def test_weighted_metrics_are_of_class_indices_too(model):
    import keras

    with changed(Change(labels="sparse")):
        model.compile(
            loss=keras.losses.categorical_crossentropy, weighted_metrics=["categorical_accuracy"]
        )
    x, y = np.ones((6, 4), "float32"), np.array([0, 1, 2, 0, 1, 2])
    got = model.test_on_batch(x, y, sample_weight=np.ones(6), return_dict=True)
    assert "sparse_categorical_accuracy" in got


@pytest.mark.parametrize("loss", ["mse", "binary_crossentropy"])
def test_our_loss_takes_the_place_of_its_like_alone(loss):
    model = bare()
    with changed(Change(loss="native")):
        model.compile(optimizer="sgd", loss=loss)
    assert model.loss == loss


def test_a_model_that_is_compiled_to_be_evaluated_alone_stays_so():
    model = bare()
    with changed(Change(clip_norm=1.0)):
        model.compile(optimizer=None, loss="mse")
    assert model.optimizer is None


def bare():
    import keras

    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
