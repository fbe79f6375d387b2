module github.com/divisi-go/divisi/bench

go 1.26.0

require github.com/divisi-go/divisi v0.0.0

replace github.com/divisi-go/divisi => ../
