# A machine that checks and builds a project which is mounted at /project. On Linux, mlx computes on the CPU.
#     docker build -t punie-build .
#     docker run --rm -v "$PWD:/project" punie-build plan
# `--build-arg EXTRAS=shared,tables,cluster` adds other extras.
# Files that it writes belong to the user 1000; `--user "$(id -u):$(id -g)"` makes them yours.
FROM python:3.12-slim AS wheel
WORKDIR /source
COPY . .
RUN pip install --no-cache-dir build && python -m build --wheel --outdir /wheel

FROM python:3.12-slim
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*
ARG EXTRAS=shared,tables
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir "$(echo /wheel/*.whl)[$EXTRAS]" && rm -r /wheel \
    && useradd --create-home --uid 1000 builder && mkdir /project && chown builder /project
USER builder
ENV HOME=/home/builder PYTHONUNBUFFERED=1
WORKDIR /project
ENTRYPOINT ["punie-build"]
CMD ["plan"]
