# syntax=docker/dockerfile:1
# The image of the command: docker build --build-arg VERSION=v1.2.3 -t milepost .
FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION
RUN GOOS=$TARGETOS GOARCH=$TARGETARCH packaging/rootfs.sh /rootfs "$VERSION"

FROM scratch
COPY --from=build /rootfs/ /
# There is no VOLUME. It would give each container an empty volume, where a job with the default
# store would start from zero without the command's warning that /state is not on a volume.
ENV XDG_STATE_HOME=/state
USER 65532:65532
ENTRYPOINT ["/usr/bin/milepost"]
CMD ["--help"]
