module github.com/divisi-go/divisi/conformance

go 1.26.0

require (
	github.com/ServiceWeaver/weaver v0.20.0
	github.com/bufbuild/protocompile v0.14.1
	github.com/divisi-go/divisi v0.0.0
	google.golang.org/protobuf v1.36.11
)

require (
	github.com/BurntSushi/toml v1.3.2 // indirect
	github.com/google/uuid v1.3.0 // indirect
	github.com/pelletier/go-toml/v2 v2.4.3 // indirect
	go.opentelemetry.io/otel v1.16.0 // indirect
	go.opentelemetry.io/otel/trace v1.16.0 // indirect
	golang.org/x/exp v0.0.0-20230713183714-613f0c0eb8a1 // indirect
	golang.org/x/sync v0.24.0 // indirect
)
