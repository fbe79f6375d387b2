package main

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/divisi-go/divisi"
)

// Work does what it is told.
type Work interface {
	// Do computes or waits, and gives back what it is given.
	Do(context.Context, Task) ([]byte, error)
}

// Task is what is to be done.
type Task struct {
	divisi.AutoMarshal
	Compute time.Duration // time of a processor, about
	Wait    time.Duration // at random, this on average
	Body    []byte
	Usage   bool // instead, say how much time of processors the process has taken
}

type worker struct{ divisi.Implements[Work] }

func (worker) Do(_ context.Context, t Task) ([]byte, error) { return do(t), nil }

// slow is how many times as long a process waits that is to be slow.
var slow = os.Getenv(slowVariable) != ""

const slower = 10

func do(t Task) []byte {
	if t.Usage {
		return binary.LittleEndian.AppendUint64(nil, uint64(used()))
	}
	compute(int(t.Compute / time.Microsecond))
	if wait := t.Wait; wait > 0 {
		if slow {
			wait *= slower
		}
		time.Sleep(wait/2 + rand.N(wait))
	}
	return t.Body
}

// used returns how much time of processors this process has taken.
func used() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		exit(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

var block = make([]byte, 16<<10)

// compute takes a number of microseconds, about; always the same time of the processor.
func compute(us int) {
	for range us {
		crc32.ChecksumIEEE(block)
	}
}
