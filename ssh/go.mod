module github.com/divisi-go/divisi/ssh

go 1.26.0

require (
	github.com/divisi-go/divisi v0.0.0
	golang.org/x/crypto v0.58.0
)

require (
	github.com/pelletier/go-toml/v2 v2.4.3 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
