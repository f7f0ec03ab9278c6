# Two images: `service` answers requests and migrates the database, without PyTorch; `worker` trains.
#   docker build --target service --tag normlab-service .
#   docker build --target worker --tag normlab-worker .
FROM python:3.11-slim AS base
RUN useradd --create-home --uid 10001 normlab && mkdir /data && chown normlab /data
ENV NORMLAB_DATA_DIR=/data PYTHONUNBUFFERED=1
VOLUME /data
WORKDIR /app
# Each image installs the dependencies before it copies the code, so that a change of the code does not install them again.
# The build reads these two files; empty ones are enough for the dependencies.
RUN touch README.md LICENSE
COPY pyproject.toml ./


FROM base AS service
# Figures draw users' names with these: Chinese, Japanese and Korean; emoji in one colour; every other script.
RUN apt-get update && apt-get install -y --no-install-recommends fonts-droid-fallback fonts-symbola fonts-unifont \
 && rm -rf /var/lib/apt/lists/*
RUN pip install --no-cache-dir '.[service]'
COPY README.md LICENSE ./
COPY migrations migrations
COPY normlab normlab
COPY service service
RUN pip install --no-cache-dir --no-deps --force-reinstall .
USER normlab
ENV MPLCONFIGDIR=/tmp/matplotlib
EXPOSE 8000
CMD ["python", "-m", "service"]


FROM base AS worker
# A worker compiles training steps and the histogram loop for its own processor, when it first runs. That needs a compiler and
# Python's headers. The official image has the headers; where Python is Debian's, they are in a package of their own.
RUN apt-get update && apt-get install -y --no-install-recommends g++ \
 && (test -e "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
     || apt-get install -y --no-install-recommends libpython3-dev) \
 && rm -rf /var/lib/apt/lists/*
# An index of CPU-only PyTorch wheels makes an image that is about 5 GB smaller:
#   docker build --target worker --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .
ARG TORCH_INDEX_URL=""
RUN if [ -n "$TORCH_INDEX_URL" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX_URL" torch torchvision; fi \
 && pip install --no-cache-dir '.[worker]'
COPY README.md LICENSE ./
COPY migrations migrations
COPY normcore normcore
COPY normlab normlab
COPY worker worker
# The provenance of experiments names the commit:  --build-arg COMMIT=$(git rev-parse HEAD)
ARG COMMIT=""
RUN if [ -n "$COMMIT" ]; then echo "$COMMIT" > worker/commit.txt; fi
RUN pip install --no-cache-dir --no-deps --force-reinstall .
USER normlab
CMD ["python", "-m", "worker"]
