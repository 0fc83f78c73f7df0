# The image serves on CPU by default. docs/operate/install.md lists the build arguments, also those
# for GPU and for another package index.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS runtime
# Paddle's library is linked to libgomp.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && apt-get clean \
    && rm -rf /var/lib/apt/lists/* /var/log/*
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /srv

FROM runtime AS locked
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
# pip treats an empty variable like one that is not set. The last stage has none of these variables.
ENV PIP_INDEX_URL=$PIP_INDEX_URL \
    PIP_EXTRA_INDEX_URL=$PIP_EXTRA_INDEX_URL \
    PIP_TRUSTED_HOST=$PIP_TRUSTED_HOST \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
# The image reads HEIC. REQUIREMENTS=otel adds the packages that send traces, REQUIREMENTS=grpc adds
# these and the one for gRPC, and REQUIREMENTS=serve leaves out the package for HEIC, which has parts
# under the LGPL and the GPL.
ARG REQUIREMENTS=heif
# With ENGINE=openvino or ENGINE=onnxruntime the image has no Paddle.
ARG ENGINE=paddle
COPY requirements requirements
RUN case "$ENGINE" in \
        openvino) file=$REQUIREMENTS-openvino ;; \
        onnxruntime) file=$REQUIREMENTS-onnx ;; \
        *) file=$REQUIREMENTS ;; \
    esac \
    && python3 -m venv /opt/venv \
    && pip install --quiet --require-hashes --requirement "requirements/$file.txt"

FROM locked AS weights
ARG MODEL=MobileNetV2_x1_0_keras
# Paddle builds the bundle for each engine. An empty MODEL builds none.
RUN case "$ENGINE" in \
        openvino) file=openvino ;; \
        onnxruntime) file=onnx ;; \
        *) file=weights ;; \
    esac \
    && if [ -n "$MODEL" ]; then \
        pip install --quiet --require-hashes --requirement "requirements/$file.txt"; \
    fi
COPY app app
COPY weights weights
RUN if [ -n "$MODEL" ]; then \
        python -m app weights build "$MODEL" \
        && case "$ENGINE" in \
            openvino) python -m app weights openvino "weights/$MODEL" ;; \
            onnxruntime) python -m app weights onnx "weights/$MODEL" ;; \
        esac; \
    fi

FROM locked AS serving
RUN apt-get update && apt-get install --yes --no-install-recommends binutils
ARG PADDLE_PACKAGE=paddlepaddle
ARG PADDLE_INDEX_URL
RUN version=$(pip show paddlepaddle | awk '/^Version:/ {print $2}') \
    && if [ "$PADDLE_PACKAGE" != paddlepaddle ]; then \
        pip uninstall --quiet --yes paddlepaddle \
        && pip install --quiet ${PADDLE_INDEX_URL:+--extra-index-url "$PADDLE_INDEX_URL"} \
            "$PADDLE_PACKAGE==$version"; \
    fi
# Serving loads no headers, no OpenVINO inside Paddle, no readers of other graphs and no plugins for
# other devices inside OpenVINO, no tools of ONNX Runtime, no symbols, no tests and no pip, so the
# image leaves them out. All of Paddle, which GPUs need, imports setuptools.
RUN cd /opt/venv/lib/python3*/site-packages \
    && rm -rf paddle/include paddle/libs/libopenvino_intel_cpu_plugin.so pip pip-* \
        /opt/venv/bin/pip* numpy/f2py numpy/distutils openvino/include openvino/libs/cache.json \
        onnxruntime/tools onnxruntime/transformers onnxruntime/quantization \
    && if [ ! -d paddle ]; then \
        rm -rf setuptools setuptools-* pkg_resources _distutils_hack distutils-precedence.pth; \
    fi \
    && if [ -d openvino ]; then \
        find openvino -name 'libopenvino_*_plugin.so' ! -name '*_cpu_*' -delete; \
        find openvino -name '*_frontend*.so*' ! -name '*_ir_*' -delete; \
    fi \
    && find uvloop httptools yaml -name '*.so' -exec strip --strip-unneeded {} + \
    && find . -type d -name tests -prune -exec rm -rf {} +
COPY app app
# The image's user must be able to read the code, also if it was cloned under a strict umask.
RUN rm -rf app/training app/bench \
    && chmod -R a+rX app

FROM runtime
ARG MODEL=MobileNetV2_x1_0_keras
ARG ENGINE=paddle
COPY --from=serving /opt/venv /opt/venv
COPY --from=weights /srv/weights/$MODEL weights/$MODEL
COPY --from=serving /srv/app app
# Python compiles its modules now, because it cannot keep compiled files on a read-only root. Base
# images come with a standard library that is not compiled.
RUN python -c "import app.main, app.delivery.pull, app.workers.child, app.workers.decoder_child, app.workers.forkserver, http.client; app.model.engine.library('$ENGINE')"
ENV HOME=/tmp \
    CLASSIFIER_HOST=0.0.0.0 \
    CLASSIFIER_PORT=8000 \
    CLASSIFIER_MODEL_DIR=weights/$MODEL \
    CLASSIFIER_ENGINE=$ENGINE
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s CMD ["python", "-IS", "-c", "\
import os, http.client as http\n\
server = http.HTTPConnection('127.0.0.1', int(os.environ['CLASSIFIER_PORT']), timeout=2)\n\
server.request('GET', '/health/ready')\n\
raise SystemExit(server.getresponse().status != 200)"]
ENTRYPOINT ["python", "-m", "app"]
CMD ["serve"]
ARG BASE_IMAGE
ARG VERSION=0.2.0
# The commit, and when it was made. `make image` knows both.
ARG REVISION
ARG CREATED
# Where the sources are.
ARG SOURCE=https://example.com/photo-classifier
# The licences of the service and of the package for HEIC: its own, and those of the libraries in it.
# docs/http.md names them. The other packages bring their licences in their own folders.
ARG LICENSES="Apache-2.0 AND BSD-3-Clause AND LGPL-3.0-or-later AND GPL-2.0-or-later"
LABEL org.opencontainers.image.title="photo-classifier" \
    org.opencontainers.image.description="What is in this photo? MobileNetV2 on PaddlePaddle" \
    org.opencontainers.image.licenses="$LICENSES" \
    org.opencontainers.image.base.name="$BASE_IMAGE" \
    org.opencontainers.image.version="$VERSION" \
    org.opencontainers.image.revision="$REVISION" \
    org.opencontainers.image.created="$CREATED" \
    org.opencontainers.image.source="$SOURCE" \
    org.opencontainers.image.documentation="$SOURCE/README.md"
