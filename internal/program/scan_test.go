package program

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

// Descriptions are found once each, wherever they lie: at the beginning, at the end, and over the
// border of two pieces.
func TestScan(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const piece = 1 << 10 // beside the overlap
	for round := range 50 {
		var program bytes.Buffer
		var want []string
		for i := range 1 + r.IntN(6) {
			program.WriteString(strings.Repeat("x", r.IntN(3*piece)*r.IntN(2)))
			name := fmt.Sprintf("example.com/app/C%d", i)
			want = append(want, name)
			info := codegen.Info{Name: name, Methods: make([]string, r.IntN(200))}
			program.WriteString(info.Text())
			if r.IntN(3) == 0 {
				program.WriteString(info.Text()) // linkers may keep a string twice
			}
		}
		program.WriteString(strings.Repeat("x", r.IntN(3*piece)*r.IntN(2)))
		found, _, err := scan(bytes.NewReader(program.Bytes()), make([]byte, overlap+piece))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, i := range found {
			got = append(got, i.Name)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("round %d: found %v, want %v", round, got, want)
		}
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("bad disk") }

func TestScanFails(t *testing.T) {
	if _, _, err := scan(failing{}, make([]byte, overlap+1)); err == nil || err.Error() != "bad disk" {
		t.Errorf("got %v", err)
	}
}
