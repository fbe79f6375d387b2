// Package limit is what the kernel limits of a process, or of a control group, and how people write that.
package limit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limit is one limit of a process, see setrlimit(2), or of its control group.
type Limit struct {
	Name string `json:"name"` // such as nofile
	Soft uint64 `json:"soft"` // of cpus in thousandths
	Hard uint64 `json:"hard"` // up to which the process itself may raise it; that of a group is the same
}

// Unlimited is the value of no limit.
const Unlimited = math.MaxUint64

// kind is what can be limited.
type kind struct {
	name    string
	number  int // of the kernel of Linux
	bytes   bool
	control string // file of a control group, "" if it is a limit of a process
}

// The names are those of limits.conf(5), and of ulimits in Docker; those of control groups are the ones that
// Docker has.
var kinds = []kind{
	{"as", 9, true, ""}, {"core", 4, true, ""}, {"cpu", 0, false, ""}, {cpus, 0, false, "cpu.max"}, {"data", 2, true, ""},
	{"fsize", 1, true, ""}, {"locks", 10, false, ""}, {"memlock", 8, true, ""}, {"memory", 0, true, "memory.max"},
	{"msgqueue", 12, true, ""}, {"nice", 13, false, ""}, {"nofile", 7, false, ""}, {"nproc", 6, false, ""},
	{"pids", 0, false, "pids.max"}, {"rss", 5, true, ""}, {"rtprio", 14, false, ""}, {"rttime", 15, false, ""},
	{"sigpending", 11, false, ""}, {"stack", 3, true, ""},
}

// cpus limits how many processors work for a group at a time, in thousandths of one.
const cpus = "cpus"

// Names returns what can be limited.
func Names() []string {
	var list []string
	for _, k := range kinds {
		list = append(list, k.name)
	}
	return list
}

// maxText bounds a limit, in bytes.
const maxText = 100

// Parse reads a limit as NAME=SOFT:HARD, or NAME=BOTH: a number or the word unlimited. Numbers of bytes may
// have a suffix K, M, G or T, for powers of 1024, and one of processors may have a fraction. What limits a
// control group has one value.
func Parse(text string) (Limit, error) {
	if len(text) > maxText {
		return Limit{}, fmt.Errorf("%.40q... has %d bytes, and may have %d", text, len(text), maxText)
	}
	name, value, given := strings.Cut(text, "=")
	l := Limit{Name: name}
	k, err := l.kind()
	switch {
	case err != nil:
		return Limit{}, err
	case !given && k.control != "":
		return Limit{}, fmt.Errorf("%s has no value: write %s=VALUE or %s=unlimited", name, name, name)
	case !given:
		return Limit{}, fmt.Errorf("%s has no value: write %s=VALUE, %s=SOFT:HARD or %s=unlimited", name, name, name, name)
	}

	soft, hard, both := strings.Cut(value, ":")
	if !both {
		hard = soft
	}
	if l.Soft, err = k.parse(soft); err == nil {
		l.Hard, err = k.parse(hard)
	}
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		return Limit{}, fmt.Errorf("%s: %w", text, err)
	}

	return l, nil
}

// ParseAll reads limits as [Parse] does.
func ParseAll(texts []string) (list []Limit, err error) {
	for _, text := range texts {
		l, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("the limit %w", err)
		}
		list = append(list, l)
	}
	return list, nil
}

func (l Limit) kind() (kind, error) {
	at := slices.IndexFunc(kinds, func(k kind) bool { return k.name == l.Name })
	if at < 0 {
		return kind{}, fmt.Errorf("%q is none of the limits %s", l.Name, strings.Join(Names(), ", "))
	}
	return kinds[at], nil
}

// parse reads a value.
func (k kind) parse(text string) (uint64, error) {
	if text == "unlimited" {
		return Unlimited, nil
	}
	if k.name == cpus {
		return parseCPUs(text)
	}
	digits, shift := text, 0
	if k.bytes && text != "" {
		if power := strings.IndexByte("KMGT", text[len(text)-1]); power >= 0 {
			digits, shift = text[:len(text)-1], 10*(power+1)
		}
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > math.MaxInt64>>shift {
		way := "write a number, or unlimited"
		if k.bytes {
			way = "write a number of bytes, such as 64M, or unlimited"
		}
		return 0, fmt.Errorf("%q is no value: %s", text, way)
	}
	return n << shift, nil
}

// maxCPUs bounds a number of processors, and minCPUs is what the kernel gives at least, in thousandths.
const (
	maxCPUs = 1 << 20
	minCPUs = 10
)

// parseCPUs reads a number of processors.
func parseCPUs(text string) (uint64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n*1000 >= minCPUs && n <= maxCPUs) {
		return 0, fmt.Errorf("%q is no value: write a number of processors of %v at least, such as 0.5 or 2, or unlimited", text, minCPUs/1000.0)
	}
	return uint64(math.Round(n * 1000)), nil
}

// Check says what of a limit cannot be meant.
func (l Limit) Check() error {
	k, err := l.kind()
	switch {
	case err != nil:
	case k.control != "" && l.Soft != l.Hard:
		err = errors.New("what limits a control group has one value")
	case k.control != "" && l.Hard == 0:
		err = errors.New("with nothing no process runs")
	case l.Soft > l.Hard:
		err = errors.New("the first value is more than the second one, and may be as much at most: write SOFT:HARD")
	}
	return err
}

// Resource returns the number by which Linux knows what is limited.
func (l Limit) Resource() int {
	k, _ := l.kind() // it was checked
	return k.number
}

// Divide returns which limits are of the process itself, and which of its control group.
func Divide(list []Limit) (process, group []Limit) {
	for _, l := range list {
		if k, _ := l.kind(); k.control != "" {
			group = append(group, l)
		} else {
			process = append(process, l)
		}
	}
	return process, group
}

// Control returns the file of a control group that has the limit, and what is in it.
func (l Limit) Control() (file, value string) {
	k, _ := l.kind() // it was checked
	switch {
	case l.Hard == Unlimited:
		return k.control, "max"
	case l.Name == cpus: // microseconds in each tenth of a second
		return k.control, strconv.FormatUint(l.Hard*100, 10) + " 100000"
	}
	return k.control, strconv.FormatUint(l.Hard, 10)
}

// String returns what [Parse] reads.
func (l Limit) String() string {
	switch {
	case l.Name == cpus && l.Hard != Unlimited:
		return l.Name + "=" + strconv.FormatFloat(float64(l.Hard)/1000, 'f', -1, 64)
	case l.Soft == l.Hard:
		return l.Name + "=" + valueText(l.Soft)
	}
	return l.Name + "=" + valueText(l.Soft) + ":" + valueText(l.Hard)
}

func valueText(n uint64) string {
	if n == Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}
