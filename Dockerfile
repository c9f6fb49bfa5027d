# Visavis in a container: `visavis serve` by default, `visavis worker` and `visavis migrate` by command.
# It wants VISAVIS_DATABASE_URL, VISAVIS_REDIS_URL, VISAVIS_SECRET_KEY and VISAVIS_PUBLIC_URL.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/visavis
COPY requirements.lock ./
RUN /opt/visavis/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY server ./server
COPY media ./media
COPY signaling ./signaling
COPY jobs ./jobs
COPY web ./web
COPY static ./static
COPY loadtest ./loadtest
# hatchling is in the lock file, so the build downloads nothing that is not pinned.
RUN /opt/visavis/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/visavis --create-home visavis
COPY --from=build /opt/visavis /opt/visavis
ENV PATH=/opt/visavis/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VISAVIS_DATA_DIR=/var/lib/visavis \
    VISAVIS_HOST=0.0.0.0 \
    VISAVIS_LOG=json
USER visavis
WORKDIR /var/lib/visavis
EXPOSE 8080/tcp 8081/tcp 8081/udp
# Python is there anyway; the image needs no curl. TLS ends at the proxy in front.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ.get('VISAVIS_PORT', '8080')}/healthz\", timeout=2)"]
# docker stop sends SIGTERM: the server drains rooms, sockets and jobs within VISAVIS_SHUTDOWN_SECONDS.
STOPSIGNAL SIGTERM
CMD ["visavis", "serve"]
