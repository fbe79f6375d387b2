// Package clock is the wall clock for what is compared with the clocks of other machines, such as the life of a
// certificate. In a host of a lab it goes wrong by as much as the lab says; nowhere else.
package clock

import (
	"os"
	"strings"
	"sync"
	"time"
)

// Variable is the variable of the environment by which a lab tells its processes in which file it says by how much their
// clock is wrong. Outside of a lab it is not set.
const Variable = "DIVISI_LAB_CLOCK"

var file = sync.OnceValue(func() string { return os.Getenv(Variable) })

// Now returns the wall time. In a lab it has no monotonic part, because what it is wrong by may change at any time.
func Now() time.Time {
	if file() == "" {
		return time.Now()
	}
	return time.Now().Round(0).Add(read(file()))
}

// read returns what a file says. One that is not there, or says something else, means a right clock.
func read(file string) time.Duration {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	offset, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return offset
}
