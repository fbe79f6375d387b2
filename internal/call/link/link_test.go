package link

import (
	"testing"

	"github.com/divisi-go/divisi/internal/wire"
)

// TestExpect: a message of moderate length gets its memory and its credit as soon as it begins, and the
// peer can send all of it, in chunks of any size, without ever having more credit than is said.
func TestExpect(t *testing.T) {
	const window = wire.DefaultCallWindow
	for _, total := range []uint64{window, window + 1, 1 << 20, expected, expected + 1} {
		for _, chunk := range []int64{1_000, wire.MaxChunk} {
			f := Inflow{Left: window}
			memory, credit := f.Expect(total, window)
			if whole := total > window && total <= expected; whole != (credit > 0) || whole && memory != int(total) || !whole && memory != window {
				t.Fatalf("%d bytes: memory %d, credit %d", total, memory, credit)
			}

			given, sent := int64(window)+int64(credit), int64(0)
			if credit > 0 && chunk == wire.MaxChunk && given < int64(total) {
				t.Errorf("%d bytes have credit for %d", total, given)
			}
			for left := int64(total); left > 0; {
				n := min(left, chunk)
				cost := n + wire.HeaderSize
				if sent += cost; sent > given {
					t.Fatalf("%d bytes in chunks of %d: no credit after %d", total, chunk, sent-cost)
				}
				if !f.Take(cost) {
					t.Fatalf("%d bytes in chunks of %d: credit that was given is refused", total, chunk)
				}
				given += int64(f.Give(cost, window))
				left -= n
			}
		}
	}
}
