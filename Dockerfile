# The workshop in a container: docker compose up, or
#   docker build -t glassbox . && docker run -p 127.0.0.1:8000:8000 -v glassbox:/workspace glassbox
#
# TORCH=cuda (docker build --build-arg TORCH=cuda) takes PyTorch's CUDA build instead of the small CPU one.

FROM python:3.11-slim

ARG TORCH=cpu
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1

WORKDIR /glassbox
COPY install.py pyproject.toml constraints.txt README.md LICENSE ./
COPY guide guide
COPY src src
RUN python install.py /opt/glassbox --torch "$TORCH" --extra postgresql --extra s3
ENV PATH=/opt/glassbox/bin:$PATH

# Runs are started by whoever the server is: nobody with rights of their own.
RUN useradd --create-home --uid 1000 glassbox && mkdir /workspace && chown glassbox /workspace
USER glassbox
ENV GLASSBOX_WORKSPACE=/workspace
VOLUME /workspace
EXPOSE 8000

HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=2)"]

# Others can reach a container, so it asks for passwords; the first person is made with
#   docker compose run --rm workshop glassbox accounts add NAME --role owner
CMD ["glassbox", "workshop", "--host", "0.0.0.0", "--port", "8000", "--people", "many"]
