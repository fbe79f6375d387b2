package arch

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Where docs/ensembles.md lists what there is to show: a row begins with numbers, and says in one of its cells that it is
// done. A test that shows one says so in a comment: "Outcome 5:", "Outcomes 6 and 12, and Defect 3:".
var (
	row   = regexp.MustCompile(`(?m)^\| ([0-9][0-9, -]*) \|.*\| (done|differently|partly) \|`)
	named = regexp.MustCompile(`(Outcome|Defect)s? ([0-9]+(?:(?:, | and )[0-9]+)*)`)
)

// TestOutcomes: each outcome and each defect that docs/ensembles.md says to be done is named by a test.
func TestOutcomes(t *testing.T) {
	document, err := os.ReadFile("../../docs/ensembles.md")
	if err != nil {
		t.Fatal(err)
	}
	wanted := map[string][]int{}
	_, tables, _ := strings.Cut(string(document), "\n## Outcomes\n")
	outcomes, defects, _ := strings.Cut(tables, "\n## Defects\n")
	for kind, table := range map[string]string{"Outcome": outcomes, "Defect": defects} {
		for _, found := range row.FindAllStringSubmatch(table, -1) {
			wanted[kind] = append(wanted[kind], numbers(t, found[1])...)
		}
	}
	if len(wanted["Outcome"]) < 30 || len(wanted["Defect"]) < 5 {
		t.Fatalf("the tables are not read: %v", wanted)
	}

	shown := tested(t)
	for kind, all := range wanted {
		for _, n := range all {
			if !slices.Contains(shown[kind], n) {
				t.Errorf("no test says that it shows %s %d, which docs/ensembles.md says to be done", kind, n)
			}
		}
	}
}

// numbers returns those of a text such as "2, 3" or "41-43".
func numbers(t *testing.T, text string) (all []int) {
	t.Helper()
	for part := range strings.SplitSeq(strings.ReplaceAll(text, " and ", ", "), ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			t.Fatal(err)
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			t.Fatal(err)
		}
		for n := from; n <= to; n++ {
			all = append(all, n)
		}
	}
	return all
}

// tested returns the numbers that tests name: Go tests, scripts, and tutorials, which are scripts as well.
func tested(t *testing.T) map[string][]int {
	t.Helper()
	shown := map[string][]int{}
	err := filepath.WalkDir("../..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "build" || entry.Name() == "arch"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go") && filepath.Ext(path) != ".txtar" && filepath.Base(filepath.Dir(path)) != "tutorial":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range named.FindAllStringSubmatch(string(text), -1) {
			shown[found[1]] = append(shown[found[1]], numbers(t, found[2])...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return shown
}
