package call_test

import (
	"fmt"
	"testing"

	"github.com/divisi-go/divisi/codegen"
	"github.com/divisi-go/divisi/internal/call"
	"github.com/divisi-go/divisi/internal/call/balance"
	"github.com/divisi-go/divisi/internal/call/calltest"
)

func BenchmarkCall(b *testing.B) {
	h := calltest.ServeUnix(b, call.ServerOptions{Lookup: calltest.Handlers{1: calltest.Echo}.Lookup})
	p := newPool(b, balance.PoolOptions{}, h)
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
					r := &call.Request{Method: codegen.Key{1}, Args: make([]byte, size)}
					for b.Loop() {
						calltest.MustCall(b, p, r)
					}
					return
				}
				b.RunParallel(func(pb *testing.PB) {
					r := &call.Request{Method: codegen.Key{1}, Args: make([]byte, size)}
					for pb.Next() {
						calltest.MustCall(b, p, r)
					}
				})
			})
		}
	}
}
