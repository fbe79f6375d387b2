package gen

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/internal/gen/rule"
)

const docFile = "../../docs/generate.md"

// The table in the document stands between these lines.
const (
	tableBegin = "<!-- The table is written by the tests of internal/gen, with -update. -->\n"
	tableEnd   = "<!-- End of the table. -->\n"
)

// TestRefusalsInDocument keeps the table of refusals equal to that of the code. Its texts are
// those of the cases.
func TestRefusalsInDocument(t *testing.T) {
	s := loadCases(t)
	var table strings.Builder
	table.WriteString("\n| id | what is wrong | the way out |\n|---|---|---|\n")
	cell := strings.NewReplacer(filepath.Join(s.dir, "refusals")+string(filepath.Separator), "", "|", `\|`, caseModule+"/refusals/", "example.com/")
	for _, entry := range rule.Table[1:] {
		for _, p := range s.problems("refusals/" + entry.ID) {
			if p.Rule.ID != entry.ID {
				continue
			}
			what := p.What
			if entry.Warning {
				what = "(warning) " + what
			}
			fmt.Fprintf(&table, "| %s | %s | %s |\n", entry.ID, cell.Replace(what), cell.Replace(p.Fix))
			break
		}
	}
	table.WriteString("\n")
	data, err := os.ReadFile(docFile)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(data), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table", docFile)
	}
	want := before + tableBegin + table.String() + tableEnd + after
	if want == string(data) {
		return
	}
	if !*update {
		t.Fatalf("the table of refusals in %s is not that of the code: run go test ./internal/gen -update", docFile)
	}
	if err := os.WriteFile(docFile, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
