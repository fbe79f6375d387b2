module github.com/divisi-go/divisi/lab

go 1.26.0

require (
	github.com/divisi-go/divisi v0.0.0
	github.com/hanwen/go-fuse/v2 v2.11.0
	golang.org/x/sys v0.49.0
)
