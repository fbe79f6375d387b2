package report

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Benchmarks are results of the go command: of each benchmark the values of all runs, by unit, such as
// "ns/op". Names are without "Benchmark".
type Benchmarks map[string]map[string][]float64

// RunBenchmarks has the go command run benchmarks in a folder.
func RunBenchmarks(ctx context.Context, dir string, env []string, args ...string) (Benchmarks, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$", "-timeout", "10m"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s in %s: %w\n%s%s", strings.Join(cmd.Args[1:], " "), dir, err, out, stderr.String())
	}

	all := Benchmarks{}
	for line := range strings.Lines(string(out)) {
		all.read(strings.Fields(line))
	}
	return all, nil
}

var processors = regexp.MustCompile(`-\d+$`) // at the end of a name

// read reads a line such as "BenchmarkX/y-2 100 3.5 ns/op 0 allocs/op".
func (b Benchmarks) read(words []string) {
	if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
		return
	}
	name := processors.ReplaceAllString(strings.TrimPrefix(words[0], "Benchmark"), "")
	if b[name] == nil {
		b[name] = map[string][]float64{}
	}
	for i := 2; i+1 < len(words); i += 2 {
		if value, err := strconv.ParseFloat(words[i], 64); err == nil {
			b[name][words[i+1]] = append(b[name][words[i+1]], value)
		}
	}
}

// Lowest returns the lowest value of a benchmark in a unit, and whether there is one.
func (b Benchmarks) Lowest(name, unit string) (float64, bool) {
	values := b[strings.ReplaceAll(name, " ", "_")][unit]
	if len(values) == 0 {
		return 0, false
	}
	return slices.Min(values), true
}
