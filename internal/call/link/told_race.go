//go:build race

package link

import "sync/atomic"

// told is for the race detector: what a goroutine does before it writes to a socket is known to who reads
// that, as it is with [net.Conn], also when two pieces are written at once.
var told atomic.Uint64

func tell() { told.Add(1) }

func hear() { told.Load() }
