# The service in an image without a compiler, run by a user without rights.
FROM rust:1.95.0-bookworm AS build
WORKDIR /source
COPY . .
# Sources and dependencies change at different rates: the caches outlive this layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --locked --release -p wallex && install -D target/release/wallex /out/wallex

FROM debian:bookworm-20260824-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates curl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/wallex --create-home wallex
COPY --from=build /out/wallex /usr/local/bin/wallex
USER wallex
WORKDIR /var/lib/wallex
ENV WALLEX_LISTEN=0.0.0.0:3000 WALLEX_DATA_DIR=/var/lib/wallex/data
VOLUME /var/lib/wallex
EXPOSE 3000
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s CMD curl -fsS http://127.0.0.1:3000/health/ready
ENTRYPOINT ["wallex"]
CMD ["serve"]
