#!/usr/bin/env bash
# Generates the messages of the peers anew. Needs protoc and capnp (Debian:
# protobuf-compiler, capnproto) and the generators of the versions in go.mod:
#
#	go install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2 \
#		storj.io/drpc/cmd/protoc-gen-go-drpc capnproto.org/go/capnp/v3/capnpc-go
set -euo pipefail
cd "$(dirname "$0")"
protoc -I pb --go_out=pb --go_opt=paths=source_relative \
	--go-grpc_out=pb --go-grpc_opt=paths=source_relative \
	--go-drpc_out=pb --go-drpc_opt=paths=source_relative pb/bench.proto
capnp compile -I "$(go list -m -f '{{.Dir}}' capnproto.org/go/capnp/v3)/std" --src-prefix=capn -ogo:capn capn/bench.capnp
