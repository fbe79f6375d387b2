// Package load is the side of a benchmark that makes calls: a process that does what it is told, and tells
// what it has used. Each of the rivals is such a process, and one that answers.
package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/divisi-go/divisi/bench/profile"
)

// Variables of the environment tell a process what it is.
const (
	RoleVariable     = "DIVISI_BENCH_ROLE"     // system and side, such as "gRPC client"
	ControlVariable  = "DIVISI_BENCH_CONTROL"  // the socket at which it gets its orders
	NetworkVariable  = "DIVISI_BENCH_NETWORK"  // unix, tcp, or tls, which is TCP with certificates on both sides
	AddressVariable  = "DIVISI_BENCH_ADDRESS"  // where the system's server listens
	IdentityVariable = "DIVISI_BENCH_IDENTITY" // a file with the certificate and the key of both sides
)

// Payload is what goes both ways in a call.
type Payload string

// The payloads.
const (
	Nothing Payload = "nothing"
	Struct  Payload = "message" // a Message
	Large   Payload = "64 KB"
	Huge    Payload = "1 MB"
)

// Size is how many bytes a payload takes, about.
func (p Payload) Size() int {
	switch p {
	case Struct:
		return MessageSize
	case Large:
		return 64 << 10
	case Huge:
		return 1 << 20
	}
	return 0
}

// zeros are what all callers send that send bytes. With some for each of them, the heap of a process with many
// would be so large that the collector never ran again, and every call would get memory that is new to the system.
var zeros = sync.OnceValue(func() []byte { return make([]byte, Huge.Size()) })

// Bytes are those of a payload. They are everybody's, and nobody changes them.
func (p Payload) Bytes() []byte { return zeros()[:p.Size()] }

// Caller makes one call with a payload and gets the same back. It is used by one goroutine.
type Caller func(context.Context, Payload) error

// Order is what a process is asked.
type Order struct {
	Run      bool // make calls; else only say what was used
	Weigh    bool // say what is held in memory as well
	Payload  Payload
	Callers  int
	Time     time.Duration
	Deadline time.Duration
}

// Answer is what it says.
type Answer struct {
	Role  string // the first one only
	Err   string
	Usage Usage
	Load  Load
	Held  uint64 // bytes of the heap and of stacks, after garbage is collected
}

// Usage is what a process has used since it began.
type Usage struct {
	CPU      time.Duration
	Mallocs  uint64
	Written  uint64 // bytes
	Syscalls uint64 // that read and write
	Switches uint64 // of threads
}

func used() (u Usage, err error) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return u, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u = Usage{
		CPU:     time.Duration(r.Utime.Nano() + r.Stime.Nano()),
		Mallocs: m.Mallocs, Switches: uint64(r.Nvcsw + r.Nivcsw),
	}

	file, err := os.Open("/proc/self/io")
	if err != nil {
		return u, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var n uint64
		switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
		case "wchar":
			fmt.Sscan(value, &u.Written)
		case "syscr", "syscw":
			fmt.Sscan(value, &n)
			u.Syscalls += n
		}
	}
	return u, nil
}

// held returns what is held in memory. What pools keep is garbage at the second collection.
func held() uint64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// Since returns what was used since before.
func (u Usage) Since(before Usage) Usage {
	return Usage{
		CPU: u.CPU - before.CPU, Mallocs: u.Mallocs - before.Mallocs, Written: u.Written - before.Written,
		Syscalls: u.Syscalls - before.Syscalls, Switches: u.Switches - before.Switches,
	}
}

// Obey does what it is told until nothing more comes. A process that answers has no callers.
func Obey(role string, callers func() (Caller, error)) error {
	if err := profile.Begin(role); err != nil {
		return err
	}
	conn, err := net.Dial("unix", os.Getenv(ControlVariable))
	if err != nil {
		return err
	}
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	if err := out.Encode(Answer{Role: role}); err != nil {
		return err
	}

	crew := crew{hire: callers}
	for {
		var o Order
		if err := in.Decode(&o); err != nil {
			return nil // the end
		}
		runtime.SetDefaultGOMAXPROCS() // as many as a process has that starts where this one has been moved to
		var a Answer
		if o.Run {
			a.Load, err = crew.run(o)
		}
		if err == nil {
			a.Usage, err = used()
		}
		if o.Weigh {
			a.Held = held()
		}
		if err != nil {
			a.Err = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
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
