// Package work is what the processes of a benchmark do in which too much is asked: servers do tasks, and
// clients give them away as they are told to.
package work

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/bench/profile"
)

// Task is what a server is to do.
type Task struct {
	Compute time.Duration // time of a processor, about
	Wait    time.Duration // at random, this on average
	Body    []byte
	Usage   bool // instead, say how much time of processors the process has taken
}

// slower is how many times as long a process waits that is to be slow.
const slower = 10

// Do computes or waits, and gives back what it is given.
func Do(t Task) []byte {
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
		Exit(err)
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

// Exit ends the process.
func Exit(err error) {
	err = errors.Join(err, profile.End())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
