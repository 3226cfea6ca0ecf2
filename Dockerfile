# One image for `serve` and `train`. The base needs Python 3.11 or newer, with pip and venv.
#   docker build -t signal-scorer .
#   docker run --read-only --tmpfs /run/signal-scorer -v scorer:/var/lib/signal-scorer signal-scorer
ARG BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
COPY requirements/training.txt requirements/training.txt
RUN python3 -m venv /opt/signal-scorer \
 && /opt/signal-scorer/bin/pip install --no-cache-dir --require-hashes -r requirements/training.txt
COPY pyproject.toml README.md ./
COPY protocol protocol
COPY service service
COPY training training
RUN /opt/signal-scorer/bin/pip install --no-cache-dir hatchling \
 && /opt/signal-scorer/bin/pip install --no-cache-dir --no-build-isolation --no-deps . \
 && /opt/signal-scorer/bin/pip uninstall --yes hatchling trove-classifiers pathspec pluggy \
 && find /opt/signal-scorer -name __pycache__ -prune -exec rm -rf {} +

FROM ${BASE}
COPY --from=build /opt/signal-scorer /opt/signal-scorer
RUN useradd --system --uid 10001 --home-dir /var/lib/signal-scorer scorer \
 && install -d -o scorer -g scorer /var/lib/signal-scorer
ENV PATH=/opt/signal-scorer/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    SIGNAL_SCORER_STATE_DIR=/var/lib/signal-scorer
USER scorer
VOLUME /var/lib/signal-scorer
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["signal-scorer", "health"]
ENTRYPOINT ["signal-scorer"]
CMD ["serve"]
