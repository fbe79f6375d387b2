// Package proc is what the kernel tells of processes.
package proc

import (
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// userHz is how the kernel counts the time of processors in /proc, on every architecture.
const userHz = 100

// Stat is what the kernel tells of a process.
type Stat struct {
	Parent, Group, Session int
	Ended                  bool          // only its parent has not asked yet how
	CPU                    time.Duration // how long the processors have worked for it, in steps of 10 ms
	Ticks                  uint64        // see [StartTicks]
	Status                 int           // how it ended, as for wait(2); -1 if that is not told
}

// CPUTime returns how long the processors have worked for a process, in steps of 10 ms. It is an
// error where that is not known.
func CPUTime(pid int) (time.Duration, error) {
	s, err := ReadStat(pid)
	return s.CPU, err
}

// StartTicks returns when a process started, as the kernel counts it; 0 if nobody knows. With its
// number, it tells the process from all others since the machine started.
func StartTicks(pid int) uint64 {
	s, _ := ReadStat(pid)
	return s.Ticks
}

// ReadStat returns what the kernel tells of a process.
func ReadStat(pid int) (Stat, error) {
	text, err := Text(pid, "stat", maxStat)
	if err != nil {
		return Stat{}, err
	}
	return parseStat(text)
}

const maxStat = 4 << 10 // bytes; it has some fifty numbers, and the name of the program

// Text returns what is in one of the files of a process in /proc, up to a number of bytes. Who looks at
// all processes reads many of them: it asks the kernel for nothing else, while an [os.File] would be
// offered to the poller first.
func Text(pid int, name string, most int) ([]byte, error) {
	path := "/proc/" + strconv.Itoa(pid) + "/" + name
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)

	text := make([]byte, 0, min(most, 4<<10))
	for len(text) < most {
		text = slices.Grow(text, 1)
		n, err := syscall.Read(fd, text[len(text):min(cap(text), most)])
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return text, &fs.PathError{Op: "read", Path: path, Err: err}
		case n == 0:
			return text, nil
		}
		text = text[:len(text)+n]
	}

	return text, nil
}

// parseStat reads the stat of a process. Its second field is the name of the program, which may have
// spaces and parentheses.
func parseStat(text []byte) (Stat, error) {
	_, rest, _ := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(" "))
	fields := bytes.Fields(rest)
	// Of the fields behind the name.
	const state, parent, group, session, user, system, threads, start = 0, 1, 2, 3, 11, 12, 17, 19
	if len(fields) <= start {
		return Stat{}, fmt.Errorf("%q is no stat of a process", text)
	}

	var numbers [start + 1]uint64
	for _, at := range []int{parent, group, session, user, system, threads, start} {
		n, err := strconv.ParseUint(string(fields[at]), 10, 64)
		if err != nil {
			return Stat{}, err
		}
		numbers[at] = n
	}
	used := numbers[user] + numbers[system]
	if used < numbers[user] || used > 1<<48 {
		return Stat{}, fmt.Errorf("%q has no time of processors", text)
	}
	if max(numbers[parent], numbers[group], numbers[session]) > math.MaxInt32 {
		return Stat{}, fmt.Errorf("%q has no numbers of processes", text)
	}

	exit := -1
	const status = 49 // told to whoever may trace the process
	if len(fields) > status {
		code, err := strconv.ParseUint(string(fields[status]), 10, 16)
		if err == nil {
			exit = int(code)
		}
	}

	return Stat{
		Status: exit,
		Parent: int(numbers[parent]), Group: int(numbers[group]), Session: int(numbers[session]),
		// One whose first thread has ended runs on with the others.
		Ended: bytes.ContainsAny(fields[state], "ZXx") && numbers[threads] <= 1,
		CPU:   time.Duration(used) * time.Second / userHz,
		Ticks: numbers[start],
	}, nil
}

// BootID returns which start of the machine this is; "" if nobody knows.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
