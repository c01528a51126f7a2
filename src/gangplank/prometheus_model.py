"""The proxy of a model that is served."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import keras
import prometheus_client
from prometheus_client import CollectorRegistry

from gangplank.checked_values import check_encodable, checked_count
from gangplank.drift import Drift
from gangplank.inference import Watch
from gangplank.weights import finite_bounds

LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


_MODEL, _WATCH, _END = (f"_PrometheusModel__{name}" for name in ("model", "watch", "end"))


class PrometheusModel:
    """A model whose predictions Prometheus sees: how many, how fast, on what data.

    It stands for the model everywhere: it has all of its attributes but those of the names `close`
    and `metrics_port`, setting one sets the model's, `isinstance` says that it is of the model's
    class, and `save` saves the model. A copy or a pickle of it is one of the model, which nobody
    watches. Predictions, and the exceptions that end them, are the model's.

    Counted is what `predict`, `predict_on_batch` and calls of the model answer; not what `fit` and
    `evaluate` do, nor calls that build a graph or that TensorFlow or JAX traces. The time of a call
    is that until it returns, which on a GPU may be before the answer is there.

    Arguments:
        model: a Keras model.
        registry: where the metrics are registered.
        port: the TCP port at which `registry` is served, in the protobuf format for a Prometheus
            that asks for it; None serves nothing, 0 takes any free one.
        get_drift_metrics_func: called with what a call was given, its first input, and what it
            answered, and returns a `Drift`; such as a `DriftMonitor`. It must not change them, and
            whoever calls the model may not reuse the memory of its input. An exception that it
            raises is counted, and the first one logged.
        name: the label `model` of all metrics; none by default, or the model's own name where
            there is a version.
        version: the label `version` of all metrics.
        address: the address that `port` is of; as `MetricsServer` has it.
        latency_buckets: the upper bounds of the histogram of latencies, in seconds, beside the
            native buckets that it has anyway.
        drift_queue_size: how many calls may wait until `get_drift_metrics_func`, which is called
            on a thread of its own, has looked at them. It is not called for those that come while
            so many wait, which are counted. 0 calls it before each call returns.

    Raises:
        TypeError: `model` is none, or `get_drift_metrics_func` cannot be called.
        ValueError: one of the others is not what it should be, or `registry` has metrics of these
            names and labels already.
        OSError: the port is not free.
    """

    __model: Any = None  # until there is one
    __watch: Watch
    __end: "weakref.finalize[[], Any]"

    def __init__(
        self,
        model: Any,
        registry: CollectorRegistry = prometheus_client.REGISTRY,
        port: int | None = None,
        get_drift_metrics_func: Callable[[Any, Any], Drift] | None = None,
        *,
        name: str | None = None,
        version: str | int | None = None,
        address: str = "0.0.0.0",
        latency_buckets: Iterable[float] = LATENCY_BUCKETS,
        drift_queue_size: int = 64,
    ) -> None:
        if not isinstance(model, keras.Model):
            raise TypeError(f"model must be an instance of keras.Model. Received {model!r}.")
        if get_drift_metrics_func is not None and not callable(get_drift_metrics_func):
            raise TypeError(
                "get_drift_metrics_func must be a function of what the model is given and what it "
                f"answers, or None. Received {get_drift_metrics_func!r}."
            )
        watch = Watch(
            registry,
            _labels(model, name, version),
            _checked_buckets(latency_buckets),
            get_drift_metrics_func,
            checked_count("drift_queue_size", drift_queue_size),
        )
        if port is not None:
            try:
                watch.serve(port, registry, address)
            except BaseException:
                watch.close()
                raise
        # Past __setattr__, which sets the model's.
        vars(self).update({_MODEL: model, _WATCH: watch})
        # Until `close`, since its function may hold this wrapper.
        vars(self)[_END] = weakref.finalize(self, watch.end_drift)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the model."""
        return self.__watch.calls["call"].call(self.__model, args, kwargs)

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`."""
        return self.__watch.calls["predict"].call(self.__model.predict, args, kwargs)

    def predict_on_batch(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict_on_batch`."""
        calls = self.__watch.calls["predict_on_batch"]
        return calls.call(self.__model.predict_on_batch, args, kwargs)

    @property
    def metrics_port(self) -> int | None:
        """The TCP port at which the registry is served, if it is."""
        return self.__watch.port

    def close(self) -> None:
        """Takes the model's metrics out of the registry, and stops serving it.

        It answers as before, and nobody is told. Calls that wait for `get_drift_metrics_func` are
        dropped.
        """
        self.__end.detach()
        self.__watch.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__model, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__model, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__model, name)

    def __dir__(self) -> Iterable[str]:
        return sorted({*dir(PrometheusModel), *dir(self.__model)})

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # isinstance asks it too
        return type(self.__model)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__model.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return f"<PrometheusModel of {self.__model!r}>"


def _labels(model: Any, name: Any, version: Any) -> dict[str, str]:
    if name is not None and (not isinstance(name, str) or not name):
        raise ValueError(f"name must be a text, such as 'mnist', or None. Received {name!r}.")
    if isinstance(version, bool) or not isinstance(version, str | int | None) or version == "":
        raise ValueError(
            f"version must be a text or an integer, such as '3', or None. Received {version!r}."
        )
    if name is None and version is None:
        return {}
    model, version = name or model.name, "" if version is None else str(version)
    check_encodable("name", model)
    check_encodable("version", version)
    return {"model": model, "version": version}


def _checked_buckets(latency_buckets: Any) -> tuple[float, ...]:
    try:
        bounds = finite_bounds(latency_buckets, "latency_buckets")
    except ValueError:
        bounds = ()
    if not bounds or bounds[0] <= 0:
        raise ValueError(
            "latency_buckets must be upper bounds in seconds, above 0 and strictly increasing, "
            f"such as [0.01, 0.1, 1.0]. Received {latency_buckets!r}."
        )
    return bounds
