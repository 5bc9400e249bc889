"""What a process that the workshop starts finds in its environment: what a computation needs, and no secret of ours."""

from __future__ import annotations

from collections.abc import Mapping

_KEPT = {
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "CC", "CXX", "HF_HOME", "HF_HUB_CACHE",
    "HF_HUB_OFFLINE", "HF_ENDPOINT", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
    "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "GLASSBOX_ARTIFACTS_URL",
}  # fmt: skip
_KEPT_BEGINNINGS = (
    "LC_", "XDG_", "PYTHON", "OMP_", "MKL_", "OPENBLAS_", "KMP_", "GOMP_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_",
    "TORCH", "TRITON_", "COVERAGE_", "AWS_",  # the last for the store of artifacts
)  # fmt: skip
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")


def child_environment(own: Mapping[str, str], *, threads: int | None) -> dict[str, str]:
    """What is kept of the server's `own` environment. threads: CPU threads to compute with; None doesn't say."""
    kept = {name: value for name, value in own.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)}
    if threads is not None:
        kept |= dict.fromkeys(_THREAD_VARIABLES, str(threads))
    # Modules come from where they are installed, never from the folder that it happens to work in.
    return kept | {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}
