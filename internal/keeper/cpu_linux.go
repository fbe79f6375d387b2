package keeper

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// userHz is how the kernel counts the time of processors in /proc, on every architecture.
const userHz = 100

// cpuTime returns how long the processors have worked for a process.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}

	return parseStat(stat)
}

// parseStat reads the times of a process, those of the user and of the system, from its stat. The
// second field is its name, which may have spaces and parentheses.
func parseStat(stat []byte) (time.Duration, error) {
	_, rest, _ := bytes.Cut(stat[max(0, bytes.LastIndexByte(stat, ')')):], []byte(" "))
	fields := bytes.Fields(rest)
	const user, system = 11, 12 // behind the name
	if len(fields) <= system {
		return 0, fmt.Errorf("%q is no stat of a process", stat)
	}

	var ticks int64
	for _, field := range [][]byte{fields[user], fields[system]} {
		n, err := strconv.ParseUint(string(field), 10, 48)
		if err != nil {
			return 0, err
		}
		ticks += int64(n)
	}

	return time.Duration(ticks) * time.Second / userHz, nil
}
