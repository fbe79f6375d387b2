package program

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/codegen"
)

// FuzzScan: whatever a program holds, the pieces in which it is looked at make no difference.
func FuzzScan(f *testing.F) {
	cart := codegen.Info{Name: "example.com/shop/cart/Cart", Methods: []string{"Add"}, Routed: true}.Text()
	shop := codegen.Info{Name: "example.com/shop/Shop", Refs: []string{"example.com/shop/cart/Cart"}, Main: true}.Text()
	f.Add([]byte(cart+"x"+shop+cart), uint16(100))
	f.Add([]byte(strings.Repeat(shop[:20], 9)+shop), uint16(7))
	f.Add([]byte(cart[:len(cart)-1]), uint16(0))
	f.Fuzz(func(t *testing.T, text []byte, border uint16) {
		// The border between the pieces lies somewhere within the text.
		const piece = 512
		program := slices.Concat(bytes.Repeat([]byte("x"), overlap+piece-int(border)%piece), text)
		found, _, err := scan(bytes.NewReader(program), make([]byte, overlap+piece))
		if err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, info := range codegen.FindInfos(text) {
			names[info.Name] = true
		}
		for _, info := range found {
			if !names[info.Name] {
				t.Errorf("%q is found in %q, or is found twice", info.Name, text)
			}
			delete(names, info.Name)
		}
		if len(names) > 0 {
			t.Errorf("%v are not found in %q", names, text)
		}
	})
}
