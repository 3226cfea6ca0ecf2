# One image for the service and the trainer; deploy/compose.yaml runs both from it.
#   docker build -t signal-scorer .
#   docker run --read-only --tmpfs /tmp --network host -v scorer:/var/lib/signal-scorer signal-scorer
# BASE needs Python 3.11 or newer with venv, RUNTIME the same Python and no more. LOCK=service
# leaves the trainer and its libraries out, three quarters of what is added to the base.
ARG BASE=python:3.11-slim
ARG RUNTIME=${BASE}

FROM ${BASE} AS build
ARG LOCK=training
WORKDIR /src
COPY requirements requirements
RUN python3 -m venv /opt/build \
 && python3 -m venv --without-pip /opt/signal-scorer \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt \
 && /opt/build/bin/pip --python /opt/signal-scorer/bin/python install --no-cache-dir \
        --no-compile --only-binary :all: --require-hashes -r requirements/${LOCK}.txt
COPY pyproject.toml README.md ./
COPY protocol protocol
COPY service service
COPY training training
# Without the libraries' own tests and sources. Compiled is what the service and a health check
# load: without that each would compile it anew, since nothing can be written beside it.
RUN /opt/build/bin/pip wheel --no-index --no-build-isolation --no-deps --wheel-dir /wheel . \
 && /opt/build/bin/pip --python /opt/signal-scorer/bin/python install --no-index --no-compile \
        --no-deps /wheel/*.whl \
 && cd /opt/signal-scorer/lib/python3*/site-packages \
 && find . -type d \( -name tests -o -name include \) -prune -exec rm -rf {} + \
 && find . -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -o -name '*.a' \) -delete \
 && rm -rf matplotlib/mpl-data/sample_data sklearn/datasets/data sklearn/datasets/images \
 && python3 -m compileall -q -j 0 \
        -x '/(scipy|sklearn|matplotlib|fontTools|PIL|pygments|narwhals|joblib|tzdata|numpy/f2py)/' .

FROM ${RUNTIME}
COPY --from=build /opt/signal-scorer /opt/signal-scorer
# By numbers, so that the base needs no tool for users: 10001 serves, 10002 trains.
RUN echo 'scorer:x:10001:10001::/var/lib/signal-scorer:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'scorer-trainer:x:10002:10001::/var/lib/signal-scorer:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'scorer:x:10001:' >> /etc/group \
 && mkdir -p /var/lib/signal-scorer/models /run/signal-scorer \
 && chown 10001:10001 /var/lib/signal-scorer /run/signal-scorer \
 && chown 10002:10001 /var/lib/signal-scorer/models \
 && chmod 0750 /var/lib/signal-scorer /var/lib/signal-scorer/models /run/signal-scorer
ENV PATH=/opt/signal-scorer/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    SIGNAL_SCORER_STATE_DIR=/var/lib/signal-scorer \
    SIGNAL_SCORER_MONITOR_STATE=models/monitor.json
USER 10001:10001
VOLUME /var/lib/signal-scorer
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["signal-scorer", "health"]
ENTRYPOINT ["signal-scorer"]
CMD ["serve"]
