module hello

go 1.26.0

require github.com/ServiceWeaver/weaver v0.20.0
