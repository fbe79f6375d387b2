module github.com/divisi-go/divisi/examples/postgres

go 1.26.0

require (
	github.com/divisi-go/divisi v0.0.0
	github.com/lib/pq v1.12.3
)

require github.com/pelletier/go-toml/v2 v2.4.3 // indirect
