//go:build linux || darwin

package processes_test

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/deployer"
)

// placements are ways to run the same program; the one called "alone" is without a deployer.
var placements = []struct {
	name, colocate string
	replicas       int
	processes      map[string]int // of each program
}{
	{"alone", "", 0, nil},
	{"together", "all", 1, map[string]int{"shop": 1, "testapp": 1}},
	{"by groups", "file", 2, map[string]int{"shop": 12, "testapp": 3}},
	{"apart", "none", 1, map[string]int{"shop": 11, "testapp": 7}},
}

// TestJourneysAreEqual makes a recorded visit to the shop, and asks the test's application for what
// is easily different between local and remote calls, in every placement.
func TestJourneysAreEqual(t *testing.T) {
	t.Parallel()
	t.Run("shop", func(t *testing.T) {
		equal(t, "shop", shopConfig(t), journey)
	})
	t.Run("testapp", func(t *testing.T) {
		conf := groups(map[string][]string{"main": {"Main", "Crash", "Loner"}, "rest": {"A", "B", "C", "Probe"}}) + `
replicas = 1 # of the last group: what Probe keeps is in one process
[single]
listeners.testapp = { address = "127.0.0.1:0" }
`
		got := equal(t, "testapp", conf, func(t *testing.T, url string) []byte {
			body, err := page(t.Context(), url+"/answers?n=0")
			if err != nil {
				t.Error(err)
			}
			return []byte(body)
		})
		for _, want := range []string{
			"slices: sent [2][]int{[]int(nil), []int{}}, seen as []int(nil) []int{}, back as []int(nil) []int{}, <nil>\n",
			`mine are ["mine" "too"] map[old:1] []byte{0x61, 0x62, 0x63}`,
			`kept: ["changed by the callee" "too"], <nil>`,
			"fail sentinel: 1, is refused true, is too large false 0, is late false, is remote false: cannot do it: refused\n",
			"fail typed: 2, is refused false, is too large true 7, is late false, is remote false: cannot hold it: larger than 7\n",
		} {
			if !strings.Contains(string(got), want) {
				t.Errorf("the answers lack %q:\n%s", want, got)
			}
		}
	})
}

// journey makes the recorded visit to a shop, and returns what it sees.
func journey(t *testing.T, url string) []byte {
	cmd := exec.Command(binary(t, "load"), "-url", url, "-journey", "../../examples/shop/load/journey.txt")
	var wrong strings.Builder
	cmd.Stderr = &wrong
	out, err := cmd.Output()
	if err != nil || wrong.Len() > 0 || bytes.Count(out, []byte("\n=== ")) < 30 {
		t.Errorf("the journey fails: %v\n%s", err, wrong.String())
	}
	return out
}

// equal runs a program in every placement, and returns what visit returns in all of them.
func equal(t *testing.T, program, conf string, visit func(t *testing.T, url string) []byte) []byte {
	var first []byte
	for i, p := range placements {
		t.Run(p.name, func(t *testing.T) {
			var url string
			if p.name == "alone" {
				url = alone(t, program, conf)
			} else {
				spec := specOf(t, program, conf)
				if err := spec.Config.Colocate(p.colocate); err != nil {
					t.Fatal(err)
				}
				spec.Replicas = map[string]int{"": p.replicas}
				d := deploy(t, spec, deployer.Options{}, nil)
				d.ready(p.processes[program])
				url = d.url
			}
			got := visit(t, url)
			if i == 0 {
				first = got
			} else if !bytes.Equal(got, first) {
				t.Errorf("not as %s: %s", placements[0].name, difference(first, got))
			}
		})
	}
	return first
}

// difference returns the first lines that differ.
func difference(a, b []byte) string {
	want, got := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(want), len(got)) {
		if want[i] != got[i] {
			return "\n" + got[i] + "\nwant\n" + want[i]
		}
	}
	return "one ends sooner"
}
