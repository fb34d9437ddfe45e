# signerd as a sidecar: one process, no shell needed, no secret inside. docs/containers.md says how to run it.
#
# For a build that can be repeated, pin the base by digest:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:… --tag signerd .
# VERSION and REVISION are for the labels alone.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/signerd
WORKDIR /src
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --require-hashes -r requirements/build.txt \
    && /opt/build/bin/pip wheel --no-build-isolation --require-hashes --wheel-dir /wheels -r requirements/runtime.txt \
    && /opt/signerd/bin/pip install --no-deps --no-index /wheels/*.whl
COPY pyproject.toml README.md LICENSE config.example.toml ./
COPY share/ share/
COPY signerd/ signerd/
# A wheel that is built without the network, from nothing but what was copied here.
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /wheels . \
    && /opt/signerd/bin/pip install --no-deps --no-index /wheels/signerd-*.whl \
    && /opt/signerd/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="signerd" \
      org.opencontainers.image.description="Signer of a hosted Core Lightning node" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
COPY --from=build /opt/signerd /opt/signerd
# A number, so that Kubernetes' runAsNonRoot can see that it is not root; a directory for what has to last, and one
# for the control socket, over which a tmpfs goes where the root is read-only.
RUN install --directory --mode=0700 --owner=10001 --group=10001 /var/lib/signerd /run/signerd
ENV PATH=/opt/signerd/bin:$PATH \
    HOME=/var/lib/signerd \
    SIGNERD_DATA_DIR=/var/lib/signerd \
    CONFIGURATION_DIRECTORY=/etc/signerd \
    RUNTIME_DIRECTORY=/run/signerd \
    CREDENTIALS_DIRECTORY=/run/secrets \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/signerd
VOLUME /var/lib/signerd
STOPSIGNAL SIGTERM
# Ready means: what the node asks now would be answered now. A start opens a sealed secret, which takes a while.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["signerd", "health"]
ENTRYPOINT ["signerd"]
CMD ["run"]
