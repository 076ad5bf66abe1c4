# robust in a container: docker build -t robust .
#
#   BASE    an image with apt; python:3.11-slim-bookworm, or one of nvidia/cuda with Ubuntu 24.04
#   TORCH   cpu: PyTorch without CUDA; default: what pip chooses, with CUDA on Linux; none: no choice
#   EXTRAS  extras of robust, with commas: onnx,foolbox
#
# With a GPU:
#   docker build -t robust:cuda --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 \
#     --build-arg TORCH=default .
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# An image of nvidia/cuda has no Python. Versions are those of the base's own release.
# hadolint ignore=DL3008
RUN if ! python3 -m venv --help > /dev/null 2>&1 || ! python3 -m ensurepip --version > /dev/null 2>&1; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends python3 python3-venv \
      && rm -rf /var/lib/apt/lists/*; \
    fi
RUN python3 -m venv /opt/robust
ENV PATH=/opt/robust/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
ARG TORCH=cpu
RUN case "$TORCH" in \
      cpu) pip install "torch>=2.10" "torchvision>=0.25" --index-url https://download.pytorch.org/whl/cpu ;; \
      default | none) ;; \
      *) echo "TORCH is cpu, default or none, not '$TORCH'" >&2; exit 2 ;; \
    esac
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY attacks ./attacks
COPY detectors ./detectors
COPY robust ./robust
ARG EXTRAS=""
# The bounds are those of pyproject.toml.
# hadolint ignore=DL3013
RUN pip install ".${EXTRAS:+[$EXTRAS]}"

FROM ${BASE}
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008
RUN if ! python3 --version > /dev/null 2>&1; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends python3 \
      && rm -rf /var/lib/apt/lists/*; \
    fi
RUN useradd --create-home --uid 10001 --user-group robust
COPY --from=build /opt/robust /opt/robust
# Any user id may run it (docker run --user): /tmp is what each can write.
ENV PATH=/opt/robust/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
RUN chown 10001 /work
USER 10001
ENTRYPOINT ["robust"]
CMD ["--help"]
