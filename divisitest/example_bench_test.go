package divisitest_test

import (
	"testing"

	"github.com/divisi-go/divisi/divisitest"
)

// benchmarkTotal measures a call in one process, one that is encoded, and one between processes.
// Name it BenchmarkTotal.
func benchmarkTotal(b *testing.B) {
	for _, runner := range divisitest.AllRunners() {
		runner.Fakes = []divisitest.FakeComponent{divisitest.Fake[Prices](onePrice(5))}
		runner.Bench(b, func(b *testing.B, cart Cart) {
			for b.Loop() {
				if _, err := cart.Total(b.Context(), "apple"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func ExampleRunner_Bench() {
	var b *testing.B // by go test
	benchmarkTotal(b)
}
