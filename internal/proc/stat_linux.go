// Package proc is what the kernel tells of processes.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// userHz is how the kernel counts the time of processors in /proc, on every architecture.
const userHz = 100

// stat is what the kernel tells of a process.
type stat struct {
	cpu   time.Duration // how long the processors have worked for it
	ticks uint64        // when it started, since the machine did: with its number, it tells it from all others
}

// CPUTime returns how long the processors have worked for a process, in steps of 10 ms. It is an
// error where that is not known.
func CPUTime(pid int) (time.Duration, error) {
	s, err := readStat(pid)
	return s.cpu, err
}

// StartTicks returns when a process started, as the kernel counts it; 0 if nobody knows. With its
// number, it tells the process from all others since the machine started.
func StartTicks(pid int) uint64 {
	s, _ := readStat(pid)
	return s.ticks
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	return parseStat(text)
}

// parseStat reads the stat of a process. Its second field is the name of the program, which may have
// spaces and parentheses.
func parseStat(text []byte) (stat, error) {
	_, rest, _ := bytes.Cut(text[max(0, bytes.LastIndexByte(text, ')')):], []byte(" "))
	fields := bytes.Fields(rest)
	const user, system, start = 11, 12, 19 // behind the name
	if len(fields) <= start {
		return stat{}, fmt.Errorf("%q is no stat of a process", text)
	}

	var numbers [3]uint64
	for i, at := range []int{user, system, start} {
		n, err := strconv.ParseUint(string(fields[at]), 10, 64)
		if err != nil {
			return stat{}, err
		}
		numbers[i] = n
	}
	used := numbers[0] + numbers[1]
	if used < numbers[0] || used > 1<<48 {
		return stat{}, fmt.Errorf("%q has no time of processors", text)
	}

	return stat{cpu: time.Duration(used) * time.Second / userHz, ticks: numbers[2]}, nil
}

// BootID returns which start of the machine this is; "" if nobody knows.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
