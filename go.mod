module github.com/divisi-go/divisi

go 1.26.0

require (
	github.com/pelletier/go-toml/v2 v2.4.3 // indirect
	golang.org/x/tools v0.52.0 // indirect
)
