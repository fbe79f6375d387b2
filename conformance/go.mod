module github.com/divisi-go/divisi/conformance

go 1.26.0

require (
	github.com/bufbuild/protocompile v0.14.1
	github.com/divisi-go/divisi v0.0.0
	google.golang.org/protobuf v1.36.11
)

require (
	github.com/pelletier/go-toml/v2 v2.4.3 // indirect
	golang.org/x/sync v0.24.0 // indirect
)
