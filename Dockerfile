# One image for the service, the worker and the migration; compose says which it runs.
FROM python:3.11-slim

# Name an index of CPU-only PyTorch wheels to have an image some 5 GB smaller:
#   docker build --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .
ARG TORCH_INDEX_URL=""

# What compiles training steps and the counting loop for the processor that the worker runs on, when it first runs there.
# The official image has Python's headers; where Python is Debian's, they are in a package of their own.
RUN apt-get update && apt-get install -y --no-install-recommends g++ \
 && (test -e "$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" \
     || apt-get install -y --no-install-recommends libpython3-dev) \
 && rm -rf /var/lib/apt/lists/*

WORKDIR /app

# The dependencies first and alone, so that a change of our code does not install them again.
COPY pyproject.toml ./
RUN if [ -n "$TORCH_INDEX_URL" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX_URL" torch torchvision; fi \
 && python -c "import tomllib; print('\n'.join(tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies']))" > requirements.txt \
 && pip install --no-cache-dir -r requirements.txt

COPY README.md LICENSE ./
COPY normcore normcore
COPY normlab normlab
COPY service service
COPY worker worker
COPY migrations migrations
RUN pip install --no-cache-dir --no-deps .

RUN useradd --create-home --uid 10001 normlab && mkdir /data && chown normlab /data
USER normlab
ENV NORMLAB_DATA_DIR=/data NORMLAB_DATABASE_URL=sqlite:////data/normlab.db MPLCONFIGDIR=/tmp/matplotlib PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
CMD ["python", "-m", "service"]
