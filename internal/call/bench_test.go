package call

import (
	"fmt"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

func BenchmarkCall(b *testing.B) {
	h := serveUnix(b, ServerOptions{Lookup: handlers{1: echo}.lookup})
	p := newPool(b, PoolOptions{}, h)
	for _, size := range []int{0, 1 << 10, 64 << 10, 1 << 20} {
		for _, callers := range []int{1, 16, 256} {
			if size > 1<<10 && callers > 16 {
				continue
			}
			b.Run(fmt.Sprintf("%d/x%d", size, callers), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(2 * size))
				b.SetParallelism(callers / 2)
				if callers == 1 {
					r := &Request{Method: codegen.Key{1}, Args: make([]byte, size)}
					for b.Loop() {
						mustCall(b, p, r)
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					r := &Request{Method: codegen.Key{1}, Args: make([]byte, size)}
					for pb.Next() {
						mustCall(b, p, r)
					}
				})
			})
		}
	}
}
