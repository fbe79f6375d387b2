package telemetry

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzLog: whatever is in the files of a log, reading all of them shows each complete line once and
// in its order, and looking at the end of the current one shows the last of them.
func FuzzLog(f *testing.F) {
	f.Add([]byte(`{"level":"info","msg":"a","time":"2026-01-02T03:04:05Z"}`+"\nplain\n"), []byte("\n\r\n{\"level\":\"warn\"}\nhalf"))
	f.Add([]byte("no end"), []byte("a\n"))
	f.Add([]byte{}, bytes.Repeat([]byte("0123456\n"), recentBytes/8+1))
	f.Add([]byte("x\n"), append(bytes.Repeat([]byte{0xff}, recentBytes), '\n'))
	dir := f.TempDir()
	path := filepath.Join(dir, "shop-1.log")
	f.Fuzz(func(t *testing.T, older, current []byte) {
		for name, text := range map[string][]byte{path: current, path + ".1": older} {
			if err := os.WriteFile(name, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		entries := func(text []byte) []Entry {
			list := []Entry{}
			for line := range bytes.Lines(text) {
				if line[len(line)-1] == '\n' && len(bytes.TrimSpace(line)) > 0 {
					list = append(list, parse(bytes.TrimSpace(line), "shop-1"))
				}
			}
			return list
		}
		shown := []Entry{}
		err := Show(t.Context(), dir, nil, &Query{Tail: -1}, func(e Entry) error {
			shown = append(shown, e)
			return nil
		})
		want := []Entry{}
		order := &window{show: func(e Entry) error {
			want = append(want, e)
			return nil
		}}
		for _, e := range append(entries(older), entries(current)...) {
			order.add(e)
		}
		order.flush()
		if err != nil || !reflect.DeepEqual(shown, want) {
			t.Errorf("%q and %q are shown as %+v, %v; want %+v", older, current, shown, err, want)
		}
		recent, err := Recent(dir, nil, &Filter{}, len(current))
		if err != nil || len(current) <= recentBytes && len(recent) != len(entries(current)) || len(recent) > len(entries(current)) {
			t.Errorf("%q is %d recent entries, %v", current, len(recent), err)
		}
	})
}
